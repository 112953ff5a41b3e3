/* blocks.h - what lies in the heap, by os_heap_walk, and whether contents are kept. */
#ifndef OSMEM_TEST_CORE_BLOCKS_H
#define OSMEM_TEST_CORE_BLOCKS_H

#include "test/core/internal.h"

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <vector>

namespace osmem {

struct Block {
    char *start;
    size_t size;
    os_block_kind kind;

    char *end() const { return start + size; }
    size_t granules() const { return size / GRANULE_BYTES; }
};
std::ostream &operator<<(std::ostream &out, const Block &block);

/* All blocks, in the order of the walk; those of some kinds only. */
std::vector<Block> blocks();
std::vector<Block> free_blocks();

/* Whether a block of the heap lies on a page of small blocks (slab.h). */
bool is_on_page(const Block &block);

/*
 * Runs of adjacent free blocks that can be merged, each as one; those that end at `untouched` are
 * left out, and so are those that the index of a large heap does not know (index.h).
 */
std::vector<Block> free_runs();

/* The block that starts at `ptr`, or a block of size 0. */
Block block_at(const void *ptr);

/* The untouched end that the heap uses: the last region's. Size 0 where there is none. */
Block untouched_end();

/* Writes bytes that depend on `seed` and on their place; whether they are still there. */
void fill(void *ptr, size_t size, uint64_t seed);
bool is_filled(const void *ptr, size_t size, uint64_t seed);

bool is_zero(const void *ptr, size_t size);

inline bool is_at(const void *ptr, size_t alignment) {
    return reinterpret_cast<uintptr_t>(ptr) % alignment == 0;
}

/* A block of whole granules. */
char *allocate(size_t granules);

/* Merges every free block with its free neighbours, as the heap does before it grows. */
void merge_all();

/* Allocates large blocks until the heap is none any more in which every fit is exact. */
void outgrow_small_heap();

/* Fills every hole and the untouched end, until the next request of a granule must grow the heap.
 */
void exhaust_heap();

} // namespace osmem

#endif
