/* Free neighbours count as one block, in whatever order they were freed. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace osmem {
namespace {

using Sizes = std::vector<size_t>; /* granules */

size_t sum(const Sizes &sizes) { return std::accumulate(sizes.begin(), sizes.end(), size_t{0}); }

/* Neighbours in order of address, from a hole of just their sum at `start`, or the untouched end.
 */
std::vector<char *> allocate_neighbours(const Sizes &sizes, char *start) {
    std::vector<char *> blocks;
    for (size_t granules : sizes) {
        blocks.push_back(allocate(granules));
        EXPECT_EQ(blocks.back(), start);
        start += granules * GRANULE_BYTES;
    }
    return blocks;
}

/* All orders of freeing; each time one request of the sum gets the place of all. */
void expect_all_orders(const Sizes &sizes, bool beside_the_end) {
    ASSERT_NE(allocate(5), nullptr);
    char *start = allocate(sum(sizes));
    if (!beside_the_end) {
        ASSERT_NE(allocate(5), nullptr);
    }
    os_free(start);
    std::vector<size_t> order(sizes.size());
    std::iota(order.begin(), order.end(), 0);
    size_t rounds = 0;
    do {
        if (is_paranoid() && rounds++ % 11 != 0)
            continue;
        std::vector<char *> blocks = allocate_neighbours(sizes, start);
        for (size_t index : order)
            os_free(blocks[index]);
        char *all = allocate(sum(sizes));
        ASSERT_EQ(all, start) << "order " << testing::PrintToString(order);
        os_free(all);
    } while (std::next_permutation(order.begin(), order.end()));
    ASSERT_EQ(os_heap_check(), 0);
}

class CoalesceOrders : public testing::TestWithParam<Sizes> {
  protected:
    /* The parameter reaches the child with its memory. */
    static Sizes sizes;
};
Sizes CoalesceOrders::sizes;

TEST_P(CoalesceOrders, AllGiveOneBlock) {
    sizes = GetParam();
    run_isolated([] { expect_all_orders(sizes, false); });
}
TEST_P(CoalesceOrders, AllGiveOneBlockBesideTheUntouchedEnd) {
    sizes = GetParam();
    run_isolated([] { expect_all_orders(sizes, true); });
}

INSTANTIATE_TEST_SUITE_P(Small, CoalesceOrders,
                         testing::Values(Sizes{1, 1, 1, 1, 1, 1}, Sizes{1, 2, 3, 4, 5, 6},
                                         Sizes{64, 1, 63, 2, 64, 17}, Sizes{64, 64, 64, 64, 64}));
INSTANTIATE_TEST_SUITE_P(Medium, CoalesceOrders,
                         testing::Values(Sizes{65, 66, 97, 129, 500, 2047},
                                         Sizes{100, 132, 164, 100, 132, 164}));
INSTANTIATE_TEST_SUITE_P(Large, CoalesceOrders,
                         testing::Values(Sizes{2048, 2048, 2049, 2046}, Sizes{3000, 2100, 2500}));
INSTANTIATE_TEST_SUITE_P(Mixed, CoalesceOrders,
                         testing::Values(Sizes{1, 2048, 64, 2047, 65, 2049},
                                         Sizes{2048, 1, 2048, 1, 2048}, Sizes{7, 700, 7000, 70, 1},
                                         Sizes{64, 65, 2047, 2048, 2, 3}));

/* Of six neighbours some are free: every run of those serves one request of its size. */
ISOLATED_TEST(Coalesce, ServesEveryRunOfFreeNeighbours) {
    const Sizes sizes = {3, 64, 100, 2048, 65, 1};
    std::mt19937_64 random(61);
    ASSERT_NE(allocate(1), nullptr);
    char *start = allocate(sum(sizes));
    ASSERT_NE(allocate(1), nullptr);
    os_free(start);
    for (unsigned mask = 1; mask < 64; mask++) {
        for (size_t from = 0; from < 6; from++) {
            std::vector<char *> blocks = allocate_neighbours(sizes, start);
            size_t to = from, run = 0;
            while (to < 6 && mask >> to & 1)
                run += sizes[to++];
            bool is_run = to != from && (from == 0 || !(mask >> (from - 1) & 1));
            std::vector<size_t> order;
            for (size_t i = 0; i < 6; i++) {
                if (mask >> i & 1)
                    order.push_back(i);
            }
            std::shuffle(order.begin(), order.end(), random);
            for (size_t i : order)
                os_free(blocks[i]);
            if (is_run) {
                std::vector<Block> lie = free_blocks();
                char *ptr = allocate(run);
                bool fits_alone = std::any_of(lie.begin(), lie.end(), [&](const Block &block) {
                    return block.granules() >= run;
                });
                if (!fits_alone) {
                    EXPECT_EQ(ptr, blocks[from]) << "mask " << mask << " from " << from;
                }
                EXPECT_TRUE(ptr >= start && ptr < start + sum(sizes) * GRANULE_BYTES);
                os_free(ptr);
            }
            for (size_t i = 0; i < 6; i++) {
                if (!(mask >> i & 1))
                    os_free(blocks[i]);
            }
            char *all = allocate(sum(sizes));
            ASSERT_EQ(all, start) << "mask " << mask << " from " << from;
            os_free(all);
        }
    }
}

/* Everything freed is the untouched end again. */
ISOLATED_TEST(Coalesce, ReachesTheUntouchedEnd) {
    std::mt19937_64 random(62);
    char *first = allocate(1);
    os_free(first);
    std::vector<char *> blocks;
    for (size_t i = 0; i < 500; i++)
        blocks.push_back(allocate(1 + random() % 200));
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (char *block : blocks)
        os_free(block);
    os_malloc_trim(0); /* merges all */
    EXPECT_TRUE(free_blocks().empty());
    EXPECT_EQ(untouched_end().start, first);
}

/*
 * The heap is full to its last granule, then blocks are freed in random order: requests that fit
 * into merged neighbours never move the break.
 */
void expect_no_growth(size_t granules, size_t count, size_t wanted) {
    std::mt19937_64 random(63 + granules);
    std::vector<char *> blocks;
    for (size_t i = 0; i < count; i++)
        blocks.push_back(static_cast<char *>(os_malloc(granules * GRANULE_BYTES)));
    exhaust_heap();
    ASSERT_EQ(untouched_end().size, 0u);
    size_t sbrk_before = kernel::count(kernel::SBRK).calls;
    size_t mmap_before = kernel::count(kernel::MMAP).bytes;
    os_stats before;
    os_malloc_stats(&before);
    std::shuffle(blocks.begin(), blocks.end(), random);
    blocks.resize(count * 3 / 4);
    for (char *block : blocks)
        os_free(block);
    size_t requests = 0;
    for (;;) {
        size_t largest = 0;
        for (const Block &run : free_runs())
            largest = std::max(largest, run.granules());
        if (largest < wanted)
            break;
        ASSERT_NE(allocate(wanted), nullptr);
        requests++;
        ASSERT_EQ(kernel::count(kernel::SBRK).calls, sbrk_before) << "request " << requests;
    }
    EXPECT_GT(requests, 0u);
    if (!is_paranoid()) {
        /* Memory for the index alone. */
        EXPECT_LE(kernel::count(kernel::MMAP).bytes - mmap_before, before.heap / 64 + 64 * KIB);
    }
}

ISOLATED_TEST(Coalesce, GoesBeforeGrowthInASmallHeap) { expect_no_growth(2, 2000, 10); }
ISOLATED_TEST(Coalesce, GoesBeforeGrowthInALargeHeap) { expect_no_growth(50, scaled(8000), 150); }
ISOLATED_TEST(Coalesce, GoesBeforeGrowthOfMediumBlocks) { expect_no_growth(300, 1000, 900); }
ISOLATED_TEST(Coalesce, GoesBeforeGrowthOfLargeBlocks) { expect_no_growth(2100, 600, 6000); }

/* In a heap of many small blocks all of it can be had again in the largest blocks. */
ISOLATED_TEST(Coalesce, GivesTheWholeHeapBack) {
    std::vector<char *> blocks;
    for (size_t i = 0; i < scaled(40000); i++)
        blocks.push_back(allocate(1 + i % 9));
    exhaust_heap();
    os_stats before;
    os_malloc_stats(&before);
    size_t sbrk_before = kernel::count(kernel::SBRK).calls;
    for (const Block &block : osmem::blocks()) {
        if (block.kind == OS_BLOCK_USED)
            os_free(block.start);
    }
    size_t served = 0;
    while (served + 8000 * GRANULE_BYTES + MMAP_THRESHOLD < before.allocated) {
        ASSERT_NE(allocate(8000), nullptr);
        served += 8000 * GRANULE_BYTES;
        ASSERT_EQ(kernel::count(kernel::SBRK).calls, sbrk_before) << served;
        if (before.heap > REGION_BYTES && served > before.allocated * 9 / 10)
            break; /* what is left at the regions' ends */
    }
}

/* While some blocks stay unmerged, that is a bounded part of the heap. */
ISOLATED_TEST(Coalesce, LeavesABoundedPartUnmerged) {
    std::vector<char *> blocks;
    for (size_t i = 0; i < scaled(20000); i++)
        blocks.push_back(allocate(1 + i % 300));
    ASSERT_NE(allocate(1), nullptr);
    for (char *block : blocks)
        os_free(block);
    os_stats stats;
    os_malloc_stats(&stats);
    size_t unmerged = 0;
    std::vector<Block> found = osmem::blocks();
    for (size_t i = 1; i < found.size(); i++) {
        if (found[i].kind == OS_BLOCK_FREE && found[i - 1].kind == OS_BLOCK_FREE)
            unmerged += std::min(found[i - 1].size, found[i].size);
    }
    EXPECT_LE(unmerged, stats.heap / 4 + 2 * size_t{QUICK_BYTES} * QUICK_MAX);
}

/* As after a fork that cut the heap's thread short. */
ISOLATED_TEST(Recovered, HeapMergesWhatIsFreedLater) {
    std::vector<char *> blocks;
    for (size_t i = 0; i < 8; i++)
        blocks.push_back(allocate(3));
    heap_recover(thread_heap);
    os_free(blocks[2]);
    os_free(blocks[3]);
    merge_all();
    EXPECT_EQ(block_at(blocks[2]).granules(), 6u);
}

ISOLATED_TEST(Recovered, HeapGrowsWhereItGrew) {
    allocate(1);
    std::thread([] { os_free(allocate(1)); }).join();
    exhaust_heap();
    allocate(1); /* of the other heap, which is adopted: its region is the first now */
    struct region *current = thread_heap->regions->next;
    ASSERT_NE(current, nullptr);
    thread_heap->current = current;
    heap_recover(thread_heap);
    EXPECT_EQ(thread_heap->current, current);
}

} // namespace
} // namespace osmem
