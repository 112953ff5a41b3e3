#include "osmem/bins.h"

#include "osmem/system.h"

/* What a heap whose reserve is used up maps for further chunks. */
#define CHUNK_SLAB (64 * KIB)

void bins_give_memory(struct bins *bins, void *memory, size_t size) {
    uintptr_t start = align_up((uintptr_t)memory, sizeof(struct bin_chunk));
    bins->unused = (char *)start;
    bins->unused_end = (char *)memory + size;
}

/* Memory that was given is used up; false: no other is to be had. */
static bool map_memory(struct bins *bins) {
    /* What was refused is not asked for again before the index is built anew. */
    bool may_map = !bins->incomplete && !bins->maps_none;
    struct bin_chunk *slab = may_map ? system_map_own(CHUNK_SLAB) : NULL;
    if (slab == NULL)
        return false;
    slab->below = bins->mapped;
    bins->mapped = slab;
    bins_give_memory(bins, slab + 1, CHUNK_SLAB - sizeof *slab);
    return true;
}

void bins_unmap(struct bins *bins) {
    struct bin_chunk *slab = bins->mapped, *next;
    for (bins->mapped = NULL; slab != NULL; slab = next) {
        next = slab->below;
        system_unmap_own(slab, CHUNK_SLAB);
    }
}

static struct bin_chunk *chunk_take(struct bins *bins) {
    struct bin_chunk *chunk = bins->spare;
    if (chunk != NULL) {
        bins->spare = chunk->below;
        return chunk;
    }
    if ((size_t)(bins->unused_end - bins->unused) < sizeof *chunk && !map_memory(bins))
        return NULL;
    chunk = (struct bin_chunk *)bins->unused;
    bins->unused += sizeof *chunk;
    return chunk;
}

static void chunk_drop(struct bins *bins, struct bin_chunk *chunk) {
    chunk->below = bins->spare;
    bins->spare = chunk;
}

void bins_push_slow(struct bins *bins, uint64_t line, size_t granules) {
    struct bin_chunk *chunk = chunk_take(bins);
    if (chunk == NULL) {
        bins->incomplete = true;
        return;
    }
    *chunk = (struct bin_chunk){.below = bins->top[granules],
                                .zone = (uint32_t)(line >> 32),
                                .count = 1,
                                .entries = {(uint32_t)line}};
    bins->top[granules] = chunk;
    bins->entries++;
    bins_note(bins, granules);
}

void bins_enter(struct bins *bins, void *block, size_t granules) {
    struct region *region = region_of(block);
    size_t granule = region_granule(block), line = granule / LINE_GRANULES;
    if (region->slab_granules[granule / SLAB_GRANULES] == granules) {
        uint64_t *listed = &region->listed[line / 64], bit = bit_at((unsigned)line);
        if (*listed & bit) {
            bins->granules += granules;
            return;
        }
        *listed |= bit;
    }
    bins_push(bins, region_line_number(block), granules);
}

void bins_drop(struct bins *bins, size_t granules) {
    struct bin_chunk *chunk = bins->top[granules];
    bins->entries--;
    if (--chunk->count == 0) {
        bins->top[granules] = chunk->below;
        chunk_drop(bins, chunk);
    }
}

static void bin_reset(struct bins *bins, size_t granules) {
    while (bins->top[granules] != NULL) {
        struct bin_chunk *chunk = bins->top[granules];
        bins->top[granules] = chunk->below;
        chunk_drop(bins, chunk);
    }
}

void bins_reset(struct bins *bins) {
    for (size_t word = 0; word < LARGE_MIN / 64; word++) {
        for (uint64_t sizes = bins->nonempty[word]; sizes != 0; sizes &= sizes - 1)
            bin_reset(bins, word * 64 + bit_lowest(sizes));
        bins->nonempty[word] = 0;
    }
    bins->summary &= bit_at(QUICK_MAX / 64 + 1) - 1;
    bins->granules = bins->entries = 0;
    bins->incomplete = false;
}
