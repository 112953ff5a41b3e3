/*
 * busy_forks - sixteen threads allocate and free all the time while the program forks. The children
 * free what their parent allocated, allocate, and some start threads, which do so as well.
 */
#include "test/faults/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 16
#define THREADS_EVERY 4

static bool stop;

/* Slowly enough for the forks to get on on a machine of few processors. */
static void *be_busy(void *context) {
    static struct workload workloads[THREADS];
    struct workload *workload = &workloads[(size_t)context];
    *workload =
        (struct workload){.random = (size_t)context, .largest = 300 * KIB, .limit = 2 * MIB};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        workload_run(workload, 20);
        usleep(2000);
    }
    workload_free(workload, 1);
    return NULL;
}

static void *work(void *context) {
    workload_run(context, 100);
    workload_free(context, 1);
    return NULL;
}

/* In a child. */
static void live_on(struct workload *inherited, size_t number) {
    static struct workload of_thread = {.random = 3, .largest = 300 * KIB, .limit = 2 * MIB};
    alarm(20); /* rather than wait for ever */
    workload_require(inherited);
    pthread_t thread;
    bool threaded = number % THREADS_EVERY == 0;
    if (threaded)
        require(pthread_create(&thread, NULL, work, &of_thread) == 0, "no thread");
    work(inherited);
    if (threaded)
        pthread_join(thread, NULL);
    require_sound_heap();
    _exit(0);
}

int main(int argc, char **argv) {
    static struct workload own = {.random = 99, .largest = 100 * KIB, .limit = 2 * MIB};
    size_t forks = count_of(argc, argv, 300, 10000);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        require(pthread_create(&threads[i], NULL, be_busy, (void *)i) == 0, "no thread");
    for (size_t i = 0; i < forks; i++) {
        workload_run(&own, 50);
        pid_t child = fork();
        if (child == 0)
            live_on(&own, i);
        require_child(child, "a fork");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    workload_free(&own, 1);
    require_sound_heap();
    return 0;
}
