/*
 * An allocator that checks nothing, for misuse_test: sizes have a list of free blocks each, linked
 * by their first words. What it does about some crimes is certain, so the test can make sure that
 * it would see it. Each block has its class before it; of one thread.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "utils/align.h"

#define HEADER 16
#define ARENA (512 * MIB)

static char arena[ARENA] __attribute__((aligned(16)));
static size_t used;
static void *lists[64];

/* The compiler knows what a function of the name of malloc returns, and that this is before it. */
static void **class_of(void *block) {
    __asm__("" : "+r"(block));
    return (void **)((char *)block - HEADER);
}

void *malloc(size_t size) {
    unsigned index = 5;
    while ((size_t)1 << index < size)
        index++;
    char *block = lists[index];
    if (block != NULL) {
        memcpy(&lists[index], block, sizeof lists[index]);
        return block;
    }
    size_t bytes = HEADER + ((size_t)1 << index);
    if (bytes > ARENA - used)
        return NULL;
    block = arena + used + HEADER;
    used += bytes;
    *class_of(block) = &lists[index];
    return block;
}

void free(void *block) {
    if (block == NULL)
        return;
    void **list = *class_of(block);
    memcpy(block, list, sizeof *list);
    *list = block;
}

void *calloc(size_t count, size_t size) {
    void *block = malloc(count * size);
    return block == NULL ? NULL : memset(block, 0, count * size);
}

size_t malloc_usable_size(void *block) {
    return block == NULL ? 0 : (size_t)1 << ((void **)*class_of(block) - lists);
}

void *realloc(void *block, size_t size) {
    void *moved = malloc(size);
    size_t old = malloc_usable_size(block);
    if (moved != NULL && block != NULL) {
        memcpy(moved, block, old < size ? old : size);
        free(block);
    }
    return moved;
}

void *memalign(size_t alignment, size_t size) {
    char *block = malloc(size + alignment + HEADER);
    if (block == NULL || (uintptr_t)block % alignment == 0)
        return block;
    char *inside = (char *)align_up((uintptr_t)block + HEADER, alignment);
    *class_of(inside) = *class_of(block);
    return inside;
}
