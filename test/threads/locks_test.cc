/*
 * Every lock that is given back is held, and none is kept: what a race would show only by chance
 * shows here each time. The allocator's own two functions are wrapped.
 */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {
thread_local size_t held;
} // namespace

extern "C" {
void __real_system_lock(struct system_lock *lock);
void __real_system_unlock(struct system_lock *lock);
void __wrap_system_lock(struct system_lock *lock);
void __wrap_system_unlock(struct system_lock *lock);

void __wrap_system_lock(struct system_lock *lock) {
    __real_system_lock(lock);
    held++;
}

void __wrap_system_unlock(struct system_lock *lock) {
    if (!system_lock_is_held(lock))
        die_internal("a lock is given back that is not held");
    held--;
    __real_system_unlock(lock);
}
}

namespace osmem {
namespace {

/* Blocks of all kinds: allocated, resized, freed, in part by another thread that ends. */
void use_all(size_t least) {
    std::vector<void *> blocks;
    for (size_t size : {size_t{16}, size_t{3000}, 100 * KIB, 300 * KIB, 5 * MIB}) {
        blocks.push_back(os_malloc(least + size));
        blocks.push_back(os_aligned_alloc(64 * KIB, least + size));
        blocks.push_back(os_realloc(os_malloc(least + size / 2), least + size));
        blocks.push_back(os_realloc(os_malloc(2 * (least + size)), least + size));
    }
    for (void *block : blocks)
        EXPECT_NE(os_malloc_usable_size(block), 0u);
    std::thread([&] {
        os_free(os_malloc(1000));
        for (size_t i = 0; i < blocks.size(); i += 2)
            os_free(blocks[i]);
    }).join();
    for (size_t i = 1; i < blocks.size(); i += 2)
        os_free(blocks[i]);
    EXPECT_EQ(held, 0u);
}

CHILD_TEST(Locks, AreHeldAndGivenBackByBlocks) {
    use_all(1);
    std::vector<void *> mapped;
    for (size_t i = 0; i < 500; i++)
        mapped.push_back(os_malloc(200 * KIB)); /* the table grows */
    for (void *block : mapped)
        os_free(block);
    os_malloc_trim(0);
    use_all(1);
    EXPECT_EQ(held, 0u);
}

CHILD_TEST(Locks, AreHeldAndGivenBackByWhatLooksAtTheHeap) {
    os_free(os_malloc(1000));
    std::thread([] { os_free(os_malloc(1000)); }).join();
    void *block = os_malloc(MIB);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(held, 0u);
    EXPECT_EQ(os_heap_stats(1, &stats), 0);
    EXPECT_EQ(os_heap_stats(7, &stats), -1);
    EXPECT_EQ(held, 0u);
    EXPECT_EQ(os_heap_walk([](const os_block *, void *) { return 0; }, nullptr), 0);
    EXPECT_EQ(os_heap_walk([](const os_block *, void *) { return 1; }, nullptr), 1);
    EXPECT_EQ(held, 0u);
    EXPECT_EQ(os_heap_check(), 0);
    EXPECT_EQ(os_heap_map("/dev/null"), 0);
    int file = open("/dev/null", O_WRONLY);
    EXPECT_EQ(os_malloc_stats_print(file, OS_STATS_JSON), 0);
    close(file);
    EXPECT_EQ(held, 0u);
    os_free(block);
}

CHILD_TEST(Locks, AreHeldAndGivenBackByHeapsOfOnesOwn) {
    for (size_t round = 0; round < 2; round++) {
        os_heap *heap = os_heap_create(nullptr), *other = os_heap_create(nullptr);
        std::vector<void *> blocks;
        for (size_t size : {100 * KIB, 300 * KIB, 3 * MIB}) {
            for (size_t i = 0; i < 20; i++)
                blocks.push_back(os_heap_malloc(heap, size));
        }
        EXPECT_EQ(held, 0u);
        EXPECT_NE(os_heap_calloc(heap, 10, 10), nullptr);
        EXPECT_NE(os_heap_aligned_alloc(heap, 64 * KIB, 200 * KIB), nullptr);
        blocks[0] = os_heap_realloc(heap, blocks[0], 400 * KIB);
        blocks[59] = os_heap_realloc(heap, blocks[59], 40 * KIB);
        EXPECT_EQ(os_heap_malloc_usable_size(heap, blocks[30]), 300 * KIB);
        os_heap_free(heap, blocks[30]);
        os_free(blocks[31]);
        os_heap_trim(heap, 0);
        EXPECT_EQ(held, 0u);
        os_stats stats;
        os_heap_stats_of(heap, &stats);
        EXPECT_EQ(os_heap_number(heap), 0u + os_heap_number(other) - 1);
        os_heap_walk_of(
            heap, [](const os_block *, void *) { return 0; }, nullptr);
        EXPECT_EQ(os_heap_check_of(heap), 0);
        EXPECT_EQ(held, 0u);
        os_heap_destroy(heap);
        os_heap_destroy(other);
        EXPECT_EQ(held, 0u);
    }
}

CHILD_TEST(Locks, AreHeldAndGivenBackByAHeapOverLentMemory) {
    static char memory[3 * OS_HEAP_ALIGNMENT];
    os_heap_options options{};
    options.size = sizeof options;
    options.memory = memory;
    options.memory_size = sizeof memory;
    os_heap *heap = os_heap_create(&options);
    ASSERT_NE(heap, nullptr);
    for (size_t i = 0; i < 50; i++)
        EXPECT_NE(os_heap_malloc(heap, 100 * KIB), nullptr);
    EXPECT_EQ(held, 0u);
    os_heap_destroy(heap);
    EXPECT_EQ(held, 0u);
}

CHILD_TEST(Locks, AreHeldAndGivenBackByAFork) {
    os_heap *heap = os_heap_create(nullptr);
    EXPECT_NE(os_heap_malloc(heap, 100), nullptr);
    pid_t child = fork();
    if (child == 0) {
        held = 0;
        use_all(1);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    EXPECT_EQ(held, 0u);
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    use_all(1);
}

CHILD_TEST(Locks, AreHeldAndGivenBackInTheGuardedMode) {
    setenv("OSMEM_CONF", "guard:on", 1);
    use_all(1);
    os_malloc_trim(0);
    EXPECT_EQ(os_heap_check(), 0);
    EXPECT_EQ(held, 0u);
}

} // namespace
} // namespace osmem
