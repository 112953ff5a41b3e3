/* How often the kernel is asked: for a growing heap, and for mapped blocks. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

namespace osmem {
namespace {

size_t calls(kernel::Call call) { return kernel::count(call).calls; }

char *request(size_t size) { return static_cast<char *>(os_malloc(size)); }

void expect_logarithmic(size_t size, size_t heap_bytes) {
    size_t bytes = 0;
    double worst = 0;
    while (bytes < heap_bytes) {
        ASSERT_NE(request(size), nullptr);
        bytes += size;
        double doublings = std::log2(static_cast<double>(bytes) / HEAP_PREALLOCATION + 2);
        worst = std::max(worst, static_cast<double>(calls(kernel::SBRK)) / doublings);
    }
    EXPECT_LT(worst, 5) << "break extensions for each doubling of the heap";
    EXPECT_LT(kernel::count(kernel::SBRK).bytes, heap_bytes * 3 / 2 + 2 * REGION_BYTES);
    EXPECT_EQ(kernel::count(kernel::SBRK).refused, 0u);
}

ISOLATED_TEST(HeapGrowth, TakesLogarithmicallyManyCallsForSmallBlocks) {
    expect_logarithmic(100, is_paranoid() ? MIB : 300 * MIB);
}
ISOLATED_TEST(HeapGrowth, TakesLogarithmicallyManyCallsForLargeBlocks) {
    expect_logarithmic(100000, scaled(800 * MIB));
}

ISOLATED_TEST(HeapGrowth, NeverLowersTheBreak) {
    std::mt19937_64 random(101);
    std::vector<void *> live;
    char *highest = kernel::arena_break();
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < scaled(3000); i++)
            live.push_back(request(1 + random() % 5000));
        for (void *ptr : live)
            os_free(ptr);
        live.clear();
        os_malloc_trim(0);
        ASSERT_GE(kernel::arena_break(), highest);
        highest = kernel::arena_break();
    }
}

/* The last granule of a region is as good as any other, and its memory need not be there yet. */
ISOLATED_TEST(HeapGrowth, ReachesARegionsEnd) {
    kernel::open_arena(2 * REGION_BYTES - 4096);
    char *first = allocate(1);
    size_t left = REGION_GRANULES - region_of(first)->top;
    kernel::refuse(kernel::MMAP);
    EXPECT_EQ(request(left * GRANULE_BYTES), first + GRANULE_BYTES);
}

/* The same work again and again needs no more memory than once. */
ISOLATED_TEST(HeapGrowth, EndsWhenTheWorkRepeats) {
    std::vector<void *> live;
    size_t after_first = 0;
    for (int round = 0; round < 10; round++) {
        std::mt19937_64 random(102);
        for (size_t i = 0; i < scaled(5000); i++)
            live.push_back(request(1 + random() % 3000));
        for (void *ptr : live)
            os_free(ptr);
        live.clear();
        if (round == 0)
            after_first = calls(kernel::SBRK);
    }
    EXPECT_EQ(calls(kernel::SBRK), after_first);
}

ISOLATED_TEST(HeapGrowth, UsesTheRestOfAFullRegion) {
    while (kernel::count(kernel::SBRK).bytes < 12 * MIB)
        ASSERT_NE(request(100000), nullptr);
    std::vector<Block> rests = free_blocks();
    ASSERT_FALSE(rests.empty());
    size_t sbrk_before = calls(kernel::SBRK);
    for (const Block &rest : rests)
        EXPECT_EQ(request(rest.size), rest.start);
    EXPECT_EQ(calls(kernel::SBRK), sbrk_before);
}

ISOLATED_TEST(MmapThreshold, DividesHeapAndMappings) {
    SKIP_IF_PARANOID();
    char *below = request(MMAP_THRESHOLD - 1);
    EXPECT_EQ(calls(kernel::MMAP), 0u);
    EXPECT_TRUE(below >= kernel::arena_start() && below < kernel::arena_break());
    size_t sbrk_before = calls(kernel::SBRK);
    char *at = request(MMAP_THRESHOLD);
    EXPECT_EQ(calls(kernel::MMAP), 1u);
    EXPECT_FALSE(at >= kernel::arena_start() && at < kernel::arena_break());
    char *above = request(MMAP_THRESHOLD + 1);
    EXPECT_EQ(calls(kernel::MMAP), 2u);
    EXPECT_TRUE(is_at(at, system_page()) && is_at(above, system_page()));
    EXPECT_EQ(calls(kernel::SBRK), sbrk_before);
    EXPECT_EQ(kernel::count(kernel::MMAP).bytes, 2 * MMAP_THRESHOLD + system_page());
}

ISOLATED_TEST(MappedBlocks, AreUnmappedAtOnceTheFirstTime) {
    SKIP_IF_PARANOID();
    for (size_t shift = 17; shift < 28; shift++) {
        size_t unmaps = calls(kernel::MUNMAP), before = kernel::mapped_bytes();
        char *ptr = request(size_t{1} << shift);
        *ptr = 1;
        os_free(ptr);
        EXPECT_EQ(calls(kernel::MUNMAP), unmaps + 1) << (size_t{1} << shift);
        EXPECT_EQ(kernel::mapped_bytes(), before);
    }
}

/* Freed once and never asked for again: nothing stays, however many there were. */
ISOLATED_TEST(MappedBlocks, AllUnmappedLeaveNothing) {
    SKIP_IF_PARANOID();
    std::vector<char *> blocks;
    for (size_t i = 0; i < 300; i++)
        blocks.push_back(request(MMAP_THRESHOLD + i * 3000));
    for (char *ptr : blocks)
        os_free(ptr);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped, 0u);
    EXPECT_EQ(stats.mapped_cached, 0u);
    EXPECT_LE(kernel::mapped_bytes(), 80 * KIB) << "but for the registry and its margins";
}

ISOLATED_TEST(MappedBlocks, ThatComeAgainCostNoCalls) {
    SKIP_IF_PARANOID();
    for (int round = 0; round < 5; round++)
        os_free(request(5 * MIB));
    size_t before = kernel::all_calls();
    for (int round = 0; round < 100; round++) {
        char *ptr = request(5 * MIB);
        ASSERT_NE(ptr, nullptr);
        memset(ptr, round, 5 * MIB);
        os_free(ptr);
    }
    EXPECT_EQ(kernel::all_calls(), before);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_GE(stats.mapped_cached, 5 * MIB);
    EXPECT_LE(stats.mapped_cached, SPARE_LIMIT);
}

ISOLATED_TEST(MappedBlocks, KeptForLaterAreDroppedByATrim) {
    SKIP_IF_PARANOID();
    for (int round = 0; round < 10; round++)
        os_free(request(MIB));
    os_stats stats;
    os_malloc_stats(&stats);
    ASSERT_GT(stats.mapped_cached, 0u);
    EXPECT_EQ(os_malloc_trim(0), 1);
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_cached, 0u);
    EXPECT_LT(kernel::mapped_bytes(), 64 * KIB);
}

/* OSMEM_CONF=thp:on. */
ISOLATED_TEST(MappedBlocks, BeginWithAHugePageWhereThoseAreAskedFor) {
    setenv("OSMEM_CONF", "thp:on,guard:off", 1);
    for (size_t i = 0; i < 5; i++) {
        char *ptr = request(SYSTEM_HUGE + i * 12345);
        EXPECT_TRUE(is_at(ptr, SYSTEM_HUGE));
        memset(ptr, 1, SYSTEM_HUGE + i * 12345);
    }
    EXPECT_NE(request(SYSTEM_HUGE / 2), nullptr);
    kernel::refuse_any(1);
    EXPECT_EQ(request(3 * SYSTEM_HUGE), nullptr);
    EXPECT_EQ(errno, ENOMEM);
}

ISOLATED_TEST(MappedBlocks, KeptForLaterStayWithinTheirLimit) {
    std::mt19937_64 random(103);
    std::vector<char *> live(40, nullptr);
    for (size_t step = 0; step < scaled(5000); step++) {
        char *&ptr = live[random() % live.size()];
        os_free(ptr);
        ptr = request(MMAP_THRESHOLD + random() % (10 * MIB));
        ASSERT_NE(ptr, nullptr);
        if (step % 50 == 0) {
            os_stats stats;
            os_malloc_stats(&stats);
            ASSERT_LE(stats.mapped_cached, SPARE_LIMIT);
            ASSERT_EQ(os_heap_check(), 0);
            if (!is_paranoid()) {
                ASSERT_LT(kernel::mapped_bytes() - stats.mapped - stats.mapped_cached, 256 * KIB)
                    << "mappings were lost";
            }
        }
    }
}

/* Kept mappings lie beside each other, are merged, cut, resized and moved: contents are kept. */
ISOLATED_TEST(MappedBlocks, KeepTheirContents) {
    std::mt19937_64 random(104);
    struct Live {
        char *ptr;
        size_t size;
        uint64_t seed;
    };
    std::vector<Live> live(12, {nullptr, 0, 0});
    for (size_t step = 0; step < scaled(1500); step++) {
        Live &block = live[random() % live.size()];
        size_t size = MMAP_THRESHOLD + random() % (random() % 4 ? 300 * KIB : 3 * MIB);
        bool resize = random() % 3 == 0;
        if (block.ptr != nullptr) {
            ASSERT_TRUE(is_filled(block.ptr, block.size, block.seed)) << "step " << step;
        }
        if (resize) {
            char *ptr = static_cast<char *>(os_realloc(block.ptr, size));
            ASSERT_NE(ptr, nullptr);
            ASSERT_TRUE(is_filled(ptr, std::min(size, block.size), block.seed)) << "step " << step;
            block.ptr = ptr;
        } else {
            os_free(block.ptr);
            block.ptr = request(size);
            ASSERT_NE(block.ptr, nullptr);
        }
        ASSERT_EQ(os_malloc_usable_size(block.ptr), align_up(size, system_page()));
        fill(block.ptr, size, step);
        block.size = size;
        block.seed = step;
    }
}

void expect_nothing_kept() {
    for (int round = 0; round < 20; round++) {
        size_t unmaps = calls(kernel::MUNMAP);
        os_free(request(MIB));
        EXPECT_EQ(calls(kernel::MUNMAP), unmaps + 1) << "round " << round;
    }
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_cached, 0u);
}

ISOLATED_TEST(MappedCache, CanBeSwitchedOff) {
    SKIP_IF_PARANOID();
    setenv("OSMEM_CONF", "mapped_cache:off", 1);
    ASSERT_NE(request(1), nullptr);
    expect_nothing_kept();
}

/* Also in a program that has no heap yet. */
ISOLATED_TEST(MappedCache, CanBeSwitchedOffBeforeTheHeapIsUsed) {
    SKIP_IF_PARANOID();
    setenv("OSMEM_CONF", "mapped_cache:off", 1);
    expect_nothing_kept();
}

} // namespace
} // namespace osmem
