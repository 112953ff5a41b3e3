/*
 * thread_births - 100,000 threads are born and end, eight at a time. Each leaves a block that
 * another frees. Neither resident memory nor address space grow with their number.
 */
#include "test/faults/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 8
#define BLOCKS 30

static void *left[AT_ONCE];

static void *work(void *context) {
    size_t own = (size_t)context;
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(16 << i % 10);
        require(blocks[i] != NULL, "NULL in a thread");
        memset(blocks[i], 1, 16 << i % 10);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(__atomic_exchange_n(&left[(own + 1) % AT_ONCE], malloc(1000), __ATOMIC_ACQ_REL));
    return NULL;
}

int main(int argc, char **argv) {
    size_t count = count_of(argc, argv, 10000, 100000) / AT_ONCE, rss = 0, space = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_t threads[AT_ONCE];
        for (size_t j = 0; j < AT_ONCE; j++)
            require(pthread_create(&threads[j], NULL, work, (void *)j) == 0, "no thread");
        for (size_t j = 0; j < AT_ONCE; j++)
            pthread_join(threads[j], NULL);
        if (i == count / 10) {
            rss = status_kib("VmRSS:");
            space = status_kib("VmSize:");
        }
    }
    size_t rss_now = status_kib("VmRSS:"), space_now = status_kib("VmSize:");
    require(rss_now < rss + 4 * KIB, "resident memory has grown from %zu to %zu KiB", rss, rss_now);
    /* A heap more that a moment with more threads at once has left may be there. */
    require(space_now < space + 160 * KIB, "address space has grown from %zu to %zu KiB", space,
            space_now);
    require_sound_heap();
    return 0;
}
