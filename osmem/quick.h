/*
 * quick.h - blocks freed lately, not merged with their neighbours yet: what the fast paths of
 * malloc and free push and pop.
 *
 * After Weinstock and Wulf, "Quick Fit" (1988): sets of a few blocks, last in, first out. A block
 * of n <= QUICK_MAX granules has the set number n to itself; larger blocks share QUICK_SHARED sets
 * by n modulo their number. A set is bounded, to QUICK_SLOTS blocks or about QUICK_BYTES: when it
 * is full, its older half goes into the index (waiting.c). A slot holds a granule's number in the
 * near zone (region.h), so that a set is two cache lines; blocks that lie elsewhere are never in a
 * set.
 *
 * The newest block stands in `top`, so that malloc finds it without knowing how many there are; the
 * older ones stand in the last slots, the oldest first, behind one that is 0. `fill` is the number
 * of slots used or not usable, so that "full" is the same number for every set, and 0, which is
 * full as well, for a set that was never used: zeroed memory is a valid set.
 *
 * Invariants
 *   Q1  fill is 0 or quick_empty … QUICK_SLOTS + 1. top is 0 if and only if no block is in the set.
 *   Q2  slot[quick_empty … fill - 2] and top are distinct free blocks of the owning heap, of a size
 *       of this set.
 */
#ifndef OSMEM_OSMEM_QUICK_H
#define OSMEM_OSMEM_QUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/region.h"
#include "utils/align.h"

#define QUICK_MAX 256
#define QUICK_SHARED 32
#define QUICK_SETS (QUICK_MAX + 1 + QUICK_SHARED)
#define QUICK_SLOTS 30
#define QUICK_BYTES (32 * KIB)

struct quick {
    uint32_t fill;
    uint32_t top; /* 0: the set is empty */
    uint32_t slot[QUICK_SLOTS];
};
static_assert(sizeof(struct quick) == 2 * 64, "a set is two cache lines");

static inline size_t quick_index(size_t granules) {
    return granules <= QUICK_MAX ? granules : QUICK_MAX + 1 + granules % QUICK_SHARED;
}

/* Whether blocks of this size share their set with other sizes. */
static inline bool quick_is_shared(size_t granules) { return granules > QUICK_MAX; }

/*
 * How many blocks the set number `index` may hold: as many of the next power of two as QUICK_BYTES.
 */
static inline size_t quick_capacity(size_t index) {
    size_t count = (QUICK_BYTES >> GRANULE_SHIFT) >> (64 - __builtin_clzll((index - 1) | 1));
    return index > QUICK_MAX || count < 2 ? 2 : size_min(count, QUICK_SLOTS);
}

/* The fill of the set number `index` when it is empty, once it was used. */
static inline uint32_t quick_empty(size_t index) {
    return QUICK_SLOTS + 1 - (uint32_t)quick_capacity(index);
}

static inline bool quick_has_room(uint32_t fill) { return fill - 1 < QUICK_SLOTS; }

static inline size_t quick_count(const struct quick *quick, size_t index) {
    return quick->fill == 0 ? 0 : quick->fill - quick_empty(index);
}

/* The block in `slot`, counted from quick_empty for the oldest, by its number. */
static inline uint32_t quick_number(const struct quick *quick, size_t slot) {
    return slot + 1 == quick->fill ? quick->top : quick->slot[slot];
}

static inline void *quick_block(const struct quick *quick, size_t slot) {
    return region_numbered(quick_number(quick, slot));
}

/* Adds a block of the near zone, by its number, to a set that has room and this fill and top. */
static inline void quick_push_onto(struct quick *quick, uint32_t fill, uint32_t top,
                                   uint32_t number) {
    quick->slot[fill - 1] = top;
    quick->fill = fill + 1;
    quick->top = number;
}

static inline void quick_push(struct quick *quick, uint32_t number) {
    quick_push_onto(quick, quick->fill, quick->top, number);
}

/* Takes the newest block out of a set that has one. */
static inline void quick_pop(struct quick *quick) { quick->top = quick->slot[--quick->fill - 1]; }

/* Takes out the block in `slot`, keeping the order of the others. */
static inline void quick_remove_at(struct quick *quick, size_t slot) {
    for (; slot + 1 < quick->fill; slot++)
        quick->slot[slot] = quick_number(quick, slot + 1);
    quick_pop(quick);
}

/* The slot of the block number `number` in a quick set; 0 if it is not there. */
static inline size_t quick_find(const struct quick *quick, size_t index, uint32_t number) {
    if (quick->top == number)
        return quick->fill - 1;
    size_t slot = quick->top == 0 ? 0 : quick->fill - 1;
    for (size_t first = quick_empty(index); slot > first;) {
        if (quick->slot[--slot] == number)
            return slot;
    }
    return 0;
}

#endif
