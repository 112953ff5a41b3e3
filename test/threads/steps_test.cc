/*
 * Every moment of an operation, one instruction after the other: what a fork, another thread's call
 * or a walk over the heap makes of it there.
 */
#include "test/core/blocks.h"
#include "test/core/steps.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <csignal>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* A child that cannot be stepped, or would be for hours, is not run. */
#define STEP_TEST(suite, fact)                                                                     \
    static void suite##_##fact##_stepped();                                                        \
    TEST(suite, fact) {                                                                            \
        if (!STEPS_WORK || is_paranoid())                                                          \
            GTEST_SKIP() << "each instruction is stepped, there would be too many";                \
        Ended ended = run_child(suite##_##fact##_stepped);                                         \
        EXPECT_TRUE(ended.well()) << ended;                                                        \
    }                                                                                              \
    static void suite##_##fact##_stepped()

/* In a build that instruments each access only some of the steps. */
Steps each_step(size_t stride = 1) { return {test_seed() % stride, IS_ASAN ? 7 * stride : stride}; }

/* Forks, and returns how the child ended, which runs `body` and ends with what that returns. */
template <typename Body> int in_fork(const Body &body) {
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(body());
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

/* What a child must be able to do: exits with 0 if it can. */
int live_on() {
    int broken = os_heap_check();
    if (broken != 0)
        return broken;
    std::thread([] {
        for (size_t size : {10u, 1000u, 60000u, 200000u})
            os_free(os_realloc(os_malloc(size), size + size / 2));
    }).join();
    std::vector<void *> blocks;
    for (int i = 0; i < 100; i++) {
        blocks.push_back(os_malloc(60000));
        blocks.push_back(os_malloc(16));
        if (blocks.back() == nullptr)
            return 99;
    }
    for (void *block : blocks)
        os_free(block);
    return os_heap_check();
}

/* Forks at each step of `work` in another thread. */
void fork_at_steps(const std::function<void()> &work, Steps steps, int (*child)() = live_on) {
    os_free(os_malloc(1));
    size_t visits = 0;
    size_t count = step_other(
        work,
        [&] {
            visits++;
            if (!testing::Test::HasFailure()) {
                ASSERT_EQ(in_fork(child), 0) << "at visit " << visits;
            }
        },
        steps);
    printf("%zu instructions, %zu forks\n", count, visits);
    EXPECT_EQ(os_heap_check(), 0);
    EXPECT_GT(visits, 0u);
}

/* ---- fork while another thread is at any step ---------------------------------------------------
 */

STEP_TEST(ForkAtEveryStep, OfLocalWork) {
    fork_at_steps(
        [] {
            void *blocks[24] = {};
            Random random(5);
            for (int i = 0; i < 300; i++) {
                void *&block = blocks[random.below(24)];
                if (random.one_in(3))
                    block = os_realloc(block, random.spread(1, 100000));
                else
                    os_free(std::exchange(block, os_malloc(random.spread(1, 100000))));
            }
            for (void *block : blocks)
                os_free(block);
        },
        each_step(97));
}

/* The child keeps the heap of the thread it does not have, as that lay there. */
STEP_TEST(ForkAtEveryStep, LeavesAHeapThatCanBeCounted) {
    fork_at_steps(
        [] {
            void *blocks[8] = {};
            Random random(6);
            for (int i = 0; i < 150; i++) {
                void *&block = blocks[random.below(8)];
                os_free(std::exchange(block, os_malloc(random.between(1, 120000))));
            }
        },
        each_step(31),
        [] {
            alarm(2);
            os_stats stats;
            os_malloc_stats(&stats);
            return stats.allocated + stats.free + stats.untouched <= 8 * REGION_BYTES ? 0 : 97;
        });
}

STEP_TEST(ForkAtEveryStep, OfGrowth) {
    fork_at_steps(
        [] {
            for (int i = 0; i < 100; i++)
                EXPECT_NE(os_malloc(100000), nullptr);
        },
        each_step(29));
}

STEP_TEST(ForkAtEveryStep, OfAMappedBlocksLife) {
    fork_at_steps(
        [] {
            for (int i = 0; i < 2; i++) {
                void *block = os_malloc(200000);
                block = os_realloc(block, 900000);
                block = os_realloc(block, 300000);
                os_free(block);
            }
        },
        each_step(3));
}

pthread_key_t last_key;

STEP_TEST(ForkAtEveryStep, OfAThreadsBeginAndEnd) {
    os_free(os_malloc(1));
    /* Younger than the allocator's key, so its destructor comes later. */
    ASSERT_EQ(pthread_key_create(&last_key, [](void *) { stop_stepping(); }), 0);
    std::vector<void *> blocks(20);
    size_t visits = 0;
    step_other(
        [&] {
            for (size_t i = 0; i < blocks.size(); i++)
                blocks[i] = os_malloc(i * 100 + 1);
            for (size_t i = 0; i < blocks.size(); i += 2)
                os_free(blocks[i]);
        },
        [&] {
            visits++;
            if (!testing::Test::HasFailure()) {
                ASSERT_EQ(in_fork(live_on), 0) << "at visit " << visits;
            }
        },
        each_step(7));
}

/*
 * A free by another thread sets a bit for the block, one for its line, and lists the region. A
 * child in which that thread is no more must not wait for it to go on.
 */
STEP_TEST(ForkAtEveryStep, OfAFreeOfAnotherHeapsBlock) {
    void *first = os_malloc(16), *same_line = os_malloc(16);
    while (region_granule(same_line) / 64 != region_granule(first) / 64) {
        first = same_line;
        same_line = os_malloc(16);
    }
    void *same_word = os_malloc(5000), *elsewhere = os_malloc(100000);
    elsewhere = os_malloc(100000);
    ASSERT_EQ(region_of(first), region_of(elsewhere));
    size_t visits = 0;
    step_other([&] { os_free(first); },
               [&] {
                   visits++;
                   int status = in_fork([&] {
                       std::thread([&] {
                           for (void *block : {same_line, same_word, elsewhere})
                               os_free(block);
                       }).join();
                       thread_take_in(thread_heap);
                       int lost = 0;
                       for (void *block : {same_line, same_word, elsewhere})
                           lost += thread_freed_remotely(block);
                       return lost;
                   });
                   EXPECT_EQ(status, 0)
                       << WEXITSTATUS(status) << " frees are lost at visit " << visits;
               },
               each_step());
    EXPECT_GT(visits, 10u);
}

/* ---- another thread's call at any step
 * ------------------------------------------------------------ */

/*
 * One free of another heap's block for each of its steps: `meanwhile` runs there, and in the end
 * the block must have come back to its heap.
 */
void free_with(const std::function<void(void *)> &meanwhile) {
    os_free(os_malloc(1));
    size_t count = 1;
    for (size_t step = 0; step < count && !testing::Test::HasFailure(); step++) {
        void *block = os_malloc(48);
        count = step_other([=] { os_free(block); }, [=] { meanwhile(block); }, {step, SIZE_MAX});
        thread_take_in(thread_heap);
        EXPECT_FALSE(thread_freed_remotely(block)) << "at step " << step;
        EXPECT_TRUE(tags_is_free(region_of(block)->lines, region_granule(block)));
        EXPECT_EQ(os_heap_check(), 0);
    }
    EXPECT_GT(count, 10u);
}

STEP_TEST(FreeByAnother, IsNotLostWhenItsOwnerTakesInAtAnyStep) {
    free_with([](void *) { thread_take_in(thread_heap); });
}

STEP_TEST(FreeByAnother, IsNotLostWhenAThirdFreesBesideItAtAnyStep) {
    void *beside[2000];
    size_t next = 0;
    for (void *&block : beside)
        block = os_malloc(48);
    free_with([&](void *) {
        std::thread([&] {
            for (int i = 0; i < 2; i++)
                os_free(beside[next++ % 2000]);
        }).join();
    });
    thread_take_in(thread_heap);
    for (size_t i = 0; i < next; i++)
        EXPECT_FALSE(thread_freed_remotely(beside[i]));
}

/* The region passes to this thread's heap between two steps. */
STEP_TEST(FreeByAnother, IsNotLostWhenItsHeapIsAdoptedAtAnyStep) {
    os_free(os_malloc(1));
    size_t count = 1;
    for (size_t step = 0; step < count && !testing::Test::HasFailure(); step++) {
        void *block = nullptr;
        std::thread([&] { block = os_malloc(48); }).join();
        auto adopt = [&] {
            while (region_owner(block) != thread_heap) {
                if (os_malloc(100000) == nullptr)
                    return;
            }
        };
        count = step_other([&] { os_free(block); }, adopt, {step, SIZE_MAX});
        adopt();
        /* The next that is about to grow finds what was listed with the old owner. */
        struct heap *heap = thread_heap;
        for (region *before = heap->regions; heap->regions == before;)
            ASSERT_NE(os_malloc(120000), nullptr);
        thread_take_in(heap);
        EXPECT_FALSE(thread_freed_remotely(block)) << "at step " << step;
        EXPECT_EQ(os_heap_check(), 0);
    }
    EXPECT_GT(count, 10u);
}

/* ---- looking at a heap at any step of its thread
 * ---------------------------------------------------- */

/* Blocks of both sides of LARGE_MIN, split and merged; none moves with its contents. */
void churn_large() {
    void *blocks[12] = {};
    Random random(9);
    for (int i = 0; i < 200; i++) {
        void *&block = blocks[random.below(12)];
        os_free(std::exchange(block, os_malloc(random.between(1, 120000))));
        if (random.one_in(3))
            block = os_realloc(block, os_malloc_usable_size(block) / 2);
    }
    for (void *block : blocks)
        os_free(block);
}

STEP_TEST(LookAtEveryStep, WalksStayInsideTheirRegions) {
    os_free(os_malloc(1));
    step_other(
        churn_large,
        [] {
            os_heap_walk(
                [](const os_block *block, void *) {
                    auto start = reinterpret_cast<uintptr_t>(block->address);
                    if (block->kind < OS_BLOCK_MAPPED &&
                        start % REGION_BYTES + block->size > REGION_BYTES)
                        ADD_FAILURE() << block->size << " bytes at " << block->address;
                    return testing::Test::HasFailure() ? 1 : 0;
                },
                nullptr);
        },
        each_step(211));
}

STEP_TEST(LookAtEveryStep, ChecksFindNothingBroken) {
    os_free(os_malloc(1));
    auto work = [] {
        churn_large();
        void *block = os_malloc(200000);
        block = os_realloc(block, 900000);
        os_free(os_realloc(block, 300000));
    };
    step_other(
        work,
        [] {
            if (!testing::Test::HasFailure()) {
                ASSERT_EQ(os_heap_check(), 0);
            }
        },
        each_step(211));
}

/* ---- fork in a signal handler at any step -------------------------------------------------------
 */

void all_kinds() {
    void *blocks[16] = {};
    Random random(4);
    for (int i = 0; i < 60; i++) {
        void *&block = blocks[random.below(16)];
        if (random.one_in(3))
            block = os_realloc(block, random.spread(1, 300000));
        else
            os_free(std::exchange(block, os_malloc(random.spread(1, 300000))));
    }
    for (void *block : blocks)
        os_free(block);
}

void map_and_unmap() {
    for (int i = 0; i < 3; i++)
        os_free(os_realloc(os_malloc(200000), 300000));
}

/* SIGALRM ends what hangs. */
STEP_TEST(ForkInAHandler, OfASignalAtEveryStepEnds) {
    os_free(os_malloc(1));
    auto fork_and_end = [] {
        alarm(5);
        EXPECT_EQ(in_fork([] { return 0; }), 0);
        return true;
    };
    step_self(map_and_unmap, fork_and_end, each_step(3));
    step_self(all_kinds, fork_and_end, each_step(29));
    EXPECT_EQ(os_heap_check(), 0);
}

bool is_child = false;

void fork_and_finish(const std::function<void()> &work, Steps steps) {
    step_self(
        work,
        [] {
            alarm(5);
            pid_t child = fork();
            if (child == 0) {
                is_child = true;
                alarm(5);
                return false;
            }
            int status = -1;
            waitpid(child, &status, 0);
            if (status != 0) {
                fprintf(stderr, "a child ended with status %x\n", unsigned(status));
                _exit(2);
            }
            return true;
        },
        steps);
    if (is_child)
        _exit(live_on());
}

STEP_TEST(ForkInAHandler, LeavesTheChildAbleToFinishAtEveryStep) {
    os_free(os_malloc(1));
    fork_and_finish(map_and_unmap, each_step(3));
    fork_and_finish(all_kinds, each_step(29));
    EXPECT_EQ(os_heap_check(), 0);
}

} // namespace
} // namespace osmem
