/*
 * The heaps on which `osmem trace-demo` runs a script: osmem itself, and textbook heaps of one
 * policy each, for comparison.
 */
#ifndef OSMEM_TOOLS_DEMO_DEMO_HEAP_H
#define OSMEM_TOOLS_DEMO_DEMO_HEAP_H

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/demo/demo_script.h"

namespace osmem {

// A block of a heap. Offsets count from where the heap's blocks begin.
struct DemoBlock {
    size_t begin, size;
    std::string name; // empty: it is free
    bool is_free() const { return name.empty(); }
};

// The blocks of a heap in address order, without gaps, up to the end of the last one in use or
// free.
struct DemoPicture {
    std::vector<DemoBlock> blocks;
    size_t mapped = 0; // bytes in blocks that have a mapping of their own

    size_t end() const { return blocks.empty() ? 0 : blocks.back().begin + blocks.back().size; }
    size_t live() const;
    size_t free_blocks() const;
    size_t largest_free() const;
    const DemoBlock *at(size_t offset) const; // the block around it; nullptr: beyond the end
    const DemoBlock *named(const std::string &name) const;
};

class DemoHeap {
  public:
    virtual ~DemoHeap() = default;
    virtual const char *name() const = 0;
    virtual void perform(const DemoCall &call) = 0;
    virtual DemoPicture picture() const = 0;
};

// This process's own os_malloc, which nothing else in it uses. One can be made.
std::unique_ptr<DemoHeap> demo_osmem();

// First fit, next fit, best fit, worst fit: free blocks are merged at once, and the heap's end
// moves when none fits. Knuth, The Art of Computer Programming, vol. 1, 2.5.
std::vector<std::unique_ptr<DemoHeap>> demo_policies();

// What a step of a single call did to osmem's heap, in words, seen from the pictures before and
// after it.
std::string demo_explain(const DemoCall &call, const DemoPicture &before, const DemoPicture &after);

} // namespace osmem

#endif
