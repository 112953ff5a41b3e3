/*
 * spare.h - freed mappings that are kept, because sizes like theirs come again.
 *
 * What is kept is learned: a freed mapping is unmapped, and its order of magnitude noted; when a
 * request of that order or a smaller one comes later, keeping it would have spared the mapping and
 * its page faults, and the budget grows by the request, up to SPARE_LIMIT. So a program that frees
 * large blocks once never keeps one, and what is kept never exceeds what was asked for again. Kept
 * mappings are address-ordered extents that merge with their neighbours; a request takes the
 * smallest that holds it and leaves the rest, or the largest to be resized, which moves its pages
 * instead of making new. A block grows in place into the extent behind it.
 *
 * Invariants
 *   S1  extents are in address order, do not touch, and their lengths are whole pages.
 *   S2  bytes is the sum of their lengths, at most budget, which is at most SPARE_LIMIT.
 * All calls are made under mapped_lock and make no system call.
 */
#ifndef OSMEM_OSMEM_SPARE_H
#define OSMEM_OSMEM_SPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/invariants.h"
#include "utils/align.h"

struct mapping {
    uintptr_t address; /* 0: none */
    size_t length;
};

#define SPARE_LIMIT (64 * MIB)
#define SPARE_EXTENTS 64

/*
 * Takes out an extent for a request: of just `length`, or a shorter one of at least a quarter of
 * it, to be resized; none. Learns.
 */
struct mapping spare_take(size_t length);

/* Takes out the `length` bytes at `address`, to extend the block that ends there; false: not kept.
 */
bool spare_take_at(uintptr_t address, size_t length);

/*
 * Keeps a freed mapping as far as the budget goes. What is to be unmapped for it, itself or
 * others, is written to `unmap`, which has room for SPARE_EXTENTS + 1; returns how many.
 */
size_t spare_keep(struct mapping mapping, struct mapping *unmap);

/* Takes everything out and forgets what was learned; writes it to `unmap`, returns how many. */
size_t spare_drop(struct mapping *unmap);

/* 0, or the number of the first invariant found broken. */
enum invariant spare_check(void);

/* The extents, by index, for walks; length 0 behind the last. */
struct mapping spare_extent(size_t index);

#endif
