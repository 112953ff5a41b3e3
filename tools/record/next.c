#define _GNU_SOURCE
#include "tools/record/next.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* ---- what the dynamic linker may allocate while it is asked ------------------------------------
 */

static struct {
    alignas(16) char bytes[16 * 1024];
    size_t used;
} arena;

static bool in_arena(const void *ptr) {
    return (uintptr_t)ptr - (uintptr_t)arena.bytes < sizeof arena.bytes;
}

static void *arena_malloc(size_t size) {
    const size_t needed = (size + 15) / 16 * 16;
    if (needed < size || needed > sizeof arena.bytes - arena.used) {
        errno = ENOMEM;
        return NULL;
    }
    void *ptr = arena.bytes + arena.used;
    arena.used += needed;
    return ptr;
}

/* In place of the allocator's own once the arena has given something away. */
static void (*free_behind)(void *ptr);
static void *(*realloc_behind)(void *ptr, size_t size);

static void free_checked(void *ptr) {
    if (!in_arena(ptr))
        free_behind(ptr);
}

static void *realloc_checked(void *ptr, size_t size) {
    if (!in_arena(ptr))
        return realloc_behind(ptr, size);
    void *moved = next.malloc(size);
    if (moved != NULL) {
        const size_t most = (size_t)(arena.bytes + arena.used - (char *)ptr);
        memcpy(moved, ptr, size < most ? size : most);
    }
    return moved;
}

/* ---- the first call ----------------------------------------------------------------------------
 */

static void resolve(void);
static bool resolving;

static void *first_malloc(size_t size) {
    if (resolving)
        return arena_malloc(size);
    resolve();
    return next.malloc(size);
}

static void first_free(void *ptr) {
    if (resolving || in_arena(ptr))
        return;
    resolve();
    next.free(ptr);
}

static void *first_calloc(size_t count, size_t size) {
    if (resolving) /* the arena is used once only: all zero */
        return size != 0 && count > sizeof arena.bytes / size ? NULL : arena_malloc(count * size);
    resolve();
    return next.calloc(count, size);
}

static void *first_realloc(void *ptr, size_t size) {
    if (resolving) {
        void *moved = arena_malloc(size);
        if (moved != NULL && ptr != NULL) {
            const size_t most = (size_t)(arena.bytes + arena.used - (char *)ptr);
            memmove(moved, ptr, size < most ? size : most);
        }
        return moved;
    }
    resolve();
    return next.realloc(ptr, size);
}

static void *first_aligned_alloc(size_t alignment, size_t size) {
    resolve();
    return next.aligned_alloc(alignment, size);
}

static int first_posix_memalign(void **out, size_t alignment, size_t size) {
    resolve();
    return next.posix_memalign(out, alignment, size);
}

static void *first_memalign(size_t alignment, size_t size) {
    resolve();
    return next.memalign(alignment, size);
}

static void *first_valloc(size_t size) {
    resolve();
    return next.valloc(size);
}

static void *first_pvalloc(size_t size) {
    resolve();
    return next.pvalloc(size);
}

struct next next = {
    first_malloc,         first_free,     first_calloc, first_realloc, first_aligned_alloc,
    first_posix_memalign, first_memalign, first_valloc, first_pvalloc,
};

static void *symbol(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        static const char line[] = "osmem: the recorder finds no allocator behind it\n";
        (void)!write(STDERR_FILENO, line, sizeof line - 1);
        _exit(127);
    }
    return found;
}

static void resolve(void) {
    const int kept = errno;
    resolving = true;
    const struct next found = {
        (void *(*)(size_t))symbol("malloc"),
        (void (*)(void *))symbol("free"),
        (void *(*)(size_t, size_t))symbol("calloc"),
        (void *(*)(void *, size_t))symbol("realloc"),
        (void *(*)(size_t, size_t))symbol("aligned_alloc"),
        (int (*)(void **, size_t, size_t))symbol("posix_memalign"),
        (void *(*)(size_t, size_t))symbol("memalign"),
        (void *(*)(size_t))symbol("valloc"),
        (void *(*)(size_t))symbol("pvalloc"),
    };
    next = found;
    resolving = false;
    if (arena.used > 0) {
        free_behind = next.free;
        realloc_behind = next.realloc;
        next.free = free_checked;
        next.realloc = realloc_checked;
    }
    errno = kept;
}

const void *next_malloc_address(void) { return (const void *)next.malloc; }
