/*
 * fork_in_handler - a signal handler forks while the program may be in the middle of an allocation.
 * The child does nothing but end, as it may; the parent goes on.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t forks;

static void handle(int signal) {
    (void)signal;
    int saved = errno;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    require_child(child, "a fork in a handler");
    forks++;
    errno = saved;
}

int main(int argc, char **argv) {
    static struct workload workload = {.random = 1, .largest = 2 * MIB, .limit = 30 * MIB};
    int wanted = (int)count_of(argc, argv, 300, 10000);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL);
    while (forks < wanted)
        workload_run(&workload, 100);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    require(workload.refused == 0, "NULL although there is memory");
    workload_free(&workload, 1);
    require_sound_heap();
    return 0;
}
