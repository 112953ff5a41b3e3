#ifndef OSMEM_UTILS_PRINTF_FLOAT_H
#define OSMEM_UTILS_PRINTF_FLOAT_H

/*
 * The floating point conversions f e g a and F E G A: lays out the exact digits of printf_decimal.
 * Internal to printf.
 */

#include "utils/printf_sink.h"

void printf_float_double(struct printf_sink *sink, const struct printf_field *field, double value);
void printf_float_long_double(struct printf_sink *sink, const struct printf_field *field,
                              long double value);

#endif
