/* RTLD_DEFAULT */
#define _GNU_SOURCE
#include "test/faults/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_BYTES 2000

static void say(const char *format, va_list arguments) {
    char line[512];
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    if (length < 0)
        return;
    size_t size = (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 2;
    line[size] = '\n';
    if (write(STDERR_FILENO, line, size + 1) < 0)
        return;
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    _exit(1);
}

void skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    _exit(FAULT_SKIPPED);
}

size_t count_of(int argc, char **argv, size_t count, size_t long_count) {
    return argc > 1 && strcmp(argv[argc - 1], "long") == 0 ? long_count : count;
}

void require_sound_heap(void) {
    int (*check)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "os_heap_check");
    require(check == NULL || check() == 0, "the heap's invariants do not hold");
}

void require_child(pid_t child, const char *what) {
    int status;
    require(child > 0, "%s: no child: %s", what, strerror(errno));
    while (waitpid(child, &status, 0) != child)
        require(errno == EINTR, "%s: waitpid: %s", what, strerror(errno));
    require(!WIFSIGNALED(status), "%s: the child died of signal %d", what, WTERMSIG(status));
    require(WEXITSTATUS(status) == 0, "%s: the child ended with status %d", what,
            WEXITSTATUS(status));
}

/* Read at once and without stdio, which would allocate. */
size_t status_kib(const char *name) {
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    require(size > 0, "/proc/self/status cannot be read");
    close(file);
    text[size] = '\0';
    const char *line = strstr(text, name);
    require(line != NULL, "/proc/self/status has no %s", name);
    return strtoul(line + strlen(name) + 1, NULL, 10);
}

/* ---- blocks -------------------------------------------------------------------------------------
 */

static unsigned char expected(const struct block *block, size_t i) {
    return (unsigned char)((block->seed + i) * 0x9e3779b97f4a7c15u >> 56);
}

static size_t end_bytes(const struct block *block) {
    return block->size < END_BYTES ? block->size : END_BYTES;
}

void block_fill(const struct block *block) {
    size_t ends = end_bytes(block);
    for (size_t i = 0; i < ends; i++)
        block->start[i] = expected(block, i);
    for (size_t i = block->size - ends; i < block->size; i++)
        block->start[i] = expected(block, i);
}

/* Of the first `size` bytes. */
static void require_start(const struct block *block, const unsigned char *start, size_t size) {
    size_t ends = end_bytes(block);
    for (size_t i = 0; i < ends && i < size; i++)
        require(start[i] == expected(block, i), "byte %zu of a block of %zu has changed", i,
                block->size);
    for (size_t i = block->size - ends; i < size; i++)
        require(start[i] == expected(block, i), "byte %zu of a block of %zu has changed", i,
                block->size);
}

void block_require(const struct block *block) { require_start(block, block->start, block->size); }

/* ---- the workload -------------------------------------------------------------------------------
 */

/* Steele, Lea and Flood (2014): SplitMix. */
uint64_t draw(uint64_t *random) {
    uint64_t mixed = *random += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static size_t draw_size(struct workload *workload) {
    unsigned bits = 64 - (unsigned)__builtin_clzl(workload->largest);
    size_t top = (size_t)1 << draw(&workload->random) % bits;
    size_t size = top + draw(&workload->random) % top;
    return size < workload->largest ? size : workload->largest;
}

/* Whether memory was given; what was not has to be ENOMEM. */
static bool given(struct workload *workload, const void *start, size_t size) {
    if (start != NULL)
        return true;
    require(errno == ENOMEM, "NULL for %zu bytes with errno %d", size, errno);
    workload->refused++;
    return false;
}

static void require_zero(const unsigned char *start, size_t size) {
    size_t step = size < 64 * KIB ? 1 : size / 4096 | 1; /* of large ones, some bytes */
    for (size_t i = 0; i < size; i += step)
        require(start[i] == 0, "calloc: byte %zu of %zu is not zero", i, size);
}

static void allocate_one(struct workload *workload) {
    size_t size = draw_size(workload), alignment = 16;
    if (workload->count == WORKLOAD_BLOCKS || workload->bytes + size > workload->limit)
        return;
    struct block block = {NULL, size, draw(&workload->random)};
    errno = 0;
    switch (draw(&workload->random) % 8) {
    case 0:
        block.start = calloc(1, size);
        if (block.start != NULL)
            require_zero(block.start, size);
        break;
    case 1: /* whether it is aligned is another question: mimalloc 2.0.9's sometimes is not */
        alignment <<= draw(&workload->random) % 9;
        block.start = aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
        break;
    default:
        block.start = malloc(size);
    }
    if (!given(workload, block.start, size))
        return;
    block_fill(&block);
    workload->blocks[workload->count++] = block;
    workload->bytes += size;
}

static void resize_one(struct workload *workload, struct block *block) {
    size_t size = draw_size(workload);
    if (workload->bytes - block->size + size > workload->limit)
        return;
    errno = 0;
    unsigned char *start = realloc(block->start, size);
    if (!given(workload, start, size)) {
        block_require(block);
        return;
    }
    require_start(block, start, size < block->size ? size : block->size);
    workload->bytes += size - block->size;
    *block = (struct block){start, size, draw(&workload->random)};
    block_fill(block);
}

static void free_one(struct workload *workload, size_t index) {
    struct block *block = &workload->blocks[index];
    block_require(block);
    free(block->start);
    workload->bytes -= block->size;
    *block = workload->blocks[--workload->count];
}

void workload_run(struct workload *workload, size_t steps) {
    for (size_t step = 0; step < steps; step++) {
        uint64_t choice = draw(&workload->random) % 16;
        size_t index = workload->count == 0 ? 0 : draw(&workload->random) % workload->count;
        if (choice < 7 || workload->count == 0)
            allocate_one(workload);
        else if (choice < 10)
            resize_one(workload, &workload->blocks[index]);
        else
            free_one(workload, index);
    }
}

bool workload_fill(struct workload *workload) {
    size_t refused = workload->refused, idle = 0;
    while (workload->refused == refused && idle < 100) {
        size_t count = workload->count;
        allocate_one(workload);
        idle = workload->count == count ? idle + 1 : 0;
    }
    return workload->refused != refused;
}

void workload_require(const struct workload *workload) {
    for (size_t i = 0; i < workload->count; i++)
        block_require(&workload->blocks[i]);
}

void workload_free(struct workload *workload, size_t nth) {
    for (size_t i = workload->count; i-- > 0;) {
        if (i % nth == 0)
            free_one(workload, i);
    }
}
