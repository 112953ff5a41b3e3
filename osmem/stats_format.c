#include "osmem/stats_format.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "osmem/writer.h"
#include "utils/printf.h"

/* ---- the figures ------------------------------------------------------------------------------
 */

/* The vocabulary of jemalloc and of who reads its statistics. */
static const struct {
    const char *name, *help;
    size_t terms[4]; /* where the os_stats lie whose sum it is */
} figures[] = {
#define TERM(name) (offsetof(struct os_stats, name) + 1)
    {"allocated", "Bytes in live blocks.", {TERM(allocated), TERM(mapped)}},
    {"active", "Bytes of the pages that live blocks lie on.", {TERM(active)}},
    {"metadata", "Bytes of tags, index and headers set aside in the heaps.", {TERM(metadata)}},
    {"resident", "Bytes of all that is held in physical memory.", {TERM(resident)}},
    {"mapped", "Bytes of heaps and of live mapped blocks.", {TERM(heap), TERM(mapped)}},
    {"retained", "Bytes in mappings kept for sizes that come again.", {TERM(mapped_cached)}},
};
#define FIGURES (sizeof figures / sizeof figures[0])

static const struct {
    const char *name;
    size_t term;
} counters[] = {
#define COUNTER(name)                                                                              \
    { #name, TERM(name) }
    COUNTER(requested),     COUNTER(allocated),    COUNTER(allocated_blocks),
    COUNTER(active),        COUNTER(free),         COUNTER(free_blocks),
    COUNTER(untouched),     COUNTER(metadata),     COUNTER(heap),
    COUNTER(resident),      COUNTER(mapped),       COUNTER(mapped_blocks),
    COUNTER(mapped_cached), COUNTER(heaps),        COUNTER(sbrk_calls),
    COUNTER(mmap_calls),    COUNTER(munmap_calls), COUNTER(mremap_calls),
    COUNTER(madvise_calls),
};
#define COUNTERS (sizeof counters / sizeof counters[0])
/* The first of them make sense for a single heap. */
#define HEAP_COUNTERS 10

static size_t term_of(const struct os_stats *stats, size_t term) {
    size_t value = 0;
    if (term != 0)
        memcpy(&value, (const char *)stats + term - 1, sizeof value);
    return value;
}

static size_t figure_of(const struct os_stats *stats, size_t figure) {
    size_t sum = 0;
    for (size_t i = 0; i < sizeof figures[0].terms / sizeof figures[0].terms[0]; i++)
        sum += term_of(stats, figures[figure].terms[i]);
    return sum;
}

/* Counts the next heap from *index on that has memory; false: there is none. */
static bool next_heap(const struct stats_source *source, size_t *index, struct stats_part *part) {
    for (; source->heap(source->context, *index, part); ++*index) {
        if (part->stats.heap != 0)
            return true;
    }
    return false;
}

static bool is_empty(const struct stats_class *class) {
    return class->live_blocks == 0 && class->free_blocks == 0;
}

static size_t class_from(size_t k) { return (size_t)1 << k; }
static size_t class_to(size_t k) { return ((size_t)2 << k) - 1; }

/* ---- text -------------------------------------------------------------------------------------
 */

static void text_totals(struct writer *writer, const struct os_stats *all) {
    writer_print(writer,
                 "  requested    %15zu bytes\n"
                 "  allocated    %15zu bytes in %zu blocks\n"
                 "  active       %15zu bytes\n"
                 "  free         %15zu bytes in %zu blocks\n"
                 "  untouched    %15zu bytes\n"
                 "  metadata     %15zu bytes\n"
                 "  heap         %15zu bytes in %zu heaps\n",
                 all->requested, all->allocated, all->allocated_blocks, all->active, all->free,
                 all->free_blocks, all->untouched, all->metadata, all->heap, all->heaps);
    writer_print(writer,
                 "  mapped       %15zu bytes in %zu blocks\n"
                 "  cached       %15zu bytes\n"
                 "  resident     %15zu bytes\n"
                 "  sbrk         %15zu calls\n"
                 "  mmap         %15zu calls\n"
                 "  munmap       %15zu calls\n"
                 "  mremap       %15zu calls\n"
                 "  madvise      %15zu calls\n",
                 all->mapped, all->mapped_blocks, all->mapped_cached, all->resident,
                 all->sbrk_calls, all->mmap_calls, all->munmap_calls, all->mremap_calls,
                 all->madvise_calls);
}

static void text_class(struct writer *writer, const char *where, size_t k,
                       const struct stats_class *class) {
    writer_print(writer, "  %-6s %15zu %10zu %15zu %10zu %15zu\n", where, class_from(k),
                 class->live_blocks, class->live_bytes, class->free_blocks, class->free_bytes);
}

static void text_classes(struct writer *writer, const char *where, const struct stats_part *part) {
    for (size_t k = 0; k < STATS_CLASSES; k++) {
        if (!is_empty(&part->classes[k]))
            text_class(writer, where, k, &part->classes[k]);
    }
}

static void text(struct writer *writer, const struct stats_source *source) {
    struct stats_part part;
    char number[24];
    writer_print(writer, "osmem: statistics of process %ld\n", source->process);
    text_totals(writer, &source->all);
    writer_print(writer, "\n  %-6s %15s %10s %15s %10s %15s\n", "heap", "allocated", "blocks",
                 "free", "untouched", "resident");
    for (size_t index = 0; next_heap(source, &index, &part); index++)
        writer_print(writer, "  %-6zu %15zu %10zu %15zu %10zu %15zu\n", index, part.stats.allocated,
                     part.stats.allocated_blocks, part.stats.free, part.stats.untouched,
                     part.stats.resident);
    writer_print(writer, "\n  %-6s %15s %10s %15s %10s %15s\n", "heap", "blocks from", "live",
                 "bytes", "free", "bytes");
    for (size_t index = 0; next_heap(source, &index, &part); index++) {
        os_snprintf(number, sizeof number, "%zu", index);
        text_classes(writer, number, &part);
    }
    source->mapped(source->context, &part);
    text_classes(writer, "mapped", &part);
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static void json_counters(struct writer *writer, const struct os_stats *stats, size_t count) {
    for (size_t i = 0; i < count; i++)
        writer_print(writer, "%s\"%s\": %zu", i == 0 ? "" : ", ", counters[i].name,
                     term_of(stats, counters[i].term));
}

static void json_sizes(struct writer *writer, const struct stats_part *part) {
    const char *separator = "";
    writer_print(writer, "\"sizes\": [");
    for (size_t k = 0; k < STATS_CLASSES; k++) {
        const struct stats_class *class = &part->classes[k];
        if (is_empty(class))
            continue;
        writer_print(writer,
                     "%s\n      {\"from\": %zu, \"to\": %zu, \"live_blocks\": %zu, "
                     "\"live_bytes\": %zu, \"free_blocks\": %zu, \"free_bytes\": %zu}",
                     separator, class_from(k), class_to(k), class->live_blocks, class->live_bytes,
                     class->free_blocks, class->free_bytes);
        separator = ",";
    }
    writer_print(writer, "]");
}

static void json(struct writer *writer, const struct stats_source *source) {
    struct stats_part part;
    writer_print(writer, "{\"osmem\": {\n  \"process\": %ld,\n  \"stats\": {", source->process);
    for (size_t i = 0; i < FIGURES; i++)
        writer_print(writer, "%s\"%s\": %zu", i == 0 ? "" : ", ", figures[i].name,
                     figure_of(&source->all, i));
    writer_print(writer, "},\n  \"os_stats\": {");
    json_counters(writer, &source->all, COUNTERS);
    writer_print(writer, "},\n  \"heaps\": [");
    const char *separator = "";
    for (size_t index = 0; next_heap(source, &index, &part); index++) {
        writer_print(writer, "%s\n    {\"number\": %zu, ", separator, index);
        json_counters(writer, &part.stats, HEAP_COUNTERS);
        writer_print(writer, ", ");
        json_sizes(writer, &part);
        writer_print(writer, "}");
        separator = ",";
    }
    writer_print(writer, "],\n  \"mapped\": {");
    source->mapped(source->context, &part);
    json_sizes(writer, &part);
    writer_print(writer, "}\n}}\n");
}

/* ---- Prometheus -------------------------------------------------------------------------------
 */

struct exposition {
    struct writer *writer;
    const struct stats_source *source;
    const char *family; /* whose samples are being written */
};

static void begin_family(struct exposition *to, const char *name, const char *type,
                         const char *help) {
    to->family = name;
    writer_print(to->writer, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels` of this sample, besides those of all; "": none. */
static void sample(const struct exposition *to, const char *labels, size_t value) {
    const char *common = to->source->labels;
    bool both = *common != '\0' && *labels != '\0', none = *common == '\0' && *labels == '\0';
    writer_print(to->writer, "%s%s%s%s%s%s %zu\n", to->family, none ? "" : "{", common,
                 both ? "," : "", labels, none ? "" : "}", value);
}

static void sample_of_heap(const struct exposition *to, size_t heap, const char *state,
                           size_t value) {
    char labels[96];
    os_snprintf(labels, sizeof labels, "heap=\"%zu\",state=\"%s\"", heap, state);
    sample(to, labels, value);
}

static void sample_of_class(const struct exposition *to, const char *heap, size_t k,
                            const char *state, size_t value) {
    char labels[160];
    os_snprintf(labels, sizeof labels, "heap=\"%s\",from=\"%zu\",to=\"%zu\",state=\"%s\"", heap,
                class_from(k), class_to(k), state);
    sample(to, labels, value);
}

static void samples_of_classes(const struct exposition *to, const char *heap,
                               const struct stats_part *part, bool bytes) {
    for (size_t k = 0; k < STATS_CLASSES; k++) {
        const struct stats_class *class = &part->classes[k];
        if (class->live_blocks != 0)
            sample_of_class(to, heap, k, "live", bytes ? class->live_bytes : class->live_blocks);
        if (class->free_blocks != 0)
            sample_of_class(to, heap, k, "free", bytes ? class->free_bytes : class->free_blocks);
    }
}

static void expose_sizes(const struct exposition *to, bool bytes) {
    struct stats_part part;
    char number[24];
    for (size_t index = 0; next_heap(to->source, &index, &part); index++) {
        os_snprintf(number, sizeof number, "%zu", index);
        samples_of_classes(to, number, &part, bytes);
    }
    to->source->mapped(to->source->context, &part);
    samples_of_classes(to, "mapped", &part, bytes);
}

static void expose_heaps(struct exposition *to) {
    struct stats_part part;
    begin_family(to, "osmem_heap_bytes", "gauge", "Bytes of each heap, by what they are.");
    for (size_t index = 0; next_heap(to->source, &index, &part); index++) {
        sample_of_heap(to, index, "allocated", part.stats.allocated);
        sample_of_heap(to, index, "free", part.stats.free);
        sample_of_heap(to, index, "untouched", part.stats.untouched);
        sample_of_heap(to, index, "metadata", part.stats.metadata);
    }
    begin_family(to, "osmem_heap_blocks", "gauge", "Blocks of each heap.");
    for (size_t index = 0; next_heap(to->source, &index, &part); index++) {
        sample_of_heap(to, index, "allocated", part.stats.allocated_blocks);
        sample_of_heap(to, index, "free", part.stats.free_blocks);
    }
    begin_family(to, "osmem_heap_pages_bytes", "gauge",
                 "Bytes of each heap on pages with live blocks, and in physical memory.");
    for (size_t index = 0; next_heap(to->source, &index, &part); index++) {
        sample_of_heap(to, index, "active", part.stats.active);
        sample_of_heap(to, index, "resident", part.stats.resident);
    }
}

static void prometheus(struct writer *writer, const struct stats_source *source) {
    struct exposition to = {writer, source, NULL};
    const struct os_stats *all = &source->all;
    char name[64];
    for (size_t i = 0; i < FIGURES; i++) {
        os_snprintf(name, sizeof name, "osmem_%s_bytes", figures[i].name);
        begin_family(&to, name, "gauge", figures[i].help);
        sample(&to, "", figure_of(all, i));
    }
    begin_family(&to, "osmem_requested_bytes", "gauge", "Bytes in live blocks as asked for.");
    sample(&to, "", all->requested);
    begin_family(&to, "osmem_heaps", "gauge", "Heaps, those of ended threads included.");
    sample(&to, "", all->heaps);
    expose_heaps(&to);
    begin_family(&to, "osmem_mapping_bytes", "gauge", "Bytes mapped block by block.");
    sample(&to, "state=\"live\"", all->mapped);
    sample(&to, "state=\"cached\"", all->mapped_cached);
    begin_family(&to, "osmem_mapping_blocks", "gauge", "Live mapped blocks.");
    sample(&to, "", all->mapped_blocks);
    begin_family(&to, "osmem_size_blocks", "gauge", "Blocks by powers of two of their size.");
    expose_sizes(&to, false);
    begin_family(&to, "osmem_size_bytes", "gauge", "Bytes in them.");
    expose_sizes(&to, true);
    begin_family(&to, "osmem_system_calls_total", "counter", "System calls since the start.");
    sample(&to, "call=\"sbrk\"", all->sbrk_calls);
    sample(&to, "call=\"mmap\"", all->mmap_calls);
    sample(&to, "call=\"munmap\"", all->munmap_calls);
    sample(&to, "call=\"mremap\"", all->mremap_calls);
    sample(&to, "call=\"madvise\"", all->madvise_calls);
}

/* ---- the calls --------------------------------------------------------------------------------
 */

int stats_format(int descriptor, enum os_stats_format format, const struct stats_source *source) {
    static void (*const writers[])(struct writer *, const struct stats_source *) = {
        [OS_STATS_TEXT] = text, [OS_STATS_JSON] = json, [OS_STATS_PROMETHEUS] = prometheus};
    struct writer writer = {.descriptor = descriptor};
    int saved = errno;
    if ((size_t)format >= sizeof writers / sizeof writers[0]) {
        errno = EINVAL;
        return -1;
    }
    writers[format](&writer, source);
    writer_flush(&writer);
    errno = writer.error != 0 ? writer.error : saved;
    return writer.error != 0 ? -1 : 0;
}

static bool own_heap(void *context, size_t index, struct stats_part *part) {
    (void)context;
    return stats_heap(index, part);
}

static void own_mapped(void *context, struct stats_part *part) {
    (void)context;
    stats_mapped(part);
}

int os_malloc_stats_print(int descriptor, enum os_stats_format format) {
    struct stats_source source = {
        .process = getpid(), .labels = "", .heap = own_heap, .mapped = own_mapped};
    os_malloc_stats(&source.all);
    return stats_format(descriptor, format, &source);
}
