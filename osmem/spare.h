/*
 * spare.h - freed mappings that are kept, because sizes like theirs come again.
 *
 * What is kept is learned: a freed mapping is unmapped, and its length noted; what is mapped later
 * need not have been, so the budget grows by it, up to what was noted and to SPARE_LIMIT. So a
 * program that frees large blocks once never keeps one. Nor does keeping raise the peak much: kept
 * and live mappings together are never more than 5/4 of the most that was ever live, and
 * SPARE_BASE.
 *
 * Kept mappings are address-ordered extents that merge with their neighbours; a request takes the
 * smallest that holds it and leaves the rest, or the largest, which is then lengthened by what it
 * lacks. A block grows in place into the extent behind it.
 *
 * Invariants
 *   S1  extents are in address order, do not touch, and their lengths are whole pages.
 *   S2  bytes is the sum of their lengths, at most budget, which is at most SPARE_LIMIT.
 * `live` below is the sum of the lengths of the live mappings.
 * All calls are made under mapped_lock and make no system call.
 */
#ifndef OSMEM_OSMEM_SPARE_H
#define OSMEM_OSMEM_SPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/invariants.h"
#include "osmem/map_format.h"
#include "utils/align.h"

struct mapping {
    uintptr_t address; /* 0: none */
    size_t length;
};

#define SPARE_LIMIT (128 * MIB)
#define SPARE_BASE (2 * MIB)
#define SPARE_EXTENTS 64

/*
 * Takes out an extent for a request: of just `length`, or a shorter one of at least half of it, to
 * be resized; none.
 */
struct mapping spare_take(size_t length);

/* Takes out the `length` bytes at `address`, to extend the block that ends there; false: not kept.
 */
bool spare_take_at(uintptr_t address, size_t length);

/* Whether an extent holds `length` bytes. */
bool spare_holds(size_t length);

/*
 * `length` bytes are about to be mapped, because no extent holds them: learns, and makes room. What
 * is to be unmapped is written to `unmap`, which has room for SPARE_EXTENTS; returns how many.
 */
size_t spare_make_room(size_t length, size_t live, struct mapping *unmap);

/* The same before a mapping that no extent could have served: there is nothing to learn. */
size_t spare_give_way(size_t live, struct mapping *unmap);

/*
 * Keeps a freed mapping as far as the budget goes; `live` no longer counts it. What is to be
 * unmapped for it, itself or others, is written to `unmap`, which has room for SPARE_EXTENTS + 1;
 * returns how many.
 */
size_t spare_keep(struct mapping mapping, size_t live, struct mapping *unmap);

/* Takes everything out and forgets what was learned; writes it to `unmap`, returns how many. */
size_t spare_drop(struct mapping *unmap);

/* 0, or the number of the first invariant found broken. */
enum invariant spare_check(void);

/* The extents, by index, for walks; length 0 behind the last. */
struct mapping spare_extent(size_t index);

/* Where they are, for who reads them from outside. */
extern const struct map_table spare_table;

#endif
