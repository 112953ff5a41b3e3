/*
 * live.h - the live block of a heap at a pointer that a caller gives; what is none dies.
 */
#ifndef OSMEM_OSMEM_LIVE_H
#define OSMEM_OSMEM_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/misuse.h"
#include "osmem/region.h"
#include "osmem/tags.h"
#include "osmem/thread.h"

/* Whether a block starts at `ptr`, in a region of ours, that its own heap knows as in use. */
static inline bool is_in_use(const void *ptr) {
    return is_aligned((uintptr_t)ptr, GRANULE_BYTES) &&
           tags_is_used(region_of(ptr)->lines, region_granule(ptr));
}

/* Granules of the live heap block at `ptr`, which lies in a region of ours. */
static inline size_t heap_block_size(const char *function, const void *ptr) {
    if (!is_in_use(ptr) || thread_freed_remotely(ptr))
        die_misused(function, ptr);
    return tags_size(region_of(ptr)->lines, region_granule(ptr));
}

#endif
