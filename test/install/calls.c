/* A program that calls os_malloc by its name. */
#include "served.h"

enum { BLOCKS = 100 };

static void free_twice(void) {
    void *block = os_malloc(100);
    os_free(block);
    os_free(block);
}

int main(void) {
    void *blocks[BLOCKS];
    size_t before = served_blocks();
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = os_malloc((size_t)(1 + 4000 * i)); /* the last ones are mapped */
        CHECK(blocks[i] != NULL && os_malloc_usable_size(blocks[i]) >= (size_t)(1 + 4000 * i));
    }
    CHECK(served_blocks() == before + BLOCKS);
    for (int i = 0; i < BLOCKS; i++)
        os_free(blocks[i]);
    CHECK(served_blocks() == before);
    check_dies(free_twice, "osmem: os_free(): block 0x");
    CHECK(os_heap_check() == 0);
    puts("served by osmem " OSMEM_VERSION);
    return 0;
}
