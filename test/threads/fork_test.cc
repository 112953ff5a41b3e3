/* fork in a threaded program: the child allocates, and frees whatever it can reach. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <random>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

int status_of(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

/* What a child does: memory of every kind, threads of its own, and the check. */
void live_on(const std::vector<void *> &reachable) {
    alarm(20);
    for (void *block : reachable)
        os_free(block);
    std::vector<void *> blocks;
    for (size_t i = 1; i < 30 * scaled(100); i++)
        blocks.push_back(os_malloc(i));
    std::thread([] { os_free(os_malloc(500)); }).join();
    for (void *block : blocks)
        os_free(block);
    os_free(os_malloc(1 << 20));
    int broken = os_heap_check();
    _exit(broken);
}

CHILD_TEST(Fork, LeavesTheChildWhatOtherThreadsHadFree) {
    constexpr size_t SIZE = 100 * KIB, COUNT = 300;
    os_free(os_malloc(1));
    std::atomic<bool> ready{false}, done{false};
    std::vector<void *> blocks;
    std::thread other([&] {
        for (size_t i = 0; i < COUNT; i++)
            blocks.push_back(os_malloc(SIZE));
        for (size_t i = 0; i < COUNT; i += 2)
            os_free(blocks[i]);
        ready = true;
        while (!done)
            usleep(1000);
    });
    while (!ready)
        usleep(1000);
    for (size_t i = 1; i < COUNT; i += 2)
        os_free(blocks[i]); /* its thread does not take them in any more */
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        os_stats before, after;
        os_malloc_stats(&before);
        for (size_t i = 0; i < COUNT * 9 / 10; i++)
            EXPECT_NE(os_malloc(SIZE), nullptr);
        os_malloc_stats(&after);
        EXPECT_LT(after.heap, before.heap + COUNT * SIZE / 4);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    EXPECT_EQ(status_of(child), 0);
    done = true;
    other.join();
}

CHILD_TEST(Fork, InAQuietProgramLeavesBothSidesWhole) {
    std::vector<void *> blocks;
    for (size_t i = 1; i < 20 * scaled(100); i++)
        blocks.push_back(os_malloc(i));
    for (size_t i = 0; i < scaled(100); i++) {
        pid_t child = fork();
        if (child == 0)
            live_on(blocks);
        ASSERT_EQ(status_of(child), 0);
    }
    for (void *block : blocks)
        os_free(block);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Fork, WhileOthersAllocateLeavesTheChildAbleToDoAll) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    std::vector<void *> theirs(400);
    std::atomic<int> ready{0};
    for (size_t t = 0; t < 2; t++) {
        threads.emplace_back([&, t] {
            for (size_t i = t; i < theirs.size(); i += 2)
                theirs[i] = os_malloc(1 + i * 13);
            ready++;
            std::mt19937 random(static_cast<unsigned>(t));
            std::vector<void *> slots(300);
            while (!stop) {
                void *&slot = slots[random() % slots.size()];
                os_free(slot);
                slot = os_malloc(1 + random() % 5000);
            }
            for (void *slot : slots)
                os_free(slot);
        });
    }
    while (ready < 2)
        std::this_thread::yield();
    for (size_t i = 0; i < scaled(300); i++) {
        pid_t child = fork();
        if (child == 0)
            live_on(theirs);
        ASSERT_EQ(status_of(child), 0) << "fork " << i;
    }
    stop = true;
    for (std::thread &thread : threads)
        thread.join();
    for (void *block : theirs)
        os_free(block);
    EXPECT_EQ(os_heap_check(), 0);
}

static std::atomic<int> forks;

/* Nothing but fork and exit: the handler may have interrupted an allocation. */
static void fork_in_handler(int) {
    int saved = errno;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (status_of(child) == 0)
        forks++;
    errno = saved;
}

/* Heaps of ended threads: one waits for a new thread, one was adopted by ours. */
CHILD_TEST(Fork, KnowsWhichHeapsHaveNoThreadAnyMore) {
    std::vector<void *> blocks = {os_malloc(100)};
    std::thread([&] { blocks.push_back(os_malloc(100)); }).join();
    struct heap *adopted = region_owner(blocks[1]);
    while (adopted->merged_into == nullptr)
        blocks.push_back(os_malloc(20000));
    std::thread([&] { blocks.push_back(os_malloc(100)); }).join();
    ASSERT_TRUE(region_owner(blocks.back())->parked);
    pid_t child = fork();
    if (child == 0)
        live_on(blocks);
    EXPECT_EQ(status_of(child), 0);
    EXPECT_EQ(os_heap_check(), 0);
}

/* A thread that the fork left behind in the middle of a change: its heap is never used again. */
CHILD_TEST(Fork, LeavesAHeapAloneThatIsNotSound) {
    std::atomic<bool> ready{false}, stop{false};
    struct heap *broken = nullptr;
    std::thread other([&] {
        EXPECT_NE(allocate(100), nullptr);
        broken = thread_heap;
        ready = true;
        while (!stop)
            usleep(1000);
    });
    os_free(os_malloc(1));
    while (!ready)
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        tags_join(broken->regions->lines, broken->regions->top);
        os_malloc_trim(0);
        EXPECT_TRUE(broken->unsure);
        while (broken->parked && thread_heap->regions->next == nullptr)
            EXPECT_NE(os_malloc(50000), nullptr);
        EXPECT_TRUE(broken->unsure);
        EXPECT_EQ(broken->merged_into, nullptr);
        EXPECT_EQ(check_heap(thread_heap), 0);
        _exit(testing::Test::HasFailure());
    }
    EXPECT_EQ(status_of(child), 0);
    stop = true;
    other.join();
}

CHILD_TEST(Fork, InASignalHandlerDoesNotHang) {
    struct sigaction action = {};
    action.sa_handler = fork_in_handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGVTALRM, &action, nullptr);
    itimerval every = {{0, 3000}, {0, 3000}};
    setitimer(ITIMER_VIRTUAL, &every, nullptr);
    std::mt19937 random(3);
    std::vector<void *> slots(2000);
    while (forks < 100) {
        void *&slot = slots[random() % slots.size()];
        os_free(slot);
        slot = os_malloc(1 + random() % 200000);
    }
    itimerval off = {};
    setitimer(ITIMER_VIRTUAL, &off, nullptr);
    EXPECT_EQ(os_heap_check(), 0);
}

} // namespace
} // namespace osmem
