#include "utils/printf_sink.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Writes all of text, whatever the number of calls, or sets error. An interruption leaves no trace
 * in errno. */
static void sink_drain(struct printf_sink *sink, const char *text, size_t length) {
    int errno_before = errno;
    while (length > 0 && sink->error == 0) {
        ssize_t written = write(sink->descriptor, text, length);
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        } else if (written == 0) {
            sink->error = EIO; /* a device that takes nothing would keep us here for ever */
        } else if (errno != EINTR) {
            sink->error = errno;
        }
    }
    errno = errno_before;
}

static void sink_flush(struct printf_sink *sink) {
    sink_drain(sink, sink->buffer, sink->used);
    sink->used = 0;
}

void printf_sink_fail(struct printf_sink *sink, int error) {
    if (sink->drains)
        sink_flush(sink);
    if (sink->error == 0)
        sink->error = error;
}

/* Counts characters that are about to be put; false if they must not be. */
static bool sink_admit(struct printf_sink *sink, size_t count) {
    if (sink->error != 0)
        return false;
    if (count > INT_MAX - sink->total) {
        printf_sink_fail(sink, EOVERFLOW);
        return false;
    }
    sink->total += count;
    return true;
}

/* The part of write for text that is longer than the room left. */
static __attribute__((noinline, cold)) void sink_write_beyond(struct printf_sink *sink,
                                                              const char *text, size_t length) {
    if (sink->drains) {
        sink_flush(sink);
        if (length >= sink->capacity) {
            sink_drain(sink, text, length);
            return;
        }
    } else {
        length = sink->capacity - sink->used;
    }
    if (sink->error == 0 && length > 0) {
        memcpy(sink->buffer + sink->used, text, length);
        sink->used += length;
    }
}

void printf_sink_write(struct printf_sink *sink, const char *text, size_t length) {
    if (length == 0 || !sink_admit(sink, length))
        return;
    if (length > sink->capacity - sink->used) {
        sink_write_beyond(sink, text, length);
        return;
    }
    memcpy(sink->buffer + sink->used, text, length);
    sink->used += length;
}

void printf_sink_fill(struct printf_sink *sink, char character, size_t count) {
    if (count == 0 || !sink_admit(sink, count))
        return;
    while (count > 0 && sink->error == 0) {
        size_t room = sink->capacity - sink->used;
        size_t length = count < room ? count : room;
        if (length > 0)
            memset(sink->buffer + sink->used, character, length);
        sink->used += length;
        count -= length;
        if (count > 0) {
            if (!sink->drains)
                return;
            sink_flush(sink);
        }
    }
}

int printf_sink_finish(struct printf_sink *sink) {
    if (sink->drains)
        sink_flush(sink);
    if (sink->error != 0) {
        errno = sink->error;
        return -1;
    }
    return (int)sink->total;
}

size_t printf_field_begin(struct printf_sink *sink, const struct printf_field *field,
                          const struct printf_prefix *prefix, size_t body, bool zeros) {
    size_t length = prefix->length + body;
    size_t padding = (size_t)field->width > length ? (size_t)field->width - length : 0;
    bool zero_padded = zeros && field->zero && !field->left;
    if (!field->left && !zero_padded)
        printf_sink_fill(sink, ' ', padding);
    printf_sink_write(sink, prefix->text, prefix->length);
    if (zero_padded)
        printf_sink_fill(sink, '0', padding);
    return field->left ? padding : 0;
}

struct printf_prefix printf_field_sign(const struct printf_field *field, bool negative) {
    struct printf_prefix prefix = {.length = 0};
    if (negative)
        prefix.text[prefix.length++] = '-';
    else if (field->plus)
        prefix.text[prefix.length++] = '+';
    else if (field->space)
        prefix.text[prefix.length++] = ' ';
    return prefix;
}
