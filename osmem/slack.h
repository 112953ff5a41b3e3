/*
 * slack.h - what is known of a heap block beyond its tags, where that is asked for (conf.exact): a
 * byte for each granule of a region, of which the first of a block counts.
 *
 *   0x00 … 0x0f   so many bytes at its end were not asked for
 *   0x1t … 0xet   a guarded block (guard.h), high nibble f: its front is 8 << f bytes long, and
 *                 16 + t bytes at its end were not asked for
 *   0xff          a guarded block that is being freed
 *   0xf1 … 0xfe   every granule of a guarded block that was freed, until it is handed out again;
 *                 the low nibble is the front's
 *   0xf0          such a granule that was given back to the kernel, and reads as zero
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

#define SLACK_FREED 0xf0
#define SLACK_PURGED 0xf0
#define SLACK_FREEING 0xff
#define SLACK_GUARDED 0x10

/* What a guarded block has at its end at least that was not asked for. */
#define SLACK_TAIL ((size_t)16)

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

static inline bool slack_is_freed(uint8_t byte) { return byte >= SLACK_FREED; }
static inline bool slack_is_guarded(uint8_t byte) {
    return byte >= SLACK_GUARDED && byte < SLACK_FREED;
}

static inline uint8_t slack_guarded(size_t front, size_t tail) {
    return (uint8_t)((bit_highest(front) - 3) << 4 | (tail - SLACK_TAIL));
}
static inline uint8_t slack_freed(uint8_t guarded) { return SLACK_FREED | guarded >> 4; }

/* Bytes of a guarded block before and behind what was asked for. */
static inline size_t slack_front(uint8_t byte) {
    return (size_t)8 << (slack_is_freed(byte) ? byte & 15 : byte >> 4);
}
static inline size_t slack_tail(uint8_t guarded) { return SLACK_TAIL + (guarded & 15); }

/* Bytes of a block in use that were not asked for. */
static inline size_t slack_bytes(uint8_t byte) {
    return slack_is_guarded(byte) ? slack_front(byte) + slack_tail(byte) : byte;
}

/* Notes that the block was allocated for `size` bytes. */
static inline void slack_note(void *block, size_t granules, size_t size) {
    uint8_t *slack = slack_at(block);
    if (slack != NULL)
        *slack = (uint8_t)(granules_bytes(granules) - size);
}

#endif
