/*
 * next.h - the allocator behind the recorder: the next definition of each function in the order in
 * which the dynamic linker looks for them.
 */
#ifndef OSMEM_TOOLS_RECORD_NEXT_H
#define OSMEM_TOOLS_RECORD_NEXT_H

#include <stddef.h>

struct next {
    void *(*malloc)(size_t size);
    void (*free)(void *ptr);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *ptr, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    int (*posix_memalign)(void **out, size_t alignment, size_t size);
    void *(*memalign)(size_t alignment, size_t size);
    void *(*valloc)(size_t size);
    void *(*pvalloc)(size_t size);
};

/*
 * Callable at any time: at first they look the others up. What the dynamic linker allocates
 * meanwhile comes from a small arena of the recorder's own and is not recorded.
 */
extern struct next next;

/* An address in the allocator. */
const void *next_malloc_address(void);

#endif
