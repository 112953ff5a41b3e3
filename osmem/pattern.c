#include "osmem/pattern.h"

#include <string.h>
#include <sys/auxv.h>
#include <wchar.h>

#include "utils/block_meta.h"

static_assert(sizeof(wchar_t) == 4, "the C library fills memory with words of four bytes");

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

/*
 * The C library has the quickest loops for any processor: wmemset() writes words of four bytes, and
 * memory that is equal to itself a granule further consists of one granule again and again.
 */

/* Four bytes, of which the uppermost is never that of an address. */
static uint32_t fill_word(void) {
    return (uint32_t)(pattern_key() >> 32) | 0x80000000u | (uint32_t)PATTERN_NO_ZERO;
}

void fill_write(void *ptr, size_t size) {
    wmemset(ptr, (wchar_t)fill_word(), size / sizeof(wchar_t));
}

static bool is_of(const uint32_t *granule, uint32_t word) {
    return ((granule[0] ^ word) | (granule[1] ^ word) | (granule[2] ^ word) |
            (granule[3] ^ word)) == 0;
}

static void *find_damage(void *ptr, size_t size, uint32_t word) {
    char *at = ptr;
    if (likely(is_of(ptr, word) && memcmp(at, at + GRANULE_BYTES, size - GRANULE_BYTES) == 0))
        return NULL;
    while (is_of((const uint32_t *)(const void *)at, word))
        at += GRANULE_BYTES;
    return at;
}

void *fill_damage(void *ptr, size_t size) { return find_damage(ptr, size, fill_word()); }

void *zero_damage(void *ptr, size_t size) { return find_damage(ptr, size, 0); }
