/*
 * bins.h - the index of free blocks of fewer than LARGE_MIN granules: one bin for each size, so
 * that the fit is exact.
 *
 * The index lies outside the blocks and is made of hints: a bin is a stack of lines in which a free
 * block of its size may start, in chunks of a cache line. The tags say which of a line's blocks
 * these are, so blocks of a size come up line by line, in order of address: what is allocated one
 * after the other lies side by side. A block that leaves the heap's free memory by being merged
 * leaves its line behind, and the line is dropped when it comes up and has none. So merging touches
 * no list and no neighbour's memory, and nothing that a program writes into freed memory can
 * mislead the allocator. The index can be dropped and built anew from the tags at any time (heap.c
 * does, when it has grown by many entries or memory for entries was refused).
 *
 * A bitmap over the sizes, of two levels, says which bins, or sets of quick.h, may hold a block.
 *
 * Invariants
 *   B1  `nonempty` has the bit of every size that a chunk or a quick set holds.
 *   B2  bit i of `summary` is set if word i of `nonempty` is not 0, and stays so for quick sets.
 *   B3  of every free block below LARGE_MIN, the line is in the bin of its size, unless
 * `incomplete` is set. Not meant are those in a quick set, the heap's run and chunk, untouched
 * ends, and in a large heap fragments: up to SLAB_MAX granules and not on a page (slab.h).
 * `granules` is the sum of the sizes of all, fragments too. One owner, no locks.
 */
#ifndef OSMEM_OSMEM_BINS_H
#define OSMEM_OSMEM_BINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/quick.h"
#include "osmem/region.h"
#include "utils/bits.h"
#include "utils/block_meta.h"

/* Sizes below this many granules (32 KiB) have a bin each; larger blocks are in large.h's tree. */
#define LARGE_MIN 2048

/* The bin of pages of small blocks in which every block was free (slab.h), by their first lines. */
#define VACANT_BIN 0

#define CHUNK_ENTRIES 12

/* Entries are numbers of lines (region.h) modulo 2^32; `zone` is the rest, for all in a chunk. */
struct bin_chunk {
    struct bin_chunk *below;
    uint32_t zone;
    uint32_t count; /* 0 in none that a bin holds */
    uint32_t entries[CHUNK_ENTRIES];
};
static_assert(sizeof(struct bin_chunk) == 64, "a chunk is a cache line");

static inline uint64_t bins_entry(const struct bin_chunk *chunk, size_t index) {
    return (uint64_t)chunk->zone << 32 | chunk->entries[index];
}

struct bins {
    uint64_t summary;
    uint64_t nonempty[LARGE_MIN / 64];
    struct bin_chunk *spare; /* chunks not in use */
    char *unused;            /* memory for chunks [unused, unused_end) not cut yet */
    char *unused_end;
    struct bin_chunk *mapped; /* memory that was mapped for chunks, by `below` of the first in it */
    bool maps_none;           /* none may be */
    size_t granules;          /* in all blocks of B3; who takes one out counts it out */
    size_t entries;           /* in all bins, whether they are good for anything or not */
    size_t known;             /* how many they were when the index was built anew */
    bool incomplete; /* a push was refused for want of memory: some free block has no entry */
    struct bin_chunk *top[LARGE_MIN];
};
static_assert(LARGE_MIN / 64 <= 64, "one word sums up the bitmap");

static inline void bins_note(struct bins *bins, size_t granules) {
    bins->nonempty[granules / 64] |= bit_at((unsigned)granules);
    bins->summary |= bit_at((unsigned)(granules / 64));
}

/* The same on the fast path: for sizes up to QUICK_MAX, once the set was used. */
static inline void bins_note_quick(struct bins *bins, size_t granules) {
    bins->nonempty[granules / 64] |= bit_at((unsigned)granules);
}

static inline bool bins_noted(const struct bins *bins, size_t granules) {
    return bins->nonempty[granules / 64] & bit_at((unsigned)granules);
}

/* Neither the bin nor the quick set of this size holds a block. */
static inline void bins_clear(struct bins *bins, size_t granules) {
    bins->nonempty[granules / 64] &= ~bit_at((unsigned)granules);
    if (bins->nonempty[granules / 64] == 0 && granules / 64 > QUICK_MAX / 64)
        bins->summary &= ~bit_at((unsigned)(granules / 64));
}

/* The smallest noted size >= granules; 0 if there is none. `granules` < LARGE_MIN. */
static inline size_t bins_next(const struct bins *bins, size_t granules) {
    size_t word = granules / 64;
    uint64_t sizes = bins->nonempty[word] & ~(bit_at((unsigned)granules) - 1);
    while (sizes == 0) {
        uint64_t words = bins->summary & ~((bit_at((unsigned)word) << 1) - 1);
        if (word == 63 || words == 0)
            return 0;
        word = bit_lowest(words);
        sizes = bins->nonempty[word];
    }
    return word * 64 + bit_lowest(sizes);
}

/* Gives the bins memory to cut chunks from; what is left of the last is dropped. */
void bins_give_memory(struct bins *bins, void *memory, size_t size);

/* Unmaps the memory that was mapped for chunks: nobody uses the bins any more. */
void bins_unmap(struct bins *bins);

/* Adds a line to a bin whose newest chunk does not do. */
void bins_push_slow(struct bins *bins, uint64_t line, size_t granules);

/*
 * Enters a free block that starts in the line number `line`. Out of memory for entries: sets
 * `incomplete`. O(1).
 */
static inline void bins_push(struct bins *bins, uint64_t line, size_t granules) {
    struct bin_chunk *chunk = bins->top[granules];
    bins->granules += granules;
    if (unlikely(chunk == NULL || chunk->zone != line >> 32)) {
        bins_push_slow(bins, line, granules);
    } else if (chunk->entries[chunk->count - 1] != (uint32_t)line) {
        if (unlikely(chunk->count == CHUNK_ENTRIES)) {
            bins_push_slow(bins, line, granules);
            return;
        }
        chunk->entries[chunk->count++] = (uint32_t)line;
        bins->entries++;
    }
}

/*
 * Enters the free block that starts at `block`. The lines of a page of small blocks (slab.h) are in
 * the bin of the page's size once at most: region->listed tells.
 */
void bins_enter(struct bins *bins, void *block, size_t granules);

/* The newest line of a bin; false: it is empty. */
static inline bool bins_top(const struct bins *bins, size_t granules, uint64_t *line) {
    const struct bin_chunk *chunk = bins->top[granules];
    if (chunk == NULL)
        return false;
    *line = bins_entry(chunk, chunk->count - 1);
    return true;
}

/* Drops a bin's newest line. */
void bins_drop(struct bins *bins, size_t granules);

/* Drops every entry; the bitmap keeps no bit. O(chunks). */
void bins_reset(struct bins *bins);

#endif
