/*
 * thread_exit - destructors of threads that end allocate and free, in every round of destructors
 * that there is, after the allocator's own destructor has run as well as before. Nothing is lost:
 * what the process holds does not grow with the number of threads.
 */
#include "test/faults/fault.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 3
#define BLOCKS 40
#define BYTES 20000

struct late {
    size_t key, rounds;
    void *blocks[BLOCKS];
};

static pthread_key_t keys[KEYS];
static size_t destroyed;

static void allocate_late(struct late *late) {
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 1 + i * i * BYTES / (BLOCKS * BLOCKS);
        late->blocks[i] = malloc(size);
        require(late->blocks[i] != NULL, "NULL in a destructor");
        memset(late->blocks[i], (int)i, size);
    }
}

/* Asks to be called again as often as that is possible. */
static void destroy(void *context) {
    struct late *late = context;
    for (size_t i = 0; i < BLOCKS; i++) {
        require(*(unsigned char *)late->blocks[i] == i, "a block of a thread has changed");
        free(late->blocks[i]);
    }
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    if (++late->rounds == PTHREAD_DESTRUCTOR_ITERATIONS) {
        free(late);
        return;
    }
    allocate_late(late);
    pthread_setspecific(keys[late->key], late);
}

static void *work(void *context) {
    (void)context;
    for (size_t i = 0; i < KEYS; i++) {
        struct late *late = calloc(1, sizeof *late);
        require(late != NULL, "NULL in a thread");
        late->key = i;
        allocate_late(late);
        pthread_setspecific(keys[i], late);
    }
    return NULL;
}

int main(int argc, char **argv) {
    size_t threads = count_of(argc, argv, 2000, 50000), early = threads / 4, before = 0;
    /* Keys older than the allocator's, and younger. */
    pthread_key_create(&keys[0], destroy);
    free(malloc(100));
    pthread_key_create(&keys[1], destroy);
    pthread_key_create(&keys[2], destroy);
    for (size_t i = 0; i < threads; i++) {
        pthread_t thread;
        require(pthread_create(&thread, NULL, work, NULL) == 0, "no thread");
        pthread_join(thread, NULL);
        if (i == early)
            before = status_kib("VmRSS:");
    }
    size_t after = status_kib("VmRSS:");
    require(destroyed == threads * KEYS * PTHREAD_DESTRUCTOR_ITERATIONS,
            "destructors ran %zu times", destroyed);
    require(after < before + 4 * KIB, "grown from %zu to %zu KiB by threads that ended", before,
            after);
    require_sound_heap();
    return 0;
}
