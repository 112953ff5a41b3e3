/* align.h - rounding to powers of two, and the units that constants are written in. */
#ifndef OSMEM_UTILS_ALIGN_H
#define OSMEM_UTILS_ALIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static inline bool is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* `unit` is a power of two; align_up wraps to 0 when the result cannot be represented. */
static inline uintptr_t align_down(uintptr_t value, size_t unit) { return value & ~(unit - 1); }
static inline uintptr_t align_up(uintptr_t value, size_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}
static inline bool is_aligned(uintptr_t value, size_t unit) { return (value & (unit - 1)) == 0; }

static inline size_t size_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t size_min(size_t a, size_t b) { return a < b ? a : b; }

#endif
