/*
 * workloads_threaded.h - the cases of several threads.
 */
#ifndef OSMEM_BENCHMARK_WORKLOADS_THREADED_H
#define OSMEM_BENCHMARK_WORKLOADS_THREADED_H

#include "benchmark/workload.h"

namespace benchmarks {

void append_threaded_cases(std::vector<bench_case> &cases, bool quick);

} // namespace benchmarks

#endif
