/* The registry of mapped blocks, and what is kept of them. */
#include "test/core/blocks.h"
#include "test/model/child.h"
#include "test/model/random.h"

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

/* Bytes of mapped blocks: in live ones, and kept. */
struct Mapped {
    size_t live = 0, kept = 0;
};

Mapped mapped_now() {
    Mapped sums;
    mapped_each(
        [](const struct mapped_block *block, void *context) {
            auto &seen = *static_cast<Mapped *>(context);
            (block->live ? seen.live : seen.kept) += block->size;
            return 0;
        },
        &sums);
    return sums;
}

/* Blocks of all mapped sizes come, grow and go, in waves: keeping some does not raise the peak. */
CHILD_TEST(Mapped, KeepingDoesNotRaiseThePeak) {
    Random random(test_seed());
    std::vector<char *> live;
    size_t peak = 0, most_kept = 0;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t size = random.spread(MMAP_THRESHOLD, 24 * MIB), before = mapped_now().live;
        bool declining = i / 500 % 2;
        if (!live.empty() && (live.size() > 40 || random.below(5) < (declining ? 4u : 2u))) {
            std::swap(live[random.below(live.size())], live.back());
            if (random.one_in(4)) {
                live.back() = static_cast<char *>(os_realloc(live.back(), size));
                /* The new block may have been there beside the old one. */
                peak = std::max(peak, before + align_up(size, system_page()));
            } else {
                os_free(live.back());
                live.pop_back();
            }
        } else {
            live.push_back(static_cast<char *>(os_malloc(size)));
        }
        Mapped now = mapped_now();
        peak = std::max(peak, now.live);
        most_kept = std::max(most_kept, now.kept);
        ASSERT_LE(now.live + now.kept, peak + peak / 4 + SPARE_BASE) << "step " << i;
        ASSERT_LE(now.kept, SPARE_LIMIT);
        if (i % 500 == 0) {
            ASSERT_EQ(os_heap_check(), 0);
        }
    }
    EXPECT_GT(most_kept, 8 * MIB) << "nothing worth the name was kept";
}

/* Nor where a block comes that what is kept cannot serve. */
CHILD_TEST(Mapped, KeepingGivesWayToAlignedBlocks) {
    for (int i = 0; i < 10; i++)
        os_free(os_malloc(40 * MIB));
    ASSERT_EQ(mapped_now().kept, 40 * MIB);
    ASSERT_NE(os_aligned_alloc(64 * KIB, 40 * MIB), nullptr);
    EXPECT_LE(mapped_now().kept, 10 * MIB + SPARE_BASE);
}

/* All that lives is freed at once: what stays is in proportion to it. */
CHILD_TEST(Mapped, KeepsLittleOfLittle) {
    for (int round = 0; round < 200; round++) {
        std::vector<void *> blocks;
        for (int i = 0; i < 8; i++)
            blocks.push_back(os_malloc(256 * KIB));
        for (void *block : blocks)
            os_free(block);
    }
    EXPECT_GT(mapped_now().kept, 0u);
    EXPECT_LE(mapped_now().kept, 2 * MIB + MIB / 2 + SPARE_BASE);
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
