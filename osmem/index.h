/*
 * index.h - the free blocks of a heap behind a few verbs: quick sets, run, bins and tree.
 *
 * Every free block below a region's untouched end is known to exactly one of them (quick.h, H2,
 * B3, L1). Whoever takes a block out has it as free, and puts it to use or back.
 */
#ifndef OSMEM_OSMEM_INDEX_H
#define OSMEM_OSMEM_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/heap.h"
#include "osmem/tags.h"
#include "osmem/waiting.h"

/* Enters a free block, in its bin or in the tree. */
void index_insert(struct heap *heap, struct free_block block);

/* Takes out the free block at `start`, wherever it is. Returns how much of it is dirty. */
size_t index_remove(struct heap *heap, void *start, size_t granules);

/*
 * Takes out a free block of exactly `granules`, aligned to `alignment` bytes; NULL if there is none
 * or none comes up soon enough. With GRANULE_BYTES and below LARGE_MIN it is found if there is one.
 */
void *index_take(struct heap *heap, size_t granules);
void *index_take_aligned(struct heap *heap, size_t granules, size_t alignment);

/*
 * Takes out a free block of `granules` to twice as many that holds `granules` aligned to
 * themselves, if one is among the first `tries` that come up; NULL: none.
 */
void *index_take_paged(struct heap *heap, size_t granules, size_t tries);

/* Whether a free block of exactly `granules` may be found by index_take. */
static inline bool index_may_have(const struct heap *heap, size_t granules) {
    return granules < LARGE_MIN && bins_noted(&heap->bins, granules);
}

/* Takes out the smallest free block of at least `granules`; its start is NULL if there is none. */
struct free_block index_fit(struct heap *heap, size_t granules);

/* Makes a free block the run, or none; the one before it is entered. */
void index_set_run(struct heap *heap, struct free_block block);
void index_drop_run(struct heap *heap);

/* Takes the chunk of slab.h as a free block that is not in the index. */
struct free_block index_chunk_take(struct heap *heap);

/*
 * Frees the blocks in use, given as bits, that start in a line of a page of small blocks, all at
 * once; false, and nothing is done: the line is none such, or a block is not in use or not of the
 * page's size.
 */
bool index_free_on_line(struct heap *heap, struct region *region, size_t line, uint64_t blocks);

/* Moves blocks of this size from the bin, if it has any, into the quick set, which is empty. */
void index_refill(struct heap *heap, size_t granules);

/*
 * Moves the free blocks of this size that start in a line into the quick set, which is empty;
 * false: there are none, or they lie beyond the near zone.
 */
bool index_refill_line(struct heap *heap, void *line_start, size_t granules);

/* Forgets everything, and enters every free block that the tags tell of anew. O(heap). */
void index_rebuild(struct heap *heap);

/* Enters every free block of a region, which the index does not know. */
void index_add_region(struct heap *heap, struct region *region);

#endif
