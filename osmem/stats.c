#include "osmem/stats.h"

#include <errno.h>

#include "osmem/fence.h"
#include "osmem/mapped.h"
#include "osmem/slack.h"
#include "osmem/tags.h"
#include "osmem/thread.h"

/* ---- the walk ---------------------------------------------------------------------------------
 */

struct walk {
    os_heap_visitor *visit;
    void *context;
    size_t heap;
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
    walk->heap = heap->number;
    for (struct region *region = __atomic_load_n(&heap->regions, __ATOMIC_ACQUIRE);
         region != NULL && result == 0; region = region->next)
        result = walk_region(walk, region);
    return result;
}

static int walk_mapped(const struct mapped_block *block, void *context) {
    return visit(context, block->address, block->size,
                 block->live ? OS_BLOCK_MAPPED : OS_BLOCK_CACHED);
}

/* The lock keeps regions from changing hands; a heap's own thread may still add one. */
int os_heap_walk(os_heap_visitor *visitor, void *context) {
    struct walk walk = {visitor, context, 0};
    int result = 0;
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL && result == 0; heap = heap->next)
        result = walk_heap(&walk, heap);
    system_unlock(&region_lock);
    walk.heap = (size_t)-1;
    if (result == 0)
        result = mapped_each(walk_mapped, &walk);
    return result != 0 ? result : fence_each(walk_mapped, &walk);
}

/* ---- the counters -----------------------------------------------------------------------------
 */

static int count_mapped(const struct mapped_block *block, void *context) {
    struct os_stats *stats = context;
    if (block->live) {
        stats->requested += block->requested;
        stats->mapped += block->size;
        stats->mapped_blocks++;
    } else {
        stats->mapped_cached += block->size;
    }
    stats->resident += system_resident(block->address, block->size);
    return 0;
}

static int count_block(const struct os_block *block, void *context) {
    struct os_stats *stats = context;
    switch (block->kind) {
    case OS_BLOCK_USED:
        stats->requested += block->size - slack_bytes(slack_read(block->address));
        stats->allocated += block->size;
        stats->allocated_blocks++;
        break;
    case OS_BLOCK_FREE:
        stats->free += block->size;
        stats->free_blocks++;
        break;
    case OS_BLOCK_UNTOUCHED:
        stats->untouched += block->size;
        break;
    case OS_BLOCK_METADATA:
        stats->metadata += block->size;
        break;
    case OS_BLOCK_MAPPED:
    case OS_BLOCK_CACHED:
        break;
    }
    return 0;
}

static void count_heap(struct heap *heap, struct os_stats *stats) {
    struct walk walk = {count_block, stats, 0};
    walk_heap(&walk, heap);
    for (struct region *region = __atomic_load_n(&heap->regions, __ATOMIC_ACQUIRE); region != NULL;
         region = region->next) {
        size_t committed = granules_bytes(load_relaxed(&region->committed));
        stats->resident += system_resident(region, committed);
    }
    stats->heaps++;
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
    *stats = (struct os_stats){0};
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL; heap = heap->next)
        count_heap(heap, stats);
    system_unlock(&region_lock);
    mapped_each(count_mapped, stats);
    fence_each(count_mapped, stats);
    finish(stats);
}

int os_heap_stats(size_t index, struct os_stats *stats) {
    *stats = (struct os_stats){0};
    system_lock(&region_lock);
    for (struct heap *heap = thread_first_heap(); heap != NULL; heap = heap->next) {
        if (heap->number == index)
            count_heap(heap, stats);
    }
    system_unlock(&region_lock);
    if (stats->heaps == 0) {
        errno = EINVAL;
        return -1;
    }
    finish(stats);
    return 0;
}
