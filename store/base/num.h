/* SPDX-License-Identifier: Apache-2.0 */
/*
 * num - numbers as users write them and as we print them back.  Locale-free, any thread.
 */
#ifndef STORE_BASE_NUM_H
#define STORE_BASE_NUM_H

#include <stdint.h>

#include "store/base/err.h"
#include "store/base/slice.h"

#define NUM_TEXT_MAX 32 /* bytes of any text that the formatters make, NUL included */

/*
 * What strtod takes in the C locale, nan and inf included, with blanks and CR around it ignored: the whole of S must be one
 * number.  -EINVAL with a reason: not a number, a decimal comma, or out of range (1e400).  A subnormal or zero result of a tiny literal is fine.
 */
MUST_CHECK int num_parse_double(struct slice s, double *ret);

/* A decimal integer with optional sign, blanks around it ignored.  -EINVAL. */
MUST_CHECK int num_parse_i64(struct slice s, int64_t *ret);

/* The shortest text that reads back to the same double ("0.1", "1e+22", "nan", "inf", "-inf", "5").  Returns its length. */
size_t num_format_double(double v, char out[NUM_TEXT_MAX]);

/* The same for JSON: numbers as above (always a valid JSON number), "\"NaN\"", "\"Infinity\"", "\"-Infinity\"" quoted. */
size_t num_format_json(double v, char out[NUM_TEXT_MAX]);

size_t num_format_i64(int64_t v, char out[NUM_TEXT_MAX]);

#endif
