/*
 * end.h - the untouched end of a heap's current region: memory that no block was cut off yet.
 *
 * It is tagged as one free block that reaches beyond the region (R3), but no index knows it: it is
 * taken last. One owner; no locks but those of region.h.
 */
#ifndef OSMEM_OSMEM_END_H
#define OSMEM_OSMEM_END_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/heap.h"

/* Granules of the end; counts what the region was committed by another thread meanwhile. */
size_t end_untouched(struct heap *heap);

/* A block of `granules` off the end, in use; NULL: it is too short. Sets heap->zeroed. */
void *end_take(struct heap *heap, size_t granules);

/* Extends the current region so that `granules` fit at its end; false: it cannot be. */
bool end_extend(struct heap *heap, size_t granules);

/* The block of `granules` at `start` grows into the end; false: it is not the last, or no room. */
bool end_resize(struct heap *heap, struct region *region, size_t start, size_t granules,
                size_t wanted);

#endif
