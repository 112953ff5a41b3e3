/*
 * threads_limit - four threads that want more than the limit on address space allows, at the same
 * time: NULL with ENOMEM, contents intact, and when they have ended, others get the memory.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#define THREADS 4
#define LIMIT (64 * MIB)

static struct workload workloads[THREADS];
static pthread_barrier_t ready, finished;

static void *work(void *context) {
    struct workload *workload = context;
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&ready);
    for (int round = 0; round < 6; round++) {
        workload_fill(workload);
        workload_require(workload);
        workload_run(workload, 1000);
        require_sound_heap();
        workload_free(workload, 3);
    }
    size_t refused = workload->refused;
    pthread_barrier_wait(&finished);
    workload_free(workload, 1);
    require(refused > 0, "a thread never felt the limit");
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    pthread_barrier_init(&finished, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        workloads[i] = (struct workload){.random = i, .largest = 2 * MIB, .limit = SIZE_MAX};
        require(pthread_create(&threads[i], NULL, work, &workloads[i]) == 0, "no thread");
    }
    pthread_barrier_wait(&ready);
    struct rlimit limit = {LIMIT + status_kib("VmSize:") * KIB, RLIM_INFINITY};
    require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit: %s", strerror(errno));
    pthread_barrier_wait(&ready);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    static struct workload rest = {.random = 9, .largest = 2 * MIB, .limit = SIZE_MAX};
    require(workload_fill(&rest), "the limit is not felt");
    require(rest.bytes >= LIMIT / 3, "only %zu KiB when the threads have ended", rest.bytes / KIB);
    workload_free(&rest, 1);
    require_sound_heap();
    return 0;
}
