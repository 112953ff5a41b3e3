#include "utils/printf_float.h"

#include "utils/printf_decimal.h"

#include <assert.h>

enum {
    DEFAULT_PRECISION = 6,
    HEX_DIGITS_MAX = 28,    /* behind the point: binary128 has 112 bits there */
    EXPONENT_TEXT_MAX = 12, /* "e+4932" and "p-16445", with room */
};
static_assert((LDBL_MANT_DIG + 3) / 4 <= HEX_DIGITS_MAX + 1, "the hexadecimal digits fit");

/* What stands behind the digits: e+00, p-1022. */
struct exponent_text {
    char text[EXPONENT_TEXT_MAX];
    size_t length;
};

static struct exponent_text exponent_spell(char letter, int64_t exponent, int digits_least) {
    struct exponent_text result = {.length = 0};
    char digits[EXPONENT_TEXT_MAX];
    int count = 0;
    int64_t rest = exponent < 0 ? -exponent : exponent;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0 || count < digits_least);
    result.text[result.length++] = letter;
    result.text[result.length++] = exponent < 0 ? '-' : '+';
    while (count > 0)
        result.text[result.length++] = digits[--count];
    return result;
}

static void chunk_spell(uint32_t chunk, char text[PRINTF_CHUNK_DIGITS]) {
    for (int i = PRINTF_CHUNK_DIGITS - 1; i >= 0; i--) {
        text[i] = (char)('0' + chunk % 10);
        chunk /= 10;
    }
}

/* Puts the digits from that of 10^from down to that of 10^to, both included. Nothing if from < to.
 */
static void digits_write(struct printf_sink *sink, const struct printf_decimal *decimal,
                         int64_t from, int64_t to) {
    while (from >= to && sink->error == 0) {
        int64_t index = printf_decimal_index(decimal, from);
        int64_t zeros_to = to;
        if (index >= decimal->first && index < decimal->end) {
            char text[PRINTF_CHUNK_DIGITS];
            chunk_spell(decimal->chunks[index], text);
            int64_t bottom = printf_decimal_position(decimal, index);
            int64_t last = bottom > to ? bottom : to;
            printf_sink_write(sink, text + (bottom + PRINTF_CHUNK_DIGITS - 1 - from),
                              (size_t)(from - last + 1));
            from = last - 1;
            continue;
        }
        if (index < decimal->first && decimal->first < decimal->end) {
            int64_t top = printf_decimal_position(decimal, decimal->first) + PRINTF_CHUNK_DIGITS;
            zeros_to = top > to ? top : to;
        }
        printf_sink_fill(sink, '0', (size_t)(from - zeros_to + 1));
        from = zeros_to - 1;
    }
}

/*
 * Puts a finite number: the digits of 10^lead to 10^units, the point, and `precision` digits behind
 * it. `units` is 0 in %f and the exponent in %e.
 */
static void decimal_write(struct printf_sink *sink, const struct printf_field *field,
                          const struct printf_prefix *sign, const struct printf_decimal *decimal,
                          int64_t lead, int64_t units, int precision,
                          const struct exponent_text *exponent) {
    bool has_point = precision > 0 || field->alternate;
    size_t body = (size_t)(lead - units + 1) + has_point + (size_t)precision + exponent->length;
    size_t padding = printf_field_begin(sink, field, sign, body, true);
    digits_write(sink, decimal, lead, units);
    if (has_point)
        printf_sink_write(sink, ".", 1);
    digits_write(sink, decimal, units - 1, units - precision);
    printf_sink_write(sink, exponent->text, exponent->length);
    printf_sink_fill(sink, ' ', padding);
}

/* `units` is the power of ten whose digit stands in front of the point: 0 in %f, the exponent in
 * %e. */
static void fixed_style(struct printf_sink *sink, const struct printf_field *field,
                        const struct printf_prefix *sign, const struct printf_decimal *decimal,
                        int precision) {
    static const struct exponent_text no_exponent = {.length = 0};
    int64_t lead = printf_decimal_lead(decimal);
    decimal_write(sink, field, sign, decimal, lead > 0 ? lead : 0, 0, precision, &no_exponent);
}

static void exponent_style(struct printf_sink *sink, const struct printf_field *field,
                           const struct printf_prefix *sign, const struct printf_decimal *decimal,
                           int precision, char letter) {
    int64_t lead = printf_decimal_lead(decimal);
    struct exponent_text exponent = exponent_spell(letter, lead, 2);
    decimal_write(sink, field, sign, decimal, lead, lead, precision, &exponent);
}

/* %g of a decimal that already has `precision` digits, at least one. */
static void general_style(struct printf_sink *sink, const struct printf_field *field,
                          const struct printf_prefix *sign, const struct printf_decimal *decimal,
                          int precision, char letter) {
    int64_t lead = printf_decimal_lead(decimal);
    bool fixed = lead >= -4 && lead < precision;
    int64_t units = fixed ? 0 : lead;
    int64_t behind_point = precision - 1 - (lead - units);
    if (!field->alternate) {
        int64_t wanted = units - printf_decimal_tail(decimal);
        if (wanted < behind_point)
            behind_point = wanted > 0 ? wanted : 0;
    }
    if (fixed)
        fixed_style(sink, field, sign, decimal, (int)behind_point);
    else
        exponent_style(sink, field, sign, decimal, (int)behind_point, letter);
}

/* The digits of %a, values 0 to 15, the first in front of the point. */
struct hex_digits {
    char values[1 + HEX_DIGITS_MAX];
    int count; /* behind the point */
    int64_t exponent;
};

static struct hex_digits hex_expand(const struct printf_binary *binary) {
    struct hex_digits hex = {
        .count = binary->fraction_bits / 4,
        .exponent = (int64_t)binary->exponent + binary->fraction_bits,
    };
    for (int i = 0; i <= hex.count; i++) {
        int bit = binary->fraction_bits - 4 * i;
        hex.values[i] = (char)(binary->mantissa[bit / 32] >> bit % 32 & 15);
    }
    return hex;
}

/* Keeps `count` digits behind the point, rounding half to even. */
static void hex_round(struct hex_digits *hex, int count) {
    if (count >= hex->count)
        return;
    int next = hex->values[count + 1];
    bool more = false;
    for (int i = count + 2; i <= hex->count; i++)
        more |= hex->values[i] != 0;
    hex->count = count;
    bool odd = (hex->values[count] & 1) != 0;
    if (next < 8 || (next == 8 && !more && !odd))
        return;
    int i = count;
    while (i > 0 && hex->values[i] == 15)
        hex->values[i--] = 0;
    if (hex->values[i] < 15) {
        hex->values[i]++;
    } else { /* the first digit, of four bits, overflows */
        hex->values[0] = 1;
        hex->exponent += 4;
    }
}

static void hex_style(struct printf_sink *sink, const struct printf_field *field,
                      struct printf_prefix *prefix, const struct printf_binary *binary) {
    bool upper = field->conversion == 'A';
    struct hex_digits hex = hex_expand(binary);
    if (field->precision >= 0)
        hex_round(&hex, field->precision);
    else
        while (hex.count > 0 && hex.values[hex.count] == 0)
            hex.count--;
    int precision = field->precision > hex.count ? field->precision : hex.count;
    for (int i = 0; i <= hex.count; i++)
        hex.values[i] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[(int)hex.values[i]];
    prefix->text[prefix->length++] = '0';
    prefix->text[prefix->length++] = upper ? 'X' : 'x';
    struct exponent_text exponent = exponent_spell(upper ? 'P' : 'p', hex.exponent, 1);
    bool has_point = precision > 0 || field->alternate;
    size_t body = 1u + has_point + (size_t)precision + exponent.length;
    size_t padding = printf_field_begin(sink, field, prefix, body, true);
    printf_sink_write(sink, hex.values, 1);
    if (has_point)
        printf_sink_write(sink, ".", 1);
    printf_sink_write(sink, hex.values + 1, (size_t)hex.count);
    printf_sink_fill(sink, '0', (size_t)(precision - hex.count));
    printf_sink_write(sink, exponent.text, exponent.length);
    printf_sink_fill(sink, ' ', padding);
}

static void not_finite_write(struct printf_sink *sink, const struct printf_field *field,
                             const struct printf_prefix *sign, bool nan, bool upper) {
    size_t padding = printf_field_begin(sink, field, sign, 3, false);
    if (nan)
        printf_sink_write(sink, upper ? "NAN" : "nan", 3);
    else
        printf_sink_write(sink, upper ? "INF" : "inf", 3);
    printf_sink_fill(sink, ' ', padding);
}

static void float_write(struct printf_sink *sink, const struct printf_field *field,
                        const struct printf_binary *binary, uint32_t *chunks, uint32_t *words) {
    bool upper = field->conversion <= 'G';
    char letter = upper ? 'E' : 'e';
    struct printf_prefix prefix = printf_field_sign(field, binary->negative);
    struct printf_decimal decimal;
    int precision = field->precision >= 0 ? field->precision : DEFAULT_PRECISION;
    if (binary->kind != PRINTF_FINITE) {
        not_finite_write(sink, field, &prefix, binary->kind == PRINTF_NAN, upper);
        return;
    }
    switch (field->conversion | 0x20) { /* to lower case */
    case 'a':
        hex_style(sink, field, &prefix, binary);
        break;
    case 'f':
        decimal = printf_decimal_expand(binary, PRINTF_AFTER_POINT, precision, chunks, words);
        fixed_style(sink, field, &prefix, &decimal, precision);
        break;
    case 'e':
        decimal = printf_decimal_expand(binary, PRINTF_AFTER_LEAD, precision, chunks, words);
        exponent_style(sink, field, &prefix, &decimal, precision, letter);
        break;
    default:
        if (precision == 0)
            precision = 1;
        decimal = printf_decimal_expand(binary, PRINTF_AFTER_LEAD, precision - 1, chunks, words);
        general_style(sink, field, &prefix, &decimal, precision, letter);
    }
}

/* Each has a frame of its own: a double must not pay for the work space of a long double. */
__attribute__((noinline)) void printf_float_double(struct printf_sink *sink,
                                                   const struct printf_field *field, double value) {
    uint32_t chunks[PRINTF_DOUBLE_CHUNKS];
    uint32_t words[PRINTF_DOUBLE_WORDS];
    struct printf_binary binary = printf_binary_of_double(value);
    float_write(sink, field, &binary, chunks, words);
}

__attribute__((noinline)) void printf_float_long_double(struct printf_sink *sink,
                                                        const struct printf_field *field,
                                                        long double value) {
    uint32_t chunks[PRINTF_LONG_DOUBLE_CHUNKS];
    uint32_t words[PRINTF_LONG_DOUBLE_WORDS];
    struct printf_binary binary = printf_binary_of_long_double(value);
    float_write(sink, field, &binary, chunks, words);
}
