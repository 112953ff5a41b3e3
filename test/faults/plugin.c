/* plugin.c - a library that allocates when it is loaded and frees when it is unloaded. */
#include <stdlib.h>
#include <string.h>

#define BLOCKS 300

static void *blocks[BLOCKS];
static __thread void *own;

__attribute__((visibility("default"))) void *plugin_swap(void *block);

__attribute__((constructor)) static void load(void) {
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = memset(malloc(1 + i * i), 1, 1 + i * i);
}

__attribute__((destructor)) static void unload(void) {
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(own);
}

/* Frees what the program allocated, and gives it something instead. */
void *plugin_swap(void *block) {
    free(block);
    free(own);
    own = malloc(5000);
    return malloc(70000);
}
