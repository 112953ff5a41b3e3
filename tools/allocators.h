/*
 * The allocators to compare: glibc's own, osmem, and the libraries that are installed here.
 */
#ifndef OSMEM_TOOLS_ALLOCATORS_H
#define OSMEM_TOOLS_ALLOCATORS_H

#include <string>
#include <vector>

namespace osmem {

struct Allocator {
    std::string name;
    std::string library; // absolute path of what LD_PRELOAD names; empty: what the program has
};

// Every known allocator library found where the dynamic loader looks ($LD_LIBRARY_PATH, the
// folders of /etc/ld.so.conf, the usual ones) and where clang keeps its own. One for each name,
// in the order of the table in allocators.cc.
std::vector<Allocator> allocators_installed();

} // namespace osmem

#endif
