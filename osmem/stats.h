/*
 * stats.h - exact counters and the walk over every block, both public (utils/osmem.h): a scan over
 * the tags when asked, so that nothing is counted on the fast paths.
 */
#ifndef OSMEM_OSMEM_STATS_H
#define OSMEM_OSMEM_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "utils/osmem.h"

/* The blocks of 2^k to 2^(k+1) - 1 bytes, for each k; larger ones count with the last. */
enum { STATS_CLASSES = 48 };

struct stats_class {
    size_t live_blocks, live_bytes;
    size_t free_blocks, free_bytes;
};

/* A heap, or all mapped blocks: the counters, and the blocks by size. */
struct stats_part {
    struct os_stats stats;
    struct stats_class classes[STATS_CLASSES];
};

/*
 * Counts the heap of that number, without mapped blocks that belong to it; false: there is none,
 * nor any above it. O(heap).
 */
bool stats_heap(size_t index, struct stats_part *part);

/* Counts the mapped blocks. */
void stats_mapped(struct stats_part *part);

#endif
