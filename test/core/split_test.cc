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

constexpr size_t GUARD = 3; /* granules of the blocks in use around a hole */

/* A hole of `granules` between two blocks in use, `pad` granules further on than the last one. */
struct Hole {
    Hole(size_t pad, size_t granules_) : granules(granules_) {
        if (pad != 0) {
            EXPECT_NE(allocate(pad), nullptr);
        }
        before = allocate(GUARD);
        start = allocate(granules);
        after = allocate(GUARD);
        EXPECT_EQ(before + GUARD * GRANULE_BYTES, start);
        EXPECT_EQ(start + granules * GRANULE_BYTES, after);
        fill(before, GUARD * GRANULE_BYTES, 1);
        fill(after, GUARD * GRANULE_BYTES, 2);
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
        ASSERT_TRUE(is_filled(before, GUARD * GRANULE_BYTES, 1));
        ASSERT_TRUE(is_filled(after, GUARD * GRANULE_BYTES, 2));
    }

    size_t granules;
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

ISOLATED_TEST(BlockSplit, CutsAtEveryGranule) {
    for (size_t granules = 2; granules <= (is_paranoid() ? 70u : 330u); granules++) {
        Hole hole(0, granules);
        for (size_t wanted = 1; wanted < granules; wanted++) {
            expect_split(hole, wanted);
            if (testing::Test::HasFatalFailure())
                FAIL() << wanted << " of " << granules;
        }
        ASSERT_EQ(allocate(granules), hole.start); /* it must not serve what comes next */
    }
}

ISOLATED_TEST(BlockSplit, CutsAcrossLinesAtEveryOffset) {
    for (size_t pad = 1; pad <= LINE_GRANULES; pad += is_paranoid() ? 9 : 1) {
        for (size_t granules : {5, 64, 65, 130, 193}) {
            Hole hole(pad, granules);
            for (size_t wanted = 1; wanted < granules; wanted++) {
                expect_split(hole, wanted);
                if (testing::Test::HasFatalFailure())
                    FAIL() << wanted << " of " << granules << ", pad " << pad;
            }
            ASSERT_EQ(allocate(granules), hole.start);
        }
    }
}

ISOLATED_TEST(BlockSplit, CutsLargeBlocks) {
    std::mt19937_64 random(31);
    for (size_t granules : {2047, 2048, 2049, 2112, 4095, 4096, 4097, 8000, 8191}) {
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
        ASSERT_EQ(allocate(granules), hole.start);
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

/* Nothing is cut ahead in a small heap. */
void outgrow_small_heap() {
    for (size_t bytes = 0; bytes <= SMALL_HEAP; bytes += 8000 * GRANULE_BYTES)
        ASSERT_NE(allocate(8000), nullptr);
}

/* Sizes that miss their quick set time after time are cut several at once. */
ISOLATED_TEST(BlockCarve, PutsNeighboursIntoTheQuickSet) {
    outgrow_small_heap();
    for (size_t granules : {1, 2, 5, 31, 64}) {
        char *last = nullptr;
        size_t misses = 0;
        for (size_t i = 0; i < 200; i++) {
            bool is_waiting = thread_heap->quick[granules].top != 0;
            misses += !is_waiting;
            char *block = static_cast<char *>(os_malloc(granules * GRANULE_BYTES));
            if (last != nullptr) {
                ASSERT_EQ(block, last + granules * GRANULE_BYTES) << "not in order of address";
            }
            ASSERT_LE(quick_count(&thread_heap->quick[granules], granules), size_t{QUICK_SLOTS});
            last = block;
        }
        EXPECT_LT(misses, 60u) << granules;
        ASSERT_EQ(os_heap_check(), 0);
        os_malloc_trim(0);
    }
}

ISOLATED_TEST(BlockCarve, TakesNothingAheadInASmallHeap) {
    char *last = allocate(2);
    for (size_t i = 0; i < 200; i++, last += 2 * GRANULE_BYTES) {
        ASSERT_EQ(allocate(2), last + 2 * GRANULE_BYTES);
        ASSERT_TRUE(free_blocks().empty());
    }
}

ISOLATED_TEST(BlockCarve, LeavesTheBlocksFreeAndFitForAnything) {
    outgrow_small_heap();
    size_t free_before = 0;
    for (const Block &block : free_blocks())
        free_before += block.granules();
    char *start = allocate(1000);
    ASSERT_NE(allocate(1), nullptr);
    os_free(start);
    std::vector<char *> blocks;
    for (size_t i = 0; i < 20; i++) {
        blocks.push_back(static_cast<char *>(os_malloc(4 * GRANULE_BYTES)));
        ASSERT_EQ(blocks.back(), start + i * 4 * GRANULE_BYTES);
    }
    size_t sum = 0;
    for (const Block &block : free_blocks())
        sum += block.granules();
    EXPECT_EQ(sum - free_before, 1000u - 20 * 4);
    for (char *block : blocks)
        os_free(block);
    merge_all();
    EXPECT_EQ(allocate(1000), start);
}

/* The last ones do not fit: nothing beyond the block is touched. */
ISOLATED_TEST(BlockCarve, StaysInsideTheBlockThatIsCut) {
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

ISOLATED_TEST(BlockCarve, StopsWhereTheHeapEnds) {
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
