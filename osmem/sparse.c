#include "osmem/sparse.h"

#include "osmem/heap.h"
#include "osmem/index.h"
#include "osmem/tags.h"
#include "osmem/vacant.h"
#include "osmem/waiting.h"

#define REGION_PAGES (REGION_GRANULES / SLAB_GRANULES)

/* How often pages may be counted: once for so many of them divided by the number of questions. */
#define COUNT_SHIFT 2

/* ---- pages -------------------------------------------------------------------------------------
 */

/* The size of the blocks of the page around `block`; 0: it lies on none. */
static size_t size_on_page(const void *block) {
    return region_of(block)->slab_granules[region_granule(block) / SLAB_GRANULES];
}

static bool is_kept(const void *block) {
    size_t page = region_granule(block) / SLAB_GRANULES;
    return region_of(block)->kept[page / 64] & bit_at((unsigned)page);
}

static void keep(const void *block, bool is_kept) {
    size_t page = region_granule(block) / SLAB_GRANULES;
    uint64_t *word = &region_of(block)->kept[page / 64], bit = bit_at((unsigned)page);
    *word = is_kept ? *word | bit : *word & ~bit;
}

/* How many blocks of a page are in use. */
static size_t used_on(const void *page) {
    const struct tag_line *line = tags_line(region_of(page)->lines, region_granule(page));
    size_t used = 0;
    for (size_t i = 0; i < SLAB_LINES; i++)
        used += (size_t)__builtin_popcountll(load_relaxed(&line[i].starts) &
                                             ~load_relaxed(&line[i].free));
    return used;
}

/* Whether what a page has beyond whole blocks of its size is a block of `granules`, in use. */
static bool has_tail_of(const void *page, size_t granules) {
    size_t end = region_granule(page) + SLAB_GRANULES;
    return SLAB_GRANULES % size_on_page(page) == granules &&
           tags_is_used(region_of(page)->lines, end - granules);
}

/* The first page at `page` or behind it, in this and the regions that follow; NULL: none. */
static char *next_page(char *page) {
    struct region *region = region_of(page);
    size_t first = region_granule(page) / SLAB_GRANULES;
    for (; region != NULL; region = region->next, first = 0) {
        for (size_t i = first; i < REGION_PAGES; i++) {
            if (region->slab_granules[i] != 0)
                return region_block(region, i * SLAB_GRANULES);
        }
    }
    return NULL;
}

static char *first_page(struct heap *heap) { return next_page((char *)heap->regions); }

/* The one behind `page`, which may be the last of its region. */
static char *page_behind(char *page) {
    char *behind = page + granules_bytes(SLAB_GRANULES);
    if (region_of(behind) != region_of(page))
        behind = (char *)region_of(page)->next;
    return behind == NULL ? NULL : next_page(behind);
}

/* ---- which are kept ----------------------------------------------------------------------------
 */

/*
 * Marks the fullest pages of a size, as many as all blocks of the size fill that lie on pages.
 * False: that is nearly all. O(pages).
 */
static bool choose(struct heap *heap, size_t granules) {
    uint32_t count[SLAB_GRANULES + 1] = {0}; /* pages with so many blocks in use */
    size_t blocks = 0, pages = 0, capacity = SLAB_GRANULES / granules;
    for (char *page = first_page(heap); page != NULL; page = page_behind(page)) {
        bool is_of_size = size_on_page(page) == granules;
        size_t used = is_of_size ? used_on(page) : has_tail_of(page, granules);
        blocks += used;
        pages += is_of_size;
        count[used] += is_of_size;
    }
    size_t kept = (blocks + capacity - 1) / capacity, fuller = 0, least = SLAB_GRANULES;
    heap->sparse[granules].asked = 0;
    heap->sparse[granules].pages = (uint32_t)pages;
    if (kept + kept / 32 >= pages - count[0])
        return false;
    while (fuller + count[least] < kept)
        fuller += count[least--];
    size_t of_least = kept - fuller; /* pages that have just as many blocks as the emptiest kept */
    for (char *page = first_page(heap); page != NULL; page = page_behind(page)) {
        if (size_on_page(page) != granules)
            continue;
        size_t used = used_on(page);
        bool is_least = used == least && of_least > 0;
        of_least -= is_least;
        keep(page, used > least || is_least);
    }
    return true;
}

/* Counts pages of a size again if no kept one is left that has free blocks, and it is time. */
static struct sparse *ask(struct heap *heap, size_t granules) {
    struct sparse *sparse = &heap->sparse[granules];
    if (sparse->asked < UINT32_MAX)
        sparse->asked++;
    if (sparse->cursor == NULL && sparse->asked > sparse->pages >> COUNT_SHIFT) {
        sparse->is_chosen = choose(heap, granules);
        sparse->cursor = sparse->is_chosen ? first_page(heap) : NULL;
    }
    return sparse;
}

/* ---- where to ----------------------------------------------------------------------------------
 */

/* Takes blocks on pages that are not kept off the top of the quick set. */
static void clear_way(struct heap *heap, size_t granules) {
    const struct quick *quick = &heap->quick[granules];
    while (quick->top != 0) {
        uint64_t number = quick->top;
        void *block = region_numbered(number);
        if (is_kept(block))
            return;
        waiting_leave(heap, granules, number, 1);
        if (size_on_page(block) != 0)
            vacant_note(heap, block);
        else
            heap_note_unmerged(heap, block);
    }
}

/* Fills the empty quick set with free blocks of the next kept page that has any; false: none. */
static bool fill_from_kept(struct heap *heap, size_t granules) {
    char **cursor = &heap->sparse[granules].cursor;
    for (; *cursor != NULL; *cursor = page_behind(*cursor)) {
        if (size_on_page(*cursor) != granules || !is_kept(*cursor))
            continue;
        for (size_t i = 0; i < SLAB_LINES; i++) {
            if (index_refill_line(heap, *cursor + i * LINE_BYTES, granules))
                return true;
        }
    }
    return false;
}

bool sparse_should_move(struct heap *heap, const void *block, size_t granules) {
    size_t on_page = size_on_page(block);
    if (on_page == 0 || granules > SLAB_MAX)
        return false;
    if (!ask(heap, on_page)->is_chosen || is_kept(block))
        return false;
    /* The tail of a page is a block of another size than the page's. */
    if (granules != on_page && !ask(heap, granules)->is_chosen)
        return false;
    clear_way(heap, granules);
    return heap->quick[granules].top != 0 || fill_from_kept(heap, granules);
}
