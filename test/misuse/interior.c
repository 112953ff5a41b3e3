/* Pointers into blocks of the heap, live and free ones: not to where they start. */
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <stdint.h>

static void *of_a_live_block(const struct crime *crime) {
    return (char *)shadow_surrounded(crime->size) + crime->amount;
}

static void *of_a_free_block(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size);
    shadow_free(ptr);
    return ptr + crime->amount;
}

/* `amount` bytes before a block, where the end of its left neighbour is. */
static void *before_a_block(const struct crime *crime) {
    return (char *)shadow_surrounded(crime->size) - crime->amount;
}

/* Where a page begins inside the block. */
static void *at_a_page(const struct crime *crime) {
    uintptr_t ptr = (uintptr_t)shadow_surrounded(crime->size);
    return (void *)((ptr + 4096) & ~(uintptr_t)4095);
}

static void *of_an_aligned_block(const struct crime *crime) {
    return (char *)shadow_memalign(4096, crime->size) + crime->amount;
}

static void *of_cleared_memory(const struct crime *crime) {
    return (char *)shadow_calloc(crime->size) + crime->amount;
}

const struct crime interior_crimes[] = {
    {"small-and-1", of_a_live_block, NULL, EVERY_CALL, SMALL, 1, INSIDE_LIVE, STOPPED},
    {"small-and-8", of_a_live_block, NULL, FREE, SMALL, 8, INSIDE_LIVE, STOPPED},
    {"small-and-16", of_a_live_block, NULL, EVERY_CALL, SMALL, 16, INSIDE_LIVE, STOPPED},
    {"medium-and-1", of_a_live_block, NULL, FREE, MEDIUM, 1, INSIDE_LIVE, STOPPED},
    {"medium-and-16", of_a_live_block, NULL, FREE | REALLOC, MEDIUM, 16, INSIDE_LIVE, STOPPED},
    {"medium-and-half", of_a_live_block, NULL, FREE, MEDIUM, 496, INSIDE_LIVE, STOPPED},
    {"medium-last", of_a_live_block, NULL, FREE, MEDIUM, MEDIUM - 1, INSIDE_LIVE, STOPPED},
    {"large-and-1", of_a_live_block, NULL, FREE, LARGE, 1, INSIDE_LIVE, STOPPED},
    {"large-and-16", of_a_live_block, NULL, FREE | REALLOC, LARGE, 16, INSIDE_LIVE, STOPPED},
    {"large-and-half", of_a_live_block, NULL, FREE, LARGE, LARGE / 2, INSIDE_LIVE, STOPPED},
    {"large-at-a-page", at_a_page, NULL, FREE | REALLOC, LARGE, 0, INSIDE_LIVE, STOPPED},
    {"aligned-and-64", of_an_aligned_block, NULL, FREE, MEDIUM, 64, INSIDE_LIVE, STOPPED},
    {"cleared-and-32", of_cleared_memory, NULL, FREE, MEDIUM, 32, INSIDE_LIVE, STOPPED},
    {"1-before-large", before_a_block, NULL, FREE, LARGE, 1, INSIDE_LIVE, STOPPED},
    {"8-before-large", before_a_block, NULL, FREE, LARGE, 8, INSIDE_LIVE, STOPPED},
    {"16-before-large", before_a_block, NULL, FREE | REALLOC, LARGE, 16, INSIDE_LIVE, STOPPED},
    {"free-small-and-1", of_a_free_block, NULL, FREE, SMALL, 1, INSIDE_FREE, STOPPED},
    {"free-small-and-16", of_a_free_block, NULL, FREE | REALLOC, SMALL, 16, INSIDE_FREE, STOPPED},
    {"free-medium-and-half", of_a_free_block, NULL, FREE, MEDIUM, 496, INSIDE_FREE, STOPPED},
    {"free-large-and-half", of_a_free_block, NULL, FREE, LARGE, LARGE / 2, INSIDE_FREE, STOPPED},
    {0},
};
