/* Cutting a free block: at every granule, and what becomes of both parts. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

namespace osmem {
namespace {

/*
 * A hole of `granules` between two blocks in use, `pad` granules further on than the last one. In a
 * large heap these are not of the sizes that have pages to themselves.
 */
struct Hole {
    Hole(size_t pad, size_t granules_)
        : granules(granules_), guard(heap_is_small(thread_heap) ? 3 : SLAB_MAX + 1) {
        if (pad != 0) {
            EXPECT_NE(allocate(pad), nullptr);
        }
        before = allocate(guard);
        start = allocate(granules);
        after = allocate(guard);
        EXPECT_EQ(before + guard * GRANULE_BYTES, start);
        EXPECT_EQ(start + granules * GRANULE_BYTES, after);
        fill(before, guard * GRANULE_BYTES, 1);
        fill(after, guard * GRANULE_BYTES, 2);
        fill(start, granules * GRANULE_BYTES, 3);
        os_free(start);
    }
    /* All of it in one again. */
    void mend() const {
        merge_all();
        char *whole = allocate(granules);
        ASSERT_EQ(whole, start) << "the parts were not merged";
        fill(whole, granules * GRANULE_BYTES, 3);
        os_free(whole);
    }
    void expect_neighbours() const {
        ASSERT_TRUE(is_filled(before, guard * GRANULE_BYTES, 1));
        ASSERT_TRUE(is_filled(after, guard * GRANULE_BYTES, 2));
    }

    size_t granules, guard;
    char *before, *start, *after;
};

void expect_split(const Hole &hole, size_t wanted) {
    char *part = allocate(wanted);
    ASSERT_EQ(part, hole.start);
    ASSERT_EQ(os_malloc_usable_size(part), wanted * GRANULE_BYTES);
    ASSERT_TRUE(is_filled(part, hole.granules * GRANULE_BYTES, 3))
        << "a free block's memory was written";
    memset(part, 0xff, wanted * GRANULE_BYTES);
    hole.expect_neighbours();
    Block rest = block_at(part + wanted * GRANULE_BYTES);
    ASSERT_EQ(rest.kind, OS_BLOCK_FREE);
    ASSERT_EQ(rest.end(), hole.after);
    os_free(part);
    hole.mend();
}

ISOLATED_TEST(BlockSplit, LeavesTheRemainderFree) {
    char *block = allocate(20);
    ASSERT_NE(allocate(1), nullptr);
    os_free(block);
    EXPECT_EQ(allocate(8), block);
    Block rest = block_at(block + 8 * GRANULE_BYTES);
    EXPECT_EQ(rest.kind, OS_BLOCK_FREE);
    EXPECT_EQ(rest.granules(), 12u);
    EXPECT_EQ(allocate(12), rest.start);
    EXPECT_EQ(block_at(rest.start).kind, OS_BLOCK_USED);
}

/* Cuts a hole after each of `first` ... granules - 1. */
void cut_everywhere(size_t pad, size_t granules, size_t first) {
    Hole hole(pad, granules);
    for (size_t wanted = first; wanted < granules; wanted++) {
        expect_split(hole, wanted);
        if (testing::Test::HasFatalFailure())
            FAIL() << wanted << " of " << granules << ", pad " << pad;
    }
}

/* Each in a heap of its own, which is small. */
TEST(BlockSplit, CutsAtEveryGranule) {
    for (size_t granules = 2; granules <= (is_paranoid() ? 70u : 330u); granules++) {
        run_isolated([=] { cut_everywhere(0, granules, 1); });
        ASSERT_FALSE(HasFailure()) << granules;
    }
}

ISOLATED_TEST(BlockSplit, CutsAtEveryGranuleInALargeHeapButForSmallBlocks) {
    ASSERT_NE(allocate(1), nullptr);
    outgrow_small_heap();
    for (size_t granules = SLAB_MAX + 2; granules <= (is_paranoid() ? 70u : 330u); granules++) {
        cut_everywhere(0, granules, SLAB_MAX + 1);
        ASSERT_FALSE(testing::Test::HasFailure());
        /* It must not serve what comes next. */
        ASSERT_NE(allocate(granules), nullptr);
        ASSERT_TRUE(free_runs().empty());
    }
}

TEST(BlockSplit, CutsAcrossLinesAtEveryOffset) {
    for (size_t pad = 1; pad <= LINE_GRANULES; pad += is_paranoid() ? 9 : 1) {
        for (size_t granules : {5, 64, 65, 130, 193}) {
            run_isolated([=] { cut_everywhere(pad, granules, 1); });
            ASSERT_FALSE(HasFailure()) << granules << ", pad " << pad;
        }
    }
}

TEST(BlockSplit, CutsLargeBlocks) {
    for (size_t granules : {2047, 2048, 2049, 2112, 4095, 4096, 4097, 8000, 8191}) {
        run_isolated([=] {
            std::mt19937_64 random(31 + granules);
            Hole hole(random() % LINE_GRANULES, granules);
            for (size_t wanted : {size_t{1}, size_t{2}, size_t{64}, granules / 2, granules - 2048,
                                  granules - 2047, granules - 65, granules - 2, granules - 1}) {
                if (wanted == 0 || wanted >= granules)
                    continue;
                expect_split(hole, wanted);
                if (testing::Test::HasFatalFailure())
                    FAIL() << wanted << " of " << granules;
            }
            for (size_t i = 0; i < scaled(200); i++)
                expect_split(hole, 1 + random() % (granules - 1));
        });
        ASSERT_FALSE(HasFailure()) << granules;
    }
}

/* The rest of a cut is cut again, down to the last granule. */
ISOLATED_TEST(BlockSplit, GoesOnUntilNothingIsLeft) {
    for (size_t piece : {1, 2, 3, 7, 64, 100}) {
        size_t pieces = 60;
        Hole hole(0, piece * pieces);
        std::vector<char *> parts;
        for (size_t i = 0; i < pieces; i++) {
            parts.push_back(allocate(piece));
            ASSERT_EQ(parts.back(), hole.start + i * piece * GRANULE_BYTES);
            memset(parts.back(), 0xff, piece * GRANULE_BYTES);
        }
        hole.expect_neighbours();
        EXPECT_TRUE(free_blocks().empty());
        for (char *part : parts)
            os_free(part);
        hole.mend();
        EXPECT_EQ(allocate(piece * pieces), hole.start);
    }
}

ISOLATED_TEST(BlockSplit, OfTheUntouchedEndLeavesTheRestUntouched) {
    ASSERT_NE(allocate(1), nullptr);
    for (size_t granules = 2; granules < 100; granules++) {
        Block end = untouched_end();
        ASSERT_EQ(allocate(granules), end.start);
        EXPECT_EQ(untouched_end().start, end.start + granules * GRANULE_BYTES);
        EXPECT_EQ(untouched_end().end(), end.end());
    }
}

/* Nothing is cut before it is asked for in a small heap: pages of small blocks come later. */
ISOLATED_TEST(BlockSplit, TakesNothingAheadInASmallHeap) {
    char *last = allocate(2);
    for (size_t i = 0; i < 200; i++, last += 2 * GRANULE_BYTES) {
        ASSERT_EQ(allocate(2), last + 2 * GRANULE_BYTES);
        ASSERT_TRUE(free_blocks().empty());
    }
}

/* The last ones do not fit: nothing beyond the block is touched. */
ISOLATED_TEST(BlockSplit, StaysInsideTheBlockThatIsCut) {
    for (size_t rest = 0; rest < 9; rest++) {
        size_t granules = 40 * 9 + rest;
        Hole hole(0, granules);
        for (size_t i = 0; i < 40; i++) {
            char *block = static_cast<char *>(os_malloc(9 * GRANULE_BYTES));
            ASSERT_EQ(block, hole.start + i * 9 * GRANULE_BYTES);
            memset(block, 0xff, 9 * GRANULE_BYTES);
            hole.expect_neighbours();
            ASSERT_EQ(os_heap_check(), 0);
        }
        if (rest != 0) {
            ASSERT_EQ(allocate(rest), hole.start + 40 * 9 * GRANULE_BYTES);
        }
        EXPECT_TRUE(free_blocks().empty());
    }
}

ISOLATED_TEST(BlockSplit, OfTheUntouchedEndStopsWhereTheHeapEnds) {
    for (size_t granules : {1, 3, 7, 64}) {
        size_t sbrk_before = kernel::count(kernel::SBRK).calls;
        char *last = nullptr;
        while (kernel::count(kernel::SBRK).calls == sbrk_before) {
            last = static_cast<char *>(os_malloc(granules * GRANULE_BYTES));
            ASSERT_NE(last, nullptr);
        }
        ASSERT_EQ(os_heap_check(), 0);
    }
}

} // namespace
} // namespace osmem
