/* Pages of free memory go back to the kernel, unasked and on request. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace osmem {
namespace {

size_t resident() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats.resident;
}

std::vector<char *> burst(size_t bytes, size_t largest, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<char *> blocks;
    for (size_t sum = 0; sum < bytes;) {
        size_t size = 16 + random() % largest;
        blocks.push_back(static_cast<char *>(os_malloc(size)));
        fill(blocks.back(), size, size);
        sum += size;
    }
    std::shuffle(blocks.begin(), blocks.end(), random);
    return blocks;
}

void free_all(const std::vector<char *> &blocks) {
    for (char *block : blocks)
        os_free(block);
}

/*
 * Of what a burst left, the tags and index remain, what waits in the quick sets, and a little that
 * is not worth a call.
 */
TEST(Purge, FollowsABurstUnasked) {
    SKIP_IF_PARANOID();
    for (size_t largest : {200, 4000, 30000, 120000}) {
        run_isolated([=] {
            std::vector<char *> blocks = burst(scaled(128) * MIB, largest, 71);
            size_t peak = resident();
            free_all(blocks);
            EXPECT_LT(resident(), 5 * MIB + std::max(peak / 8, size_t{QUICK_BYTES} * QUICK_MAX))
                << largest;
            EXPECT_GT(kernel::count(kernel::MADVISE).calls, 0u) << largest;
            EXPECT_EQ(os_heap_check(), 0);
        });
    }
}

/* What lives among the purged pages keeps its contents. */
ISOLATED_TEST(Purge, LeavesLiveBlocksAlone) {
    std::vector<char *> blocks = burst(scaled(48) * MIB, 6000, 72);
    std::vector<std::pair<char *, size_t>> live;
    for (size_t i = 0; i < blocks.size(); i++) {
        if (i % 500 == 0) {
            size_t size = os_malloc_usable_size(blocks[i]);
            fill(blocks[i], size, i);
            live.emplace_back(blocks[i], size);
        } else {
            os_free(blocks[i]);
        }
    }
    if (is_paranoid())
        os_malloc_trim(0); /* of so few blocks most wait in the quick sets */
    EXPECT_GT(kernel::count(kernel::MADVISE).calls, 0u);
    for (size_t i = 0; i < live.size(); i++)
        ASSERT_TRUE(is_filled(live[i].first, live[i].second, i * 500)) << i;
    free_all(burst(scaled(16) * MIB, 6000, 73));
    for (size_t i = 0; i < live.size(); i++)
        ASSERT_TRUE(is_filled(live[i].first, live[i].second, i * 500)) << i;
    EXPECT_EQ(os_heap_check(), 0);
}

/* A heap that breathes by a part of what lives pays for no call. */
ISOLATED_TEST(Purge, SparesAHeapThatBreathes) {
    SKIP_IF_PARANOID();
    std::vector<char *> base = burst(scaled(40) * MIB, 2000, 74);
    free_all(burst(scaled(5) * MIB, 2000, 75));
    kernel::reset_counts();
    for (int round = 0; round < 20; round++)
        free_all(burst(scaled(5) * MIB, 2000, 76 + static_cast<uint64_t>(round)));
    EXPECT_EQ(kernel::count(kernel::MADVISE).calls, 0u);
    free_all(base);
}

size_t purges() { return kernel::count(kernel::MADVISE).calls; }

/* How often `rounds` bursts of blocks of 30 KiB, one soon after the other, are purged. */
size_t purges_of(size_t rounds, size_t bytes) {
    size_t before = purges();
    for (size_t round = 0; round < rounds; round++) {
        std::vector<char *> blocks;
        for (size_t sum = 0; sum < bytes; sum += 30 * KIB) {
            blocks.push_back(static_cast<char *>(os_malloc(30 * KIB)));
            fill(blocks.back(), 30 * KIB, sum);
        }
        free_all(blocks);
    }
    return purges() - before;
}

/* What was purged and is in use again soon had better not be; a program may change its ways. */
ISOLATED_TEST(Purge, LearnsWhatComesBackSoon) {
    const size_t burst = 5 * MIB / 2;
    EXPECT_GT(purges_of(1, burst), 0u);
    EXPECT_EQ(thread_heap->purge_slack, 0u);
    purges_of(10, burst);
    EXPECT_GE(granules_bytes(thread_heap->purge_slack), 2 * MIB);
    EXPECT_EQ(purges_of(20, burst), 0u) << "it still is purged, although it comes back";
    EXPECT_GT(purges_of(1, 16 * MIB), 0u) << "what is beyond all measure is purged all the same";
    size_t slack = thread_heap->purge_slack;
    for (int i = 0; i < 12; i++) {
        thread_heap->purged_at -= 5000; /* as if so many milliseconds had gone by */
        purges_of(1, 16 * MIB);
        EXPECT_LT(thread_heap->purge_slack, slack + !slack);
        slack = thread_heap->purge_slack;
    }
    thread_heap->purged_at -= 5000;
    EXPECT_GT(purges_of(1, burst), 0u) << "what it learned is never forgotten";
    EXPECT_EQ(os_heap_check(), 0);
}

/* However soon all of it comes back, no more than that and what lives may stay. */
ISOLATED_TEST(Purge, LearnsToABound) {
    purges_of(40, 32 * MIB);
    EXPECT_GT(purges_of(1, 32 * MIB), 0u);
    EXPECT_LT(resident(), 8 * MIB);
}

/* What was freed is all in the untouched end of the only region. */
ISOLATED_TEST(Purge, IncludesTheEnd) {
    std::vector<char *> blocks;
    while (thread_heap->granules < REGION_GRANULES * 3 / 4)
        blocks.push_back(static_cast<char *>(memset(allocate(6000), 1, granules_bytes(6000))));
    ASSERT_EQ(thread_heap->regions->next, nullptr);
    for (; !blocks.empty(); blocks.pop_back())
        os_free(blocks.back());
    EXPECT_GE(kernel::count(kernel::MADVISE).bytes, 1 * MIB);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LE(stats.resident, 2 * MIB);
}

ISOLATED_TEST(Purge, DoesNotHappenWhereItIsSwitchedOff) {
    conf.purge = false;
    std::vector<char *> blocks = burst(scaled(32) * MIB, 4000, 77);
    free_all(blocks);
    EXPECT_EQ(kernel::count(kernel::MADVISE).calls, 0u);
    EXPECT_EQ(os_malloc_trim(0), 1);
    EXPECT_GT(kernel::count(kernel::MADVISE).calls, 0u);
}

/* calloc clears what was purged only in part, and trusts no page that the kernel kept. */
TEST(Purge, LeavesCallocCorrect) {
    for (bool refused : {false, true}) {
        run_isolated([=] {
            if (refused)
                kernel::refuse(kernel::MADVISE);
            for (int round = 0; round < 4; round++) {
                free_all(burst(scaled(16) * MIB, 9000, 78));
                std::vector<char *> blocks;
                for (size_t i = 0; i < 1500; i++) {
                    size_t size = 16 + i * 37 % 9000;
                    blocks.push_back(static_cast<char *>(os_calloc(1, size)));
                    ASSERT_TRUE(is_zero(blocks.back(), size)) << i;
                    fill(blocks.back(), size, i);
                }
                free_all(blocks);
            }
            EXPECT_EQ(os_heap_check(), 0);
        });
    }
}

} // namespace
} // namespace osmem
