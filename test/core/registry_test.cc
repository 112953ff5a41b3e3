/* The registry of mapped blocks: how it grows, and what it knows of a block. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <vector>

namespace osmem {
namespace {

constexpr size_t FIRST = 32; /* blocks that it holds before it must grow */
constexpr size_t SIZE = 200 * KIB;

std::vector<char *> map_blocks(size_t count) {
    std::vector<char *> blocks;
    for (size_t i = 0; i < count; i++) {
        blocks.push_back(static_cast<char *>(os_malloc(SIZE)));
        EXPECT_EQ(region_owner(blocks.back()), nullptr);
    }
    return blocks;
}

ISOLATED_TEST(Registry, GrowsWhenHalfOfItIsUsed) {
    map_blocks(FIRST);
    size_t calls = kernel::count(kernel::MMAP).calls;
    map_blocks(1);
    if (!is_paranoid()) {
        EXPECT_EQ(kernel::count(kernel::MMAP).calls, calls + 2);
    }
    EXPECT_EQ(mapped_check(), 0);
}

/* Refused a mapping for itself, it grows into the break. */
ISOLATED_TEST(Registry, GrowsIntoTheBreakWhenRefusedAMapping) {
    SKIP_IF_PARANOID();
    map_blocks(FIRST);
    size_t mapped = kernel::mapped_bytes();
    kernel::refuse(kernel::MMAP, 2);
    map_blocks(1);
    EXPECT_EQ(kernel::mapped_bytes(), mapped + align_up(SIZE, system_page()));
    kernel::refuse_nothing();
    map_blocks(5);
    EXPECT_EQ(mapped_check(), 0);
}

/* Refused any memory for itself, it takes no block: that comes from the heap, and the mapping goes.
 */
ISOLATED_TEST(Registry, RefusesTheBlockThatItCannotHold) {
    SKIP_IF_PARANOID();
    for (int i = 0; i < 6; i++)
        ASSERT_NE(os_malloc(MMAP_THRESHOLD / 2), nullptr); /* the heap has room for a block then */
    std::vector<char *> room;
    for (int i = 0; i < 6; i++)
        room.push_back(static_cast<char *>(os_malloc(MMAP_THRESHOLD / 2)));
    for (char *ptr : room)
        os_free(ptr);
    map_blocks(FIRST);
    size_t mapped = kernel::mapped_bytes();
    kernel::refuse(kernel::MMAP, 2);
    kernel::refuse(kernel::SBRK, 1);
    void *ptr = os_malloc(SIZE);
    ASSERT_NE(ptr, nullptr);
    EXPECT_NE(region_owner(ptr), nullptr);
    EXPECT_EQ(kernel::mapped_bytes(), mapped);
    kernel::refuse_nothing();
    map_blocks(5);
    EXPECT_EQ(mapped_check(), 0);
}

/* Blocks that come and go in any order are found by their addresses, and only by these. */
ISOLATED_TEST(Registry, FindsEveryBlockAmongMany) {
    std::mt19937_64 random(5);
    std::vector<char *> live;
    for (size_t step = 0; step < scaled(6000); step++) {
        if (live.size() < 150 && random() % 2) {
            live.push_back(static_cast<char *>(os_malloc(MMAP_THRESHOLD)));
        } else if (!live.empty()) {
            std::swap(live[random() % live.size()], live.back());
            os_free(live.back());
            live.pop_back();
        }
        if (step % 64 == 0) {
            ASSERT_EQ(mapped_check(), 0) << step;
            for (char *each : live)
                ASSERT_EQ(mapped_size(each), MMAP_THRESHOLD);
        }
    }
    for (char *each : live) {
        EXPECT_EQ(mapped_size(each + 4096), 0u);
        EXPECT_TRUE(mapped_contains(each + MMAP_THRESHOLD - 1));
    }
}

TEST(Registry, MapsNothingOfAnImpossibleSize) {
    bool zeroed;
    EXPECT_EQ(mapped_allocate(SIZE_MAX, GRANULE_BYTES, &zeroed), nullptr);
}

/* One that had to stay as long as it was is still of the size that was asked for. */
ISOLATED_TEST(Registry, KnowsWhatWasAskedForWhereTheMappingIsLonger) {
    char *ptr = static_cast<char *>(os_malloc(MIB));
    ASSERT_NE(allocate(1), nullptr);
    exhaust_heap();
    kernel::refuse_any(1);
    ASSERT_EQ(os_realloc(ptr, 70000), ptr);
    kernel::refuse_nothing();
    EXPECT_EQ(os_malloc_usable_size(ptr), MIB);
    EXPECT_TRUE(mapped_fits(ptr, 70000));
    EXPECT_TRUE(mapped_fits(ptr, MIB));
    EXPECT_FALSE(mapped_fits(ptr, 80000));
    os_free_sized(ptr, 70000);
}

} // namespace
} // namespace osmem
