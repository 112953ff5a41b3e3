#include "malloc/report.h"

#include "utils/osmem.h"
#include "utils/printf.h"

#include <unistd.h>

/* ---- the table ------------------------------------------------------------------------------- */

void report_table(int descriptor) {
    struct os_stats stats;
    os_malloc_stats(&stats);
    os_dprintf(descriptor,
               "osmem: statistics of process %d\n"
               "  requested    %15zu bytes\n"
               "  allocated    %15zu bytes in %zu blocks\n"
               "  free         %15zu bytes in %zu blocks\n"
               "  untouched    %15zu bytes\n"
               "  metadata     %15zu bytes\n"
               "  heap         %15zu bytes in %zu heaps\n"
               "  mapped       %15zu bytes in %zu blocks\n"
               "  cached       %15zu bytes\n"
               "  resident     %15zu bytes\n"
               "  sbrk         %15zu calls\n"
               "  mmap         %15zu calls\n"
               "  munmap       %15zu calls\n"
               "  mremap       %15zu calls\n"
               "  madvise      %15zu calls\n",
               (int)getpid(), stats.requested, stats.allocated, stats.allocated_blocks, stats.free,
               stats.free_blocks, stats.untouched, stats.metadata, stats.heap, stats.heaps,
               stats.mapped, stats.mapped_blocks, stats.mapped_cached, stats.resident,
               stats.sbrk_calls, stats.mmap_calls, stats.munmap_calls, stats.mremap_calls,
               stats.madvise_calls);
}

/* ---- XML ------------------------------------------------------------------------------------- */

/* The free blocks of 2^k to 2^(k+1) - 1 bytes. */
struct free_class {
    size_t count;
    size_t bytes;
};

enum { FREE_CLASSES = 8 * sizeof(size_t) };

struct heap_report {
    struct os_stats stats;
    struct free_class free[FREE_CLASSES];
};

struct heap_reports {
    size_t count;
    struct heap_report *heap;
};

static int count_free_block(const struct os_block *block, void *context) {
    struct heap_reports *reports = context;
    if (block->kind == OS_BLOCK_FREE && block->heap < reports->count) {
        unsigned k = FREE_CLASSES - 1 - (unsigned)__builtin_clzl(block->size);
        struct free_class *class = &reports->heap[block->heap].free[k];
        class->count++;
        class->bytes += block->size;
    }
    return 0;
}

static void write_sizes(FILE *stream, const struct free_class *classes) {
    fputs("<sizes>\n", stream);
    for (unsigned k = 0; k < FREE_CLASSES; k++) {
        size_t from = (size_t)1 << k;
        if (classes[k].count != 0)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from,
                    from + (from - 1), classes[k].bytes, classes[k].count);
    }
    fputs("</sizes>\n", stream);
}

/* As in glibc the untouched end counts as a free block. */
static void write_free(FILE *stream, const struct os_stats *stats) {
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            stats->free_blocks + (stats->untouched != 0), stats->free + stats->untouched);
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
        os_heap_stats(index, &reports.heap[index].stats);
    os_heap_walk(count_free_block, &reports);

    fputs("<malloc version=\"1\">\n", stream);
    for (size_t index = 0; index < reports.count; index++) {
        fprintf(stream, "<heap nr=\"%zu\">\n", index);
        write_sizes(stream, reports.heap[index].free);
        write_free(stream, &reports.heap[index].stats);
        write_system(stream, reports.heap[index].stats.heap);
        fputs("</heap>\n", stream);
    }
    write_free(stream, &all);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", all.mapped_blocks,
            all.mapped);
    write_system(stream, all.heap);
    fputs("</malloc>\n", stream);

    os_free(reports.heap);
    return ferror(stream) ? -1 : 0;
}
