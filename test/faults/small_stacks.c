/* small_stacks - threads with the smallest stacks there are, PTHREAD_STACK_MIN, do all of it. */
#include "test/faults/fault.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4

static struct workload workloads[THREADS];

static void *work(void *context) {
    struct workload *workload = context;
    workload_run(workload, 1500);
    malloc_trim(0);
    workload_require(workload);
    workload_free(workload, 1);
    return NULL;
}

int main(int argc, char **argv) {
    size_t rounds = count_of(argc, argv, 20, 1000);
    pthread_attr_t smallest;
    pthread_attr_init(&smallest);
    require(pthread_attr_setstacksize(&smallest, PTHREAD_STACK_MIN) == 0, "no such stacks");
    for (size_t round = 0; round < rounds; round++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            workloads[i] = (struct workload){
                .random = round * THREADS + i, .largest = 2 * MIB, .limit = 20 * MIB};
            int error = pthread_create(&threads[i], &smallest, work, &workloads[i]);
            require(error == 0, "no thread: %s", strerror(error));
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            require(workloads[i].refused == 0, "NULL in a thread");
        }
    }
    require_sound_heap();
    return 0;
}
