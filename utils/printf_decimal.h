#ifndef OSMEM_UTILS_PRINTF_DECIMAL_H
#define OSMEM_UTILS_PRINTF_DECIMAL_H

/*
 * The exact decimal value of a binary floating point number, rounded half to even where the caller
 * wants it to end.
 *
 * The number is laid out as a binary fixed-point number of 32-bit words. Its integer part is
 * divided by 10^9 again and again, which gives chunks of nine digits from the lowest up; its
 * fraction is multiplied by 10^9 again and again, which gives chunks from the highest down (Knuth,
 * The Art of Computer Programming 2, section 4.4, methods 1a and 2a). The fraction shrinks while it
 * is read: each factor 10^9 = 2^9 * 5^9 turns nine more of its low bits to zero. Chunks are made
 * only as far down as the rounding must look; whether anything is left below tells a tie from more
 * than a tie.
 *
 *              first            units            end
 *   chunks:  ... | 012 345678 901 | 234567890 | ...      chunk i holds the digits of 10^(9 (units -
 * i) + 8) down to positions:        17 ... 9        8 ... 0            10^(9 (units - i)); all
 * digits outside [first, end) are zero
 *
 * Invariants:
 *   1. first >= 1: there is room for a carry.   2. Every chunk is below 10^9.
 *   3. first == end if and only if the number is zero; otherwise chunks[first] is not 0.
 * units may lie outside [first, end): chunks that are zero in front of the first are not stored.
 */

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum printf_class { PRINTF_FINITE, PRINTF_INFINITE, PRINTF_NAN };

enum {
    PRINTF_CHUNK_DIGITS = 9,
    PRINTF_MANTISSA_WORDS = 4, /* 113 bits in the longest format, binary128 */
};

/* A floating point number taken apart: mantissa * 2^exponent. */
struct printf_binary {
    uint32_t mantissa[PRINTF_MANTISSA_WORDS]; /* lowest word first */
    int exponent;
    int fraction_bits; /* mantissa bits below the first digit of %a; a multiple of 4 */
    enum printf_class kind;
    bool negative;
};

struct printf_decimal {
    uint32_t *chunks;
    int first;
    int end;
    int units;
};

/*
 * Words that the expansion needs, given FLT-style limits.
 * Chunks: the longest run of digits belongs to the number just above the smallest normal one: its
 * lowest bit is worth 2^(min_exponent - mantissa_digits), which has as many decimals as that
 * exponent says, and its highest digit is at min_10_exponent or one below. Two more for
 * misalignment at both ends, six for the integer part of a mixed number and the carry. Binary
 * words: the longest fraction, and the mantissa that straddles one word more than it has.
 */
#define PRINTF_DECIMAL_CHUNKS(mantissa_digits, min_exponent, min_10_exponent)                      \
    (((mantissa_digits) - (min_exponent) + (min_10_exponent) + 1) / PRINTF_CHUNK_DIGITS + 2 + 6)
#define PRINTF_BINARY_WORDS(mantissa_digits, min_exponent)                                         \
    (((mantissa_digits) - (min_exponent)) / 32 + 1 + PRINTF_MANTISSA_WORDS + 1)

enum {
    PRINTF_DOUBLE_CHUNKS = PRINTF_DECIMAL_CHUNKS(DBL_MANT_DIG, DBL_MIN_EXP, DBL_MIN_10_EXP),
    PRINTF_DOUBLE_WORDS = PRINTF_BINARY_WORDS(DBL_MANT_DIG, DBL_MIN_EXP),
    PRINTF_LONG_DOUBLE_CHUNKS = PRINTF_DECIMAL_CHUNKS(LDBL_MANT_DIG, LDBL_MIN_EXP, LDBL_MIN_10_EXP),
    PRINTF_LONG_DOUBLE_WORDS = PRINTF_BINARY_WORDS(LDBL_MANT_DIG, LDBL_MIN_EXP),
};

/* Where the decimal is to end. */
enum printf_ending {
    PRINTF_AFTER_POINT, /* that many digits behind the decimal point: %f */
    PRINTF_AFTER_LEAD   /* that many digits behind the first digit that is not zero: %e */
};

struct printf_binary printf_binary_of_double(double value);
struct printf_binary printf_binary_of_long_double(long double value);

/*
 * The decimal of a finite number, with `digits` digits as `ending` counts them. `chunks` and
 * `words` are work space of PRINTF_…_CHUNKS and PRINTF_…_WORDS words for the number's type; the
 * decimal lives in chunks.
 */
struct printf_decimal printf_decimal_expand(const struct printf_binary *binary,
                                            enum printf_ending ending, int digits, uint32_t *chunks,
                                            uint32_t *words);

/* The power of ten that the highest digit stands for; 0 for zero. */
int64_t printf_decimal_lead(const struct printf_decimal *decimal);

/* The power of ten that the lowest digit other than zero stands for; 0 for zero. */
int64_t printf_decimal_tail(const struct printf_decimal *decimal);

/* The index, which may lie outside [first, end), of the chunk that holds the digit of 10^position.
 */
static inline int64_t printf_decimal_index(const struct printf_decimal *decimal, int64_t position) {
    int64_t digits = PRINTF_CHUNK_DIGITS;
    int64_t distance = position >= 0 ? position / digits : -((digits - 1 - position) / digits);
    return decimal->units - distance;
}

/* The power of ten of the lowest digit of a chunk. */
static inline int64_t printf_decimal_position(const struct printf_decimal *decimal, int64_t index) {
    return PRINTF_CHUNK_DIGITS * (decimal->units - index);
}

#endif
