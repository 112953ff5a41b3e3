/*
 * allocator.h - an allocator as the workloads see it: a table of function pointers.
 *
 * Every allocator is called through such a table, osmem and glibc included, so that the dispatch
 * costs the same for all of them and nothing can be inlined into a workload. The pointers lead to
 * the function itself, never through a PLT.
 */
#ifndef OSMEM_BENCHMARK_ALLOCATOR_H
#define OSMEM_BENCHMARK_ALLOCATOR_H

#include <cstddef>
#include <string>
#include <vector>

namespace benchmarks {

struct allocator {
    void *(*malloc)(std::size_t size);
    void *(*calloc)(std::size_t count, std::size_t size);
    void *(*realloc)(void *ptr, std::size_t size);
    void (*free)(void *ptr);
    int (*check)(); /* 0, or the number of a broken invariant; NULL: has no heap check */
};

/* Where an allocator comes from. */
struct allocator_source {
    std::string name;
    std::string path; /* shared object; empty: osmem and glibc, which are part of the process */
    bool preload;     /* it cannot be loaded into a running process: start one with LD_PRELOAD */
};

/*
 * osmem, glibc, then one of each kind of allocator that lies where the dynamic linker or LLVM keep
 * libraries, the newest release of each.
 */
std::vector<allocator_source> allocators_installed();

/*
 * Resolves the functions of `source` in this process, by dlopen where it has a path. Returns false
 * with the reason in *error when the library cannot be loaded or has no malloc of its own.
 */
bool allocator_load(const allocator_source &source, allocator *table, std::string *error);

} // namespace benchmarks

#endif
