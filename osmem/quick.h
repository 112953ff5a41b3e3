/*
 * quick.h - blocks freed lately, not merged with their neighbours yet: what the fast paths of
 * malloc and free push and pop.
 *
 * After Weinstock and Wulf, "Quick Fit" (1988): sets of a few blocks, last in, first out. A block
 * of n <= QUICK_MAX granules has the set number n to itself; larger blocks share QUICK_SHARED sets
 * by n modulo their number. A set is bounded, so that what stays unmerged is bounded too: when it
 * is full its older half is merged (heap.c).
 *
 * `fill` counts from 1, so that zeroed memory is a *closed* set: neither path touches it. A set is
 * opened when the bitmap of sizes (bins.h) has been told that its size exists, and closed again
 * when that bit is cleared.
 *
 * Invariants
 *   Q1  fill <= QUICK_SLOTS + 1; fill == 0: closed, and slots mean nothing.
 *   Q2  slot[0 … fill - 2] are distinct free blocks of the owning heap, of a size of this set.
 */
#ifndef OSMEM_OSMEM_QUICK_H
#define OSMEM_OSMEM_QUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUICK_MAX 64
#define QUICK_SHARED 32
#define QUICK_SETS (QUICK_MAX + 1 + QUICK_SHARED)
#define QUICK_SLOTS 7

struct quick {
    uint64_t fill;
    void *slot[QUICK_SLOTS];
};
static_assert(sizeof(struct quick) == 64, "a set is a cache line");

static inline size_t quick_index(size_t granules) {
    return granules <= QUICK_MAX ? granules : QUICK_MAX + 1 + granules % QUICK_SHARED;
}

/* Open and with room for one more; open and with a block to take. */
static inline bool quick_has_room(uint64_t fill) { return fill - 1 < QUICK_SLOTS; }
static inline bool quick_has_block(uint64_t fill) { return fill - 2 < QUICK_SLOTS; }

static inline size_t quick_count(const struct quick *quick) {
    return quick->fill == 0 ? 0 : quick->fill - 1;
}

static inline void quick_push(struct quick *quick, void *block) {
    quick->slot[quick->fill++ - 1] = block;
}

/* Takes out the block in `slot`, keeping the order of the others. */
static inline void quick_remove_at(struct quick *quick, size_t slot) {
    quick->fill--;
    for (size_t i = slot; i < quick->fill - 1; i++)
        quick->slot[i] = quick->slot[i + 1];
}

/* Takes `block` out; false if it is not in the set. */
static inline bool quick_remove(struct quick *quick, const void *block) {
    for (size_t i = quick_count(quick); i-- > 0;) {
        if (quick->slot[i] == block) {
            quick_remove_at(quick, i);
            return true;
        }
    }
    return false;
}

#endif
