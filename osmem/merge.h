/*
 * merge.h - coalescing: free neighbours become one block.
 *
 * Blocks that leave a quick set for their bin are mostly not merged at once. Their line is noted in
 * the region's `unmerged` bitmap, and all noted lines are merged when it is due (heap.c). Within a
 * line that is one addition: a start whose predecessor is free is where the carry of the free
 * starts arrives over what is no start (the idea of carry-propagation scans; see tags_joinable).
 *
 * Invariant H1 (heap.h) says what merging leaves.
 */
#ifndef OSMEM_OSMEM_MERGE_H
#define OSMEM_OSMEM_MERGE_H

#include <stddef.h>

#include "osmem/heap.h"
#include "osmem/index.h"

/* Merges a free block that is not in the index with its free neighbours: the new run. */
void merge_block(struct heap *heap, struct free_block block);

/* After a free block of more than SLAB_MAX granules left its quick set for its bin: merges it. */
void merge_spilled(struct heap *heap, void *block);

/* Merges every free block with its free neighbours. O(noted lines). */
void merge_all(struct heap *heap);

/* The same where no block waits in a quick set. */
void merge_flushed(struct heap *heap);

/* The same, but what waits in quick sets of one size stays there. */
void merge_bins(struct heap *heap);

/* Merges all free neighbours of a region that no index knows, with its end if it is the current. */
void merge_region(struct region *region, bool is_current);

#endif
