/*
 * The printf family: reads the format, prints integers, characters and strings, and hands floating
 * point numbers to printf_float. Everything goes through a printf_sink; nothing here has state, so
 * nothing here locks.
 */

#include "utils/printf.h"

#include "utils/printf_float.h"
#include "utils/printf_sink.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <wchar.h>

enum {
    DRAIN_BUFFER_SIZE = 1024,
    INTEGER_DIGITS_MAX = 22, /* of 2^64 - 1 in octal */
    UTF8_LENGTH_MAX = 4,
};

/* A va_list that can be handed down by address; some ABIs make va_list an array. */
struct arguments {
    va_list list;
};

static const struct printf_prefix NO_PREFIX = {.length = 0};

/* Spells a number in the base, ending at `end`. Returns where it begins; zero has no digits. */
static char *digits_decimal(uint64_t value, char *end) {
    static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    while (value >= 100) {
        const char *pair = PAIRS + 2 * (value % 100);
        value /= 100;
        *--end = pair[1];
        *--end = pair[0];
    }
    if (value >= 10) {
        *--end = (char)('0' + value % 10);
        value /= 10;
    }
    if (value > 0)
        *--end = (char)('0' + value);
    return end;
}

static char *digits_binary(uint64_t value, unsigned bits_per_digit, bool upper, char *end) {
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    for (; value > 0; value >>= bits_per_digit)
        *--end = digits[value & ((1u << bits_per_digit) - 1)];
    return end;
}

/* The prefix is put in front of the digits; `octal` is the alternate form that wants a digit zero
 * there. */
static void integer_write(struct printf_sink *sink, const struct printf_field *field,
                          const struct printf_prefix *prefix, const char *digits, size_t count,
                          bool octal) {
    size_t precision = field->precision >= 0 ? (size_t)field->precision : 1;
    size_t zeros = precision > count ? precision - count : 0;
    if (octal && zeros == 0)
        zeros = 1;
    bool zero_padded = field->precision < 0;
    size_t padding = printf_field_begin(sink, field, prefix, zeros + count, zero_padded);
    printf_sink_fill(sink, '0', zeros);
    printf_sink_write(sink, digits, count);
    printf_sink_fill(sink, ' ', padding);
}

static void signed_print(struct printf_sink *sink, const struct printf_field *field,
                         int64_t value) {
    char text[INTEGER_DIGITS_MAX];
    char *end = text + sizeof text;
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char *digits = digits_decimal(magnitude, end);
    struct printf_prefix sign = printf_field_sign(field, value < 0);
    integer_write(sink, field, &sign, digits, (size_t)(end - digits), false);
}

static void unsigned_print(struct printf_sink *sink, const struct printf_field *field,
                           uint64_t value) {
    char text[INTEGER_DIGITS_MAX];
    char *end = text + sizeof text;
    char *digits;
    struct printf_prefix prefix = NO_PREFIX;
    switch (field->conversion) {
    case 'u':
        digits = digits_decimal(value, end);
        break;
    case 'o':
        digits = digits_binary(value, 3, false, end);
        break;
    default:
        digits = digits_binary(value, 4, field->conversion == 'X', end);
        if (field->alternate && value != 0)
            prefix = (struct printf_prefix){{'0', field->conversion}, 2};
    }
    bool octal = field->alternate && field->conversion == 'o';
    integer_write(sink, field, &prefix, digits, (size_t)(end - digits), octal);
}

static void text_print(struct printf_sink *sink, const struct printf_field *field, const char *text,
                       size_t length) {
    size_t padding = printf_field_begin(sink, field, &NO_PREFIX, length, false);
    printf_sink_write(sink, text, length);
    printf_sink_fill(sink, ' ', padding);
}

static void pointer_print(struct printf_sink *sink, const struct printf_field *field,
                          const void *pointer) {
    if (pointer == NULL) {
        text_print(sink, field, "(nil)", 5);
        return;
    }
    char text[INTEGER_DIGITS_MAX];
    char *end = text + sizeof text;
    char *digits = digits_binary((uintptr_t)pointer, 4, false, end);
    struct printf_prefix prefix = printf_field_sign(field, false); /* glibc heeds + here */
    prefix.text[prefix.length++] = '0';
    prefix.text[prefix.length++] = 'x';
    integer_write(sink, field, &prefix, digits, (size_t)(end - digits), false);
}

/* Puts "(null)", or nothing if the precision would cut it. */
static void null_string_print(struct printf_sink *sink, const struct printf_field *field) {
    size_t length = field->precision < 0 || field->precision >= 6 ? 6 : 0;
    text_print(sink, field, "(null)", length);
}

static void string_print(struct printf_sink *sink, const struct printf_field *field,
                         const char *string) {
    if (string == NULL) {
        null_string_print(sink, field);
        return;
    }
    size_t length =
        field->precision < 0 ? strlen(string) : strnlen(string, (size_t)field->precision);
    text_print(sink, field, string, length);
}

/* Stores the character as UTF-8. Returns its length; 0 if and only if it is not a character. */
static size_t utf8_encode(uint32_t character, char text[UTF8_LENGTH_MAX]) {
    if (character < 0x80) {
        text[0] = (char)character;
        return 1;
    }
    if (character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
        return 0;
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    text[0] = (char)((0xf00 >> length & 0xff) | character);
    return length;
}

static void wide_character_print(struct printf_sink *sink, const struct printf_field *field,
                                 wint_t character) {
    char text[UTF8_LENGTH_MAX];
    size_t length = utf8_encode((uint32_t)character, text);
    if (length == 0)
        printf_sink_fail(sink, EILSEQ);
    else
        text_print(sink, field, text, length);
}

/*
 * The characters of a string that the precision admits, and in *length their length as UTF-8. Sets
 * error at an invalid one. The string need not end where the precision does.
 */
static size_t wide_string_measure(struct printf_sink *sink, const struct printf_field *field,
                                  const wchar_t *string, size_t *length) {
    size_t limit = field->precision < 0 ? SIZE_MAX : (size_t)field->precision;
    size_t count = 0;
    size_t bytes = 0;
    while (bytes < limit && string[count] != L'\0') {
        char text[UTF8_LENGTH_MAX];
        size_t step = utf8_encode((uint32_t)string[count], text);
        if (step == 0) {
            printf_sink_fail(sink, EILSEQ);
            return 0;
        }
        if (step > limit - bytes)
            break;
        bytes += step;
        count++;
    }
    *length = bytes;
    return count;
}

static void wide_string_print(struct printf_sink *sink, const struct printf_field *field,
                              const wchar_t *string) {
    if (string == NULL) {
        null_string_print(sink, field);
        return;
    }
    size_t length = 0;
    size_t count = wide_string_measure(sink, field, string, &length);
    if (sink->error != 0)
        return;
    size_t padding = printf_field_begin(sink, field, &NO_PREFIX, length, false);
    for (size_t i = 0; i < count; i++) {
        char text[UTF8_LENGTH_MAX];
        printf_sink_write(sink, text, utf8_encode((uint32_t)string[i], text));
    }
    printf_sink_fill(sink, ' ', padding);
}

static int64_t signed_argument(enum printf_length length, struct arguments *arguments) {
    switch (length) {
    case PRINTF_LENGTH_HH:
        return (signed char)va_arg(arguments->list, int);
    case PRINTF_LENGTH_H:
        return (short)va_arg(arguments->list, int);
    case PRINTF_LENGTH_NONE:
        return va_arg(arguments->list, int);
    case PRINTF_LENGTH_L:
        return va_arg(arguments->list, long);
    case PRINTF_LENGTH_J:
        return va_arg(arguments->list, intmax_t);
    case PRINTF_LENGTH_Z:
        return va_arg(arguments->list, ssize_t);
    case PRINTF_LENGTH_T:
        return va_arg(arguments->list, ptrdiff_t);
    default:
        return va_arg(arguments->list, long long);
    }
}

static uint64_t unsigned_argument(enum printf_length length, struct arguments *arguments) {
    switch (length) {
    case PRINTF_LENGTH_HH:
        return (unsigned char)va_arg(arguments->list, unsigned);
    case PRINTF_LENGTH_H:
        return (unsigned short)va_arg(arguments->list, unsigned);
    case PRINTF_LENGTH_NONE:
        return va_arg(arguments->list, unsigned);
    case PRINTF_LENGTH_L:
        return va_arg(arguments->list, unsigned long);
    case PRINTF_LENGTH_J:
        return va_arg(arguments->list, uintmax_t);
    case PRINTF_LENGTH_Z:
        return va_arg(arguments->list, size_t);
    case PRINTF_LENGTH_T:
        return (size_t)va_arg(arguments->list, ptrdiff_t);
    default:
        return va_arg(arguments->list, unsigned long long);
    }
}

/* %n. The count fits: it is at most INT_MAX, and the caller chose the smaller types. */
static void count_store(enum printf_length length, size_t count, void *target) {
    switch (length) {
    case PRINTF_LENGTH_HH:
        *(signed char *)target = (signed char)count;
        break;
    case PRINTF_LENGTH_H:
        *(short *)target = (short)count;
        break;
    case PRINTF_LENGTH_NONE:
        *(int *)target = (int)count;
        break;
    case PRINTF_LENGTH_L:
        *(long *)target = (long)count;
        break;
    case PRINTF_LENGTH_J:
        *(intmax_t *)target = (intmax_t)count;
        break;
    case PRINTF_LENGTH_Z:
        *(ssize_t *)target = (ssize_t)count;
        break;
    case PRINTF_LENGTH_T:
        *(ptrdiff_t *)target = (ptrdiff_t)count;
        break;
    default:
        *(long long *)target = (long long)count;
    }
}

/* Puts an integer that is part of an unknown conversion. */
static void number_echo(struct printf_sink *sink, int number) {
    static const struct printf_field plain = {.precision = -1, .conversion = 'd'};
    signed_print(sink, &plain, number);
}

/* Puts back a conversion that is not known, in glibc's order. A format that ends within one is an
 * error. */
static void unknown_print(struct printf_sink *sink, const struct printf_field *field) {
    if (field->conversion == '\0') {
        printf_sink_fail(sink, EINVAL);
        return;
    }
    printf_sink_write(sink, "%", 1);
    printf_sink_fill(sink, '#', field->alternate);
    printf_sink_fill(sink, '\'', field->group);
    printf_sink_fill(sink, field->plus ? '+' : ' ', field->plus || field->space);
    printf_sink_fill(sink, '-', field->left);
    printf_sink_fill(sink, '0', field->zero && !field->left);
    if (field->width > 0)
        number_echo(sink, field->width);
    if (field->precision >= 0) {
        printf_sink_write(sink, ".", 1);
        number_echo(sink, field->precision);
    }
    printf_sink_write(sink, &field->conversion, 1);
}

static void character_argument_print(struct printf_sink *sink, const struct printf_field *field,
                                     struct arguments *arguments) {
    if (field->conversion == 'C' || field->length == PRINTF_LENGTH_L) {
        wide_character_print(sink, field, va_arg(arguments->list, wint_t));
    } else {
        char character = (char)va_arg(arguments->list, int);
        text_print(sink, field, &character, 1);
    }
}

static void string_argument_print(struct printf_sink *sink, const struct printf_field *field,
                                  struct arguments *arguments) {
    if (field->conversion == 'S' || field->length == PRINTF_LENGTH_L)
        wide_string_print(sink, field, va_arg(arguments->list, const wchar_t *));
    else
        string_print(sink, field, va_arg(arguments->list, const char *));
}

static void float_print(struct printf_sink *sink, const struct printf_field *field,
                        struct arguments *arguments) {
    if (field->length == PRINTF_LENGTH_LONG_DOUBLE)
        printf_float_long_double(sink, field, va_arg(arguments->list, long double));
    else
        printf_float_double(sink, field, va_arg(arguments->list, double));
}

static void conversion_print(struct printf_sink *sink, const struct printf_field *field,
                             struct arguments *arguments) {
    switch (field->conversion) {
    case 'd':
    case 'i':
        signed_print(sink, field, signed_argument(field->length, arguments));
        break;
    case 'o':
    case 'u':
    case 'x':
    case 'X':
        unsigned_print(sink, field, unsigned_argument(field->length, arguments));
        break;
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        float_print(sink, field, arguments);
        break;
    case 'c':
    case 'C':
        character_argument_print(sink, field, arguments);
        break;
    case 's':
    case 'S':
        string_argument_print(sink, field, arguments);
        break;
    case 'p':
        pointer_print(sink, field, va_arg(arguments->list, const void *));
        break;
    case 'n':
        count_store(field->length, sink->total, va_arg(arguments->list, void *));
        break;
    case '%':
        printf_sink_write(sink, "%", 1);
        break;
    default:
        unknown_print(sink, field);
    }
}

/* Reads a number, or takes that of a *; one beyond INT_MAX sets error. Moves *format past it. */
static int number_parse(struct printf_sink *sink, const char **format,
                        struct arguments *arguments) {
    int number = 0;
    if (**format == '*') {
        (*format)++;
        return va_arg(arguments->list, int);
    }
    for (; **format >= '0' && **format <= '9'; (*format)++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, **format - '0', &number)) {
            printf_sink_fail(sink, EOVERFLOW);
            return 0;
        }
    }
    return number;
}

static const char *flags_parse(struct printf_field *field, const char *format) {
    for (;; format++) {
        switch (*format) {
        case '-':
            field->left = true;
            break;
        case '+':
            field->plus = true;
            break;
        case ' ':
            field->space = true;
            break;
        case '#':
            field->alternate = true;
            break;
        case '\'':
            field->group = true;
            break;
        case '0':
            field->zero = true;
            break;
        default:
            return format;
        }
    }
}

static const char *length_parse(struct printf_field *field, const char *format) {
    char letter = *format;
    bool doubled = letter != '\0' && format[1] == letter;
    switch (letter) {
    case 'h':
        field->length = doubled ? PRINTF_LENGTH_HH : PRINTF_LENGTH_H;
        return format + 1 + doubled;
    case 'l':
        field->length = doubled ? PRINTF_LENGTH_LL : PRINTF_LENGTH_L;
        return format + 1 + doubled;
    case 'j':
        field->length = PRINTF_LENGTH_J;
        return format + 1;
    case 'z':
        field->length = PRINTF_LENGTH_Z;
        return format + 1;
    case 't':
        field->length = PRINTF_LENGTH_T;
        return format + 1;
    case 'L':
        field->length = PRINTF_LENGTH_LONG_DOUBLE;
        return format + 1;
    default:
        return format;
    }
}

/* Reads a conversion from behind its % on. Returns the rest of the format; on an error, its end. */
static const char *conversion_parse(struct printf_sink *sink, struct printf_field *field,
                                    const char *format, struct arguments *arguments) {
    *field = (struct printf_field){.precision = -1};
    format = flags_parse(field, format);
    field->width = number_parse(sink, &format, arguments);
    if (field->width < 0) {
        field->left = true;
        if (__builtin_sub_overflow(0, field->width, &field->width))
            printf_sink_fail(sink, EOVERFLOW);
    }
    if (*format == '.') {
        format++;
        field->precision = number_parse(sink, &format, arguments);
        if (field->precision < 0)
            field->precision = -1;
    }
    format = length_parse(field, format);
    field->conversion = *format;
    return *format == '\0' ? format : format + 1;
}

static int format_print(struct printf_sink *sink, const char *format, va_list list) {
    struct arguments arguments;
    va_copy(arguments.list, list);
    while (*format != '\0' && sink->error == 0) {
        size_t literal = 0;
        while (format[literal] != '\0' && format[literal] != '%')
            literal++;
        printf_sink_write(sink, format, literal);
        format += literal;
        if (*format == '%') {
            struct printf_field field;
            format = conversion_parse(sink, &field, format + 1, &arguments);
            if (sink->error == 0)
                conversion_print(sink, &field, &arguments);
        }
    }
    va_end(arguments.list);
    return printf_sink_finish(sink);
}

int os_vsnprintf(char *buffer, size_t size, const char *format, va_list arguments) {
    struct printf_sink sink = {.buffer = buffer, .capacity = size > 0 ? size - 1 : 0};
    int result = format_print(&sink, format, arguments);
    if (size > 0)
        buffer[sink.used] = '\0';
    return result;
}

int os_snprintf(char *buffer, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = os_vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    return result;
}

int os_vdprintf(int descriptor, const char *format, va_list arguments) {
    char buffer[DRAIN_BUFFER_SIZE];
    struct printf_sink sink = {
        .buffer = buffer,
        .capacity = sizeof buffer,
        .descriptor = descriptor,
        .drains = true,
    };
    return format_print(&sink, format, arguments);
}

int os_dprintf(int descriptor, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = os_vdprintf(descriptor, format, arguments);
    va_end(arguments);
    return result;
}

int os_vprintf(const char *format, va_list arguments) {
    return os_vdprintf(STDOUT_FILENO, format, arguments);
}

int os_printf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = os_vdprintf(STDOUT_FILENO, format, arguments);
    va_end(arguments);
    return result;
}
