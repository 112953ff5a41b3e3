/*
 * still_program JSON MAP: fills three heaps and some mappings, writes the statistics and a map by
 * the calls of the drop-in that it runs on, and stands still until its standard input ends.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "utils/osmem.h"

#pragma weak os_malloc_stats_print
#pragma weak os_heap_map

static pthread_barrier_t filled;

static void *fill(void *argument) {
    enum { BLOCKS = 3000 };
    static void *blocks[3][BLOCKS];
    size_t own = (size_t)argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 1 + i * 7919 % 3001;
        blocks[own][i] = i % 4 ? malloc(size) : calloc(1, size);
        if (i % 5 == 0)
            blocks[own][i / 2] = realloc(blocks[own][i / 2], size + 10);
        if (i % 3 == 0) {
            free(blocks[own][i]);
            blocks[own][i] = NULL;
        }
    }
    pthread_barrier_wait(&filled);
    /* Blocks of others: not taken in by their owners. */
    for (size_t i = 0; i < 100; i++) {
        free(blocks[(own + 1) % 3][i]);
        blocks[(own + 1) % 3][i] = NULL;
    }
    pthread_barrier_wait(&filled);
    while (own != 0)
        pause();
    return NULL;
}

int main(int argc, char **argv) {
    char done[4096];
    pthread_t thread;
    if (argc != 3 || os_malloc_stats_print == NULL)
        return 1;
    pthread_barrier_init(&filled, NULL, 3);
    for (size_t i = 1; i < 3; i++)
        pthread_create(&thread, NULL, fill, (void *)i);
    fill(0);
    void *mapped = malloc(1000001);
    memset(mapped, 1, 5000);
    for (int i = 0; i < 3; i++)
        free(malloc(500000));
    int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    snprintf(done, sizeof done, "%s.done", argv[2]);
    if (os_malloc_stats_print(file, OS_STATS_JSON) != 0 || os_heap_map(argv[2]) != 0)
        return 2;
    close(open(done, O_WRONLY | O_CREAT, 0600));
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 0)
        return 3;
    _exit(0);
}
