/*
 * osmem.h - the public interface of osmem, a general-purpose memory allocator.
 *
 * Requests below MMAP_THRESHOLD (128 KiB) are served from a heap grown by sbrk(2), by exact best
 * fit; larger ones are mapped one by one by mmap(2). Sizes are bytes. Every block is aligned to
 * 16 bytes (mapped blocks to a page) and is a whole number of 16-byte granules.
 *
 * Thread safety: every call may be made from any thread at any time, and a block may be freed by
 * another thread than the one that allocated it. No call but os_heap_map is async-signal-safe. The
 * child of a fork(2) can allocate, and can free whatever it can reach.
 *
 * Errors: out of memory and impossible sizes are NULL with errno ENOMEM and leave every live
 * block as it was. Misuse - a pointer that is not the start of a live block, given to any call
 * that takes one - writes one line to standard error that names the function, the pointer and
 * the fact, then aborts. It is detected always: blocks of the heap by the tags that describe
 * them, mapped ones by a registry; the pointer itself is never followed.
 *
 * Guarded mode (OSMEM_CONF=guard:on, or a build with --config=guard): writes outside live blocks
 * are found as well, at the next call that is given the block, when freed memory is handed out
 * again or given back to the kernel, by os_heap_check() and when the program ends. The line then
 * says of the block, or of the 16 bytes of freed memory, that it was written to before its start
 *     was written to beyond its end
 *     was written to after it was freed
 * and names the call that found it; os_heap_check() is named for what is found at the end. Around
 * mapped blocks, and in freed ones, accesses end the program by SIGSEGV. What is different for
 * correct programs: os_malloc_usable_size is the size asked for, mapped blocks are aligned to 16, a
 * shrinking or growing block moves more often, and blocks in os_heap_walk and the statistics
 * (`allocated`, `mapped`) are as large as they are with their canaries; `requested` is exact; freed
 * blocks that are kept back count as free, mapped ones as cached. Under Valgrind, and compiled with
 * AddressSanitizer, the mode is on, and leaves to these what it would check itself.
 */
#ifndef OSMEM_UTILS_OSMEM_H
#define OSMEM_UTILS_OSMEM_H

#include <stddef.h>

/* The release that this header is of. Its first number is that of libosmem.so and changes with the
 * interface of what is already linked. */
#define OSMEM_VERSION "1.0.0"
#define OSMEM_VERSION_MAJOR 1
#define OSMEM_VERSION_MINOR 0
#define OSMEM_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OSMEM_API __attribute__((visibility("default")))
#define OSMEM_ALLOCATES(...) __attribute__((malloc, warn_unused_result, __VA_ARGS__))
#define OSMEM_USE_RESULT __attribute__((warn_unused_result))
#else
#define OSMEM_API
#define OSMEM_ALLOCATES(...)
#define OSMEM_USE_RESULT
#endif

/*
 * Allocates `size` bytes, contents indeterminate, aligned to 16.
 * NULL if and only if `size` is 0 (errno untouched), above PTRDIFF_MAX, or there is no memory
 * (both ENOMEM). Cost: a handful of instructions for a size up to 1 KiB that was freed lately,
 * O(1) up to 32 KiB, O(log free blocks) above, one mmap(2) from MMAP_THRESHOLD on.
 */
OSMEM_API void *os_malloc(size_t size) OSMEM_ALLOCATES(alloc_size(1));

/*
 * Allocates count * size bytes, all zero. NULL as os_malloc: also when a factor is 0 (errno
 * untouched) or the product overflows (ENOMEM). Memory fresh from the kernel is not cleared again.
 */
OSMEM_API void *os_calloc(size_t count, size_t size) OSMEM_ALLOCATES(alloc_size(1, 2));

/*
 * Resizes the block at `ptr` to `size` bytes; contents are kept up to the smaller of both sizes.
 * ptr NULL: os_malloc(size). size 0: frees, returns NULL. NULL otherwise if and only if there is
 * no memory (ENOMEM); the block is then as it was. Shrinks in place and gives the tail back;
 * grows in place over the free neighbours to the right, one by one and no further than needed, or
 * into the untouched end of the heap; mapped blocks by mremap(2); only then the block moves.
 * Misuse is detected as by os_free.
 */
OSMEM_API void *os_realloc(void *ptr, size_t size) __attribute__((alloc_size(2))) OSMEM_USE_RESULT;

/*
 * Frees the block at `ptr`; NULL does nothing. errno is kept. Heap memory is marked free and
 * merged with free neighbours, the break is never lowered; a mapped block is unmapped.
 * Misuse detected: double free, interior, misaligned, foreign, stack, static and unmapped
 * pointers, of heap and of mapped blocks. Cost: O(1), amortised.
 */
OSMEM_API void os_free(void *ptr);

/* os_realloc(ptr, count * size), but NULL and ENOMEM, block untouched, when the product overflows.
 */
OSMEM_API void *os_reallocarray(void *ptr, size_t count, size_t size) OSMEM_USE_RESULT;

/*
 * As os_malloc, aligned to `alignment`. NULL with EINVAL when that is not a power of two
 * (any size is accepted, as in C23). Nothing is wasted but the granules cut off.
 */
OSMEM_API void *os_aligned_alloc(size_t alignment, size_t size)
    OSMEM_ALLOCATES(alloc_align(1), alloc_size(2));

/*
 * As os_aligned_alloc, stores the block in *out and returns 0. Returns EINVAL when `alignment` is
 * not a power of two and a multiple of sizeof(void *), ENOMEM when there is no memory; *out and
 * errno are then untouched. Size 0 stores NULL.
 */
OSMEM_API int os_posix_memalign(void **out, size_t alignment, size_t size) OSMEM_USE_RESULT;

/*
 * os_free for callers that know the size (C23). A size (or alignment) that the block cannot have
 * been allocated with is misuse and dies with a message.
 */
OSMEM_API void os_free_sized(void *ptr, size_t size);
OSMEM_API void os_free_aligned_sized(void *ptr, size_t alignment, size_t size);

/*
 * Bytes that may be used at `ptr`: the size asked for, rounded up to granules (mapped: to pages),
 * and at most one granule more; in the guarded mode just the size asked for. 0 for NULL. Misuse is
 * detected as by os_free.
 */
OSMEM_API size_t os_malloc_usable_size(void *ptr);

/*
 * Gives the whole free pages inside the caller's heap and the heaps of ended threads back to the
 * kernel (madvise(2), MADV_DONTNEED), below live blocks too, but for `pad` bytes of the untouched
 * end; drops cached mappings. Returns 1 if any page was given back, else 0. errno is kept.
 * Cost: O(free blocks), one system call for each run of free pages.
 */
OSMEM_API int os_malloc_trim(size_t pad);

/*
 * Non-zero if moving the block at `ptr` helps to give pages back: by os_malloc of the same size, a
 * copy, and os_free of the old one, at once, by the same thread. Then it lies on one of the emptier
 * pages of blocks of its size, the new block will lie on a fuller one, and when all blocks for
 * which this is said have moved, a last os_malloc_trim gives the emptied pages back. Only said of
 * blocks of up to 512 bytes of the calling thread's heap, when that is larger than 1 MiB: others
 * have pages to themselves, or holes that best fit fills. Not in the guarded mode, nor with
 * requested:on, nor for blocks of heaps of one's own. 0 for NULL. Misuse is detected as by os_free.
 * Cost: a few looks at tags, amortised; at times O(pages of its size). examples/compaction.c;
 * docs/heaps.md.
 */
OSMEM_API int os_should_move(void *ptr);

/* ---- statistics: what the allocator holds ------------------------------------------------- */

struct os_stats {
    size_t requested;        /* bytes in live blocks as asked for; those of heap blocks are counted
                              * only with OSMEM_CONF=requested:on or guard:on, else taken as `allocated` */
    size_t allocated;        /* bytes in live heap blocks, whole granules */
    size_t allocated_blocks; /* how many */
    size_t free;             /* bytes in free heap blocks below the untouched ends */
    size_t free_blocks;      /* how many; neighbours not merged yet count separately */
    size_t untouched;        /* bytes at the untouched ends of the heap's regions */
    size_t metadata;         /* bytes of tags, index and headers set aside in the regions */
    size_t heap;             /* allocated + free + untouched + metadata */
    size_t mapped;           /* bytes in live mapped blocks, whole pages */
    size_t mapped_blocks;    /* how many */
    size_t mapped_cached;    /* bytes in mappings kept for sizes that come again */
    size_t resident;         /* bytes of all the above in physical memory now (mincore(2)) */
    size_t heaps;      /* heaps counted: one for a thread, parked ones and one's own included */
    size_t sbrk_calls; /* break extensions, mappings, unmappings, … since the start; */
    size_t mmap_calls; /* these five are of the process, also in os_heap_stats */
    size_t munmap_calls;
    size_t mremap_calls;
    size_t madvise_calls;
    size_t active; /* bytes of the pages that live blocks lie on, mapped ones included */
};

/*
 * Fills *stats with the sum over all heaps and mapped blocks. Exact for the calling thread's heap
 * and while no other thread is allocating; otherwise each heap is counted while it changes.
 * O(heap): a scan over the tags.
 */
OSMEM_API void os_malloc_stats(struct os_stats *stats);

/*
 * The same for the heap number `index` (0 … heaps - 1, in order of creation; mapped blocks belong
 * to no heap and count 0, but for those of a heap of one's own). Returns 0, or -1 with EINVAL and
 * nothing but zeros when there is no such heap.
 */
OSMEM_API int os_heap_stats(size_t index, struct os_stats *stats);

enum os_stats_format {
    OS_STATS_TEXT,       /* tables for people */
    OS_STATS_JSON,       /* one object, with the figures that exporters know from jemalloc */
    OS_STATS_PROMETHEUS, /* the text exposition format, version 0.0.4 */
};

/*
 * Writes the counters to the descriptor: the sums, each heap that has memory, and live and free
 * blocks by size; docs/statistics.md explains every figure. Returns 0, or -1 with EINVAL for a
 * format that there is not, or with the errno of write(2). Allocates nothing; any thread. Exact as
 * os_malloc_stats is. O(heap), some scans of it.
 */
OSMEM_API int os_malloc_stats_print(int descriptor, enum os_stats_format format);

/* ---- the heap, block by block -------------------------------------------------------------- */

enum os_block_kind {
    OS_BLOCK_USED,      /* a live block of the heap */
    OS_BLOCK_FREE,      /* a free block of the heap */
    OS_BLOCK_UNTOUCHED, /* the end of a region that no block has reached yet */
    OS_BLOCK_METADATA,  /* tags, index and headers at the start of a region */
    OS_BLOCK_MAPPED,    /* a live mapped block */
    OS_BLOCK_CACHED,    /* a mapping kept for its size to come again */
};

struct os_block {
    void *address;
    size_t size; /* bytes, a multiple of 16; mapped: of the page size */
    enum os_block_kind kind;
    size_t heap; /* number of the owning heap, as in os_heap_stats; mapped, and no heap's own:
                  * (size_t)-1 */
};

/* Called for each block; a non-zero return ends the walk. It may not allocate or free by os_*. */
typedef int os_heap_visitor(const struct os_block *block, void *context);

/*
 * Visits every block of every heap in address order within each region, then every mapped block.
 * Returns 0, or what the visitor returned. The blocks of a region have no gaps between them.
 * Consistent as os_malloc_stats is. Cost: O(heap).
 */
OSMEM_API int os_heap_walk(os_heap_visitor *visit, void *context);

/*
 * Writes a picture of all heaps and mapped blocks to the file `path`, which is created for its
 * owner alone, or overwritten: every block's tags, which pages are in memory, and the statistics.
 * `osmem map --from FILE` draws it; osmem/map_format.h describes it. Returns 0, or -1 with the
 * errno of open(2), write(2) or close(2), and a file that is cut short. Consistent as
 * os_malloc_stats is. Any thread. Async-signal-safe, but for -1 with EBUSY, and nothing done, in a
 * handler that interrupted one of our calls while it held a lock; so it is also in handlers of fork
 * and in visitors of os_heap_walk. Threads that need new memory from the kernel wait until all is
 * written. Allocates nothing. Cost: O(heap): 1/40 of the heap is written, one mincore(2) for 64
 * pages.
 */
OSMEM_API int os_heap_map(const char *path);

/*
 * Checks every invariant of the calling thread's heap, of the parked heaps, of heaps of one's own
 * and of the registry of mapped blocks. Returns 0, or the number of the first broken invariant
 * (docs/design.md lists them), with one line about it on standard error. Cost: O(heap). Needs 1/128
 * of the heap as scratch memory for its duration, and skips the checks of the index when it cannot
 * have that.
 */
OSMEM_API int os_heap_check(void);

/* ---- heaps of one's own -------------------------------------------------------------------- */

/*
 * A heap that the program makes, beside those of its threads: with bounds, or in memory of its
 * choice, and destroyed as a whole. Any thread may use it, one at a time: each call takes the
 * heap's lock. Its blocks are like those of os_malloc (alignment, placement, errors, misuse), but
 * they are not guarded in the guarded mode. When to use one: docs/heaps.md.
 */
struct os_heap;

/* Memory that is lent begins to be used at the first multiple of this. */
#define OS_HEAP_ALIGNMENT ((size_t)4 << 20)

/* Of each so many bytes of a heap, its own part for tags and index is this at most. */
#define OS_HEAP_OVERHEAD ((size_t)192 << 10)

/*
 * The heap cannot serve a request for `size` bytes. May free blocks of the heap, or do anything
 * else that may make room; no lock is held. Returns non-zero for one more try, 0 for NULL.
 */
typedef int os_heap_exhausted(struct os_heap *heap, size_t size, void *context);

/* What is 0 or NULL is as if it were not there. */
struct os_heap_options {
    size_t size;      /* sizeof(struct os_heap_options): later versions may have more members */
    const char *name; /* for messages; copied, up to 31 bytes */

    /*
     * Bytes that all blocks of the heap, free memory between them and at its end, and its mapped
     * blocks may take together, ever. The allocator's own part comes on top: up to OS_HEAP_OVERHEAD
     * in each OS_HEAP_ALIGNMENT, of which what was never needed is not in memory.
     */
    size_t cap;

    /*
     * Memory to live in, until os_heap_destroy: any number of bytes, readable and writable; what
     * lies behind its first multiple of OS_HEAP_ALIGNMENT is used, and must be more than
     * OS_HEAP_OVERHEAD. Everything is in it, blocks of up to OS_HEAP_ALIGNMENT - OS_HEAP_OVERHEAD
     * bytes; no system call is made, and none of its pages is given back. NULL: the kernel's.
     */
    void *memory;
    size_t memory_size;
    int memory_is_zero; /* non-zero: it reads as zero now, which saves clearing it */

    /*
     * Called, once for a request, when it cannot be served: at the cap, at the end of the memory
     * lent, or when the kernel refuses; but not for sizes that could never be.
     */
    os_heap_exhausted *exhausted;
    void *context; /* passed to it */
};

/*
 * Makes a heap; options NULL: all as if not there. NULL with EINVAL when the options are none of
 * this version's, or the memory is too small or belongs to a heap; with ENOMEM when there is none.
 * Cost: some page faults, and 4 MiB of address space, which a destroyed heap left if there was one.
 */
OSMEM_API struct os_heap *os_heap_create(const struct os_heap_options *options) OSMEM_USE_RESULT;

/*
 * Frees all blocks of the heap, and the heap: its pages go back to the kernel, its address space to
 * the next heap; what was lent is the caller's again. No other thread may use the heap or free one
 * of its blocks meanwhile. Afterwards both are misuse, and found where no other heap is at that
 * address. NULL does nothing. errno is kept.
 * Cost: O(its regions and all mapped blocks), whatever the number of its blocks.
 */
OSMEM_API void os_heap_destroy(struct os_heap *heap);

/*
 * os_malloc and its companions for the heap. A block of it may as well be given to os_free, which
 * takes no lock, and to os_realloc, where it stays in its heap; os_free_sized and
 * os_malloc_usable_size take it too. To give one of these a block of any other heap is misuse and
 * dies with a message, and so is a `heap` that is none. Bounded by the options, out of memory is
 * NULL with ENOMEM. Requests of MMAP_THRESHOLD and more are mapped, or lie in the heap's regions
 * where that is not to be. Cost: as of os_malloc, and an uncontended lock.
 */
OSMEM_API void *os_heap_malloc(struct os_heap *heap, size_t size) OSMEM_ALLOCATES(alloc_size(2));
OSMEM_API void *os_heap_calloc(struct os_heap *heap, size_t count, size_t size)
    OSMEM_ALLOCATES(alloc_size(2, 3));
OSMEM_API void *os_heap_realloc(struct os_heap *heap, void *ptr, size_t size)
    __attribute__((alloc_size(3))) OSMEM_USE_RESULT;
OSMEM_API void *os_heap_aligned_alloc(struct os_heap *heap, size_t alignment, size_t size)
    OSMEM_ALLOCATES(alloc_align(2), alloc_size(3));
OSMEM_API void os_heap_free(struct os_heap *heap, void *ptr);
OSMEM_API size_t os_heap_malloc_usable_size(struct os_heap *heap, void *ptr);

/*
 * os_malloc_trim for the heap: gives its whole free pages back, but for `pad` bytes of the
 * untouched end; returns 1 if there were any, else 0. What is lent is never given back.
 */
OSMEM_API int os_heap_trim(struct os_heap *heap, size_t pad);

/* What it was called, or "". */
OSMEM_API const char *os_heap_name(struct os_heap *heap);

/*
 * Its number now, as in os_heap_stats and os_heap_walk, which tell of it among the others. When a
 * heap is destroyed, those that were created after it have a number less by one.
 */
OSMEM_API size_t os_heap_number(struct os_heap *heap);

/*
 * os_heap_stats, os_heap_walk and os_heap_check for this heap and its mapped blocks alone, under
 * its lock: exact whatever other threads do. The visitor may not use the heap.
 */
OSMEM_API void os_heap_stats_of(struct os_heap *heap, struct os_stats *stats);
OSMEM_API int os_heap_walk_of(struct os_heap *heap, os_heap_visitor *visit, void *context);
OSMEM_API int os_heap_check_of(struct os_heap *heap);

#ifdef __cplusplus
}
#endif

#endif
