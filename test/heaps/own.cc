#include "test/heaps/own.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace osmem {

os_heap_options options() {
    os_heap_options options = {};
    options.size = sizeof options;
    return options;
}

os_heap_options capped(size_t cap) {
    os_heap_options with = options();
    with.cap = cap;
    return with;
}

os_heap_options lent(void *memory, size_t size, bool is_zero) {
    os_heap_options with = options();
    with.memory = memory;
    with.memory_size = size;
    with.memory_is_zero = is_zero;
    return with;
}

os_heap *create(const os_heap_options &options) {
    os_heap *heap = os_heap_create(&options);
    EXPECT_NE(heap, nullptr);
    return heap;
}

/* By the system call itself: what the allocator asks the kernel for is counted, this is not. */
char *memory_at(size_t offset, size_t size) {
    size_t length = OS_HEAP_ALIGNMENT + offset + size;
    long mapping = syscall(SYS_mmap, nullptr, length, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == -1) {
        perror("memory_at: mmap");
        abort();
    }
    uintptr_t start = align_up(static_cast<uintptr_t>(mapping), OS_HEAP_ALIGNMENT) + offset;
    memset(reinterpret_cast<void *>(start), 0xff, size);
    return reinterpret_cast<char *>(start);
}

os_stats stats_of(os_heap *heap) {
    os_stats stats;
    os_heap_stats_of(heap, &stats);
    return stats;
}

size_t bounded_bytes(os_heap *heap) {
    os_stats stats = stats_of(heap);
    return stats.allocated + stats.free + stats.untouched + stats.mapped;
}

} // namespace osmem
