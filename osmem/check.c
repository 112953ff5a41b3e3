#include "osmem/check.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/system.h"
#include "osmem/tags.h"

static const char *const texts[INVARIANT_COUNT] = {
    [INVARIANT_T1] = "T1: a block's start or end is not where its neighbours say",
    [INVARIANT_T2] = "T2: a length inside a block is wrong",
    [INVARIANT_T3] = "T3: a free bit without a start",
    [INVARIANT_R1] = "R1: a region's owner is another heap",
    [INVARIANT_R2] = "R2: top or committed is out of order",
    [INVARIANT_R3] = "R3: the untouched end is not one free block",
    [INVARIANT_Q1] = "Q1: a quick set's fill is out of range",
    [INVARIANT_Q2] = "Q2: a quick slot holds what is no free block of its size, or one twice",
    [INVARIANT_B1] = "B1: a size that exists is not in the bitmap",
    [INVARIANT_B2] = "B2: the bitmap's summary is wrong",
    [INVARIANT_B3] = "B3: a free block is not in the index",
    [INVARIANT_L1] = "L1: the tree holds what is no large free block, or lacks one",
    [INVARIANT_L2] = "L2: the tree is out of order",
    [INVARIANT_H1] = "H1: two free neighbours, none of which waits for merging",
    [INVARIANT_H2] = "H2: the run is no free block of its size, or in the index too",
    [INVARIANT_A1] = "A1: a block reaches over the edge of a page of small blocks",
    [INVARIANT_A2] = "A2: the chunk is no free run of whole pages, or in the index too",
    [INVARIANT_M1] = "M1: an entry of the registry is no mapping",
    [INVARIANT_M2] = "M2: the registry's table is broken",
    [INVARIANT_S1] = "S1: kept extents are out of order or touch",
    [INVARIANT_S2] = "S2: the sum of the kept extents is wrong or above the budget",
    [INVARIANT_G1] = "G1: a canary of a live block was written over",
    [INVARIANT_G2] = "G2: freed memory was written to",
};

const char *check_text(enum invariant invariant) { return texts[invariant]; }

/* ---- tags -------------------------------------------------------------------------------------
 */

static enum invariant check_block(struct region *region, size_t granule, size_t end) {
    if (tags_size(region->lines, granule) != end - granule)
        return INVARIANT_T1;
    if (granule != REGION_FIRST && !tags_is_start(region->lines, tags_left(region->lines, granule)))
        return INVARIANT_T1;
    size_t first = granule / 64 + 1, last = end / 64;
    if (first < last && (region->lines[first].free != end - granule ||
                         region->lines[last - 1].free != end - granule))
        return INVARIANT_T2;
    return 0;
}

enum invariant check_region(struct region *region) {
    size_t top = region->top;
    if (top < REGION_FIRST || top > load_relaxed(&region->committed) ||
        load_relaxed(&region->committed) > REGION_GRANULES)
        return INVARIANT_R2;
    for (size_t line = 0; line < REGION_FIRST_LINE; line++) {
        if (region->lines[line].starts != 0 || region->lines[line].free != 0)
            return INVARIANT_T1;
    }
    for (size_t line = REGION_FIRST_LINE; line <= top / 64; line++) {
        uint64_t starts = region->lines[line].starts;
        if (starts != 0 && (region->lines[line].free & ~starts) != 0)
            return INVARIANT_T3;
    }
    if (!tags_is_free(region->lines, top) ||
        tags_next_start(region->lines, top + 1) <= REGION_GRANULES)
        return INVARIANT_R3;
    size_t granule = REGION_FIRST;
    if (!tags_is_start(region->lines, granule))
        return INVARIANT_T1;
    while (granule < top) {
        size_t end = tags_next_start(region->lines, granule + 1);
        enum invariant broken = check_block(region, granule, end);
        if (broken != 0)
            return broken;
        granule = end;
    }
    return granule == top ? 0 : INVARIANT_R3;
}

/* ---- index ------------------------------------------------------------------------------------
 */

/* For each granule of a region: whether the index knows a free block there, and by which part. */
struct marks {
    uint64_t indexed[REGION_GRANULES / 64];
    uint64_t quick[REGION_GRANULES / 64];
};

struct index_check {
    struct heap *heap;
    struct marks *marks; /* one for each region */
    size_t count;
    struct large sums; /* of what the tree holds */
    size_t small;      /* granules in what the bins hold */
};

static struct region *own_region(const struct index_check *check, const void *block) {
    return region_owner(block) == check->heap ? region_of(block) : NULL;
}

/* Marks the free block of `granules` at `block`; false if there is none, or it is marked. */
static bool mark(struct index_check *check, const void *block, bool is_quick) {
    struct region *region = own_region(check, block);
    size_t granule = region_granule(block);
    if (region == NULL || !tags_is_free(region->lines, granule) || granule == region->top)
        return false;
    struct marks *marks = &check->marks[region->ordinal];
    if (marks->indexed[granule / 64] & bit_at((unsigned)granule))
        return false;
    marks->indexed[granule / 64] |= bit_at((unsigned)granule);
    if (is_quick)
        marks->quick[granule / 64] |= bit_at((unsigned)granule);
    return true;
}

static enum invariant check_quick(struct index_check *check) {
    struct heap *heap = check->heap;
    for (size_t index = 1; index < QUICK_SETS; index++) {
        const struct quick *quick = &heap->quick[index];
        if (quick->fill > QUICK_SLOTS + 1 || (quick->fill != 0 && quick->fill < quick_empty(index)))
            return INVARIANT_Q1;
        bool used = heap->quick_open[index / 64] & bit_at((unsigned)index);
        if (used != (quick->fill != 0) || (quick->top != 0) != (quick_count(quick, index) != 0))
            return INVARIANT_Q1;
        for (size_t slot = quick->fill; slot-- > quick_empty(index);) {
            const void *block = quick_block(quick, slot);
            if (!mark(check, block, true))
                return INVARIANT_Q2;
            size_t granules = tags_size(region_of(block)->lines, region_granule(block));
            if (granules >= LARGE_MIN || quick_index(granules) != index)
                return INVARIANT_Q2;
            if (!bins_noted(&heap->bins, granules))
                return INVARIANT_B1;
        }
    }
    return 0;
}

/* Marks the free blocks of `granules` in a line that a bin holds, if it still has any. */
static void mark_line(struct index_check *check, const void *start, size_t granules) {
    struct region *region = own_region(check, start);
    if (region == NULL)
        return;
    size_t first = region_granule(start);
    uint64_t blocks = tags_free_of_size(tags_line(region->lines, first), granules);
    for (; blocks != 0; blocks &= blocks - 1)
        mark(check, region_block(region, first + bit_lowest(blocks)), false);
}

/* A line may be there twice, or have no block of the size any more, or one in a quick set. */
static enum invariant check_bins(struct index_check *check) {
    const struct bins *bins = &check->heap->bins;
    for (size_t word = 0; word < LARGE_MIN / 64; word++) {
        if (bins->nonempty[word] != 0 && !(bins->summary & bit_at((unsigned)word)))
            return INVARIANT_B2;
    }
    for (size_t granules = 1; granules < LARGE_MIN; granules++) {
        if (bins->top[granules] != NULL && !bins_noted(bins, granules))
            return INVARIANT_B1;
        for (const struct bin_chunk *chunk = bins->top[granules]; chunk; chunk = chunk->below) {
            for (uint32_t i = 0; i < chunk->count; i++)
                mark_line(check, region_numbered(bins_entry(chunk, i) * LINE_GRANULES), granules);
        }
    }
    return 0;
}

static bool is_before(const void *a, const void *b) {
    size_t a_size = tags_size(region_of(a)->lines, region_granule(a));
    size_t b_size = tags_size(region_of(b)->lines, region_granule(b));
    return a_size != b_size ? a_size < b_size : a < b;
}

/* Visits the tree in order by rotating nothing: parents are found again from the root. */
static enum invariant check_tree(struct index_check *check, void *node, void *low, void *high) {
    if (node == NULL)
        return 0;
    size_t granules = tags_size(region_of(node)->lines, region_granule(node));
    if (!mark(check, node, false) || granules < LARGE_MIN || large_dirty(node) > granules)
        return INVARIANT_L1;
    check->sums.granules += granules;
    check->sums.dirty += large_dirty(node);
    void *left = large_left(node), *right = large_right(node);
    if ((low != NULL && !is_before(low, node)) || (high != NULL && !is_before(node, high)) ||
        (left != NULL && large_ranks_above(left, node)) ||
        (right != NULL && large_ranks_above(right, node)))
        return INVARIANT_L2;
    enum invariant broken = check_tree(check, left, low, node);
    return broken != 0 ? broken : check_tree(check, right, node, high);
}

/* Whether a free block may have free neighbours: in a quick set, noted, on a page, or the chunk. */
static bool is_waiting(const struct index_check *check, struct region *region, size_t granule) {
    const struct marks *marks = &check->marks[region->ordinal];
    size_t line = granule / LINE_GRANULES;
    return region_is_slab(region, granule) ||
           region_block(region, granule) == check->heap->chunk.start ||
           (marks->quick[granule / 64] & bit_at((unsigned)granule)) ||
           (region->unmerged[line / 64] & bit_at((unsigned)line));
}

/* Every free block is marked, and of two neighbours one waits for merging. */
static enum invariant check_marks(struct index_check *check, struct region *region) {
    const struct marks *marks = &check->marks[region->ordinal];
    bool waiting = false, left_is_free = false;
    for (size_t granule = REGION_FIRST; granule < region->top;) {
        uint64_t bit = bit_at((unsigned)granule);
        size_t granules = tags_size(region->lines, granule);
        bool is_free = tags_is_free(region->lines, granule);
        bool waits = is_free && is_waiting(check, region, granule);
        bool is_fragment = granules <= SLAB_MAX && !region_is_slab(region, granule) &&
                           !heap_is_small(check->heap) && !conf.requested;
        if (is_free && !(marks->indexed[granule / 64] & bit) && !is_fragment &&
            !check->heap->bins.incomplete)
            return granules < LARGE_MIN ? INVARIANT_B3 : INVARIANT_L1;
        if (is_free && left_is_free && !waits && !waiting)
            return INVARIANT_H1;
        size_t last = granule + granules - 1;
        if ((region_is_slab(region, granule) || region_is_slab(region, last)) &&
            granule / SLAB_GRANULES != last / SLAB_GRANULES)
            return INVARIANT_A1;
        bool is_indexed = is_free && !(marks->quick[granule / 64] & bit) && granules < LARGE_MIN;
        const void *block = region_block(region, granule);
        if (is_indexed && block != check->heap->run && block != check->heap->chunk.start)
            check->small += granules;
        left_is_free = is_free;
        waiting = waits;
        granule += granules;
    }
    bool top_is_free = region == check->heap->current;
    return top_is_free && left_is_free && !waiting ? INVARIANT_H1 : 0;
}

static enum invariant check_chunk(struct index_check *check) {
    const struct free_block *chunk = &check->heap->chunk;
    if (chunk->start == NULL)
        return chunk->granules == 0 ? 0 : INVARIANT_A2;
    struct region *region = own_region(check, chunk->start);
    size_t start = region_granule(chunk->start);
    return !mark(check, chunk->start, false) || chunk->granules == 0 ||
                   tags_size(region->lines, start) != chunk->granules ||
                   start % SLAB_GRANULES != 0 || chunk->granules % SLAB_GRANULES != 0 ||
                   region_is_slab(region, start)
               ? INVARIANT_A2
               : 0;
}

static enum invariant check_index(struct index_check *check) {
    enum invariant broken = check_quick(check);
    void *run = check->heap->run;
    if (broken == 0 && run != NULL &&
        (!mark(check, run, false) ||
         tags_size(region_of(run)->lines, region_granule(run)) != check->heap->run_granules))
        broken = INVARIANT_H2;
    if (broken == 0)
        broken = check_chunk(check);
    if (broken == 0)
        broken = check_bins(check);
    if (broken == 0)
        broken = check_tree(check, (void *)check->heap->large.root, NULL, NULL);
    if (broken == 0 && (check->sums.granules != check->heap->large.granules ||
                        check->sums.dirty != check->heap->large.dirty))
        broken = INVARIANT_L1;
    for (struct region *region = check->heap->regions; region != NULL && broken == 0;
         region = region->next)
        broken = check_marks(check, region);
    if (broken == 0 && check->small != check->heap->bins.granules)
        broken = INVARIANT_B3;
    return broken;
}

enum invariant check_heap(struct heap *heap) {
    struct index_check check = {.heap = heap};
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        if (region_owner(region) != heap)
            return INVARIANT_R1;
        enum invariant broken = check_region(region);
        if (broken != 0)
            return broken;
        region->ordinal = (uint32_t)check.count++;
    }
    size_t size = align_up(check.count * sizeof *check.marks, system_page());
    if (size == 0 || (check.marks = system_map(size)) == NULL)
        return 0;
    enum invariant broken = check_index(&check);
    system_unmap(check.marks, size);
    return broken;
}
