/*
 * check.h - the checker: every invariant of a region or a heap, by a walk that trusts none of them.
 *
 * Returns the number of the first broken invariant, 0 if there is none. The caller owns what is
 * checked. O(heap).
 */
#ifndef OSMEM_OSMEM_CHECK_H
#define OSMEM_OSMEM_CHECK_H

#include "osmem/heap.h"
#include "osmem/invariants.h"

/* Builds with this set check the caller's heap after every call of the public interface. */
#ifndef OSMEM_PARANOID
#define OSMEM_PARANOID 0
#endif

enum invariant check_region(struct region *region);
enum invariant check_heap(struct heap *heap);

/* What an invariant says, in a line. */
const char *check_text(enum invariant invariant);

#endif
