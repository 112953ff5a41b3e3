#include "osmem/heap.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/end.h"
#include "osmem/hollow.h"
#include "osmem/index.h"
#include "osmem/merge.h"
#include "osmem/own.h"
#include "osmem/purge.h"
#include "osmem/slab.h"
#include "osmem/tags.h"
#include "osmem/waiting.h"

/* The shared quick sets may keep this much: a constant, and a part of the heap. */
#define SHARED_LIMIT_BASE (32 * KIB / GRANULE_BYTES)
#define SHARED_LIMIT_SHIFT 6

/* A large heap merges all whenever it took this much and this part of itself from its end. */
#define MERGE_DUE_BASE (64 * KIB / GRANULE_BYTES)
#define MERGE_DUE_SHIFT 5

/* The index is built anew when it has this many more entries than twice what it had then: a
 * constant, and a part of the heap's granules. */
#define STALE_LIMIT 4096
#define STALE_SHIFT 8

/* A free block all of which may be in memory. */
static struct free_block whole(void *start, size_t granules) {
    return (struct free_block){start, granules, granules};
}

/*
 * Keeps the index from filling up with entries that mean nothing: whatever leaves such, allocating
 * or resizing comes again and again.
 */
static void index_tidy(struct heap *heap) {
    size_t limit = 2 * heap->bins.known + STALE_LIMIT + (heap->granules >> STALE_SHIFT);
    if (unlikely(heap->bins.entries > limit))
        index_rebuild(heap);
}

/* Merges all that is not on pages of small blocks; what waits in quick sets too, if it must. */
static void heap_merge(struct heap *heap, bool with_quick) {
    if (with_quick)
        waiting_flush(heap); /* notes the pages that are vacant by that */
    slab_dissolve_vacant(heap);
    if (with_quick)
        merge_flushed(heap);
    else
        merge_bins(heap);
    index_tidy(heap);
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* Notes the run, which ends at `end`, where it has a free neighbour: one that waits for merging. */
static void note_run(struct heap *heap, struct region *region, size_t end) {
    if (tags_is_free(region->lines, end))
        heap_note_unmerged(heap, heap->run);
}

/* Puts a free block that is not in the index to use, and its end beyond `wanted` back. */
static void *block_cut(struct heap *heap, struct free_block block, size_t wanted) {
    struct region *region = region_of(block.start);
    size_t start = region_granule(block.start), end = start + block.granules;
    size_t rest = start + wanted;
    size_t clean = block.granules - block.dirty;
    if (unlikely(clean != 0))
        heap->refaulted += clean - (end - rest - size_min(block.dirty, end - rest));
    if (rest < end) {
        tags_measure(region->lines, start, wanted);
        tags_begin(region->lines, rest, true);
        tags_measure(region->lines, rest, end - rest);
        index_set_run(heap, (struct free_block){region_block(region, rest), end - rest,
                                                size_min(block.dirty, end - rest)});
        note_run(heap, region, end);
    }
    tags_set_used(region->lines, start);
    return block.start;
}

/* A free block of just this size; the start is NULL if there is none. */
static struct free_block heap_fit_exact(struct heap *heap, size_t granules) {
    if (heap->run != NULL && heap->run_granules == granules) {
        void *run = heap->run;
        heap->run = NULL;
        return whole(run, granules);
    }
    if (!index_may_have(heap, granules))
        return whole(NULL, 0);
    void *block = index_take(heap, granules);
    if (block == NULL)
        bins_clear(&heap->bins, granules);
    return whole(block, granules);
}

/* The smallest free block that holds `granules`, as the blocks lie now. */
static void *heap_fit_best(struct heap *heap, size_t granules) {
    struct free_block block = index_fit(heap, granules);
    return block.start == NULL ? NULL : block_cut(heap, block, granules);
}

static bool is_for_slab(const struct heap *heap, size_t granules) {
    return granules <= SLAB_MAX && !heap_is_small(heap) && !conf.requested;
}

/* The same, but a small block that would have to be cut in a large heap is cut off a page. */
static void *heap_fit(struct heap *heap, size_t granules) {
    struct free_block block = heap_fit_exact(heap, granules);
    if (block.start == NULL)
        return is_for_slab(heap, granules) ? slab_allocate(heap, granules)
                                           : heap_fit_best(heap, granules);
    block_cut(heap, block, granules);
    if (granules <= QUICK_MAX && heap->quick[granules].top == 0)
        index_refill(heap, granules);
    return block.start;
}

void *heap_allocate_unindexed(struct heap *heap, size_t granules) {
    void *best = NULL;
    size_t best_size = SIZE_MAX;
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        struct tag_line *lines = region->lines;
        for (size_t start = REGION_FIRST, size; start < region->top; start += size) {
            size = tags_size(lines, start);
            if (tags_is_free(lines, start) && size >= granules && size < best_size) {
                best = region_block(region, start);
                best_size = size;
            }
        }
    }
    if (best == NULL)
        return NULL;
    size_t dirty = index_remove(heap, best, best_size);
    return block_cut(heap, (struct free_block){best, best_size, dirty}, granules);
}

/* Merges what had better be merged before the untouched end is taken; false: nothing had. */
static bool heap_merge_if_due(struct heap *heap, size_t granules) {
    bool must = heap_is_small(heap) || end_untouched(heap) < granules;
    size_t due = size_max(MERGE_DUE_BASE, heap->granules >> MERGE_DUE_SHIFT);
    bool waiting =
        heap->unmerged != NULL || heap->quick_shared != 0 || heap->bins.top[VACANT_BIN] != NULL;
    if (!must && (heap->taken < due || !waiting))
        return false;
    if (must)
        slab_drop_chunk(heap);
    heap_merge(heap, must);
    return true;
}

void *heap_allocate(struct heap *heap, size_t granules) {
    index_tidy(heap);
    heap->zeroed = false;
    void *block = heap_fit(heap, granules);
    if (block == NULL && heap_merge_if_due(heap, granules))
        block = heap_fit(heap, granules);
    if (block == NULL && unlikely(heap->bins.incomplete)) {
        index_rebuild(heap);
        block = heap_fit(heap, granules);
        if (block == NULL && heap->bins.incomplete)
            block = heap_allocate_unindexed(heap, granules);
    }
    if (block == NULL && is_for_slab(heap, granules))
        block = heap_fit_best(heap, granules);
    return block != NULL ? block : end_take(heap, granules);
}

void *heap_allocate_aligned(struct heap *heap, size_t granules, size_t alignment) {
    index_tidy(heap);
    void *found = index_take_aligned(heap, granules, alignment);
    if (found != NULL) {
        heap->zeroed = false;
        return block_cut(heap, whole(found, granules), granules);
    }
    size_t slack = alignment / GRANULE_BYTES - 1;
    char *block = heap_allocate(heap, granules + slack);
    if (block == NULL)
        return NULL;
    struct region *region = region_of(block);
    size_t skip = (align_up((uintptr_t)block, alignment) - (uintptr_t)block) / GRANULE_BYTES;
    size_t total = block_size(block);
    if (skip != 0) {
        tags_split(region->lines, region_granule(block), total, skip, false);
        tags_set_free(region->lines, region_granule(block));
        merge_block(heap, whole(block, skip));
        block += granules_bytes(skip);
    }
    heap_resize(heap, block, total - skip, granules);
    return block;
}

/* Lets a free block wait in its quick set, and merges what leaves that for it; false: it may not.
 */
static bool block_wait(struct heap *heap, void *block, size_t granules) {
    struct spilled spilled;
    bool waits = waiting_push(heap, block, granules, &spilled);
    for (size_t i = 0; i < spilled.count; i++)
        merge_spilled(heap, region_numbered(spilled.numbers[i]));
    return waits;
}

void heap_free(struct heap *heap, void *block, size_t granules) {
    tags_set_free(region_of(block)->lines, region_granule(block));
    if (!block_wait(heap, block, granules))
        merge_block(heap, whole(block, granules));
    if (heap->quick_shared > SHARED_LIMIT_BASE + (heap->granules >> SHARED_LIMIT_SHIFT))
        waiting_flush_shared(heap);
    size_t live = purge_live_bound(heap);
    purge_if_due(heap, live);
}

/* ---- resizing in place ----------------------------------------------------------------------- */

static void block_shrink(struct heap *heap, void *block, size_t granules, size_t wanted) {
    struct region *region = region_of(block);
    size_t start = region_granule(block);
    tags_split(region->lines, start, granules, wanted, true);
    merge_block(heap, whole(region_block(region, start + wanted), granules - wanted));
}

/* Granules that the block can have in place: its own, its free neighbours', the untouched end's. */
static size_t block_reach(struct heap *heap, struct region *region, size_t start, size_t granules,
                          size_t wanted) {
    size_t end = start + granules;
    while (end - start < wanted && end != region->top && tags_is_free(region->lines, end) &&
           !region_is_slab(region, end))
        end += tags_size(region->lines, end);
    if (end - start < wanted && end == region->top && region == heap->current) {
        size_t missing = wanted - (end - start);
        if (end_untouched(heap) >= missing || end_extend(heap, missing))
            return wanted;
    }
    return end - start;
}

/*
 * Gives back what a block that grew left of its right neighbour. At the untouched end it waits,
 * lest the end is handed to the next block that grows: then each would block the other's way.
 */
static void tail_return(struct heap *heap, struct free_block tail) {
    struct region *region = region_of(tail.start);
    size_t end = region_granule(tail.start) + tail.granules;
    if (end == region->top && block_wait(heap, tail.start, tail.granules))
        return;
    if (end == region->top || tags_is_free(region->lines, end))
        merge_block(heap, tail);
    else
        index_set_run(heap, tail);
}

/* Takes the right neighbour into the block, and gives back what is more than `wanted`. */
static size_t block_absorb(struct heap *heap, struct region *region, size_t start, size_t granules,
                           size_t wanted) {
    struct tag_line *lines = region->lines;
    size_t end = start + granules;
    if (end == region->top) {
        end_take(heap, wanted - granules);
        tags_join(lines, end);
        return wanted;
    }
    size_t right = tags_size(lines, end);
    size_t dirty = index_remove(heap, region_block(region, end), right);
    tags_join(lines, end);
    granules += right;
    if (granules > wanted) {
        tags_begin(lines, start + wanted, true);
        tags_measure(lines, start, wanted);
        size_t rest = granules - wanted;
        void *tail = region_block(region, start + wanted);
        tags_measure(lines, start + wanted, rest);
        tail_return(heap, (struct free_block){tail, rest, size_min(dirty, rest)});
        granules = wanted;
    }
    return granules;
}

/* The block grows into the run, which keeps the rest; false: that does not follow, or is too short.
 */
static bool run_resize(struct heap *heap, struct region *region, size_t start, size_t granules,
                       size_t wanted) {
    size_t more = wanted - granules, end = start + granules;
    if (heap->run != region_block(region, end) || heap->run_granules <= more ||
        region_is_slab(region, end))
        return false;
    heap->run_granules -= more;
    heap->run_dirty = size_min(heap->run_dirty, heap->run_granules);
    heap->run = region_block(region, end + more);
    tags_join(region->lines, end);
    tags_begin(region->lines, end + more, true);
    tags_measure(region->lines, start, wanted);
    tags_measure(region->lines, end + more, heap->run_granules);
    note_run(heap, region, end + more + heap->run_granules);
    return true;
}

bool heap_resize(struct heap *heap, void *block, size_t granules, size_t wanted) {
    index_tidy(heap);
    if (wanted < granules)
        block_shrink(heap, block, granules, wanted);
    if (wanted <= granules)
        return true;
    struct region *region = region_of(block);
    size_t start = region_granule(block);
    if (region_is_slab(region, start))
        return false;
    if (end_resize(heap, region, start, granules, wanted) ||
        run_resize(heap, region, start, granules, wanted))
        return true;
    if (block_reach(heap, region, start, granules, wanted) < wanted)
        return false;
    while (granules < wanted)
        granules = block_absorb(heap, region, start, granules, wanted);
    tags_measure(region->lines, start, granules);
    return true;
}

void *heap_allocate_ahead(struct heap *heap, size_t granules, size_t ahead) {
    if (heap_is_small(heap) || conf.requested)
        return NULL;
    char *block = heap_allocate(heap, granules + ahead);
    if (block == NULL)
        return NULL;
    struct region *region = region_of(block);
    tags_split(region->lines, region_granule(block), granules + ahead, granules, true);
    void *tail = block + granules_bytes(granules);
    if (!block_wait(heap, tail, ahead))
        merge_block(heap, whole(tail, ahead));
    return block;
}

/* ---- growing, adopting, giving back ------------------------------------------------------------
 */

/* What is left of the current region's end becomes an ordinary free block. */
static void current_retire(struct heap *heap) {
    struct region *region = heap->current;
    region_retire(region);
    size_t start = region->top, rest = end_untouched(heap);
    heap->current = NULL;
    if (rest == 0)
        return;
    store_relaxed(&region->top, (uint32_t)(start + rest));
    tags_begin(region->lines, region->top, true);
    merge_block(heap, whole(region_block(region, start), rest));
}

/* One that had been given back is current from now on. */
static void heap_use_region(struct heap *heap, struct region *region) {
    if (region == heap->current)
        return;
    current_retire(heap);
    heap->current = region;
    heap->current_counted = load_relaxed(&region->committed);
}

static void heap_add_region(struct heap *heap, struct region *region) {
    if (heap->current != NULL)
        current_retire(heap);
    region->next = heap->regions;
    __atomic_store_n(&heap->regions, region, __ATOMIC_RELEASE);
    heap->current = region;
    heap->current_counted = 0;
    heap->metadata += REGION_FIRST;
    end_untouched(heap);
}

struct heap *heap_begin(struct region *region, size_t aside) {
    struct heap *heap = (struct heap *)(void *)region->reserve;
    heap_add_region(heap, region);
    bins_give_memory(&heap->bins, (char *)(heap + 1) + aside,
                     REGION_RESERVE - sizeof *heap - aside);
    return heap;
}

struct heap *heap_create(size_t granules) {
    struct region *region = region_create(NULL, granules);
    return region == NULL ? NULL : heap_begin(region, 0);
}

bool heap_grow(struct heap *heap, size_t granules) {
    if (end_extend(heap, granules))
        return true;
    struct region *region = hollow_refill(heap, granules);
    if (region != NULL) {
        heap_use_region(heap, region);
        return true;
    }
    region = heap->own != NULL ? own_region(heap->own, granules) : region_create(heap, granules);
    if (region == NULL)
        return false;
    heap_add_region(heap, region);
    if (heap->bins.unused == heap->bins.unused_end)
        bins_give_memory(&heap->bins, region->reserve, REGION_RESERVE);
    return true;
}

void heap_recover(struct heap *heap) {
    memset(heap->quick, 0, sizeof heap->quick);
    memset(heap->quick_open, 0, sizeof heap->quick_open);
    heap->quick_shared = 0;
    if (heap->current == NULL)
        heap->current = heap->regions;
    heap->run = NULL;
    heap->chunk = whole(NULL, 0);
    heap->vacant = 0;
    heap->unmerged = NULL;
    heap->large = (struct large){0, 0, 0};
    memset(&heap->bins, 0, sizeof heap->bins);
    bins_give_memory(&heap->bins, heap + 1, REGION_RESERVE - sizeof *heap);
    heap->granules = heap->metadata = 0;
    heap->current_counted = load_relaxed(&heap->current->committed);
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        heap->granules += load_relaxed(&region->committed);
        heap->metadata += REGION_FIRST;
        memset(region->slab_granules, 0, sizeof region->slab_granules);
        memset(region->listed, 0, sizeof region->listed);
        memset(region->unmerged, 0, sizeof region->unmerged);
        region->unmerged_words = 0;
        merge_region(region, region == heap->current);
        index_add_region(heap, region);
    }
}

void heap_adopt(struct heap *heap, struct heap *other) {
    slab_drop_chunk(other);
    heap_merge(other, true);
    index_drop_run(other);
    current_retire(other);
    other->run = NULL;
    struct region *next;
    for (struct region *region = other->regions; region != NULL; region = next) {
        next = region->next;
        region_set_owner(region, heap);
        index_add_region(heap, region);
        region->next = heap->regions;
        heap->regions = region;
        heap->granules += load_relaxed(&region->committed);
        heap->metadata += REGION_FIRST;
    }
    heap->hollow += other->hollow;
    other->regions = NULL;
    other->merged_into = heap;
}
