/*
 * heap.h - one heap: a thread's regions, and the policy of when to split, merge and take from the
 * end.
 *
 * Allocation is exact best fit over all free blocks as they lie: a block freed lately of just this
 * size (quick.h), else the smallest bin that has one (bins.h), else the tree (large.h); what is too
 * large is split. The untouched end comes last. Merging is deferred (merge.h): it is done when no
 * free block fits and the heap is about to grow, is small, or has taken much from its untouched end
 * since it merged last. Large blocks are merged as they are freed.
 *
 * The free block that was merged or cut last is the *run*: it is kept out of the index, since what
 * is freed or asked for next is often beside it (after the designated victim of Lea's malloc, but a
 * fit that is better goes before it). When one size misses its quick set time after time, several
 * blocks are cut at once, and the others wait in the set as if they had been freed.
 *
 * Invariants
 *   H1  of two neighbours that are both free, one at least lies in a quick set or starts in a line
 *       noted as unmerged, or is an untouched end of a region other than `current`.
 *   H2  the run is a free block of run_granules that neither quick sets, bins nor tree know.
 * One owner; no locks but those of region.h.
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

/*
 * Up to this many bytes of regions, everything is merged before the untouched end is taken, and no
 * block is cut before it is asked for.
 */
#define SMALL_HEAP (1 * MIB)

/* Up to this many granules, several blocks are cut at once where one size is asked for repeatedly.
 */
#define CARVE_MAX 64

struct heap {
    struct quick quick[QUICK_SETS];
    uint64_t quick_open[(QUICK_SETS + 63) / 64]; /* sets that are not closed */
    size_t quick_shared;                         /* granules in the shared sets */
    size_t granules;                             /* committed, in all regions */
    size_t metadata;                             /* how many of them are set aside */
    size_t taken;             /* granules taken from untouched ends since all was merged */
    size_t spilled;           /* granules that left the quick sets unmerged since then */
    void *run;                /* a free block that the index does not know; NULL: none */
    size_t run_granules;      /* its size */
    size_t run_dirty;         /* how much of it at most is in memory */
    size_t missed;            /* the size up to QUICK_MAX that no quick set had, last */
    size_t carve;             /* blocks of that size to cut beyond the one asked for */
    bool zeroed;              /* the block allocated last reads as zero */
    struct region *current;   /* the region whose untouched end is used */
    uint32_t current_counted; /* what of its committed granules `granules` counts */
    struct region *regions;   /* all, the newest first */
    struct region *unmerged;  /* those with lines noted for merging */
    struct large large;
    struct bins bins;

    /* What thread.c keeps of a heap. */
    size_t number;            /* in order of creation */
    struct heap *next;        /* all heaps; never removed */
    struct heap *next_parked; /* heaps whose thread has ended */
    struct heap *merged_into; /* a heap whose regions were adopted by another */
    uint32_t watched;         /* id of a thread that will not tell when it ends; 0: it will */
    bool parked;
    bool unsure; /* left by a thread that a fork did not take along */
    struct region *remote __attribute__((aligned(64))); /* atomic: regions with remote frees */
};
static_assert(sizeof(struct heap) <= REGION_RESERVE, "a heap fits where its region keeps it");

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

/*
 * A block of `granules` (1 … REGION_CAPACITY), in use; NULL if the heap has none without growing.
 * heap->zeroed tells whether it reads as zero.
 */
void *heap_allocate(struct heap *heap, size_t granules);

/* The same with the address a multiple of `alignment` bytes. */
void *heap_allocate_aligned(struct heap *heap, size_t granules, size_t alignment);

/* Adds memory for at least `granules` in one block; false: none to be had. */
bool heap_grow(struct heap *heap, size_t granules);

/* Frees the block in use of `granules` at `block`. */
void heap_free(struct heap *heap, void *block, size_t granules);

/* Resizes the block in place; false: not possible, nothing changed. May extend the heap's end. */
bool heap_resize(struct heap *heap, void *block, size_t granules, size_t wanted);

/* Takes over all regions of `other`, whose thread is gone. Under region_lock. */
void heap_adopt(struct heap *heap, struct heap *other);

/*
 * Makes a heap usable whose thread was stopped anywhere (fork): forgets the index and builds it
 * anew. The tags must have been found sound. O(heap).
 */
void heap_recover(struct heap *heap);

#endif
