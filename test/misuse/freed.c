/*
 * Pointers to blocks that were freed before, at once, later, merged with their neighbours, by other
 * threads; and what realloc left.
 */
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <stdlib.h>

#define ROW 64
#define MANY 4000

static void *at_once(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size);
    shadow_free(ptr);
    return ptr;
}

/* Another block of the size was freed in between: it is not the first in any list. */
static void *after_another(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size), *other = shadow_surrounded(crime->size);
    shadow_free(ptr);
    shadow_free(other);
    return ptr;
}

/* Whatever mark an allocator left in the block is gone. */
static void *overwritten(const struct crime *crime) {
    void *ptr = at_once(crime);
    crime_write(ptr, 'A', SMALL);
    return ptr;
}

/* After hundreds of frees of other sizes. */
static void *delayed(const struct crime *crime) {
    void *others[300], *ptr = shadow_surrounded(crime->size);
    for (size_t i = 0; i < 300; i++)
        others[i] = shadow_malloc(32 + i % 50 * 80);
    shadow_free(ptr);
    for (size_t i = 0; i < 300; i++)
        shadow_free(others[i]);
    return ptr;
}

/* After more frees of the same size than any cache holds. */
static void *beyond_any_cache(const struct crime *crime) {
    void *row[MANY];
    size_t count = crime->size < LARGE ? MANY : 200;
    shadow_row(row, count, crime->size);
    for (size_t i = 0; i < count; i += 2)
        shadow_free(row[i]);
    return row[0];
}

/* Of the middle of a row, those of the three around which `amount` has a bit for are freed. */
static void *neighbours_freed(const struct crime *crime) {
    void *row[ROW];
    size_t middle = ROW / 2;
    shadow_row(row, ROW, crime->size);
    for (size_t i = 0; i < 3; i++) {
        if (crime->amount >> i & 1)
            shadow_free(row[middle - 1 + i]);
    }
    shadow_malloc(16 * crime->size); /* no hole here holds it: merging is due */
    return row[middle];
}

/* What was the last block of all: merged into the untouched end, perhaps given back. */
static void *at_the_end(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    for (size_t i = ROW; i > ROW / 2; i--)
        shadow_free(row[i - 1]);
    return row[ROW - 1 - crime->amount];
}

/* "House of Botcake": cached ones, a merge below, then a cached one makes room for the second. */
static void *merged_then_cached(const struct crime *crime) {
    void *row[16];
    shadow_row(row, 16, crime->size);
    for (size_t i = 0; i < 7; i++)
        shadow_free(row[i]);
    shadow_free(row[9]);
    shadow_free(row[8]);
    if (shadow_malloc(crime->size) == row[9])
        crime_impossible("the block was handed out again");
    return row[9];
}

static void *cleared(const struct crime *crime) {
    void *ptr = shadow_calloc(crime->size);
    shadow_calloc(crime->size);
    shadow_free(ptr);
    return ptr;
}

static void *aligned(const struct crime *crime) {
    void *ptr = shadow_memalign(crime->amount, crime->size);
    shadow_malloc(crime->size);
    shadow_free(ptr);
    return ptr;
}

/* The old place of a block that realloc moved. */
static void *moved(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size), *now = ptr;
    for (size_t size = 2 * crime->size; now == ptr; size *= 2)
        now = shadow_realloc(ptr, size);
    return ptr;
}

static void *freed_by_realloc(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size);
    shadow_drop(ptr);
    free(realloc(ptr, 0)); /* some return a block */
    return ptr;
}

/* The start of what a shrinking block gave back, or left: it is free, and never was a block. */
static void *cut_off(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size);
    shadow_realloc(ptr, crime->amount);
    return ptr + crime->amount;
}

/* The address was handed out again, and the new block freed by its owner: both pointers are old. */
static void *of_another_life(const struct crime *crime) {
    void *ptr = at_once(crime);
    for (int i = 0; i < 64; i++)
        shadow_free(shadow_malloc(crime->size));
    return ptr;
}

/* The exception: a second free after the same address was handed out again. */
static void commit_reused(const struct crime *crime) {
    void *ptr = at_once(crime), *again = NULL;
    for (int i = 0; i < 64 && again != ptr; i++)
        again = shadow_malloc(crime->size);
    crime_free(ptr);
    crime_write(again, 'A', crime->size); /* by who believes to hold it */
}

/* ---- threads ----------------------------------------------------------------------------------
 */

static void *free_it(void *ptr) {
    free(ptr);
    return NULL;
}

static void *by_another_thread(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size);
    shadow_drop(ptr);
    crime_in_thread(free_it, ptr);
    return ptr;
}

static void commit_twice_by_another(const struct crime *crime) {
    void *ptr = by_another_thread(crime);
    crime_in_thread(free_it, ptr);
}

static void commit_then_by_another(const struct crime *crime) {
    void *ptr = at_once(crime);
    crime_in_thread(free_it, ptr);
}

static void *make_and_free(void *result) {
    const struct crime *crime = *(const struct crime **)result;
    void *ptr = malloc(crime->size), *other = malloc(crime->size);
    free(ptr);
    free(other);
    *(void **)result = ptr;
    return NULL;
}

static void *of_an_ended_thread(const struct crime *crime) {
    const void *result = crime;
    crime_in_thread(make_and_free, &result);
    return (void *)result;
}

const struct crime freed_crimes[] = {
    {"at-once-small", at_once, NULL, EVERY_CALL, SMALL, 0, ALREADY_FREE, STOPPED},
    {"at-once-medium", at_once, NULL, EVERY_CALL, MEDIUM, 0, ALREADY_FREE, STOPPED},
    {"at-once-large", at_once, NULL, EVERY_CALL, LARGE, 0, FREED, STOPPED},
    {"after-another-small", after_another, NULL, FREE, SMALL, 0, ALREADY_FREE, STOPPED},
    {"after-another-medium", after_another, NULL, FREE, MEDIUM, 0, ALREADY_FREE, STOPPED},
    {"overwritten-small", overwritten, NULL, FREE | REALLOC, SMALL, 0, ALREADY_FREE, STOPPED},
    {"overwritten-medium", overwritten, NULL, FREE, MEDIUM, 0, ALREADY_FREE, STOPPED},
    {"overwritten-large", overwritten, NULL, FREE, LARGE, 0, FREED, STOPPED},
    {"delayed-small", delayed, NULL, FREE, SMALL, 0, FREED, STOPPED},
    {"delayed-large", delayed, NULL, FREE, LARGE, 0, FREED, STOPPED},
    {"beyond-any-cache-small", beyond_any_cache, NULL, FREE | REALLOC, SMALL, 0, FREED, STOPPED},
    {"beyond-any-cache-medium", beyond_any_cache, NULL, FREE, MEDIUM, 0, FREED, STOPPED},
    {"beyond-any-cache-large", beyond_any_cache, NULL, FREE, LARGE, 0, FREED, STOPPED},
    {"merged-to-the-left", neighbours_freed, NULL, FREE, MEDIUM, 3, FREED, STOPPED},
    {"merged-to-the-right", neighbours_freed, NULL, FREE, MEDIUM, 6, FREED, STOPPED},
    {"merged-on-both-sides", neighbours_freed, NULL, EVERY_CALL, MEDIUM, 7, FREED, STOPPED},
    {"merged-on-both-sides-small", neighbours_freed, NULL, FREE, SMALL, 7, FREED, STOPPED},
    {"merged-on-both-sides-large", neighbours_freed, NULL, FREE, LARGE / 8, 7, FREED, STOPPED},
    {"last-of-the-heap-small", at_the_end, NULL, FREE, SMALL, 0, FREED, STOPPED},
    {"last-of-the-heap-large", at_the_end, NULL, FREE | REALLOC, LARGE, 0, FREED, STOPPED},
    {"inside-the-end", at_the_end, NULL, FREE, LARGE, ROW / 4, FREED, STOPPED},
    {"merged-then-cached", merged_then_cached, NULL, FREE, 264, 0, FREED, STOPPED},
    {"cleared", cleared, NULL, FREE, MEDIUM, 0, ALREADY_FREE, STOPPED},
    {"aligned-to-64", aligned, NULL, FREE, MEDIUM, 64, FREED, STOPPED},
    {"aligned-to-4096", aligned, NULL, FREE, MEDIUM, 4096, FREED, STOPPED},
    {"moved-by-realloc", moved, NULL, FREE | REALLOC, MEDIUM, 0, FREED, STOPPED},
    {"freed-by-realloc", freed_by_realloc, NULL, FREE, MEDIUM, 0, FREED, STOPPED},
    {"cut-off-by-realloc", cut_off, NULL, FREE | REALLOC, LARGE, 20000, FREED, STOPPED},
    {"of-another-life", of_another_life, NULL, FREE, SMALL, 0, ALREADY_FREE, STOPPED},
    {"of-another-thread", by_another_thread, NULL, FREE | REALLOC, SMALL, 0, FREED, STOPPED},
    {"of-an-ended-thread", of_an_ended_thread, NULL, FREE, SMALL, 0, FREED, STOPPED},
    {"free-twice-by-another-thread", NULL, commit_twice_by_another, 0, SMALL, 0, FREED, STOPPED},
    {"free-then-by-another-thread", NULL, commit_then_by_another, 0, SMALL, 0, FREED, STOPPED},
    {"free-after-reuse", NULL, commit_reused, 0, SMALL, 0, UNNOTICED, STOPPED},
    {0},
};
