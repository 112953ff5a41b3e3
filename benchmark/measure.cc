/*
 * measure.cc - one case of one allocator, measured in this process by Google Benchmark.
 *
 * The allocator's peak is the highest resident size of the process in the case, less the resident
 * size just before: the harness has by then mapped its slots and given back what it had freed.
 * Google Benchmark itself allocates from glibc, before and after the case; in the process that
 * measures another allocator, glibc gets room enough beforehand so as not to move the break that
 * the other may use.
 */
#include "benchmark/measure.h"

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "benchmark/memory.h"

namespace benchmarks {

namespace {

struct measurement {
    allocator heap;
    bench_case task;
    stage place;
    bool check_often;
    bool begun;
    std::string failure; /* empty: none */
    std::size_t peak_before, resident_before;
};

std::size_t above(std::size_t value, std::size_t base) { return value > base ? value - base : 0; }

/* Before the first block: what is resident now is not the allocator's. */
void begin(measurement &run, bool is_glibc) {
    constexpr int ROOM = 4 * MIB;
    if (!is_glibc) {
        mallopt(M_TOP_PAD, ROOM);
        mallopt(M_TRIM_THRESHOLD, 2 * ROOM);
        void *volatile blocks[4]; /* more than there is, each less than what glibc would map */
        for (void *volatile &block : blocks)
            block = malloc(100 * KIB);
        for (void *volatile &block : blocks)
            free(block);
    }
    malloc_trim(is_glibc ? 0 : ROOM);
    memory_reset_peak();
    run.peak_before = memory_peak();
    run.resident_before = memory_resident();
    run.begun = true;
}

void check(measurement &run, const char *moment) {
    int broken = run.heap.check == nullptr ? 0 : run.heap.check();
    if (broken != 0 && run.failure.empty())
        run.failure = "heap check " + std::string(moment) + ": invariant " + std::to_string(broken);
}

void report(const measurement &run, benchmark::State &state, std::size_t peak, std::size_t kept) {
    const tally &total = run.place.total;
    auto iterations = static_cast<double>(state.iterations());
    state.counters["operations"] = static_cast<double>(total.operations) / iterations;
    state.counters["peak_bytes"] = static_cast<double>(above(peak, run.peak_before));
    state.counters["live_bytes"] = static_cast<double>(total.live_peak);
    state.counters["kept_bytes"] = static_cast<double>(above(kept, run.resident_before));
    state.counters["longest_ns"] = static_cast<double>(total.longest_nanoseconds);
}

void run_case(measurement &run, benchmark::State &state) {
    run.place.total = {};
    std::size_t peak = 0;
    for (auto _ : state) {
        run.task.work(run.heap, run.place);
        if (run.task.steady)
            continue;
        state.PauseTiming();
        peak = memory_peak();
        if (run.check_often)
            check(run, "with live blocks");
        state.ResumeTiming();
        stage_release(run.heap, run.place);
    }
    if (run.task.steady)
        peak = memory_peak();
    std::size_t kept = memory_resident();
    report(run, state, peak, kept);
    check(run, "at the end");
    if (!run.failure.empty())
        state.SkipWithError(run.failure.c_str());
}

} // namespace

int measure_probe(const allocator_source &source) {
    allocator heap = {};
    std::string error;
    if (!allocator_load(source, &heap, &error)) {
        std::fprintf(stderr, "%s\n", error.c_str());
        return MEASURE_UNLOADABLE;
    }
    void *block = heap.malloc(100);
    if (block == nullptr)
        return MEASURE_FAILED;
    heap.free(block);
    return MEASURE_DONE;
}

int measure_case(const allocator_source &source, const bench_case &task, double seconds,
                 bool check_often) {
    measurement run = {};
    std::string error;
    if (!allocator_load(source, &run.heap, &error)) {
        std::fprintf(stderr, "%s\n", error.c_str());
        return MEASURE_UNLOADABLE;
    }
    run.task = task;
    run.check_often = check_often;
    run.place.slot_count = task.slots;
    run.place.slots = task.slots == 0 ? nullptr : memory_map_array<slot>(task.slots);
    bool is_glibc = source.name == "glibc" && source.path.empty();

    auto *registered =
        benchmark::RegisterBenchmark(task.name.c_str(), [&](benchmark::State &state) {
            if (!run.begun)
                begin(run, is_glibc);
            run_case(run, state);
        });
    if (task.steady)
        registered->MinTime(seconds);
    else
        registered->Iterations(1);
    if (task.threads > 0)
        registered->MeasureProcessCPUTime()->UseRealTime();

    char name[] = "benchmark";
    char *arguments[] = {name, nullptr};
    int count = 1;
    benchmark::Initialize(&count, arguments);
    benchmark::JSONReporter reporter;
    std::size_t done = benchmark::RunSpecifiedBenchmarks(&reporter);
    return done == 1 && run.failure.empty() ? MEASURE_DONE : MEASURE_FAILED;
}

} // namespace benchmarks
