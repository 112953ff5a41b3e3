/* memalign */
#define _GNU_SOURCE
#include "test/misuse/shadow.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/misuse/crime.h"

#define HELD_MAX 65536
#define WRITTEN_MAX 256
#define AFTERMATH_STEPS 1500
#define AFTERMATH_BYTES ((size_t)24 << 20) /* all that is filled in it, about */

struct held {
    char *start;
    size_t size;
    uint64_t pattern;
    bool allocated; /* from the allocator */
    bool spoiled;   /* the crime wrote into it */
};

static struct held held[HELD_MAX];
static size_t held_count;

/* Where the crime wrote, in memory that the program held or did not. */
static struct { const char *start, *end; } written[WRITTEN_MAX];
static size_t written_count;

static uint64_t entered_count;
static volatile bool touching;

static uint64_t random_state = 88172645463325252u;

static size_t random_below(size_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % limit;
}

bool shadow_is_touching(void) { return touching; }

_Noreturn void shadow_corrupted(const char *what) {
    ssize_t done = write(STDOUT_FILENO, what, strlen(what));
    done = write(STDOUT_FILENO, "\n", 1);
    (void)done;
    _exit(EXIT_CORRUPTED);
}

/* ---- contents ---------------------------------------------------------------------------------
 */

static void fill(const struct held *block) {
    size_t i = 0;
    touching = true;
    for (; i + sizeof block->pattern <= block->size; i += sizeof block->pattern)
        memcpy(block->start + i, &block->pattern, sizeof block->pattern);
    memcpy(block->start + i, &block->pattern, block->size - i);
    touching = false;
}

static void check(const struct held *block, size_t size) {
    size_t i = 0;
    bool same = true;
    if (block->spoiled)
        return;
    touching = true;
    for (; same && i + sizeof block->pattern <= size; i += sizeof block->pattern)
        same = memcmp(block->start + i, &block->pattern, sizeof block->pattern) == 0;
    same = same && memcmp(block->start + i, &block->pattern, size - i) == 0;
    touching = false;
    if (!same)
        shadow_corrupted("the contents of a live block changed");
}

void shadow_check(void) {
    for (size_t i = 0; i < held_count; i++)
        check(&held[i], held[i].size);
}

/* ---- what is held -----------------------------------------------------------------------------
 */

/* The newest first: most are given up soon. */
static struct held *find(const void *ptr) {
    for (size_t i = held_count; i > 0; i--) {
        if (held[i - 1].start == ptr)
            return &held[i - 1];
    }
    return NULL;
}

bool shadow_is_start(const void *ptr) { return find(ptr) != NULL; }

static bool overlap(const struct held *block, const char *start, size_t size) {
    return block->start < start + size && start < block->start + block->size;
}

void shadow_enter(void *ptr, size_t size, bool allocated) {
    char *start = ptr;
    if (start == NULL)
        shadow_corrupted("no memory is left");
    if (allocated && (uintptr_t)start % sizeof(void *) != 0)
        shadow_corrupted("a block is not aligned");
    for (size_t i = 0; i < held_count; i++) {
        if (overlap(&held[i], start, size))
            shadow_corrupted(held[i].allocated ? "a live block was handed out again"
                                               : "memory of the program was handed out");
    }
    if (held_count == HELD_MAX)
        crime_impossible("the model is full");
    struct held *block = &held[held_count++];
    *block = (struct held){start, size, ++entered_count * 0x9e3779b97f4a7c15u, allocated, false};
    fill(block);
}

static void drop(struct held *block) { *block = held[--held_count]; }

void shadow_drop(void *ptr) {
    struct held *block = find(ptr);
    if (block != NULL)
        drop(block);
}

void shadow_spoil(const void *ptr, size_t size) {
    const char *start = ptr;
    for (size_t i = 0; i < held_count; i++)
        held[i].spoiled |= overlap(&held[i], ptr, size);
    if (written_count > 0 && written[written_count - 1].end == start) {
        written[written_count - 1].end += size;
        return;
    }
    if (written_count == WRITTEN_MAX)
        crime_impossible("the crime is too scattered for the model");
    written[written_count].start = start;
    written[written_count++].end = start + size;
}

static bool is_written(const char *ptr) {
    bool is = false;
    for (size_t i = 0; i < written_count; i++)
        is |= ptr >= written[i].start && ptr < written[i].end;
    return is;
}

/* ---- allocation -------------------------------------------------------------------------------
 */

void *shadow_malloc(size_t size) {
    void *ptr = malloc(size);
    shadow_enter(ptr, size, true);
    return ptr;
}

/* An allocator may trust memory that it never handed out to be zero: what is not, the crime wrote.
 */
void *shadow_calloc(size_t size) {
    char *ptr = calloc(1, size);
    for (size_t i = 0; ptr != NULL && i < size; i++) {
        if (ptr[i] != 0 && !is_written(ptr + i))
            shadow_corrupted("calloc's memory is not zero");
    }
    shadow_enter(ptr, size, true);
    return ptr;
}

void *shadow_memalign(size_t alignment, size_t size) {
    void *ptr = memalign(alignment, size);
    if ((uintptr_t)ptr % alignment != 0)
        shadow_corrupted("memalign's memory is not aligned");
    shadow_enter(ptr, size, true);
    return ptr;
}

void *shadow_realloc(void *ptr, size_t size) {
    struct held *block = find(ptr), old = *block;
    check(block, block->size);
    drop(block);
    old.start = realloc(ptr, size);
    if (old.start != NULL)
        check(&old, size < old.size ? size : old.size);
    shadow_enter(old.start, size, true);
    return old.start;
}

static void release(struct held *block) {
    void *ptr = block->start;
    check(block, block->size);
    drop(block);
    free(ptr);
}

static void release_some(void) {
    struct held *some = &held[random_below(held_count)];
    if (some->allocated)
        release(some);
}

void shadow_free(void *ptr) {
    struct held *block = find(ptr);
    if (block == NULL)
        crime_impossible("the program frees what it does not hold");
    release(block);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

/* Shell's method, in place: qsort may allocate. */
static void sort_addresses(void **row, size_t count) {
    for (size_t gap = count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < count; i++) {
            void *moving = row[i];
            size_t j = i;
            for (; j >= gap && (uintptr_t)row[j - gap] > (uintptr_t)moving; j -= gap)
                row[j] = row[j - gap];
            row[j] = moving;
        }
    }
}

void shadow_row(void **row, size_t count, size_t size) {
    for (size_t i = 0; i < count; i++)
        row[i] = shadow_malloc(size);
    sort_addresses(row, count);
}

static size_t gap_behind(void **row, size_t index, size_t size) {
    return (size_t)((char *)row[index + 1] - ((char *)row[index] + size));
}

size_t shadow_widest_gap(void **row, size_t count, size_t size) {
    size_t widest = 1;
    for (size_t i = 1; i + 2 < count; i++) {
        if (gap_behind(row, i, size) > gap_behind(row, widest, size))
            widest = i;
    }
    return widest;
}

size_t shadow_narrowest_gap(void **row, size_t count, size_t size) {
    size_t narrowest = count / 2;
    for (size_t i = 1; i + 2 < count; i++) {
        if (gap_behind(row, i, size) < gap_behind(row, narrowest, size))
            narrowest = i;
    }
    return narrowest;
}

void *shadow_first(void) {
    char *first = NULL;
    for (size_t i = 0; i < held_count; i++) {
        if (held[i].allocated && (first == NULL || held[i].start < first))
            first = held[i].start;
    }
    return first;
}

void *shadow_last(void) {
    char *last = NULL;
    for (size_t i = 0; i < held_count; i++) {
        if (held[i].allocated && held[i].start > last)
            last = held[i].start;
    }
    return last;
}

void *shadow_surrounded(size_t size) {
    void *row[16];
    size_t count = size >= MAPPED ? 4 : 16;
    shadow_row(row, count, size);
    return row[count / 2];
}

/* ---- before and after -------------------------------------------------------------------------
 */

void shadow_live_in(size_t bytes) {
    size_t sizes = 0;
    while (sizes < bytes) {
        size_t size = 1 + random_below(random_below(4) == 0 ? 4000 : 400);
        shadow_malloc(size);
        sizes += size;
    }
    for (size_t i = held_count / 4; i > 0; i--)
        release_some();
}

static size_t size_about(size_t size) {
    switch (random_below(8)) {
    case 0:
        return size / 2 + 1;
    case 1:
        return size + 16;
    case 2:
        return 2 * size;
    case 3:
        return size < LARGE ? 1 + random_below(2000) : size;
    default:
        return size;
    }
}

static void release_all(void) {
    while (held_count > 0) {
        struct held *last = &held[held_count - 1];
        if (last->allocated)
            release(last);
        else {
            check(last, last->size);
            drop(last);
        }
    }
}

void shadow_aftermath(size_t size) {
    size_t steps = AFTERMATH_BYTES / size;
    if (steps > AFTERMATH_STEPS)
        steps = AFTERMATH_STEPS;
    shadow_check();
    for (size_t i = 0; i < steps; i++) {
        if (i % 16 == 0)
            shadow_realloc(shadow_malloc(size), size_about(size));
        else if (i % 16 == 1)
            shadow_calloc(size_about(size));
        else
            shadow_malloc(size_about(size));
        if (random_below(3) == 0)
            release_some();
    }
    shadow_check();
    release_all();
    for (size_t i = 0; i < steps / 4; i++)
        shadow_malloc(size_about(size));
    release_all();
}
