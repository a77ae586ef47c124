/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number - numbers from text and back, the same in every locale and run.
 */
#ifndef TRAINER_NUMBER_H
#define TRAINER_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum { NUMBER_SIZE = 32 }; /* bytes that number_format() needs */

/* A finite decimal number and nothing else: no blanks, no hexadecimal, no nan, no overflow. */
bool number_parse(const char *text, double *ret);

/* A decimal integer from LO to HI and nothing else. */
bool number_parse_int(const char *text, int64_t lo, int64_t hi, int64_t *ret);

/*
 * The fewest digits that read back as the same double, without an exponent from 1e-5 to below 1e17;
 * returns BUF.
 */
const char *number_format(double value, char buf[NUMBER_SIZE]);

#endif
