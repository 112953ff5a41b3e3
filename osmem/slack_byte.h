/*
 * slack_byte.h - what the byte says that is kept of a heap block (slack.h), also for who reads it
 * from outside. Plain C and C++.
 *
 *   0x00 … 0x0f   so many bytes at its end were not asked for
 *   0x1t … 0xet   a guarded block (guard.h), high nibble f: its front is 8 << f bytes long, and
 *                 16 + t bytes at its end were not asked for
 *   0xff          a guarded block that is being freed
 *   0xf1 … 0xfe   every granule of a guarded block that was freed, until it is handed out again;
 *                 the low nibble is the front's
 *   0xf0          such a granule that was given back to the kernel, and reads as zero
 */
#ifndef OSMEM_OSMEM_SLACK_BYTE_H
#define OSMEM_OSMEM_SLACK_BYTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLACK_FREED 0xf0
#define SLACK_PURGED 0xf0
#define SLACK_FREEING 0xff
#define SLACK_GUARDED 0x10

/* What a guarded block has at its end at least that was not asked for. */
#define SLACK_TAIL ((size_t)16)

static inline bool slack_is_freed(uint8_t byte) { return byte >= SLACK_FREED; }
static inline bool slack_is_guarded(uint8_t byte) {
    return byte >= SLACK_GUARDED && byte < SLACK_FREED;
}

/* Bytes of a guarded block before and behind what was asked for. */
static inline size_t slack_front(uint8_t byte) {
    return (size_t)8 << (slack_is_freed(byte) ? byte & 15 : byte >> 4);
}
static inline size_t slack_tail(uint8_t guarded) { return SLACK_TAIL + (guarded & 15); }

/* Bytes of a block in use that were not asked for. */
static inline size_t slack_bytes(uint8_t byte) {
    return slack_is_guarded(byte) ? slack_front(byte) + slack_tail(byte) : byte;
}

#endif
