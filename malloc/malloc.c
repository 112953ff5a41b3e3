/*
 * malloc.c - the drop-in: the C library's allocation functions, each a few instructions before a
 * tail call of the os_* function of the same name.
 *
 * What differs between the two: here size 0 is a block of its own (one granule), as programs expect
 * of malloc, where os_malloc returns NULL. So a size of 0 becomes 1 on the way in, without a
 * branch, and for the calls that are told the size again on the way out.
 *
 * Every public symbol of glibc's malloc.o is defined in this one object. In a static program the
 * linker then never has a reason to take glibc's from libc.a; it would be a second definition. What
 * else libc.a wants of malloc.o (its fork and thread-exit hooks) are weak references, which may
 * stay unresolved: our own hooks are pthread_atfork and TLS destructors.
 *
 * Compiled with a sanitizer that has an allocator, there is nothing here: that one serves.
 *
 * In the shared object the linker makes the calls that pass their arguments on as they are the same
 * address as the os_* function (see BUILD): the jumps below then are not taken.
 */
#include "malloc/glibc.h"
#include "malloc/report.h"
#include "osmem/thread.h"
#include "utils/block_meta.h"
#include "utils/die.h"
#include "utils/osmem.h"
#include "utils/sanitizer.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#if !SANITIZER_ALLOCATES

#define EXPORT __attribute__((visibility("default")))
/* Another name of a function above, at the same address. */
#define ALIAS(name, target) extern EXPORT __typeof__(target) name __attribute__((alias(#target)))

/* Messages about misuse name the functions that the program called. */
const char osmem_prefix[] = "";

/* 1 for 0, every other size as it is. */
static inline size_t size_or_1(size_t size) { return size + (size == 0); }

/*
 * While there is but one thread: where pthread_atfork() allocates (musl), which is before it has
 * heard of us, no other thread may fork.
 */
__attribute__((constructor)) static void prepare(void) { thread_prepare(); }

/* ---- C --------------------------------------------------------------------------------------- */

EXPORT void *malloc(size_t size) { return os_malloc(size_or_1(size)); }

EXPORT void free(void *ptr) { os_free(ptr); }

EXPORT void *calloc(size_t count, size_t size) {
    bool none = count == 0 || size == 0;
    return os_calloc(none ? 1 : count, none ? 1 : size);
}

/* realloc(NULL, 0) is malloc(0); realloc(ptr, 0) frees and returns NULL, as in glibc. */
EXPORT void *realloc(void *ptr, size_t size) {
    return os_realloc(ptr, size + (((uintptr_t)ptr | size) == 0));
}

/* Any size is accepted, a multiple of the alignment or not, as in C23. */
EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    return os_aligned_alloc(alignment, size_or_1(size));
}

void free_sized(void *ptr, size_t size);
EXPORT void free_sized(void *ptr, size_t size) { os_free_sized(ptr, size_or_1(size)); }

void free_aligned_sized(void *ptr, size_t alignment, size_t size);
EXPORT void free_aligned_sized(void *ptr, size_t alignment, size_t size) {
    os_free_aligned_sized(ptr, alignment, size_or_1(size));
}

/* ---- POSIX and BSD --------------------------------------------------------------------------- */

EXPORT int posix_memalign(void **out, size_t alignment, size_t size) {
    return os_posix_memalign(out, alignment, size_or_1(size));
}

EXPORT void *reallocarray(void *ptr, size_t count, size_t size) {
    if (ptr == NULL && (count == 0 || size == 0))
        return os_malloc(1);
    return os_reallocarray(ptr, count, size);
}

/* Unlike aligned_alloc, raises an alignment that is not a power of two to the next one. */
EXPORT void *memalign(size_t alignment, size_t size) {
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = GRANULE_BYTES;
    while (power < alignment)
        power <<= 1;
    return os_aligned_alloc(power, size_or_1(size));
}

EXPORT void *valloc(size_t size) {
    return os_aligned_alloc((size_t)getpagesize(), size_or_1(size));
}

/* Whole pages, at least one. */
EXPORT void *pvalloc(size_t size) {
    size_t page = (size_t)getpagesize();
    if (size > PTRDIFF_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return os_aligned_alloc(page, align_up(size_or_1(size), page));
}

void cfree(void *ptr);
EXPORT void cfree(void *ptr) { os_free(ptr); }

/* ---- glibc ----------------------------------------------------------------------------------- */

EXPORT size_t malloc_usable_size(void *ptr) { return os_malloc_usable_size(ptr); }

EXPORT int malloc_trim(size_t pad) { return os_malloc_trim(pad); }

/*
 * Accepts what glibc knows and maps none of it, because each is decided otherwise here:
 *   M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX
 *                     what is kept and what is mapped adapts by itself (OSMEM_CONF)
 *   M_CHECK_ACTION    misuse is always detected, and always aborts
 *   M_PERTURB         OSMEM_CONF=guard:on fills freed memory, and checks it too
 *   M_ARENA_TEST, M_ARENA_MAX, M_MXFAST, M_NLBLKS, M_GRAIN, M_KEEP
 *                     there is no such thing here
 * Returns 1, or 0 for a parameter that glibc does not know either.
 */
EXPORT int mallopt(int parameter, int value) {
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_NLBLKS:
    case M_GRAIN:
    case M_KEEP:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

/*
 * arena == uordblks + fordblks, and arena + hblkhd is all that was taken from the kernel. As in
 * glibc, metadata count as used. Mappings kept for their size to come again count as free.
 */
EXPORT struct mallinfo2 mallinfo2(void) {
    struct os_stats stats;
    os_malloc_stats(&stats);
    return (struct mallinfo2){
        .arena = stats.heap + stats.mapped_cached,
        .ordblks = stats.free_blocks + (stats.untouched != 0),
        .hblks = stats.mapped_blocks,
        .hblkhd = stats.mapped,
        .uordblks = stats.allocated + stats.metadata,
        .fordblks = stats.free + stats.untouched + stats.mapped_cached,
        .keepcost = stats.untouched,
    };
}

static int int_or_max(size_t value) { return value < INT_MAX ? (int)value : INT_MAX; }

/* The fields that do not fit are INT_MAX, where glibc's wrap. */
EXPORT struct mallinfo mallinfo(void) {
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){
        .arena = int_or_max(info.arena),
        .ordblks = int_or_max(info.ordblks),
        .hblks = int_or_max(info.hblks),
        .hblkhd = int_or_max(info.hblkhd),
        .uordblks = int_or_max(info.uordblks),
        .fordblks = int_or_max(info.fordblks),
        .keepcost = int_or_max(info.keepcost),
    };
}

EXPORT void malloc_stats(void) { os_malloc_stats_print(STDERR_FILENO, OS_STATS_TEXT); }

EXPORT int malloc_info(int options, FILE *stream) {
    if (options != 0)
        return EINVAL;
    return report_xml(stream);
}

/* ---- the names by which wrappers reach the C library's own ----------------------------------- */

ALIAS(__libc_malloc, malloc);
ALIAS(__libc_free, free);
ALIAS(__libc_calloc, calloc);
ALIAS(__libc_realloc, realloc);
ALIAS(__libc_reallocarray, reallocarray);
ALIAS(__libc_memalign, memalign);
ALIAS(__libc_valloc, valloc);
ALIAS(__libc_pvalloc, pvalloc);
ALIAS(__posix_memalign, posix_memalign);
ALIAS(__libc_mallopt, mallopt);
extern EXPORT struct mallinfo __libc_mallinfo(void) __attribute__((alias("mallinfo")));
ALIAS(__libc_mallinfo2, mallinfo2);

#endif
