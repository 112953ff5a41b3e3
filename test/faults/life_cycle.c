/*
 * life_cycle - memory is allocated before main, by preinit functions and constructors, in main, in
 * handlers of atexit and in destructors, and freed at a later stage than it was allocated at.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAGES 6

static struct workload workload = {.random = 1, .largest = 300 * KIB, .limit = 20 * MIB};
/* How often each stage was reached, in memory that the child shares; NULL before main. */
static size_t *reached;
static size_t early[2];

static void stage(size_t number) {
    workload_require(&workload);
    workload_free(&workload, 2);
    workload_run(&workload, 500);
    require(workload.refused == 0, "NULL at stage %zu", number);
    if (reached != NULL)
        reached[number]++;
    else
        early[number]++;
}

static void preinit(void) { stage(0); }
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;
__attribute__((constructor)) static void construct(void) { stage(1); }
static void at_exit_first(void) { stage(4); }
static void at_exit(void) {
    stage(3);
    atexit(at_exit_first);
}
__attribute__((destructor)) static void destruct(void) {
    if (reached == NULL)
        return;
    stage(5);
    workload_free(&workload, 1);
    require_sound_heap();
}

/* Ends as any program does. */
static int live(void) {
    stage(2);
    atexit(at_exit);
    return 0;
}

int main(void) {
    require(early[0] == 1 && early[1] == 1, "preinit or constructor did not run");
    reached = mmap(NULL, STAGES * sizeof *reached, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(reached != MAP_FAILED, "mmap: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        return live();
    require_child(child, "the program");
    for (size_t i = 2; i < STAGES; i++)
        require(reached[i] == 1, "stage %zu was reached %zu times", i, reached[i]);
    return live();
}
