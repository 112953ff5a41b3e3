/*
 * writer.h - output to a file descriptor that needs no memory: collected in a buffer on the stack,
 * so that there are few system calls. The first write that fails ends it; what comes after is
 * dropped. Async-signal-safe.
 */
#ifndef OSMEM_OSMEM_WRITER_H
#define OSMEM_OSMEM_WRITER_H

#include <stddef.h>

struct writer {
    int descriptor;
    int error; /* errno of the first write that failed; nothing is written after it */
    size_t used;
    char buffer[512];
};

void writer_put(struct writer *writer, const void *bytes, size_t size);

/* Text by a format of utils/printf.h, at most as long as the buffer. */
void writer_print(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes what is collected. */
void writer_flush(struct writer *writer);

#endif
