/*
 * workloads_sequential.cc - the cases that one thread runs.
 *
 * The pair and batch cases are the allocator's fastest paths. Churn, phases, queue and growth are
 * what programs do to a heap over time: there memory counts as much as time. The realloc and large
 * cases show what a resize and a mapping cost.
 */
#include "benchmark/workloads_sequential.h"

#include <cstring>
#include <ctime>

namespace benchmarks {

namespace {

constexpr std::size_t PAIRS = 1000; /* in each call of a pair workload */

/* ---- fast paths ------------------------------------------------------------------------------ */

void hot_pair(const allocator &heap, stage &stage, std::size_t size) {
    for (std::size_t i = 0; i < PAIRS; i++) {
        void *block = heap.malloc(size);
        if (block == nullptr)
            workload_die("malloc returned NULL", size);
        *static_cast<volatile char *>(block) = 1;
        heap.free(block);
    }
    stage.total.live_peak = size;
    stage.total.operations += PAIRS;
}

void calloc_pair(const allocator &heap, stage &stage, std::size_t size, std::size_t pairs) {
    for (std::size_t i = 0; i < pairs; i++) {
        char *bytes = static_cast<char *>(heap.calloc(1, size));
        if (bytes == nullptr)
            workload_die("calloc returned NULL", size);
        if (bytes[0] != 0 || bytes[size / 2] != 0 || bytes[size - 1] != 0)
            workload_die("calloc did not clear", size);
        block_touch(bytes, size);
        heap.free(bytes);
    }
    stage.total.live_peak = size;
    stage.total.operations += pairs;
}

/* Fills all slots, then empties them: the newest first (a stack), or the oldest first (a queue). */
void batch(const allocator &heap, stage &stage, std::size_t size, bool newest_first) {
    for (std::size_t i = 0; i < stage.slot_count; i++)
        slot_fill(heap, stage.slots[i], stage.total, size);
    for (std::size_t i = 0; i < stage.slot_count; i++) {
        std::size_t index = newest_first ? stage.slot_count - 1 - i : i;
        slot_clear(heap, stage.slots[index], stage.total);
    }
}

/* ---- a heap over time ------------------------------------------------------------------------ */

/* All slots are filled, then random ones are replaced: every block has a random lifetime. */
void churn(const allocator &heap, stage &stage, std::size_t low, std::size_t high,
           std::size_t steps) {
    random_source random(1);
    for (std::size_t i = 0; i < stage.slot_count; i++)
        slot_fill(heap, stage.slots[i], stage.total, random.between(low, high));
    for (std::size_t i = 0; i < steps; i++) {
        slot &place = stage.slots[random.below(stage.slot_count)];
        slot_clear(heap, place, stage.total);
        slot_fill(heap, place, stage.total, random.between(low, high));
    }
}

/* Churn of blocks that are written from end to end, one after the other. */
void written(const allocator &heap, stage &stage, std::size_t low, std::size_t high,
             std::size_t steps) {
    random_source random(6);
    for (std::size_t i = 0; i < steps; i++) {
        slot &place = stage.slots[random.below(stage.slot_count)];
        if (place.block != nullptr)
            slot_clear(heap, place, stage.total);
        slot_fill(heap, place, stage.total, random.between(low, high));
        std::memset(static_cast<char *>(place.block) + SMALLEST, 1, place.size - SMALLEST);
    }
}

struct size_range {
    std::size_t low, high;
};

/*
 * Nine phases, each with its own sizes. A phase frees all but one in eight of the blocks, chosen at
 * random, then allocates its sizes until `live` bytes are live again: what survives lies scattered
 * between the holes that the next sizes have to fit.
 */
void phases(const allocator &heap, stage &stage, std::size_t live) {
    constexpr size_range RANGES[] = {
        {16, 64},  {512, 1024}, {32, 128},          {4 * KIB, 16 * KIB}, {64, 256},
        {24, 512}, {16, 32},    {1 * KIB, 4 * KIB}, {128, 384},
    };
    constexpr std::size_t KEPT_OF = 8;
    random_source random(2);
    std::size_t filled = 0; /* slots below are full, those above empty */
    for (const size_range &range : RANGES) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < filled; i++) {
            if (random.below(KEPT_OF) != 0) {
                slot_clear(heap, stage.slots[i], stage.total);
                continue;
            }
            slot survivor = stage.slots[i];
            stage.slots[i].block = nullptr;
            stage.slots[kept++] = survivor;
        }
        filled = kept;
        while (stage.total.live < live && filled < stage.slot_count) {
            std::size_t size = random.between(range.low, range.high);
            slot_fill(heap, stage.slots[filled++], stage.total, size);
        }
    }
}

/* A queue of all slots: the oldest block makes room for each new one. */
void queue(const allocator &heap, stage &stage, std::size_t low, std::size_t high,
           std::size_t steps) {
    random_source random(3);
    std::size_t head = 0;
    for (std::size_t i = 0; i < steps; i++) {
        slot &oldest = stage.slots[head];
        if (oldest.block != nullptr)
            slot_clear(heap, oldest, stage.total);
        slot_fill(heap, oldest, stage.total, random.between(low, high));
        head = head + 1 == stage.slot_count ? 0 : head + 1;
    }
}

/*
 * A result that grows while temporaries come and go, as in a parser or a compiler: for each block
 * that stays, three of other sizes that are freed some steps later.
 */
void growth(const allocator &heap, stage &stage) {
    constexpr std::size_t TEMPORARIES = 48; /* a ring of slots at the end */
    random_source random(4);
    std::size_t staying = stage.slot_count - TEMPORARIES;
    slot *ring = stage.slots + staying;
    std::size_t turn = 0;
    for (std::size_t i = 0; i < staying; i++) {
        slot_fill(heap, stage.slots[i], stage.total, random.between(16, 256));
        for (int each = 0; each < 3; each++) {
            slot &place = ring[turn];
            if (place.block != nullptr)
                slot_clear(heap, place, stage.total);
            slot_fill(heap, place, stage.total, random.between(16, 2 * KIB));
            turn = (turn + 1) % TEMPORARIES;
        }
    }
}

std::uint64_t cpu_nanoseconds() {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

/*
 * Churn in a heap of a given size with the CPU time of every call measured by itself, less its
 * touching of the block: the longest is what a program waits for now and then. The clock is a
 * system call and costs more than most calls of the allocator.
 */
void longest_call(const allocator &heap, stage &stage, std::size_t steps) {
    random_source random(5);
    std::uint64_t longest = 0;
    auto timed_fill = [&](slot &place) {
        std::size_t size = random.between(16, 2 * KIB);
        std::uint64_t start = cpu_nanoseconds();
        void *block = heap.malloc(size);
        std::uint64_t taken = cpu_nanoseconds() - start;
        if (block == nullptr)
            workload_die("malloc returned NULL", size);
        block_touch(block, size);
        place = {block, size};
        tally_grow(stage.total, size);
        stage.total.operations++;
        longest = taken > longest ? taken : longest;
    };
    auto timed_clear = [&](slot &place) {
        block_verify(place.block, place.size);
        std::uint64_t start = cpu_nanoseconds();
        heap.free(place.block);
        std::uint64_t taken = cpu_nanoseconds() - start;
        stage.total.live -= place.size;
        place.block = nullptr;
        longest = taken > longest ? taken : longest;
    };
    for (std::size_t i = 0; i < stage.slot_count; i++)
        timed_fill(stage.slots[i]);
    for (std::size_t i = 0; i < steps; i++) {
        slot &place = stage.slots[random.below(stage.slot_count)];
        timed_clear(place);
        timed_fill(place);
    }
    stage.total.longest_nanoseconds = longest;
}

/* ---- resizing -------------------------------------------------------------------------------- */

void slot_resize(const allocator &heap, slot &place, tally &total, std::size_t size) {
    void *block = heap.realloc(place.block, size);
    if (block == nullptr)
        workload_die("realloc returned NULL", size);
    block_verify(block, place.size);
    block_touch(block, size);
    total.live -= place.size;
    tally_grow(total, size);
    place = {block, size};
    total.operations++;
}

/*
 * Vectors, one for each slot, that grow in turns from `first` bytes to `last`, doubling or by
 * `step` bytes, and are freed.
 */
void vectors(const allocator &heap, stage &stage, std::size_t first, std::size_t last,
             std::size_t step) {
    for (std::size_t i = 0; i < stage.slot_count; i++)
        slot_fill(heap, stage.slots[i], stage.total, first);
    while (stage.slots[0].size < last) {
        for (std::size_t i = 0; i < stage.slot_count; i++) {
            slot &place = stage.slots[i];
            slot_resize(heap, place, stage.total, step == 0 ? 2 * place.size : place.size + step);
        }
    }
    stage_release(heap, stage);
}

/* ---- cases ----------------------------------------------------------------------------------- */

std::string number(std::size_t value) { return std::to_string(value); }

void append_fast_paths(std::vector<bench_case> &cases) {
    for (std::size_t size : {16,  24,   32,   48,   64,   100,  128,  200,  256,   400,   512,
                             800, 1024, 1500, 2048, 3000, 4096, 6000, 8192, 12000, 16384, 32768}) {
        cases.push_back(
            {"hot_pair/" + number(size), "malloc and free at once", 0, true, 0,
             [=](const allocator &heap, stage &stage) { hot_pair(heap, stage, size); }});
    }
    for (std::size_t count : {100, 1000}) {
        for (std::size_t size : {16, 64, 256, 1024, 4096}) {
            for (bool newest_first : {true, false}) {
                cases.push_back({std::string(newest_first ? "batch_lifo/" : "batch_fifo/") +
                                     number(count) + "x" + number(size),
                                 newest_first ? "allocate all, free the newest first"
                                              : "allocate all, free the oldest first",
                                 count, true, 0, [=](const allocator &heap, stage &stage) {
                                     batch(heap, stage, size, newest_first);
                                 }});
            }
        }
    }
    for (std::size_t size : {64, 1024, 16384, 65536, 1048576}) {
        std::size_t pairs = size < 64 * KIB ? PAIRS : 10;
        cases.push_back(
            {"calloc/" + number(size), "calloc, a touch in each page, free", 0, true, 0,
             [=](const allocator &heap, stage &stage) { calloc_pair(heap, stage, size, pairs); }});
    }
}

void append_heap_over_time(std::vector<bench_case> &cases, bool quick, bool full) {
    std::size_t less = quick ? 20 : 1;
    auto append_churn = [&](const char *name, std::size_t low, std::size_t high) {
        std::size_t steps = 2000000 / less;
        cases.push_back(
            {name, "100,000 live blocks of random sizes and lifetimes", 100000 / less, false, 0,
             [=](const allocator &heap, stage &stage) { churn(heap, stage, low, high, steps); }});
    };
    append_churn("churn/16-4096", 16, 4 * KIB);
    append_churn("churn/16-512", 16, 512);
    append_churn("churn/16-64", 16, 64);

    std::size_t live = 64 * MIB / less;
    cases.push_back({"phases/64MiB", "sizes shift in phases, some blocks survive each", live / 16,
                     false, 0,
                     [=](const allocator &heap, stage &stage) { phases(heap, stage, live); }});
    std::size_t queue_steps = 2000000 / less;
    cases.push_back({"queue/16-1024", "20,000 live blocks, the oldest goes first", 20000, false, 0,
                     [=](const allocator &heap, stage &stage) {
                         queue(heap, stage, 16, 1 * KIB, queue_steps);
                     }});
    cases.push_back({"growth/temporaries", "blocks that stay, amid three times as many that go",
                     500000 / less, false, 0, growth});

    std::vector<std::size_t> heap_sizes = {1, 32, 1024};
    if (quick)
        heap_sizes = {1};
    if (full)
        heap_sizes.push_back(8 * KIB);
    for (std::size_t mib : heap_sizes) {
        std::size_t steps = 2000000 / less;
        cases.push_back(
            {"heap_size/" + number(mib) + "MiB", "churn of 16-2048 bytes: what a larger heap costs",
             mib * MIB / KIB, false, 0,
             [=](const allocator &heap, stage &stage) { churn(heap, stage, 16, 2 * KIB, steps); }});
        cases.push_back(
            {"longest_call/" + number(mib) + "MiB",
             "the same with every call timed (ns/op is the clock's)", mib * MIB / KIB, false, 0,
             [=](const allocator &heap, stage &stage) { longest_call(heap, stage, steps / 5); }});
    }
}

void append_resizing(std::vector<bench_case> &cases) {
    for (std::size_t count : {1, 8}) {
        std::string suffix = count == 1 ? "alone" : number(count) + "_in_turns";
        cases.push_back(
            {"realloc_double/" + suffix, "16 bytes to 1 MiB by doubling", count, true, 0,
             [](const allocator &heap, stage &stage) { vectors(heap, stage, 16, 1 * MIB, 0); }});
        cases.push_back(
            {"realloc_double_64KiB/" + suffix, "16 bytes to 64 KiB by doubling", count, true, 0,
             [](const allocator &heap, stage &stage) { vectors(heap, stage, 16, 64 * KIB, 0); }});
        cases.push_back(
            {"realloc_append/" + suffix, "8 bytes to 32 KiB, 8 bytes a step", count, true, 0,
             [](const allocator &heap, stage &stage) { vectors(heap, stage, 8, 32 * KIB, 8); }});
    }
}

void append_large(std::vector<bench_case> &cases, bool quick) {
    std::size_t less = quick ? 20 : 1;
    std::size_t steps = 1000 / less;
    cases.push_back({"large/128KiB-8MiB", "16 live blocks, replaced at random, all pages touched",
                     16, false, 0, [=](const allocator &heap, stage &stage) {
                         churn(heap, stage, 128 * KIB, 8 * MIB, steps);
                     }});
    for (std::size_t count : {1, 20}) {
        std::size_t again = 300 / less;
        cases.push_back({"large_again/" + number(count) + "x5-25MiB",
                         "5-25 MiB again and again, all pages touched", count, false, 0,
                         [=](const allocator &heap, stage &stage) {
                             churn(heap, stage, 5 * MIB, 25 * MIB, again);
                         }});
        cases.push_back({"large_written/" + number(count) + "x5-25MiB",
                         "5-25 MiB again and again, all bytes written", count, false, 0,
                         [=](const allocator &heap, stage &stage) {
                             written(heap, stage, 5 * MIB, 25 * MIB, again);
                         }});
    }
}

} // namespace

void append_sequential_cases(std::vector<bench_case> &cases, bool quick, bool full) {
    append_fast_paths(cases);
    append_heap_over_time(cases, quick, full);
    append_resizing(cases);
    append_large(cases, quick);
}

} // namespace benchmarks
