/*
 * measure.h - one case of one allocator, measured in this process by Google Benchmark.
 */
#ifndef OSMEM_BENCHMARK_MEASURE_H
#define OSMEM_BENCHMARK_MEASURE_H

#include "benchmark/allocator.h"
#include "benchmark/workload.h"

namespace benchmarks {

/* Exit statuses of a process that measures; the driver tells them apart. */
enum { MEASURE_DONE = 0, MEASURE_FAILED = 1, MEASURE_UNLOADABLE = 3 };

/* Whether `source` can be loaded and used here: a status of the above, the reason on stderr. */
int measure_probe(const allocator_source &source);

/*
 * Runs `task` on `source` and writes Google Benchmark's JSON to standard output. Steady cases run
 * for about `seconds`. With `check_often` the heap check runs also while the blocks are live.
 * Returns a status of the above.
 */
int measure_case(const allocator_source &source, const bench_case &task, double seconds,
                 bool check_often);

} // namespace benchmarks

#endif
