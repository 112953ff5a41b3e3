/*
 * fault.h - what the programs of this folder share: how they fail, and a workload whose blocks are
 * known to the byte.
 *
 * Each program is one fault, plain C that knows nothing of the allocator below it: it passes with
 * status 0, fails with a line and status 1, is skipped with a line and status FAULT_SKIPPED. On
 * osmem, recognised by its interface, the invariants of the heap are checked as well. The last
 * argument "long" asks for the large counts.
 */
#ifndef OSMEM_TEST_FAULTS_FAULT_H
#define OSMEM_TEST_FAULTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULT_SKIPPED 77
#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* One line, without the C library's allocator, and the end of the process. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define require(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__VA_ARGS__);                                                                     \
    } while (0)

/* `long_count` if the last argument is "long". */
size_t count_of(int argc, char **argv, size_t count, size_t long_count);

/* On osmem: the calling thread's heap and the mapped blocks are as they have to be. */
void require_sound_heap(void);

/* Waits for a child that has to end with status 0. */
void require_child(pid_t child, const char *what);

/* A number of /proc/self/status in KiB, such as "VmRSS". */
size_t status_kib(const char *name);

/* ---- blocks whose contents are known ------------------------------------------------------------
 */

struct block {
    unsigned char *start;
    size_t size;
    uint64_t seed;
};

/* Writes both ends of a block, all of it if it is not large; fails if that has changed. */
void block_fill(const struct block *block);
void block_require(const struct block *block);

#define WORKLOAD_BLOCKS 4000

/*
 * Allocates, resizes and frees at random, by all of malloc, calloc, realloc and aligned_alloc. NULL
 * has to come with ENOMEM and change nothing. One thread.
 */
struct workload {
    uint64_t random; /* the state of its numbers: any seed */
    size_t largest;  /* sizes are drawn up to this, each power of two alike */
    size_t limit;    /* bytes held at most */
    size_t bytes;    /* held now */
    size_t count;
    size_t refused; /* calls that returned NULL */
    struct block blocks[WORKLOAD_BLOCKS];
};

uint64_t draw(uint64_t *random);
void workload_run(struct workload *workload, size_t steps);
/* Allocates until NULL or the limit; false: the limit. */
bool workload_fill(struct workload *workload);
void workload_require(const struct workload *workload);
/* Checks and frees every n-th block. */
void workload_free(struct workload *workload, size_t nth);

#endif
