/*
 * slack.h - what is known of a heap block beyond its tags, where that is asked for (conf.exact): a
 * byte (slack_byte.h) for each granule of a region, of which the first of a block counts.
 *
 * The other granules of a block in use have 0. The byte of a block changes hands with the block:
 * its user's thread writes it, and who finds a freed one has lost the race to free it.
 */
#ifndef OSMEM_OSMEM_SLACK_H
#define OSMEM_OSMEM_SLACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/region.h"
#include "osmem/slack_byte.h"

#define SLACK_FRONT_MIN ((size_t)16)
#define SLACK_FRONT_MAX ((size_t)8 << 14)

/* The bytes of the granules of a region, from that of `block` on; NULL: nothing is known there. */
static inline uint8_t *slack_at(const void *block) {
    uint8_t *slack = load_relaxed(&region_of(block)->slack);
    return slack == NULL ? NULL : slack + region_granule(block);
}

static inline uint8_t slack_read(const void *block) {
    const uint8_t *slack = slack_at(block);
    return slack == NULL ? 0 : __atomic_load_n(slack, __ATOMIC_ACQUIRE);
}

/* The same, after everything that was read before. */
static inline uint8_t slack_read_last(const void *block) {
    uint8_t *slack = slack_at(block);
    return slack == NULL ? 0 : __atomic_fetch_add(slack, 0, __ATOMIC_ACQ_REL);
}

static inline uint8_t slack_guarded(size_t front, size_t tail) {
    return (uint8_t)((bit_highest(front) - 3) << 4 | (tail - SLACK_TAIL));
}
static inline uint8_t slack_freed(uint8_t guarded) { return SLACK_FREED | guarded >> 4; }

/* Notes that the block was allocated for `size` bytes. */
static inline void slack_note(void *block, size_t granules, size_t size) {
    uint8_t *slack = slack_at(block);
    if (slack != NULL)
        *slack = (uint8_t)(granules_bytes(granules) - size);
}

#endif
