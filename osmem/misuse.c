#include "osmem/misuse.h"

#include <stdbool.h>

#include "osmem/fence.h"
#include "osmem/mapped.h"
#include "osmem/slack.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "utils/die.h"

size_t misuse_start(const void *ptr) {
    struct region *region = region_of(ptr);
    size_t granule = region_granule(ptr), line = granule / LINE_GRANULES;
    uint64_t starts =
        load_relaxed(&region->lines[line].starts) & ((bit_at((unsigned)granule) << 1) - 1);
    while (starts == 0)
        starts = load_relaxed(&region->lines[--line].starts);
    return line * LINE_GRANULES + bit_highest(starts);
}

/* What is wrong with `ptr`, in a region of ours, where no live block starts. */
static const char *heap_fact(const void *ptr) {
    struct region *region = region_of(ptr);
    if (region_granule(ptr) < REGION_FIRST)
        return "lies in the allocator's own memory";
    size_t start = misuse_start(ptr);
    const char *block = region_block(region, start);
    uint8_t slack = slack_read(block);
    bool was_guarded = slack >= SLACK_GUARDED;
    bool is_start = ptr == (was_guarded ? block + slack_front(slack) : block);
    if (tags_is_free(region->lines, start) || slack_is_freed(slack))
        return is_start ? "is already free" : "lies inside a free block";
    if (!is_start)
        return "lies inside a live block";
    return thread_freed_remotely(block) ? "is already free" : "is of another size";
}

void die_misused(const char *function, const void *ptr) {
    if (region_owner(ptr) != NULL)
        die_block(function, ptr, heap_fact(ptr));
    if (fence_is_freed(ptr))
        die_block(function, ptr, "is already free");
    die_block(function, ptr,
              mapped_contains(ptr) ? "lies inside a mapped block" : "was not allocated here");
}
