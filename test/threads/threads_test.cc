/* Several threads: contents kept, frees of others' blocks taken in, heaps of ended threads used. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <pthread.h>
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

Piece make(std::mt19937_64 &random, size_t most) {
    size_t size = 1 + random() % most;
    Piece piece{static_cast<char *>(os_malloc(size)), size, random()};
    fill(piece.start, size, piece.seed);
    return piece;
}

void verify_and_free(const Piece &piece) {
    ASSERT_TRUE(is_filled(piece.start, piece.size, piece.seed));
    os_free(piece.start);
}

void churn(uint64_t seed, size_t steps) {
    std::mt19937_64 random(seed);
    std::vector<Piece> pieces;
    for (size_t i = 0; i < steps; i++) {
        if (pieces.size() < 200 || (pieces.size() < 400 && random() % 2)) {
            pieces.push_back(make(random, random() % 50 == 0 ? 300000 : 3000));
        } else {
            std::swap(pieces[random() % pieces.size()], pieces.back());
            verify_and_free(pieces.back());
            pieces.pop_back();
        }
    }
    for (const Piece &piece : pieces)
        verify_and_free(piece);
}

CHILD_TEST(Threads, WorkOnTheirOwn) {
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; i++)
        threads.emplace_back(churn, i, scaled(40000));
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_blocks, 0u);
}

/* A queue between threads; what a user would write. */
class Queue {
  public:
    void push(const Piece &piece) {
        std::lock_guard<std::mutex> lock(mutex_);
        pieces_.push_back(piece);
    }
    bool pop(Piece &piece) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (pieces_.empty())
            return false;
        piece = pieces_.back();
        pieces_.pop_back();
        return true;
    }

  private:
    std::mutex mutex_;
    std::vector<Piece> pieces_;
};

CHILD_TEST(Threads, FreeWhatAnotherAllocates) {
    Queue queue;
    std::atomic<bool> done{false};
    std::thread producer([&] {
        std::mt19937_64 random(1);
        for (size_t i = 0; i < scaled(200000); i++)
            queue.push(make(random, 500));
        done = true;
    });
    std::vector<std::thread> consumers;
    for (int i = 0; i < 2; i++) {
        consumers.emplace_back([&] {
            Piece piece;
            for (bool last = false; !last;) {
                last = done;
                while (queue.pop(piece))
                    verify_and_free(piece);
            }
        });
    }
    producer.join();
    for (std::thread &thread : consumers)
        thread.join();
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Threads, PassBlocksInARing) {
    constexpr size_t COUNT = 4;
    Queue queues[COUNT];
    std::vector<std::thread> threads;
    for (size_t i = 0; i < COUNT; i++) {
        threads.emplace_back([&, i] {
            std::mt19937_64 random(i);
            Piece piece;
            for (size_t step = 0; step < scaled(40000); step++) {
                queues[(i + 1) % COUNT].push(make(random, 2000));
                if (queues[i].pop(piece))
                    verify_and_free(piece);
            }
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    for (Queue &queue : queues) {
        Piece piece;
        while (queue.pop(piece))
            verify_and_free(piece);
    }
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Threads, BoundedMemoryInALongProducerConsumerRun) {
    for (size_t round = 0; round < scaled(300); round++) {
        std::vector<void *> blocks;
        for (int i = 0; i < 2000; i++)
            blocks.push_back(os_malloc(100));
        std::thread([&] {
            for (void *block : blocks)
                os_free(block);
        }).join();
    }
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LT(stats.heap, 16 * MIB) << "200 KB are live at most";
}

CHILD_TEST(Threads, EndedOnesLeaveTheirHeapsToNewOnes) {
    for (size_t i = 0; i < scaled(3000); i++)
        std::thread([] { os_free(os_malloc(1000)); }).join();
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LE(stats.heaps, 2u);
}

CHILD_TEST(Threads, AGrowingHeapTakesOverParkedOnes) {
    std::thread([] {
        std::vector<void *> blocks;
        for (int i = 0; i < 4000; i++)
            blocks.push_back(os_malloc(10000));
        for (void *block : blocks)
            os_free(block);
    }).join();
    os_stats before, after;
    os_malloc_stats(&before);
    size_t taken = 0;
    while (taken < before.free * 8 / 10 && os_malloc(9000) != nullptr)
        taken += 9008;
    os_malloc_stats(&after);
    EXPECT_LT(after.heap, before.heap + 6 * MIB) << "40 MB of the ended thread were there";
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Threads, BlocksOutliveTheirThread) {
    std::vector<Piece> pieces;
    for (uint64_t i = 0; i < 50; i++) {
        std::thread([&] {
            std::mt19937_64 random(i);
            for (int j = 0; j < 20; j++)
                pieces.push_back(make(random, 5000));
        }).join();
    }
    for (const Piece &piece : pieces)
        verify_and_free(piece);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Threads, ResizeAndMeasureBlocksOfOthers) {
    std::mt19937_64 random(9);
    Piece piece = make(random, 3000);
    std::thread([&] {
        EXPECT_EQ(os_malloc_usable_size(piece.start), align_up(piece.size, 16));
        for (size_t size : {10000u, 200000u, 50u, 5000u}) {
            size_t kept = std::min(piece.size, size);
            piece.start = static_cast<char *>(os_realloc(piece.start, size));
            ASSERT_TRUE(is_filled(piece.start, kept, piece.seed));
            piece.size = kept;
        }
    }).join();
    verify_and_free(piece);
}

CHILD_TEST(Threads, CanFreeWithoutAHeapOfTheirOwn) {
    void *blocks[100];
    for (void *&block : blocks)
        block = os_malloc(64);
    std::thread([&] {
        for (void *block : blocks)
            os_free(block);
        EXPECT_EQ(thread_heap, &thread_no_heap);
    }).join();
    thread_take_in(thread_heap);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Threads, WhatOthersFreeInManyRegionsIsAllTakenIn) {
    std::vector<void *> blocks;
    for (size_t i = 0; i < 5 * REGION_BYTES / (100 * KIB); i++)
        blocks.push_back(os_malloc(100 * KIB));
    std::thread([&] {
        for (void *block : blocks)
            os_free(block);
    }).join();
    thread_take_in(thread_heap);
    for (void *block : blocks)
        EXPECT_FALSE(thread_freed_remotely(block));
    EXPECT_EQ(os_heap_check(), 0);
}

TEST(Threads, DoubleFreesAcrossThreadsAreCaught) {
    using Free = void (*)(void *);
    Free here = [](void *ptr) { os_free(ptr); };
    Free there = [](void *ptr) { std::thread([=] { os_free(ptr); }).join(); };
    for (Free first : {here, there}) {
        for (Free second : {here, there}) {
            if (first == here && second == here)
                continue;
            Ended ended = run_child([&] {
                void *block = os_malloc(80);
                void *neighbour = os_malloc(16);
                first(block);
                second(block);
                os_free(neighbour);
            });
            EXPECT_TRUE(ended.died_of("os_free", "is already free")) << ended;
        }
    }
}

/* Destructors that run after ours allocate and free. */
static pthread_key_t late_key;
static void late(void *rounds) {
    os_free(os_malloc(100));
    os_free(os_malloc(1 << 20));
    size_t left = reinterpret_cast<size_t>(rounds);
    if (left > 1)
        pthread_setspecific(late_key, reinterpret_cast<void *>(left - 1));
}

CHILD_TEST(Threads, AllocateInDestructorsOfThreadExit) {
    os_free(os_malloc(1));
    ASSERT_EQ(pthread_key_create(&late_key, late), 0);
    for (size_t i = 0; i < scaled(500); i++) {
        std::thread([] {
            os_malloc_usable_size(os_malloc(10));
            pthread_setspecific(late_key, reinterpret_cast<void *>(3));
        }).join();
    }
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LE(stats.heaps, 3u);
}

void *small_work(void *) {
    for (size_t size = 1; size < 300000; size += size / 3 + 1)
        os_free(os_malloc(size));
    return nullptr;
}

CHILD_TEST(Threads, RunOnTheSmallestStacks) {
    if (IS_TSAN || IS_ASAN)
        return;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, 16384), 0);
    for (size_t i = 0; i < 100; i++) {
        pthread_t thread;
        ASSERT_EQ(pthread_create(&thread, &attributes, small_work, nullptr), 0);
        pthread_join(thread, nullptr);
    }
}

} // namespace
} // namespace osmem
