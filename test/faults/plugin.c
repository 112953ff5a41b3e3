/* plugin.c - a library that allocates when it is loaded and frees when it is unloaded. */
#include <stdlib.h>
#include <string.h>

#define BLOCKS 300

static void *blocks[BLOCKS];
static __thread void *own;

#define EXPORT __attribute__((visibility("default")))
EXPORT void *plugin_swap(void *block);
EXPORT void *plugin_allocate(size_t size);
EXPORT void plugin_release(void *block);

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

/* The plugin's own allocator, which need not be the program's. */
void *plugin_allocate(size_t size) { return malloc(size); }
void plugin_release(void *block) { free(block); }
