/*
 * block_meta.h - the block metadata: what the heap knows of its blocks, and where it writes it.
 *
 * Vital statistics
 *   alignment of every block       16 bytes, a *granule*
 *   smallest block                 16 bytes
 *   overhead of a block in use     2 bits for each granule, outside the block; nothing inside
 *   what a free block holds        nothing of ours: its memory is never read nor written
 *
 * A block is a run of granules. Where it starts and whether it is free stands in the *tags* of its
 * region: for each *line* of 64 granules (1 KiB) two words, `starts` and `free`. Bit i of `starts`:
 * a block starts at granule i of the line. Bit i of `free`: and that block is free. The block ends
 * where the next one starts; there are no gaps.
 *
 *    granule     0 1 2 3 4 5 6 7 8 9 ...
 *   +-----------+-----+-----------+-
 *   | in use, 5 | 2   | free, 4   |         starts  1 0 0 0 0 1 0 1 0 0 0 ...
 *   +-----------+-----+-----------+-        free    0 0 0 0 0 0 0 1 0 0 0 ...
 *
 * A line that lies wholly inside one block has no start, so `starts` is 0 and `free` is not needed:
 * it holds the block's length in granules, in the first and in the last such line. So the size of a
 * block and its left neighbour are found in O(1), whatever their size. The lines between those two
 * are spare; a free block of LARGE_MIN granules or more keeps its node of the tree of large free
 * blocks there (osmem/large.h).
 *
 *   line          k           k + 1       k + 2       k + 3       k + 4
 *   block   ......[=====================================================]......
 *   starts  one bit           0           0           0           bit of the next block
 *   free    its bit           length      left child  length      ...
 *
 *   split at granule g:   starts |= g, free |= g         the right part is a block of its own
 *   merge with the right: starts &= ~g, free &= ~g       the two are one
 *
 * A *region* is 4 MiB of address space, aligned to its size, with its tags at its start, so that
 * the tags of any address are found by masking it.
 */
#ifndef OSMEM_UTILS_BLOCK_META_H
#define OSMEM_UTILS_BLOCK_META_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "utils/align.h"

#ifndef OSMEM_REGION_SHIFT
#define OSMEM_REGION_SHIFT 22
#endif

#define GRANULE_SHIFT 4
#define GRANULE_BYTES ((size_t)1 << GRANULE_SHIFT)
static_assert(GRANULE_BYTES >= _Alignof(max_align_t), "a block holds any type");

#define LINE_GRANULES ((size_t)64)
#define LINE_BYTES (LINE_GRANULES * GRANULE_BYTES)

#define REGION_BYTES ((size_t)1 << OSMEM_REGION_SHIFT)
#define REGION_GRANULES (REGION_BYTES / GRANULE_BYTES)
#define REGION_LINES (REGION_BYTES / LINE_BYTES)
static_assert(REGION_LINES % 64 == 0, "a bit for each line fills whole words");

/* Requests of this many bytes and more are mapped one by one. */
#define MMAP_THRESHOLD (128 * KIB)

/* What the first use of the heap sets aside for blocks, in bytes. */
#define HEAP_PREALLOCATION (128 * KIB)

/* The block metadata of one line. */
struct tag_line {
    uint64_t starts;
    uint64_t free; /* starts == 0: a length, a tree link, or stale */
};
static_assert(sizeof(struct tag_line) * 64 == LINE_BYTES, "tags are 1/64 of the heap");

/* Granules that hold `size` bytes; 0 for 0 and, by wrapping, for sizes no block can have. */
static inline size_t granules_for(size_t size) {
    return (size + GRANULE_BYTES - 1) >> GRANULE_SHIFT;
}
static inline size_t granules_bytes(size_t granules) { return granules << GRANULE_SHIFT; }

#endif
