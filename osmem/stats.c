#include "osmem/stats.h"

#include <errno.h>

#include "osmem/fence.h"
#include "osmem/heaps.h"
#include "osmem/mapped.h"
#include "osmem/slack.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "utils/align.h"
#include "utils/bits.h"

/* ---- the walk ---------------------------------------------------------------------------------
 */

struct walk {
    os_heap_visitor *visit;
    void *context;
    size_t heap;
    const struct own *owner; /* whose mapped blocks are meant; NULL: everybody's */
};

static int visit(const struct walk *walk, void *address, size_t size, enum os_block_kind kind) {
    struct os_block block = {address, size, kind, walk->heap};
    return size == 0 ? 0 : walk->visit(&block, walk->context);
}

static int walk_region(const struct walk *walk, struct region *region) {
    size_t top = load_relaxed(&region->top), committed = load_relaxed(&region->committed);
    int result = visit(walk, region, granules_bytes(REGION_FIRST), OS_BLOCK_METADATA);
    for (size_t granule = REGION_FIRST; granule < top && result == 0;) {
        size_t end = size_min(tags_next_start(region->lines, granule + 1), top);
        const void *block = region_block(region, granule);
        bool is_free = tags_is_free(region->lines, granule) || thread_freed_remotely(block) ||
                       slack_is_freed(slack_read(block));
        result = visit(walk, region_block(region, granule), granules_bytes(end - granule),
                       is_free ? OS_BLOCK_FREE : OS_BLOCK_USED);
        granule = end;
    }
    if (result == 0)
        result = visit(walk, region_block(region, top), granules_bytes(committed - top),
                       OS_BLOCK_UNTOUCHED);
    return result;
}

static int walk_heap(struct walk *walk, struct heap *heap) {
    int result = 0;
    walk->heap = load_relaxed(&heap->number);
    for (struct region *region = __atomic_load_n(&heap->regions, __ATOMIC_ACQUIRE);
         region != NULL && result == 0; region = region->next)
        result = walk_region(walk, region);
    return result;
}

static int walk_mapped(const struct mapped_block *block, void *context) {
    struct walk *walk = context;
    if (walk->owner != NULL && block->owner != walk->owner)
        return 0;
    walk->heap = block->owner != NULL ? load_relaxed(&block->owner->heap->number) : (size_t)-1;
    return visit(walk, block->address, block->size,
                 block->live ? OS_BLOCK_MAPPED : OS_BLOCK_CACHED);
}

/* The lock keeps regions from changing hands; a heap's own thread may still add one. */
int os_heap_walk(os_heap_visitor *visitor, void *context) {
    struct walk walk = {visitor, context, 0, NULL};
    int result = 0;
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL && result == 0; heap = heap->next)
        result = walk_heap(&walk, heap);
    system_unlock(&region_lock);
    if (result == 0)
        result = mapped_each(walk_mapped, &walk);
    return result != 0 ? result : fence_each(walk_mapped, &walk);
}

int os_heap_walk_of(struct os_heap *handle, os_heap_visitor *visitor, void *context) {
    struct own *own = heaps_lock("heap_walk_of", handle);
    struct walk walk = {visitor, context, 0, own};
    int result = walk_heap(&walk, own->heap);
    if (result == 0)
        result = mapped_each(walk_mapped, &walk);
    system_unlock(&own->lock);
    return result;
}

/* ---- the counters -----------------------------------------------------------------------------
 */

struct count {
    struct os_stats *stats;
    struct stats_class *classes; /* NULL: not wanted */
    uintptr_t active_end;        /* where the pages end that are counted as active in the region */
    const struct own *owner;     /* of the mapped blocks that count_owned counts; NULL: no heap */
};

static struct stats_class *class_of(const struct count *count, size_t size) {
    return &count->classes[size_min(bit_highest(size), STATS_CLASSES - 1)];
}

static void count_live(struct count *count, size_t size) {
    if (count->classes == NULL)
        return;
    class_of(count, size)->live_blocks++;
    class_of(count, size)->live_bytes += size;
}

/* The pages of a live block that no block before it in its region lies on. */
static void count_active(struct count *count, const struct os_block *block) {
    uintptr_t page = system_page(), begin = align_down((uintptr_t)block->address, page);
    uintptr_t end = align_up((uintptr_t)block->address + block->size, page);
    if (begin < count->active_end)
        begin = count->active_end;
    if (begin < end)
        count->stats->active += end - begin;
    count->active_end = end;
}

static int count_mapped(const struct mapped_block *block, void *context) {
    struct count *count = context;
    struct os_stats *stats = count->stats;
    if (block->live) {
        stats->requested += block->requested;
        stats->mapped += block->size;
        stats->mapped_blocks++;
        stats->active += block->size;
        count_live(count, block->size);
    } else {
        stats->mapped_cached += block->size;
    }
    stats->resident += system_resident(block->address, block->size);
    return 0;
}

static int count_block(const struct os_block *block, void *context) {
    struct count *count = context;
    struct os_stats *stats = count->stats;
    switch (block->kind) {
    case OS_BLOCK_USED:
        stats->requested += block->size - slack_bytes(slack_read(block->address));
        stats->allocated += block->size;
        stats->allocated_blocks++;
        count_active(count, block);
        count_live(count, block->size);
        break;
    case OS_BLOCK_FREE:
        stats->free += block->size;
        stats->free_blocks++;
        if (count->classes != NULL) {
            class_of(count, block->size)->free_blocks++;
            class_of(count, block->size)->free_bytes += block->size;
        }
        break;
    case OS_BLOCK_UNTOUCHED:
        stats->untouched += block->size;
        break;
    case OS_BLOCK_METADATA:
        stats->metadata += block->size;
        count->active_end = 0;
        break;
    case OS_BLOCK_MAPPED:
    case OS_BLOCK_CACHED:
        break;
    }
    return 0;
}

static void count_heap(struct heap *heap, struct count *count) {
    struct walk walk = {count_block, count, 0, NULL};
    walk_heap(&walk, heap);
    for (struct region *region = __atomic_load_n(&heap->regions, __ATOMIC_ACQUIRE); region != NULL;
         region = region->next) {
        size_t committed = granules_bytes(load_relaxed(&region->committed));
        count->stats->resident += system_resident(region, committed);
    }
    count->stats->heaps++;
}

static void count_all_mapped(struct count *count) {
    mapped_each(count_mapped, count);
    fence_each(count_mapped, count);
}

static int count_owned(const struct mapped_block *block, void *context) {
    const struct count *count = context;
    return block->owner == count->owner ? count_mapped(block, context) : 0;
}

/* A heap, and the mapped blocks that belong to it. */
static void count_whole(struct heap *heap, struct count *count) {
    count_heap(heap, count);
    count->owner = heap->own;
    if (heap->own != NULL)
        mapped_each(count_owned, count);
}

static void finish(struct os_stats *stats) {
    struct system_calls calls = system_calls();
    stats->heap = stats->allocated + stats->free + stats->untouched + stats->metadata;
    stats->sbrk_calls = calls.sbrk;
    stats->mmap_calls = calls.mmap;
    stats->munmap_calls = calls.munmap;
    stats->mremap_calls = calls.mremap;
    stats->madvise_calls = calls.madvise;
}

void os_malloc_stats(struct os_stats *stats) {
    struct count count = {stats, NULL, 0, NULL};
    *stats = (struct os_stats){0};
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL; heap = heap->next)
        count_heap(heap, &count);
    system_unlock(&region_lock);
    count_all_mapped(&count);
    finish(stats);
}

/* False: there is no such heap. */
static bool count_heap_numbered(size_t index, struct count *count,
                                void (*count_one)(struct heap *heap, struct count *count)) {
    *count->stats = (struct os_stats){0};
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL; heap = heap->next) {
        if (heap->number == index)
            count_one(heap, count);
    }
    system_unlock(&region_lock);
    finish(count->stats);
    return count->stats->heaps != 0;
}

int os_heap_stats(size_t index, struct os_stats *stats) {
    struct count count = {stats, NULL, 0, NULL};
    if (count_heap_numbered(index, &count, count_whole))
        return 0;
    *stats = (struct os_stats){0};
    errno = EINVAL;
    return -1;
}

bool stats_heap(size_t index, struct stats_part *part) {
    struct count count = {&part->stats, part->classes, 0, NULL};
    *part = (struct stats_part){0};
    return count_heap_numbered(index, &count, count_heap);
}

void stats_mapped(struct stats_part *part) {
    struct count count = {&part->stats, part->classes, 0, NULL};
    *part = (struct stats_part){0};
    count_all_mapped(&count);
    finish(&part->stats);
}

void os_heap_stats_of(struct os_heap *handle, struct os_stats *stats) {
    *stats = (struct os_stats){0};
    struct own *own = heaps_lock("heap_stats_of", handle);
    struct count count = {stats, NULL, 0, NULL};
    count_whole(own->heap, &count);
    system_unlock(&own->lock);
    finish(stats);
}
