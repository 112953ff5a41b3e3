/*
 * A program that calls malloc, as any does; linked in some way that lets osmem serve it. With an
 * argument it only frees a block twice, for what cannot be linked with osmem's own calls.
 */
#define _GNU_SOURCE
#include "served.h"

#include <malloc.h>

enum { BLOCKS = 100 };

/* The compiler must not know what they promise: it would leave out what it can prove. */
static void *(*volatile allocate)(size_t) = malloc;
static void (*volatile release)(void *) = free;

static void free_twice(void) {
    void *block = allocate(100);
    release(block);
    release(block);
}

static void check_block(void *block, size_t size) {
    CHECK(block != NULL);
    CHECK(os_malloc_usable_size(block) >= size); /* would abort for a block of another allocator */
    release(block);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--free-twice") == 0)
        free_twice();

    void *blocks[BLOCKS];
    size_t before = served_blocks();
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = allocate((size_t)(4000 * i));
    CHECK(served_blocks() == before + BLOCKS);
    for (int i = 0; i < BLOCKS; i++)
        release(blocks[i]);
    CHECK(served_blocks() == before);

    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 4096, 100) == 0);
    check_block(aligned, 100);
    check_block(calloc(10, 10), 100);
    check_block(realloc(allocate(10), 1000), 1000);
    check_block(aligned_alloc(64, 128), 128);
    check_block(strdup("what the C library allocates"), 10);
    check_dies(free_twice, "osmem: free(): block 0x");
    CHECK(os_heap_check() == 0);
    puts("served by osmem " OSMEM_VERSION);
    return 0;
}
