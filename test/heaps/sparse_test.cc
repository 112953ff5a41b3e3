/* os_should_move: what it says of which blocks, and what comes of moving these. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"
#include "test/heaps/own.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

namespace osmem {
namespace {

struct Piece {
    char *start;
    size_t size;
    uint64_t seed;
};

/* `count` blocks of 1 to `most` bytes, of which those stay for which `stays` says so. */
std::vector<Piece> sparse_heap(size_t count, const std::function<size_t()> &draw,
                               const std::function<bool(size_t)> &stays) {
    outgrow_small_heap();
    std::vector<Piece> all, kept;
    for (size_t i = 0; i < count; i++) {
        size_t size = draw();
        all.push_back({static_cast<char *>(os_malloc(size)), size, i});
        fill(all.back().start, size, i);
    }
    for (size_t i = 0; i < count; i++) {
        if (stays(i))
            kept.push_back(all[i]);
        else
            os_free(all[i].start);
    }
    return kept;
}

size_t resident() {
    os_malloc_trim(0);
    os_stats stats;
    os_malloc_stats(&stats);
    return stats.resident;
}

/* Moves the pieces that should be, in the order in which they are; returns how many. */
size_t compact(std::vector<Piece> &pieces) {
    size_t moved = 0;
    for (Piece &piece : pieces) {
        EXPECT_TRUE(is_filled(piece.start, piece.size, piece.seed));
        if (!os_should_move(piece.start))
            continue;
        auto *start = static_cast<char *>(os_malloc(piece.size));
        memcpy(start, piece.start, piece.size);
        os_free(piece.start);
        piece.start = start;
        moved++;
        if (moved % 997 == 0) {
            EXPECT_EQ(os_heap_check(), 0);
        }
    }
    for (const Piece &piece : pieces)
        EXPECT_TRUE(is_filled(piece.start, piece.size, piece.seed));
    return moved;
}

size_t used_bytes(const std::vector<Piece> &pieces) {
    size_t bytes = 0;
    for (const Piece &piece : pieces)
        bytes += os_malloc_usable_size(piece.start);
    return bytes;
}

/* Blocks of many sizes, one in five stays. */
ISOLATED_TEST(ShouldMove, LeavesHardlyMorePagesThanItsBlocksFill) {
    std::mt19937_64 random(1);
    std::vector<Piece> pieces = sparse_heap(
        scaled(100000), [&] { return 1 + random() % 512; },
        [&](size_t) { return random() % 5 == 0; });
    std::shuffle(pieces.begin(), pieces.end(), random);
    size_t before = resident(), moved = compact(pieces), after = resident();
    EXPECT_GT(moved, pieces.size() / 2);
    EXPECT_LT(moved, pieces.size() * 9 / 10) << "those on fuller pages stay";
    os_stats stats;
    os_malloc_stats(&stats);
    size_t rest = stats.allocated - used_bytes(pieces) + stats.metadata;
    if (scaled(100) == 100) {
        EXPECT_LT(after - std::min(rest, after), used_bytes(pieces) * 6 / 5);
        EXPECT_LT(after, before / 2);
    }
    EXPECT_LT(compact(pieces), 1 + pieces.size() / 50) << "once is enough";
    for (const Piece &piece : pieces)
        os_free(piece.start);
    EXPECT_EQ(os_heap_check(), 0);
}

/* Where no page is fuller than another, some are kept all the same. */
ISOLATED_TEST(ShouldMove, EmptiesPagesThatAreEquallyFull) {
    std::vector<Piece> pieces = sparse_heap(
        64000, [] { return size_t{64}; }, [](size_t i) { return i % 4 == 0; });
    size_t before = resident(), moved = compact(pieces), after = resident();
    EXPECT_NEAR(static_cast<double>(moved), 12000, 300);
    EXPECT_GT(before - after, size_t{64000} * 64 / 2);
    EXPECT_EQ(compact(pieces), 0u);
}

ISOLATED_TEST(ShouldMove, EmptiesFewPagesAsWell) {
    std::vector<Piece> pieces = sparse_heap(
        4 * 64, [] { return size_t{64}; }, [](size_t i) { return i % 4 == 0; });
    EXPECT_GE(compact(pieces), 64u / 2) << "one or two pages hold all";
    EXPECT_EQ(compact(pieces), 0u);
}

/* The blocks at the ends of pages, which are of another size, pin these too. */
ISOLATED_TEST(ShouldMove, IsSaidOfBlocksAtTheEndsOfPages) {
    /* On a page there are 12 blocks of 20 granules, and one of 16. */
    std::mt19937_64 random(5);
    std::vector<Piece> pieces = sparse_heap(
        30000, [&] { return random() % 4 == 0 ? size_t{256} : size_t{320}; },
        [&](size_t) { return random() % 10 == 0; });
    resident();
    compact(pieces);
    size_t pages = 0;
    for (region *each = thread_heap->regions; each != nullptr; each = each->next) {
        for (size_t page = 0; page < REGION_GRANULES / SLAB_GRANULES; page++)
            pages += each->slab_granules[page] == 20 &&
                     !vacant_is(region_block(each, page * SLAB_GRANULES));
    }
    /* One block in ten stays, so one page in seven is more than enough. */
    EXPECT_LT(pages, 30000u * 3 / 4 / 12 / 7);
}

/* A block at the end of a page of another size moves only where there are pages of its own. */
ISOLATED_TEST(ShouldMove, IsNotSaidOfABlockThatHasNoPagesOfItsSize) {
    /* The only blocks of 16 granules lie behind 12 blocks of 20. */
    std::vector<Piece> pieces = sparse_heap(
        12000, [] { return size_t{320}; }, [](size_t i) { return i % 12 == 0; });
    std::vector<char *> tails;
    for (size_t i = 0; i < 500; i++)
        tails.push_back(static_cast<char *>(os_malloc(256)));
    size_t moved = 0, on_pages = 0;
    for (const Piece &piece : pieces)
        moved += os_should_move(piece.start) != 0;
    for (char *tail : tails) {
        on_pages += region_of(tail)->slab_granules[region_granule(tail) / SLAB_GRANULES] == 20;
        EXPECT_EQ(os_should_move(tail), 0);
    }
    EXPECT_GT(moved, 0u);
    EXPECT_GT(on_pages, 100u);
}

/* The pages that were to be kept were filled by others before the blocks came. */
ISOLATED_TEST(ShouldMove, IsNotSaidWhereNoPageHasRoom) {
    std::vector<Piece> pieces = sparse_heap(
        64000, [] { return size_t{64}; }, [](size_t i) { return i % 4 == 0; });
    size_t first = 0;
    while (!os_should_move(pieces[first].start))
        first++;
    for (size_t i = 0; i < 64000; i++)
        ASSERT_NE(os_malloc(64), nullptr);
    EXPECT_EQ(os_should_move(pieces[first].start), 0);
    EXPECT_EQ(os_heap_check(), 0);
}

/* Beyond the near zone there are no quick sets, which is where the next block is put. */
ISOLATED_TEST(ShouldMove, IsNotSaidInAFarZone) {
    region_near.base = REGION_BYTES;
    std::vector<Piece> pieces = sparse_heap(
        64000, [] { return size_t{64}; }, [](size_t i) { return i % 4 == 0; });
    EXPECT_EQ(compact(pieces), 0u);
}

ISOLATED_TEST(ShouldMove, SaysWhereTheNextBlockGoes) {
    std::mt19937_64 random(2);
    std::vector<Piece> pieces = sparse_heap(
        50000, [&] { return 1 + random() % 200; }, [&](size_t) { return random() % 4 == 0; });
    auto used_on = [](const char *ptr) {
        const tag_line *line =
            tags_line(region_of(ptr)->lines, align_down(region_granule(ptr), SLAB_GRANULES));
        size_t used = 0;
        for (size_t i = 0; i < SLAB_LINES; i++)
            used += static_cast<size_t>(__builtin_popcountll(line[i].starts & ~line[i].free));
        return used;
    };
    size_t moved = 0, fuller = 0;
    for (Piece &piece : pieces) {
        if (!os_should_move(piece.start))
            continue;
        auto *start = static_cast<char *>(os_malloc(piece.size));
        ASSERT_NE(region_of(start)->slab_granules[region_granule(start) / SLAB_GRANULES], 0);
        ASSERT_EQ(os_should_move(start), 0) << "it moves again";
        moved++;
        fuller += used_on(start) > used_on(piece.start);
        os_free(piece.start);
        piece.start = start;
    }
    EXPECT_GT(moved, 1000u);
    EXPECT_GT(fuller, moved * 9 / 10);
}

ISOLATED_TEST(ShouldMove, IsNotSaidOfAHeapThatIsFull) {
    std::mt19937_64 random(3);
    std::vector<Piece> pieces = sparse_heap(
        30000, [&] { return 1 + random() % 500; }, [](size_t) { return true; });
    EXPECT_LT(compact(pieces), pieces.size() / 20);
}

/* Of large, mapped and others' blocks; in a small heap; and not where there are no pages of a size.
 */
ISOLATED_TEST(ShouldMove, IsNotSaidOfOtherBlocks) {
    EXPECT_EQ(os_should_move(nullptr), 0);
    std::vector<void *> blocks;
    for (size_t i = 0; i < 1000; i++) {
        blocks.push_back(os_malloc(100));
        os_free(os_malloc(100));
    }
    for (size_t i = 0; i < blocks.size(); i++) {
        if (i % 5 != 0)
            os_free(blocks[i]);
    }
    for (size_t i = 0; i < blocks.size(); i += 5)
        EXPECT_EQ(os_should_move(blocks[i]), 0);
    std::vector<Piece> pieces = sparse_heap(
        20000, [] { return size_t{100}; }, [](size_t i) { return i % 5 == 0; });
    EXPECT_EQ(os_should_move(os_malloc(1000)), 0);
    EXPECT_EQ(os_should_move(os_malloc(100000)), 0);
    EXPECT_EQ(os_should_move(os_malloc(1000000)), 0);
    os_heap *heap = os_heap_create(nullptr);
    EXPECT_EQ(os_should_move(os_heap_malloc(heap, 100)), 0);
    std::thread([&] {
        os_free(os_malloc(1));
        for (const Piece &piece : pieces)
            ASSERT_EQ(os_should_move(piece.start), 0);
    }).join();
    EXPECT_GT(compact(pieces), 1000u) << "by its own thread";
}

/* Between the questions the program does what it likes, moves or not, and asks for any size. */
ISOLATED_TEST(ShouldMove, DisturbsNothing) {
    std::mt19937_64 random(4);
    std::vector<Piece> pieces = sparse_heap(
        scaled(40000), [&] { return 1 + random() % 600; },
        [&](size_t) { return random() % 3 == 0; });
    for (size_t i = 0; i < scaled(100000); i++) {
        Piece &piece = pieces[random() % pieces.size()];
        bool should = os_should_move(piece.start);
        ASSERT_TRUE(is_filled(piece.start, piece.size, piece.seed));
        if (random() % 4 == 0 || should) {
            if (random() % 2 == 0)
                piece.size = 1 + random() % 600;
            auto *start = static_cast<char *>(os_malloc(piece.size));
            fill(start, piece.size, piece.seed);
            os_free(piece.start);
            piece.start = start;
        }
        if (i % 5000 == 0) {
            ASSERT_EQ(os_heap_check(), 0);
            os_malloc_trim(0);
        }
    }
    for (const Piece &piece : pieces)
        os_free(piece.start);
    EXPECT_EQ(os_heap_check(), 0);
}

} // namespace
} // namespace osmem
