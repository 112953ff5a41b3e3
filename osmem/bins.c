#include "osmem/bins.h"

#include "osmem/system.h"

/* What a heap whose reserve is used up maps for further chunks. */
#define CHUNK_SLAB (64 * KIB)

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

void bins_push_slow(struct bins *bins, uint64_t number, size_t granules) {
    struct bin_chunk *chunk = chunk_take(bins);
    if (chunk == NULL) {
        bins->incomplete = true;
        bins->granules += granules;
        return;
    }
    *chunk = (struct bin_chunk){.below = bins->top[granules], .zone = (uint32_t)(number >> 32)};
    bins->top[granules] = chunk;
    bins_note(bins, granules);
    bins_push_number(bins, number, granules);
}

void *bins_peek(const struct bins *bins, size_t granules, size_t after) {
    const struct bin_chunk *chunk = bins->top[granules];
    return chunk == NULL || chunk->count <= after ? NULL
                                                  : bins_entry(chunk, chunk->count - after - 1);
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
    bins->summary &= bit_at(QUICK_MAX / 64 + 1) - 1;
    bins->granules = bins->entries = bins->stale = 0;
    bins->incomplete = false;
}
