/*
 * freed.h - memory of the heap that the guarded mode filled when it was freed. The slack byte of
 * each granule (slack.h) says so, or that it was given back to the kernel since and reads as zero,
 * until it is handed out again.
 */
#ifndef OSMEM_OSMEM_FREED_H
#define OSMEM_OSMEM_FREED_H

#include <stddef.h>

#define FREED_FACT "was written to after it was freed"

/* Fills granules that nobody uses any more; the first one's slack byte is written last. */
void freed_fill(void *start, size_t granules, unsigned char slack);

/* The first of these granules that was filled and is no fill any more; NULL: none is. */
void *freed_damage(void *start, size_t granules);

/* Granules of free memory were given back to the kernel. */
void freed_purged(void *start, size_t granules);

/* Forgets that granules were filled, as they are about to be used; dies if one is damaged. */
void freed_reclaim(const char *function, void *start, size_t granules);

/* How many of the bytes from `slack` on, of `count`, are equal to the first. */
size_t freed_run(const unsigned char *slack, size_t count);

#endif
