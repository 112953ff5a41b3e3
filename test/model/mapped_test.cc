/* The registry of mapped blocks, and what is kept of them. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace osmem {
namespace {

CHILD_TEST(Mapped, ThousandsAreFoundAndForgotten) {
    std::mt19937 random(5);
    struct Block {
        char *start;
        size_t size;
    };
    std::vector<Block> live;
    for (size_t i = 0; i < scaled(20000); i++) {
        if (live.size() < 3000 && (live.empty() || random() % 5 != 0)) {
            size_t size = MMAP_THRESHOLD + random() % 50000;
            live.push_back({static_cast<char *>(os_malloc(size)), size});
            ASSERT_TRUE(is_at(live.back().start, 4096));
            live.back().start[size - 1] = 1;
        } else {
            std::swap(live[random() % live.size()], live.back());
            ASSERT_EQ(mapped_size(live.back().start), align_up(live.back().size, 4096));
            os_free(live.back().start);
            ASSERT_EQ(mapped_size(live.back().start), 0u);
            live.pop_back();
        }
        if (i % 1000 == 0) {
            ASSERT_EQ(mapped_check(), 0);
        }
    }
    for (const Block &block : live)
        ASSERT_EQ(mapped_size(block.start), align_up(block.size, 4096));
}

CHILD_TEST(Mapped, KnowsItsInside) {
    char *block = static_cast<char *>(os_malloc(300000));
    EXPECT_TRUE(mapped_contains(block) && mapped_contains(block + 299999));
    EXPECT_FALSE(mapped_contains(block - 1));
    EXPECT_FALSE(mapped_contains(block + align_up(300000, 4096)));
    EXPECT_EQ(mapped_size(block + 4096), 0u);
}

size_t kept() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats.mapped_cached;
}

CHILD_TEST(Mapped, KeepsNothingOfABurst) {
    std::vector<void *> blocks;
    for (int i = 0; i < 100; i++)
        blocks.push_back(os_malloc(2 << 20));
    for (void *block : blocks)
        os_free(block);
    EXPECT_EQ(kept(), 0u);
}

CHILD_TEST(Mapped, KeepsABoundedPartOfWhatComesAgain) {
    std::mt19937 random(6);
    for (int i = 0; i < 2000; i++) {
        size_t size = (5 << 20) + random() % (20 << 20);
        char *block = static_cast<char *>(os_malloc(size));
        block[0] = block[size - 1] = 1;
        os_free(block);
        if (i % 100 == 0) {
            ASSERT_LE(kept(), size_t{64} << 20);
            ASSERT_EQ(os_heap_check(), 0);
        }
    }
    EXPECT_GT(kept(), 0u);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LT(stats.munmap_calls, 200u) << "a mapping for each request";
    os_malloc_trim(0);
    EXPECT_EQ(kept(), 0u);
}

CHILD_TEST(Mapped, PartsOfWhatWasKeptNeverOverlap) {
    std::mt19937 random(7);
    std::vector<std::pair<char *, size_t>> live;
    for (size_t i = 0; i < scaled(6000); i++) {
        if (live.size() < 20 && random() % 2 == 0) {
            size_t size = (128 << 10) + random() % (1 << 20);
            live.emplace_back(static_cast<char *>(os_malloc(size)), size);
            fill(live.back().first, size, size);
        } else if (!live.empty()) {
            std::swap(live[random() % live.size()], live.back());
            ASSERT_TRUE(is_filled(live.back().first, live.back().second, live.back().second));
            os_free(live.back().first);
            live.pop_back();
        }
    }
    ASSERT_EQ(os_heap_check(), 0);
}

} // namespace
} // namespace osmem
