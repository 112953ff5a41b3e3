/* Several threads on heaps of one's own: with its calls, with plain ones, while others come and go.
 */
#include "test/core/blocks.h"
#include "test/heaps/own.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace osmem {
namespace {

void join(std::vector<std::thread> &threads) {
    for (std::thread &thread : threads)
        thread.join();
}

struct Piece {
    char *start = nullptr;
    size_t size = 0;
    uint64_t seed = 0;
};

void expect_filled(const Piece &piece) {
    ASSERT_TRUE(is_filled(piece.start, piece.size, piece.seed));
}

void churn(os_heap *heap, uint64_t seed, size_t steps) {
    Random random(seed);
    std::vector<Piece> pieces(150);
    for (size_t i = 0; i < steps && !testing::Test::HasFailure(); i++) {
        Piece &piece = pieces[random.below(pieces.size())];
        size_t size = random.one_in(200) ? 200000 : random.spread(1, 4000);
        if (piece.start != nullptr)
            expect_filled(piece);
        if (piece.start != nullptr && random.one_in(3)) {
            auto *moved = static_cast<char *>(os_heap_realloc(heap, piece.start, size));
            ASSERT_TRUE(is_filled(moved, std::min(size, piece.size), piece.seed));
            piece.start = moved;
        } else {
            if (random.one_in(2))
                os_free(piece.start);
            else
                os_heap_free(heap, piece.start);
            piece.start = static_cast<char *>(os_heap_malloc(heap, size));
        }
        piece.size = size;
        piece.seed = seed << 32 | i;
        fill(piece.start, size, piece.seed);
    }
    for (const Piece &piece : pieces) {
        if (piece.start != nullptr)
            expect_filled(piece);
        os_free(piece.start);
    }
}

CHILD_TEST(OwnThreads, ShareAHeap) {
    os_heap *heap = os_heap_create(nullptr);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; i++)
        threads.emplace_back(churn, heap, i, scaled(IS_TSAN ? 3000 : 20000));
    join(threads);
    os_stats stats = stats_of(heap);
    EXPECT_EQ(stats.allocated, 0u);
    EXPECT_EQ(stats.mapped, 0u);
    EXPECT_EQ(os_heap_check(), 0);
    os_heap_destroy(heap);
}

/* Frees by plain os_free that the heap has not taken in yet die with it. */
CHILD_TEST(OwnThreads, FreesOfOthersMayBePendingAtTheEnd) {
    for (int round = 0; round < 20; round++) {
        os_heap *heap = os_heap_create(nullptr);
        std::vector<void *> blocks;
        for (size_t i = 0; i < 3000; i++)
            blocks.push_back(os_heap_malloc(heap, 1 + i % 3000));
        std::vector<std::thread> threads;
        for (size_t t = 0; t < 2; t++) {
            threads.emplace_back([&, t] {
                for (size_t i = t; i < blocks.size(); i += 3)
                    os_free(blocks[i]);
            });
        }
        join(threads);
        EXPECT_EQ(stats_of(heap).allocated_blocks, 1000u);
        os_heap_destroy(heap);
        /* Its addresses serve again, with nothing pending. */
        heap = os_heap_create(nullptr);
        for (size_t i = 0; i < 100; i++)
            blocks[i] = os_heap_malloc(heap, 1 + i % 3000);
        EXPECT_EQ(stats_of(heap).allocated_blocks, 100u);
        EXPECT_EQ(os_heap_check(), 0);
        os_heap_destroy(heap);
    }
}

/* Each thread has heaps of its own, while one looks at all of them. */
CHILD_TEST(OwnThreads, MakeAndDestroyHeapsWhileOthersLook) {
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; t++) {
        threads.emplace_back([t] {
            Random random(t);
            for (size_t i = 0; i < scaled(150); i++) {
                os_heap *heap = create(capped(2 * MIB));
                for (size_t j = 0; j < 100; j++)
                    EXPECT_NE(os_heap_malloc(heap, random.spread(1, 3000)), nullptr);
                os_free(os_malloc(500));
                void *mapped = os_heap_malloc(heap, MIB);
                EXPECT_NE(mapped, nullptr);
                EXPECT_EQ(stats_of(heap).mapped_blocks, 1u);
                EXPECT_EQ(stats_of(heap).allocated_blocks, 100u);
                os_heap_destroy(heap);
            }
        });
    }
    std::thread looks([&] {
        while (!done) {
            os_stats stats;
            os_malloc_stats(&stats);
            ASSERT_EQ(os_heap_check(), 0);
            os_heap_walk([](const os_block *, void *) { return 0; }, nullptr);
        }
    });
    join(threads);
    done = true;
    looks.join();
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LE(stats.heaps, 5u);
    EXPECT_EQ(stats.mapped_blocks, 0u);
}

/* A cap with a callback that frees what a cache holds, from whichever thread hits it. */
struct Cache {
    std::mutex mutex;
    std::vector<void *> blocks;
    size_t evictions = 0;
};

int evict(os_heap *heap, size_t, void *context) {
    auto *cache = static_cast<Cache *>(context);
    std::lock_guard<std::mutex> lock(cache->mutex);
    for (size_t i = 0; i < 20 && !cache->blocks.empty(); i++) {
        os_heap_free(heap, cache->blocks.back());
        cache->blocks.pop_back();
    }
    cache->evictions++;
    return 1;
}

CHILD_TEST(OwnThreads, EvictFromACacheAtTheCap) {
    Cache cache;
    os_heap_options with = capped(256 * KIB);
    with.exhausted = evict;
    with.context = &cache;
    os_heap *heap = create(with);
    std::vector<std::thread> threads;
    std::atomic<size_t> refused{0};
    for (uint64_t t = 0; t < 3; t++) {
        threads.emplace_back([&, t] {
            Random random(t);
            for (size_t i = 0; i < scaled(3000); i++) {
                void *block = os_heap_malloc(heap, random.between(1, 3000));
                refused += block == nullptr;
                std::lock_guard<std::mutex> lock(cache.mutex);
                if (block != nullptr)
                    cache.blocks.push_back(block);
            }
        });
    }
    join(threads);
    EXPECT_GT(cache.evictions, 0u);
    EXPECT_LT(refused, scaled(3000) / 10);
    EXPECT_LE(bounded_bytes(heap), 256 * KIB);
    EXPECT_EQ(os_heap_check_of(heap), 0);
    EXPECT_EQ(stats_of(heap).allocated_blocks, cache.blocks.size());
    os_heap_destroy(heap);
}

} // namespace
} // namespace osmem
