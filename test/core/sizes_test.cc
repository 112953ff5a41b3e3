/* Sizes from nothing to impossible, what of them can be used, and errno. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace osmem {
namespace {

/* The compiler must not see impossible sizes. */
__attribute__((noipa)) char *request(size_t size) { return static_cast<char *>(os_malloc(size)); }
__attribute__((noipa)) char *resize(void *ptr, size_t size) {
    return static_cast<char *>(os_realloc(ptr, size));
}

const size_t IMPOSSIBLE[] = {
    size_t{PTRDIFF_MAX} + 1,
    size_t{PTRDIFF_MAX} + 2,
    SIZE_MAX / 2 + 4096,
    SIZE_MAX - 4096,
    SIZE_MAX - 4095,
    SIZE_MAX - 16,
    SIZE_MAX - 15,
    SIZE_MAX - 14,
    SIZE_MAX - 1,
    SIZE_MAX,
};
/* Within PTRDIFF_MAX, but more than any address space has. */
const size_t ABSURD[] = {
    size_t{1} << 48,         size_t{1} << 56,     (size_t{1} << 62) + 1, size_t{PTRDIFF_MAX} - 4096,
    size_t{PTRDIFF_MAX} - 1, size_t{PTRDIFF_MAX},
};

ISOLATED_TEST(Malloc, OfNothingIsNullAndTouchesNothing) {
    errno = 7;
    EXPECT_EQ(request(0), nullptr);
    EXPECT_EQ(errno, 7);
    EXPECT_EQ(kernel::all_calls(), 0u);
    ASSERT_NE(request(1), nullptr);
    errno = 7;
    EXPECT_EQ(request(0), nullptr);
    EXPECT_EQ(errno, 7);
}

ISOLATED_TEST(Malloc, RefusesImpossibleSizes) {
    for (bool has_heap : {false, true}) {
        if (has_heap) {
            ASSERT_NE(request(1), nullptr);
        }
        for (size_t size : IMPOSSIBLE) {
            errno = 0;
            EXPECT_EQ(request(size), nullptr) << size;
            EXPECT_EQ(errno, ENOMEM);
        }
        if (!is_paranoid()) {
            EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
        }
    }
}

ISOLATED_TEST(Malloc, RefusesSizesThatNoAddressSpaceHas) {
    char *live = request(100);
    fill(live, 100, 1);
    for (size_t size : ABSURD) {
        errno = 0;
        EXPECT_EQ(request(size), nullptr) << size;
        EXPECT_EQ(errno, ENOMEM);
        errno = 0;
        EXPECT_EQ(resize(live, size), nullptr) << size;
        EXPECT_EQ(errno, ENOMEM);
    }
    EXPECT_TRUE(is_filled(live, 100, 1));
    EXPECT_NE(request(100), nullptr) << "something was lost";
}

ISOLATED_TEST(Malloc, HasNoHeaderInTheBlock) {
    for (size_t size = 1; size <= 4096; size++) {
        char *ptr = request(size);
        ASSERT_TRUE(is_at(ptr, GRANULE_BYTES));
        ASSERT_EQ(os_malloc_usable_size(ptr), align_up(size, GRANULE_BYTES)) << size;
        memset(ptr, 0xff, os_malloc_usable_size(ptr));
        if (size % 64 == 0) {
            ASSERT_EQ(os_heap_check(), 0) << size;
        }
    }
}

ISOLATED_TEST(Malloc, PacksBlocksWithoutGaps) {
    for (size_t size : {16, 32, 48, 80, 1024}) {
        char *last = request(size);
        for (int i = 0; i < 50; i++) {
            char *next = request(size);
            ASSERT_EQ(next, last + size);
            last = next;
        }
        merge_all();
    }
}

ISOLATED_TEST(Malloc, ServesEverySizeAroundTheThreshold) {
    for (size_t size = MMAP_THRESHOLD - 40; size <= MMAP_THRESHOLD + 40; size++) {
        char *ptr = request(size);
        ASSERT_NE(ptr, nullptr);
        fill(ptr, size, size);
        bool is_mapped = block_at(ptr).kind == OS_BLOCK_MAPPED;
        EXPECT_EQ(is_mapped, size >= MMAP_THRESHOLD) << size;
        EXPECT_EQ(os_malloc_usable_size(ptr),
                  is_mapped ? align_up(size, system_page()) : align_up(size, GRANULE_BYTES));
        EXPECT_TRUE(is_filled(ptr, size, size));
        os_free(ptr);
    }
}

ISOLATED_TEST(Malloc, LeavesErrnoAloneWhenItSucceeds) {
    errno = 7;
    std::vector<void *> live;
    for (size_t size = 1; size < 40 * MIB; size += size / 2 + 1) {
        live.push_back(os_malloc(size));
        live.push_back(os_calloc(1, size));
        live.push_back(os_realloc(os_malloc(size), size + 1));
        live.push_back(os_aligned_alloc(256, size));
        EXPECT_EQ(errno, 7) << size;
    }
    for (void *ptr : live)
        os_free(ptr);
    EXPECT_EQ(errno, 7);
}

/* The kernel refuses one kind of memory, the other makes up for it: nobody needs to know. */
ISOLATED_TEST(Malloc, LeavesErrnoAloneWhereOneKindOfMemoryIsRefused) {
    errno = 7;
    kernel::refuse(kernel::SBRK);
    char *first = request(100);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(errno, 7);
    kernel::refuse_nothing();
    kernel::refuse(kernel::MMAP);
    char *large = request(MMAP_THRESHOLD);
    ASSERT_NE(large, nullptr);
    fill(large, MMAP_THRESHOLD, 1);
    EXPECT_EQ(errno, 7);
    os_free(first);
    EXPECT_TRUE(is_filled(large, MMAP_THRESHOLD, 1));
    os_free_sized(large, MMAP_THRESHOLD);
    EXPECT_EQ(errno, 7);
}

ISOLATED_TEST(Free, KeepsErrno) {
    std::vector<char *> live;
    for (size_t size : {16, 1000, 5000, 60000, 131072, 1 << 20, 1 << 24})
        live.push_back(request(size));
    kernel::refuse_any(1, SIZE_MAX, EAGAIN);
    errno = 7;
    os_free(nullptr);
    os_free_sized(nullptr, 5);
    os_free_aligned_sized(nullptr, 16, 5);
    for (char *ptr : live)
        os_free(ptr);
    os_malloc_trim(0);
    EXPECT_EQ(errno, 7);
}

ISOLATED_TEST(UsableSize, OfNullIsNothing) { EXPECT_EQ(os_malloc_usable_size(nullptr), 0u); }

ISOLATED_TEST(FreeSized, TakesTheSizeAskedFor) {
    for (size_t size = 1; size < 4 * MMAP_THRESHOLD; size += 1 + size / 50) {
        os_free_sized(request(size), size);
        os_free_sized(os_calloc(1, size), size);
        os_free_sized(resize(request(size / 2 + 1), size), size);
        os_free_sized(resize(request(size * 2), size), size);
        os_free_aligned_sized(os_aligned_alloc(512, size), 512, size);
    }
    EXPECT_TRUE(free_blocks().empty() || os_heap_check() == 0);
}

/* Mappings that were kept serve other sizes too. */
ISOLATED_TEST(FreeSized, TakesTheSizeOfAMappingUsedBefore) {
    for (int round = 0; round < 200; round++) {
        size_t size = MMAP_THRESHOLD + (round * 7919) % (3 * MMAP_THRESHOLD);
        char *ptr = request(size);
        EXPECT_EQ(os_malloc_usable_size(ptr), align_up(size, system_page()));
        os_free_sized(ptr, size);
    }
}

} // namespace
} // namespace osmem
