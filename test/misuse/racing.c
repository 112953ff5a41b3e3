/*
 * Two threads free the same block, or one frees what the other resizes, as close to the same moment
 * as they can, hundreds of times; what either then gets from the allocator the model sees.
 */
/* sched_yield */
#define _GNU_SOURCE
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define ROUNDS_MAX 400
#define GOT_MAX 64

static struct {
    size_t round;   /* that the other thread may begin; atomic */
    size_t arrived; /* it has seen that; atomic */
    size_t rounds;
    size_t size;
    void *blocks[ROUNDS_MAX];
    void *got[GOT_MAX]; /* by the other thread, in the end */
} race;

/* Many more waits than a meeting of two running threads takes; then the other has no processor. */
static void wait_until(const size_t *value, size_t least) {
    for (size_t turns = 0; __atomic_load_n(value, __ATOMIC_ACQUIRE) < least; turns++) {
        if (turns % 2000 == 1999)
            sched_yield();
    }
}

static void *racer(void *unused) {
    for (size_t i = 1; i <= race.rounds; i++) {
        wait_until(&race.round, i);
        __atomic_store_n(&race.arrived, i, __ATOMIC_RELEASE);
        free(race.blocks[i - 1]);
    }
    for (size_t i = 0; i < GOT_MAX; i++)
        race.got[i] = malloc(race.size);
    return unused;
}

static void commit(const struct crime *crime, void (*other)(void *ptr)) {
    pthread_t thread;
    race.size = crime->size;
    race.rounds = crime->amount;
    for (size_t i = 0; i < race.rounds; i++) {
        race.blocks[i] = shadow_malloc(crime->size);
        shadow_drop(race.blocks[i]);
    }
    if (pthread_create(&thread, NULL, racer, NULL) != 0)
        crime_impossible("no thread to be had");
    for (size_t i = 1; i <= race.rounds; i++) {
        __atomic_store_n(&race.round, i, __ATOMIC_RELEASE);
        wait_until(&race.arrived, i);
        other(race.blocks[i - 1]);
    }
    pthread_join(thread, NULL);
    for (size_t i = 0; i < GOT_MAX; i++) {
        shadow_enter(race.got[i], race.size, true);
        shadow_malloc(race.size);
    }
}

static void resize(void *ptr) {
    void *got = realloc(ptr, 2 * race.size);
    (void)got;
}

static void free_racing(const struct crime *crime) { commit(crime, free); }
static void realloc_racing(const struct crime *crime) { commit(crime, resize); }

#define GONE FREED "|" FOREIGN

const struct crime racing_crimes[] = {
    {"free-racing-small", NULL, free_racing, 0, SMALL, ROUNDS_MAX, FREED, STOPPED},
    {"free-racing-medium", NULL, free_racing, 0, MEDIUM, ROUNDS_MAX, FREED, STOPPED},
    {"free-racing-large", NULL, free_racing, 0, LARGE, 200, FREED, STOPPED},
    {"free-racing-mapped", NULL, free_racing, 0, MAPPED, 20, GONE, STOPPED},
    {"realloc-racing-small", NULL, realloc_racing, 0, SMALL, ROUNDS_MAX, FREED, STOPPED},
    {"realloc-racing-mapped", NULL, realloc_racing, 0, MAPPED, 20, GONE, STOPPED},
    {0},
};
