/*
 * A fork while another thread is the first to allocate, by a thread that never did: the child finds
 * no lock locked. The allocator is stopped in a call of the kernel that it makes under a lock.
 */
#include "test/core/internal.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

std::atomic<bool> in_kernel;

/* Long enough for a fork; one that waits for the lock waits for the end of this. */
void stay_in_kernel() {
    if (!in_kernel.exchange(true))
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
}

} // namespace

extern "C" {
uintptr_t __real_system_extend(size_t size);
void *__real_system_remap(void *ptr, size_t old_size, size_t size, bool may_move);
uintptr_t __wrap_system_extend(size_t size);
void *__wrap_system_remap(void *ptr, size_t old_size, size_t size, bool may_move);

uintptr_t __wrap_system_extend(size_t size) {
    stay_in_kernel();
    return __real_system_extend(size);
}

void *__wrap_system_remap(void *ptr, size_t old_size, size_t size, bool may_move) {
    stay_in_kernel();
    return __real_system_remap(ptr, old_size, size, may_move);
}
}

namespace osmem {
namespace {

/* Forks while another thread is in the kernel for `allocate`, which the child then does too. */
void expect_child_allocates(void (*allocate)()) {
    std::thread first(allocate);
    while (!in_kernel)
        std::this_thread::yield();
    pid_t child = fork();
    if (child == 0) {
        alarm(5);
        allocate();
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    first.join();
}

CHILD_TEST(FirstFork, FindsTheRegionsUnlocked) {
    expect_child_allocates([] { os_free(os_malloc(100)); });
}

CHILD_TEST(FirstFork, FindsTheMappedBlocksUnlocked) {
    expect_child_allocates([] {
        void *block = os_realloc(os_malloc(1 << 20), 1 << 21);
        os_free(block);
    });
}

} // namespace
} // namespace osmem
