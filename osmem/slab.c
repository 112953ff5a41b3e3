#include "osmem/slab.h"

#include "osmem/end.h"
#include "osmem/index.h"
#include "osmem/merge.h"
#include "osmem/tags.h"
#include "osmem/vacant.h"
#include "osmem/waiting.h"

/* A chunk is this part of its heap, but within these bounds. */
#define CHUNK_SHIFT 6
#define CHUNK_LEAST (4 * SLAB_GRANULES)
#define CHUNK_MOST (16 * SLAB_GRANULES)

/* How many blocks of less than two pages to look at for one that holds a page. */
#define CHUNK_TRIES 2

static size_t chunk_wanted(const struct heap *heap) {
    size_t part = heap->granules >> CHUNK_SHIFT & ~(SLAB_GRANULES - 1);
    return part < CHUNK_LEAST ? CHUNK_LEAST : size_min(part, CHUNK_MOST);
}

void slab_drop_chunk(struct heap *heap) {
    if (heap->chunk.start != NULL) {
        struct free_block chunk = index_chunk_take(heap);
        heap_note_unmerged(heap, chunk.start);
        index_insert(heap, chunk);
    }
}

/* Cuts what is aligned off a free block that is not in the index, as the chunk. */
static void chunk_cut(struct heap *heap, struct free_block block) {
    struct region *region = region_of(block.start);
    struct tag_line *lines = region->lines;
    size_t start = region_granule(block.start), end = start + block.granules;
    size_t first = align_up(start, SLAB_GRANULES);
    size_t last = first + size_min(chunk_wanted(heap), align_down(end - first, SLAB_GRANULES));
    if (first > start) {
        tags_split(lines, start, end - start, first - start, true);
        size_t dirty = size_min(block.dirty, first - start);
        heap_note_unmerged(heap, block.start);
        index_insert(heap, (struct free_block){block.start, first - start, dirty});
    }
    if (last < end) {
        tags_split(lines, first, end - first, last - first, true);
        void *rest = region_block(region, last);
        size_t dirty = size_min(block.dirty, end - last);
        heap_note_unmerged(heap, rest);
        index_set_run(heap, (struct free_block){rest, end - last, dirty});
    }
    size_t dirty = size_min(block.dirty, last - first);
    heap->chunk = (struct free_block){region_block(region, first), last - first, dirty};
}

/* Takes a chunk off the untouched end; false: that is too short. */
static bool chunk_from_end(struct heap *heap) {
    size_t skip = -(size_t)heap->current->top & (SLAB_GRANULES - 1);
    size_t left = end_untouched(heap);
    if (left < skip + SLAB_GRANULES)
        return false;
    size_t pages = size_min(chunk_wanted(heap), align_down(left - skip, SLAB_GRANULES));
    void *start = end_take(heap, skip + pages);
    tags_set_free(region_of(start)->lines, region_granule(start));
    chunk_cut(heap, (struct free_block){start, skip + pages, skip + pages});
    return true;
}

/* Takes all blocks of a vacant page out of quick sets and run, so that its bins alone have them. */
static void page_settle(struct heap *heap, void *page) {
    struct region *region = region_of(page);
    size_t first = region_granule(page), granules = region->slab_granules[first / SLAB_GRANULES];
    uint64_t number = region_number(page);
    if ((uintptr_t)heap->run - (uintptr_t)page < granules_bytes(SLAB_GRANULES))
        index_drop_run(heap);
    waiting_leave(heap, granules, number, SLAB_GRANULES);
    for (size_t base = first; base < first + SLAB_GRANULES; base += LINE_GRANULES) {
        const struct tag_line *line = tags_line(region->lines, base);
        uint64_t others = load_relaxed(&line->starts) & ~tags_free_of_size(line, granules);
        for (; others != 0; others &= others - 1)
            waiting_leave(heap, tags_size(region->lines, base + bit_lowest(others)), number,
                          SLAB_GRANULES);
    }
}

/*
 * Makes one free block of a vacant page, which is a page of small blocks no more, and in no index.
 * Its first start stays all the while: another thread may be looking for the end of the block
 * before.
 */
static void *dissolve(struct heap *heap, void *page) {
    struct region *region = region_of(page);
    size_t first = region_granule(page);
    page_settle(heap, page);
    heap->bins.granules -= SLAB_GRANULES;
    region->slab_granules[first / SLAB_GRANULES] = 0;
    for (size_t base = first; base < first + SLAB_GRANULES; base += LINE_GRANULES) {
        struct tag_line *line = tags_line(region->lines, base);
        uint64_t start = base == first ? 1 : 0;
        store_relaxed(&line->free, start);
        store_relaxed(&line->starts, start);
        region->listed[base / LINE_GRANULES / 64] &= ~bit_at((unsigned)(base / LINE_GRANULES));
    }
    tags_measure(region->lines, first, SLAB_GRANULES);
    return page;
}

/* Takes the first page of the chunk out of it; NULL if there is none. */
static void *page_from_chunk(struct heap *heap) {
    struct free_block *chunk = &heap->chunk;
    if (chunk->start == NULL)
        return NULL;
    void *page = chunk->start;
    size_t rest = chunk->granules - SLAB_GRANULES, dirty = size_min(chunk->dirty, rest);
    heap->refaulted += chunk->granules - chunk->dirty - (rest - dirty);
    if (rest != 0)
        tags_split(region_of(page)->lines, region_granule(page), chunk->granules, SLAB_GRANULES,
                   true);
    *chunk = (struct free_block){rest != 0 ? (char *)page + granules_bytes(SLAB_GRANULES) : NULL,
                                 rest, dirty};
    return page;
}

/* A page out of those that were noted as vacant and still are; NULL if there is none. */
static void *page_from_vacant(struct heap *heap) {
    uint64_t line;
    while (bins_top(&heap->bins, VACANT_BIN, &line)) {
        bins_drop(&heap->bins, VACANT_BIN);
        heap->vacant -= SLAB_GRANULES;
        void *page = region_numbered(line * LINE_GRANULES);
        if (region_is_slab(region_of(page), region_granule(page)) && vacant_is(page))
            return dissolve(heap, page);
    }
    heap->vacant = 0;
    return NULL;
}

/*
 * Makes a chunk of a free block that holds a page: of the smallest that surely does, whatever its
 * alignment, or of one of the few smaller ones that come up first; or of the end.
 */
static bool chunk_renew(struct heap *heap) {
    void *block = index_take_paged(heap, SLAB_GRANULES, CHUNK_TRIES);
    if (block != NULL) {
        chunk_cut(heap, (struct free_block){block, block_size(block), block_size(block)});
        return true;
    }
    struct free_block large = index_fit(heap, 2 * SLAB_GRANULES - 1);
    if (large.start == NULL)
        return chunk_from_end(heap);
    chunk_cut(heap, large);
    return true;
}

static void *page_take(struct heap *heap) {
    void *page = page_from_vacant(heap);
    if (page == NULL)
        page = page_from_chunk(heap);
    return page != NULL || !chunk_renew(heap) ? page : page_from_chunk(heap);
}

void *slab_allocate(struct heap *heap, size_t granules) {
    char *page = page_take(heap);
    if (page == NULL)
        return NULL;
    struct region *region = region_of(page);
    size_t first = region_granule(page), count = SLAB_GRANULES / granules;
    size_t tail = SLAB_GRANULES - count * granules;
    tags_begin_row(region->lines, first, granules, count);
    region->slab_granules[first / SLAB_GRANULES] = (uint8_t)granules;
    if (tail != 0) {
        tags_begin(region->lines, first + SLAB_GRANULES - tail, true);
        index_insert(heap,
                     (struct free_block){page + granules_bytes(SLAB_GRANULES - tail), tail, tail});
    }
    tags_set_used(region->lines, first);
    waiting_fill(heap, page + granules_bytes(granules), granules, count - 1);
    return page;
}

static void page_merge(struct heap *heap, void *page) {
    merge_block(heap, (struct free_block){page, SLAB_GRANULES, SLAB_GRANULES});
}

bool slab_dissolve_vacant(struct heap *heap) {
    bool any = false;
    void *page;
    while ((page = page_from_vacant(heap)) != NULL) {
        page_merge(heap, page);
        any = true;
    }
    return any;
}

void slab_dissolve_all(struct heap *heap) {
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        for (size_t granule = 0; granule < region->top; granule += SLAB_GRANULES) {
            void *page = region_block(region, granule);
            if (region_is_slab(region, granule) && vacant_is(page))
                page_merge(heap, dissolve(heap, page));
        }
    }
}
