/*
 * thread.h - one heap for each thread.
 *
 * Local work takes no lock and no atomic read-modify-write. A block freed by another thread than
 * its heap's is marked in a bitmap of its region (`remote`), which the owner takes in on its slow
 * path; nothing is written into the block, and a second free finds the bit set. The summary over
 * the bitmap, and the owner's list of regions that have such frees, are touched by the first free
 * after they were taken in, so a batch of frees costs one atomic operation each.
 *
 * Heaps of one's own (own.h) are in the same list, but used by whoever holds their lock; what is
 * freed by plain os_free, by any thread, is a free by another.
 *
 * A heap whose thread ends is parked, and adopted whole by the next new thread, or dissolved into a
 * heap that is about to grow. After fork(2) the heaps of the threads that the child does not have
 * are parked too, as `unsure`: they are used only if their tags are found sound.
 *
 * Invariants
 *   P1  a set bit of `remote` is a block in use that its heap has not taken in.
 *   P2  a word of `remote` that is not 0 has its bit in remote_lines, or the thread that set the
 *       word's first bit is about to set it; the same for remote_lines and the owner's list.
 *   P3  a heap is used by one thread, or parked, or merged into another (and empty); or is
 *       somebody's own.
 */
#ifndef OSMEM_OSMEM_THREAD_H
#define OSMEM_OSMEM_THREAD_H

#include <stdbool.h>
#include <stddef.h>

#include "osmem/heap.h"

/* The calling thread's heap; while it has none, &thread_no_heap, whose quick sets are closed. */
extern __thread struct heap *thread_heap __attribute__((tls_model("initial-exec")));
extern struct heap thread_no_heap;

/* The same for the fast paths, which are kept out by &thread_no_heap in the guarded mode and where
 * somebody is told of each block (watch.h). */
extern __thread struct heap *thread_fast_heap __attribute__((tls_model("initial-exec")));

/*
 * Reads the options as soon as that is possible; from then on the fast paths are as these say. To
 * be called before the thread's first allocation, and once more when the program begins.
 */
void thread_read_conf(void);

/*
 * Sees to it that ends of threads and forks are heard of. To be called before any lock is taken for
 * an allocation: what a fork by another thread finds locked otherwise stays so in its child.
 */
void thread_prepare(void);

/* A block of `granules`, at `alignment` bytes, for the calling thread; NULL: no memory. */
void *thread_allocate(size_t granules, size_t alignment);

/* The same for a heap of one's own, whose lock the caller holds. */
void *thread_allocate_own(struct heap *heap, size_t granules, size_t alignment);

/*
 * Frees a block in use of another heap. False when it was freed so before. Lock-free; any thread,
 * with or without a heap of its own.
 */
bool thread_free_remote(void *block);

/* Whether another thread freed the block and its owner has not taken that in. */
bool thread_freed_remotely(const void *block);

/* Takes in what other threads freed of `heap`, the caller's. */
void thread_take_in(struct heap *heap);

/* All heaps, in order of creation, by heap->next. */
struct heap *thread_first_heap(void);

/* Where thread_first_heap() stands in memory, for who reads that from outside (map_format.h). */
extern struct heap *const *const thread_heaps;

/*
 * A heap of one's own, with one region, joins the list; or leaves it: then its regions have no
 * owner any more, and each heap behind it has a number less by one. Under own_lock, which is taken
 * here.
 */
void thread_enter_own(struct heap *heap);
void thread_leave_own(struct heap *heap);

/* Calls `act` on each heap of one's own, under its lock. */
void thread_each_own(void (*act)(struct heap *heap, void *context), void *context);

/* Takes in what was freed of each heap that no thread uses, and calls `act` on it, under the lock.
 */
void thread_each_parked(void (*act)(struct heap *heap, void *context), void *context);

#endif
