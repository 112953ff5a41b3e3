#include "osmem/quarantine.h"

#include <stdbool.h>
#include <stdint.h>

#include "osmem/pattern.h"
#include "osmem/tags.h"
#include "utils/bits.h"

#define SLOTS 32

/* Blocks of each size up to QUARANTINE_REUSED granules have a ward, then middling and large ones.
 */
#define MIDDLING (QUARANTINE_REUSED + 1)
#define LARGE (QUARANTINE_REUSED + 2)
#define WARDS (QUARANTINE_REUSED + 3)
#define MIDDLING_MOST (16 * KIB / GRANULE_BYTES)
#define MIDDLING_SLOTS 8
#define LARGE_SLOTS 4

struct ward {
    void *block[SLOTS];
};

static struct quarantine {
    bool locked;
    uint64_t drawn; /* the random number drawn last; 0: none yet */
    uint8_t count[WARDS];
    struct ward ward[WARDS];
} quarantines[QUARANTINES] __attribute__((aligned(64)));

static bool try_lock(struct quarantine *quarantine) {
    return !load_relaxed(&quarantine->locked) &&
           !__atomic_exchange_n(&quarantine->locked, true, __ATOMIC_ACQUIRE);
}

static struct quarantine *quarantine_lock(size_t heap) {
    for (size_t i = 0; i < QUARANTINES; i++) {
        struct quarantine *quarantine = &quarantines[(heap + i) % QUARANTINES];
        if (likely(try_lock(quarantine)))
            return quarantine;
    }
    return NULL;
}

static void quarantine_unlock(struct quarantine *quarantine) {
    __atomic_store_n(&quarantine->locked, false, __ATOMIC_RELEASE);
}

/* A random number below `count`, by Marsaglia's xorshift64. */
static size_t draw(struct quarantine *quarantine, size_t count) {
    uint64_t value = quarantine->drawn;
    if (unlikely(value == 0))
        value = pattern_key();
    value ^= value << 13;
    value ^= value >> 7;
    value ^= value << 17;
    quarantine->drawn = value;
    return (value >> 32) * count >> 32;
}

/* How many blocks wait in a ward. */
static size_t slots_of(size_t ward) {
    if (ward < MIDDLING)
        return SLOTS;
    return ward == MIDDLING ? MIDDLING_SLOTS : LARGE_SLOTS;
}

static size_t ward_of(size_t granules) {
    if (granules <= QUARANTINE_REUSED)
        return granules;
    return granules <= MIDDLING_MOST ? MIDDLING : LARGE;
}

void *quarantine_put(size_t heap, void *block, size_t granules) {
    struct quarantine *quarantine = quarantine_lock(heap);
    if (quarantine == NULL)
        return block;
    size_t ward = ward_of(granules), slots = slots_of(ward);
    void **slot = quarantine->ward[ward].block, *leaves = NULL;
    if (quarantine->count[ward] < slots) {
        slot[quarantine->count[ward]++] = block;
    } else {
        size_t drawn = draw(quarantine, slots);
        leaves = slot[drawn];
        slot[drawn] = block;
    }
    quarantine_unlock(quarantine);
    return leaves;
}

void *quarantine_get(size_t heap, size_t granules) {
    struct quarantine *quarantine = quarantine_lock(heap);
    if (quarantine == NULL)
        return NULL;
    void *block = NULL;
    if (quarantine->count[granules] > QUARANTINE_LEAST) {
        void **slot = quarantine->ward[granules].block;
        size_t drawn = draw(quarantine, quarantine->count[granules]);
        block = slot[drawn];
        slot[drawn] = slot[--quarantine->count[granules]];
    }
    quarantine_unlock(quarantine);
    return block;
}

void *quarantine_drain(size_t *place) {
    for (; *place < QUARANTINES * WARDS; ++*place) {
        struct quarantine *quarantine = &quarantines[*place / WARDS];
        size_t ward = *place % WARDS;
        if (!try_lock(quarantine))
            continue;
        uint8_t *count = &quarantine->count[ward];
        void *block = *count == 0 ? NULL : quarantine->ward[ward].block[--*count];
        quarantine_unlock(quarantine);
        if (block != NULL)
            return block;
    }
    return NULL;
}
