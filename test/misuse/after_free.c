/* Writes into blocks that were freed, when nobody has them, and when somebody else does. */
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <stddef.h>

#define ROW 64

static char *freed(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size);
    shadow_free(ptr);
    return ptr;
}

static void write_start(const struct crime *crime) {
    crime_write(freed(crime), 'A', crime->amount);
}

static void write_end(const struct crime *crime) {
    crime_write(freed(crime) + crime->size - crime->amount, 'A', crime->amount);
}

static void write_middle(const struct crime *crime) {
    crime_write(freed(crime) + crime->size / 2, 'A', crime->amount);
}

static void write_many(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    for (size_t i = 0; i < ROW; i += 2)
        shadow_free(row[i]);
    for (size_t i = 0; i < ROW; i += 2)
        crime_write(row[i], 0xff, crime->amount);
}

static void write_merged(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    for (size_t i = ROW / 2; i < ROW; i++)
        shadow_free(row[i]);
    for (size_t i = ROW / 2; i < ROW; i++)
        crime_write(row[i], 'A', crime->amount);
}

static void write_where_realloc_left(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size), *now = ptr;
    for (size_t size = 2 * crime->size; now == ptr; size *= 2)
        now = shadow_realloc(ptr, size);
    crime_write(ptr, 'A', crime->amount);
}

static void write_what_was_cut_off(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size);
    shadow_realloc(ptr, crime->size / 4);
    crime_write(ptr + crime->size / 2, 'A', crime->amount);
}

static void write_long_after(const struct crime *crime) {
    char *ptr = freed(crime);
    for (int i = 0; i < 200; i++)
        shadow_free(shadow_malloc(crime->size));
    crime_write(ptr, 'A', crime->amount);
}

/* The block has a new owner. */
static void write_when_reused(const struct crime *crime) {
    char *ptr = freed(crime);
    for (int i = 0; i < 64; i++)
        shadow_malloc(crime->size);
    crime_write(ptr, 'A', crime->amount);
}

static void write_kept(const struct crime *crime) {
    char *ptr = NULL;
    for (int i = 0; i < 10; i++) {
        ptr = shadow_malloc(crime->size);
        shadow_free(ptr);
    }
    crime_write(ptr, 'A', crime->amount);
}

const struct crime after_free_crimes[] = {
    {"write-start-small", NULL, write_start, 0, SMALL, 8, UNNOTICED, STOPPED},
    {"write-all-small", NULL, write_start, 0, SMALL, SMALL, UNNOTICED, STOPPED},
    {"write-end-small", NULL, write_end, 0, SMALL, 1, UNNOTICED, STOPPED},
    {"write-start-medium", NULL, write_start, 0, MEDIUM, 16, UNNOTICED, STOPPED},
    {"write-middle-medium", NULL, write_middle, 0, MEDIUM, 1, UNNOTICED, STOPPED},
    {"write-all-medium", NULL, write_start, 0, MEDIUM, MEDIUM, UNNOTICED, STOPPED},
    {"write-start-large", NULL, write_start, 0, LARGE, 32, UNNOTICED, STOPPED},
    {"write-all-large", NULL, write_start, 0, LARGE, LARGE, UNNOTICED, STOPPED},
    {"write-end-large", NULL, write_end, 0, LARGE, 8, UNNOTICED, STOPPED},
    {"write-start-mapped", NULL, write_start, 0, MAPPED, 8, TRAPPED, STOPPED},
    {"write-kept-mapped", NULL, write_kept, 0, MAPPED, 8, UNNOTICED, STOPPED},
    {"write-many-small", NULL, write_many, 0, SMALL, SMALL, UNNOTICED, STOPPED},
    {"write-many-medium", NULL, write_many, 0, MEDIUM, 64, UNNOTICED, STOPPED},
    {"write-merged-small", NULL, write_merged, 0, SMALL, 16, UNNOTICED, STOPPED},
    {"write-merged-large", NULL, write_merged, 0, LARGE, 64, UNNOTICED, STOPPED},
    {"write-where-realloc-left", NULL, write_where_realloc_left, 0, MEDIUM, 64, UNNOTICED, STOPPED},
    {"write-what-was-cut-off", NULL, write_what_was_cut_off, 0, LARGE, 64, UNNOTICED, STOPPED},
    {"write-long-after", NULL, write_long_after, 0, MEDIUM, 8, UNNOTICED, STOPPED},
    {"write-when-reused", NULL, write_when_reused, 0, SMALL, 8, UNNOTICED, STOPPED},
    {0},
};
