/*
 * guard.h - the guarded mode, OSMEM_CONF=guard:on: finds what a program writes outside its blocks.
 *
 * A guarded heap block is a block like any other (utils/block_meta.h), longer than what was asked
 * for. The call that allocates returns an address inside it:
 *
 *    start             what was asked for                     end     the same block freed
 *   +----------------+-------------------------------+----------+    +--------------------------+
 *   | front: canary  | in use                        | canary   |    | fill                     |
 *   +----------------+-------------------------------+----------+    +--------------------------+
 *    16 bytes, or as  ^ what the program is given     16 ... 31 bytes
 *    many as it is aligned to                         from the very next byte on
 *
 * Lengths stand outside the block, in the region's slack bytes (slack.h), so nothing that a program
 * overwrites misleads the allocator. Canaries (pattern.h) are checked whenever the block is named
 * in a call, by os_heap_check() and when the program ends. A freed block is filled all over and
 * waits in the quarantine (quarantine.h) first; the fill is checked when any of it is handed out
 * again, or given back to the kernel; what was reads as zero until it is handed out (freed.h).
 * Mapped blocks lie between inaccessible pages (fence.h).
 *
 * The fast paths do not know of any of this: in the guarded mode they are given a heap that has
 * nothing (thread.h, thread_fast_heap), so that every call takes its slow path. Blocks allocated
 * before the options could be read are not guarded, and are told apart by their slack byte.
 *
 * Invariants
 *   G1  the canaries of every live block are whole.
 *   G2  what was filled when it was freed, and was not handed out since, is fill; zero if purged.
 * No locks: a block belongs to the thread that holds it; of two that free it, one exchanges its
 * slack byte first.
 */
#ifndef OSMEM_OSMEM_GUARD_H
#define OSMEM_OSMEM_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/invariants.h"

/* A live guarded block. */
struct guarded {
    char *start, *end; /* with its canaries */
    char *block;       /* as the program knows it */
    size_t size;       /* as it was asked for */
    bool is_mapped;
};

/* A guarded block off the heap, or mapped; NULL: no memory. *zeroed: whether it reads as zero. */
void *guard_allocate(size_t size, size_t alignment, bool *zeroed);
void *guard_map(size_t size, size_t alignment, bool *zeroed);

/*
 * The live guarded block at `ptr`, its canaries checked. False: a block starts there that is not
 * guarded. Dies if there is no live block, or a canary is damaged; `function` is for the message.
 */
bool guard_find(const char *function, void *ptr, struct guarded *guarded);

/* Frees the block. */
void guard_free(const char *function, const struct guarded *guarded);

/* Resizes the block where it is; false: not possible, it is as it was. */
bool guard_resize(struct guarded *guarded, size_t size);

/* Frees what waits to be; true if anything did. */
bool guard_flush(void);

/* What is damaged. */
struct guard_fault {
    enum invariant invariant; /* 0: nothing */
    const void *block;
    const char *fact;
};

/* Checks the calling thread's heap, those that no thread uses, and all mapped blocks. O(heap). */
struct guard_fault guard_check(void);

#endif
