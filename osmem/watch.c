#include "osmem/watch.h"

#include <stdint.h>

#include "utils/die.h"
#include "utils/probe.h"

/* Of libheaptrack_preload.so, for allocators that it does not know (heaptrack_api.h). */
#define HEAPTRACK __attribute__((weak, visibility("default")))
extern HEAPTRACK void heaptrack_malloc(void *ptr, size_t size);
extern HEAPTRACK void heaptrack_realloc(void *from, size_t size, void *to);
extern HEAPTRACK void heaptrack_free(void *ptr);

static bool has_heaptrack;

bool watch_prepare(bool probes) {
    /* The drop-in's calls it sees before they come here. */
    has_heaptrack = osmem_prefix[0] != '\0' && heaptrack_malloc != NULL &&
                    heaptrack_realloc != NULL && heaptrack_free != NULL;
    return probes || has_heaptrack;
}

void watch_alloc(void *block, size_t size) {
    PROBE2("alloc", block, size);
    if (has_heaptrack)
        heaptrack_malloc(block, size);
}

void watch_free(void *block) {
    PROBE1("free", block);
    if (has_heaptrack)
        heaptrack_free(block);
}

void watch_realloc(void *ptr, void *block, size_t size) {
    PROBE3("realloc", ptr, block, size);
    if (has_heaptrack)
        heaptrack_realloc(ptr, size, block);
}

void watch_grow(const void *start, size_t size) { PROBE2("grow", start, size); }

void watch_map(const void *start, size_t size) { PROBE2("map", start, size); }

void watch_remap(const void *old_start, size_t old_size, const void *start, size_t size) {
    PROBE4("remap", old_start, old_size, start, size);
}

void watch_unmap(const void *start, size_t size) { PROBE2("unmap", start, size); }

void watch_purge(const void *start, size_t size) { PROBE2("purge", start, size); }
