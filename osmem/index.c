#include "osmem/index.h"

#include "osmem/conf.h"

static bool is_shared(size_t granules) { return granules > QUICK_MAX; }

void index_insert(struct heap *heap, struct free_block block) {
    if (block.granules < LARGE_MIN)
        bins_push(&heap->bins, block.start, block.granules);
    else
        large_insert(&heap->large, block.start, block.dirty);
}

void index_set_run(struct heap *heap, struct free_block block) {
    index_drop_run(heap);
    heap->run = block.start;
    heap->run_granules = block.granules;
    heap->run_dirty = block.dirty;
}

static struct free_block run_take(struct heap *heap) {
    struct free_block run = {heap->run, heap->run_granules, heap->run_dirty};
    heap->run = NULL;
    return run;
}

void index_drop_run(struct heap *heap) {
    if (heap->run != NULL)
        index_insert(heap, run_take(heap));
}

/* Takes `block` out of its quick set; false if it is not there. */
static bool quick_remove(struct heap *heap, const void *block, size_t granules) {
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    uint64_t number = region_number(block);
    size_t slot = number < NEAR_GRANULES ? quick_find(quick, index, (uint32_t)number) : 0;
    if (slot == 0)
        return false;
    quick_remove_at(quick, slot);
    if (is_shared(granules))
        heap->quick_shared -= granules;
    return true;
}

size_t index_remove(struct heap *heap, void *start, size_t granules) {
    if (start == heap->run)
        return run_take(heap).dirty;
    if (granules >= LARGE_MIN)
        return large_remove(&heap->large, start);
    if (!quick_remove(heap, start, granules)) {
        heap->bins.stale++;
        heap->bins.granules -= granules;
    }
    return granules;
}

/* ---- quick sets ------------------------------------------------------------------------------ */

static void quick_open(struct heap *heap, size_t index) {
    heap->quick[index].fill = quick_empty(index);
    heap->quick_open[index / 64] |= bit_at((unsigned)index);
}

/* The newest block of exactly `granules`, and of `alignment`, in its quick set. */
static void *quick_search(struct heap *heap, size_t granules, size_t alignment) {
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    for (size_t slot = quick->fill; slot-- > quick_empty(index);) {
        void *block = quick_block(quick, slot);
        if (is_aligned((uintptr_t)block, alignment) &&
            (!is_shared(granules) || block_size(block) == granules)) {
            quick_remove_at(quick, slot);
            if (is_shared(granules))
                heap->quick_shared -= granules;
            return block;
        }
    }
    return NULL;
}

static void *quick_take(struct heap *heap, size_t granules) {
    if (is_shared(granules))
        return quick_search(heap, granules, GRANULE_BYTES);
    struct quick *quick = &heap->quick[granules];
    uint32_t number = quick->top;
    if (number == 0)
        return NULL;
    quick_pop(quick);
    return region_numbered(number);
}

/* Enters the oldest blocks of an open quick set in their bins, but for `left` of them. */
static void quick_spill(struct heap *heap, size_t index, size_t left) {
    struct quick *quick = &heap->quick[index];
    size_t slot = quick_empty(index), end = quick->fill - left;
    for (; slot < end; slot++) {
        uint32_t number = quick_number(quick, slot);
        void *block = region_numbered(number);
        size_t granules = index;
        if (index > QUICK_MAX) {
            granules = block_size(block);
            heap->quick_shared -= granules;
        }
        bins_push_number(&heap->bins, number, granules);
        heap_note_unmerged(heap, block);
        heap->spilled += granules;
    }
    quick->fill = quick_empty(index) + (uint32_t)left;
    if (left == 0)
        quick->top = 0;
    for (size_t i = 1; i < left; i++)
        quick->slot[quick->fill - 1 - i] = quick->slot[end + left - 1 - i];
}

bool index_wait(struct heap *heap, void *block, size_t granules) {
    uint64_t number = region_number(block);
    if (granules >= LARGE_MIN || conf.requested || number >= NEAR_GRANULES)
        return false;
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    if (quick->fill == 0)
        quick_open(heap, index);
    else if (!quick_has_room(quick->fill))
        quick_spill(heap, index, quick_count(quick, index) / 2);
    bins_note(&heap->bins, granules);
    quick_push(quick, (uint32_t)number);
    if (is_shared(granules))
        heap->quick_shared += granules;
    return true;
}

void index_fill(struct heap *heap, void *first, size_t granules, size_t count) {
    struct quick *quick = &heap->quick[granules];
    uint64_t number = region_number(first);
    bool is_near = number + granules * count < NEAR_GRANULES && !conf.requested;
    if (quick->fill == 0 && is_near)
        quick_open(heap, granules);
    while (count-- > 0) {
        if (is_near && quick_has_room(quick->fill)) {
            quick_push(quick, (uint32_t)(number + count * granules));
        } else {
            bins_push_number(&heap->bins, number + count * granules, granules);
            heap_note_unmerged(heap, region_numbered(number + count * granules));
        }
    }
    bins_note(&heap->bins, granules);
}

static void flush_sets(struct heap *heap, size_t first) {
    for (size_t word = first / 64; word <= (QUICK_SETS - 1) / 64; word++) {
        uint64_t sets = heap->quick_open[word];
        if (word == first / 64)
            sets &= ~(bit_at((unsigned)first) - 1);
        for (; sets != 0; sets &= sets - 1) {
            size_t index = word * 64 + bit_lowest(sets);
            if (heap->quick[index].top != 0)
                quick_spill(heap, index, 0);
        }
    }
}

void index_flush(struct heap *heap) { flush_sets(heap, 1); }

void index_flush_shared(struct heap *heap) { flush_sets(heap, QUICK_MAX + 1); }

/* ---- bins ------------------------------------------------------------------------------------ */

/* Whether an entry of the bins still is what it was: B3's definition of valid. */
static bool entry_is_valid(const struct heap *heap, const void *block, size_t granules) {
    struct region *region = region_of(block);
    uint32_t granule = region_granule(block);
    return tags_is_free(region->lines, granule) && granule != region->top &&
           tags_size(region->lines, granule) == granules && block != heap->run;
}

/* The newest valid entry of a bin. Where a block is in a quick set as well, that goes first. */
static void *bins_take_valid(struct heap *heap, size_t granules) {
    void *block;
    while ((block = bins_pop(&heap->bins, granules)) != NULL) {
        if (entry_is_valid(heap, block, granules)) {
            heap->bins.granules -= granules;
            return block;
        }
        if (heap->bins.stale > 0)
            heap->bins.stale--;
    }
    return NULL;
}

void *index_take(struct heap *heap, size_t granules) {
    void *block = quick_take(heap, granules);
    return block != NULL ? block : bins_take_valid(heap, granules);
}

void *index_take_aligned(struct heap *heap, size_t granules, size_t alignment) {
    void *block = heap->run;
    if (block != NULL && heap->run_granules == granules &&
        is_aligned((uintptr_t)block, alignment)) {
        heap->run = NULL;
        return block;
    }
    if (granules >= LARGE_MIN)
        return NULL;
    block = quick_search(heap, granules, alignment);
    if (block != NULL)
        return block;
    for (size_t i = 0; (block = bins_peek(&heap->bins, granules, i)) != NULL; i++) {
        if (is_aligned((uintptr_t)block, alignment) && entry_is_valid(heap, block, granules)) {
            heap->bins.granules -= granules;
            return bins_take(&heap->bins, granules, i);
        }
    }
    return NULL;
}

void index_refill(struct heap *heap, size_t granules) {
    struct quick *quick = &heap->quick[granules];
    void *block;
    if (quick->top != 0 || conf.requested)
        return;
    size_t count = quick_capacity(granules) / 2;
    while (count-- > 0 && (block = bins_take_valid(heap, granules)) != NULL) {
        uint64_t number = region_number(block);
        if (number >= NEAR_GRANULES) {
            bins_push(&heap->bins, block, granules);
            return;
        }
        if (quick->fill == 0)
            quick_open(heap, granules);
        /* A bin may hold a block twice, where one of its entries was stale for a while. */
        if (heap->bins.stale == 0 || quick_find(quick, granules, (uint32_t)number) == 0)
            quick_push(quick, (uint32_t)number);
        else
            heap->bins.granules += granules;
    }
    bins_note(&heap->bins, granules);
}

struct free_block index_fit(struct heap *heap, size_t granules) {
    size_t run =
        heap->run != NULL && heap->run_granules >= granules ? heap->run_granules : SIZE_MAX;
    size_t size;
    while (granules < LARGE_MIN && (size = bins_next(&heap->bins, granules)) != 0) {
        if (run <= size)
            return run_take(heap);
        void *block = index_take(heap, size);
        if (block != NULL)
            return (struct free_block){block, size, size};
        bins_clear(&heap->bins, size);
    }
    void *block = large_find(&heap->large, granules);
    size = block != NULL ? block_size(block) : SIZE_MAX;
    if (run <= size && run < SIZE_MAX)
        return run_take(heap);
    if (block == NULL)
        return (struct free_block){NULL, 0, 0};
    return (struct free_block){block, size, large_remove(&heap->large, block)};
}

/* ---- from the tags --------------------------------------------------------------------------- */

/* The lowest address is entered last, so that it comes up first. */
static void add_region(struct heap *heap, struct region *region, bool with_large) {
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
                index_insert(
                    heap, (struct free_block){region_block(region, granule), granules, granules});
        }
    }
}

void index_add_region(struct heap *heap, struct region *region) { add_region(heap, region, true); }

void index_rebuild(struct heap *heap) {
    index_flush(heap);
    index_drop_run(heap);
    bins_reset(&heap->bins);
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        add_region(heap, region, false);
}
