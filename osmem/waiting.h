/*
 * waiting.h - blocks freed lately: into the quick sets of a heap (quick.h), and on to its bins.
 *
 * A block that waits is free in the tags, unmerged, and in no bin. The fast paths of malloc and
 * free push and pop by themselves (fast.h); here is what they leave: sets that are full, empty, or
 * in the way.
 */
#ifndef OSMEM_OSMEM_WAITING_H
#define OSMEM_OSMEM_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/heap.h"
#include "osmem/tags.h"

static inline size_t block_size(const void *block) {
    return tags_size(region_of(block)->lines, region_granule(block));
}

/* Blocks that left a quick set for their bins, by number, and had better be merged now. */
struct spilled {
    size_t count;
    uint32_t numbers[QUICK_SLOTS];
};

/* Lets a set be used that never was. */
void waiting_open(struct heap *heap, size_t index);

/*
 * Puts a free block into its set; false: it may not wait. A full set is relieved of its older half:
 * what of that should be merged is told.
 */
bool waiting_push(struct heap *heap, void *block, size_t granules, struct spilled *spilled);

/*
 * Puts `count` adjacent free blocks of this size, at most QUICK_MAX, into their set as far as it
 * has room, so that the first comes up first; the rest into their bin.
 */
void waiting_fill(struct heap *heap, void *first, size_t granules, size_t count);

/* Takes the newest block of exactly `granules` out of its set, and of `alignment`; NULL: none. */
void *waiting_take(struct heap *heap, size_t granules);
void *waiting_search(struct heap *heap, size_t granules, size_t alignment);

/* Takes a block out of its set; false if it is not there. */
bool waiting_remove(struct heap *heap, const void *block, size_t granules);

/* Moves the blocks of this size among `count` granules from number `first` on to their bin. */
void waiting_leave(struct heap *heap, size_t granules, uint64_t first, size_t count);

/* Empties all sets, or those of more than QUICK_MAX granules, into the bins. */
void waiting_flush(struct heap *heap);
void waiting_flush_shared(struct heap *heap);

/* Lets the blocks in sets of one size look used in the tags, or free again. */
void waiting_hide(struct heap *heap, bool hide);

#endif
