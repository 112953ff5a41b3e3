/*
 * What the commands that compare allocators have in common: which ones, and options that say so.
 */
#ifndef OSMEM_TOOLS_CHOICE_H
#define OSMEM_TOOLS_CHOICE_H

#include <optional>
#include <string>
#include <vector>

#include "tools/allocators.h"
#include "tools/options.h"

namespace osmem {

struct AllocatorChoice {
    std::optional<std::vector<std::string>> names; // --allocators; nothing: all
    std::vector<Allocator> also;                   // --also
    std::string library;                           // --lib: osmem's, if it is not the tool's own
};

// glibc first, which all are compared with and which is always chosen, then osmem, then the others.
// UsageError for names that nothing here has, or that two have.
std::vector<Allocator> choose_allocators(const AllocatorChoice &choice);

// --allocators, --also and --lib.
std::vector<Option> choice_options(AllocatorChoice *choice);

} // namespace osmem

#endif
