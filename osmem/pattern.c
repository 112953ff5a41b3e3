#include "osmem/pattern.h"

#include <string.h>
#include <sys/auxv.h>

/* A granule, as the processor compares it at once. */
typedef uint64_t granule __attribute__((vector_size(16), may_alias));

static uint64_t scramble(uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t pattern_key_or_0;

/* From the 16 bytes that the kernel drew for this process, as the C library's own secrets are. */
uint64_t pattern_draw_key(void) {
    uint64_t drawn[2] = {(uintptr_t)&drawn, 0};
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random != NULL)
        memcpy(drawn, random, sizeof drawn);
    uint64_t key = scramble(drawn[0] ^ scramble(drawn[1] + 1)) | 1;
    store_relaxed(&pattern_key_or_0, key);
    return key;
}

/* ---- the fill --------------------------------------------------------------------------------
 */

/* Twice the same four bytes, of which the uppermost is never that of an address. */
static uint64_t fill_word(void) {
    uint64_t half = (uint32_t)(pattern_key() >> 32) | 0x80000000u;
    return half << 32 | half | PATTERN_NO_ZERO;
}

void fill_write(void *ptr, size_t size) {
    uint64_t word = fill_word();
    granule fill = {word, word}, *at = ptr, *end = at + size / sizeof fill;
    for (; end - at >= 4; at += 4)
        at[0] = at[1] = at[2] = at[3] = fill;
    while (at < end)
        *at++ = fill;
}

/* Whether it is that word again and again. */
static bool consists_of(const void *ptr, size_t size, uint64_t word) {
    const granule expected = {word, word}, *at = ptr, *end = at + size / sizeof expected;
    granule difference = {0, 0};
    for (; end - at >= 4; at += 4)
        difference |=
            (at[0] ^ expected) | (at[1] ^ expected) | (at[2] ^ expected) | (at[3] ^ expected);
    while (at < end)
        difference |= *at++ ^ expected;
    return (difference[0] | difference[1]) == 0;
}

static void *find_damage(void *ptr, size_t size, uint64_t word) {
    granule *at = ptr;
    if (likely(consists_of(ptr, size, word)))
        return NULL;
    while (consists_of(at, sizeof *at, word))
        at++;
    return at;
}

void *fill_damage(void *ptr, size_t size) { return find_damage(ptr, size, fill_word()); }

void *zero_damage(void *ptr, size_t size) { return find_damage(ptr, size, 0); }
