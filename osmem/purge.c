#include "osmem/purge.h"

#include "osmem/conf.h"
#include "osmem/freed.h"
#include "osmem/index.h"
#include "osmem/merge.h"
#include "osmem/own.h"
#include "osmem/slab.h"
#include "osmem/tags.h"

/* This much may stay dirty: a constant, and a part of what is live. */
#define PURGE_BASE (1 * MIB / GRANULE_BYTES)
#define PURGE_SHIFT 2

/* Beyond what is live, no more than this may stay dirty because it comes back soon. */
#define PURGE_SLACK_BASE (2 * MIB / GRANULE_BYTES)

/* What comes back in this time had better not been purged. */
#define PURGE_SOON_MS 1000

/* Purges the whole pages in the granules [start, end) of a region; false: none, or refused. */
static bool purge_between(struct region *region, size_t start, size_t end) {
    size_t page = system_page();
    uintptr_t first = align_up((uintptr_t)region_block(region, start), page);
    uintptr_t last = align_down((uintptr_t)region_block(region, end), page);
    if (first >= last)
        return false;
    bool guarded = conf.guard && region->slack != NULL;
    if (guarded)
        freed_reclaim("free", (void *)first, (last - first) / GRANULE_BYTES);
    bool purged = system_purge((void *)first, last - first);
    if (guarded && purged)
        freed_purged((void *)first, (last - first) / GRANULE_BYTES);
    return purged;
}

static void purge_block(void *block, size_t granules) {
    size_t start = region_granule(block);
    purge_between(region_of(block), start, start + granules);
}

/* Purges what was handed out once and lies `pad` granules behind the untouched end's start. */
static bool purge_end(struct region *region, size_t pad) {
    size_t page = system_page(), committed = load_relaxed(&region->committed);
    size_t keep = region->top + pad, touched = size_min(load_relaxed(&region->fresh), committed);
    if (keep >= touched)
        return false;
    size_t end = size_min(align_up(granules_bytes(touched), page) >> GRANULE_SHIFT, committed);
    if (!purge_between(region, keep, end))
        return false;
    /* What reads as zero now may begin earlier, if its last page was purged whole. */
    size_t first = align_up(granules_bytes(keep), page) >> GRANULE_SHIFT;
    if (load_relaxed(&region->fresh) <= end && is_aligned(granules_bytes(end), page))
        store_relaxed(&region->fresh, (uint32_t)first);
    return true;
}

static size_t dirty_end(const struct region *region) {
    size_t fresh = size_min(load_relaxed(&region->fresh), load_relaxed(&region->committed));
    return fresh > region->top ? fresh - region->top : 0;
}

size_t purge_live_bound(const struct heap *heap) {
    const struct region *current = heap->current;
    size_t run = heap->run != NULL ? heap->run_granules : 0;
    size_t end = heap->current_counted - current->top;
    size_t indexed = heap->large.granules + heap->bins.granules + run + heap->chunk.granules;
    return heap->granules - heap->metadata - indexed - end;
}

static size_t limit_of(const struct heap *heap, size_t live) {
    return PURGE_BASE + (live >> PURGE_SHIFT) +
           size_min(heap->purge_slack, live + PURGE_SLACK_BASE);
}

/* More may stay dirty where half of what was purged last is in use again soon; else less. */
static void learn(struct heap *heap) {
    uint32_t now = system_milliseconds(), since = now - heap->purged_at;
    if (since < PURGE_SOON_MS && heap->refaulted > heap->purged / 2)
        heap->purge_slack = size_max(2 * heap->purge_slack, PURGE_BASE);
    else if (since >= PURGE_SOON_MS)
        heap->purge_slack /= 2;
    heap->purged_at = now;
}

/* Granules that purging would give back: what is in memory and merged, or soon will be. */
static size_t dirty_of(const struct heap *heap) {
    return heap->large.dirty + (heap->run != NULL ? heap->run_dirty : 0) +
           dirty_end(heap->current) + heap->vacant;
}

/* Granules that came into bins since all was merged: merging may make them large, and dirty. */
static size_t unsettled(const struct heap *heap) {
    return heap->bins.granules > heap->settled ? heap->bins.granules - heap->settled : 0;
}

static __attribute__((noinline, cold)) void purge(struct heap *heap, size_t live) {
    if (own_is_lent(heap->own))
        return;
    slab_dissolve_vacant(heap);
    if (unsettled(heap) > limit_of(heap, live))
        merge_all(heap);
    size_t dirty = dirty_of(heap);
    if (dirty <= limit_of(heap, live))
        return;
    learn(heap);
    heap->refaulted = 0;
    heap->purged = dirty;
    if (dirty <= limit_of(heap, live))
        return;
    index_drop_run(heap);
    large_purge(&heap->large, purge_block);
    purge_end(heap->current, 0);
}

void purge_if_due(struct heap *heap, size_t live) {
    size_t limit = limit_of(heap, live);
    if (unlikely(dirty_of(heap) > limit || unsettled(heap) > limit) && conf.purge)
        purge(heap, live);
}

static bool purge_region(struct region *region, size_t pad) {
    bool any = false;
    for (size_t line = REGION_FIRST_LINE; line < REGION_LINES; line++) {
        uint64_t starts = region->lines[line].starts & region->lines[line].free;
        for (; starts != 0; starts &= starts - 1) {
            size_t granule = line * LINE_GRANULES + bit_lowest(starts);
            if (granule != region->top)
                any |= purge_between(region, granule, granule + tags_size(region->lines, granule));
        }
    }
    return any | purge_end(region, pad);
}

/* The tree has nothing to purge any more. */
static void purge_nothing(void *block, size_t granules) {
    (void)block;
    (void)granules;
}

bool purge_all(struct heap *heap, size_t pad) {
    slab_drop_chunk(heap);
    merge_all(heap);
    slab_dissolve_vacant(heap);
    index_drop_run(heap);
    bool any = false;
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        any |= purge_region(region, region == heap->current ? granules_for(pad) : 0);
    large_purge(&heap->large, purge_nothing);
    return any;
}
