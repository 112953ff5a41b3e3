#include "osmem/bins.h"

#include "osmem/system.h"

/* What a heap whose reserve is used up maps for further chunks. */
#define CHUNK_SLAB (64 * KIB)

#define ZONE_SHIFT (32 + GRANULE_SHIFT)

void bins_give_memory(struct bins *bins, void *memory, size_t size) {
    uintptr_t start = align_up((uintptr_t)memory, sizeof(struct bin_chunk));
    bins->unused = (char *)start;
    bins->unused_end = (char *)memory + size;
}

static struct bin_chunk *chunk_take(struct bins *bins) {
    struct bin_chunk *chunk = bins->spare;
    if (chunk != NULL) {
        bins->spare = chunk->below;
        return chunk;
    }
    if ((size_t)(bins->unused_end - bins->unused) < sizeof *chunk) {
        void *slab = system_map(CHUNK_SLAB);
        if (slab == NULL)
            return NULL;
        bins_give_memory(bins, slab, CHUNK_SLAB);
    }
    chunk = (struct bin_chunk *)bins->unused;
    bins->unused += sizeof *chunk;
    return chunk;
}

static void chunk_drop(struct bins *bins, struct bin_chunk *chunk) {
    chunk->below = bins->spare;
    bins->spare = chunk;
}

void bins_push(struct bins *bins, void *block, size_t granules) {
    struct bin_chunk *chunk = bins->top[granules];
    uint32_t zone = (uint32_t)((uintptr_t)block >> ZONE_SHIFT);
    if (chunk == NULL || chunk->count == CHUNK_ENTRIES || chunk->zone != zone) {
        struct bin_chunk *below = chunk;
        chunk = chunk_take(bins);
        if (chunk == NULL) {
            bins->incomplete = true;
            return;
        }
        *chunk = (struct bin_chunk){.below = below, .zone = zone};
        bins->top[granules] = chunk;
        bins_note(bins, granules);
    }
    chunk->entries[chunk->count++] = (uint32_t)((uintptr_t)block >> GRANULE_SHIFT);
    bins->entries++;
}

static void *entry_block(const struct bin_chunk *chunk, size_t index) {
    return (void *)((uintptr_t)chunk->zone << ZONE_SHIFT | (uintptr_t)chunk->entries[index]
                                                               << GRANULE_SHIFT);
}

void *bins_peek(const struct bins *bins, size_t granules, size_t after) {
    const struct bin_chunk *chunk = bins->top[granules];
    return chunk == NULL || chunk->count <= after ? NULL
                                                  : entry_block(chunk, chunk->count - after - 1);
}

void *bins_pop(struct bins *bins, size_t granules) { return bins_take(bins, granules, 0); }

void *bins_take(struct bins *bins, size_t granules, size_t after) {
    void *block = bins_peek(bins, granules, after);
    if (block == NULL)
        return NULL;
    struct bin_chunk *chunk = bins->top[granules];
    chunk->count--;
    chunk->entries[chunk->count - after] = chunk->entries[chunk->count];
    if (chunk->count == 0) {
        bins->top[granules] = chunk->below;
        chunk_drop(bins, chunk);
    }
    bins->entries--;
    return block;
}

void bins_reset(struct bins *bins) {
    for (size_t granules = 1; granules < LARGE_MIN; granules++) {
        while (bins->top[granules] != NULL) {
            struct bin_chunk *chunk = bins->top[granules];
            bins->top[granules] = chunk->below;
            chunk_drop(bins, chunk);
        }
    }
    for (size_t word = 0; word < LARGE_MIN / 64; word++)
        bins->nonempty[word] = 0;
    bins->summary = 0;
    bins->entries = bins->stale = 0;
    bins->incomplete = false;
}
