#include "utils/printf_decimal.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "floating point numbers are read as words, lowest first");
static_assert(sizeof(double) == 8 && DBL_MANT_DIG == 53, "double is IEEE binary64");

enum {
    BATCH = 4, /* chunks taken in one pass, */
    BATCH_WORDS =
        5, /* from a number of that many words or more: 2^128 > 10^36, so all chunks count */
};
static const uint32_t CHUNK_RADIX = 1000000000;

static const uint32_t POWERS_OF_TEN[PRINTF_CHUNK_DIGITS + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
};

/* A format of the IEEE 754 family: sign, biased exponent, mantissa. */
struct float_format {
    int mantissa_bits; /* stored ones */
    int fraction_bits; /* see printf_binary */
    int exponent_bits;
    bool leading_bit_stored; /* the mantissa's highest bit is stored and not implied: the 80-bit
                                format */
};

/* Takes a number apart. `low` and `high` are the stored mantissa, `top` sign and exponent. */
static struct printf_binary binary_assemble(const struct float_format *format, uint64_t low,
                                            uint64_t high, uint32_t top) {
    int exponent_limit = (1 << format->exponent_bits) - 1;
    int stored_exponent = (int)top & exponent_limit;
    uint64_t *head = format->mantissa_bits > 64 ? &high : &low;
    int head_bits = format->mantissa_bits > 64 ? format->mantissa_bits - 64 : format->mantissa_bits;
    struct printf_binary binary = {
        .fraction_bits = format->fraction_bits,
        .kind = PRINTF_FINITE,
        .negative = (top >> format->exponent_bits & 1) != 0,
    };
    if (format->leading_bit_stored) {
        uint64_t leading_bit = (uint64_t)1 << (head_bits - 1);
        if (stored_exponent != 0 && (*head & leading_bit) == 0)
            binary.kind = PRINTF_NAN; /* an unnormal, a pseudo-infinity or a pseudo-NaN */
        else if (stored_exponent == exponent_limit)
            binary.kind = *head == leading_bit ? PRINTF_INFINITE : PRINTF_NAN;
    } else if (stored_exponent == exponent_limit) {
        binary.kind = (low | high) == 0 ? PRINTF_INFINITE : PRINTF_NAN;
    } else if (stored_exponent != 0) {
        *head |= (uint64_t)1 << head_bits;
    }
    /* The lowest bit of the mantissa weighs the same in subnormal numbers as in the smallest normal
     * ones. */
    int precision = format->mantissa_bits + (format->leading_bit_stored ? 0 : 1);
    int bias = exponent_limit / 2 + precision - 1;
    if ((low | high) == 0)
        binary.exponent = -binary.fraction_bits; /* so that %a prints p+0 */
    else
        binary.exponent = (stored_exponent > 0 ? stored_exponent : 1) - bias;
    uint64_t mantissa[2] = {low, high};
    memcpy(binary.mantissa, mantissa, sizeof binary.mantissa);
    return binary;
}

struct printf_binary printf_binary_of_double(double value) {
    static const struct float_format binary64 = {52, 52, 11, false};
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
    return binary_assemble(&binary64, mantissa, 0, (uint32_t)(bits >> 52));
}

struct printf_binary printf_binary_of_long_double(long double value) {
#if LDBL_MANT_DIG == 53
    return printf_binary_of_double((double)value);
#elif LDBL_MANT_DIG == 64
    static const struct float_format extended80 = {64, 60, 15, true};
    unsigned char bytes[sizeof value];
    uint64_t mantissa;
    uint16_t top;
    memcpy(bytes, &value, sizeof value);
    memcpy(&mantissa, bytes, sizeof mantissa);
    memcpy(&top, bytes + sizeof mantissa, sizeof top);
    return binary_assemble(&extended80, mantissa, 0, top);
#elif LDBL_MANT_DIG == 113
    static const struct float_format binary128 = {112, 112, 15, false};
    uint64_t bits[2];
    memcpy(bits, &value, sizeof bits);
    uint64_t high = bits[1] & (((uint64_t)1 << 48) - 1);
    return binary_assemble(&binary128, bits[0], high, (uint32_t)(bits[1] >> 48));
#else
#error "long double has a format that is not known here"
#endif
}

/*
 * A binary fixed-point number: the sum of words[i] * 2^(32 (i - point)).
 *   1. Words at and above high are zero (and perhaps not even stored).
 *   2. Words below low are zero; words[low] is not, once the fraction is read.
 */
struct fixed {
    uint32_t *words;
    int low;
    int high;
    int point;
};

static struct fixed fixed_load(const struct printf_binary *binary, uint32_t *words) {
    struct fixed fixed = {.words = words};
    if (binary->exponent < 0)
        fixed.point = (31 - binary->exponent) / 32;
    int offset = binary->exponent + 32 * fixed.point;
    int index = offset / 32;
    int shift = offset % 32;
    memset(words, 0, (size_t)index * sizeof *words);
    uint64_t carry = 0;
    for (int i = 0; i < PRINTF_MANTISSA_WORDS; i++) {
        carry |= (uint64_t)binary->mantissa[i] << shift;
        words[index++] = (uint32_t)carry;
        carry >>= 32;
    }
    words[index++] = (uint32_t)carry;
    fixed.high = index;
    while (fixed.high > 0 && words[fixed.high - 1] == 0)
        fixed.high--;
    while (fixed.low < fixed.high && words[fixed.low] == 0)
        fixed.low++;
    return fixed;
}

/* One step of a long division by the chunk radix: the word becomes a quotient. Returns the
 * remainder. */
static inline uint32_t integer_step(uint32_t *word, uint64_t remainder) {
    uint64_t dividend = remainder << 32 | *word;
    *word = (uint32_t)(dividend / CHUNK_RADIX);
    return (uint32_t)(dividend % CHUNK_RADIX);
}

static void integer_trim(struct fixed *fixed) {
    while (fixed->high > fixed->point && fixed->words[fixed->high - 1] == 0)
        fixed->high--;
}

/* Divides the integer part by the chunk radix. Returns the remainder. */
static uint32_t fixed_take_integer_chunk(struct fixed *fixed) {
    uint32_t remainder = 0;
    for (int i = fixed->high - 1; i >= fixed->point; i--)
        remainder = integer_step(&fixed->words[i], remainder);
    integer_trim(fixed);
    return remainder;
}

/*
 * The same BATCH times in one pass, the lowest chunk last. A division waits for the remainder of
 * the word before, but not for the other divisions of the pass: a long number takes a third of the
 * time.
 */
static void fixed_take_integer_batch(struct fixed *fixed, uint32_t chunks[BATCH]) {
    uint32_t remainders[BATCH] = {0};
    for (int i = fixed->high - 1; i >= fixed->point; i--)
        for (int j = 0; j < BATCH; j++)
            remainders[j] = integer_step(&fixed->words[i], remainders[j]);
    for (int j = 0; j < BATCH; j++)
        chunks[BATCH - 1 - j] = remainders[j];
    integer_trim(fixed);
}

/* Multiplies the fraction, which must be alone, by the chunk radix. Returns the integer part, taken
 * off. */
static uint32_t fixed_take_fraction_chunk(struct fixed *fixed) {
    uint64_t carry = 0;
    for (int i = fixed->low; i < fixed->high; i++) {
        carry += (uint64_t)fixed->words[i] * CHUNK_RADIX;
        fixed->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0 && fixed->high < fixed->point) {
        fixed->words[fixed->high++] = (uint32_t)carry;
        carry = 0;
    }
    while (fixed->low < fixed->high && fixed->words[fixed->low] == 0)
        fixed->low++;
    return (uint32_t)carry;
}

static bool fixed_has_fraction(const struct fixed *fixed) { return fixed->low < fixed->high; }

/* The integer part of the number. `end` is then the place of the first chunk of the fraction. */
static void decimal_expand_integer(struct printf_decimal *decimal, struct fixed *fixed) {
    /* 32 bits are 1.0704 chunks: a word takes less than 1 + 1/8. One more keeps a place for the
     * carry. */
    int count = fixed->high > fixed->point ? fixed->high - fixed->point : 0;
    decimal->units = count + count / 8 + 1;
    decimal->end = decimal->units + 1;
    decimal->first = decimal->end;
    while (fixed->high - fixed->point >= BATCH_WORDS) {
        decimal->first -= BATCH;
        fixed_take_integer_batch(fixed, decimal->chunks + decimal->first);
    }
    while (fixed->high > fixed->point)
        decimal->chunks[--decimal->first] = fixed_take_integer_chunk(fixed);
    if (fixed->low > fixed->high)
        fixed->low = fixed->high;
}

/* The power of ten at which the number is to end; none before its first digit is known, if it ends
 * after that. */
static int64_t decimal_cut(const struct printf_decimal *decimal, enum printf_ending ending,
                           int digits) {
    if (ending == PRINTF_AFTER_POINT)
        return -(int64_t)digits;
    if (decimal->first == decimal->end)
        return INT64_MIN / 2;
    return printf_decimal_lead(decimal) - digits;
}

/* The fraction, down to the chunk that holds the first digit that is rounded away. Returns the cut.
 */
static int64_t decimal_expand_fraction(struct printf_decimal *decimal, struct fixed *fixed,
                                       enum printf_ending ending, int digits) {
    int64_t cut = decimal_cut(decimal, ending, digits);
    while (fixed_has_fraction(fixed) && printf_decimal_position(decimal, decimal->end - 1) >= cut) {
        uint32_t chunk = fixed_take_fraction_chunk(fixed);
        bool is_first = decimal->first == decimal->end;
        if (is_first && chunk == 0) {
            decimal->units--;
            continue;
        }
        decimal->chunks[decimal->end++] = chunk;
        if (is_first)
            cut = decimal_cut(decimal, ending, digits);
    }
    return cut;
}

/* Adds to the chunk at index, at most 10^9, and carries. */
static void decimal_add(struct printf_decimal *decimal, int index, uint32_t amount) {
    uint32_t *chunks = decimal->chunks;
    chunks[index] += amount;
    while (chunks[index] >= CHUNK_RADIX) {
        chunks[index] -= CHUNK_RADIX;
        index--;
        if (index < decimal->first) {
            decimal->first = index;
            chunks[index] = 0;
        }
        chunks[index]++;
    }
}

/* Rounds to a multiple of 10^cut, half to even. `more` says that the number goes on below its last
 * chunk. */
static void decimal_round(struct printf_decimal *decimal, int64_t cut, bool more) {
    uint32_t *chunks = decimal->chunks;
    int64_t wide_index = printf_decimal_index(decimal, cut - 1);
    if (wide_index >= decimal->end)
        return;
    if (wide_index < decimal->first) { /* far less than half a unit */
        decimal->end = decimal->first;
        return;
    }
    int index = (int)wide_index;
    uint32_t unit = POWERS_OF_TEN[cut - printf_decimal_position(decimal, index)];
    uint32_t rest = chunks[index] % unit;
    bool odd = (chunks[index] / unit & 1) != 0;
    if (unit == CHUNK_RADIX)
        odd = index > decimal->first && (chunks[index - 1] & 1) != 0;
    for (int i = index + 1; i < decimal->end && !more; i++)
        more = chunks[i] != 0;
    chunks[index] -= rest;
    decimal->end = index + 1;
    if (rest > unit / 2 || (rest == unit / 2 && (more || odd)))
        decimal_add(decimal, index, unit);
    while (decimal->first < decimal->end && chunks[decimal->first] == 0)
        decimal->first++;
}

struct printf_decimal printf_decimal_expand(const struct printf_binary *binary,
                                            enum printf_ending ending, int digits, uint32_t *chunks,
                                            uint32_t *words) {
    struct printf_decimal decimal = {.chunks = chunks};
    struct fixed fixed = fixed_load(binary, words);
    decimal_expand_integer(&decimal, &fixed);
    int64_t cut = decimal_expand_fraction(&decimal, &fixed, ending, digits);
    decimal_round(&decimal, cut, fixed_has_fraction(&fixed));
    return decimal;
}

int64_t printf_decimal_lead(const struct printf_decimal *decimal) {
    if (decimal->first == decimal->end)
        return 0;
    int place = 0;
    while (decimal->chunks[decimal->first] >= POWERS_OF_TEN[place + 1])
        place++;
    return printf_decimal_position(decimal, decimal->first) + place;
}

int64_t printf_decimal_tail(const struct printf_decimal *decimal) {
    int last = decimal->end - 1;
    while (last >= decimal->first && decimal->chunks[last] == 0)
        last--;
    if (last < decimal->first)
        return 0;
    int place = 0;
    for (uint32_t chunk = decimal->chunks[last]; chunk % 10 == 0; chunk /= 10)
        place++;
    return printf_decimal_position(decimal, last) + place;
}
