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

/* Blocks that end at the break, and grow there, must not block it for those that come. */
static void grow_at_the_break(void) {
    char *blocks[8];
    for (size_t i = 0; i < 8; i++) {
        blocks[i] = malloc(5 * MIB);
        require(blocks[i] != NULL, "no block of 5 MiB");
        memset(blocks[i], 1, 5 * MIB);
        char *grown = realloc(blocks[i], 10 * MIB);
        require(grown != NULL, "no growth to 10 MiB");
        require(grown[0] == 1 && grown[5 * MIB - 1] == 1, "contents lost by growth");
        blocks[i] = grown;
    }
    for (size_t i = 0; i < 8; i++)
        free(blocks[i]);
}

int main(int argc, char **argv) {
    bool brk = false, mmap = false;
    workload_run(&workload, 2000);
    for (int i = 1; i < argc; i++) {
        refuse(argv[i]);
        brk |= strcmp(argv[i], "brk") == 0;
        mmap |= strcmp(argv[i], "mmap") == 0;
    }
    if (!(brk && mmap))
        grow_at_the_break();
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
