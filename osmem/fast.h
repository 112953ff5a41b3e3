/*
 * fast.h - what the fast paths of malloc and free are made of: blocks of the near zone (region.h)
 * that go into a quick set and come out of it (quick.h), and are free in the tags meanwhile. For a
 * heap's owner. A set that was never used has no room, and no block.
 */
#ifndef OSMEM_OSMEM_FAST_H
#define OSMEM_OSMEM_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/heap.h"
#include "osmem/tags.h"

/*
 * The tags of the line around a granule of the near zone, by its address and its number: the zone
 * begins with a region, so the number's last bits tell where in its region the granule lies.
 */
static inline struct tag_line *near_line(const void *granule, uint64_t number) {
    return opaque(tags_line(region_of(granule)->lines, number % REGION_GRANULES));
}

/* Puts the newest block of `granules`, at most QUICK_MAX, to use; false: none waits. */
static inline bool fast_take(struct heap *heap, size_t granules, void **block) {
    struct quick *quick = opaque(&heap->quick[granules]);
    uint32_t number = quick->top;
    if (unlikely(number == 0))
        return false;
    quick_pop(quick);
    *block = region_numbered(number);
    struct tag_line *line = near_line(*block, number);
    store_relaxed(&line->free, load_relaxed(&line->free) & ~bit_at(number));
    return true;
}

/*
 * Lets a block of the near zone wait, by its number, whose line has these free bits with it; false:
 * its set has no room, or is none of up to QUICK_MAX granules.
 */
static inline bool fast_put(struct heap *heap, uint32_t number, size_t granules,
                            struct tag_line *line, uint64_t freed) {
    struct quick *quick = opaque(&heap->quick[granules <= QUICK_MAX ? granules : 0]);
    uint32_t fill = quick->fill;
    if (unlikely(!quick_has_room(fill)))
        return false;
    store_relaxed(&line->free, freed);
    uint32_t top = quick->top;
    if (top == 0)
        bins_note_quick(&heap->bins, granules);
    quick_push_onto(quick, fill, top, number);
    return true;
}

#endif
