/*
 * What a comparison found: every run of every allocator, and what follows from them, as a table
 * for people and as JSON for programs.
 *
 * A run counts if it ended as the program does under glibc: by itself and with that exit status.
 * Figures are medians over the runs that count; those that do not are told of, never dropped in
 * silence.
 */
#ifndef OSMEM_TOOLS_COMPARE_COMPARISON_H
#define OSMEM_TOOLS_COMPARE_COMPARISON_H

#include <cstdio>
#include <string>
#include <vector>

#include "tools/allocators.h"
#include "tools/measure.h"

namespace osmem {

struct Subject {
    Allocator allocator;
    std::vector<Run> warmups; // not measured, but checked
    std::vector<Run> runs;
};

struct Comparison {
    std::vector<std::string> command;
    std::vector<Subject> subjects; // the first is glibc, which the others are compared with
    bool interrupted = false;
};

void comparison_print(const Comparison &comparison, FILE *file);

std::string comparison_json(const Comparison &comparison);

// Whether every run ended alike, with the same output, and had its library.
bool comparison_is_clean(const Comparison &comparison);

} // namespace osmem

#endif
