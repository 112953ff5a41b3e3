#include "osmem/merge.h"

#include "osmem/index.h"
#include "osmem/tags.h"
#include "osmem/vacant.h"
#include "osmem/waiting.h"

void merge_block(struct heap *heap, struct free_block block) {
    struct region *region = region_of(block.start);
    struct tag_line *lines = region->lines;
    size_t start = region_granule(block.start), end = start + block.granules, left;
    size_t dirty = block.dirty;
    if (region_is_slab(region, start)) {
        tags_measure(lines, start, block.granules);
        index_insert(heap, block);
        vacant_note(heap, block.start);
        return;
    }
    while ((left = tags_left(lines, start)) != start && tags_is_free(lines, left) &&
           !region_is_slab(region, left)) {
        dirty += index_remove(heap, region_block(region, left), start - left);
        tags_join(lines, start);
        start = left;
    }
    while (end != region->top && tags_is_free(lines, end) && !region_is_slab(region, end)) {
        size_t right = tags_size(lines, end);
        dirty += index_remove(heap, region_block(region, end), right);
        tags_join(lines, end);
        end += right;
    }
    if (end == region->top && region == heap->current) {
        tags_join(lines, end);
        store_relaxed(&region->top, (uint32_t)start);
        return;
    }
    tags_measure(lines, start, end - start);
    index_set_run(heap, (struct free_block){region_block(region, start), end - start, dirty});
}

/* The starts of blocks in a line, without the untouched end's. */
static uint64_t line_starts(const struct region *region, size_t line) {
    size_t top_line = region->top / LINE_GRANULES;
    uint64_t starts = load_relaxed(&region->lines[line].starts);
    if (line >= top_line)
        starts = line > top_line ? 0 : starts & (bit_at(region->top) - 1);
    return starts;
}

/* Merges the free neighbours whose starts lie in one line. */
static void merge_line(struct heap *heap, struct region *region, size_t line) {
    struct tag_line *lines = region->lines;
    uint64_t starts = line_starts(region, line), free = load_relaxed(&lines[line].free) & starts;
    uint64_t joined = tags_joinable(starts, free);
    if (joined == 0)
        return;
    /* Only the last block of a line can reach beyond it. */
    size_t base = line * LINE_GRANULES, last = base + bit_highest(joined);
    size_t end = last + tags_size(lines, last), large = 0, clean = 0;
    if (end - last >= LARGE_MIN) {
        large = end - last;
        clean = large - large_remove(&heap->large, region_block(region, last));
    }
    store_relaxed(&lines[line].free, load_relaxed(&lines[line].free) & ~joined);
    store_relaxed(&lines[line].starts, load_relaxed(&lines[line].starts) & ~joined);
    starts &= ~joined;
    while (joined != 0) {
        uint64_t below = bit_at(bit_lowest(joined)) - 1;
        uint64_t behind = starts & ~below;
        size_t head = base + bit_highest(starts & below);
        size_t next = behind != 0 ? base + bit_lowest(behind) : end;
        tags_measure(lines, head, next - head);
        size_t dirty = next - head - (next == end ? clean : 0);
        heap->bins.granules -= next - head - (next == end ? large : 0);
        index_insert(heap, (struct free_block){region_block(region, head), next - head, dirty});
        joined &= ~(behind != 0 ? (behind & -behind) - 1 : UINT64_MAX);
    }
}

/* Whether a free block has a free neighbour, or lies at the current region's untouched end. */
static bool has_neighbour(const struct heap *heap, const void *start, size_t granules) {
    struct region *region = region_of(start);
    struct tag_line *lines = region->lines;
    size_t first = region_granule(start), end = first + granules;
    if (end == region->top ? region == heap->current
                           : tags_is_free(lines, end) && !region_is_slab(region, end))
        return true;
    size_t left = tags_left(lines, first);
    return left != first && tags_is_free(lines, left) && !region_is_slab(region, left);
}

/* Merges a block that is in the index if it has a free neighbour. */
static void merge_indexed(struct heap *heap, struct region *region, size_t start) {
    void *block = region_block(region, start);
    size_t granules = tags_size(region->lines, start);
    if (tags_is_free(region->lines, start) && has_neighbour(heap, block, granules)) {
        size_t dirty = index_remove(heap, block, granules);
        merge_block(heap, (struct free_block){block, granules, dirty});
    }
}

/* Merges the first and the last block of a line, which alone have neighbours in others. */
static void merge_line_ends(struct heap *heap, struct region *region, size_t line) {
    uint64_t starts = line_starts(region, line);
    if (starts != 0)
        merge_indexed(heap, region, line * LINE_GRANULES + bit_lowest(starts));
    starts = line_starts(region, line);
    if (starts != 0)
        merge_indexed(heap, region, line * LINE_GRANULES + bit_highest(starts));
}

void merge_spilled(struct heap *heap, void *block) {
    struct region *region = region_of(block);
    size_t granule = region_granule(block);
    if (granule < region->top && tags_is_free(region->lines, granule))
        merge_indexed(heap, region, granule);
}

static void merge_noted(struct heap *heap, struct region *region,
                        void (*merge)(struct heap *heap, struct region *region, size_t line)) {
    for (uint64_t words = region->unmerged_words; words != 0; words &= words - 1) {
        size_t word = bit_lowest(words);
        for (uint64_t lines = region->unmerged[word]; lines != 0; lines &= lines - 1) {
            size_t line = word * 64 + bit_lowest(lines);
            if (!region_is_slab(region, line * LINE_GRANULES))
                merge(heap, region, line);
        }
    }
}

void merge_flushed(struct heap *heap) {
    index_drop_run(heap);
    struct region *region = heap->unmerged;
    heap->unmerged = NULL;
    heap->taken = 0;
    for (; region != NULL; region = region->unmerged_next) {
        merge_noted(heap, region, merge_line);
        merge_noted(heap, region, merge_line_ends);
        for (; region->unmerged_words != 0; region->unmerged_words &= region->unmerged_words - 1)
            region->unmerged[bit_lowest(region->unmerged_words)] = 0;
    }
    heap->settled = heap->bins.granules;
}

void merge_bins(struct heap *heap) {
    waiting_flush_shared(heap);
    if (heap->unmerged == NULL) {
        heap->taken = 0;
        return;
    }
    waiting_hide(heap, true);
    merge_flushed(heap);
    waiting_hide(heap, false);
}

void merge_all(struct heap *heap) {
    waiting_flush(heap);
    merge_flushed(heap);
}

void merge_region(struct region *region, bool is_current) {
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
