/* The end of threads: destructors that allocate, heaps that find a new owner, memory that is used
 * again. */
#include "test/core/blocks.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

os_stats stats_now() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats;
}

void use_heap() { os_free(os_malloc(1000)); }

/* ---- destructors ------------------------------------------------------------------------------
 */

pthread_key_t late_key;

/* Asks to be called again as often as the C library allows. */
void allocate_late(void *block) {
    os_free(block);
    pthread_setspecific(late_key, os_malloc(100));
}

CHILD_TEST(ThreadExit, DestructorsMayAllocateToTheLast) {
    use_heap();
    ASSERT_EQ(pthread_key_create(&late_key, allocate_late), 0);
    for (size_t i = 0; i < scaled(1000); i++)
        std::thread([] { pthread_setspecific(late_key, os_malloc(100)); }).join();
    os_stats stats = stats_now();
    EXPECT_LE(stats.heaps, 3u) << "heaps of ended threads are lost";
    EXPECT_EQ(os_heap_check(), 0);
}

/* As above, with a key that is older than the allocator's. */
CHILD_TEST(ThreadExit, DestructorsOfOlderKeysMayAllocateToTheLast) {
    ASSERT_EQ(pthread_key_create(&late_key, allocate_late), 0);
    use_heap();
    for (size_t i = 0; i < scaled(1000); i++)
        std::thread([] { pthread_setspecific(late_key, os_malloc(100)); }).join();
    EXPECT_LE(stats_now().heaps, 3u) << "heaps of ended threads are lost";
}

struct Keeper {
    char *block = nullptr;
    ~Keeper() {
        EXPECT_TRUE(is_filled(block, 500, 5));
        os_free(block);
        os_free(os_realloc(os_malloc(40000), 300000));
    }
};
thread_local Keeper keeper;

CHILD_TEST(ThreadExit, ThreadLocalObjectsMayFreeAndAllocate) {
    for (size_t i = 0; i < scaled(1000); i++) {
        std::thread([] {
            keeper.block = static_cast<char *>(os_malloc(500));
            fill(keeper.block, 500, 5);
        }).join();
    }
    keeper.block = static_cast<char *>(os_malloc(500));
    fill(keeper.block, 500, 5);
    EXPECT_LE(stats_now().heaps, 2u);
    EXPECT_EQ(stats_now().allocated_blocks, 1u);
}

/* Nothing of ours may land in a key of the program's. */
CHILD_TEST(ThreadExit, AProgramMayUseAllKeys) {
    std::vector<pthread_key_t> keys;
    pthread_key_t key;
    while (pthread_key_create(&key, nullptr) == 0)
        keys.push_back(key);
    ASSERT_FALSE(keys.empty());
    std::thread([&] {
        for (pthread_key_t each : keys)
            pthread_setspecific(each, &keys);
        use_heap();
        for (pthread_key_t each : keys)
            EXPECT_EQ(pthread_getspecific(each), &keys) << "key " << each;
    }).join();
}

/* The heap of the thread that the child is left with is not taken for one of an ended thread. */
CHILD_TEST(ThreadExit, AProgramMayUseAllKeysAndFork) {
    pthread_key_t key;
    while (pthread_key_create(&key, nullptr) == 0) {
    }
    use_heap();
    pid_t child = fork();
    if (child == 0) {
        struct heap *mine = thread_heap;
        std::thread([=] {
            use_heap();
            EXPECT_NE(thread_heap, mine);
        }).join();
        use_heap();
        EXPECT_EQ(os_heap_check(), 0);
        end_child();
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    for (int i = 0; i < 20; i++)
        std::thread(use_heap).join();
    EXPECT_LE(stats_now().heaps, 3u) << "heaps of ended threads are lost";
}

/* ---- memory of ended threads -------------------------------------------------------------------
 */

CHILD_TEST(ThreadExit, TenThousandThreadsNeedTheMemoryOfAFew) {
    Random random(11);
    for (size_t i = 0; i < scaled(10000) / 4; i++) {
        std::vector<std::thread> threads;
        for (int j = 0; j < 4; j++) {
            threads.emplace_back([seed = random.next()] {
                Random sizes(seed);
                void *blocks[50];
                for (void *&block : blocks)
                    block = os_malloc(sizes.spread(1, 20000));
                for (void *block : blocks)
                    os_free(block);
            });
        }
        for (std::thread &thread : threads)
            thread.join();
    }
    os_stats stats = stats_now();
    EXPECT_LE(stats.heaps, 5u);
    EXPECT_LE(stats.heap, 5 * REGION_BYTES);
    EXPECT_EQ(stats.allocated_blocks, 0u);
    EXPECT_EQ(os_heap_check(), 0);
}

/* Main grows now and then, and so takes over what the threads left behind. */
CHILD_TEST(ThreadExit, AdoptionKeepsTheHeapBounded) {
    std::vector<void *> kept;
    size_t kept_bytes = 0;
    for (size_t i = 0; i < scaled(1000); i++) {
        std::thread([] {
            std::vector<void *> blocks(200);
            for (void *&block : blocks)
                block = os_malloc(5000);
            for (void *block : blocks)
                os_free(block);
        }).join();
        for (int j = 0; j < 10; j++)
            kept.push_back(os_malloc(3000));
        kept_bytes += 10 * 3008;
    }
    EXPECT_LE(stats_now().heap, kept_bytes * 5 / 4 + 4 * REGION_BYTES);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(ThreadExit, WhatOthersFreedIsMergedByTrim) {
    use_heap();
    std::vector<void *> blocks(15000);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 3; i++) {
        threads.emplace_back([&, i] {
            for (size_t j = 0; j < 5000; j++)
                blocks[i * 5000 + j] = memset(os_malloc(200), 1, 200);
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    for (void *block : blocks)
        os_free(block);
    size_t before = stats_now().resident;
    EXPECT_EQ(os_malloc_trim(0), 1);
    os_stats stats = stats_now();
    EXPECT_EQ(stats.allocated_blocks, 0u);
    EXPECT_LE(stats.free_blocks, 2 * stats.heap / REGION_BYTES + 2);
    EXPECT_LE(stats.resident + 13000 * 208, before);
    EXPECT_EQ(os_heap_check(), 0);
}

/* A block freed by another thread before its own thread ended is neither lost nor freed twice. */
CHILD_TEST(ThreadExit, FreesDuringTheEndAreNotLost) {
    for (size_t round = 0; round < scaled(2000); round++) {
        std::vector<void *> blocks(64);
        std::atomic<bool> filled{false};
        std::thread owner([&] {
            for (void *&block : blocks)
                block = os_malloc(64);
            filled = true;
        });
        while (!filled)
            std::this_thread::yield();
        for (void *block : blocks)
            os_free(block);
        owner.join();
    }
    EXPECT_EQ(stats_now().allocated_blocks, 0u);
    EXPECT_LE(stats_now().heap, 3 * REGION_BYTES);
    EXPECT_EQ(os_heap_check(), 0);
}

/* ---- larson ---------------------------------------------------------------------------------- */

struct Piece {
    char *start = nullptr;
    size_t size = 0;
    uint64_t seed = 0;
};

void replace(std::vector<Piece> &pieces, Random &random, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Piece &piece = pieces[random.below(pieces.size())];
        if (piece.start != nullptr && random.one_in(4)) {
            size_t size = random.spread(8, 4000);
            auto moved = static_cast<char *>(os_realloc(piece.start, size));
            ASSERT_TRUE(is_filled(moved, std::min(size, piece.size), piece.seed));
            piece = {moved, size, random.next()};
        } else {
            ASSERT_TRUE(is_filled(piece.start, piece.size, piece.seed));
            os_free(piece.start);
            size_t size = random.spread(8, 1000);
            piece = {static_cast<char *>(os_malloc(size)), size, random.next()};
        }
        fill(piece.start, piece.size, piece.seed);
    }
}

/*
 * After Larson and Krishnan (1998), "Memory Allocation for Long-Running Server Applications": each
 * thread hands its blocks to the next one and ends.
 */
CHILD_TEST(ThreadExit, BlocksAreHandedFromThreadToThread) {
    uint64_t seed = test_seed();
    std::vector<std::thread> lines;
    for (uint64_t line = 0; line < 3; line++) {
        lines.emplace_back([=] {
            std::vector<Piece> pieces(500);
            for (uint64_t generation = 0; generation < scaled(400); generation++) {
                std::thread([&] {
                    Random random(seed + line * 1000000 + generation);
                    replace(pieces, random, 500);
                }).join();
            }
            for (const Piece &piece : pieces)
                os_free(piece.start);
        });
    }
    for (std::thread &line : lines)
        line.join();
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats = stats_now();
    EXPECT_EQ(stats.allocated_blocks, 0u);
    /* At most three generations and three lines at a time, and this thread. */
    EXPECT_LE(stats.heaps, 12u);
    EXPECT_LE(stats.heap, 12 * REGION_BYTES);
}

} // namespace
} // namespace osmem
