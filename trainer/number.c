/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number - see number.h.
 */
#include "trainer/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool number_parse(const char *text, double *ret)
{
	char *end;

	if (*text == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0')
		return false;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

bool number_parse_int(const char *text, int64_t lo, int64_t hi, int64_t *ret)
{
	char *end;
	const char *digits = *text == '-' ? text + 1 : text;

	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	long long value = strtoll(text, &end, 10);

	if (errno != 0 || *end != '\0' || value < lo || value > hi)
		return false;
	*ret = value;
	return true;
}

const char *number_format(double value, char buf[NUMBER_SIZE])
{
	int digits = 1;

	do
		(void)snprintf(buf, NUMBER_SIZE, "%.*e", digits - 1, value);
	while (strtod(buf, NULL) != value && digits++ < 17);
	const char *e = strchr(buf, 'e');
	int exponent = e != NULL ? (int)strtol(e + 1, NULL, 10) : 0;

	if (e != NULL && exponent >= -5 && exponent < 17) {
		int decimals = digits - 1 - exponent;

		(void)snprintf(buf, NUMBER_SIZE, "%.*f", decimals > 0 ? decimals : 0, value);
	}
	return buf;
}
