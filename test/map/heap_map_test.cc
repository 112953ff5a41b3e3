// os_heap_map: what it writes is what the walk and the statistics say, to the byte.
//
// The cases have a break of their own: that of the process is also moved by the C library's
// allocator, without a lock between the two.
#include "test/core/internal.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"
#include "test/model/random.h"
#include "tools/command.h"
#include "tools/map/snapshot.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

std::string map_path() {
    const char *folder = std::getenv("TEST_TMPDIR");
    return std::string(folder == nullptr ? "/tmp" : folder) + "/" + std::to_string(getpid()) +
           ".osmap";
}

std::string contents(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

Snapshot read_map() { return snapshot_parse(contents(map_path()), "the map"); }

Snapshot take_map() {
    EXPECT_EQ(os_heap_map(map_path().c_str()), 0) << std::strerror(errno);
    return read_map();
}

/* What the walk visits; one entry for each block, of whatever kind. */
using Pieces = std::map<uint64_t, std::tuple<size_t, os_block_kind, size_t>>;

Pieces walk() {
    Pieces pieces;
    os_heap_walk(
        [](const os_block *block, void *context) {
            (*static_cast<Pieces *>(context))[reinterpret_cast<uint64_t>(block->address)] = {
                block->size, block->kind, block->heap};
            return 0;
        },
        &pieces);
    return pieces;
}

/* The same of a map. */
Pieces pieces_of(const Snapshot &snapshot) {
    Pieces pieces;
    for (const SnapshotRegion &region : snapshot.regions) {
        const map_region &place = region.place;
        const auto add = [&](size_t begin, size_t end, os_block_kind kind) {
            if (begin < end)
                pieces[place.address + begin * 16] = {(end - begin) * 16, kind, place.heap};
        };
        add(0, place.first, OS_BLOCK_METADATA);
        add(place.top, place.committed, OS_BLOCK_UNTOUCHED);
        for (size_t granule = place.first; granule < place.top;) {
            const Block block = snapshot_block(region, granule);
            add(block.begin, block.end, block.is_free ? OS_BLOCK_FREE : OS_BLOCK_USED);
            granule = block.end;
        }
    }
    for (const SnapshotMapping &mapping : snapshot.mappings)
        pieces[mapping.place.address] = {mapping.place.length,
                                         mapping.place.kept ? OS_BLOCK_CACHED : OS_BLOCK_MAPPED,
                                         size_t(-1)};
    return pieces;
}

void expect_equal(const Totals &totals, const os_stats &stats) {
    EXPECT_EQ(totals.allocated, stats.allocated);
    EXPECT_EQ(totals.allocated_blocks, stats.allocated_blocks);
    EXPECT_EQ(totals.active, stats.active);
    EXPECT_EQ(totals.free, stats.free);
    EXPECT_EQ(totals.free_blocks, stats.free_blocks);
    EXPECT_EQ(totals.untouched, stats.untouched);
    EXPECT_EQ(totals.metadata, stats.metadata);
    EXPECT_EQ(totals.heap, stats.heap);
    EXPECT_EQ(totals.mapped, stats.mapped);
    EXPECT_EQ(totals.mapped_blocks, stats.mapped_blocks);
    EXPECT_EQ(totals.mapped_cached, stats.mapped_cached);
    EXPECT_EQ(totals.resident, stats.resident);
    EXPECT_EQ(totals.heaps, stats.heaps);
}

/* Blocks of all sizes, some of them freed, with holes and mappings; returns those that live. */
std::vector<void *> make_heap(size_t count, size_t most, uint64_t seed) {
    Random random(seed);
    std::vector<void *> live;
    for (size_t i = 0; i < count; i++) {
        live.push_back(os_malloc(random.between(1, most)));
        if (random.one_in(3)) {
            std::swap(live[random.below(live.size())], live.back());
            os_free(live.back());
            live.pop_back();
        }
    }
    return live;
}

ISOLATED_TEST(HeapMap, OfAHeapNeverUsedIsEmpty) {
    const Snapshot snapshot = take_map();
    EXPECT_TRUE(snapshot.heaps.empty());
    EXPECT_TRUE(snapshot.regions.empty());
    EXPECT_TRUE(snapshot.mappings.empty());
    EXPECT_EQ(snapshot.header.pid, uint64_t(getpid()));
}

ISOLATED_TEST(HeapMap, HasEveryBlockOfTheWalk) {
    make_heap(1000, 20 * KIB, 1);
    for (int i = 0; i < 3; i++)
        os_free(os_malloc(700 * KIB));
    EXPECT_NE(os_malloc(3 * MIB), nullptr);
    const Pieces walked = walk();
    const Snapshot snapshot = take_map();
    EXPECT_EQ(pieces_of(snapshot), walked);
    EXPECT_GT(snapshot.regions.size(), 1u);
    EXPECT_EQ(snapshot.mappings.size(), 2u); /* a live one and a kept one */
}

ISOLATED_TEST(HeapMap, TotalsAreTheStatistics) {
    make_heap(scaled(1000), 150 * KIB, 2);
    os_stats stats;
    os_malloc_stats(&stats);
    const Snapshot snapshot = take_map();
    expect_equal(snapshot_totals(snapshot), stats);
    ASSERT_TRUE(snapshot.statistics);
    expect_equal(snapshot_totals(snapshot), *snapshot.statistics);
    EXPECT_EQ(snapshot.statistics->sbrk_calls, stats.sbrk_calls);
}

ISOLATED_TEST(HeapMap, KnowsWhatWasAskedForInMappings) {
    void *block = os_malloc(200001);
    const Snapshot snapshot = take_map();
    ASSERT_EQ(snapshot.mappings.size(), 1u);
    EXPECT_EQ(snapshot.mappings[0].place.address, reinterpret_cast<uint64_t>(block));
    EXPECT_EQ(snapshot.mappings[0].place.requested, 200001u);
}

ISOLATED_TEST(HeapMap, ShowsWhichPagesAreInMemory) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* which would bring in 2 MiB at once */
    char *block = static_cast<char *>(os_malloc(4 * MIB));
    const size_t page = system_page();
    block[5 * page] = block[7 * page] = block[64 * page] = 1;
    const Snapshot snapshot = take_map();
    for (size_t i = 0; i < 4 * MIB / page; i++)
        EXPECT_EQ(is_resident(snapshot.mappings[0].residency, i * page, page),
                  i == 5 || i == 7 || i == 64);
}

/* The file may be descriptor 0. */
ISOLATED_TEST(HeapMap, IsTakenWithoutStandardInput) {
    os_free(os_malloc(1));
    close(0);
    take_map();
}

ISOLATED_TEST(HeapMap, SaysWhenItWasTaken) {
    os_free(os_malloc(1));
    take_map();
    map_header header;
    std::memcpy(&header, contents(map_path()).data(), sizeof header);
    EXPECT_NEAR(static_cast<double>(header.time_ns) / 1e9, static_cast<double>(time(nullptr)), 100);
}

ISOLATED_TEST(HeapMap, CountsPagesOfFreeBlocksThatWereGivenBack) {
    std::vector<void *> blocks;
    for (int i = 0; i < 40; i++)
        blocks.push_back(std::memset(os_malloc(100 * KIB), 1, 100 * KIB));
    for (size_t i = 1; i < blocks.size() - 1; i++)
        os_free(blocks[i]);
    os_malloc_trim(0);
    const Snapshot snapshot = take_map();
    const Totals totals = snapshot_totals(snapshot);
    EXPECT_GT(totals.free, 3 * MIB);
    EXPECT_GT(totals.purged, totals.free - 64 * KIB);
    EXPECT_LE(totals.purged, totals.free);
}

ISOLATED_TEST(HeapMap, HasAHeapForEachThread) {
    std::vector<std::thread> threads;
    std::atomic<int> busy{3}; /* none ends before all have a heap: it would be taken over */
    for (uint64_t i = 0; i < 3; i++) {
        threads.emplace_back([&busy, i] {
            make_heap(500, 2 * KIB, i);
            for (busy--; busy > 0;)
                std::this_thread::yield();
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    make_heap(500, 2 * KIB, 9);
    std::vector<os_stats> stats; /* of each heap */
    for (os_stats each; os_heap_stats(stats.size(), &each) == 0;)
        stats.push_back(each);
    const Snapshot snapshot = take_map();
    ASSERT_EQ(stats.size(), 3u);
    ASSERT_EQ(snapshot.heaps.size(), stats.size());
    for (const map_heap &heap : snapshot.heaps)
        expect_equal(snapshot_heap_totals(snapshot, heap.number), stats[heap.number]);
}

ISOLATED_TEST(HeapMap, BlocksFreedByAnotherThreadAreFree) {
    std::vector<void *> live = make_heap(2000, 3 * KIB, 5);
    const size_t free_before = snapshot_totals(take_map()).free;
    std::thread([&] {
        for (size_t i = 0; i < live.size(); i += 2)
            os_free(live[i]);
    }).join();
    os_stats stats;
    os_malloc_stats(&stats);
    const Snapshot snapshot = take_map();
    expect_equal(snapshot_totals(snapshot), stats);
    EXPECT_GT(snapshot_totals(snapshot).free, free_before);
}

ISOLATED_TEST(HeapMap, OfAGuardedHeapCountsWhatWaitsForReuseAsFree) {
    setenv("OSMEM_CONF", "guard:on", 1);
    make_heap(300, 3 * KIB, 8);
    for (int i = 0; i < 3; i++)
        os_free(os_malloc(400 * KIB));
    EXPECT_NE(os_malloc(300 * KIB), nullptr);
    os_stats stats;
    os_malloc_stats(&stats);
    const Pieces walked = walk();
    const Snapshot snapshot = take_map();
    EXPECT_EQ(pieces_of(snapshot), walked);
    EXPECT_EQ(snapshot_totals(snapshot).allocated, stats.allocated);
    EXPECT_EQ(snapshot_totals(snapshot).free, stats.free);
    EXPECT_EQ(snapshot_totals(snapshot).mapped, stats.mapped);
    EXPECT_EQ(snapshot_totals(snapshot).mapped_cached, stats.mapped_cached);
}

ISOLATED_TEST(HeapMap, ChangesNothing) {
    make_heap(1000, 10 * KIB, 3);
    const Pieces before = walk();
    const size_t calls = kernel::all_calls();
    errno = 77;
    EXPECT_EQ(os_heap_map(map_path().c_str()), 0);
    EXPECT_EQ(errno, 77);
    EXPECT_EQ(kernel::all_calls(), calls);
    EXPECT_EQ(walk(), before);
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(HeapMap, IsForTheOwnersEyes) {
    umask(0);
    take_map();
    struct stat facts;
    ASSERT_EQ(stat(map_path().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

ISOLATED_TEST(HeapMap, OverwritesALongerFile) {
    std::ofstream(map_path()) << std::string(1 * MIB, 'x');
    os_free(os_malloc(1));
    EXPECT_EQ(take_map().heaps.size(), 1u);
}

ISOLATED_TEST(HeapMap, TellsWhyItCannotBeWritten) {
    os_free(os_malloc(1));
    errno = 0;
    EXPECT_EQ(os_heap_map("/no/such/folder/map"), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(os_heap_map("/"), -1);
    EXPECT_EQ(errno, EISDIR);
    if (access("/dev/full", W_OK) == 0) {
        EXPECT_EQ(os_heap_map("/dev/full"), -1);
        EXPECT_EQ(errno, ENOSPC);
    }
    /* The locks are free again. */
    std::thread([] { EXPECT_NE(os_malloc(10 * MIB), nullptr); }).join();
}

ISOLATED_TEST(HeapMap, IsRefusedUnderALockOfOurs) {
    os_free(os_malloc(1));
    const auto visitor = [](const os_block *, void *) {
        EXPECT_EQ(os_heap_map(map_path().c_str()), -1);
        EXPECT_EQ(errno, EBUSY);
        return 1;
    };
    EXPECT_EQ(os_heap_walk(visitor, nullptr), 1);
    EXPECT_NE(access(map_path().c_str(), F_OK), 0);
    EXPECT_EQ(os_heap_map(map_path().c_str()), 0);
}

ISOLATED_TEST(HeapMap, IsWholeWhileOtherThreadsAllocate) {
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 2; i++)
        threads.emplace_back([&done, i] {
            for (uint64_t seed = i; !done; seed += 2)
                for (void *block : make_heap(200, seed % 8 == 0 ? 300 * KIB : 3 * KIB, seed))
                    os_free(block);
        });
    for (int i = 0; i < 100; i++) {
        const Totals totals = snapshot_totals(take_map());
        EXPECT_EQ(totals.heap, totals.allocated + totals.free + totals.untouched + totals.metadata);
    }
    done = true;
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_EQ(os_heap_check(), 0);
}

/* In a handler, whatever the thread does: each map is whole, or refused. */
volatile sig_atomic_t written, refused, broken;
std::string handler_path;

ISOLATED_TEST(HeapMap, CanBeTakenInASignalHandler) {
    struct sigaction action = {};
    handler_path = map_path();
    action.sa_handler = [](int) {
        const int saved = errno;
        if (os_heap_map(handler_path.c_str()) == 0)
            written = written + 1;
        else if (errno == EBUSY)
            refused = refused + 1;
        else
            broken = broken + 1;
        errno = saved;
    };
    sigaction(SIGALRM, &action, nullptr);
    const itimerval often = {{0, 700}, {0, 700}}, never = {};
    setitimer(ITIMER_REAL, &often, nullptr);
    std::vector<void *> live;
    for (uint64_t seed = 0; written < 100; seed++) {
        for (void *block : live)
            os_free(block);
        live = make_heap(100, 200 * KIB, seed);
    }
    setitimer(ITIMER_REAL, &never, nullptr);
    EXPECT_EQ(broken, 0);
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats;
    os_malloc_stats(&stats);
    expect_equal(snapshot_totals(take_map()), stats);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

void expect_refused(const std::string &bytes) {
    EXPECT_THROW(snapshot_parse(bytes, "damaged"), Failure);
}

ISOLATED_TEST(Snapshot, IsRefusedWhenCutShortAnywhere) {
    make_heap(200, 2 * KIB, 4);
    EXPECT_NE(os_malloc(1 * MIB), nullptr);
    take_map();
    const std::string whole = contents(map_path());
    for (size_t size = 0; size < whole.size(); size += size < 400 ? 1 : 97)
        expect_refused(whole.substr(0, size));
    expect_refused(whole.substr(0, whole.size() - 1));
}

ISOLATED_TEST(Snapshot, ThatIsDamagedIsRefusedOrRead) {
    make_heap(200, 2 * KIB, 4);
    take_map();
    const std::string whole = contents(map_path());
    Random random(11);
    for (int i = 0; i < 3000; i++) {
        std::string bytes = whole;
        for (int changes = 0; changes < 3; changes++)
            bytes[random.below(800)] = char(random.below(256));
        try {
            snapshot_totals(snapshot_parse(bytes, "damaged"));
        } catch (const Failure &) {
        }
    }
}

ISOLATED_TEST(Snapshot, WritesWhatItHasRead) {
    make_heap(500, 200 * KIB, 6);
    take_map();
    const Snapshot first = read_map();
    std::string bytes;
    for (const std::string &record : snapshot_records(first))
        bytes += record;
    const Snapshot second = snapshot_parse(bytes, "again");
    EXPECT_EQ(pieces_of(second), pieces_of(first));
    EXPECT_EQ(bytes.size(), contents(map_path()).size());
}

} // namespace
} // namespace osmem
