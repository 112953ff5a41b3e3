/* Blocks that are large enough to be mapped one by one: the same crimes, and some of their own. */
/* MAP_FIXED_NOREPLACE */
#define _GNU_SOURCE
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <malloc.h>
#include <sys/mman.h>

static void *freed(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size);
    shadow_free(ptr);
    return ptr;
}

/* So often that an allocator may well keep it. */
static void *freed_and_kept(const struct crime *crime) {
    void *ptr = NULL;
    for (int i = 0; i < 10; i++) {
        ptr = shadow_malloc(crime->size);
        shadow_free(ptr);
    }
    return ptr;
}

static void *inside_a_freed(const struct crime *crime) {
    return (char *)freed_and_kept(crime) + crime->amount;
}

static void *freed_with_its_neighbours(const struct crime *crime) {
    void *row[8];
    shadow_row(row, 8, crime->size);
    for (size_t i = 2; i < 7; i++)
        shadow_free(row[i]);
    return row[4];
}

static void *inside(const struct crime *crime) {
    return (char *)shadow_surrounded(crime->size) + crime->amount;
}

static void *moved(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size), *now = ptr;
    for (size_t size = 2 * crime->size; now == ptr; size *= 2) {
        shadow_malloc(crime->size); /* stands in the way */
        now = shadow_realloc(ptr, size);
    }
    return ptr;
}

static void *shrunk_below_the_threshold(const struct crime *crime) {
    void *ptr = shadow_surrounded(crime->size);
    if (shadow_realloc(ptr, SMALL) == ptr)
        shadow_free(ptr); /* it stayed where it was */
    return ptr;
}

static void *cut_off(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size);
    shadow_realloc(ptr, crime->size / 2);
    return ptr + crime->amount;
}

/* The program maps something of its own where the freed block was. */
static void *mapped_again(const struct crime *crime) {
    void *ptr = freed(crime);
    void *own = mmap(ptr, crime->size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (own == ptr)
        shadow_enter(own, crime->size, false);
    return ptr;
}

static void *behind(const struct crime *crime) {
    void *row[4];
    shadow_row(row, 4, crime->size);
    char *last = row[3];
    return last + malloc_usable_size(last) + crime->amount;
}

static void *inside_an_aligned(const struct crime *crime) {
    return (char *)shadow_memalign(2 * crime->size, crime->size) + crime->amount;
}

#define HALF (MAPPED / 2)
#define FREED_MAPPED FOREIGN

const struct crime mapped_crimes[] = {
    {"mapped-freed", freed, NULL, EVERY_CALL, MAPPED, 0, FREED_MAPPED, STOPPED},
    {"mapped-freed-and-kept", freed_and_kept, NULL, EVERY_CALL, MAPPED, 0, FREED_MAPPED, STOPPED},
    {"mapped-freed-inside", inside_a_freed, NULL, FREE, MAPPED, 4096, FREED_MAPPED, STOPPED},
    {"mapped-freed-with-neighbours", freed_with_its_neighbours, NULL, FREE, MAPPED, 0, FREED_MAPPED,
     STOPPED},
    {"mapped-freed-mapped-again", mapped_again, NULL, FREE | REALLOC, MAPPED, 0, FREED_MAPPED,
     STOPPED},
    {"mapped-and-1", inside, NULL, FREE, MAPPED, 1, INSIDE_MAPPED, STOPPED},
    {"mapped-and-16", inside, NULL, EVERY_CALL, MAPPED, 16, INSIDE_MAPPED, STOPPED},
    {"mapped-and-4096", inside, NULL, EVERY_CALL, MAPPED, 4096, INSIDE_MAPPED, STOPPED},
    {"mapped-and-half", inside, NULL, FREE, MAPPED, HALF, INSIDE_MAPPED, STOPPED},
    {"mapped-last", inside, NULL, FREE, MAPPED, MAPPED - 16, INSIDE_MAPPED, STOPPED},
    {"mapped-aligned-and-half", inside_an_aligned, NULL, FREE, MAPPED, HALF, INSIDE_MAPPED,
     STOPPED},
    {"mapped-behind", behind, NULL, FREE | REALLOC, MAPPED, 4096, FOREIGN, STOPPED},
    {"mapped-moved", moved, NULL, FREE | REALLOC, MAPPED, 0, FREED_MAPPED, STOPPED},
    {"mapped-shrunk-to-small", shrunk_below_the_threshold, NULL, FREE, MAPPED, 0, FREED_MAPPED,
     STOPPED},
    {"mapped-cut-off", cut_off, NULL, FREE | REALLOC, MAPPED, HALF, FREED_MAPPED, STOPPED},
    {"mapped-cut-off-inside", cut_off, NULL, FREE, MAPPED, HALF + 8192, FREED_MAPPED, STOPPED},
    {0},
};
