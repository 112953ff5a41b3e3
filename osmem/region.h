/*
 * region.h - regions: 4 MiB of address space each, aligned to their size, that belong to one heap.
 *
 *   base                                                      top        committed        end
 *   +-+--------+------+---------+---------+-+-------------------+----------+----------------+
 *   | | header | tags | remote  | reserve | | blocks            | untouched| not ours yet   |
 *   +-+--------+------+---------+---------+-+-------------------+----------+----------------+
 *   margin                                margin
 *     `top` onwards counts as one free block that reaches beyond the region's end, so a stale
 *     pointer into it finds a free block or no start, and the last real block has a neighbour.
 *
 * Regions are cut from the break, first to last; from mmap where the break cannot move. The first
 * region begins with HEAP_PREALLOCATION bytes for blocks and is extended as its heap grows; later
 * extensions grow with the heap, so that their number is logarithmic in its size, and what they
 * bring beyond one region is kept spare for any heap. Someone else may move the break: the region
 * at the old end then ends there, and the next one begins behind the foreign memory.
 *
 * Invariants
 *   R1  region_owner(p) is the heap of the region around p; NULL where no region is ours, where it
 *       is hollow, or behind the end of memory that was lent.
 *   R2  first block <= top <= committed <= REGION_GRANULES (in granules).
 *   R3  a free block starts at top; no start lies behind it.
 *   R4  granules at `fresh` and behind were never handed out and read as zero.
 *
 * The owner table is written under the lock and read without it: a thread can only ask for a block
 * that it holds, and the owner of a live block's region is never NULL.
 */
#ifndef OSMEM_OSMEM_REGION_H
#define OSMEM_OSMEM_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/system.h"
#include "utils/bits.h"
#include "utils/block_meta.h"

/* A page of small blocks (slab.h), and the most granules that these have. */
#define SLAB_GRANULES ((size_t)256)
#define SLAB_MAX 32

struct heap;

/* Set aside at a region's start for its heap: the heap itself, and memory for its index. */
#define REGION_RESERVE (REGION_BYTES / 64)

struct region {
    char margin_before[SYSTEM_MARGIN];
    struct region *next;        /* of the same heap */
    struct region *remote_next; /* in the owner's list of regions with remote frees */
    uint32_t remote_listed;     /* atomic: 1 while in that list, or about to be */
    uint32_t top;               /* granule at which the untouched end begins */
    uint32_t committed;         /* granule at which the memory that is ours ends */
    uint32_t fresh;             /* granule from which on memory was never handed out */
    uint32_t reached;           /* the highest that `fresh` was while memory was handed out */
    uint8_t *slack;             /* a byte for each granule (slack.h); may be NULL */
    uint32_t ordinal;           /* check.c's: which of its heap's regions this is */
    uint32_t hollow; /* where `committed` was before the memory was given back (hollow.h); or 0 */
    bool is_lent;    /* what lies behind `committed` may be anyone's */
    struct region *unmerged_next;         /* of the same heap, with a bit in `unmerged` */
    uint64_t unmerged_words;              /* words of `unmerged` that are not 0 */
    uint64_t unmerged[REGION_LINES / 64]; /* lines that may have free neighbours (merge.h) */
    uint64_t listed[REGION_LINES / 64];   /* lines of pages of small blocks in their bin */
    uint8_t slab_granules[REGION_GRANULES / SLAB_GRANULES]; /* of a page of small blocks, or 0 */
    uint64_t
        kept[REGION_GRANULES / SLAB_GRANULES / 64 + 1]; /* pages not to be emptied (sparse.h) */
    uint64_t remote_lines[REGION_LINES / 64];           /* atomic: lines with a bit in `remote` */
    struct tag_line lines[REGION_LINES + 1];
    uint64_t remote[REGION_LINES]; /* atomic: blocks freed by other threads */
    char reserve[REGION_RESERVE] __attribute__((aligned(64)));
    char margin_behind[SYSTEM_MARGIN];
};

#define REGION_FIRST_LINE ((sizeof(struct region) + LINE_BYTES - 1) / LINE_BYTES)
#define REGION_FIRST (REGION_FIRST_LINE * LINE_GRANULES)
/* The largest block that a region holds, in granules. */
#define REGION_CAPACITY (REGION_GRANULES - REGION_FIRST)
static_assert(REGION_FIRST < REGION_GRANULES / 2, "a region is mostly blocks");
static_assert(REGION_LINES / 64 <= 64, "one word sums up a bitmap of lines");

/*
 * Owners of the regions in the *near zone*: NEAR_BYTES of address space that begin a little below
 * the first region. It is the only one that the fast paths know, and a granule in it has a number
 * of 32 bits.
 */
#define NEAR_BYTES ((size_t)1 << (32 + GRANULE_SHIFT))
#define NEAR_REGIONS (NEAR_BYTES / REGION_BYTES)
#define NEAR_GRANULES (NEAR_BYTES / GRANULE_BYTES)

/* The same for the rest: each of two zones is 1 TiB around the first region found there. */
#define FAR_REGIONS ((size_t)1 << 18)

struct region_near {
    struct heap *owner[NEAR_REGIONS];
    uintptr_t base; /* address of the region with index 0; 0: no zone yet */
};
extern struct region_near region_near;

extern struct system_lock region_lock;

static inline struct region *region_of(const void *ptr) {
    return (struct region *)align_down((uintptr_t)ptr, REGION_BYTES);
}

static inline uint32_t region_granule(const void *ptr) {
    return (uint32_t)(((uintptr_t)ptr & (REGION_BYTES - 1)) >> GRANULE_SHIFT);
}

static inline void *region_block(struct region *region, size_t granule) {
    return (char *)region + granules_bytes(granule);
}

/* Whether the block at `granule` lies on a page of small blocks. */
static inline bool region_is_slab(const struct region *region, size_t granule) {
    return region->slab_granules[granule / SLAB_GRANULES] != 0;
}

/*
 * A number for every granule: how far it lies behind the near zone's start, so below NEAR_GRANULES
 * just in that zone.
 */
static inline uint64_t region_number(const void *granule) {
    return ((uintptr_t)granule - load_relaxed(&region_near.base)) >> GRANULE_SHIFT;
}

/* The same for lines: a region begins with one. */
static inline uint64_t region_line_number(const void *granule) {
    return ((uintptr_t)granule - load_relaxed(&region_near.base)) / LINE_BYTES;
}

static inline void *region_numbered(uint64_t number) {
    return (char *)load_relaxed(&region_near.base) + granules_bytes(number);
}

/*
 * The same for an address that may be none of a granule, which then has no number in the near zone:
 * the bits below a granule are rotated to the top.
 */
static inline uint64_t region_near_number(const void *ptr) {
    uintptr_t offset = (uintptr_t)ptr - load_relaxed(&region_near.base);
    return offset >> GRANULE_SHIFT | offset << (64 - GRANULE_SHIFT);
}

/* The owner of a granule, by a number below NEAR_GRANULES. */
static inline struct heap *region_near_owner(uint64_t number) {
    return load_relaxed(&region_near.owner[number >> (OSMEM_REGION_SHIFT - GRANULE_SHIFT)]);
}

/* The heap that owns the region around `ptr`; NULL if no region is there. Never reads `ptr`. */
struct heap *region_owner(const void *ptr);

/* Hands a region to another heap. Under region_lock. */
void region_set_owner(struct region *region, struct heap *heap);

/*
 * A new region for `heap` with memory for at least `granules` in one block; NULL: none to be had.
 * Its tags say: one untouched end. Takes region_lock. `heap` NULL: the caller sets the owner.
 */
struct region *region_create(struct heap *heap, size_t granules);

/*
 * A region in `bytes` of memory at `base` that somebody lends, and which read as zero or not; NULL:
 * a region is there already, or it lies where none can. The caller sets the owner. Takes
 * region_lock.
 */
struct region *region_lend(uintptr_t base, size_t bytes, bool is_zero);

/*
 * Takes a whole region back that has no owner any more: its memory goes back to the kernel, its
 * addresses are for the next region that anyone needs. Takes region_lock.
 */
void region_release(struct region *region);

/*
 * Moves `committed` so that `granules` fit behind `top`, or more: the step doubles what is there.
 * False when the region is full or the break is not at its end. Takes region_lock.
 */
bool region_extend(struct region *region, size_t granules);

/*
 * Memory of the break that is no region's, for a block that the kernel refuses to map: `size` bytes
 * (whole pages) at a multiple of `alignment` (a power of two) and of REGION_BYTES. It may not read
 * as zero, and is given back by system_unmap. NULL: none to be had. Takes region_lock.
 */
void *region_break_apart(size_t size, size_t alignment);

/*
 * Gives the memory from granule `start` on back, where nothing is in use: what the kernel maps
 * there meanwhile is not the region's. False: the kernel refuses, nothing changed.
 */
bool region_hollow(struct region *region, size_t start);

/* The region gets that memory back, zeroed; false: it is not to be had. */
bool region_refill(struct region *region);

/* Nobody extends the region any more: what is committed is all it has. Takes region_lock. */
void region_retire(struct region *region);

#endif
