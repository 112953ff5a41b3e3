/* The first use of the heap. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

size_t calls(kernel::Call call) { return kernel::count(call).calls; }

/* What is there for blocks: in use, free or untouched. */
size_t block_bytes() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats.allocated + stats.free + stats.untouched;
}

void expect_preallocation() {
    EXPECT_LE(calls(kernel::SBRK), 2u);
    EXPECT_EQ(kernel::count(kernel::SBRK).refused, 0u);
    EXPECT_GE(block_bytes(), HEAP_PREALLOCATION);
    EXPECT_LE(kernel::count(kernel::SBRK).bytes,
              REGION_BYTES + HEAP_PREALLOCATION + granules_bytes(REGION_FIRST) + 8 * KIB)
        << "more than alignment, tags and blocks";
    if (!is_paranoid()) {
        EXPECT_EQ(calls(kernel::MMAP), 0u);
    }
}

TEST(FirstUse, PreallocatesWhereverTheBreakIs) {
    for (size_t offset : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{12345},
                          2 * MIB + 17, REGION_BYTES - 4096, REGION_BYTES - 1}) {
        run_isolated([=] {
            kernel::open_arena(ARENA_BYTES, offset);
            char *ptr = static_cast<char *>(os_malloc(1));
            ASSERT_NE(ptr, nullptr);
            *ptr = 1;
            expect_preallocation();
        });
    }
}

ISOLATED_TEST(FirstUse, PreallocatesForACalloc) {
    ASSERT_NE(os_calloc(10, 10), nullptr);
    expect_preallocation();
}

ISOLATED_TEST(FirstUse, PreallocatesForARealloc) {
    ASSERT_NE(os_realloc(nullptr, 10), nullptr);
    expect_preallocation();
}

ISOLATED_TEST(FirstUse, PreallocatesForAnAlignedBlock) {
    ASSERT_NE(os_aligned_alloc(4096, 10), nullptr);
    expect_preallocation();
}

ISOLATED_TEST(FirstUse, PreallocatesForTheLargestHeapBlock) {
    char *ptr = static_cast<char *>(os_malloc(MMAP_THRESHOLD - 1));
    ASSERT_NE(ptr, nullptr);
    fill(ptr, MMAP_THRESHOLD - 1, 1);
    expect_preallocation();
}

/* Blocks of 128 KiB in all come without another call. */
ISOLATED_TEST(FirstUse, ServesWhatItPreallocated) {
    size_t served = 0, first_calls = 0;
    while (served < HEAP_PREALLOCATION) {
        ASSERT_NE(os_malloc(1024), nullptr);
        served += 1024;
        if (first_calls == 0)
            first_calls = calls(kernel::SBRK);
    }
    EXPECT_EQ(calls(kernel::SBRK), first_calls);
}

ISOLATED_TEST(FirstUse, MapsNothingInASmallProgram) {
    SKIP_IF_PARANOID();
    std::vector<void *> live;
    for (size_t i = 0; i < 3000; i++) {
        live.push_back(os_malloc(1 + i % 300));
        if (i % 3 == 0) {
            os_free(live[i / 2]);
            live[i / 2] = nullptr;
        }
    }
    for (void *ptr : live)
        os_free(ptr);
    EXPECT_EQ(calls(kernel::MMAP), 0u);
    EXPECT_EQ(calls(kernel::MUNMAP), 0u);
    EXPECT_EQ(calls(kernel::MADVISE), 0u);
}

ISOLATED_TEST(FirstUse, DoesNotTouchTheHeapForMappedBlocks) {
    for (int round = 0; round < 50; round++) {
        char *ptr = static_cast<char *>(os_malloc(MMAP_THRESHOLD + round * 10000));
        ASSERT_NE(ptr, nullptr);
        ptr = static_cast<char *>(os_realloc(ptr, MMAP_THRESHOLD + round * 30000));
        char *zeroed = static_cast<char *>(os_calloc(round + 1, MMAP_THRESHOLD));
        char *aligned = static_cast<char *>(os_aligned_alloc(MIB, MIB));
        os_free(zeroed);
        os_free(aligned);
        os_free(ptr);
    }
    EXPECT_EQ(calls(kernel::SBRK), 0u);
    EXPECT_EQ(kernel::arena_break(), kernel::arena_start()) << "the break moved";
}

/* Misuse and nothing at all. */
ISOLATED_TEST(FirstUse, IsNotMadeByCallsThatNeedNoMemory) {
    EXPECT_EQ(os_malloc(0), nullptr);
    os_free(nullptr);
    EXPECT_EQ(os_malloc_usable_size(nullptr), 0u);
    EXPECT_EQ(os_malloc_trim(0), 0);
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.heaps, 0u);
    EXPECT_EQ(stats.heap, 0u);
    EXPECT_EQ(kernel::all_calls(), 0u);
}

#if !defined(__SANITIZE_ADDRESS__)
/* No reservation of gigabytes: a program works with little address space. */
ISOLATED_TEST(FirstUse, WorksWithLittleAddressSpace) {
    SKIP_IF_PARANOID();
    kernel::use_real_break();
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    ASSERT_EQ(fscanf(statm, "%zu", &pages), 1);
    fclose(statm);
    rlimit limit;
    limit.rlim_cur = limit.rlim_max = pages * system_page() + 32 * MIB;
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    size_t served = 0;
    while (os_malloc(1000) != nullptr)
        served += 1000;
    EXPECT_GT(served, 16 * MIB);
}
#endif

} // namespace
} // namespace osmem
