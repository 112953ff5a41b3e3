#include "osmem/heap.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/tags.h"

/* The shared quick sets may keep this much unmerged: a constant, and a part of the heap. */
#define SHARED_LIMIT_BASE (32 * KIB / GRANULE_BYTES)
#define SHARED_LIMIT_SHIFT 6

/* A large heap merges all whenever it took this part of itself from the untouched end. */
#define MERGE_DUE_SHIFT 6

/* The index is built anew when it has this many stale entries, and more of them than others. */
#define STALE_LIMIT 4096

static bool is_small(const struct heap *heap) {
    return heap->granules <= SMALL_HEAP / GRANULE_BYTES;
}

static bool is_shared(size_t granules) { return granules > QUICK_MAX && granules < LARGE_MIN; }

static size_t block_size(void *block) {
    return tags_size(region_of(block)->lines, region_granule(block));
}

/* ---- the index: run, quick sets, bins and tree behind a few verbs ------------------------------
 */

static void index_insert(struct heap *heap, void *block, size_t granules) {
    if (granules < LARGE_MIN)
        bins_push(&heap->bins, block, granules);
    else
        large_insert(&heap->large, block);
}

/* Makes a free block the run; the one before it goes into the index. */
static void run_set(struct heap *heap, void *block, size_t granules) {
    if (heap->run != NULL)
        index_insert(heap, heap->run, heap->run_granules);
    heap->run = block;
    heap->run_granules = granules;
}

static void index_remove(struct heap *heap, void *block, size_t granules) {
    if (block == heap->run)
        heap->run = NULL;
    else if (granules >= LARGE_MIN)
        large_remove(&heap->large, block);
    else if (!quick_remove(&heap->quick[quick_index(granules)], block))
        heap->bins.stale++;
    else if (is_shared(granules))
        heap->quick_shared -= granules;
}

static void *quick_take(struct heap *heap, size_t granules) {
    struct quick *quick = &heap->quick[quick_index(granules)];
    for (size_t i = quick_count(quick); i-- > 0;) {
        void *block = quick->slot[i];
        if (granules <= QUICK_MAX || block_size(block) == granules) {
            quick_remove_at(quick, i);
            if (is_shared(granules))
                heap->quick_shared -= granules;
            return block;
        }
    }
    return NULL;
}

/* Whether an entry of the bins still is what it was: B3's definition of valid. */
static bool entry_is_valid(void *block, size_t granules) {
    struct region *region = region_of(block);
    uint32_t granule = region_granule(block);
    return tags_is_free(region->lines, granule) && granule != region->top &&
           tags_size(region->lines, granule) == granules;
}

/* A free block of exactly `granules` < LARGE_MIN, taken out of the index; NULL if there is none. */
static void *index_take(struct heap *heap, size_t granules) {
    void *block = quick_take(heap, granules);
    if (block != NULL)
        return block;
    while ((block = bins_pop(&heap->bins, granules)) != NULL) {
        if (entry_is_valid(block, granules) && block != heap->run)
            return block;
        if (heap->bins.stale > 0)
            heap->bins.stale--;
    }
    return NULL;
}

/* ---- coalescing ------------------------------------------------------------------------------ */

/* Merges the free granules [start, end), which the index does not know, to the right: the new run.
 */
static void span_merge_right(struct heap *heap, struct region *region, size_t start, size_t end) {
    struct tag_line *lines = region->lines;
    while (end != region->top && tags_is_free(lines, end)) {
        size_t right = tags_size(lines, end);
        index_remove(heap, region_block(region, end), right);
        tags_join(lines, end);
        end += right;
    }
    if (end == region->top && region == heap->current) {
        tags_join(lines, end);
        store_relaxed(&region->top, (uint32_t)start);
        return;
    }
    tags_measure(lines, start, end - start);
    run_set(heap, region_block(region, start), end - start);
}

/* Merges a free block that is not in the index with its free neighbours: the new run. */
static void block_merge(struct heap *heap, void *block, size_t granules) {
    struct region *region = region_of(block);
    struct tag_line *lines = region->lines;
    size_t start = region_granule(block), end = start + granules, left;
    while ((left = tags_left(lines, start)) != start && tags_is_free(lines, left)) {
        index_remove(heap, region_block(region, left), start - left);
        tags_join(lines, start);
        start = left;
    }
    span_merge_right(heap, region, start, end);
}

/* Where what was asked for is counted, every allocation must pass the slow path: no set is open. */
static void quick_open(struct heap *heap, size_t index) {
    if (heap->quick[index].fill == 0 && likely(!conf.requested)) {
        heap->quick[index].fill = 1;
        heap->quick_open[index / 64] |= bit_at((unsigned)index);
    }
}

/* The set is empty. */
static void quick_close(struct heap *heap, size_t index) {
    heap->quick[index].fill = 0;
    heap->quick_open[index / 64] &= ~bit_at((unsigned)index);
}

/* Merges the oldest `count` blocks of a quick set. */
static void quick_merge(struct heap *heap, struct quick *quick, size_t count) {
    while (count-- > 0 && quick_count(quick) > 0) {
        void *block = quick->slot[0];
        size_t granules = block_size(block);
        quick_remove_at(quick, 0);
        if (is_shared(granules))
            heap->quick_shared -= granules;
        block_merge(heap, block, granules);
    }
}

static void quick_merge_sets(struct heap *heap, size_t first, size_t last) {
    for (size_t word = first / 64; word <= last / 64; word++) {
        uint64_t sets = heap->quick_open[word];
        if (word == first / 64)
            sets &= ~(bit_at((unsigned)first) - 1);
        for (; sets != 0; sets &= sets - 1) {
            size_t index = word * 64 + bit_lowest(sets);
            quick_merge(heap, &heap->quick[index], QUICK_SLOTS);
            quick_close(heap, index);
        }
    }
}

void heap_merge_all(struct heap *heap) {
    quick_merge_sets(heap, 1, QUICK_SETS - 1);
    heap->taken = 0;
}

/* Enters every free block of a region, so that the lowest address comes up first. */
static void region_index(struct heap *heap, struct region *region, bool with_large) {
    for (size_t line = REGION_LINES; line-- > REGION_FIRST_LINE;) {
        uint64_t starts = region->lines[line].starts & region->lines[line].free;
        while (starts != 0) {
            unsigned bit = bit_highest(starts);
            size_t granule = line * LINE_GRANULES + bit;
            starts &= ~bit_at(bit);
            if (granule == region->top)
                continue;
            size_t granules = tags_size(region->lines, granule);
            if (with_large || granules < LARGE_MIN)
                index_insert(heap, region_block(region, granule), granules);
        }
    }
}

void heap_reindex(struct heap *heap) {
    heap_merge_all(heap);
    run_set(heap, NULL, 0);
    bins_reset(&heap->bins);
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        region_index(heap, region, false);
}

/* Keeps the index from filling up with entries that mean nothing. */
static void index_tidy(struct heap *heap) {
    struct bins *bins = &heap->bins;
    if (unlikely(bins->stale > STALE_LIMIT && bins->stale > bins->entries / 2) &&
        bins->stale > heap->granules / LINE_GRANULES / 8)
        heap_reindex(heap);
}

/* ---- allocation ------------------------------------------------------------------------------ */

/*
 * How many blocks to cut beyond the one asked for: more each time that the same size misses its
 * quick set. A small heap takes no memory before it is asked for it.
 */
static size_t carve_count(struct heap *heap, size_t granules) {
    if (granules > QUICK_MAX || is_small(heap) || conf.requested)
        return 0;
    heap->carve = granules == heap->missed ? size_min(2 * heap->carve + 1, QUICK_SLOTS - 1) : 0;
    heap->missed = granules;
    return heap->carve;
}

/*
 * Cuts up to `count` free blocks of `granules` off the front of the free span [start, end), so that
 * the quick set hands them out in order of address. Returns where the rest of the span starts.
 */
static size_t carve(struct heap *heap, struct region *region, size_t start, size_t end,
                    size_t granules, size_t count) {
    count = size_min(count, (end - start) / granules);
    if (count == 0)
        return start;
    quick_open(heap, granules);
    bins_note(&heap->bins, granules);
    for (size_t i = count; i-- > 0;) {
        tags_begin(region->lines, start + i * granules, true);
        tags_measure(region->lines, start + i * granules, granules);
        quick_push(&heap->quick[granules], region_block(region, start + i * granules));
    }
    return start + count * granules;
}

/*
 * Puts a free block that is not in the index to use, and its end beyond `wanted` back: merged,
 * since a block from a quick set may have a free neighbour.
 */
static void *block_cut(struct heap *heap, void *block, size_t granules, size_t wanted) {
    struct region *region = region_of(block);
    size_t start = region_granule(block), end = start + granules, rest = start + wanted;
    if (rest < end) {
        tags_measure(region->lines, start, wanted);
        rest = carve(heap, region, rest, end, wanted, carve_count(heap, wanted));
    }
    if (rest < end) {
        tags_begin(region->lines, rest, true);
        span_merge_right(heap, region, rest, end);
    }
    tags_set_used(region->lines, start);
    return block;
}

static void *run_cut(struct heap *heap, size_t wanted) {
    void *block = heap->run;
    heap->run = NULL;
    return block_cut(heap, block, heap->run_granules, wanted);
}

/* The smallest free block that holds `granules`, as the blocks lie now. */
static void *heap_fit(struct heap *heap, size_t granules) {
    size_t run =
        heap->run != NULL && heap->run_granules >= granules ? heap->run_granules : SIZE_MAX;
    size_t size;
    while (granules < LARGE_MIN && (size = bins_next(&heap->bins, granules)) != 0) {
        if (run <= size)
            return run_cut(heap, granules);
        void *block = index_take(heap, size);
        if (block != NULL)
            return block_cut(heap, block, size, granules);
        bins_clear(&heap->bins, size);
        if (size <= QUICK_MAX)
            quick_close(heap, size);
    }
    void *block = large_find(&heap->large, granules);
    size = block != NULL ? block_size(block) : SIZE_MAX;
    if (run <= size)
        return run < SIZE_MAX ? run_cut(heap, granules) : NULL;
    large_remove(&heap->large, block);
    return block_cut(heap, block, size, granules);
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
    return best == NULL ? NULL : block_cut(heap, best, best_size, granules);
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
    end = carve(heap, region, end, load_relaxed(&region->committed), granules, more);
    store_relaxed(&region->top, (uint32_t)end);
    if (load_relaxed(&region->fresh) < end)
        store_relaxed(&region->fresh, (uint32_t)end);
    tags_begin(region->lines, end, true);
    tags_measure(region->lines, start, granules);
    tags_set_used(region->lines, start);
    heap->taken += end - start;
    return region_block(region, start);
}

/* Whether blocks wait for merging that had better be merged before the untouched end is taken. */
static bool merge_is_due(struct heap *heap, size_t granules) {
    if ((heap->quick_open[0] | heap->quick_open[1]) == 0)
        return false;
    return is_small(heap) || heap->taken >= heap->granules >> MERGE_DUE_SHIFT ||
           untouched(heap->current) < granules;
}

void *heap_allocate(struct heap *heap, size_t granules) {
    heap->zeroed = false;
    void *block = heap_fit(heap, granules);
    if (block == NULL && merge_is_due(heap, granules)) {
        heap_merge_all(heap);
        block = heap_fit(heap, granules);
    }
    if (block == NULL && unlikely(heap->bins.incomplete)) {
        heap_reindex(heap);
        block = heap_fit(heap, granules);
        if (block == NULL && heap->bins.incomplete)
            block = heap_fit_unindexed(heap, granules);
    }
    if (block == NULL)
        block = heap_take_untouched(heap, granules, carve_count(heap, granules));
    return block;
}

/* A free block of exactly this size that happens to be aligned, among those that come up first. */
static void *aligned_take(struct heap *heap, size_t granules, size_t alignment) {
    if (heap->run != NULL && heap->run_granules == granules &&
        is_aligned((uintptr_t)heap->run, alignment)) {
        void *run = heap->run;
        heap->run = NULL;
        return run;
    }
    if (granules >= LARGE_MIN)
        return NULL;
    struct quick *quick = &heap->quick[quick_index(granules)];
    for (size_t i = quick_count(quick); i-- > 0;) {
        void *block = quick->slot[i];
        if (is_aligned((uintptr_t)block, alignment) && block_size(block) == granules) {
            index_remove(heap, block, granules);
            return block;
        }
    }
    void *block;
    for (size_t i = 0; (block = bins_peek(&heap->bins, granules, i)) != NULL; i++) {
        if (is_aligned((uintptr_t)block, alignment) && entry_is_valid(block, granules) &&
            block != heap->run)
            return bins_take(&heap->bins, granules, i);
    }
    return NULL;
}

void *heap_allocate_aligned(struct heap *heap, size_t granules, size_t alignment) {
    void *found = aligned_take(heap, granules, alignment);
    if (found != NULL) {
        heap->zeroed = false;
        return block_cut(heap, found, granules, granules);
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
        block_merge(heap, block, skip);
        block += granules_bytes(skip);
    }
    heap_resize(heap, block, total - skip, granules);
    return block;
}

/* Makes room for one more in a quick set. Must not see the block that it is made for as free. */
static void quick_make_room(struct heap *heap, size_t index) {
    struct quick *quick = &heap->quick[index];
    if (quick->fill > QUICK_SLOTS) {
        quick_merge(heap, quick, (QUICK_SLOTS + 1) / 2);
        index_tidy(heap);
    }
    quick_open(heap, index);
}

void heap_free(struct heap *heap, void *block, size_t granules) {
    struct tag_line *lines = region_of(block)->lines;
    if (granules >= LARGE_MIN || unlikely(conf.requested)) {
        tags_set_free(lines, region_granule(block));
        block_merge(heap, block, granules);
        return;
    }
    size_t index = quick_index(granules);
    quick_make_room(heap, index);
    bins_note(&heap->bins, granules);
    tags_set_free(lines, region_granule(block));
    quick_push(&heap->quick[index], block);
    if (is_shared(granules)) {
        heap->quick_shared += granules;
        if (heap->quick_shared > SHARED_LIMIT_BASE + (heap->granules >> SHARED_LIMIT_SHIFT))
            quick_merge_sets(heap, QUICK_MAX + 1, QUICK_SETS - 1);
    }
}

/* ---- resizing in place ----------------------------------------------------------------------- */

static void block_shrink(struct heap *heap, void *block, size_t granules, size_t wanted) {
    struct region *region = region_of(block);
    size_t start = region_granule(block);
    tags_split(region->lines, start, granules, wanted, true);
    block_merge(heap, region_block(region, start + wanted), granules - wanted);
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
    index_remove(heap, region_block(region, end), right);
    tags_join(lines, end);
    granules += right;
    if (granules > wanted) {
        tags_begin(lines, start + wanted, true);
        span_merge_right(heap, region, start + wanted, start + granules);
        granules = wanted;
    }
    return granules;
}

bool heap_resize(struct heap *heap, void *block, size_t granules, size_t wanted) {
    if (wanted < granules)
        block_shrink(heap, block, granules, wanted);
    if (wanted <= granules)
        return true;
    struct region *region = region_of(block);
    size_t start = region_granule(block);
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
    block_merge(heap, region_block(region, start), rest);
}

static void heap_add_region(struct heap *heap, struct region *region) {
    if (heap->current != NULL)
        current_retire(heap);
    region->next = heap->regions;
    __atomic_store_n(&heap->regions, region, __ATOMIC_RELEASE);
    heap->current = region;
    heap->current_counted = 0;
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

/* Merges all free neighbours of a region that no index knows. */
static void region_coalesce(struct region *region, bool is_current) {
    struct tag_line *lines = region->lines;
    for (size_t start = REGION_FIRST, end; start < region->top; start = end) {
        end = start + tags_size(lines, start);
        if (!tags_is_free(lines, start))
            continue;
        while (end < region->top && tags_is_free(lines, end)) {
            size_t right = tags_size(lines, end);
            tags_join(lines, end);
            end += right;
        }
        if (end == region->top && is_current) {
            tags_join(lines, end);
            store_relaxed(&region->top, (uint32_t)start);
            return;
        }
        tags_measure(lines, start, end - start);
    }
}

void heap_recover(struct heap *heap) {
    memset(heap->quick, 0, sizeof heap->quick);
    memset(heap->quick_open, 0, sizeof heap->quick_open);
    heap->quick_shared = 0;
    if (heap->current == NULL)
        heap->current = heap->regions;
    heap->run = NULL;
    heap->large.root = 0;
    memset(&heap->bins, 0, sizeof heap->bins);
    bins_give_memory(&heap->bins, heap + 1, REGION_RESERVE - sizeof *heap);
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        region_coalesce(region, region == heap->current);
        region_index(heap, region, true);
    }
}

void heap_adopt(struct heap *heap, struct heap *other) {
    heap_merge_all(other);
    current_retire(other);
    other->run = NULL;
    struct region *next;
    for (struct region *region = other->regions; region != NULL; region = next) {
        next = region->next;
        region_set_owner(region, heap);
        region_index(heap, region, true);
        region->next = heap->regions;
        heap->regions = region;
        heap->granules += load_relaxed(&region->committed);
    }
    other->regions = NULL;
    other->merged_into = heap;
}

static bool purge_between(struct region *region, size_t start, size_t end) {
    size_t page = system_page();
    uintptr_t first = align_up((uintptr_t)region_block(region, start), page);
    uintptr_t last = align_down((uintptr_t)region_block(region, end), page);
    return first < last && system_purge((void *)first, last - first);
}

static bool region_trim(struct region *region, size_t pad_granules) {
    bool any = false;
    for (size_t line = REGION_FIRST_LINE; line < REGION_LINES; line++) {
        uint64_t starts = region->lines[line].starts & region->lines[line].free;
        for (; starts != 0; starts &= starts - 1) {
            size_t granule = line * LINE_GRANULES + bit_lowest(starts);
            if (granule != region->top)
                any |= purge_between(region, granule, granule + tags_size(region->lines, granule));
        }
    }
    size_t keep = region->top + pad_granules;
    size_t touched = size_min(load_relaxed(&region->fresh), load_relaxed(&region->committed));
    if (keep < touched) {
        size_t end = size_min(align_up(granules_bytes(touched), system_page()) >> GRANULE_SHIFT,
                              load_relaxed(&region->committed));
        if (purge_between(region, keep, end)) {
            size_t first = align_up(granules_bytes(keep), system_page()) >> GRANULE_SHIFT;
            if (load_relaxed(&region->fresh) <= end &&
                is_aligned(granules_bytes(end), system_page()))
                store_relaxed(&region->fresh, (uint32_t)first);
            any = true;
        }
    }
    return any;
}

bool heap_trim(struct heap *heap, size_t pad) {
    heap_merge_all(heap);
    bool any = false;
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        any |= region_trim(region, region == heap->current ? granules_for(pad) : 0);
    return any;
}
