/*
 * What the suites of `osmem map` look at: a program that fills heaps, prints the statistics of its
 * own allocator, and then does what it is told to:
 *
 *     heap_program BLOCKS THREADS [MOST] END
 *
 * BLOCKS blocks of up to MOST (3000) bytes for each thread, every third of them freed again, and
 * some mappings. END: wait (for a signal, that ends it), exit, abort, sleep (for a second), or
 * churn: all threads allocate and free until a signal ends them, and a dot is printed now and then.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "utils/osmem.h"

#pragma weak os_malloc_stats

static size_t block_count, most = 3000;
static pthread_barrier_t filled;
static int churning;

static void *fill(void *argument) {
    unsigned random = 1 + (unsigned)(size_t)argument;
    void **blocks = malloc((block_count + 1) * sizeof *blocks);
    for (size_t index = 0; index < block_count; index++) {
        random = random * 1103515245 + 12345;
        const size_t size = 1 + (random >> 8) % most;
        blocks[index] = malloc(size);
        memset(blocks[index], 1, size);
        if (index % 3 == 0)
            free(blocks[index]);
    }
    pthread_barrier_wait(&filled);
    return NULL;
}

static void churn(unsigned random, int prints) {
    enum { HELD = 500 };
    void *held[HELD] = {NULL};
    for (unsigned call = 0;; call++) {
        random = random * 1103515245 + 12345;
        void **place = &held[(random >> 8) % HELD];
        free(*place);
        const size_t size = (random >> 20) % 100 == 0 ? 200000 : 1 + (random >> 12) % most;
        *place = malloc(size);
        if (prints && call % 100000 == 0 && write(STDOUT_FILENO, ".", 1) != 1)
            _exit(95);
    }
}

/* The threads stay: their heaps then are not parked. */
static void *fill_and_stay(void *argument) {
    fill(argument);
    while (churning)
        churn((unsigned)(size_t)argument, 0);
    while (pause() != 0)
        continue;
    return NULL;
}

static void print_statistics(void) {
    char text[1000];
    struct os_stats stats;
    if (os_malloc_stats == NULL)
        _exit(98);
    os_malloc_stats(&stats);
    const int length =
        snprintf(text, sizeof text,
                 "allocated %zu in %zu\nfree %zu in %zu\nuntouched %zu\nmetadata %zu\n"
                 "heap %zu in %zu\nmapped %zu in %zu\ncached %zu\nresident %zu\n",
                 stats.allocated, stats.allocated_blocks, stats.free, stats.free_blocks,
                 stats.untouched, stats.metadata, stats.heap, stats.heaps, stats.mapped,
                 stats.mapped_blocks, stats.mapped_cached, stats.resident);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(97);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5)
        return 99;
    const char *const end = argv[argc - 1];
    if (argc == 5)
        most = (size_t)atol(argv[3]);
    block_count = (size_t)atol(argv[1]);
    const size_t threads = (size_t)atol(argv[2]);
    churning = strcmp(end, "churn") == 0;
    pthread_barrier_init(&filled, NULL, (unsigned)threads + 1);
    for (size_t index = 0; index < threads; index++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, fill_and_stay, (void *)(index + 1)) != 0)
            return 96;
    }
    fill(NULL);
    for (int index = 0; index < 3; index++)
        free(memset(malloc(700000), 1, 700000));
    memset(malloc(300000), 1, 100000);
    print_statistics();
    while (churning)
        churn(7, 1);

    if (strcmp(end, "wait") == 0)
        for (;;)
            pause();
    if (strcmp(end, "abort") == 0)
        abort();
    if (strcmp(end, "sleep") == 0)
        usleep(1000 * 1000);
    _exit(3);
}
