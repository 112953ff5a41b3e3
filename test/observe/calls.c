/*
 * calls: calls of all kinds, each told of on standard output as the probes are to tell it.
 */
#include <stdio.h>
#include <unistd.h>

#include "osmem.h"
#include "utils/printf.h"

static void *told(void *block, size_t size) {
    os_printf("call alloc %#lx %lu\n", (unsigned long)block, size);
    return block;
}

static void free_told(void *block) {
    os_printf("call free %#lx\n", (unsigned long)block);
    os_free(block);
}

static void *resized(void *block, size_t size) {
    unsigned long before = (unsigned long)block;
    block = os_realloc(block, size);
    os_printf("call realloc %#lx %#lx %lu\n", before, (unsigned long)block, size);
    return block;
}

int main(void) {
    void *aligned;
    for (size_t size = 1; size < 1000000; size = 5 * size + 3)
        free_told(told(os_malloc(size), size));
    void *block = resized(told(os_calloc(3, 100), 300), 299);
    void *other = told(os_aligned_alloc(512, 100), 100);
    block = resized(resized(resized(block, 320), 20000), 400000);
    block = resized(block, 3000000);
    if (os_posix_memalign(&aligned, 64, 77) != 0)
        return 1;
    told(aligned, 77);
    os_printf("call free %#lx\n", (unsigned long)aligned);
    os_free_sized(aligned, 77);
    free_told(other);
    /* Those that do nothing are not told of. */
    os_free(NULL);
    if (os_malloc(0) != NULL)
        return 1;
    os_printf("call free %#lx\n", (unsigned long)block);
    return os_realloc(block, 0) == NULL ? 0 : 1;
}
