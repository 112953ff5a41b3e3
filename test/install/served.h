/*
 * served.h - whether osmem really serves a program, for the consumers of this folder: small
 * programs that are built as a user would, out of this repository. One fact that is not so ends
 * the program with status 1.
 *
 * A block is osmem's if osmem's statistics count it and osmem knows its size; and who frees a block
 * twice ends by a message of osmem's, which no other allocator writes.
 */
#ifndef OSMEM_TEST_INSTALL_SERVED_H
#define OSMEM_TEST_INSTALL_SERVED_H

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <osmem.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static inline size_t served_blocks(void) {
    struct os_stats stats;
    os_malloc_stats(&stats);
    return stats.allocated_blocks + stats.mapped_blocks;
}

/* Ends the program unless `call` ends a child by SIGABRT and a line that begins so. */
static inline void check_dies(void (*call)(void), const char *message) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        call();
        _exit(0);
    }
    close(ends[1]);
    char line[200];
    ssize_t length = read(ends[0], line, sizeof line - 1);
    line[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        strncmp(line, message, strlen(message)) != 0) {
        fprintf(stderr, "expected \"%s…\", got status %d and \"%s\"\n", message, status, line);
        _exit(1);
    }
}

#endif
