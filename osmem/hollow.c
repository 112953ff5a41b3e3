#include "osmem/hollow.h"

#include "osmem/conf.h"
#include "osmem/freed.h"
#include "osmem/index.h"
#include "osmem/merge.h"
#include "osmem/purge.h"
#include "osmem/slab.h"
#include "osmem/tags.h"
#include "osmem/waiting.h"

/* Granule of the first page that has nothing of the header. */
static size_t hollow_start(void) {
    return align_up(granules_bytes(REGION_FIRST), system_page()) >> GRANULE_SHIFT;
}

/* Whether nothing of the region is in use; all is merged. */
static bool is_free(struct region *region) {
    return region->top == REGION_FIRST ||
           (tags_is_free(region->lines, REGION_FIRST) && !region_is_slab(region, REGION_FIRST) &&
            tags_size(region->lines, REGION_FIRST) == region->top - REGION_FIRST);
}

static void release(struct heap *heap, struct region *region) {
    size_t start = hollow_start(), end = load_relaxed(&region->committed);
    if (end <= start || !is_free(region))
        return;
    /* What comes back reads as zero: no fill of the guarded mode. */
    if (conf.guard && region->slack != NULL)
        freed_reclaim("free", region_block(region, start), end - start);
    if (!region_hollow(region, start))
        return;
    if (region->top != REGION_FIRST) {
        index_remove(heap, region_block(region, REGION_FIRST), region->top - REGION_FIRST);
        tags_join(region->lines, region->top);
        store_relaxed(&region->top, (uint32_t)REGION_FIRST);
    }
    store_relaxed(&region->fresh, (uint32_t)start);
    heap->hollow++;
    heap->granules -= (region == heap->current ? heap->current_counted : end) - start;
    if (region == heap->current)
        heap->current_counted = (uint32_t)start;
}

static void merge_everything(struct heap *heap) {
    slab_drop_chunk(heap);
    waiting_flush(heap);
    slab_dissolve_all(heap);
    merge_flushed(heap);
    index_drop_run(heap);
}

/* Whether enough is free for most of a region, wherever it lies. */
static bool may_have_any(const struct heap *heap) {
    size_t live = purge_live_bound(heap);
    return heap->granules - heap->metadata - live >= REGION_CAPACITY / 2;
}

void hollow_release(struct heap *heap) {
    bool was_small = heap_is_small(heap);
    waiting_flush(heap);
    if (!may_have_any(heap))
        return;
    merge_everything(heap);
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        release(heap, region);
    /* The index of a large heap leaves out fragments that that of a small one has. */
    if (!was_small && heap_is_small(heap))
        index_rebuild(heap);
}

struct region *hollow_refill(struct heap *heap, size_t granules) {
    if (heap->hollow == 0)
        return NULL;
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        size_t start = load_relaxed(&region->committed), end = region->hollow;
        if (end == 0 || end - region->top < granules || !region_refill(region))
            continue;
        heap->hollow--;
        heap->granules += end - start;
        if (region == heap->current)
            heap->current_counted = (uint32_t)end;
        return region;
    }
    return NULL;
}
