/*
 * What the commands that compare allocators have in common: which ones, and options that say so.
 */
#ifndef OSMEM_TOOLS_CHOICE_H
#define OSMEM_TOOLS_CHOICE_H

#include <optional>
#include <string>
#include <vector>

#include "tools/allocators.h"

namespace osmem {

struct AllocatorChoice {
    std::optional<std::vector<std::string>> names; // --allocators; nothing: all
    std::vector<Allocator> also;                   // --also
    std::string library;                           // --lib: osmem's, if it is not the tool's own
};

// glibc first, which all are compared with and which is always chosen, then osmem, then the others.
// UsageError for names that nothing here has, or that two have.
std::vector<Allocator> choose_allocators(const AllocatorChoice &choice);

// The values of options: UsageError if they are not what is expected.
int parse_count(const char *option, const char *text, int least);
double parse_seconds(const char *option, const char *text);
std::vector<std::string> parse_names(const char *text); // of --allocators
Allocator parse_also(const char *text);

} // namespace osmem

#endif
