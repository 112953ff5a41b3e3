#include "test/core/blocks.h"
#include "test/core/internal.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <semaphore.h>
#include <thread>
#include <vector>

namespace osmem {
namespace {

os_stats stats_now() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats;
}

os_stats heap_stats(size_t index) {
    os_stats stats;
    EXPECT_EQ(os_heap_stats(index, &stats), 0);
    return stats;
}

std::vector<os_block> walk() {
    std::vector<os_block> blocks;
    EXPECT_EQ(os_heap_walk(
                  [](const os_block *block, void *context) {
                      static_cast<std::vector<os_block> *>(context)->push_back(*block);
                      return 0;
                  },
                  &blocks),
              0);
    return blocks;
}

struct Sum {
    size_t bytes = 0, blocks = 0;
};

std::map<os_block_kind, Sum> sums() {
    std::map<os_block_kind, Sum> sums;
    for (const os_block &block : walk()) {
        sums[block.kind].bytes += block.size;
        sums[block.kind].blocks++;
    }
    return sums;
}

/* Blocks of all kinds in this thread's heap, holes between them; returns those that live. */
std::vector<char *> make_heap(size_t count) {
    Random random(7);
    std::vector<char *> live;
    for (size_t i = 0; i < count; i++) {
        live.push_back(static_cast<char *>(os_malloc(random.spread(1, 100 * KIB))));
        if (random.one_in(3)) {
            os_free(live.back());
            live.pop_back();
        }
    }
    return live;
}

void expect_totals_of_the_walk(const os_stats &stats) {
    auto sum = sums();
    EXPECT_EQ(stats.allocated, sum[OS_BLOCK_USED].bytes);
    EXPECT_EQ(stats.allocated_blocks, sum[OS_BLOCK_USED].blocks);
    EXPECT_EQ(stats.free, sum[OS_BLOCK_FREE].bytes);
    EXPECT_EQ(stats.free_blocks, sum[OS_BLOCK_FREE].blocks);
    EXPECT_EQ(stats.untouched, sum[OS_BLOCK_UNTOUCHED].bytes);
    EXPECT_EQ(stats.metadata, sum[OS_BLOCK_METADATA].bytes);
    EXPECT_EQ(stats.mapped, sum[OS_BLOCK_MAPPED].bytes);
    EXPECT_EQ(stats.mapped_blocks, sum[OS_BLOCK_MAPPED].blocks);
    EXPECT_EQ(stats.mapped_cached, sum[OS_BLOCK_CACHED].bytes);
    EXPECT_EQ(stats.heap, stats.allocated + stats.free + stats.untouched + stats.metadata);
    EXPECT_EQ(stats.requested, stats.allocated + stats.mapped);
}

CHILD_TEST(Stats, AreNothingBeforeTheFirstCall) {
    os_stats stats = stats_now();
    EXPECT_EQ(stats.heap, 0u);
    EXPECT_EQ(stats.heaps, 0u);
    EXPECT_EQ(stats.mapped, 0u);
    EXPECT_EQ(stats.resident, 0u);
    EXPECT_EQ(stats.sbrk_calls, 0u);
    EXPECT_EQ(stats.mmap_calls, 0u);
    EXPECT_TRUE(walk().empty());
}

CHILD_TEST(Stats, TotalsAreThoseOfTheWalk) {
    std::vector<char *> live = make_heap(1000);
    void *mapped = os_malloc(1 * MIB);
    for (int i = 0; i < 2; i++)
        os_free(os_malloc(300 * KIB));
    os_stats stats = stats_now();
    EXPECT_EQ(stats.allocated_blocks, live.size());
    EXPECT_EQ(stats.mapped_blocks, 1u);
    EXPECT_GT(stats.mapped_cached, 0u);
    expect_totals_of_the_walk(stats);
    for (char *block : live)
        os_free(block);
    os_free(mapped);
    stats = stats_now();
    EXPECT_EQ(stats.allocated, 0u);
    EXPECT_EQ(stats.mapped, 0u);
    expect_totals_of_the_walk(stats);
}

CHILD_TEST(Stats, EveryBlockCountsWithItsGranules) {
    os_free(os_malloc(1));
    os_stats before = stats_now();
    size_t bytes = 0;
    for (size_t size = 1; size < 600; size += 7) {
        ASSERT_NE(os_malloc(size), nullptr);
        bytes += (size + 15) / 16 * 16;
        os_stats now = stats_now();
        ASSERT_EQ(now.allocated, before.allocated + bytes);
        ASSERT_EQ(now.heap, before.heap);
    }
}

CHILD_TEST(Stats, HeapMemoryIsAccountedForToTheLastByte) {
    make_heap(3000);
    os_stats stats = stats_now();
    size_t committed = 0;
    for (region *each = thread_heap->regions; each != nullptr; each = each->next)
        committed += granules_bytes(each->committed);
    EXPECT_EQ(stats.heap, committed);
}

CHILD_TEST(Stats, FreedByAnotherThreadIsFree) {
    std::vector<char *> live;
    for (int i = 0; i < 100; i++)
        live.push_back(static_cast<char *>(os_malloc(100)));
    std::thread([&] {
        for (char *block : live)
            os_free(block);
    }).join();
    os_stats stats = stats_now();
    EXPECT_EQ(stats.allocated_blocks, 0u);
    EXPECT_EQ(stats.allocated, 0u);
    expect_totals_of_the_walk(stats);
}

CHILD_TEST(Stats, BlocksOfAnEndedThreadAreFreeOnceFreed) {
    std::vector<char *> live;
    std::thread([&] { live = make_heap(200); }).join();
    for (char *block : live)
        os_free(block);
    EXPECT_EQ(stats_now().allocated_blocks, 0u);
}

CHILD_TEST(Stats, RequestedIsExactWhereThatIsSwitchedOn) {
    setenv("OSMEM_CONF", "requested:on", 1);
    size_t sum = 0;
    std::vector<std::pair<void *, size_t>> live;
    for (size_t i = 1; i < 3000; i++) {
        size_t size = i * 7919 % 3001 + (i % 100 == 0 ? 200000 : 1);
        live.emplace_back(i % 2 ? os_malloc(size) : os_calloc(1, size), size);
        sum += size;
        if (i % 3 == 0) {
            auto &[ptr, old] = live[live.size() / 2];
            sum += i - old;
            ptr = os_realloc(ptr, old = i);
        }
        if (i % 5 == 0) {
            os_free(live.back().first);
            sum -= live.back().second;
            live.pop_back();
        }
    }
    EXPECT_EQ(stats_now().requested, sum);
    EXPECT_EQ(os_heap_check(), 0);
}

CHILD_TEST(Stats, ResidentFollowsTheTouchedPages) {
    size_t page = system_page();
    os_free(os_malloc(1));
    size_t before = stats_now().resident;
    EXPECT_GT(before, 0u);
    auto block = static_cast<char *>(os_malloc(256 * page));
    ASSERT_NE(block, nullptr);
    EXPECT_LE(stats_now().resident, before + 4 * page);
    for (size_t i = 0; i < 100; i++)
        block[i * page] = 1;
    size_t touched = stats_now().resident;
    /* Huge pages may bring more than was touched. */
    EXPECT_GE(touched, before + 100 * page);
    EXPECT_LE(touched, before + 260 * page);
    os_free(block);
    EXPECT_LE(stats_now().resident, before + 4 * page);
}

CHILD_TEST(Stats, ResidentFallsByWhatIsGivenBack) {
    std::vector<char *> live;
    for (int i = 0; i < 200; i++) {
        live.push_back(static_cast<char *>(os_malloc(20 * KIB)));
        memset(live.back(), 1, 20 * KIB);
    }
    size_t before = stats_now().resident;
    EXPECT_GE(before, 200 * 20 * KIB);
    for (char *block : live)
        os_free(block);
    EXPECT_EQ(os_malloc_trim(0), 1);
    EXPECT_LE(stats_now().resident + 190 * 20 * KIB, before);
}

CHILD_TEST(Stats, ResidentIsAtMostWhatIsHeld) {
    for (char *block : make_heap(2000))
        memset(block, 1, os_malloc_usable_size(block));
    os_stats stats = stats_now();
    EXPECT_GE(stats.resident, stats.allocated);
    EXPECT_LE(stats.resident,
              stats.heap + stats.mapped + stats.mapped_cached + 2 * system_page() * stats.heaps);
}

CHILD_TEST(Stats, CallsAreCounted) {
    os_free(os_malloc(1));
    os_stats before = stats_now();
    EXPECT_GE(before.sbrk_calls, 1u);
    EXPECT_LE(before.sbrk_calls, 2u);
    if (is_paranoid())
        return;
    EXPECT_EQ(before.mmap_calls, 0u);

    void *mapped = os_malloc(1 * MIB);
    EXPECT_EQ(stats_now().mmap_calls, 1u);
    mapped = os_realloc(mapped, 2 * MIB);
    EXPECT_EQ(stats_now().mremap_calls, 1u);
    os_free(mapped);
    EXPECT_EQ(stats_now().munmap_calls, 1u);

    std::vector<void *> live;
    for (int i = 0; i < 5; i++)
        live.push_back(memset(os_malloc(100 * KIB), 1, 100 * KIB));
    EXPECT_GT(stats_now().sbrk_calls, before.sbrk_calls);
    EXPECT_EQ(stats_now().madvise_calls, 0u);
    os_free(live[1]);
    os_malloc_trim(1 * MIB);
    EXPECT_EQ(stats_now().madvise_calls, 1u);
}

CHILD_TEST(Stats, CountTheHeapsOfOtherThreads) {
    os_free(os_malloc(1));
    sem_t allocated, counted;
    sem_init(&allocated, 0, 0);
    sem_init(&counted, 0, 0);
    std::thread other([&] {
        for (int i = 0; i < 10; i++)
            EXPECT_NE(os_malloc(1000), nullptr);
        sem_post(&allocated);
        sem_wait(&counted);
    });
    sem_wait(&allocated);
    os_stats own = heap_stats(0), theirs = heap_stats(1), all = stats_now();
    EXPECT_EQ(own.allocated_blocks, 0u);
    EXPECT_EQ(theirs.allocated_blocks, 10u);
    EXPECT_EQ(theirs.allocated, 10u * 1008);
    EXPECT_EQ(theirs.heaps, 1u);
    EXPECT_EQ(theirs.mapped, 0u);
    EXPECT_EQ(all.heaps, 2u);
    EXPECT_EQ(all.allocated, 10u * 1008);
    EXPECT_EQ(all.heap, own.heap + theirs.heap);
    EXPECT_EQ(all.free, own.free + theirs.free);
    EXPECT_EQ(all.untouched, own.untouched + theirs.untouched);
    EXPECT_EQ(all.metadata, own.metadata + theirs.metadata);
    EXPECT_EQ(all.resident, own.resident + theirs.resident);
    for (const os_block &block : walk()) {
        if (block.kind == OS_BLOCK_USED) {
            EXPECT_EQ(block.heap, 1u);
        }
    }
    sem_post(&counted);
    other.join();
    EXPECT_EQ(heap_stats(1).allocated_blocks, 10u);
}

CHILD_TEST(Stats, OfAHeapThatIsNotThereAreEinval) {
    os_stats stats;
    for (size_t index : {size_t{0}, size_t{1}, SIZE_MAX}) {
        errno = 0;
        EXPECT_EQ(os_heap_stats(index, &stats), -1);
        EXPECT_EQ(errno, EINVAL);
        EXPECT_TRUE(is_zero(&stats, sizeof stats));
    }
    os_free(os_malloc(1));
    EXPECT_EQ(os_heap_stats(0, &stats), 0);
    errno = 0;
    EXPECT_EQ(os_heap_stats(1, &stats), -1);
    EXPECT_EQ(errno, EINVAL);
}

CHILD_TEST(Walk, BlocksOfARegionAscendWithoutGaps) {
    make_heap(3000);
    std::thread([] { make_heap(300); }).join();
    const os_block *last = nullptr;
    size_t regions = 0;
    std::vector<os_block> blocks = walk();
    for (const os_block &block : blocks) {
        ASSERT_NE(block.size, 0u);
        ASSERT_TRUE(is_at(block.address, 16));
        if (block.kind == OS_BLOCK_METADATA) {
            EXPECT_EQ(block.address, region_of(block.address));
            regions++;
        } else {
            ASSERT_NE(last, nullptr);
            ASSERT_EQ(static_cast<char *>(last->address) + last->size, block.address);
            ASSERT_EQ(last->heap, block.heap);
        }
        last = &block;
    }
    EXPECT_GE(regions, 2u);
}

CHILD_TEST(Walk, ListsEveryLiveBlockOnce) {
    std::map<void *, size_t> live;
    for (char *block : make_heap(500))
        live[block] = os_malloc_usable_size(block);
    for (size_t size = 128 * KIB; size < 1 * MIB; size += 99 * KIB) {
        void *block = os_malloc(size);
        live[block] = os_malloc_usable_size(block);
    }
    for (const os_block &block : walk()) {
        if (block.kind != OS_BLOCK_USED && block.kind != OS_BLOCK_MAPPED)
            continue;
        ASSERT_EQ(live.count(block.address), 1u);
        EXPECT_EQ(live[block.address], block.size);
        EXPECT_EQ(block.heap, block.kind == OS_BLOCK_USED ? 0 : SIZE_MAX);
        live.erase(block.address);
    }
    EXPECT_TRUE(live.empty());
}

CHILD_TEST(Walk, ListsMappedAndCachedBlocks) {
    void *mapped = os_malloc(200 * KIB), *cached = nullptr;
    for (int i = 0; i < 2; i++)
        os_free(cached = os_malloc(500 * KIB));
    std::vector<os_block> blocks = walk();
    ASSERT_EQ(blocks.size(), 2u);
    EXPECT_EQ(blocks[0].address, mapped);
    EXPECT_EQ(blocks[0].size, 200 * KIB);
    EXPECT_EQ(blocks[0].kind, OS_BLOCK_MAPPED);
    EXPECT_EQ(blocks[0].heap, SIZE_MAX);
    EXPECT_EQ(blocks[1].address, cached);
    EXPECT_EQ(blocks[1].size, 500 * KIB);
    EXPECT_EQ(blocks[1].kind, OS_BLOCK_CACHED);
    os_malloc_trim(0);
    EXPECT_EQ(walk().size(), 1u);
}

/* The visit at which to end the walk, and how many there were. */
struct Visits {
    size_t last, count;
};

int end_at(const os_block *, void *context) {
    auto visits = static_cast<Visits *>(context);
    return ++visits->count == visits->last ? -7 : 0;
}

CHILD_TEST(Walk, EndsWhenTheVisitorSaysSo) {
    make_heap(50);
    EXPECT_NE(os_malloc(200 * KIB), nullptr);
    for (int i = 0; i < 2; i++)
        os_free(os_malloc(500 * KIB));
    size_t count = walk().size();
    for (size_t last = 1; last <= count; last++) {
        Visits visits = {last, 0};
        EXPECT_EQ(os_heap_walk(end_at, &visits), -7);
        EXPECT_EQ(visits.count, last);
    }
    Visits never = {0, 0};
    EXPECT_EQ(os_heap_walk(end_at, &never), 0);
    EXPECT_EQ(never.count, count);
    /* Every lock is free again. */
    EXPECT_NE(os_malloc(200 * KIB), nullptr);
    EXPECT_EQ(os_heap_check(), 0);
}

/* Also inside a heap of several regions. */
CHILD_TEST(Walk, EndsInsideAHeapOfSeveralRegions) {
    while (thread_heap->regions == nullptr || thread_heap->regions->next == nullptr)
        ASSERT_NE(os_malloc(100 * KIB), nullptr);
    size_t count = walk().size();
    for (size_t last = 1; last <= count; last++) {
        Visits visits = {last, 0};
        EXPECT_EQ(os_heap_walk(end_at, &visits), -7);
        EXPECT_EQ(visits.count, last);
    }
}

CHILD_TEST(Walk, LeavesTheHeapAsItIs) {
    make_heap(300);
    os_stats before = stats_now();
    walk();
    os_stats after = stats_now();
    EXPECT_EQ(memcmp(&before, &after, sizeof before), 0);
}

} // namespace
} // namespace osmem
