/* Sizes and addresses: utils/align.h, utils/block_meta.h, and the numbers of osmem/region.h. */
#include "osmem/quick.h"
#include "osmem/region.h"
#include "utils/align.h"
#include "utils/block_meta.h"

#include "test/proofs/proofs.h"

/* Any word and any power of two: the multiple next below, and next above or wrapped to 0. */
MUTANT("utils/align.h", "return value & ~(unit - 1);", "return value & ~unit;")
MUTANT("utils/align.h", "(value + unit - 1) & ~(unit - 1)", "(value + unit) & ~(unit - 1)")
PROOF(align) {
    uint64_t value = any(), unit = UINT64_C(1) << each(0, 63);
    uint64_t down = align_down(value, unit), up = align_up(value, unit);
    claim(down <= value && value - down < unit && down % unit == 0);
    claim(up % unit == 0 && (up >= value ? up - value < unit : up == 0 && value > 0 - unit));
    claim(is_aligned(value, unit) == (value % unit == 0));
}

/* Any word: a power of two just if it has one bit. */
MUTANT("utils/align.h", "value != 0 && (value", "(value")
PROOF(power_of_two) {
    uint64_t value = any();
    bool one = false, several = false;
    for (unsigned i = 0; i < 64; i++) {
        bool bit = value >> i & 1;
        several |= one & bit;
        one |= bit;
    }
    claim(is_power_of_two(value) == (one && !several));
}

/* Any two words. */
PROOF(extremes) {
    uint64_t a = any(), b = any();
    claim(size_max(a, b) >= a && size_max(a, b) >= b &&
          (size_max(a, b) == a || size_max(a, b) == b));
    claim(size_min(a, b) <= a && size_min(a, b) <= b &&
          (size_min(a, b) == a || size_min(a, b) == b));
}

/*
 * Any size: the fewest granules that hold it, or 0 where that cannot be represented. One comparison
 * of granules tells the sizes of the fast path from all others, one of sizes those of the heap.
 */
MUTANT("utils/block_meta.h", "(size + GRANULE_BYTES - 1) >> GRANULE_SHIFT", "size >> GRANULE_SHIFT")
PROOF(granules) {
    size_t size = any(), granules = granules_for(size);
    if (size > SIZE_MAX - GRANULE_BYTES + 1) {
        claim(granules == 0);
    } else {
        claim(granules_bytes(granules) >= size && granules_bytes(granules) - size < GRANULE_BYTES);
    }
    claim((granules - 1 < QUICK_MAX) == (size >= 1 && size <= QUICK_MAX * GRANULE_BYTES));
    claim((size - 1 < MMAP_THRESHOLD - 1) == (size >= 1 && size < MMAP_THRESHOLD));
}

/* Any address: its region, its granule there, and back. */
MUTANT("osmem/region.h", "((uintptr_t)ptr & (REGION_BYTES - 1)) >> GRANULE_SHIFT",
       "((uintptr_t)ptr & (REGION_BYTES / 2 - 1)) >> GRANULE_SHIFT")
PROOF(region) {
    uint64_t address = any();
    const void *ptr = (const void *)address;
    uint64_t region = (uintptr_t)region_of(ptr), granule = region_granule(ptr);
    claim(region % REGION_BYTES == 0 && region <= address && address - region < REGION_BYTES);
    claim(granule < REGION_GRANULES);
    claim((uintptr_t)region_block(region_of(ptr), granule) == address - address % GRANULE_BYTES);
}

/*
 * Any address and any near zone: one comparison tells the granules of the zone from all other
 * addresses, misaligned ones among them; such a granule's number leads back to it.
 */
MUTANT("osmem/region.h", "offset >> GRANULE_SHIFT | offset << (64 - GRANULE_SHIFT)",
       "offset >> GRANULE_SHIFT")
MUTANT("osmem/region.h", "granules_bytes(number);", "number;")
PROOF(near_number) {
    uint64_t base = any(), address = any();
    assume(base % REGION_BYTES == 0 && base <= UINT64_MAX - NEAR_BYTES);
    region_near.base = base;
    const void *ptr = (const void *)address;
    uint64_t number = region_near_number(ptr);
    bool is_near = address % GRANULE_BYTES == 0 && address >= base && address - base < NEAR_BYTES;
    claim((number < NEAR_GRANULES) == is_near);
    if (is_near) {
        claim(number == region_number(ptr) && number <= UINT32_MAX);
        claim((uintptr_t)region_numbered(number) == address);
        claim(region_line_number(ptr) == number / LINE_GRANULES);
        claim(number >> (OSMEM_REGION_SHIFT - GRANULE_SHIFT) < NEAR_REGIONS);
    }
}

/* Sets of every index: a place for their blocks, and "full" is one number for all. */
MUTANT("osmem/quick.h", "size_min(count, QUICK_SLOTS)", "count")
PROOF(quick_sets) {
    size_t index = any();
    assume(index >= 1 && index < QUICK_SETS);
    size_t capacity = quick_capacity(index);
    claim(capacity >= 2 && capacity <= QUICK_SLOTS);
    claim(quick_empty(index) >= 1 && quick_empty(index) + capacity == QUICK_SLOTS + 1);
    claim(quick_has_room(quick_empty(index)));
    claim(!quick_has_room(QUICK_SLOTS + 1) && !quick_has_room(0));
}

/* Blocks of any size have a set, and those of up to QUICK_MAX granules one that others have not. */
MUTANT("osmem/quick.h", "QUICK_MAX + 1 + granules % QUICK_SHARED",
       "QUICK_MAX + granules % QUICK_SHARED")
PROOF(quick_index) {
    size_t granules = any(), other = any();
    assume(granules != 0 && other != granules);
    claim(quick_index(granules) >= 1 && quick_index(granules) < QUICK_SETS);
    claim(quick_is_shared(granules) || quick_index(other) != quick_index(granules));
}
