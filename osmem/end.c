#include "osmem/end.h"

#include "osmem/own.h"
#include "osmem/tags.h"

size_t end_untouched(struct heap *heap) {
    uint32_t committed = load_relaxed(&heap->current->committed);
    heap->granules += committed - heap->current_counted;
    heap->current_counted = committed;
    return committed - heap->current->top;
}

/* The end begins at `end` now; what lies before is not fresh, or not purged, any more. */
static void end_move(struct heap *heap, struct region *region, size_t end) {
    uint32_t fresh = load_relaxed(&region->fresh);
    heap->taken += end - region->top;
    store_relaxed(&region->top, (uint32_t)end);
    if (fresh < end) {
        if (region->reached > fresh)
            heap->refaulted += size_min(region->reached, end) - fresh;
        region->reached = (uint32_t)size_max(region->reached, end);
        store_relaxed(&region->fresh, (uint32_t)end);
    }
    tags_begin(region->lines, end, true);
}

void *end_take(struct heap *heap, size_t granules) {
    struct region *region = heap->current;
    size_t start = region->top;
    if (end_untouched(heap) < granules)
        return NULL;
    heap->zeroed = start >= load_relaxed(&region->fresh);
    end_move(heap, region, start + granules);
    tags_measure(region->lines, start, granules);
    tags_set_used(region->lines, start);
    return region_block(region, start);
}

bool end_extend(struct heap *heap, size_t granules) {
    bool extended = heap->own != NULL ? own_extend(heap->own, granules)
                                      : region_extend(heap->current, granules);
    return extended && end_untouched(heap) >= granules;
}

bool end_resize(struct heap *heap, struct region *region, size_t start, size_t granules,
                size_t wanted) {
    if (start + granules != region->top || region != heap->current ||
        end_untouched(heap) < wanted - granules)
        return false;
    tags_join(region->lines, region->top);
    end_move(heap, region, start + wanted);
    tags_measure(region->lines, start, wanted);
    return true;
}
