/* Blocks at larger alignments. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

namespace osmem {
namespace {

/* The compiler must not see impossible sizes. */
__attribute__((noipa)) char *aligned(size_t alignment, size_t size) {
    return static_cast<char *>(os_aligned_alloc(alignment, size));
}

ISOLATED_TEST(Aligned, GivesEveryAlignmentToEverySize) {
    std::vector<std::pair<char *, size_t>> live;
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        for (size_t size : {1, 16, 17, 100, 1024, 4096, 5000, 40000, 131071, 131072, 1 << 20}) {
            char *ptr = aligned(alignment, size);
            ASSERT_NE(ptr, nullptr) << size << " at " << alignment;
            ASSERT_TRUE(is_at(ptr, std::max(alignment, GRANULE_BYTES)))
                << size << " at " << alignment;
            fill(ptr, size, alignment + size);
            live.emplace_back(ptr, alignment + size);
            size_t usable = os_malloc_usable_size(ptr);
            if (block_at(ptr).kind == OS_BLOCK_USED) {
                EXPECT_EQ(usable, align_up(size, GRANULE_BYTES));
            } else {
                EXPECT_EQ(usable, align_up(size, system_page()));
            }
        }
        ASSERT_EQ(os_heap_check(), 0);
    }
    size_t index = 0;
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        for (size_t size : {1, 16, 17, 100, 1024, 4096, 5000, 40000, 131071, 131072, 1 << 20}) {
            ASSERT_TRUE(is_filled(live[index].first, size, live[index].second));
            os_free_aligned_sized(live[index++].first, alignment, size);
        }
    }
    merge_all();
    for (const Block &block : blocks())
        EXPECT_NE(block.kind, OS_BLOCK_USED) << block;
    EXPECT_LE(free_blocks().size(), 1u) << "but for the rest of the first region";
}

/* What is cut off before and behind the block is free. */
ISOLATED_TEST(Aligned, WastesNothing) {
    for (size_t alignment = 32; alignment <= 64 * KIB; alignment *= 2) {
        for (size_t granules : {1, 2, 3, 64, 100}) {
            os_stats before, after;
            os_malloc_stats(&before);
            char *ptr = aligned(alignment, granules * GRANULE_BYTES);
            os_malloc_stats(&after);
            ASSERT_EQ(after.allocated - before.allocated, granules * GRANULE_BYTES)
                << granules << " at " << alignment;
            ASSERT_EQ(after.allocated_blocks - before.allocated_blocks, 1u);
            ASSERT_TRUE(is_at(ptr, alignment));
            ASSERT_EQ(os_heap_check(), 0);
        }
    }
}

ISOLATED_TEST(Aligned, LeavesTheBlocksAroundItAlone) {
    std::mt19937_64 random(91);
    struct Live {
        char *ptr;
        size_t size;
        uint64_t seed;
    };
    std::vector<Live> live(400, {nullptr, 0, 0});
    for (size_t step = 0; step < scaled(40000); step++) {
        Live &block = live[random() % live.size()];
        if (block.ptr != nullptr) {
            ASSERT_TRUE(is_filled(block.ptr, block.size, block.seed)) << "step " << step;
            os_free(block.ptr);
        }
        size_t alignment = size_t{1} << random() % 14, size = 1 + random() % 3000;
        block = {random() % 2 ? aligned(alignment, size) : static_cast<char *>(os_malloc(size)),
                 size, step};
        ASSERT_NE(block.ptr, nullptr);
        fill(block.ptr, size, step);
        if (step % 500 == 0) {
            ASSERT_EQ(os_heap_check(), 0) << "step " << step;
        }
    }
}

ISOLATED_TEST(Aligned, FreedMemoryIsOneBlockAgain) {
    char *ptr = aligned(4096, 4096);
    os_free(ptr);
    for (int i = 0; i < 100; i++) {
        char *again = aligned(4096, 4096);
        ASSERT_EQ(again, ptr);
        os_free(again);
    }
}

/* A hole that an aligned block left holds another one of its size and alignment. */
ISOLATED_TEST(Aligned, FitsIntoTheHoleOfAnother) {
    for (size_t alignment : {64, 1024, 4096}) {
        std::vector<char *> pages;
        for (int i = 0; i < 200; i++)
            pages.push_back(aligned(alignment, alignment));
        os_stats before, after;
        os_malloc_stats(&before);
        size_t freed = 0;
        for (size_t i = 0; i < pages.size(); i += 2) {
            os_free(pages[i]);
            freed++;
        }
        std::vector<char *> again;
        for (size_t i = 0; i < freed; i++)
            again.push_back(aligned(alignment, alignment));
        os_malloc_stats(&after);
        size_t in_holes = 0;
        for (char *ptr : again)
            in_holes += std::find(pages.begin(), pages.end(), ptr) != pages.end();
        /* But for the first, whose hole is one with what its own alignment cut off. */
        EXPECT_GE(in_holes, freed - 1) << "alignment " << alignment;
        EXPECT_EQ(after.heap, before.heap) << "the heap grew";
    }
}

ISOLATED_TEST(Aligned, MapsAtLargeAlignmentsAndTrimsTheMapping) {
    SKIP_IF_PARANOID();
    for (size_t alignment = 128 * KIB; alignment <= 32 * MIB; alignment *= 2) {
        size_t before = kernel::mapped_bytes();
        char *ptr = aligned(alignment, 100000);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_at(ptr, alignment));
        EXPECT_EQ(kernel::mapped_bytes() - before, align_up(100000, system_page()));
        os_free(ptr);
    }
    os_malloc_trim(0);
    EXPECT_EQ(kernel::count(kernel::SBRK).calls, 0u);
}

ISOLATED_TEST(Aligned, RefusesWhatIsNoPowerOfTwo) {
    for (size_t alignment : {size_t{0}, size_t{3}, size_t{24}, size_t{48}, size_t{4095},
                             (size_t{1} << 63) + 1, SIZE_MAX}) {
        errno = 0;
        EXPECT_EQ(aligned(alignment, 100), nullptr) << alignment;
        EXPECT_EQ(errno, EINVAL);
        errno = 0;
        EXPECT_EQ(aligned(alignment, 0), nullptr);
        EXPECT_EQ(errno, EINVAL);
    }
}

ISOLATED_TEST(Aligned, OfNothingIsNull) {
    errno = 0;
    for (size_t alignment = 1; alignment <= MIB; alignment *= 2)
        EXPECT_EQ(aligned(alignment, 0), nullptr);
    EXPECT_EQ(errno, 0);
}

ISOLATED_TEST(Aligned, RefusesWhatCannotBe) {
    for (size_t alignment :
         {size_t{32}, size_t{4096}, MIB, size_t{1} << 40, size_t{1} << 62, size_t{1} << 63}) {
        for (size_t size :
             {size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1, SIZE_MAX - 15, SIZE_MAX}) {
            errno = 0;
            EXPECT_EQ(aligned(alignment, size), nullptr) << size << " at " << alignment;
            EXPECT_EQ(errno, ENOMEM);
        }
    }
    for (size_t alignment : {size_t{1} << 62, size_t{1} << 63}) {
        errno = 0;
        EXPECT_EQ(aligned(alignment, 1), nullptr);
        EXPECT_EQ(errno, ENOMEM);
    }
}

ISOLATED_TEST(PosixMemalign, StoresTheBlock) {
    for (size_t alignment = sizeof(void *); alignment <= 2 * MIB; alignment *= 2) {
        void *ptr = nullptr;
        errno = 7;
        ASSERT_EQ(os_posix_memalign(&ptr, alignment, 100), 0);
        EXPECT_TRUE(is_at(ptr, alignment));
        EXPECT_EQ(errno, 7);
        fill(ptr, 100, alignment);
    }
}

ISOLATED_TEST(PosixMemalign, RefusesOtherAlignments) {
    int mark;
    for (size_t alignment : {0, 1, 2, 4, 7, 12, 24, 40, 4097}) {
        void *ptr = &mark;
        errno = 7;
        EXPECT_EQ(os_posix_memalign(&ptr, alignment, 100), EINVAL) << alignment;
        EXPECT_EQ(ptr, &mark);
        EXPECT_EQ(errno, 7);
    }
}

ISOLATED_TEST(PosixMemalign, FailsWithoutTouchingAnything) {
    int mark;
    void *ptr = &mark;
    errno = 7;
    EXPECT_EQ(os_posix_memalign(&ptr, 64, PTRDIFF_MAX), ENOMEM);
    EXPECT_EQ(os_posix_memalign(&ptr, 64, SIZE_MAX), ENOMEM);
    kernel::refuse_any(1);
    EXPECT_EQ(os_posix_memalign(&ptr, 64, 100), ENOMEM);
    EXPECT_EQ(os_posix_memalign(&ptr, 64, MIB), ENOMEM);
    EXPECT_EQ(ptr, &mark);
    EXPECT_EQ(errno, 7);
}

ISOLATED_TEST(PosixMemalign, OfNothingStoresNull) {
    int mark;
    void *ptr = &mark;
    EXPECT_EQ(os_posix_memalign(&ptr, 64, 0), 0);
    EXPECT_EQ(ptr, nullptr);
}

ISOLATED_TEST(Aligned, ReallocKeepsTheContents) {
    for (size_t alignment : {32, 256, 4096, 65536}) {
        char *ptr = aligned(alignment, 1000);
        fill(ptr, 1000, alignment);
        for (size_t size : {2000, 200000, 500}) {
            ptr = static_cast<char *>(os_realloc(ptr, size));
            ASSERT_TRUE(is_filled(ptr, 500, alignment));
        }
    }
}

} // namespace
} // namespace osmem
