/*
 * slab.h - pages of small blocks of one size, in heaps that are no longer small.
 *
 * In a small heap a small block is cut off the free block that fits best, wherever that lies. In a
 * larger one this would scatter the small blocks between the large ones: what a program uses
 * together then lies on many pages, and a small block that stays pins a large hole. So there a
 * request of up to SLAB_MAX granules that finds no free block of just its size cuts a whole page,
 * aligned to itself, into blocks of it. Pages are taken from the *chunk*, a free block kept out of
 * the index, which is cut off the smallest free block that will do, or off the untouched end.
 *
 *   page, 256 granules     | n | n | n | n | n | ... | n | tail, 256 % n |
 *
 * The blocks are blocks as all others: the tags know them, the quick sets and bins hold them, a
 * larger one may be cut, when memory is short, for a smaller request. But a block never merges with
 * what lies outside its page, and inside it only when all of the page is free: it is *vacant*, and
 * becomes an ordinary free block again (slab_dissolve_vacant), when memory is asked for. That costs
 * one look at four lines for each page, where merging block by block costs a hundred instructions
 * for each of them.
 *
 * The idea is that of the slabs of Bonwick, "The Slab Allocator" (1994), without its headers.
 *
 * Invariants
 *   A1  no block reaches over the edge of a page that slab_granules[] names.
 *   A2  the chunk is a free block that begins and ends at a page's edge, outside all such pages,
 *       which neither quick sets, bins, tree nor run know.
 * One owner; no locks.
 */
#ifndef OSMEM_OSMEM_SLAB_H
#define OSMEM_OSMEM_SLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/heap.h"

/*
 * A block of `granules` (1 ... SLAB_MAX), in use, off a new page; others of the page are in its
 * quick set, which must be empty, and its bin. NULL: no page is to be had without growing.
 */
void *slab_allocate(struct heap *heap, size_t granules);

/* Makes ordinary free blocks of the pages that were noted and are still vacant; false: none was. */
bool slab_dissolve_vacant(struct heap *heap);

/* The same for all pages that are vacant: there may have been no memory to note them. O(heap). */
void slab_dissolve_all(struct heap *heap);

/* Enters the chunk in the index. */
void slab_drop_chunk(struct heap *heap);

#endif
