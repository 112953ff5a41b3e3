/*
 * mapped.h - blocks of MMAP_THRESHOLD bytes and more, mapped one by one, and their registry.
 *
 * A mapped block is nothing but its pages: its length stands in the registry, a hash table from the
 * address, so that a pointer is known for a live mapping, or not, without being read. A freed
 * mapping is unmapped at once, or kept where sizes like its come again (spare.h; never with
 * OSMEM_CONF=mapped_cache:off).
 *
 * Invariants
 *   M1  every live mapped block is in the registry, with its length in whole pages, once.
 *   M2  entries can be reached from the slot of their hash over slots in use (linear probing;
 *       Knuth, TAOCP 3, 6.4, algorithm R for deletion), and at most half the slots are in use.
 * One lock, not held over system calls but to grow the table and to resize a block.
 */
#ifndef OSMEM_OSMEM_MAPPED_H
#define OSMEM_OSMEM_MAPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "osmem/invariants.h"
#include "osmem/map_format.h"
#include "osmem/own.h"
#include "osmem/system.h"

extern struct system_lock mapped_lock;

/* What the registry knows of a live mapped block. */
struct mapped_entry {
    uintptr_t address; /* of its first page; 0: none */
    size_t length;     /* of its pages */
    size_t requested;  /* what was asked for */
    size_t offset; /* of the block in its first page; 0 but in the guarded mode, as what follows */
    size_t before; /* bytes before its pages and behind them that cannot be accessed (fence.h) */
    size_t after;
    struct own *owner; /* the heap of one's own that it belongs to (own.h); NULL: none */
};

/* Enters a block; false: no memory. */
bool mapped_enter(struct mapped_entry entry);

/* The entry of the block whose first page `ptr` lies in; address 0 if there is none. */
struct mapped_entry mapped_entry_of(const void *ptr);

/* Takes the entry for the pages at `address` out; false if there is none. */
bool mapped_leave(uintptr_t address);

/* The live block with the pages at `address` is as `entry` says now. */
void mapped_renew(uintptr_t address, struct mapped_entry entry);

/* Where the registry is, for who reads it from outside. */
extern const struct map_table mapped_table;

/*
 * Maps a block of at least `size` bytes at `alignment`; NULL: refused. *zeroed tells whether it
 * reads as zero.
 */
void *mapped_allocate(size_t size, size_t alignment, bool *zeroed);

/* The same for a heap of one's own, whose `mapped` counts it. */
void *mapped_allocate_owned(struct own *owner, size_t size, size_t alignment, bool *zeroed);

/* The heap of one's own that the live mapped block at `ptr` belongs to; NULL: it is none such. */
struct own *mapped_owner(const void *ptr);

/* Unmaps all blocks that belong to a heap of one's own. O(mapped blocks). */
void mapped_free_owned(struct own *owner);

/*
 * The same from the break, for what the kernel refuses to map and no region holds. It may not read
 * as zero.
 */
void *mapped_allocate_apart(size_t size, size_t alignment);

/* Bytes of the live mapped block that starts at `ptr`; 0 if none does. */
size_t mapped_size(const void *ptr);

/* Whether `ptr` lies inside a live mapped block. O(mapped blocks): for messages. */
bool mapped_contains(const void *ptr);

/* Frees the block at `ptr`; false if no live one starts there. */
bool mapped_free(void *ptr);

/*
 * Resizes the block at `ptr`, which may move if it stays mapped; NULL: not possible, or better
 * copied; it is as it was. *length is what it had, 0 if no live block starts at `ptr`.
 */
void *mapped_resize(void *ptr, size_t size, bool stays_mapped, size_t *length);

/* Whether the live block at `ptr` can have been allocated or last resized for `size` bytes. */
bool mapped_fits(const void *ptr, size_t size);

/* The live block at `ptr` was resized to `size` bytes without becoming shorter. */
void mapped_note_requested(void *ptr, size_t size);

/* Unmaps what is kept; true if anything was. */
bool mapped_drop_cache(void);

struct mapped_block {
    void *address;
    size_t size;      /* whole pages */
    size_t requested; /* what was asked for; 0 for a kept extent */
    size_t offset;    /* of the block in its first page */
    bool live;
    bool is_fenced;          /* in the guarded mode */
    const struct own *owner; /* as of the entry */
};

/* Visits every live block, then every extent kept for later, under the lock; non-zero ends it. */
int mapped_each(int (*visit)(const struct mapped_block *block, void *context), void *context);

/* 0, or the number of the first invariant found broken. */
enum invariant mapped_check(void);

#endif
