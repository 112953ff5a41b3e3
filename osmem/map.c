#include "osmem/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "osmem/fence.h"
#include "osmem/mapped.h"
#include "osmem/slack.h"
#include "osmem/spare.h"
#include "osmem/stats.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "osmem/writer.h"

const struct map_layout os_map_layout = {
    .magic = MAP_LAYOUT_MAGIC,
    .version = MAP_LAYOUT_VERSION,
    .granule_bytes = GRANULE_BYTES,
    .region_bytes = REGION_BYTES,
    .heaps = &thread_heaps,
    .region_lock = &region_lock,
    .mapped_lock = &mapped_lock,
    .mapped = &mapped_table,
    .kept = &spare_table,
    .first = REGION_FIRST,
    .region_lines = REGION_LINES,
    .heap_next = offsetof(struct heap, next),
    .heap_number = offsetof(struct heap, number),
    .heap_regions = offsetof(struct heap, regions),
    .heap_parked = offsetof(struct heap, parked),
    .heap_merged_into = offsetof(struct heap, merged_into),
    .region_next = offsetof(struct region, next),
    .region_top = offsetof(struct region, top),
    .region_committed = offsetof(struct region, committed),
    .region_fresh = offsetof(struct region, fresh),
    .region_tags = offsetof(struct region, lines),
    .region_remote = offsetof(struct region, remote),
    .region_slack = offsetof(struct region, slack),
    .calls = &system_call_counts,
};

/* ---- records ----------------------------------------------------------------------------------
 */

static void put_record(struct writer *writer, enum map_record_type type, size_t bytes) {
    struct map_record record = {type, 0, bytes};
    writer_put(writer, &record, sizeof record);
}

static size_t pages_of(size_t bytes) { return (bytes + system_page() - 1) / system_page(); }

static size_t residency_bytes(size_t bytes) { return (pages_of(bytes) + 63) / 64 * 8; }

static void put_residency(struct writer *writer, char *start, size_t bytes) {
    unsigned char state[64];
    for (size_t page = 0, pages = pages_of(bytes); page < pages; page += 64) {
        size_t count = size_min(pages - page, 64);
        uint64_t word = 0;
        system_residency(start + page * system_page(), count, state);
        for (size_t i = 0; i < count; i++)
            word |= (uint64_t)(state[i] & 1) << i;
        writer_put(writer, &word, sizeof word);
    }
}

static void put_header(struct writer *writer) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    struct map_header header = {
        .magic = MAP_MAGIC,
        .version = MAP_VERSION,
        .flags = MAP_RUNNING,
        .granule_bytes = GRANULE_BYTES,
        .page_bytes = (uint32_t)system_page(),
        .region_bytes = REGION_BYTES,
        .pid = (uint64_t)getpid(),
        .time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
    };
    writer_put(writer, &header, sizeof header);
}

static void put_statistics(struct writer *writer) {
    struct os_stats stats;
    os_malloc_stats(&stats);
    put_record(writer, MAP_STATISTICS, sizeof stats);
    writer_put(writer, &stats, sizeof stats);
}

/* Those of a line's blocks that are in use by their tags and were freed: by other threads, and in
 * the guarded mode those that wait for their reuse. */
static uint64_t freed_on_line(struct region *region, size_t line) {
    uint64_t freed = load_relaxed(&region->remote[line]);
    if (likely(load_relaxed(&region->slack) == NULL))
        return freed;
    for (uint64_t starts = load_relaxed(&region->lines[line].starts); starts != 0;
         starts &= starts - 1) {
        unsigned granule = bit_lowest(starts);
        if (slack_is_freed(slack_read(region_block(region, line * LINE_GRANULES + granule))))
            freed |= bit_at(granule);
    }
    return freed;
}

static void put_region(struct writer *writer, struct region *region, size_t heap) {
    struct map_region picture = {
        .address = (uintptr_t)region,
        .heap = heap,
        .first = REGION_FIRST,
        .top = load_relaxed(&region->top),
        .committed = load_relaxed(&region->committed),
        .fresh = load_relaxed(&region->fresh),
    };
    picture.lines = (picture.top + LINE_GRANULES - 1) / LINE_GRANULES - REGION_FIRST_LINE;
    size_t tag_bytes = picture.lines * sizeof(struct tag_line);
    size_t remote_bytes = picture.lines * sizeof(uint64_t);
    size_t bytes = granules_bytes(picture.committed);
    put_record(writer, MAP_REGION,
               sizeof picture + tag_bytes + remote_bytes + residency_bytes(bytes));
    writer_put(writer, &picture, sizeof picture);
    put_residency(writer, (char *)region, bytes);
    writer_put(writer, &region->lines[REGION_FIRST_LINE], tag_bytes);
    for (size_t line = 0; line < picture.lines; line++) {
        uint64_t freed = freed_on_line(region, REGION_FIRST_LINE + line);
        writer_put(writer, &freed, sizeof freed);
    }
}

static void put_heap(struct writer *writer, struct heap *heap) {
    struct map_heap picture = {heap->number, heap->parked, heap->merged_into != NULL};
    put_record(writer, MAP_HEAP, sizeof picture);
    writer_put(writer, &picture, sizeof picture);
    for (struct region *region = __atomic_load_n(&heap->regions, __ATOMIC_ACQUIRE); region != NULL;
         region = region->next)
        put_region(writer, region, heap->number);
}

static int put_mapping(const struct mapped_block *block, void *context) {
    struct writer *writer = context;
    struct map_mapping picture = {(uintptr_t)block->address, block->size, block->requested,
                                  !block->live, 0};
    put_record(writer, MAP_MAPPING, sizeof picture + residency_bytes(block->size));
    writer_put(writer, &picture, sizeof picture);
    put_residency(writer, block->address, block->size);
    return writer->error;
}

/* ---- the call ---------------------------------------------------------------------------------
 */

static void put_all(struct writer *writer) {
    put_header(writer);
    put_statistics(writer);
    for (struct heap *heap = thread_first_heap(); heap != NULL && writer->error == 0;
         heap = heap->next)
        put_heap(writer, heap);
    mapped_each(put_mapping, writer);
    fence_each(put_mapping, writer);
    put_record(writer, MAP_END, 0);
    writer_flush(writer);
}

int os_heap_map(const char *path) {
    int saved = errno;
    /* Who has this function has the table as well: the linker drops what nothing refers to. */
    __asm__ volatile("" : : "r"(&os_map_layout));
    if (system_lock_is_held(&region_lock) || system_lock_is_held(&mapped_lock)) {
        errno = EBUSY;
        return -1;
    }
    struct writer writer = {.descriptor =
                                open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (writer.descriptor < 0)
        return -1;
    system_lock(&region_lock);
    system_lock(&mapped_lock);
    put_all(&writer);
    system_unlock(&mapped_lock);
    system_unlock(&region_lock);
    if (close(writer.descriptor) != 0 && writer.error == 0)
        writer.error = errno;
    errno = writer.error != 0 ? writer.error : saved;
    return writer.error != 0 ? -1 : 0;
}
