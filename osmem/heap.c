#include "osmem/heap.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/index.h"
#include "osmem/merge.h"
#include "osmem/purge.h"
#include "osmem/tags.h"

/* The shared quick sets may keep this much: a constant, and a part of the heap. */
#define SHARED_LIMIT_BASE (32 * KIB / GRANULE_BYTES)
#define SHARED_LIMIT_SHIFT 6

/* So much may leave the quick sets unmerged: again a constant, and a part of what is live. */
#define SPILL_LIMIT_BASE (64 * KIB / GRANULE_BYTES)
#define SPILL_LIMIT_SHIFT 3

/* A large heap merges all whenever it took this much and this part of itself from its end. */
#define MERGE_DUE_BASE (64 * KIB / GRANULE_BYTES)
#define MERGE_DUE_SHIFT 6

/* The index is built anew when it has this many stale entries, and more of them than others. */
#define STALE_LIMIT 4096

/* A free block all of which may be in memory. */
static struct free_block whole(void *start, size_t granules) {
    return (struct free_block){start, granules, granules};
}

static bool is_small(const struct heap *heap) {
    return heap->granules <= SMALL_HEAP / GRANULE_BYTES;
}

/* Keeps the index from filling up with entries that mean nothing. */
static void index_tidy(struct heap *heap) {
    struct bins *bins = &heap->bins;
    if (unlikely(bins->stale > STALE_LIMIT && bins->stale > bins->entries / 2) &&
        bins->stale > heap->granules / LINE_GRANULES / 8)
        index_rebuild(heap);
}

/* ---- allocation ------------------------------------------------------------------------------ */

/*
 * How many blocks to cut beyond the one asked for: more each time that the same size misses its
 * quick set. A small heap takes no memory before it is asked for it.
 */
static size_t carve_count(struct heap *heap, size_t granules) {
    if (granules > CARVE_MAX || is_small(heap) || conf.requested)
        return 0;
    heap->carve =
        granules == heap->missed ? size_min(2 * heap->carve + 1, quick_capacity(granules)) : 0;
    heap->missed = granules;
    return heap->carve;
}

/*
 * Cuts up to `count` free blocks of `granules` off the front of the free span [start, end), so that
 * the quick set hands them out in order of address. Returns where the rest of the span starts.
 */
static size_t carve(struct heap *heap, struct region *region, size_t start, size_t end,
                    size_t granules, size_t count) {
    if (count == 0)
        return start;
    count = size_min(count, (end - start) / granules);
    for (size_t i = count; i-- > 0;) {
        tags_begin(region->lines, start + i * granules, true);
        tags_measure(region->lines, start + i * granules, granules);
    }
    index_fill(heap, region_block(region, start), granules, count);
    return start + count * granules;
}

/* Puts a free block that is not in the index to use, and its end beyond `wanted` back. */
static void *block_cut(struct heap *heap, struct free_block block, size_t wanted) {
    struct region *region = region_of(block.start);
    size_t start = region_granule(block.start), end = start + block.granules;
    size_t rest = start + wanted;
    if (rest < end) {
        tags_measure(region->lines, start, wanted);
        rest = carve(heap, region, rest, end, wanted, carve_count(heap, wanted));
    }
    if (rest < end) {
        tags_begin(region->lines, rest, true);
        tags_measure(region->lines, rest, end - rest);
        index_set_run(heap, (struct free_block){region_block(region, rest), end - rest,
                                                size_min(block.dirty, end - rest)});
        /* A block from a quick set, or one that waits for merging, may have a free neighbour. */
        if (tags_is_free(region->lines, end))
            heap_note_unmerged(heap, region_block(region, rest));
    }
    tags_set_used(region->lines, start);
    return block.start;
}

/* The smallest free block that holds `granules`, as the blocks lie now. */
static void *heap_fit(struct heap *heap, size_t granules) {
    struct free_block block = index_fit(heap, granules);
    if (block.start == NULL)
        return NULL;
    block_cut(heap, block, granules);
    if (block.granules == granules && granules <= QUICK_MAX)
        index_refill(heap, granules);
    return block.start;
}

/* The same without an index: looks at every free block. All is merged; the run is too small. */
static void *heap_fit_unindexed(struct heap *heap, size_t granules) {
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
    return best == NULL ? NULL : block_cut(heap, whole(best, best_size), granules);
}

static size_t untouched(const struct region *region) {
    return load_relaxed(&region->committed) - region->top;
}

/* The current region may also be committed further by another thread, on its way to a new region.
 */
static void current_count(struct heap *heap) {
    uint32_t committed = load_relaxed(&heap->current->committed);
    heap->granules += committed - heap->current_counted;
    heap->current_counted = committed;
}

/* Takes `granules`, and up to `more` blocks of that size for the quick set, from the end. */
static void *heap_take_untouched(struct heap *heap, size_t granules, size_t more) {
    struct region *region = heap->current;
    size_t start = region->top, end = start + granules;
    current_count(heap);
    if (untouched(region) < granules)
        return NULL;
    heap->zeroed = start >= load_relaxed(&region->fresh);
    end += granules * size_min(more, untouched(region) / granules - 1);
    store_relaxed(&region->top, (uint32_t)end);
    if (load_relaxed(&region->fresh) < end)
        store_relaxed(&region->fresh, (uint32_t)end);
    tags_begin(region->lines, end, true);
    carve(heap, region, start + granules, end, granules, more);
    tags_measure(region->lines, start, granules);
    tags_set_used(region->lines, start);
    heap->taken += end - start;
    return region_block(region, start);
}

/* Whether blocks wait for merging that had better be merged before the untouched end is taken. */
static bool merge_is_due(struct heap *heap, size_t granules) {
    return is_small(heap) ||
           heap->taken >= size_max(MERGE_DUE_BASE, heap->granules >> MERGE_DUE_SHIFT) ||
           untouched(heap->current) < granules;
}

void *heap_allocate(struct heap *heap, size_t granules) {
    heap->zeroed = false;
    void *block = heap_fit(heap, granules);
    if (block == NULL && merge_is_due(heap, granules)) {
        merge_all(heap);
        index_tidy(heap);
        block = heap_fit(heap, granules);
    }
    if (block == NULL && unlikely(heap->bins.incomplete)) {
        index_rebuild(heap);
        block = heap_fit(heap, granules);
        if (block == NULL && heap->bins.incomplete)
            block = heap_fit_unindexed(heap, granules);
    }
    if (block == NULL)
        block = heap_take_untouched(heap, granules, carve_count(heap, granules));
    return block;
}

void *heap_allocate_aligned(struct heap *heap, size_t granules, size_t alignment) {
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

void heap_free(struct heap *heap, void *block, size_t granules) {
    tags_set_free(region_of(block)->lines, region_granule(block));
    if (!index_wait(heap, block, granules))
        merge_block(heap, whole(block, granules));
    if (heap->quick_shared > SHARED_LIMIT_BASE + (heap->granules >> SHARED_LIMIT_SHIFT))
        index_flush_shared(heap);
    size_t live = purge_live_bound(heap);
    if (unlikely(heap->spilled > SPILL_LIMIT_BASE + (live >> SPILL_LIMIT_SHIFT))) {
        merge_all(heap);
        index_tidy(heap);
    }
    purge_if_due(heap, live);
}

/* ---- resizing in place ----------------------------------------------------------------------- */

static void block_shrink(struct heap *heap, void *block, size_t granules, size_t wanted) {
    struct region *region = region_of(block);
    size_t start = region_granule(block);
    tags_split(region->lines, start, granules, wanted, true);
    merge_block(heap, whole(region_block(region, start + wanted), granules - wanted));
}

/* Extends the current region so that `granules` fit at its end. */
static bool current_extend(struct heap *heap, size_t granules) {
    if (!region_extend(heap->current, granules))
        return false;
    current_count(heap);
    return true;
}

/* Granules that the block can have in place: its own, its free neighbours', the untouched end's. */
static size_t block_reach(struct heap *heap, struct region *region, size_t start, size_t granules,
                          size_t wanted) {
    size_t end = start + granules;
    while (end - start < wanted && end != region->top && tags_is_free(region->lines, end))
        end += tags_size(region->lines, end);
    if (end - start < wanted && end == region->top && region == heap->current) {
        size_t missing = wanted - (end - start);
        if (untouched(region) >= missing || current_extend(heap, missing))
            return wanted;
    }
    return end - start;
}

/* Takes the right neighbour into the block, and gives back what is more than `wanted`. */
static size_t block_absorb(struct heap *heap, struct region *region, size_t start, size_t granules,
                           size_t wanted) {
    struct tag_line *lines = region->lines;
    size_t end = start + granules;
    if (end == region->top) {
        heap_take_untouched(heap, wanted - granules, 0);
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
        merge_block(heap, (struct free_block){region_block(region, start + wanted), rest,
                                              size_min(dirty, rest)});
        granules = wanted;
    }
    return granules;
}

/* The last block grows into the untouched end; false: it is not the last, or that is too short. */
static bool end_resize(struct heap *heap, struct region *region, size_t start, size_t granules,
                       size_t wanted) {
    size_t more = wanted - granules, end = start + wanted;
    if (start + granules != region->top || region != heap->current || untouched(region) < more)
        return false;
    tags_join(region->lines, region->top);
    store_relaxed(&region->top, (uint32_t)end);
    if (load_relaxed(&region->fresh) < end)
        store_relaxed(&region->fresh, (uint32_t)end);
    tags_begin(region->lines, end, true);
    tags_measure(region->lines, start, wanted);
    heap->taken += more;
    return true;
}

bool heap_resize(struct heap *heap, void *block, size_t granules, size_t wanted) {
    if (wanted < granules)
        block_shrink(heap, block, granules, wanted);
    if (wanted <= granules)
        return true;
    struct region *region = region_of(block);
    size_t start = region_granule(block);
    if (end_resize(heap, region, start, granules, wanted))
        return true;
    if (block_reach(heap, region, start, granules, wanted) < wanted)
        return false;
    while (granules < wanted)
        granules = block_absorb(heap, region, start, granules, wanted);
    tags_measure(region->lines, start, granules);
    return true;
}

/* ---- growing, adopting, giving back ------------------------------------------------------------
 */

/* What is left of the current region's end becomes an ordinary free block. */
static void current_retire(struct heap *heap) {
    struct region *region = heap->current;
    region_retire(region);
    size_t start = region->top, rest = untouched(region);
    heap->current = NULL;
    if (rest == 0)
        return;
    store_relaxed(&region->top, (uint32_t)(start + rest));
    tags_begin(region->lines, region->top, true);
    merge_block(heap, whole(region_block(region, start), rest));
}

static void heap_add_region(struct heap *heap, struct region *region) {
    if (heap->current != NULL)
        current_retire(heap);
    region->next = heap->regions;
    __atomic_store_n(&heap->regions, region, __ATOMIC_RELEASE);
    heap->current = region;
    heap->current_counted = 0;
    heap->metadata += REGION_FIRST;
    current_count(heap);
}

struct heap *heap_create(size_t granules) {
    struct region *region = region_create(NULL, granules);
    if (region == NULL)
        return NULL;
    struct heap *heap = (struct heap *)(void *)region->reserve;
    heap_add_region(heap, region);
    bins_give_memory(&heap->bins, heap + 1, REGION_RESERVE - sizeof *heap);
    return heap;
}

bool heap_grow(struct heap *heap, size_t granules) {
    if (current_extend(heap, granules))
        return true;
    struct region *region = region_create(heap, granules);
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
    heap->unmerged = NULL;
    heap->large = (struct large){0, 0, 0};
    memset(&heap->bins, 0, sizeof heap->bins);
    bins_give_memory(&heap->bins, heap + 1, REGION_RESERVE - sizeof *heap);
    heap->granules = heap->metadata = 0;
    heap->current_counted = load_relaxed(&heap->current->committed);
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        heap->granules += load_relaxed(&region->committed);
        heap->metadata += REGION_FIRST;
        memset(region->unmerged, 0, sizeof region->unmerged);
        region->unmerged_words = 0;
        merge_region(region, region == heap->current);
        index_add_region(heap, region);
    }
}

void heap_adopt(struct heap *heap, struct heap *other) {
    merge_all(other);
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
    other->regions = NULL;
    other->merged_into = heap;
}
