/*
 * workloads_sequential.h - the cases that one thread runs.
 */
#ifndef OSMEM_BENCHMARK_WORKLOADS_SEQUENTIAL_H
#define OSMEM_BENCHMARK_WORKLOADS_SEQUENTIAL_H

#include "benchmark/workload.h"

namespace benchmarks {

void append_sequential_cases(std::vector<bench_case> &cases, bool quick, bool full);

} // namespace benchmarks

#endif
