/*
 * mistakes WHICH: a mistake with a block of os_malloc, as a memory checker is to find it. `none`:
 * much work without one. OSMEM_LINKED: with malloc, whichever that is.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef OSMEM_LINKED
#define os_malloc malloc
#define os_calloc calloc
#define os_realloc realloc
#define os_free free
#define os_aligned_alloc aligned_alloc
#else
#include "osmem.h"
#endif

/* The compiler must not see what comes. */
static size_t opaque(size_t value) {
    __asm__("" : "+r"(value));
    return value;
}

static void require(int fact) {
    if (!fact)
        abort();
}

static void *volatile kept, *volatile other;

/* A frame of its own in the checker's stacks. */
__attribute__((noinline)) static void *make_block(size_t size) {
    void *block = os_malloc(size);
    __asm__("" : "+r"(block));
    return block;
}

static int is_zero(const char *block, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (block[i] != 0)
            return 0;
    return 1;
}

static void none(void) {
    enum { BLOCKS = 2000 };
    static char *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    unsigned random = 1;
    for (int round = 0; round < 20000; round++) {
        random = random * 1103515245 + 12345;
        size_t i = (random >> 8) % BLOCKS;
        size_t size = (random >> 20) % 400 == 0 ? 200000 : 1 + (random >> 12) % 3000;
        if (blocks[i] == NULL && round % 3 == 0) {
            blocks[i] = os_calloc(1, size);
            require(is_zero(blocks[i], size));
        } else if (blocks[i] == NULL && round % 7 == 0) {
            size = (size + 255) / 256 * 256; /* some take no other */
            blocks[i] = os_aligned_alloc(256, size);
        } else if (blocks[i] == NULL) {
            blocks[i] = os_malloc(size);
        } else if (round % 2 == 0) {
            size_t both = size < sizes[i] ? size : sizes[i];
            blocks[i] = os_realloc(blocks[i], size);
            require(blocks[i][0] == (char)i && blocks[i][both - 1] == (char)i);
        } else {
            os_free(blocks[i]);
            blocks[i] = NULL;
            continue;
        }
        require(blocks[i] != NULL);
        memset(blocks[i], (int)i, size);
        sizes[i] = size;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        os_free(blocks[i]);
}

static int crime(const char *which) {
    size_t size = opaque(40);
    char *block = make_block(size), *large = os_malloc(opaque(300000));
    memset(block, 1, size);
    memset(large, 1, 300000);
    kept = block;
    other = large;
    if (strcmp(which, "leak") == 0) {
        kept = other = NULL;
        block = large = NULL;
        memset(make_block(5000), 1, 5000);
    } else if (strcmp(which, "read_after_free") == 0) {
        os_free(block);
        return block[opaque(8)];
    } else if (strcmp(which, "write_after_free") == 0) {
        os_free(block);
        block[opaque(8)] = 1;
    } else if (strcmp(which, "after_realloc") == 0) {
        kept = os_realloc(block, opaque(44));
        block[opaque(8)] = 1;
    } else if (strcmp(which, "overflow") == 0) {
        block[opaque(40)] = 1;
    } else if (strcmp(which, "underflow") == 0) {
        block[opaque(0) - 1] = 1;
    } else if (strcmp(which, "overflow_mapped") == 0) {
        large[opaque(300000)] = 1;
    } else if (strcmp(which, "uninitialised") == 0) {
        char *fresh = os_malloc(opaque(100));
        kept = fresh;
        if (fresh[opaque(50)] == 'x')
            puts("x");
    } else {
        return 2;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "none") == 0) {
        none();
        return 0;
    }
    return crime(argv[1]) == 2 ? 2 : 0;
}
