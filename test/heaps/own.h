/* own.h - heaps of one's own for suites: what they are made with, and memory to lend. */
#ifndef OSMEM_TEST_HEAPS_OWN_H
#define OSMEM_TEST_HEAPS_OWN_H

#include "test/core/internal.h"

#include <cstddef>

namespace osmem {

/* All as if not there. */
os_heap_options options();
/* With a cap, or over memory. */
os_heap_options capped(size_t cap);
os_heap_options lent(void *memory, size_t size, bool is_zero = false);

/* A heap that could be made. */
os_heap *create(const os_heap_options &options);

/* Memory full of 0xff that begins `offset` bytes behind a multiple of OS_HEAP_ALIGNMENT. */
char *memory_at(size_t offset, size_t size);

os_stats stats_of(os_heap *heap);

/* Bytes of blocks, free memory and mapped blocks: what a cap bounds. */
size_t bounded_bytes(os_heap *heap);

} // namespace osmem

#endif
