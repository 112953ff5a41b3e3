/*
 * heap.h - one heap: a thread's regions, and the policy of when to split, merge and take from the
 * end.
 *
 * A request takes a free block of just its size: one freed lately (quick.h), or one from its bin
 * (bins.h). In a heap of up to SMALL_HEAP it else takes the smallest free block that holds it, off
 * which it is cut: exact best fit over all free blocks as they lie, in bins and tree (large.h). In
 * a larger heap this holds for requests beyond SLAB_MAX granules; smaller ones come from pages of
 * blocks of their size (slab.h), and are cut off what fits best only before the heap would grow.
 * The untouched end (end.h) comes last.
 *
 * Merging is deferred (merge.h): it is done when no free block fits and the heap is about to grow,
 * is small, or has taken much from its untouched end since it merged last. In a larger heap blocks
 * beyond SLAB_MAX are merged when they leave their quick set, in any heap large ones when freed.
 *
 * The free block that was merged or cut last is the *run*: it is kept out of the index, since what
 * is freed or asked for next is often beside it (after the designated victim of Lea's malloc, but a
 * fit that is better goes before it).
 *
 * Invariants
 *   H1  of two neighbours that are both free, one at least lies in a quick set or starts in a line
 *       noted as unmerged, or on a page of small blocks, or is the chunk, or is an untouched end of
 * a region other than `current`. H2  the run is a free block of run_granules that neither quick
 * sets, bins nor tree know. One owner; no locks but those of region.h.
 */
#ifndef OSMEM_OSMEM_HEAP_H
#define OSMEM_OSMEM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/bins.h"
#include "osmem/large.h"
#include "osmem/quick.h"
#include "osmem/region.h"
#include "osmem/sparse.h"

/*
 * Up to this many bytes of regions, everything is merged before the untouched end is taken, and no
 * block is cut before it is asked for.
 */
#define SMALL_HEAP (1 * MIB)

/* A free block; `dirty` granules of it at most are in memory (large.h). */
struct free_block {
    void *start; /* NULL: none */
    size_t granules;
    size_t dirty;
};

struct heap {
    struct quick quick[QUICK_SETS];
    uint64_t quick_open[(QUICK_SETS + 63) / 64]; /* sets that are not closed */
    size_t quick_shared;                         /* granules in the shared sets */
    size_t granules;                             /* committed, in all regions */
    size_t metadata;                             /* how many of them are set aside */
    size_t settled;                              /* granules in bins when all was merged last */
    size_t taken;             /* granules taken from untouched ends since all was merged */
    void *run;                /* a free block that the index does not know; NULL: none */
    size_t run_granules;      /* its size */
    size_t run_dirty;         /* how much of it at most is in memory */
    struct free_block chunk;  /* where pages of small blocks come from (slab.h) */
    size_t vacant;            /* granules on pages noted as vacant, some of them more than once */
    bool zeroed;              /* the block allocated last reads as zero */
    struct region *current;   /* the region whose untouched end is used */
    uint32_t current_counted; /* what of its committed granules `granules` counts */
    struct region *regions;   /* all, the newest first */
    struct region *unmerged;  /* those with lines noted for merging */
    size_t hollow;            /* regions whose memory was given back (hollow.h) */
    size_t purge_slack;       /* granules that may stay dirty because they come back soon */
    size_t purged;            /* granules given back to the kernel when that was done last */
    size_t refaulted;         /* granules of those, and others, put to use again since then */
    uint32_t purged_at;       /* when that was, by system_milliseconds() */
    struct large large;
    struct bins bins;
    struct sparse sparse[SLAB_MAX + 1]; /* by granules */

    /* What thread.c keeps of a heap. */
    size_t number;            /* in order of creation */
    struct heap *next;        /* all heaps; never removed */
    struct heap *next_parked; /* heaps whose thread has ended */
    struct heap *merged_into; /* a heap whose regions were adopted by another */
    uint32_t put_off;         /* how often what others freed was not taken in at once */
    uint32_t watched;         /* id of a thread that will not tell when it ends; 0: it will */
    bool parked;
    bool unsure;     /* left by a thread that a fork did not take along */
    struct own *own; /* of a heap of one's own (own.h); NULL: a thread's */
    struct region *remote __attribute__((aligned(64))); /* atomic: regions with remote frees */
};
static_assert(sizeof(struct heap) <= REGION_RESERVE, "a heap fits where its region keeps it");

static inline bool heap_is_small(const struct heap *heap) {
    return heap->granules <= SMALL_HEAP / GRANULE_BYTES;
}

/* Notes that a free block in bin, tree or run may have a free neighbour (merge.h). */
static inline void heap_note_unmerged(struct heap *heap, const void *block) {
    struct region *region = region_of(block);
    size_t line = region_granule(block) / LINE_GRANULES;
    if (region->unmerged_words == 0) {
        region->unmerged_next = heap->unmerged;
        heap->unmerged = region;
    }
    region->unmerged_words |= bit_at((unsigned)(line / 64));
    region->unmerged[line / 64] |= bit_at((unsigned)line);
}

/* A new heap in a region of its own with room for `granules`; NULL: no memory. */
struct heap *heap_create(size_t granules);

/* The same in a new region; `aside` bytes behind the heap, which read as zero, are the caller's. */
struct heap *heap_begin(struct region *region, size_t aside);

/*
 * A block of `granules` (1 … REGION_CAPACITY), in use; NULL if the heap has none without growing.
 * heap->zeroed tells whether it reads as zero.
 */
void *heap_allocate(struct heap *heap, size_t granules);

/* The same with the address a multiple of `alignment` bytes. */
void *heap_allocate_aligned(struct heap *heap, size_t granules, size_t alignment);

/*
 * A block off a free one that the index may not know (index.h), in use; NULL if there is none: for
 * when nothing else is left. Nothing waits for merging. O(heap).
 */
void *heap_allocate_unindexed(struct heap *heap, size_t granules);

/* Adds memory for at least `granules` in one block; false: none to be had. */
bool heap_grow(struct heap *heap, size_t granules);

/* Frees the block in use of `granules` at `block`. */
void heap_free(struct heap *heap, void *block, size_t granules);

/* Resizes the block in place; false: not possible, nothing changed. May extend the heap's end. */
bool heap_resize(struct heap *heap, void *block, size_t granules, size_t wanted);

/*
 * A block of `granules` with `ahead` free ones behind it, for one that will grow; NULL: none, or
 * the heap is small. The free ones serve any request, but are not merged with what lies behind yet.
 */
void *heap_allocate_ahead(struct heap *heap, size_t granules, size_t ahead);

/* Takes over all regions of `other`, whose thread is gone. Under region_lock. */
void heap_adopt(struct heap *heap, struct heap *other);

/*
 * Makes a heap usable whose thread was stopped anywhere (fork): forgets the index and builds it
 * anew. The tags must have been found sound. O(heap).
 */
void heap_recover(struct heap *heap);

#endif
