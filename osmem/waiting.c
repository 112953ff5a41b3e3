#include "osmem/waiting.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/tags.h"
#include "osmem/vacant.h"

bool waiting_remove(struct heap *heap, const void *block, size_t granules) {
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    uint64_t number = region_number(block);
    size_t slot = number < NEAR_GRANULES ? quick_find(quick, index, (uint32_t)number) : 0;
    if (slot == 0)
        return false;
    quick_remove_at(quick, slot);
    if (quick_is_shared(granules))
        heap->quick_shared -= granules;
    return true;
}

void waiting_open(struct heap *heap, size_t index) {
    heap->quick[index].fill = quick_empty(index);
    heap->quick_open[index / 64] |= bit_at((unsigned)index);
}

void *waiting_search(struct heap *heap, size_t granules, size_t alignment) {
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    for (size_t slot = quick->fill; slot-- > quick_empty(index);) {
        void *block = quick_block(quick, slot);
        if (is_aligned((uintptr_t)block, alignment) &&
            (!quick_is_shared(granules) || block_size(block) == granules)) {
            quick_remove_at(quick, slot);
            if (quick_is_shared(granules))
                heap->quick_shared -= granules;
            return block;
        }
    }
    return NULL;
}

void *waiting_take(struct heap *heap, size_t granules) {
    if (quick_is_shared(granules))
        return waiting_search(heap, granules, GRANULE_BYTES);
    struct quick *quick = &heap->quick[granules];
    uint32_t number = quick->top;
    if (number == 0)
        return NULL;
    quick_pop(quick);
    return region_numbered(number);
}

/* Enters the free blocks of numbers[0 … count - 1] in their bin: all of one size up to QUICK_MAX.
 */
static void spill(struct heap *heap, const uint32_t *numbers, size_t count, size_t granules,
                  bool merge) {
    uint32_t last_line = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        uint32_t before = last_line;
        last_line = numbers[i] / (uint32_t)LINE_GRANULES;
        /* Neighbours in a set often come off one line, or page: that is looked at once. */
        if (last_line == before) {
            heap->bins.granules += granules;
            continue;
        }
        void *block = region_numbered(numbers[i]);
        bins_enter(&heap->bins, block, granules);
        if (!region_is_slab(region_of(block), region_granule(block))) {
            if (!merge)
                heap_note_unmerged(heap, block);
        } else if ((last_line ^ before) >= SLAB_GRANULES / LINE_GRANULES)
            vacant_note(heap, block);
    }
}

static void spill_shared(struct heap *heap, const uint32_t *numbers, size_t count, bool merge) {
    for (size_t i = 0; i < count; i++) {
        size_t granules = block_size(region_numbered(numbers[i]));
        heap->quick_shared -= granules;
        spill(heap, &numbers[i], 1, granules, merge);
    }
}

static void spill_any(struct heap *heap, size_t index, const uint32_t *numbers, size_t count,
                      bool merge) {
    if (index <= QUICK_MAX)
        spill(heap, numbers, count, index, merge);
    else
        spill_shared(heap, numbers, count, merge);
}

/*
 * Moves the oldest blocks of an open quick set, but for `left` of them, to their bins; `merge`: who
 * calls merges them at once, so their lines need not be noted.
 */
static void quick_spill(struct heap *heap, size_t index, size_t left, bool merge) {
    struct quick *quick = &heap->quick[index];
    uint32_t *oldest = &quick->slot[quick_empty(index)], newest = quick->top;
    size_t count = quick_count(quick, index) - left;
    if (left == 0) {
        spill_any(heap, index, &newest, 1, merge);
        count--;
    }
    spill_any(heap, index, oldest, count, merge);
    if (left > 1)
        memmove(oldest, oldest + count, (left - 1) * sizeof *oldest);
    quick->fill = quick_empty(index) + (uint32_t)left;
    quick->top = left == 0 ? 0 : newest;
}

void waiting_leave(struct heap *heap, size_t granules, uint64_t first, size_t count) {
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    if (quick->top == 0 || first >= NEAR_GRANULES)
        return;
    for (size_t slot = quick->fill; slot-- > quick_empty(index);) {
        uint32_t number = quick_number(quick, slot);
        if (number - first < count) {
            quick_remove_at(quick, slot);
            bins_enter(&heap->bins, region_numbered(number), granules);
        }
    }
}

/* Copies the numbers of the oldest blocks of a set, but for `left`; returns how many. */
static size_t oldest_copy(const struct quick *quick, size_t index, size_t left, uint32_t *numbers) {
    size_t count = quick_count(quick, index) - left;
    for (size_t i = 0; i < count; i++)
        numbers[i] = quick_number(quick, quick_empty(index) + i);
    return count;
}

bool waiting_push(struct heap *heap, void *block, size_t granules, struct spilled *spilled) {
    uint64_t number = region_number(block);
    spilled->count = 0;
    if (granules >= LARGE_MIN || conf.requested || number >= NEAR_GRANULES)
        return false;
    size_t index = quick_index(granules);
    struct quick *quick = &heap->quick[index];
    if (quick->fill == 0) {
        waiting_open(heap, index);
    } else if (!quick_has_room(quick->fill)) {
        size_t left = quick_count(quick, index) / 2;
        bool merge = granules > SLAB_MAX && !heap_is_small(heap);
        if (merge)
            spilled->count = oldest_copy(quick, index, left, spilled->numbers);
        quick_spill(heap, index, left, merge);
    }
    bins_note(&heap->bins, granules);
    quick_push(quick, (uint32_t)number);
    if (quick_is_shared(granules))
        heap->quick_shared += granules;
    return true;
}

void waiting_fill(struct heap *heap, void *first, size_t granules, size_t count) {
    struct quick *quick = &heap->quick[granules];
    uint64_t number = region_number(first);
    bool is_near = number < NEAR_GRANULES;
    if (quick->fill == 0 && is_near)
        waiting_open(heap, granules);
    size_t room = is_near ? QUICK_SLOTS + 1 - quick->fill : 0;
    for (; count > room; count--)
        bins_enter(&heap->bins, region_numbered(number + (count - 1) * granules), granules);
    while (count-- > 0)
        quick_push(quick, (uint32_t)(number + count * granules));
    bins_note(&heap->bins, granules);
}

/* The open sets of a word of quick_open, without most of those that are empty. */
static uint64_t sets_in_use(const struct heap *heap, size_t word) {
    uint64_t noted = (word + 1) * 64 <= QUICK_MAX ? heap->bins.nonempty[word] : UINT64_MAX;
    return heap->quick_open[word] & noted;
}

static void flush_sets(struct heap *heap, size_t first) {
    for (size_t word = first / 64; word <= (QUICK_SETS - 1) / 64; word++) {
        uint64_t sets = sets_in_use(heap, word);
        if (word == first / 64)
            sets &= ~(bit_at((unsigned)first) - 1);
        for (; sets != 0; sets &= sets - 1) {
            size_t index = word * 64 + bit_lowest(sets);
            if (heap->quick[index].top != 0)
                quick_spill(heap, index, 0, false);
        }
    }
}

static void hide_set(const struct quick *quick, size_t index, bool hide) {
    for (size_t slot = quick_empty(index); slot < quick->fill; slot++) {
        void *block = quick_block(quick, slot);
        if (hide)
            tags_set_used(region_of(block)->lines, region_granule(block));
        else
            tags_set_free(region_of(block)->lines, region_granule(block));
    }
}

void waiting_hide(struct heap *heap, bool hide) {
    for (size_t word = 0; word <= QUICK_MAX / 64; word++) {
        for (uint64_t sets = sets_in_use(heap, word); sets != 0; sets &= sets - 1) {
            size_t index = word * 64 + bit_lowest(sets);
            if (heap->quick[index].top != 0 && index <= QUICK_MAX)
                hide_set(&heap->quick[index], index, hide);
        }
    }
}

void waiting_flush(struct heap *heap) { flush_sets(heap, 1); }

void waiting_flush_shared(struct heap *heap) { flush_sets(heap, QUICK_MAX + 1); }
