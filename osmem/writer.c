#include "osmem/writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "utils/printf.h"

static void write_through(struct writer *writer, const char *bytes, size_t size) {
    while (size > 0 && writer->error == 0) {
        ssize_t written = write(writer->descriptor, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno != EINTR) {
            writer->error = errno;
        }
    }
}

void writer_flush(struct writer *writer) {
    write_through(writer, writer->buffer, writer->used);
    writer->used = 0;
}

void writer_put(struct writer *writer, const void *bytes, size_t size) {
    if (size > sizeof writer->buffer - writer->used)
        writer_flush(writer);
    if (size > sizeof writer->buffer) {
        write_through(writer, bytes, size);
    } else {
        memcpy(writer->buffer + writer->used, bytes, size);
        writer->used += size;
    }
}

/* False: it did not fit. */
static bool try_print(struct writer *writer, const char *format, va_list arguments) {
    size_t room = sizeof writer->buffer - writer->used;
    int length = os_vsnprintf(writer->buffer + writer->used, room, format, arguments);
    if (length < 0 || (size_t)length >= room)
        return false;
    writer->used += (size_t)length;
    return true;
}

void writer_print(struct writer *writer, const char *format, ...) {
    for (int round = 0; round < 2; round++) {
        va_list arguments;
        va_start(arguments, format);
        bool fitted = try_print(writer, format, arguments);
        va_end(arguments);
        if (fitted)
            return;
        writer_flush(writer);
    }
}
