/* Looking at heaps while their threads go on: statistics, walks, checks, trims. */
#include "test/core/blocks.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace osmem {
namespace {

/* Runs `work` in threads, time after time, while `look` is called for about two seconds. */
void while_working(size_t threads, const std::function<void(Random &)> &work,
                   const std::function<void()> &look) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> workers;
    uint64_t seed = test_seed();
    for (size_t i = 0; i < threads; i++) {
        workers.emplace_back([&, i] {
            Random random(seed + i);
            while (!stop)
                work(random);
        });
    }
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (!testing::Test::HasFailure() && std::chrono::steady_clock::now() < end)
        look();
    stop = true;
    for (std::thread &worker : workers)
        worker.join();
}

/* Blocks of all sizes of the heap, split and merged all the time. */
void churn(Random &random) {
    void *blocks[40] = {};
    for (int i = 0; i < 400; i++) {
        void *&block = blocks[random.below(40)];
        if (random.one_in(3))
            block = os_realloc(block, random.between(1, 120000));
        else
            os_free(std::exchange(block, os_malloc(random.spread(1, 120000))));
    }
    for (void *block : blocks)
        os_free(block);
}

CHILD_TEST(Watch, WalksEndAndStayInsideTheRegions) {
    while_working(2, churn, [] {
        os_heap_walk(
            [](const os_block *block, void *) {
                if (block->kind < OS_BLOCK_MAPPED) {
                    auto start = reinterpret_cast<uintptr_t>(block->address);
                    EXPECT_LE(start % REGION_BYTES + block->size, REGION_BYTES);
                    EXPECT_EQ(block->size % GRANULE_BYTES, 0u);
                }
                return 0;
            },
            nullptr);
    });
}

CHILD_TEST(Watch, StatisticsStayWithinTheHeap) {
    while_working(2, churn, [] {
        os_stats stats;
        os_malloc_stats(&stats);
        EXPECT_LE(stats.allocated, 16 * REGION_BYTES);
        EXPECT_LE(stats.free, 16 * REGION_BYTES);
        EXPECT_LE(stats.untouched, 16 * REGION_BYTES);
        EXPECT_LE(stats.allocated_blocks + stats.free_blocks, 16 * REGION_GRANULES);
    });
}

CHILD_TEST(Watch, ChecksHoldWhileOthersResizeMappedBlocks) {
    auto resize = [](Random &random) {
        void *block = os_malloc(200 * KIB);
        for (int i = 0; i < 50; i++)
            block = os_realloc(block, random.between(128 * KIB, 2 * MIB));
        os_free(block);
    };
    while_working(1, resize, [] { ASSERT_EQ(os_heap_check(), 0); });
}

CHILD_TEST(Watch, MappedBlocksAreListedWhileTheyAreResized) {
    /* Odd while a block lives. */
    std::atomic<size_t> changes{0};
    auto resize = [&](Random &random) {
        void *block = os_malloc(200 * KIB);
        changes++;
        for (int i = 0; i < 50; i++)
            block = os_realloc(block, random.between(128 * KIB, 2 * MIB));
        changes++;
        os_free(block);
    };
    while_working(1, resize, [&] {
        size_t before = changes;
        os_stats stats;
        os_malloc_stats(&stats);
        if (before % 2 == 1 && before == changes) {
            /* Never none; old and new where the kernel cannot resize the mapping. */
            EXPECT_GE(stats.mapped_blocks, 1u);
            EXPECT_LE(stats.mapped_blocks, 2u);
        }
    });
}

CHILD_TEST(Watch, ChecksAndTrimsHoldWhileOthersAllocate) {
    std::vector<void *> own;
    Random random(3);
    while_working(2, churn, [&] {
        own.push_back(os_malloc(random.spread(1, 100000)));
        if (own.size() > 200) {
            for (void *block : own)
                os_free(block);
            own.clear();
            os_malloc_trim(0);
        }
        ASSERT_EQ(os_heap_check(), 0);
    });
}

/* Regions of one heap lie beside those of others, and the break is extended by all. */
CHILD_TEST(Watch, HeapsGrowTogether) {
    for (size_t round = 0; round < scaled(40); round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; i++) {
            threads.emplace_back([] {
                std::vector<void *> blocks;
                for (int j = 0; j < 200; j++)
                    blocks.push_back(os_malloc(20000));
                for (void *block : blocks)
                    os_free(block);
            });
        }
        std::vector<void *> blocks;
        for (int j = 0; j < 200; j++)
            blocks.push_back(os_malloc(20000));
        for (void *block : blocks)
            os_free(block);
        for (std::thread &thread : threads)
            thread.join();
        ASSERT_EQ(os_heap_check(), 0);
    }
}

/* The first region is committed whole when another thread's begins behind it. */
CHILD_TEST(Watch, AHeapKnowsWhatAnotherThreadCommittedForIt) {
    os_free(os_malloc(1));
    std::thread([] { os_free(os_malloc(1)); }).join();
    std::vector<void *> blocks;
    for (int i = 0; i < 30; i++)
        blocks.push_back(os_malloc(100000));
    size_t granules = 0;
    for (region *each = thread_heap->regions; each != nullptr; each = each->next)
        granules += each->committed;
    EXPECT_EQ(thread_heap->granules, granules);
}

} // namespace
} // namespace osmem
