/*
 * system.h - the only calls of sbrk, mmap, munmap, mremap, madvise and mprotect, with their probes
 * (watch.h), the page size, and the lock.
 *
 * The seam where tests put a kernel that refuses. Every call counts itself; none changes errno,
 * so that what sits above decides what the caller sees. The break is the only state shared with
 * the rest of the process: system_sbrk is called under the lock of the regions only.
 */
#ifndef OSMEM_OSMEM_SYSTEM_H
#define OSMEM_OSMEM_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utils/align.h"

/*
 * Left free, and never touched, on both sides of what the allocator keeps for itself: as far as
 * this, a block that lies before it may overflow, and one behind it underflow, and do no harm.
 */
#define SYSTEM_MARGIN (8 * KIB)

struct system_calls {
    size_t sbrk, mmap, munmap, mremap, madvise;
};

/* How often each call was made since the process started; relaxed counters. */
struct system_calls system_calls(void);

/* Where they stand in memory, for who reads that from outside (map_format.h). */
extern struct system_calls system_call_counts;

/* Bytes of a page, read from the kernel once. */
size_t system_page(void);

/* From now on anonymous mappings get names that /proc/PID/maps shows, where the kernel knows such
 * (CONFIG_ANON_VMA_NAME): one or two system calls more for each. */
void system_name_mappings(void);

/* The current break; 0 where there is none. Not counted: it extends nothing. */
uintptr_t system_break(void);

/* From now on the break is someone else's, and never moved: memory is mapped. */
void system_leave_break(void);

/* Extends the break by `size` bytes; returns where the new memory begins, 0 when refused. */
uintptr_t system_extend(size_t size);

/* Maps `size` bytes (a multiple of the page) of zeroed private memory; NULL when refused. */
void *system_map(size_t size);

/* The same for the allocator's own use, with margins; system_unmap_own() takes it back. */
void *system_map_own(size_t size);
bool system_unmap_own(void *ptr, size_t size);

/* The same as system_map(), aligned to `alignment` (a power of two of at least a page): trims what
 * sticks out. */
void *system_map_aligned(size_t size, size_t alignment);

/* Maps `size` bytes at `address`; false: something is mapped there, or the kernel refuses. */
bool system_map_at(uintptr_t address, size_t size);

/* False when the kernel refused: the memory then is still there. */
bool system_unmap(void *ptr, size_t size);

/* Resizes a mapping, moving it if `may_move`; NULL when refused: it then is as it was. What ends at
 * the break is not lengthened. */
void *system_remap(void *ptr, size_t old_size, size_t size, bool may_move);

/* Gives pages back: they read as zero afterwards. False when refused: contents are kept. */
bool system_purge(void *ptr, size_t size);

/* Of this many bytes and more the kernel may make one page (transparent huge pages). */
#define SYSTEM_HUGE (2 * MIB)

/* Asks the kernel to make huge pages of these pages as far as it can, or never to. */
void system_advise_huge(void *ptr, size_t size, bool wanted);

/* For the guarded mode. Maps `size` bytes that cannot be accessed; NULL when refused. */
void *system_reserve(size_t size);

/* Lets pages be accessed, or not; their contents stay, at first zero. False when refused. */
bool system_open(void *ptr, size_t size);
bool system_shut(void *ptr, size_t size);

/* Moves pages to the beginning of others that were reserved, and adds some to them that read as
 * zero; false when refused: they then are where they were. */
bool system_move(void *ptr, size_t old_size, size_t size, void *target);

/* The same as system_shut, and gives their memory back. */
bool system_close(void *ptr, size_t size);

/* Bit 0 of state[i]: page i of those from `ptr` on, page-aligned, is in physical memory. */
void system_residency(void *ptr, size_t pages, unsigned char *state);

/* Bytes of [ptr, ptr + size), page-aligned, that are in physical memory. */
size_t system_resident(void *ptr, size_t size);

/* Milliseconds of a clock that only goes forward, exact to some of them; wraps. No system call. */
uint32_t system_milliseconds(void);

/*
 * A recursive mutual exclusion lock. fork(2) takes both, and what its other handlers allocate then
 * takes them again; so it can be called, too, where the same thread was interrupted holding one.
 * Ranks, in the order in which they may be taken together:
 *   1  own heaps  thread.c: which heaps of one's own there are
 *   2  own heap   own.h: each of them
 *   3  regions    region.c: the break, the spare regions, the list of heaps, parking
 *   4  mapped     mapped.c: the registry of mapped blocks
 *   5  options    conf.c: held once, while they are read
 */
struct system_lock {
    uint32_t word;  /* 0, or the holder's thread id, and whether someone waits */
    uint32_t depth; /* how often the holder took it beyond the first time */
};

void system_lock(struct system_lock *lock);
void system_unlock(struct system_lock *lock);
/* Whether the calling thread holds it. */
bool system_lock_is_held(const struct system_lock *lock);
/* The kernel's id of the calling thread; whether a thread of this process with that id exists. */
uint32_t system_thread_id(void);
bool system_thread_lives(uint32_t id);

/* In the child of a fork, before any other call: the thread has another id now. */
void system_thread_forked(void);
/* In the child of a fork, for a lock taken before it: it is held by this thread, once less. */
void system_unlock_forked(struct system_lock *lock);

#endif
