#include "malloc/report.h"

#include "osmem/stats.h"
#include "utils/osmem.h"

struct heap_reports {
    size_t count;
    struct stats_part *heap;
};

static void write_sizes(FILE *stream, const struct stats_class *classes) {
    fputs("<sizes>\n", stream);
    for (unsigned k = 0; k < STATS_CLASSES; k++) {
        size_t from = (size_t)1 << k;
        if (classes[k].free_blocks != 0)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from,
                    from + (from - 1), classes[k].free_bytes, classes[k].free_blocks);
    }
    fputs("</sizes>\n", stream);
}

/* As in glibc the untouched end of each heap counts as a free block. */
static size_t free_blocks(const struct os_stats *stats) {
    return stats->free_blocks + (stats->untouched != 0);
}

static void write_free(FILE *stream, const struct os_stats *stats, size_t blocks) {
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            blocks, stats->free + stats->untouched);
}

/* The heap never shrinks: current is max. */
static void write_system(FILE *stream, size_t bytes) {
    fprintf(stream,
            "<system type=\"current\" size=\"%zu\"/>\n"
            "<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n"
            "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            bytes, bytes, bytes, bytes);
}

/* Everything is counted before anything is written, because the stream may allocate. */
int report_xml(FILE *stream) {
    struct os_stats all;
    os_malloc_stats(&all);
    struct heap_reports reports = {.count = all.heaps};
    reports.heap = os_calloc(reports.count, sizeof *reports.heap);
    if (reports.heap == NULL)
        return -1;
    os_malloc_stats(&all);
    for (size_t index = 0; index < reports.count; index++)
        stats_heap(index, &reports.heap[index]);

    size_t blocks = 0;
    fputs("<malloc version=\"1\">\n", stream);
    for (size_t index = 0; index < reports.count; index++) {
        const struct os_stats *stats = &reports.heap[index].stats;
        fprintf(stream, "<heap nr=\"%zu\">\n", index);
        write_sizes(stream, reports.heap[index].classes);
        write_free(stream, stats, free_blocks(stats));
        blocks += free_blocks(stats);
        write_system(stream, stats->heap);
        fputs("</heap>\n", stream);
    }
    write_free(stream, &all, blocks);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", all.mapped_blocks,
            all.mapped);
    write_system(stream, all.heap);
    fputs("</malloc>\n", stream);

    os_free(reports.heap);
    return ferror(stream) ? -1 : 0;
}
