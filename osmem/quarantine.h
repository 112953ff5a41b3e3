/*
 * quarantine.h - where freed heap blocks of the guarded mode wait, so that nobody gets them soon.
 *
 * Blocks of one size wait together, larger ones with others. When there is no room for one more,
 * one drawn at random leaves for it. A request may be served by a block of just its size, again
 * drawn at random, of no fewer than QUARANTINE_LEAST: then nothing is asked of the heap at all.
 *
 * There is a quarantine for each of a few threads, each with a lock that is only tried: who finds
 * it taken takes the next one. So threads that end or that a fork does not take along leave nothing
 * to be done; at worst, what the child of a fork finds locked stays so. Bounded by 1.75 MiB each.
 */
#ifndef OSMEM_OSMEM_QUARANTINE_H
#define OSMEM_OSMEM_QUARANTINE_H

#include <stddef.h>

#define QUARANTINES ((size_t)8)
#define QUARANTINE_LEAST 16

/* Blocks of more granules do not serve requests from here. */
#define QUARANTINE_REUSED ((size_t)64)

/*
 * Takes in a block of a thread of heap number `heap`; returns the block that leaves for it, itself
 * perhaps, or NULL.
 */
void *quarantine_put(size_t heap, void *block, size_t granules);

/* Takes out a block of just this size, up to QUARANTINE_REUSED; NULL: there are too few. */
void *quarantine_get(size_t heap, size_t granules);

/* Takes out what there is, one by one; *place is 0 at first. NULL: there is nothing any more. */
void *quarantine_drain(size_t *place);

#endif
