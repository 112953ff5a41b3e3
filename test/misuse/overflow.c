/*
 * Writes beyond a block's end and before its start, by 1 to 8192 bytes, which its owner does not
 * notice: the block is freed later, like all others. Beyond its end means beyond what
 * malloc_usable_size() allows; or, in the slack, beyond what was asked for.
 */
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <malloc.h>

#define ROW_MAX 16384
#define REGIONS ((size_t)9 << 20) /* more than any allocator takes from the kernel at a time */
#define MAPPABLE ((size_t)256 << 10)

static void *row[ROW_MAX];

/* A row of which the writes do not reach the ends. */
static size_t make_row(const struct crime *crime) {
    size_t count = crime->size >= MAPPED ? 8 : 16 + 4 * crime->amount / crime->size;
    shadow_row(row, count, crime->size);
    return count;
}

static void overflow(const struct crime *crime) {
    char *victim = row[shadow_narrowest_gap(row, make_row(crime), crime->size)];
    crime_write(victim + malloc_usable_size(victim), 'A', crime->amount);
}

static void overflow_slack(const struct crime *crime) {
    char *victim = shadow_surrounded(crime->size);
    crime_write(victim + crime->size, 'A', crime->amount);
}

static void underflow(const struct crime *crime) {
    char *victim = row[shadow_narrowest_gap(row, make_row(crime), crime->size) + 1];
    crime_write(victim - crime->amount, 'A', crime->amount);
}

/* From a block at the edge of what lies between two pieces of heap, the allocator's own perhaps. */
static size_t find_edge(const struct crime *crime) {
    size_t count = (crime->size < MAPPABLE ? REGIONS : 40 * MAPPABLE) / crime->size;
    shadow_row(row, count, crime->size);
    return shadow_widest_gap(row, count, crime->size);
}

static void overflow_at_the_edge(const struct crime *crime) {
    char *victim = row[find_edge(crime)];
    crime_write(victim + malloc_usable_size(victim), 'A', crime->amount);
}

static void underflow_at_the_edge(const struct crime *crime) {
    char *victim = row[find_edge(crime) + 1];
    crime_write(victim - crime->amount, 'A', crime->amount);
}

static void underflow_first(const struct crime *crime) {
    make_row(crime);
    char *victim = shadow_first();
    crime_write(victim - crime->amount, 'A', crime->amount);
}

static void overflow_last(const struct crime *crime) {
    make_row(crime);
    char *victim = shadow_last();
    crime_write(victim + malloc_usable_size(victim), 0xff, crime->amount);
}

/* A write that leaves out what lies between: into the middle of a live block. */
static void stray(const struct crime *crime) {
    char *victim = row[shadow_narrowest_gap(row, make_row(crime), crime->size) + 1];
    crime_write(victim + crime->amount, 'A', 8);
}

const struct crime overflow_crimes[] = {
    {"overflow-small-by-1", NULL, overflow, 0, SMALL, 1, UNNOTICED, STOPPED},
    {"overflow-small-by-8", NULL, overflow, 0, SMALL, 8, UNNOTICED, STOPPED},
    {"overflow-small-by-16", NULL, overflow, 0, SMALL, 16, UNNOTICED, STOPPED},
    {"overflow-small-by-64", NULL, overflow, 0, SMALL, 64, UNNOTICED, STOPPED},
    {"overflow-small-by-1024", NULL, overflow, 0, SMALL, 1024, UNNOTICED, STOPPED},
    {"overflow-small-by-8192", NULL, overflow, 0, SMALL, 8192, UNNOTICED, STOPPED},
    {"overflow-medium-by-1", NULL, overflow, 0, MEDIUM, 1, UNNOTICED, STOPPED},
    {"overflow-medium-by-8", NULL, overflow, 0, MEDIUM, 8, UNNOTICED, STOPPED},
    {"overflow-medium-by-256", NULL, overflow, 0, MEDIUM, 256, UNNOTICED, STOPPED},
    {"overflow-medium-by-8192", NULL, overflow, 0, MEDIUM, 8192, UNNOTICED, STOPPED},
    {"overflow-large-by-1", NULL, overflow, 0, LARGE, 1, UNNOTICED, STOPPED},
    {"overflow-large-by-4096", NULL, overflow, 0, LARGE, 4096, UNNOTICED, STOPPED},
    {"overflow-mapped-by-1", NULL, overflow, 0, MAPPED, 1, UNNOTICED, STOPPED},
    {"overflow-mapped-by-16", NULL, overflow, 0, MAPPED, 16, UNNOTICED, STOPPED},
    {"overflow-mapped-by-8192", NULL, overflow, 0, MAPPED, 8192, UNNOTICED, STOPPED},
    {"overflow-slack-by-1", NULL, overflow_slack, 0, 41, 1, UNNOTICED, STOPPED},
    {"overflow-slack-by-7", NULL, overflow_slack, 0, 41, 7, UNNOTICED, STOPPED},
    {"overflow-slack-medium-by-1", NULL, overflow_slack, 0, 1001, 1, UNNOTICED, STOPPED},
    {"overflow-slack-mapped-by-1", NULL, overflow_slack, 0, MAPPED + 100, 1, UNNOTICED, STOPPED},
    {"overflow-at-the-edge-by-1", NULL, overflow_at_the_edge, 0, MEDIUM, 1, UNNOTICED, STOPPED},
    {"overflow-at-the-edge-by-64", NULL, overflow_at_the_edge, 0, MEDIUM, 64, UNNOTICED, STOPPED},
    {"overflow-at-the-edge-by-8192", NULL, overflow_at_the_edge, 0, MEDIUM, 8192, UNNOTICED,
     STOPPED},
    {"overflow-mapped-at-the-edge-by-8192", NULL, overflow_at_the_edge, 0, MAPPABLE, 8192, HARMLESS,
     STOPPED},
    {"overflow-last-by-8", NULL, overflow_last, 0, MEDIUM, 8, UNNOTICED, STOPPED},
    {"overflow-last-by-4096", NULL, overflow_last, 0, MEDIUM, 4096, UNNOTICED, STOPPED},
    {"underflow-small-by-1", NULL, underflow, 0, SMALL, 1, UNNOTICED, STOPPED},
    {"underflow-small-by-8", NULL, underflow, 0, SMALL, 8, UNNOTICED, STOPPED},
    {"underflow-small-by-16", NULL, underflow, 0, SMALL, 16, UNNOTICED, STOPPED},
    {"underflow-small-by-256", NULL, underflow, 0, SMALL, 256, UNNOTICED, STOPPED},
    {"underflow-small-by-8192", NULL, underflow, 0, SMALL, 8192, UNNOTICED, STOPPED},
    {"underflow-medium-by-1", NULL, underflow, 0, MEDIUM, 1, UNNOTICED, STOPPED},
    {"underflow-medium-by-16", NULL, underflow, 0, MEDIUM, 16, UNNOTICED, STOPPED},
    {"underflow-medium-by-8192", NULL, underflow, 0, MEDIUM, 8192, UNNOTICED, STOPPED},
    {"underflow-large-by-8", NULL, underflow, 0, LARGE, 8, UNNOTICED, STOPPED},
    {"underflow-large-by-4096", NULL, underflow, 0, LARGE, 4096, UNNOTICED, STOPPED},
    {"underflow-mapped-by-1", NULL, underflow, 0, MAPPED, 1, UNNOTICED, STOPPED},
    {"underflow-mapped-by-8192", NULL, underflow, 0, MAPPED, 8192, UNNOTICED, STOPPED},
    {"underflow-at-the-edge-by-8", NULL, underflow_at_the_edge, 0, MEDIUM, 8, UNNOTICED, STOPPED},
    {"underflow-at-the-edge-by-8192", NULL, underflow_at_the_edge, 0, MEDIUM, 8192, UNNOTICED,
     STOPPED},
    {"underflow-mapped-at-the-edge-by-8192", NULL, underflow_at_the_edge, 0, MAPPABLE, 8192,
     HARMLESS, STOPPED},
    {"underflow-first-by-16", NULL, underflow_first, 0, SMALL, 16, UNNOTICED, STOPPED},
    {"underflow-first-by-8192", NULL, underflow_first, 0, SMALL, 8192, UNNOTICED, STOPPED},
    {"stray-write", NULL, stray, 0, MEDIUM, 500, UNNOTICED, UNNOTICED},
    {0},
};
