/*
 * bits.h - single bits and words of 64, and the relaxed atomic access that every word read by
 * another thread gets. A relaxed access compiles to a plain load or store.
 */
#ifndef OSMEM_UTILS_BITS_H
#define OSMEM_UTILS_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define load_relaxed(ptr) __atomic_load_n((ptr), __ATOMIC_RELAXED)
#define store_relaxed(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELAXED)

/*
 * `ptr`, of which the compiler then forgets how it was computed: it would compute what lies at an
 * offset from the start again, where one addressing mode will do.
 */
static inline void *opaque(void *ptr) {
    __asm__("" : "+r"(ptr));
    return ptr;
}

static inline uint64_t bit_at(unsigned index) { return (uint64_t)1 << (index & 63); }

/* Index of the lowest and of the highest bit set; `word` is not 0. */
static inline unsigned bit_lowest(uint64_t word) { return (unsigned)__builtin_ctzll(word); }
static inline unsigned bit_highest(uint64_t word) { return 63 - (unsigned)__builtin_clzll(word); }

#endif
