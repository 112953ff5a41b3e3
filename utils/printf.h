#ifndef OSMEM_UTILS_PRINTF_H
#define OSMEM_UTILS_PRINTF_H

/*
 * Formatted output that touches neither the heap, nor stdio, nor the locale, nor any lock.
 *
 * The allocator and its tests speak through these functions, because the C library's printf may
 * itself call malloc. All of them are thread safe and async-signal-safe; on success they leave
 * errno as it was.
 *
 * Conversions: all of C99's.
 *   flags        - + space # 0   (and ', accepted without effect: there is no locale to group by)
 *   width        a number or *; a negative * means the flag - and its absolute value
 *   precision    . with a number, * or nothing (zero); a negative * means no precision
 *   lengths      hh h l ll j z t L   (L before an integer conversion means ll, as in glibc)
 *   integers     d i o u x X c p n   p prints 0x and hexadecimal digits, NULL as "(nil)"
 *   strings      s ls (S)  lc (C)    NULL prints "(null)", nothing if the precision is below 6
 *   floating     f F e E g G a A     double, and long double with L
 *   %%
 * Wide characters are written as UTF-8 whatever the locale says; the precision of %ls counts bytes
 * and never splits a character; a surrogate or a value above U+10FFFF is an error, EILSEQ. %lc of 0
 * writes one null byte, as glibc and C23.
 *
 * Floating point is exact: the decimal value of the binary number is rounded once, half to even, at
 * any precision. The rounding mode of the processor is not consulted. %La of an 80-bit number
 * starts with a digit of four bits, as in glibc (1.0L is 0x8p-3). 80-bit patterns that the
 * processor rejects (unnormals, pseudo-NaNs) print as nan.
 *
 * %n stores the number of characters so far, as C99 demands: a format must never come from outside.
 * POSIX's numbered arguments (%1$d) are not supported. As in glibc, an unknown conversion is
 * printed as it stands, less its length, and takes no argument but those of its *; a format that
 * ends inside a conversion is an error, EINVAL.
 *
 * Cost: O(characters); floating point O(d * w) for d digits generated and w words of the exact
 * binary value. Stack, the buffer of os_printf included: below 2 KiB for integers and strings, 3
 * KiB for double, 10 KiB for long double.
 */

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libosmem.so exports them. */
#pragma GCC visibility push(default)

/*
 * Write to standard output, os_dprintf and os_vdprintf to a descriptor. Text is collected in a
 * buffer of 1 KiB on the stack and leaves by write(2), in one call if it fits; it is not ordered
 * with what stdio has buffered. An interrupted or partial write is continued. At an error the text
 * before it has been written.
 *
 * Return the number of characters written, or -1 if and only if
 *   a write failed (errno of write(2), EAGAIN on a full non-blocking descriptor included),
 *   the text, a width or a precision is longer than INT_MAX (EOVERFLOW),
 *   a wide character is invalid (EILSEQ), or the format ends inside a conversion (EINVAL).
 */
int os_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int os_vprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
int os_dprintf(int descriptor, const char *format, ...) __attribute__((format(printf, 2, 3)));
int os_vdprintf(int descriptor, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/*
 * Write to memory: at most size - 1 characters and always a terminating null character, or nothing
 * at all if size is 0 (then buffer may be NULL). The buffer must not overlap the arguments.
 *
 * Return the number of characters that the whole text has, the terminator not counted, however many
 * of them fitted; -1 as above, errors of write(2) apart.
 */
int os_snprintf(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int os_vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
