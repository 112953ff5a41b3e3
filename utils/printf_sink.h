#ifndef OSMEM_UTILS_PRINTF_SINK_H
#define OSMEM_UTILS_PRINTF_SINK_H

/*
 * Where the printf family puts its characters: memory, or a descriptor behind a small buffer; and
 * how a conversion is padded to its width. Internal to printf.
 *
 * Invariants:
 *   1. total <= INT_MAX: what would pass it is not put anywhere and sets error to EOVERFLOW.
 *   2. used <= capacity.
 *   3. Once error is set nothing more is put; what was put before has reached the descriptor unless
 * write(2) failed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct printf_sink {
    char *buffer;
    size_t capacity; /* bytes at buffer; in memory, one less than the caller's: the terminator's */
    size_t used;     /* bytes of buffer that hold text not yet written */
    size_t total;    /* characters put so far, those that did not fit in memory included */
    int descriptor;
    int error;   /* 0, or the errno that the caller will see */
    bool drains; /* a full buffer goes to descriptor; otherwise what does not fit is dropped */
};

/* One conversion of the format, as parsed. */
struct printf_field {
    bool left;      /* - */
    bool plus;      /* + */
    bool space;     /* space */
    bool alternate; /* # */
    bool group;     /* ' */
    bool zero;      /* 0 */
    int width;      /* 0 if none */
    int precision;  /* -1 if none */
    enum printf_length {
        PRINTF_LENGTH_NONE,
        PRINTF_LENGTH_HH,
        PRINTF_LENGTH_H,
        PRINTF_LENGTH_L,
        PRINTF_LENGTH_LL,
        PRINTF_LENGTH_J,
        PRINTF_LENGTH_Z,
        PRINTF_LENGTH_T,
        PRINTF_LENGTH_LONG_DOUBLE
    } length;
    char conversion;
};

/* The sign and base in front of a number's digits: "-", "+", " ", "0x" or both. */
struct printf_prefix {
    char text[4];
    size_t length;
};

void printf_sink_write(struct printf_sink *sink, const char *text, size_t length);
void printf_sink_fill(struct printf_sink *sink, char character, size_t count);
void printf_sink_fail(struct printf_sink *sink, int error);

/* Writes out what is still buffered. The return value of the public function, errno set if it is
 * -1. */
int printf_sink_finish(struct printf_sink *sink);

/*
 * Puts what comes before a body of that many characters: spaces to the width unless the field is
 * left-justified or zero-padded, the prefix, and zeros to the width if `zeros` allows the flag 0.
 * The spaces due after the body are returned, for printf_sink_fill.
 */
size_t printf_field_begin(struct printf_sink *sink, const struct printf_field *field,
                          const struct printf_prefix *prefix, size_t body, bool zeros);

/* The prefix of a signed number. */
struct printf_prefix printf_field_sign(const struct printf_field *field, bool negative);

#endif
