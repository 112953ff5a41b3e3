/*
 * own.h - what a heap of one's own (os_heap_create) has beyond a thread's: its bounds, where its
 * memory comes from, and the lock that lets any thread use it.
 *
 * It is a heap like any other (heap.h), with whole regions that no other heap adopts. How much of a
 * region is committed is decided here: at most what the cap still allows, in steps that double, so
 * that a young heap is a small one, in which every fit is exact. Its memory is the kernel's, or
 * lent: then no system call is made for it and no page of it given back.
 *
 *   lent memory
 *   +----------+------------------+------------------+--------------+
 *   | not used | region           | region           | region       |    each is 4 MiB but the last
 *   +----------+------------------+------------------+--------------+
 *   memory      the first multiple of REGION_BYTES                   memory + memory_size
 *
 * The bounds count what there is for blocks: granules that are committed, without the regions'
 * headers, and mapped blocks. So that is never more than the cap, and shrinks only by mapped blocks
 * that are freed.
 *
 * `mapped` is written under mapped_lock; all else by who holds `lock`, or creates the heap.
 */
#ifndef OSMEM_OSMEM_OWN_H
#define OSMEM_OSMEM_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/system.h"
#include "utils/osmem.h"

struct heap;
struct region;

struct own {
    struct system_lock lock;
    struct own *next;  /* thread.c's list of all */
    struct heap *heap; /* NULL: it has no region yet */
    size_t cap;        /* bytes; SIZE_MAX: none */
    size_t mapped;     /* bytes in its live mapped blocks */
    bool is_lent;
    bool is_zero;             /* what is lent reads as zero */
    uintptr_t lent, lent_end; /* what of it is no region yet */
    os_heap_exhausted *exhausted;
    void *context;
    char name[32]; /* "": none */
};

static inline bool own_is_lent(const struct own *own) { return own != NULL && own->is_lent; }

/* Bytes that the heap may have beyond those that it has. */
size_t own_allowance(const struct own *own);

/* A region for the heap with room for `granules` in one block, or NULL. The heap is its owner. */
struct region *own_region(struct own *own, size_t granules);

/* Commits more of the current region so that `granules` fit at its end; false: it cannot be. */
bool own_extend(struct own *own, size_t granules);

/* A heap within the bounds of `own`, of which it keeps a copy; NULL: no memory. */
struct heap *own_create(const struct own *own);

/* Gives all memory of a heap back that no list knows any more. */
void own_destroy(struct own *own);

#endif
