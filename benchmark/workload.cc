/*
 * workload.cc - what all workloads share, and the list of the cases.
 */
#include "benchmark/workload.h"

#include <cstdio>
#include <cstdlib>

#include "benchmark/workloads_sequential.h"
#include "benchmark/workloads_threaded.h"

namespace benchmarks {

void workload_die(const char *fact, std::size_t size) {
    std::fprintf(stderr, "benchmark: %s (%zu bytes)\n", fact, size);
    std::abort();
}

void stage_release(const allocator &heap, stage &stage) {
    for (std::size_t i = 0; i < stage.slot_count; i++) {
        if (stage.slots[i].block != nullptr)
            slot_clear(heap, stage.slots[i], stage.total);
    }
}

std::vector<bench_case> cases_all(bool quick, bool full) {
    std::vector<bench_case> cases;
    append_sequential_cases(cases, quick, full);
    append_threaded_cases(cases, quick);
    return cases;
}

} // namespace benchmarks
