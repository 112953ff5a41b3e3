/*
 * An allocator that counts: glibc's, with the number of calls of each kind in the file that
 * COUNTER_FILE names. Recorded programs are run on it, and the trace has to have the same numbers.
 */
#define _GNU_SOURCE
#include "test/trace/counter.h"

#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *ptr);

static struct counts early; /* of calls before the file is there */
static struct counts *counts = &early;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COUNTER_FILE");
    const int file = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *counts) != 0)
        return;
    struct counts *map = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map == MAP_FAILED)
        return;
    *map = early;
    counts = map;
}

static void count(uint64_t *counter, uint64_t amount) {
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
    count(&counts->mallocs, 1);
    count(&counts->bytes, size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&counts->callocs, 1);
    count(&counts->bytes, number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *ptr, size_t size) {
    if (ptr == NULL) {
        count(&counts->mallocs, 1);
        count(&counts->bytes, size);
    } else if (size == 0) {
        count(&counts->frees, 1);
    } else {
        count(&counts->reallocs, 1);
        count(&counts->bytes, size);
    }
    return __libc_realloc(ptr, size);
}

void *memalign(size_t alignment, size_t size) {
    count(&counts->aligned, 1);
    count(&counts->bytes, size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size) {
    *out = memalign(alignment, size);
    return *out == NULL;
}

void free(void *ptr) {
    count(&counts->frees, ptr != NULL);
    __libc_free(ptr);
}
