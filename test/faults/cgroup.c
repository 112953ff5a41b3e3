/*
 * cgroup - in a control group of 64 MiB, 40 MiB live are churned through, in phases: small blocks,
 * large ones, mapped ones, and small again. Whoever keeps what was freed in a form that the next
 * phase cannot use is killed by the kernel.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT (64 * MIB)
#define LIVE (40 * MIB)

static char group[256];

static bool put(const char *name, const char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", group, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0)
        close(file);
    return done;
}

/* A group below that of the process, by version 1 or 2 of the interface. */
static bool group_create(void) {
    static const struct {
        const char *prefix, *root, *limit;
    } versions[] = {{":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                    {"0::", "/sys/fs/cgroup", "memory.max"},
                    {"0::", "/sys/fs/cgroup/unified", "memory.max"}};
    char text[4096], limit[32];
    int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (size <= 0)
        return false;
    close(file);
    text[size] = '\0';
    snprintf(limit, sizeof limit, "%zu", LIMIT);
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        const char *own = strstr(text, versions[i].prefix);
        if (own == NULL)
            continue;
        own += strlen(versions[i].prefix);
        int length = (int)strcspn(own, "\n");
        /* In a container the path may be that outside; then its root is ours. */
        for (int depth = length; depth >= 0; depth = depth > 0 ? 0 : -1) {
            snprintf(group, sizeof group, "%s%.*s/fault-%d", versions[i].root, depth, own,
                     (int)getpid());
            if (mkdir(group, 0755) != 0)
                continue;
            if (put(versions[i].limit, limit))
                return true;
            rmdir(group);
        }
    }
    return false;
}

static void churn(struct block *blocks, size_t count, size_t least, size_t largest, size_t rounds) {
    uint64_t random = least;
    size_t live = 0, total = 0;
    memset(blocks, 0, count * sizeof *blocks);
    for (size_t i = 0; total < rounds * LIVE; i = draw(&random) % count) {
        live -= blocks[i].size;
        free(blocks[i].start);
        blocks[i] = (struct block){NULL, 0, 0};
        size_t size = least + draw(&random) % (largest - least);
        if (live + size > LIVE)
            continue;
        blocks[i].start = malloc(size);
        require(blocks[i].start != NULL, "NULL for %zu bytes with %zu KiB live", size, live / KIB);
        blocks[i].size = size;
        memset(blocks[i].start, 1, size);
        live += size;
        total += size;
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i].start);
}

static void churn_phases(size_t rounds) {
    static struct block blocks[200000];
    for (size_t i = 0; i < rounds; i++) {
        churn(blocks, 200000, 16, 400, 3);
        churn(blocks, 60000, 500, 1500, 3);
        churn(blocks, 10000, 2000, 9000, 5);
        churn(blocks, 1000, 30000, 120000, 5);
        churn(blocks, 200, 130000, 1000000, 8);
        churn(blocks, 10, 2 * MIB, 12 * MIB, 12);
    }
}

int main(int argc, char **argv) {
    if (!group_create())
        skip("no control group with a limit on memory can be made here");
    int go[2];
    require(pipe(go) == 0, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(go[1]);
        require(read(go[0], &byte, 1) == 1, "not let into the group");
        churn_phases(count_of(argc, argv, 1, 30));
        _exit(0);
    }
    char number[32];
    snprintf(number, sizeof number, "%d", (int)child);
    bool entered = put("cgroup.procs", number);
    if (entered && write(go[1], "", 1) != 1)
        entered = false;
    close(go[1]);
    int status = 0;
    if (!entered)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) != child) {
    }
    rmdir(group);
    if (!entered)
        skip("the control group cannot be entered");
    require(!WIFSIGNALED(status), "killed by signal %d at 64 MiB", WTERMSIG(status));
    return WEXITSTATUS(status);
}
