/*
 * Blocks that look like blocks: with headers before them as dlmalloc's descendants write them, or
 * with a faithful copy of all that surrounds a real one.
 */
/* pread, MAP_ANONYMOUS */
#define _GNU_SOURCE
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROW 64
#define PREV_IN_USE ((size_t)1)
#define IS_MAPPED ((size_t)2)
#define CHUNK ((size_t)4 << 20)
#define PAGE 4096

/* A chunk of `size` at `header`, and the size of the one behind it; returns the block in it. */
static void *forge(void *header, size_t size) {
    size_t *words = header;
    crime_write_word(&words[0], 0);
    crime_write_word(&words[1], size | PREV_IN_USE);
    crime_write_word((char *)header + size + 8, 32 | PREV_IN_USE);
    return &words[2];
}

static void *on_the_stack(const struct crime *crime) {
    return forge(crime_stack + 64, crime->size + 16);
}

static void *global(const struct crime *crime) {
    return forge(crime_global + 64, crime->size + 16);
}

static void *in_a_live_block(const struct crime *crime) {
    return forge((char *)shadow_malloc(4 * crime->size + 256) + 64, crime->size + 16);
}

/* What munmap would be called for. */
static void *as_mapped(const struct crime *crime) {
    char *memory = shadow_memalign(PAGE, 4 * PAGE);
    crime_write_word(memory + PAGE, 0);
    crime_write_word(memory + PAGE + 8, crime->amount | IS_MAPPED);
    return memory + PAGE + 16;
}

/* A copy of a live block and of what stands before it. */
static void *copied(const struct crime *crime) {
    char *ptr = shadow_surrounded(crime->size), *copy = shadow_malloc(crime->size + 4 * PAGE);
    size_t before = (uintptr_t)ptr % PAGE < 128 ? (uintptr_t)ptr % PAGE : 128;
    copy += (PAGE + (uintptr_t)ptr % PAGE - (uintptr_t)copy % PAGE) % PAGE + PAGE;
    shadow_spoil(copy - before, before + crime->size);
    memcpy(copy - before, ptr - before, before + crime->size);
    return copy;
}

/* A copy of all that lies in the same 4 MiB as a live block, as far as it can be read. */
static void *copied_whole(const struct crime *crime) {
    uintptr_t ptr = (uintptr_t)shadow_surrounded(crime->size), base = ptr & ~(CHUNK - 1);
    char *space = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (space == MAP_FAILED || memory < 0)
        crime_impossible("neither space nor /proc/self/mem");
    shadow_enter(space, 2 * CHUNK, false);
    shadow_spoil(space, 2 * CHUNK);
    char *copy = (char *)(((uintptr_t)space + CHUNK - 1) & ~(CHUNK - 1));
    for (size_t at = 0; at < CHUNK; at += PAGE) {
        ssize_t got = pread(memory, copy + at, PAGE, (off_t)(base + at));
        (void)got; /* -1: nothing is there */
    }
    close(memory);
    return copy + (ptr - base);
}

/* ---- headers of neighbours ------------------------------------------------------------------- */

/* A zero byte behind the end: the left neighbour seems free, and as long as the forger says. */
static void null_byte(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    size_t index = shadow_narrowest_gap(row, ROW, crime->size);
    char *victim = row[index], *end = victim + malloc_usable_size(victim);
    crime_write_word(end - 8, crime->size + 16 + crime->amount);
    crime_write(end, 0, 1);
    shadow_free(row[index + 1]);
}

/* The right neighbour seems to be several blocks long. */
static void enlarged(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    size_t index = shadow_narrowest_gap(row, ROW - 8, crime->size);
    char *victim = row[index], *next = row[index + 1];
    size_t stride = (size_t)(next - victim);
    crime_write_word(victim + malloc_usable_size(victim), crime->amount * stride | PREV_IN_USE);
    shadow_free(next);
}

/* "House of Force": the untouched end seems endless. */
static void endless(const struct crime *crime) {
    void *row[ROW];
    shadow_row(row, ROW, crime->size);
    char *last = row[ROW - 1];
    crime_write_word(last + malloc_usable_size(last), SIZE_MAX);
    shadow_malloc(LARGE);
}

const struct crime forged_crimes[] = {
    {"forged-on-the-stack", on_the_stack, NULL, FREE | REALLOC, SMALL, 0, FOREIGN, STOPPED},
    {"forged-on-the-stack-medium", on_the_stack, NULL, FREE, MEDIUM, 0, FOREIGN, STOPPED},
    {"forged-global", global, NULL, FREE | REALLOC, SMALL, 0, FOREIGN, STOPPED},
    {"forged-in-a-live-block", in_a_live_block, NULL, FREE | REALLOC, SMALL, 0, INSIDE_LIVE,
     STOPPED},
    {"forged-in-a-live-block-medium", in_a_live_block, NULL, FREE, MEDIUM, 0, INSIDE_LIVE, STOPPED},
    {"forged-as-mapped", as_mapped, NULL, FREE | REALLOC, SMALL, PAGE, INSIDE_LIVE, STOPPED},
    {"copied-small", copied, NULL, FREE, SMALL, 0, INSIDE_LIVE, STOPPED},
    {"copied-medium", copied, NULL, FREE | REALLOC, MEDIUM, 0, INSIDE_LIVE, STOPPED},
    {"copied-with-its-chunk", copied_whole, NULL, EVERY_CALL, SMALL, 0, FOREIGN, STOPPED},
    {"forged-null-byte", NULL, null_byte, 0, 504, 0, UNNOTICED, STOPPED},
    {"forged-null-byte-large", NULL, null_byte, 0, 4088, 0, UNNOTICED, STOPPED},
    {"forged-enlarged", NULL, enlarged, 0, SMALL, 3, UNNOTICED, STOPPED},
    {"forged-enlarged-medium", NULL, enlarged, 0, 2 * MEDIUM, 3, UNNOTICED, STOPPED},
    {"forged-endless", NULL, endless, 0, MEDIUM, 0, UNNOTICED, STOPPED},
    {0},
};
