#include "osmem/own.h"

#include "osmem/end.h"
#include "osmem/heap.h"
#include "osmem/mapped.h"
#include "osmem/region.h"

static_assert(sizeof(struct heap) + sizeof(struct own) < REGION_RESERVE,
              "a heap of one's own fits where its region keeps it");

size_t own_allowance(const struct own *own) {
    size_t used = load_relaxed(&own->mapped);
    if (own->heap != NULL) {
        end_untouched(own->heap); /* counts what is committed */
        used += granules_bytes(own->heap->granules - own->heap->metadata);
    }
    return used < own->cap ? own->cap - used : 0;
}

/* Granules of memory that lie in the region at `base`, its header included. */
static size_t lent_at(const struct own *own, uintptr_t base) {
    return size_min(own->lent_end - base, REGION_BYTES) / GRANULE_BYTES;
}

/* Granules of a region that can be committed beyond those that are. */
static size_t room_of(const struct own *own, const struct region *region) {
    size_t most = own->is_lent ? lent_at(own, (uintptr_t)region) : REGION_GRANULES;
    return size_min(own_allowance(own) / GRANULE_BYTES, most - load_relaxed(&region->committed));
}

/*
 * Commits `least` granules more of a region, and as much as there is already, or the preallocation,
 * if it has that much room. False: it has not even room for `least`.
 */
static bool commit(const struct own *own, struct region *region, size_t least) {
    size_t committed = load_relaxed(&region->committed), room = room_of(own, region);
    if (least > room)
        return false;
    size_t step = size_max(HEAP_PREALLOCATION / GRANULE_BYTES, committed - REGION_FIRST);
    step = size_min(size_max(step, least), room);
    store_relaxed(&region->committed, (uint32_t)(committed + step));
    return true;
}

/* The next region of what is lent, of which only the header is committed. */
static struct region *lent_region(struct own *own, size_t granules) {
    uintptr_t base = own->lent;
    if (base >= own->lent_end || lent_at(own, base) < REGION_FIRST + granules)
        return NULL;
    struct region *region = region_lend(base, granules_bytes(lent_at(own, base)), own->is_zero);
    if (region != NULL)
        own->lent += REGION_BYTES;
    return region;
}

/* What is left of a region that is lent would be lost when another takes its place. */
static void use_up(const struct own *own, struct region *region) {
    commit(own, region, room_of(own, region));
}

struct region *own_region(struct own *own, size_t granules) {
    if (granules > own_allowance(own) / GRANULE_BYTES)
        return NULL;
    struct region *region =
        own->is_lent ? lent_region(own, granules) : region_create(NULL, REGION_CAPACITY);
    if (region == NULL)
        return NULL;
    store_relaxed(&region->committed, (uint32_t)REGION_FIRST);
    commit(own, region, granules);
    if (own->heap != NULL) {
        if (own->is_lent)
            use_up(own, own->heap->current);
        system_lock(&region_lock);
        region_set_owner(region, own->heap);
        system_unlock(&region_lock);
    }
    return region;
}

bool own_extend(struct own *own, size_t granules) {
    struct region *region = own->heap->current;
    size_t untouched = load_relaxed(&region->committed) - region->top;
    return granules <= untouched || commit(own, region, granules - untouched);
}

struct heap *own_create(const struct own *bounds) {
    struct own draft = *bounds;
    struct region *region = own_region(&draft, 1);
    if (region == NULL)
        return NULL;
    struct heap *heap = heap_begin(region, sizeof draft);
    struct own *own = (struct own *)(void *)(heap + 1);
    *own = draft;
    own->heap = heap;
    heap->own = own;
    heap->bins.maps_none = own->is_lent;
    return heap;
}

void own_destroy(struct own *own) {
    mapped_free_owned(own);
    bins_unmap(&own->heap->bins);
    if (own->is_lent)
        return;
    /* The last is the first that there was: the heap itself lies in it. */
    struct region *region = own->heap->regions, *next;
    for (; region != NULL; region = next) {
        next = region->next;
        region_release(region);
    }
}
