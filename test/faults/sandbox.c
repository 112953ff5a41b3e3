/*
 * sandbox [start|threads] - whoever makes a system call that is not in the list is killed: after a
 * first allocation, before it, or with threads. The list is what an allocator needs: memory and,
 * with threads, to wait for each other.
 */
#include "test/faults/fault.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/faults/filter.h"

static const int alone[] = {SYS_brk,    SYS_mmap,  SYS_munmap, SYS_mremap,    SYS_madvise,
                            SYS_gettid, SYS_futex, SYS_write,  SYS_exit_group};

/* futex, gettid and tgkill are ours, the others the C library's for a thread that ends. */
static const int with_threads[] = {SYS_brk,     SYS_mmap,   SYS_munmap,         SYS_mremap,
                                   SYS_madvise, SYS_write,  SYS_exit_group,     SYS_futex,
                                   SYS_gettid,  SYS_tgkill, SYS_rt_sigprocmask, SYS_exit};

#define THREADS 3
#define SHARED 1000

static pthread_barrier_t filtered;
static void *shared[THREADS][SHARED];

static void run(struct workload *workload) {
    workload_run(workload, 20000);
    workload_free(workload, 1);
    /* Memory goes back. */
    for (size_t i = 0; i < 50; i++) {
        void *large = malloc(10 * MIB), *small = malloc(100 * KIB);
        require(large != NULL && small != NULL, "NULL in the sandbox");
        memset(large, 1, 10 * MIB);
        free(large);
        free(small);
    }
    require(workload->refused == 0, "NULL in the sandbox");
}

static void *work(void *context) {
    struct workload *workload = context;
    size_t own = workload->random % THREADS;
    pthread_barrier_wait(&filtered);
    run(workload);
    for (size_t i = 0; i < SHARED; i++)
        shared[own][i] = malloc(1 + i);
    pthread_barrier_wait(&filtered);
    for (size_t i = 0; i < SHARED; i++)
        free(shared[(own + 1) % THREADS][i]);
    require_sound_heap();
    return NULL;
}

int main(int argc, char **argv) {
    static struct workload workloads[THREADS];
    bool threaded = argc > 1 && strcmp(argv[1], "threads") == 0;
    pthread_t threads[THREADS - 1];
    for (size_t i = 0; i < THREADS; i++)
        workloads[i] = (struct workload){.random = i, .largest = MIB, .limit = 30 * MIB};
    if (argc < 2 || strcmp(argv[1], "start") != 0)
        free(malloc(100));
    pthread_barrier_init(&filtered, NULL, THREADS);
    for (size_t i = 1; threaded && i < THREADS; i++)
        require(pthread_create(&threads[i - 1], NULL, work, &workloads[i]) == 0, "no thread");
    filter_install(&(struct filter){.calls = threaded ? with_threads : alone,
                                    .count = threaded ? sizeof with_threads / sizeof *alone
                                                      : sizeof alone / sizeof *alone,
                                    .action = SECCOMP_RET_ALLOW,
                                    .otherwise = SECCOMP_RET_KILL_PROCESS});
    if (!threaded) {
        run(&workloads[0]);
        require_sound_heap();
        return 0;
    }
    work(&workloads[0]);
    for (size_t i = 1; i < THREADS; i++)
        pthread_join(threads[i - 1], NULL);
    return 0;
}
