/*
 * hollow.h - regions of which nothing is in use give the address space of their blocks back, and
 * get it back when their heap grows.
 *
 * That is done only when the kernel refuses memory: under a limit on address space, what many free
 * regions hold is just what one large block lacks. A hollow region keeps its header with its tags,
 * so its owner, entries of the index that mean nothing any more, and another thread that is about
 * to list it for remote frees find what they look for.
 *
 *   base                                                                       hollow
 *   +--------+------+---------+---------+-+------------------------------------+
 *   | header | tags | remote  | reserve | | not ours any more                  |
 *   +--------+------+---------+---------+-+------------------------------------+
 *                              top = first block, committed = the page behind it
 *
 * One owner; takes region_lock.
 */
#ifndef OSMEM_OSMEM_HOLLOW_H
#define OSMEM_OSMEM_HOLLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/heap.h"

/*
 * Makes all regions hollow of which nothing is in use, unless little is free. Merges all.
 * O(regions), and O(heap) where the index is not complete.
 */
void hollow_release(struct heap *heap);

/* A hollow region that has memory for `granules` again, now; NULL: there is none. O(regions). */
struct region *hollow_refill(struct heap *heap, size_t granules);

#endif
