/*
 * report.h - the medians of all rounds: a table for each case, a summary, and JSON.
 */
#ifndef OSMEM_BENCHMARK_REPORT_H
#define OSMEM_BENCHMARK_REPORT_H

#include <map>
#include <string>
#include <vector>

#include "benchmark/allocator.h"
#include "benchmark/workload.h"

namespace benchmarks {

/* One case of one allocator in one round, or the median of several. */
struct sample {
    std::string failure; /* empty: the figures are good */
    double cpu, wall;    /* nanoseconds for each operation */
    double peak, live, kept, longest;
    double spread;   /* of a median: (highest - lowest) / median of cpu */
    std::string raw; /* Google Benchmark's own entry */
};

struct result {
    const bench_case *task;
    std::string allocator;
    std::vector<sample> rounds;
    sample median;
};

/* Reads what the measuring process wrote; `failure` is set when it cannot be used. */
sample sample_parse(const std::string &json_text);

/* The median of each figure over the rounds; a failure of any round is the failure of all. */
sample sample_median(const std::vector<sample> &rounds);

/* One case: a row for each allocator. */
void report_table(const std::vector<result> &of_one_case);

/* All cases: a row for each group, the geometric mean of the ratios to glibc. */
void report_summary(const std::vector<result> &results);

/* Google Benchmark's format: each round as it was reported, then the medians as aggregates. */
std::string report_json(const std::vector<result> &results,
                        const std::vector<allocator_source> &sources,
                        const std::map<std::string, std::string> &unavailable);

} // namespace benchmarks

#endif
