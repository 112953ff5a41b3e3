/*
 * What the figures of an analysis suggest to do, in sentences for the program's author.
 */
#ifndef OSMEM_TOOLS_REPORT_ADVICE_H
#define OSMEM_TOOLS_REPORT_ADVICE_H

#include <functional>
#include <string>
#include <vector>

#include "tools/report/analysis.h"

namespace osmem {

struct Advice {
    std::string topic; // a word for programs: "growth", "leak", "pinned", …
    std::string text;
};

// `name` gives the call site of a stack's number in a few words.
std::vector<Advice> advice_on(const TraceInfo &info, const Analysis &analysis,
                              const std::function<std::string(int64_t)> &name);

} // namespace osmem

#endif
