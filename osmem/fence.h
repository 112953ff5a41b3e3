/*
 * fence.h - mapped blocks of the guarded mode: between pages that cannot be accessed.
 *
 *   reserved, FENCE_BYTES           pages of the block                  reserved, FENCE_BYTES
 *   +-------------------------+---------+---------------------+------+-------------------------+
 *   | no access               | canary  | block, as asked for | can. | no access               |
 *   +-------------------------+---------+---------------------+------+-------------------------+
 *                                         the alignment asked for leaves the least behind it
 *
 * Who runs over an end gets a signal, or overwrites a canary first. Freed pages are without access
 * too, until FENCE_KEPT blocks more were freed, or a block of much the same length is asked for; up
 * to FENCE_MEMORY of them keep their memory for that, and cost no page faults again. A block that
 * grew gets more room to grow further in place. Who calls writes and checks the canaries (guard.c).
 */
#ifndef OSMEM_OSMEM_FENCE_H
#define OSMEM_OSMEM_FENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/mapped.h"
#include "utils/align.h"

#define FENCE_BYTES (16 * KIB)
#define FENCE_KEPT 64
#define FENCE_MEMORY (64 * MIB)

/* A fenced block, entered in the registry; address 0: refused. *zeroed: whether it reads as zero.
 */
struct mapped_entry fence_allocate(size_t size, size_t alignment, bool *zeroed);

/*
 * Resizes the block, which lies as far behind the start of its pages afterwards, but these may have
 * moved; false: refused, it is as it was.
 */
bool fence_resize(struct mapped_entry *entry, size_t size);

/* Frees a block; false: it is none any more. */
bool fence_free(struct mapped_entry entry);

/* Whether a block that began at `ptr` was freed lately. */
bool fence_is_freed(const void *ptr);

/* Visits what keeps its memory, as mapped_each does what lives. */
int fence_each(int (*visit)(const struct mapped_block *block, void *context), void *context);

/* Gives back all that is kept; true if anything was. */
bool fence_flush(void);

#endif
