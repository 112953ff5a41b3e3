/*
 * options.h - the command line.
 */
#ifndef OSMEM_BENCHMARK_OPTIONS_H
#define OSMEM_BENCHMARK_OPTIONS_H

#include <string>
#include <vector>

#include "benchmark/allocator.h"

namespace benchmarks {

struct options {
    std::string filter = ".*";           /* cases whose name it matches somewhere */
    std::string json;                    /* file for the results; empty: none */
    std::vector<std::string> only;       /* names of allocators; empty: all */
    std::vector<allocator_source> added; /* by the command line or the environment */
    int rounds = 0;                      /* 0: three, or one when quick */
    double seconds = 0;                  /* for a steady case; 0: 0.05, or 0.005 when quick */
    double limit = 120;                  /* seconds after which a process is killed */
    bool quick = false;
    bool full = false;
    bool list = false;
    /* Of a process that measures: */
    std::string one_allocator; /* NAME=PATH, PATH empty for osmem and glibc */
    std::string one_case;      /* empty: only try to load the allocator */
};

/* Reads the command line and the environment; exits with a message when it cannot be understood. */
options options_parse(int argc, char **argv);

/* NAME=PATH in its parts; a NAME alone has no path. */
allocator_source source_parse(const std::string &text);

} // namespace benchmarks

#endif
