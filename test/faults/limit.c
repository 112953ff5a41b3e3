/*
 * limit as|data start|middle - a limit of 64 MiB on address space or data: in force before the
 * program is loaded, or set in the middle of its work. What cannot be had is NULL with ENOMEM, what
 * is freed can be had again, most of the limit can be used, and all comes back with the limit gone.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT (64 * MIB)

static struct workload small = {.random = 1, .largest = 100 * KIB, .limit = SIZE_MAX};
static struct workload large = {.random = 2, .largest = 8 * MIB, .limit = SIZE_MAX};

static void limit_set(int resource, rlim_t bytes) {
    struct rlimit limit;
    require(getrlimit(resource, &limit) == 0, "getrlimit: %s", strerror(errno));
    if (limit.rlim_max < LIMIT)
        skip("the limits are lower already");
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    require(setrlimit(resource, &limit) == 0, "setrlimit: %s", strerror(errno));
}

/* Up to the limit and back, several times. */
static void use_all(void) {
    size_t least = SIZE_MAX, first = 0;
    for (int round = 0; round < 8; round++) {
        require(workload_fill(&large), "the limit is not felt");
        workload_fill(&small);
        size_t held = large.bytes + small.bytes;
        if (round == 0)
            first = held;
        least = held < least ? held : least;
        require_sound_heap();
        workload_run(&small, 2000);
        workload_run(&large, 200);
        workload_require(&small);
        workload_require(&large);
        workload_free(&small, 2);
        workload_free(&large, 2);
    }
    require(first >= LIMIT / 2, "refused when %zu KiB were held", first / KIB);
    require(least >= LIMIT / 2, "refused when %zu KiB were held, later", least / KIB);
    workload_free(&small, 1);
    workload_free(&large, 1);
}

static void use_all_and_recover(int resource) {
    use_all();
    limit_set(resource, RLIM_INFINITY);
    size_t refused = small.refused + large.refused;
    for (struct workload *each = &small; each != NULL; each = each == &small ? &large : NULL) {
        each->limit = 2 * LIMIT;
        workload_run(each, 3000);
        workload_free(each, 1);
    }
    require(small.refused + large.refused == refused, "refused although the limit is gone");
    require_sound_heap();
}

int main(int argc, char **argv) {
    require(argc >= 3, "usage: limit as|data start|middle");
    int resource = strcmp(argv[1], "as") == 0 ? RLIMIT_AS : RLIMIT_DATA;
    if (strcmp(argv[2], "start") == 0) {
        limit_set(resource, LIMIT);
        execl("/proc/self/exe", argv[0], argv[1], "started", (char *)NULL);
        fail("exec: %s", strerror(errno));
    }
    if (strcmp(argv[2], "middle") == 0) {
        small.limit = large.limit = 8 * MIB;
        workload_run(&small, 3000);
        workload_run(&large, 300);
        small.limit = large.limit = SIZE_MAX;
        /* Of address space, all that is in use counts already. */
        limit_set(resource,
                  LIMIT + status_kib(resource == RLIMIT_AS ? "VmSize:" : "VmData:") * KIB);
    }
    use_all_and_recover(resource);
    return 0;
}
