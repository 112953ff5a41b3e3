/*
 * heaps.h - the calls for heaps of one's own: os_heap_create and what goes with it.
 *
 * Every call takes the heap's lock for as long as it works on it; the callback `exhausted` is
 * called without. A block is the heap's own if its region is, or its entry in the registry of
 * mapped blocks; any other pointer is misuse. Plain os_free needs nothing of this: for it, the
 * block is one of another thread's heap. Plain os_realloc comes here.
 */
#ifndef OSMEM_OSMEM_HEAPS_H
#define OSMEM_OSMEM_HEAPS_H

#include <stddef.h>

#include "osmem/own.h"

/* The heap that `handle` stands for, locked; dies where that is none. */
struct own *heaps_lock(const char *function, struct os_heap *handle);

/*
 * Resizes the live block at `ptr`, which belongs to `own`, to a size above 0; NULL: no memory, it
 * is as it was. `function` is for messages.
 */
void *heaps_resize(const char *function, struct own *own, void *ptr, size_t size);

#endif
