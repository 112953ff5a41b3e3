#include "osmem/index.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/vacant.h"
#include "osmem/waiting.h"

/* How many lines of a bin a refill looks at. */
#define REFILL_LINES 8

/* Drops a bin's newest line, which is that of a page's granule `line_start`. */
static void bin_drop(struct heap *heap, const void *line_start, size_t granules) {
    struct region *region = region_of(line_start);
    size_t granule = region_granule(line_start), line = granule / LINE_GRANULES;
    if (region->slab_granules[granule / SLAB_GRANULES] == granules)
        region->listed[line / 64] &= ~bit_at((unsigned)line);
    bins_drop(&heap->bins, granules);
}

/* Whether a free block is a fragment: too small for any but a small request, and not on a page. */
static bool is_fragment(const struct heap *heap, struct free_block block) {
    return block.granules <= SLAB_MAX && !heap_is_small(heap) && !conf.requested &&
           !region_is_slab(region_of(block.start), region_granule(block.start));
}

void index_insert(struct heap *heap, struct free_block block) {
    if (is_fragment(heap, block))
        heap->bins.granules += block.granules;
    else if (block.granules < LARGE_MIN)
        bins_enter(&heap->bins, block.start, block.granules);
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

struct free_block index_chunk_take(struct heap *heap) {
    struct free_block chunk = heap->chunk;
    heap->chunk = (struct free_block){NULL, 0, 0};
    return chunk;
}

void index_drop_run(struct heap *heap) {
    if (heap->run != NULL)
        index_insert(heap, run_take(heap));
}

size_t index_remove(struct heap *heap, void *start, size_t granules) {
    if (start == heap->run)
        return run_take(heap).dirty;
    if (start == heap->chunk.start)
        return index_chunk_take(heap).dirty;
    if (granules >= LARGE_MIN)
        return large_remove(&heap->large, start);
    if (!waiting_remove(heap, start, granules))
        heap->bins.granules -= granules;
    return granules;
}

/* ---- bins ------------------------------------------------------------------------------------ */

/*
 * The free blocks of exactly `granules` that start in a line, as bits of their granules, but for
 * the run and an untouched end. Those in a quick set are among them.
 */
static uint64_t line_blocks(const struct heap *heap, void *line_start, size_t granules) {
    struct region *region = region_of(line_start);
    size_t first = region_granule(line_start);
    struct tag_line *line = tags_line(region->lines, first);
    uint64_t blocks = tags_free_of_size(line, granules);
    if (unlikely(blocks == 0))
        return 0;
    if (unlikely(region->top / LINE_GRANULES == first / LINE_GRANULES))
        blocks &= ~bit_at(region->top);
    if (unlikely((uintptr_t)heap->run - (uintptr_t)line_start < LINE_BYTES))
        blocks &= ~bit_at(region_granule(heap->run));
    if (unlikely(heap->chunk.start == line_start))
        blocks &= ~(uint64_t)1;
    return blocks;
}

/* The newest line of a bin that has free blocks of its size, and these; NULL: none has. */
static void *bin_line(struct heap *heap, size_t granules, uint64_t *blocks) {
    uint64_t line;
    while (bins_top(&heap->bins, granules, &line)) {
        void *start = region_numbered(line * LINE_GRANULES);
        if ((*blocks = line_blocks(heap, start, granules)) != 0)
            return start;
        bin_drop(heap, start, granules);
    }
    return NULL;
}

/* Takes a block out of its bin. No quick set holds one of this size. */
static void *bin_take(struct heap *heap, size_t granules) {
    uint64_t blocks;
    char *line = bin_line(heap, granules, &blocks);
    if (line == NULL)
        return NULL;
    if ((blocks & (blocks - 1)) == 0)
        bin_drop(heap, line, granules);
    heap->bins.granules -= granules;
    return line + granules_bytes(bit_lowest(blocks));
}

void *index_take(struct heap *heap, size_t granules) {
    void *block = waiting_take(heap, granules);
    return block != NULL ? block : bin_take(heap, granules);
}

/*
 * The first block of a bin's newest chunk with this alignment, once the newest lines that have no
 * block any more are dropped. No quick set holds one such.
 */
static void *bin_search(struct heap *heap, size_t granules, size_t alignment) {
    uint64_t blocks;
    if (bin_line(heap, granules, &blocks) == NULL)
        return NULL;
    const struct bin_chunk *chunk = heap->bins.top[granules];
    for (size_t i = chunk->count; i-- > 0;) {
        char *line = region_numbered(bins_entry(chunk, i) * LINE_GRANULES);
        for (blocks = line_blocks(heap, line, granules); blocks != 0; blocks &= blocks - 1) {
            char *block = line + granules_bytes(bit_lowest(blocks));
            if (is_aligned((uintptr_t)block, alignment)) {
                heap->bins.granules -= granules;
                return block;
            }
        }
    }
    return NULL;
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
    block = waiting_search(heap, granules, alignment);
    return block != NULL ? block : bin_search(heap, granules, alignment);
}

void *index_take_paged(struct heap *heap, size_t granules, size_t tries) {
    uint64_t blocks;
    for (size_t size = bins_next(&heap->bins, granules); size != 0 && size < 2 * granules;
         size = bins_next(&heap->bins, size + 1)) {
        char *line = bin_line(heap, size, &blocks);
        if (line == NULL)
            continue;
        void *block = line + granules_bytes(bit_lowest(blocks));
        size_t start = region_granule(block);
        if (align_up(start, granules) + granules <= start + size) {
            index_remove(heap, block, size);
            return block;
        }
        if (--tries == 0)
            break;
    }
    return NULL;
}

/* Enters free blocks of a line, of their page's size and given as bits; returns the first. */
static void *enter_row(struct heap *heap, struct region *region, size_t line, size_t granules,
                       uint64_t blocks) {
    void *first = region_block(region, line * LINE_GRANULES + bit_lowest(blocks));
    bins_enter(&heap->bins, first, granules);
    heap->bins.granules += granules * (size_t)__builtin_popcountll(blocks & (blocks - 1));
    return first;
}

bool index_free_on_line(struct heap *heap, struct region *region, size_t line, uint64_t blocks) {
    struct tag_line *tags = &region->lines[line];
    size_t granules = region->slab_granules[line * LINE_GRANULES / SLAB_GRANULES];
    uint64_t free = load_relaxed(&tags->free);
    if (granules == 0 || conf.requested || (blocks & ~tags_of_size(tags, granules, blocks)) != 0 ||
        (blocks & free) != 0)
        return false;
    store_relaxed(&tags->free, free | blocks);
    void *first = enter_row(heap, region, line, granules, blocks);
    bins_note(&heap->bins, granules);
    vacant_note(heap, first);
    return true;
}

/* Puts blocks of a line into their quick set so that the first comes up first; false: not all. */
static bool refill_from(struct heap *heap, size_t granules, uint64_t number, uint64_t blocks) {
    struct quick *quick = &heap->quick[granules];
    uint32_t *first = &quick->slot[quick->fill - 1], *slot = first, top = quick->top;
    size_t room = QUICK_SLOTS + 1 - quick->fill;
    bool all = true;
    if (room <= LINE_GRANULES / granules) {
        for (size_t count = (size_t)__builtin_popcountll(blocks); count > room; count--) {
            blocks ^= bit_at(bit_highest(blocks));
            all = false;
        }
    }
    while (blocks != 0) {
        unsigned granule = bit_highest(blocks);
        blocks ^= bit_at(granule);
        *slot++ = top;
        top = (uint32_t)number + granule;
    }
    quick->top = top;
    quick->fill += (uint32_t)(slot - first);
    heap->bins.granules -= (size_t)(slot - first) * granules;
    return all;
}

void index_refill(struct heap *heap, size_t granules) {
    struct quick *quick = &heap->quick[granules];
    uint64_t blocks, seen[REFILL_LINES];
    size_t enough = quick_empty(granules) + quick_capacity(granules) / 2;
    if (conf.requested)
        return;
    if (quick->fill == 0)
        waiting_open(heap, granules);
    for (size_t lines = 0; lines < REFILL_LINES && quick->fill < enough; lines++) {
        void *line = bin_line(heap, granules, &blocks);
        seen[lines] = line == NULL ? NEAR_GRANULES : region_number(line);
        if (seen[lines] >= NEAR_GRANULES)
            break;
        /* A line that is in the bin twice: its blocks are in the set by now. */
        for (size_t i = 0; i < lines; i++)
            blocks = seen[i] == seen[lines] ? 0 : blocks;
        if (!refill_from(heap, granules, seen[lines], blocks))
            break;
        bin_drop(heap, line, granules);
    }
    bins_note(&heap->bins, granules);
}

bool index_refill_line(struct heap *heap, void *line_start, size_t granules) {
    uint64_t blocks = line_blocks(heap, line_start, granules);
    if (blocks == 0 || region_number(line_start) >= NEAR_GRANULES || conf.requested)
        return false;
    if (heap->quick[granules].fill == 0)
        waiting_open(heap, granules);
    refill_from(heap, granules, region_number(line_start), blocks);
    bins_note(&heap->bins, granules);
    return true;
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

/* Enters the free blocks of its page's size that start in a line, all at once; returns them. */
static uint64_t add_row(struct heap *heap, struct region *region, size_t line) {
    size_t granules = region->slab_granules[line * LINE_GRANULES / SLAB_GRANULES];
    uint64_t row = granules == 0 ? 0 : tags_free_of_size(&region->lines[line], granules);
    if (row != 0)
        enter_row(heap, region, line, granules, row);
    return row;
}

/*
 * The lowest address is entered last, so that it comes up first. The bins hold no line of the
 * region yet.
 */
static void add_region(struct heap *heap, struct region *region, bool with_large) {
    memset(region->listed, 0, sizeof region->listed);
    for (size_t line = REGION_LINES; line-- > REGION_FIRST_LINE;) {
        uint64_t starts = region->lines[line].starts & region->lines[line].free;
        starts &= ~add_row(heap, region, line);
        while (starts != 0) {
            unsigned bit = bit_highest(starts);
            size_t granule = line * LINE_GRANULES + bit;
            starts &= ~bit_at(bit);
            if (granule == region->top || region_block(region, granule) == heap->chunk.start)
                continue;
            size_t granules = tags_size(region->lines, granule);
            if (with_large || granules < LARGE_MIN)
                index_insert(
                    heap, (struct free_block){region_block(region, granule), granules, granules});
        }
        if (line * LINE_GRANULES % SLAB_GRANULES == 0 &&
            region_is_slab(region, line * LINE_GRANULES))
            vacant_note(heap, region_block(region, line * LINE_GRANULES));
    }
}

void index_add_region(struct heap *heap, struct region *region) { add_region(heap, region, true); }

void index_rebuild(struct heap *heap) {
    waiting_flush(heap);
    index_drop_run(heap);
    bins_reset(&heap->bins);
    heap->vacant = 0;
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        add_region(heap, region, false);
    heap->bins.known = heap->bins.entries;
}
