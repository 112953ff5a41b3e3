/*
 * refused CALL... - the kernel refuses these system calls from the middle on: brk, mmap, munmap,
 * mremap, madvise. Each of the programs' calls goes well while one way to memory is left; without
 * any, NULL comes with ENOMEM, also when the kernel says EAGAIN.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/faults/filter.h"

static const struct {
    const char *name;
    int number, error;
} known[] = {{"brk", SYS_brk, 0},
             {"mmap", SYS_mmap, EAGAIN},
             {"munmap", SYS_munmap, ENOMEM},
             {"mremap", SYS_mremap, EAGAIN},
             {"madvise", SYS_madvise, EINVAL}};

static struct workload workload = {.random = 11, .largest = 40 * MIB, .limit = 300 * MIB};

/* One filter for each call, as each has an errno of its own. */
static void refuse(const char *name) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        filter_install(&(struct filter){.calls = &known[i].number,
                                        .count = 1,
                                        .action = SECCOMP_RET_ERRNO | (uint32_t)known[i].error,
                                        .otherwise = SECCOMP_RET_ALLOW});
        return;
    }
    if (strcmp(name, "long") != 0)
        fail("refused: no system call %s", name);
}

int main(int argc, char **argv) {
    bool brk = false, mmap = false;
    workload_run(&workload, 2000);
    for (int i = 1; i < argc; i++) {
        refuse(argv[i]);
        brk |= strcmp(argv[i], "brk") == 0;
        mmap |= strcmp(argv[i], "mmap") == 0;
    }
    workload_run(&workload, count_of(argc, argv, 4000, 60000));
    require(workload.refused == 0 || (brk && mmap), "NULL although there is a way to memory");
    workload.limit = brk && mmap ? SIZE_MAX : workload.limit;
    require(workload_fill(&workload) == (brk && mmap), "NULL without a reason, or none with one");
    workload_require(&workload);
    require_sound_heap();
    workload_free(&workload, 2);
    workload_run(&workload, 1000);
    workload_free(&workload, 1);
    require_sound_heap();
    return 0;
}
