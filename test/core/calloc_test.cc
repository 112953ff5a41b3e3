/* Zeroed memory, whatever lay there before. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* The compiler must not see impossible sizes. */
__attribute__((noipa)) char *zeroed(size_t count, size_t size) {
    return static_cast<char *>(os_calloc(count, size));
}

ISOLATED_TEST(Calloc, ZeroesFreshMemory) {
    for (size_t size = 1; size < 3 * MMAP_THRESHOLD; size += 1 + size / 3) {
        char *ptr = zeroed(1, size);
        ASSERT_NE(ptr, nullptr);
        ASSERT_TRUE(is_zero(ptr, os_malloc_usable_size(ptr))) << size;
        memset(ptr, 0xff, size);
    }
}

/* Each size after a dirty block of its size, a larger one and neighbours were freed. */
ISOLATED_TEST(Calloc, ZeroesMemoryUsedBefore) {
    for (size_t size : {1, 15, 16, 17, 100, 1023, 1024, 1025, 4096, 32767, 32768, 60000, 131071}) {
        for (int round = 0; round < 20; round++) {
            char *dirty = static_cast<char *>(os_malloc(round % 2 ? size : size + 777));
            memset(dirty, 0xff, size);
            if (round % 3 == 0) {
                ASSERT_NE(allocate(1), nullptr);
            }
            os_free(dirty);
            if (round % 5 == 0)
                merge_all();
            char *ptr = zeroed(size, 1);
            ASSERT_NE(ptr, nullptr);
            ASSERT_TRUE(is_zero(ptr, size)) << size;
            memset(ptr, 0xff, size);
            if (round % 4 == 0)
                os_free(ptr);
        }
    }
}

/* The untouched end begins again where dirty blocks were freed, or reaches into them. */
ISOLATED_TEST(Calloc, ZeroesAnUntouchedEndThatWasUsedBefore) {
    for (size_t granules : {1, 10, 100, 1000, 5000}) {
        char *ptr = allocate(granules);
        memset(ptr, 0xff, granules * GRANULE_BYTES);
        os_free(ptr);
        merge_all();
        ASSERT_TRUE(free_blocks().empty());
        for (size_t more : {granules, granules + 50}) {
            char *again = zeroed(more, GRANULE_BYTES);
            EXPECT_EQ(again, ptr);
            EXPECT_TRUE(is_zero(again, more * GRANULE_BYTES));
            memset(again, 0xff, more * GRANULE_BYTES);
            os_free(again);
            merge_all();
        }
    }
}

/* A block that grew into the untouched end and shrank again left its mark there. */
ISOLATED_TEST(Calloc, ZeroesWhatAReallocHadTaken) {
    char *ptr = allocate(4);
    ptr = static_cast<char *>(os_realloc(ptr, 50000));
    memset(ptr, 0xff, 50000);
    ptr = static_cast<char *>(os_realloc(ptr, 64));
    char *block = zeroed(1, 60000);
    EXPECT_TRUE(is_zero(block, 60000));
}

ISOLATED_TEST(Calloc, ZeroesBlocksCutSeveralAtOnce) {
    char *dirty = allocate(4000);
    memset(dirty, 0xff, 64000);
    ASSERT_NE(allocate(1), nullptr);
    os_free(dirty);
    for (int i = 0; i < 400; i++) {
        char *ptr = zeroed(5, 16);
        ASSERT_TRUE(is_zero(ptr, 80)) << i;
        memset(ptr, 0xff, 80);
    }
}

ISOLATED_TEST(Calloc, ZeroesAfterATrim) {
    for (int round = 0; round < 10; round++) {
        char *ptr = allocate(7000);
        memset(ptr, 0xff, 112000);
        char *guard = allocate(1 + round);
        os_free(ptr);
        if (round % 2)
            os_free(guard);
        if (round == 3)
            kernel::refuse(kernel::MADVISE);
        os_malloc_trim(round * 1000);
        kernel::refuse_nothing();
        char *block = zeroed(1, 113000 + round * 500);
        ASSERT_TRUE(is_zero(block, 113000 + round * 500)) << round;
        memset(block, 0xff, 113000);
        os_free(block);
    }
}

ISOLATED_TEST(Calloc, ZeroesMappingsKeptFromBefore) {
    for (int round = 0; round < 50; round++) {
        size_t size = MMAP_THRESHOLD + (round * 37 % 11) * 40000;
        char *ptr = static_cast<char *>(os_malloc(size));
        memset(ptr, 0xff, size);
        os_free(ptr);
        ptr = zeroed(1, size + (round % 3) * 4096);
        ASSERT_NE(ptr, nullptr);
        ASSERT_TRUE(is_zero(ptr, size + (round % 3) * 4096)) << round;
        memset(ptr, 0xff, size);
        os_free(ptr);
    }
}

/* The trap: someone else had the memory that the break brings us now. */
ISOLATED_TEST(Calloc, DoesNotTrustTheBreakThatSomeoneElseMoved) {
    ASSERT_NE(zeroed(1, 100), nullptr);
    ASSERT_NE(sbrk(5000), reinterpret_cast<void *>(-1));
    kernel::grant_dirty_memory();
    for (int i = 0; i < 200; i++) {
        char *ptr = zeroed(1, 50000);
        ASSERT_NE(ptr, nullptr);
        ASSERT_TRUE(is_zero(ptr, 50000)) << i;
    }
    EXPECT_EQ(os_heap_check(), 0);
}

/* What was kept from before the break moved, and is committed after it. */
ISOLATED_TEST(Calloc, DoesNotTrustARegionHalfFromBefore) {
    ASSERT_NE(zeroed(1, 100), nullptr);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 40; i++) {
            char *ptr = zeroed(1, 60000);
            ASSERT_TRUE(is_zero(ptr, 60000)) << round;
            memset(ptr, 0xff, 60000);
        }
        ASSERT_NE(sbrk(1 + round * 999), reinterpret_cast<void *>(-1));
        if (round == 1)
            kernel::grant_dirty_memory();
    }
}

/* Pages that were never touched stay so. */
ISOLATED_TEST(Calloc, DoesNotClearFreshMemoryAgain) {
    ASSERT_NE(allocate(1), nullptr);
    os_stats before, after;
    os_malloc_stats(&before);
    ASSERT_NE(zeroed(1, 100000), nullptr);
    ASSERT_NE(zeroed(1, 10 * MIB), nullptr);
    os_malloc_stats(&after);
    EXPECT_LT(after.resident - before.resident, 64 * KIB);
}

ISOLATED_TEST(Calloc, OfNothingIsNull) {
    errno = 0;
    EXPECT_EQ(zeroed(0, 0), nullptr);
    EXPECT_EQ(zeroed(0, 100), nullptr);
    EXPECT_EQ(zeroed(100, 0), nullptr);
    EXPECT_EQ(zeroed(0, SIZE_MAX), nullptr);
    EXPECT_EQ(errno, 0);
    EXPECT_EQ(kernel::all_calls(), 0u);
}

ISOLATED_TEST(Calloc, RefusesProductsThatOverflow) {
    const size_t half = size_t{1} << 32;
    for (auto [count, size] : {std::pair{half, half},
                               {half + 1, half},
                               {SIZE_MAX, size_t{2}},
                               {size_t{2}, SIZE_MAX},
                               {SIZE_MAX, SIZE_MAX},
                               {SIZE_MAX / 16 + 1, size_t{16}},
                               {SIZE_MAX / 2 + 2, size_t{2}}}) {
        errno = 0;
        EXPECT_EQ(zeroed(count, size), nullptr) << count << " * " << size;
        EXPECT_EQ(errno, ENOMEM);
    }
    for (auto [count, size] : {std::pair{SIZE_MAX, size_t{1}},
                               {size_t{1}, SIZE_MAX},
                               {size_t{PTRDIFF_MAX} + 1, size_t{1}},
                               {half, half / 2}}) {
        errno = 0;
        EXPECT_EQ(zeroed(count, size), nullptr) << count << " * " << size;
        EXPECT_EQ(errno, ENOMEM);
    }
}

ISOLATED_TEST(Calloc, ZeroesInAChurn) {
    std::mt19937_64 random(81);
    std::vector<std::pair<char *, size_t>> live(300);
    for (size_t step = 0; step < scaled(60000); step++) {
        auto &[ptr, size] = live[random() % live.size()];
        os_free(ptr);
        size = 1 + random() % (random() % 4 == 0 ? 20000 : 500);
        ptr = zeroed(1, size);
        ASSERT_TRUE(is_zero(ptr, size)) << "step " << step;
        memset(ptr, 0xff, size);
    }
}

} // namespace
} // namespace osmem
