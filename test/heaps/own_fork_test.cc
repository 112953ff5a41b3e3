/* fork while heaps of one's own are in use: both sides go on with them. */
#include "test/core/blocks.h"
#include "test/heaps/own.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* Uses a heap in every way, another one that is new, and ends. */
[[noreturn]] void live_on(os_heap *heap, const std::vector<void *> &theirs, bool plainly) {
    alarm(20);
    for (size_t i = 0; i < theirs.size(); i++) {
        if (plainly && i % 2 == 0)
            os_free(theirs[i]);
        else
            os_heap_free(heap, theirs[i]);
    }
    /* Threads find heaps for themselves, of which this is none, however many they are. */
    std::atomic<int> started{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 5; i++) {
        threads.emplace_back([&] {
            void *plain = os_malloc(500);
            EXPECT_NE(region_owner(plain), reinterpret_cast<struct heap *>(heap));
            os_heap_free(heap, os_heap_malloc(heap, 1000000));
            for (started++; started < 5;)
                std::this_thread::yield();
            os_free(plain);
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    for (size_t i = 1; i < 500; i++)
        EXPECT_NE(os_heap_malloc(heap, i), nullptr);
    EXPECT_EQ(os_heap_check_of(heap), 0);
    os_heap *other = os_heap_create(nullptr);
    EXPECT_NE(os_heap_malloc(other, 100), nullptr);
    os_heap_destroy(heap);
    os_heap_destroy(other);
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_blocks, 0u);
    end_child();
}

/* `plainly`: some blocks are freed by os_free, and wait to be taken in. */
void fork_often(bool plainly) {
    os_heap *heap = os_heap_create(nullptr);
    std::atomic<bool> stop{false};
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    std::vector<void *> theirs;
    for (size_t i = 0; i < 300; i++)
        theirs.push_back(os_heap_malloc(heap, 1 + i * 13));
    for (uint64_t t = 0; t < 2; t++) {
        threads.emplace_back([&, t] {
            Random random(t);
            std::vector<void *> slots(200);
            for (bool first = true; !stop; first = false) {
                void *&slot = slots[random.below(slots.size())];
                if (plainly && random.one_in(2))
                    os_free(slot);
                else
                    os_heap_free(heap, slot);
                slot = os_heap_malloc(heap, random.between(1, 5000));
                if (random.one_in(50))
                    os_heap_destroy(os_heap_create(nullptr));
                ready += first;
            }
            for (void *slot : slots)
                os_heap_free(heap, slot);
        });
    }
    while (ready < 2)
        std::this_thread::yield();
    for (size_t i = 0; i < scaled(80) && !testing::Test::HasFailure(); i++) {
        pid_t child = fork();
        if (child == 0)
            live_on(heap, theirs, plainly);
        int status = -1;
        waitpid(child, &status, 0);
        EXPECT_EQ(status, 0) << "fork " << i;
    }
    stop = true;
    for (std::thread &thread : threads)
        thread.join();
    for (void *block : theirs)
        os_heap_free(heap, block);
    EXPECT_EQ(stats_of(heap).allocated_blocks, 0u);
    EXPECT_EQ(os_heap_check(), 0);
    os_heap_destroy(heap);
}

CHILD_TEST(OwnFork, LeavesBothSidesWithTheHeap) { fork_often(false); }
CHILD_TEST(OwnFork, LeavesBothSidesWithWhatIsFreedPlainly) { fork_often(true); }

} // namespace
} // namespace osmem
