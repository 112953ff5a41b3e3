/*
 * purge.h - pages of free memory go back to the kernel, by madvise(MADV_DONTNEED).
 *
 * Large free blocks, and what lies between the untouched end and the highest granule ever handed
 * out, are *dirty* until they are purged. When a free makes that more than PURGE_BASE and a part of
 * what is live, all of it is purged. So resident memory falls after a burst without any call for
 * it, a system call is paid for by the frees of at least PURGE_BASE, and a program whose heap
 * breathes by less than that part never pays. Vacant pages of small blocks (slab.h) count as dirty,
 * and become large free blocks then; so do others that merging makes large, when as much has come
 * into bins as may stay dirty. What is not large then is only purged on request.
 *
 * Where half of what was purged is in use again within PURGE_SOON_MS, it had better not been
 * purged: then more may stay dirty, up to twice what is live.
 */
#ifndef OSMEM_OSMEM_PURGE_H
#define OSMEM_OSMEM_PURGE_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/heap.h"

/* Granules of the heap that are live at most: what is not, but waits in a quick set, is counted. */
size_t purge_live_bound(const struct heap *heap);

/* Purges the heap if there is much to be had; `live` as above. Off by OSMEM_CONF=purge:off. */
void purge_if_due(struct heap *heap, size_t live);

/* Merges all and purges every whole free page but `pad` bytes of the end; true if there was one. */
bool purge_all(struct heap *heap, size_t pad);

#endif
