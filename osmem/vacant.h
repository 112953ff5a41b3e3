/*
 * vacant.h - pages of small blocks (slab.h) of which nothing is in use: noticed where blocks are
 * freed, and noted in a bin of their own until memory is asked for.
 *
 * A page may be noted more than once, or be in use again when it comes up. heap->vacant counts the
 * granules of all notes.
 */
#ifndef OSMEM_OSMEM_VACANT_H
#define OSMEM_OSMEM_VACANT_H

#include <stdbool.h>
#include <stdint.h>

#include "osmem/heap.h"
#include "osmem/tags.h"

#define SLAB_LINES (SLAB_GRANULES / LINE_GRANULES)

/* Whether all of the page around `block` is free: one look at its lines. */
static inline bool vacant_is(const void *block) {
    size_t first = align_down(region_granule(block), SLAB_GRANULES);
    const struct tag_line *page = tags_line(region_of(block)->lines, first);
    uint64_t used = 0;
    for (size_t i = 0; i < SLAB_LINES; i++)
        used |= load_relaxed(&page[i].starts) & ~load_relaxed(&page[i].free);
    return used == 0;
}

/* Notes the page of a free block, which lies on one, if all of it is free. */
static inline void vacant_note(struct heap *heap, const void *block) {
    if (vacant_is(block)) {
        uint64_t line = region_line_number(block) & ~(uint64_t)(SLAB_LINES - 1);
        heap->vacant += SLAB_GRANULES;
        bins_push(&heap->bins, line, VACANT_BIN);
    }
}

#endif
