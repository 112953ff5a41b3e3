#include "osmem/region.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/tags.h"

struct region_near region_near;
struct system_lock region_lock;

/* All of the following is written under region_lock. */
static struct {
    uintptr_t end;          /* where our last extension of the break ended */
    struct region *growing; /* the region that ends there, if not wholly committed */
    uintptr_t spare;        /* whole regions [spare, spare_end) not handed out yet */
    uintptr_t spare_end;
    struct region *released; /* whole regions that were taken back, by `next` */
    size_t taken;            /* bytes taken from the break so far */
    bool moved;              /* someone else moved the break: its memory may not read as zero */
} brk_area;

/* ---- owners -------------------------------------------------------------------------------- */

static struct {
    uintptr_t base;
    struct heap *owner[FAR_REGIONS];
} far_zones[2];

static struct heap **owner_slot(const void *ptr) {
    uintptr_t base = load_relaxed(&region_near.base);
    size_t index = ((uintptr_t)ptr - base) >> OSMEM_REGION_SHIFT;
    if (base != 0 && index < NEAR_REGIONS)
        return &region_near.owner[index];
    for (unsigned i = 0; i < 2; i++) {
        base = load_relaxed(&far_zones[i].base);
        index = ((uintptr_t)ptr - base) >> OSMEM_REGION_SHIFT;
        if (base != 0 && index < FAR_REGIONS)
            return &far_zones[i].owner[index];
    }
    return NULL;
}

/* Some region is hollow or lent, or was: behind what is committed lies what others map or have. */
static bool some_are_shared;

static __attribute__((noinline, cold)) struct heap *owner_beside_others(const void *ptr,
                                                                        struct heap *owner) {
    const struct region *region = region_of(ptr);
    if (owner != NULL && (load_relaxed(&region->hollow) != 0 || region->is_lent) &&
        region_granule(ptr) >= load_relaxed(&region->committed))
        return NULL;
    return owner;
}

struct heap *region_owner(const void *ptr) {
    struct heap **slot = owner_slot(ptr);
    struct heap *owner = slot == NULL ? NULL : __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    return unlikely(load_relaxed(&some_are_shared)) ? owner_beside_others(ptr, owner) : owner;
}

void region_set_owner(struct region *region, struct heap *heap) {
    __atomic_store_n(owner_slot(region), heap, __ATOMIC_RELEASE);
}

/* Puts the near zone around its first region. The break goes up from there, mappings mostly down.
 */
static void zone_begin(uintptr_t first, bool is_mapped) {
    size_t below = is_mapped ? NEAR_BYTES - GIB : GIB;
    store_relaxed(&region_near.base, first > below ? first - below : REGION_BYTES);
}

/* Makes sure that the region at `base` lies in a zone. */
static bool zone_covers(uintptr_t base, bool is_mapped) {
    if (owner_slot((void *)base) != NULL)
        return true;
    if (region_near.base == 0) {
        zone_begin(base, is_mapped);
        return true;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (far_zones[i].base == 0) {
            store_relaxed(&far_zones[i].base, base - FAR_REGIONS / 2 * REGION_BYTES);
            return true;
        }
    }
    return false;
}

/* ---- from raw memory to a region ------------------------------------------------------------- */

/*
 * Where huge pages are the system's default, the first touch of a region would bring in 2 MiB of
 * it, and what was purged would come back. Asked for whenever memory was added to the region, but
 * not before it could hold one: a small program never does.
 */
static void region_advise(struct region *region, size_t bytes) {
    bytes = align_down(bytes, system_page());
    if (bytes >= SYSTEM_HUGE)
        system_advise_huge(region, bytes, conf.thp);
}

/* Slack bytes of guarded blocks come with the first of these (guard.c). */
static struct region *region_format(uintptr_t base, size_t committed_bytes, bool is_zero,
                                    bool is_lent, struct heap *heap) {
    struct region *region = (struct region *)base;
    if (!is_lent)
        region_advise(region, committed_bytes);
    if (!is_zero)
        memset(region, 0, sizeof *region);
    region->top = REGION_FIRST;
    store_relaxed(&region->committed, (uint32_t)(committed_bytes >> GRANULE_SHIFT));
    region->fresh = is_zero ? REGION_FIRST : REGION_GRANULES;
    region->is_lent = is_lent;
    region->slack =
        conf.requested && !conf.guard && !is_lent ? system_map_own(REGION_GRANULES) : NULL;
    tags_begin(region->lines, REGION_FIRST, true);
    if (heap != NULL)
        region_set_owner(region, heap);
    return region;
}

/*
 * Extends the break by `size`, or by `least` when that is refused. True if the new memory follows
 * the old; where someone else moved the break in between, what we had ends there.
 */
static bool break_extend(size_t size, size_t least, uintptr_t *start) {
    uintptr_t got = system_extend(size);
    if (got == 0 && least < size)
        got = system_extend(size = least);
    *start = got;
    if (got == 0)
        return false;
    bool follows = got == brk_area.end;
    if (!follows && brk_area.end != 0) {
        brk_area.moved = true;
        brk_area.growing = NULL;
    }
    brk_area.end = got + size;
    brk_area.taken += size;
    return follows;
}

/* Commits the region at the break's end up to where the break is now. */
static void growing_commit(void) {
    struct region *region = brk_area.growing;
    if (region == NULL)
        return;
    size_t bytes = size_min(brk_area.end - (uintptr_t)region, REGION_BYTES);
    if (brk_area.moved)
        store_relaxed(&region->fresh, (uint32_t)REGION_GRANULES);
    store_relaxed(&region->committed, (uint32_t)(bytes >> GRANULE_SHIFT));
    region_advise(region, bytes);
    if (bytes == REGION_BYTES)
        brk_area.growing = NULL;
}

/* Bytes of a region that can serve `granules` and HEAP_PREALLOCATION: what a young heap gets. */
static size_t region_least(size_t granules) {
    size_t blocks = size_max(granules_bytes(granules), HEAP_PREALLOCATION);
    return size_min(align_up(granules_bytes(REGION_FIRST) + blocks, 4 * KIB), REGION_BYTES);
}

/* Takes the next region from the break. Under region_lock. */
static struct region *region_from_break(struct heap *heap, size_t granules) {
    if (brk_area.spare == brk_area.spare_end) {
        uintptr_t now = system_break();
        if (now == 0)
            return NULL;
        /* Never below what was ours, even where someone else lowered the break. */
        uintptr_t base = align_up(size_max(now, brk_area.end), REGION_BYTES);
        size_t least = base - now + region_least(granules), size = least;
        if (brk_area.taken != 0) {
            size_t step = align_down(brk_area.taken / 4, REGION_BYTES);
            size = base - now + size_max(step, REGION_BYTES);
        }
        uintptr_t start;
        if (break_extend(size, least, &start))
            growing_commit();
        if (start == 0)
            return NULL;
        base = size_max(base, align_up(start, REGION_BYTES));
        if (base + region_least(granules) > brk_area.end) {
            /* Someone moved the break between our look at it and the extension. */
            size_t missing = base + region_least(granules) - brk_area.end;
            if (!break_extend(missing, missing, &start))
                return NULL;
        }
        size_t bytes = brk_area.end - base;
        if (bytes < REGION_BYTES) {
            if (!zone_covers(base, false))
                return NULL;
            struct region *region = region_format(base, bytes, !brk_area.moved, false, heap);
            brk_area.growing = region;
            return region;
        }
        brk_area.spare = base;
        brk_area.spare_end = align_down(brk_area.end, REGION_BYTES);
    }
    uintptr_t base = brk_area.spare;
    if (!zone_covers(base, false))
        return NULL;
    brk_area.spare += REGION_BYTES;
    return region_format(base, REGION_BYTES, !brk_area.moved, false, heap);
}

/* A region that was taken back, if there is one. Under region_lock. */
static struct region *region_from_released(struct heap *heap) {
    struct region *region = brk_area.released;
    if (region == NULL)
        return NULL;
    brk_area.released = region->next;
    bool is_zero = region->fresh == REGION_FIRST;
    region->next = NULL;
    return region_format((uintptr_t)region, REGION_BYTES, is_zero, false, heap);
}

void region_release(struct region *region) {
    if (region->slack != NULL)
        system_unmap_own(region->slack, REGION_GRANULES);
    bool is_zero = system_purge(region, REGION_BYTES);
    system_lock(&region_lock);
    region->fresh = is_zero ? REGION_FIRST : REGION_GRANULES;
    region->next = brk_area.released;
    brk_area.released = region;
    system_unlock(&region_lock);
}

struct region *region_lend(uintptr_t base, size_t bytes, bool is_zero) {
    struct region *region = NULL;
    system_lock(&region_lock);
    /* What the heaps of threads will have is to lie in the near zone, wherever this does. */
    uintptr_t now = region_near.base == 0 ? system_break() : 0;
    if (now != 0)
        zone_begin(align_up(now, REGION_BYTES), false);
    if (zone_covers(base, true) && *owner_slot((void *)base) == NULL) {
        region = region_format(base, bytes, is_zero, true, NULL);
        store_relaxed(&some_are_shared, true);
    }
    system_unlock(&region_lock);
    return region;
}

struct region *region_create(struct heap *heap, size_t granules) {
    system_lock(&region_lock);
    struct region *region = region_from_released(heap);
    if (region == NULL)
        region = region_from_break(heap, granules);
    if (region == NULL) {
        void *memory = system_map_aligned(REGION_BYTES, REGION_BYTES);
        if (memory != NULL && zone_covers((uintptr_t)memory, true))
            region = region_format((uintptr_t)memory, REGION_BYTES, true, false, heap);
        else if (memory != NULL)
            system_unmap(memory, REGION_BYTES);
    }
    system_unlock(&region_lock);
    return region;
}

void *region_break_apart(size_t size, size_t alignment) {
    void *apart = NULL;
    system_lock(&region_lock);
    uintptr_t now = system_break(), start;
    uintptr_t base = align_up(size_max(now, brk_area.end), size_max(alignment, REGION_BYTES));
    if (now != 0 && base >= now && size <= PTRDIFF_MAX) {
        size_t taken = brk_area.taken, more = base - now + size;
        /* The region before it gets what lies between. */
        if (break_extend(more, more, &start))
            growing_commit();
        brk_area.growing = start != 0 ? NULL : brk_area.growing;
        brk_area.taken = taken; /* what the heap has decides by how much it grows */
        if (start != 0 && start <= now)
            apart = (void *)base;
    }
    system_unlock(&region_lock);
    return apart;
}

void region_retire(struct region *region) {
    system_lock(&region_lock);
    if (brk_area.growing == region)
        brk_area.growing = NULL;
    system_unlock(&region_lock);
}

/*
 * Bytes of the whole pages in the granules [start, end), of which the first begins a page: the page
 * at an odd end may be someone else's too, who took the break behind us.
 */
static size_t hollow_bytes(size_t start, size_t end) {
    return align_down(granules_bytes(end), system_page()) - granules_bytes(start);
}

bool region_hollow(struct region *region, size_t start) {
    region_retire(region);
    size_t end = load_relaxed(&region->committed), bytes = hollow_bytes(start, end);
    char *first = region_block(region, start);
    if (bytes == 0)
        return false;
    /* What stays of the last page is to read as zero as the rest will. */
    memset(first + bytes, 0, granules_bytes(end - start) - bytes);
    /* Before others can find a new mapping there. */
    store_relaxed(&some_are_shared, true);
    store_relaxed(&region->hollow, (uint32_t)end);
    store_relaxed(&region->committed, (uint32_t)start);
    bool done = system_unmap(first, bytes);
    if (!done) {
        store_relaxed(&region->committed, (uint32_t)end);
        store_relaxed(&region->hollow, 0);
    }
    return done;
}

bool region_refill(struct region *region) {
    size_t start = load_relaxed(&region->committed), end = region->hollow;
    if (!system_map_at((uintptr_t)region_block(region, start), hollow_bytes(start, end)))
        return false;
    store_relaxed(&region->committed, (uint32_t)end);
    store_relaxed(&region->hollow, 0);
    region_advise(region, granules_bytes(end));
    return true;
}

bool region_extend(struct region *region, size_t granules) {
    system_lock(&region_lock);
    size_t least = granules_bytes(region->top + granules);
    size_t committed = granules_bytes(region->committed);
    if (least > committed && least <= REGION_BYTES && brk_area.growing == region &&
        system_break() == brk_area.end) {
        size_t blocks = size_max(committed - granules_bytes(REGION_FIRST), HEAP_PREALLOCATION);
        size_t size =
            size_min(size_max(align_up(least, 4 * KIB), committed + blocks), REGION_BYTES);
        size_t tight = size_min(align_up(least, 4 * KIB), REGION_BYTES);
        uintptr_t start;
        if (break_extend(size - committed, tight - committed, &start))
            growing_commit();
    }
    bool fits = granules <= region->committed - region->top;
    system_unlock(&region_lock);
    return fits;
}
