/*
 * program_break blocked|blocked_later|moved - a mapping lies right behind the break, from the start
 * or from the middle on; or others move the break between our calls, by odd sizes, up and down
 * again.
 */
/* sbrk */
#define _GNU_SOURCE
#include "test/faults/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOREIGN 400

static struct workload workload = {.random = 5, .largest = 3 * MIB, .limit = 100 * MIB};

static void break_block(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)sbrk(0) + page - 1) & ~(page - 1);
    void *wall = mmap((void *)end, page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    require(wall == (void *)end, "the break cannot be blocked: %s", strerror(errno));
    require(sbrk((intptr_t)page) == (void *)-1, "the break is not blocked");
}

static void work_blocked(size_t steps) {
    break_block();
    workload_run(&workload, steps);
    require(workload.refused == 0, "NULL although memory can be mapped");
}

/* What somebody else took from the break, and gives back while nobody took more. */
static void work_beside_others(size_t rounds) {
    static struct block foreign[FOREIGN];
    size_t count = 0;
    uint64_t random = 7;
    for (size_t round = 0; round < rounds; round++) {
        workload_run(&workload, 60);
        size_t size = 1 + draw(&random) % (draw(&random) % 3 == 0 ? 300000 : 77);
        struct block block = {sbrk((intptr_t)size), size, round};
        require(block.start != (void *)-1, "sbrk: %s", strerror(errno));
        block_fill(&block);
        if (draw(&random) % 2 == 0 && count < FOREIGN) {
            foreign[count++] = block;
        } else {
            workload_run(&workload, draw(&random) % 8);
            if (sbrk(0) == block.start + size)
                sbrk(-(intptr_t)size);
            else if (count < FOREIGN)
                foreign[count++] = block;
        }
        for (size_t i = 0; i < count; i++)
            block_require(&foreign[i]);
    }
    require(workload.refused == 0, "NULL although there is memory");
}

int main(int argc, char **argv) {
    require(argc >= 2, "usage: program_break blocked|blocked_later|moved");
    size_t steps = count_of(argc, argv, 20000, 400000);
    if (strcmp(argv[1], "blocked") == 0) {
        work_blocked(steps);
    } else if (strcmp(argv[1], "blocked_later") == 0) {
        workload_run(&workload, 3000);
        work_blocked(steps);
    } else {
        work_beside_others(steps / 60);
    }
    workload_free(&workload, 1);
    require_sound_heap();
    return 0;
}
