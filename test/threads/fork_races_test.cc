/* fork while other threads work, and in handlers of pthread_atfork.
 */
#include "test/core/blocks.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* Forks and waits for a child that runs `body` and ends with what it returns. */
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

/* ---- other threads -------------------------------------------------------------------------- */

class Busy {
  public:
    Busy(size_t count, void (*work)(Random &)) {
        for (size_t i = 0; i < count; i++) {
            threads_.emplace_back([this, i, work] {
                Random random(test_seed() + i);
                while (!stop_)
                    work(random);
            });
        }
    }
    ~Busy() {
        stop_ = true;
        for (std::thread &thread : threads_)
            thread.join();
    }

  private:
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

void resize_mapped(Random &random) {
    void *block = os_malloc(200 * KIB);
    for (int i = 0; i < 50; i++)
        block = os_realloc(block, random.between(128 * KIB, 2 * MIB));
    os_free(block);
}

CHILD_TEST(ForkRaces, WhileOthersResizeMappedBlocks) {
    os_free(os_malloc(1));
    Busy busy(2, resize_mapped);
    for (size_t i = 0; i < scaled(300) && !testing::Test::HasFailure(); i++) {
        int status = in_fork([] {
            os_free(os_malloc(1 * MIB));
            return os_heap_check();
        });
        EXPECT_EQ(status, 0) << "fork " << i;
    }
}

/* Large blocks, split and merged, and threads that end and are adopted. */
void grow_and_end(Random &random) {
    std::thread([&random] {
        std::vector<void *> blocks;
        for (int i = 0; i < 300; i++)
            blocks.push_back(os_malloc(random.spread(1, 100000)));
        for (void *block : blocks)
            os_free(block);
    }).join();
}

CHILD_TEST(ForkRaces, WhileThreadsGrowAndEnd) {
    os_free(os_malloc(1));
    Busy busy(2, grow_and_end);
    for (size_t i = 0; i < scaled(300) && !testing::Test::HasFailure(); i++) {
        int status = in_fork([] {
            for (int j = 0; j < 100; j++) {
                if (os_malloc(50000) == nullptr)
                    return 99;
            }
            os_stats stats;
            os_malloc_stats(&stats);
            std::thread([] { os_free(os_malloc(100)); }).join();
            return os_heap_check();
        });
        EXPECT_EQ(status, 0) << "fork " << i;
    }
}

/* Each child has children and threads of its own. */
int generation(int left) {
    if (left == 0)
        return 0;
    std::vector<void *> blocks;
    for (int i = 1; i < 300; i++)
        blocks.push_back(os_malloc(static_cast<size_t>(i * left)));
    std::atomic<bool> stop{false};
    std::thread other([&] {
        Random random(1);
        while (!stop)
            os_free(os_malloc(random.spread(1, 50000)));
    });
    int status = in_fork([&] {
        for (void *block : blocks)
            os_free(block);
        return generation(left - 1);
    });
    stop = true;
    other.join();
    for (void *block : blocks)
        os_free(block);
    return status != 0 ? 98 : os_heap_check();
}

CHILD_TEST(ForkRaces, ChildrenOfChildrenGoOn) {
    for (size_t i = 0; i < scaled(10); i++)
        EXPECT_EQ(generation(6), 0);
}

/* ---- handlers of pthread_atfork -----------------------------------------------------------------
 */

void use_all_memory() {
    os_free(os_malloc(1 * MIB));
    std::vector<void *> blocks;
    for (int i = 0; i < 100; i++)
        blocks.push_back(os_malloc(50000));
    for (void *block : blocks)
        os_free(block);
}

/* Those that the program registered first run between ours: prepare after, parent and child before.
 */
CHILD_TEST(ForkRaces, HandlersRegisteredBeforeOursMayAllocate) {
    alarm(5);
    pthread_atfork(use_all_memory, use_all_memory, use_all_memory);
    os_free(os_malloc(1));
    EXPECT_EQ(in_fork([] { return os_heap_check(); }), 0);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(ForkRaces, HandlersRegisteredAfterOursMayAllocate) {
    alarm(5);
    os_free(os_malloc(1));
    pthread_atfork(use_all_memory, use_all_memory, use_all_memory);
    EXPECT_EQ(in_fork([] { return os_heap_check(); }), 0);
    EXPECT_EQ(os_heap_check(), 0);
}

} // namespace
} // namespace osmem
