/*
 * nth_call brk|mmap|munmap|mremap|madvise|any once|on - of the system calls that a workload makes,
 * the first is refused, then, in a new process, the second, and so on: once, or it and all that
 * follow. One refusal is not seen by the program at all, as there is another way to memory. Of many
 * it sees NULL with ENOMEM and nothing else, and none any more when the kernel gives again.
 *
 * The calls are caught as signals (SECCOMP_RET_TRAP); the handler makes them itself, or does not.
 */
/* gregs */
#define _GNU_SOURCE
#include "test/faults/fault.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/faults/filter.h"

/* The sixth argument of calls that are let through: as an offset of mmap, whole pages. */
#define EXEMPT 0x5eed0000

static const int calls[] = {SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise};
static const char *const names[] = {"brk", "mmap", "munmap", "mremap", "madvise", "any"};
#define CALLS 5

static struct workload workload = {.random = 17, .largest = 40 * MIB, .limit = 400 * MIB};

/* Which call is refused: of this kind (CALLS: any), by number. */
static size_t kind, first, last;
/* Calls of this kind so far. In memory that parent and child share. */
static volatile size_t *number;

static bool refused(size_t call) {
    if (last == 0 || (kind != CALLS && kind != call))
        return false;
    size_t now = ++*number;
    return now >= first && now <= last;
}

#if defined(__x86_64__)
static void registers(ucontext_t *context, long arguments[5], greg_t **result) {
    greg_t *all = context->uc_mcontext.gregs;
    static const int order[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8};
    for (size_t i = 0; i < 5; i++)
        arguments[i] = all[order[i]];
    *result = &all[REG_RAX];
}

static void on_call(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int saved = errno;
    long a[5];
    greg_t *result;
    registers(context, a, &result);
    size_t call = 0;
    while (call < CALLS && calls[call] != info->si_syscall)
        call++;
    bool asks = info->si_syscall == SYS_brk && a[0] == 0; /* where the break is: extends nothing */
    if (asks || !refused(call))
        *result = syscall(info->si_syscall, a[0], a[1], a[2], a[3], a[4], (long)EXEMPT);
    else if (info->si_syscall == SYS_brk)
        *result = syscall(SYS_brk, 0L, 0L, 0L, 0L, 0L, (long)EXEMPT); /* as it was */
    else
        *result = -(*number % 2 ? ENOMEM : EAGAIN);
    if (*result == -1 && errno != 0)
        *result = -errno;
    errno = saved;
}

static void catch_calls(void) {
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    filter_install(&(struct filter){.calls = calls,
                                    .count = CALLS,
                                    .action = SECCOMP_RET_TRAP,
                                    .otherwise = SECCOMP_RET_ALLOW,
                                    .exempt = EXEMPT});
}
#else
static void catch_calls(void) {
    (void)refused;
    skip("not written for this machine's registers");
}
#endif

/* In a child: the workload, while these calls of its are refused. */
static void survive(size_t from, size_t to, size_t steps) {
    *number = 0;
    first = from;
    last = to;
    workload_run(&workload, steps);
    require(workload.refused == 0 || to > from, "%s number %zu, refused once, is seen as NULL",
            names[kind], from);
    require_sound_heap();
    first = last = 0;
    size_t before = workload.refused;
    workload_require(&workload);
    workload_run(&workload, steps / 4);
    require(workload.refused == before, "%s: NULL although the kernel gives again", names[kind]);
    workload_free(&workload, 1);
    require_sound_heap();
}

static void run_child(size_t from, size_t to, size_t steps) {
    pid_t child = fork();
    if (child == 0) {
        catch_calls();
        survive(from, to, steps);
        _exit(0);
    }
    int status;
    require(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == FAULT_SKIPPED)
        _exit(FAULT_SKIPPED);
    require(!WIFSIGNALED(status), "%s from number %zu on refused: died of signal %d", names[kind],
            from, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        _exit(1); /* it said why */
}

int main(int argc, char **argv) {
    require(argc >= 3, "usage: nth_call CALL once|on");
    while (kind < CALLS && strcmp(argv[1], names[kind]) != 0)
        kind++;
    bool once = strcmp(argv[2], "once") == 0;
    size_t steps = count_of(argc, argv, 400, 4000);
    number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(number != MAP_FAILED, "mmap: %s", strerror(errno));
    run_child(SIZE_MAX, SIZE_MAX, steps);
    size_t count = *number;
    /* Who makes no such call passes. */
    for (size_t i = 1; i <= count; i++)
        run_child(i, once ? i : SIZE_MAX, steps);
    return 0;
}
