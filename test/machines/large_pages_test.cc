/* Pages of 16 and 64 KiB, as other machines have them: test/core/kernel.h plays such a kernel. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {
long page = 4096;
}

extern "C" {
long __real_sysconf(int name);
long __wrap_sysconf(int name);
long __wrap_sysconf(int name) { return name == _SC_PAGESIZE ? page : __real_sysconf(name); }
}

namespace osmem {
namespace {

class LargePages : public testing::TestWithParam<long> {
  protected:
    /* In a process where the allocator was never used, so that it has yet to ask for the page. */
    static void run(void (*body)()) {
        page = GetParam();
        run_isolated(body);
        page = 4096;
    }
};

INSTANTIATE_TEST_SUITE_P(KiB, LargePages, testing::Values(16 * KIB, 64 * KIB),
                         [](const auto &each) { return std::to_string(each.param / KIB); });

TEST_P(LargePages, AreWhatTheAllocatorGoesBy) {
    run([] { EXPECT_EQ(system_page(), static_cast<size_t>(page)); });
}

/* A small heap is no larger than where pages are small. */
TEST_P(LargePages, DoNotChangeTheFirstUse) {
    run([] {
        ASSERT_NE(allocate(1), nullptr);
        EXPECT_LE(kernel::count(kernel::SBRK).calls, 2u);
        size_t bytes = granules_bytes(thread_heap->current->committed - REGION_FIRST);
        EXPECT_GE(bytes, HEAP_PREALLOCATION);
        EXPECT_LT(bytes, HEAP_PREALLOCATION + 4 * KIB);
        EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
    });
}

struct Filled {
    char *start;
    size_t size;
    unsigned char byte;
};

void expect_kept(const Filled &block, size_t size) {
    for (size_t i = 0; i < size; i += i < 64 ? 1 : 509)
        ASSERT_EQ(static_cast<unsigned char>(block.start[i]), block.byte) << "at " << i;
}

/* Blocks of all sizes, resized and aligned; others take the break in between, and it is trimmed. */
TEST_P(LargePages, KeepContentsWhateverIsAsked) {
    run([] {
        std::mt19937_64 random(11);
        std::vector<Filled> blocks;
        std::vector<Filled> foreign;
        for (size_t step = 0; step < scaled(8000); step++) {
            size_t size = 1 + random() % (size_t{1} << (4 + random() % 17));
            auto byte = static_cast<unsigned char>(1 + random() % 255);
            unsigned choice = random() % 100;
            if (choice < 45 || blocks.empty()) {
                bool clear = choice < 15;
                size_t alignment = size_t{16} << (random() % 4 == 0 ? random() % 15 : 0);
                auto *start = static_cast<char *>(clear ? os_calloc(1, size)
                                                        : os_aligned_alloc(alignment, size));
                ASSERT_NE(start, nullptr);
                if (clear) {
                    for (size_t i = 0; i < size; i++)
                        ASSERT_EQ(start[i], 0) << "at " << i;
                } else {
                    ASSERT_EQ(reinterpret_cast<uintptr_t>(start) % alignment, 0u);
                }
                blocks.push_back({start, size, byte});
                memset(start, byte, size);
                continue;
            }
            std::swap(blocks[random() % blocks.size()], blocks.back());
            Filled &block = blocks.back();
            expect_kept(block, block.size);
            if (choice < 65) {
                block.start = static_cast<char *>(os_realloc(block.start, size));
                ASSERT_NE(block.start, nullptr);
                expect_kept(block, std::min(size, block.size));
                block.size = size;
                block.byte = byte;
                memset(block.start, byte, size);
            } else {
                os_free(block.start);
                blocks.pop_back();
            }
            if (step % 1000 == 500) {
                os_malloc_trim(random() % 100000);
                ASSERT_EQ(os_heap_check(), 0);
                size_t taken = 1 + random() % 5000;
                foreign.push_back({kernel::arena_break(), taken, byte});
                memset(sbrk(static_cast<intptr_t>(taken)), byte, taken);
            }
        }
        for (const Filled &block : blocks) {
            expect_kept(block, block.size);
            os_free(block.start);
        }
        os_malloc_trim(0);
        for (const Filled &block : foreign)
            expect_kept(block, block.size);
    });
}

/* Where the registry took the break because nothing can be mapped, and leaves it again. */
TEST_P(LargePages, OfTheRegistryAreNotSomeoneElsesToo) {
    run([] {
        SKIP_IF_PARANOID();
        for (size_t i = 0; i < 32; i++)
            ASSERT_NE(os_malloc(200 * KIB), nullptr);
        kernel::refuse(kernel::MMAP, 2);
        ASSERT_NE(os_malloc(200 * KIB), nullptr);
        kernel::refuse_nothing();
        char *theirs = static_cast<char *>(sbrk(1000));
        memset(theirs, 7, 1000);
        for (size_t i = 0; i < 200; i++)
            ASSERT_NE(os_malloc(200 * KIB), nullptr);
        for (size_t i = 0; i < 1000; i++)
            ASSERT_EQ(theirs[i], 7);
    });
}

/* Under a limit everything that is free goes back, and comes again. */
TEST_P(LargePages, GoBackBeforeMemoryIsRefused) {
    run([] {
        for (int round = 0; round < 3; round++) {
            std::vector<char *> blocks;
            for (size_t i = 0; i < 400; i++) {
                blocks.push_back(static_cast<char *>(os_malloc(60000)));
                ASSERT_NE(blocks.back(), nullptr);
                memset(blocks.back(), 1, 60000);
            }
            for (char *block : blocks)
                os_free(block);
            /* Refused once, so that regions are given back. */
            kernel::refuse(kernel::MMAP, 1, 1);
            char *large = static_cast<char *>(os_malloc(8 * MIB));
            ASSERT_NE(large, nullptr);
            memset(large, 1, 8 * MIB);
            os_free(large);
            EXPECT_EQ(os_heap_check(), 0);
        }
        EXPECT_GT(kernel::count(kernel::MUNMAP).calls, 0u);
    });
}

} // namespace
} // namespace osmem
