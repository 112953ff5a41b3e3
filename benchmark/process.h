/*
 * process.h - runs a program to its end, with its output captured and its time limited.
 */
#ifndef OSMEM_BENCHMARK_PROCESS_H
#define OSMEM_BENCHMARK_PROCESS_H

#include <string>
#include <vector>

namespace benchmarks {

struct process_result {
    int exit_code;       /* meaningful when `failure` is empty or says so */
    std::string output;  /* standard output */
    std::string errors;  /* standard error */
    std::string failure; /* "", "exit status 1", "killed by signal 6 (Aborted)", "timed out …" */
};

/*
 * Runs `arguments` (the first is the path) with `settings` (NAME=VALUE) added to the environment.
 * The program is killed after `seconds`.
 */
process_result process_run(const std::vector<std::string> &arguments,
                           const std::vector<std::string> &settings, double seconds);

} // namespace benchmarks

#endif
