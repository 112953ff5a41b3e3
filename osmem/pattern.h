/*
 * pattern.h - what the guarded mode writes where a program must not: canaries round its blocks, and
 * a fill into freed memory. Both come from a key that is random for each process.
 *
 * A canary is a function of its address, in words of 8 bytes, so it needs no length and begins at
 * any byte: what a block grows or shrinks over is right already, and bytes that were copied from
 * another canary are wrong. The fill is the same word everywhere, so that it is found again in part
 * wherever free memory was cut and merged.
 */
#ifndef OSMEM_OSMEM_PATTERN_H
#define OSMEM_OSMEM_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utils/align.h"
#include "utils/bits.h"

extern uint64_t pattern_key_or_0;

/* Threads that come here at the same time draw the same. */
__attribute__((noinline, cold)) uint64_t pattern_draw_key(void);

/* A number that nobody can guess, another one in each process. */
static inline uint64_t pattern_key(void) {
    uint64_t key = load_relaxed(&pattern_key_or_0);
    return likely(key != 0) ? key : pattern_draw_key();
}

/* A zero that ends a string just behind a block is seen for certain. */
#define PATTERN_NO_ZERO UINT64_C(0x0101010101010101)

/* The canary of the word at an address that is a multiple of 8. */
static inline uint64_t canary_at(uint64_t key, const char *word) {
    uint64_t value = ((uintptr_t)word + key) * 0x9e3779b97f4a7c15u;
    return (value ^ value >> 29) | PATTERN_NO_ZERO;
}

/* The bytes of the word around `ptr` from there on, as a mask. */
static inline uint64_t canary_mask(const char *ptr) {
    unsigned bits = 8 * ((uintptr_t)ptr & 7);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? UINT64_MAX << bits : UINT64_MAX >> bits;
}

/* Writes the canary of the bytes from … to - 1; `to` is a multiple of 8. */
static inline void canary_write(char *from, char *to) {
    if (unlikely(from == to))
        return;
    uint64_t key = pattern_key(), mask = canary_mask(from);
    char *at = (char *)align_down((uintptr_t)from, 8);
    uint64_t *word = (uint64_t *)(void *)at;
    *word = (*word & ~mask) | (canary_at(key, at) & mask);
    while ((at += 8) < to)
        *(uint64_t *)(void *)at = canary_at(key, at);
}

/* Whether it is still there. */
static inline bool canary_intact(const char *from, const char *to) {
    if (unlikely(from == to))
        return true;
    uint64_t key = pattern_key();
    const char *at = (const char *)align_down((uintptr_t)from, 8);
    uint64_t difference =
        (*(const uint64_t *)(const void *)at ^ canary_at(key, at)) & canary_mask(from);
    while ((at += 8) < to)
        difference |= *(const uint64_t *)(const void *)at ^ canary_at(key, at);
    return difference == 0;
}

/* Fills `size` bytes, a multiple of 16, at a multiple of 16. */
void fill_write(void *ptr, size_t size);

/* The first of those granules that is no fill any more, or not zero; NULL: all are. */
void *fill_damage(void *ptr, size_t size);
void *zero_damage(void *ptr, size_t size);

#endif
