/*
 * stats_format.h - the statistics as text for people, as JSON, and as Prometheus scrapes them;
 * docs/statistics.md explains the figures. Of this process (os_malloc_stats_print), or of what the
 * caller has counted elsewhere (tools/stats.cc).
 *
 * Nothing is kept of a heap but what is being written, so heaps are asked for again and again.
 */
#ifndef OSMEM_OSMEM_STATS_FORMAT_H
#define OSMEM_OSMEM_STATS_FORMAT_H

#include "osmem/stats.h"

struct stats_source {
    long process;
    const char *labels; /* of each sample for Prometheus, as name="value"; "": none */
    struct os_stats all;
    bool (*heap)(void *context, size_t index, struct stats_part *part); /* as stats_heap */
    void (*mapped)(void *context, struct stats_part *part);             /* as stats_mapped */
    void *context;
};

/* Returns as os_malloc_stats_print does. */
int stats_format(int descriptor, enum os_stats_format format, const struct stats_source *source);

#endif
