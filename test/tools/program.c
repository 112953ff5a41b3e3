/*
 * What the suites of the tools run: a program that does what its arguments say.
 *
 *     exit N         ends with status N
 *     kill N         kills itself by signal N
 *     print TEXT     prints TEXT
 *     complain TEXT  prints TEXT on standard error, ends with status 1
 *     environment V  prints the value of the variable V
 *     hold MIB       takes that many MiB from malloc, writes to them and frees them
 *     sleep S        sleeps S seconds
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hold(size_t mib) {
    enum { BLOCK = 64 * 1024 };
    const size_t count = mib * 1024 * 1024 / BLOCK;
    char **blocks = malloc(count * sizeof *blocks);
    if (blocks == NULL)
        return 1;
    for (size_t index = 0; index < count; index++) {
        blocks[index] = malloc(BLOCK);
        if (blocks[index] == NULL)
            return 1;
        memset(blocks[index], (int)index, BLOCK);
    }
    for (size_t index = 0; index < count; index++)
        free(blocks[index]);
    free(blocks);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 99;
    const char *const task = argv[1];
    const char *const value = argv[2];
    if (strcmp(task, "exit") == 0)
        return atoi(value);
    if (strcmp(task, "kill") == 0)
        return raise(atoi(value));
    if (strcmp(task, "print") == 0)
        return puts(value) == EOF;
    if (strcmp(task, "complain") == 0) {
        fprintf(stderr, "first line\n%s\n", value);
        return 1;
    }
    if (strcmp(task, "environment") == 0) {
        const char *const found = getenv(value);
        return puts(found == NULL ? "(not set)" : found) == EOF;
    }
    if (strcmp(task, "hold") == 0)
        return hold((size_t)atoi(value));
    if (strcmp(task, "sleep") == 0)
        return (int)sleep((unsigned)atoi(value));
    return 99;
}
