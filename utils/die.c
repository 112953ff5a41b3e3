#include "utils/die.h"

#include <stdlib.h>
#include <unistd.h>

__attribute__((weak)) const char osmem_prefix[] = "os_";

struct line {
    unsigned length;
    char text[256];
};

static void line_append(struct line *line, const char *text) {
    while (*text != '\0' && line->length < sizeof line->text - 1)
        line->text[line->length++] = *text++;
}

static void line_append_hex(struct line *line, uintptr_t value) {
    char digits[2 + 2 * sizeof value + 1];
    char *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do {
        *--digit = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value != 0);
    *--digit = 'x';
    *--digit = '0';
    line_append(line, digit);
}

/* One write, so that the lines of two threads do not mix; nothing to do where it fails. */
static void line_write(struct line *line) {
    line->text[line->length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line->text, line->length);
    (void)written;
}

void die_block(const char *function, const void *ptr, const char *fact) {
    struct line line = {0};
    line_append(&line, "osmem: ");
    line_append(&line, osmem_prefix);
    line_append(&line, function);
    line_append(&line, "(): block ");
    line_append_hex(&line, (uintptr_t)ptr);
    line_append(&line, " ");
    line_append(&line, fact);
    line_write(&line);
    abort();
}

void die_internal(const char *message) {
    struct line line = {0};
    line_append(&line, "osmem: ");
    line_append(&line, message);
    line_write(&line);
    abort();
}

void die_warn(const char *message, uintptr_t value) {
    struct line line = {0};
    line_append(&line, "osmem: ");
    line_append(&line, message);
    line_append(&line, ": ");
    line_append_hex(&line, value);
    line_write(&line);
}
