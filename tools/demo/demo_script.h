/*
 * The script language of `osmem trace-demo`, a step a line:
 *
 *     malloc NAME SIZE
 *     realloc NAME SIZE
 *     free NAME
 *     random COUNT MOST SEED    COUNT calls of malloc, of up to MOST bytes, and free, as one step
 *     say TEXT                  shown before the next step
 *     # a comment
 */
#ifndef OSMEM_TOOLS_DEMO_DEMO_SCRIPT_H
#define OSMEM_TOOLS_DEMO_DEMO_SCRIPT_H

#include <cstddef>
#include <string>
#include <vector>

namespace osmem {

struct DemoCall {
    enum Kind { MALLOC, REALLOC, FREE } kind;
    std::string name;
    size_t size; // 0 for FREE
};

struct DemoStep {
    std::string line;            // as it stands in the script
    std::string say;             // what was said before it
    std::vector<DemoCall> calls; // one, but of `random`
};

// Failure, with file and line, for what is not in the language, and for what would be misuse: a
// name that is taken, or is not there.
std::vector<DemoStep> demo_parse(const std::string &text, const std::string &file);

// Shows splitting, best fit, coalescing and reallocation in place, then a comparison of policies.
extern const char DEMO_SCRIPT[];

} // namespace osmem

#endif
