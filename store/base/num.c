/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both directions have a fast path for what people log: a decimal of at most 15 digits, whose power of ten is at
 * most 22.  Such a digit string D and 10^k are both exact doubles, so D * 10^k or D / 10^k, rounded once, is the
 * correctly rounded value (Clinger, "How to read floating point numbers accurately", 1990); and as no two decimals
 * of 15 digits share a double, the one that reads back is the shortest.  All else goes through the C library.
 */
#include "store/base/num.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define FAST_DIGITS_MAX 1e15
#define FAST_POWER_MAX  22
#define NUM_INPUT_MAX   4096 /* a longer "number" is refused */

static const double power_of_ten[FAST_POWER_MAX + 1] = {
	1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_init(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double strtod_c(const char *text, char **end)
{
	pthread_once(&c_locale_once, c_locale_init);
	return c_locale ? strtod_l(text, end, c_locale) : strtod(text, end);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice trim(struct slice s)
{
	const char *at = s.data;

	while (s.len && is_blank(at[s.len - 1]))
		s.len--;
	while (s.len && is_blank(*at)) {
		at++;
		s.len--;
	}
	return slice_of(at, s.len);
}

/* [+-]digits[.digits][e[+-]d[d]] of at most 15 digits; false: not of that form, ask strtod. */
static bool parse_fast(struct slice s, double *ret)
{
	const char *at = s.data, *end = at + s.len;
	bool negative = false, any = false, point = false, exp_negative = false;
	uint64_t digits = 0;
	int scale = 0, exponent = 0;

	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	for (; at < end; at++) {
		if (*at == '.' && !point) {
			point = true;
			continue;
		}
		if (*at < '0' || *at > '9')
			break;
		digits = digits * 10 + (uint64_t)(*at - '0');
		if (digits >= (uint64_t)FAST_DIGITS_MAX)
			return false;
		any = true;
		scale -= point;
	}
	if (!any)
		return false;
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '-' || *at == '+'))
			exp_negative = *at++ == '-';
		if (at == end || end - at > 2)
			return false;
		for (; at < end && *at >= '0' && *at <= '9'; at++)
			exponent = exponent * 10 + (*at - '0');
	}
	if (at != end)
		return false;
	scale += exp_negative ? -exponent : exponent;
	if (scale < -FAST_POWER_MAX || scale > FAST_POWER_MAX)
		return false;
	*ret = scale < 0 ? (double)digits / power_of_ten[-scale]
			 : (double)digits * power_of_ten[scale];
	if (negative)
		*ret = -*ret;
	return true;
}

static int refuse(struct slice s, const char *why)
{
	int shown = s.len > 60 ? 60 : (int)s.len;

	return err_set(-EINVAL, "\"%.*s%s\" %s", shown, (const char *)s.data,
		       s.len > 60 ? "..." : "", why);
}

int num_parse_double(struct slice s, double *ret)
{
	char small[128], *text = small, *end;
	int rc = 0;
	double v;

	s = trim(s);
	if (s.len == 0)
		return err_set(-EINVAL, "empty: a number is expected");
	if (parse_fast(s, ret))
		return 0;
	if (memchr(s.data, '\0', s.len) || s.len > NUM_INPUT_MAX)
		return refuse(s, "is not a number");
	if (s.len >= sizeof(small) && !(text = malloc(s.len + 1)))
		return err_set(-ENOMEM, "out of memory");
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	errno = 0;
	v = strtod_c(text, &end);
	if (end != text + s.len) {
		bool comma = end > text && *end == ',';

		rc = refuse(s, comma ? "is not a number (the decimal separator is a point)"
				     : "is not a number");
	} else if (errno == ERANGE && isinf(v)) {
		rc = refuse(s, "is out of the range of a double");
	}
	if (text != small)
		free(text);
	if (rc == 0)
		*ret = v;
	return rc;
}

int num_parse_i64(struct slice s, int64_t *ret)
{
	const char *at, *end;
	bool negative = false;
	uint64_t v = 0, max = INT64_MAX;

	s = trim(s);
	at = s.data;
	end = at + s.len;
	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	if (at == end)
		return s.len ? refuse(s, "is not an integer")
			     : err_set(-EINVAL, "empty: an integer is expected");
	max += negative;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return refuse(s, "is not an integer");
		if (v > (max - (uint64_t)(*at - '0')) / 10)
			return refuse(s, "is out of the range of a 64-bit integer");
		v = v * 10 + (uint64_t)(*at - '0');
	}
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

static size_t put_digits(uint64_t v, char *out)
{
	char tmp[20];
	size_t n = 0;

	do
		tmp[n++] = (char)('0' + v % 10);
	while (v /= 10);
	for (size_t i = 0; i < n; i++)
		out[i] = tmp[n - 1 - i];
	return n;
}

size_t num_format_i64(int64_t v, char out[NUM_TEXT_MAX])
{
	size_t n = 0;

	if (v < 0)
		out[n++] = '-';
	n += put_digits(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, out + n);
	out[n] = '\0';
	return n;
}

/* Lay out digits D[0..n) with the point after D[0] and times 10^EXP: fixed for -4 <= EXP < 16, as Python's repr. */
static size_t lay_out(const char *d, size_t n, int exp, char *out)
{
	size_t len = 0;

	if (exp < -4 || exp >= 16) {
		out[len++] = d[0];
		if (n > 1) {
			out[len++] = '.';
			memcpy(out + len, d + 1, n - 1);
			len += n - 1;
		}
		out[len++] = 'e';
		out[len++] = exp < 0 ? '-' : '+';
		if (abs(exp) < 10)
			out[len++] = '0';
		return len + put_digits((uint64_t)abs(exp), out + len);
	}
	if (exp < 0) {
		memcpy(out, "0.0000", 6);
		len = (size_t)(1 - exp);
		memcpy(out + len, d, n);
		return len + n;
	}
	for (size_t i = 0; i < n || i <= (size_t)exp; i++) {
		out[len++] = i < n ? d[i] : '0';
		if (i == (size_t)exp && i + 1 < n)
			out[len++] = '.';
	}
	return len;
}

/* Finite and positive V whose shortest decimal has at most 15 digits and 22 decimals. */
static size_t digits_fast(double v, char *d, int *exp)
{
	for (int scale = 0; scale <= FAST_POWER_MAX; scale++) {
		double scaled = v * power_of_ten[scale];
		uint64_t digits;
		size_t n;

		if (scaled >= FAST_DIGITS_MAX - 1)
			return 0;
		digits = (uint64_t)(scaled + 0.5);
		if (digits == 0 || (double)digits / power_of_ten[scale] != v)
			continue;
		n = put_digits(digits, d);
		*exp = (int)n - 1 - scale;
		while (n > 1 && d[n - 1] == '0')
			n--;
		return n;
	}
	return 0;
}

static size_t digits_slow(double v, char *d, int *exp)
{
	char text[40];
	size_t n = 0;

	/* Subnormals have fewer than 15 digits' worth of bits: there try from one digit up. */
	for (int precision = v < 2.3e-308 ? 0 : 14; precision <= 16; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		for (char *c = text; *c; c++)
			if (*c == ',')
				*c = '.'; /* a locale that somebody set */
		if (strtod_c(text, NULL) == v)
			break;
	}
	for (const char *c = text; *c && *c != 'e'; c++)
		if (*c >= '0' && *c <= '9')
			d[n++] = *c;
	*exp = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	while (n > 1 && d[n - 1] == '0')
		n--;
	return n;
}

static size_t put_word(const char *word, char *out)
{
	size_t len = strlen(word);

	memcpy(out, word, len + 1);
	return len;
}

size_t num_format_double(double v, char out[NUM_TEXT_MAX])
{
	char d[24];
	size_t len = 0, n;
	int exp = 0;

	if (isnan(v))
		return put_word("nan", out);
	if (isinf(v))
		return put_word(v < 0 ? "-inf" : "inf", out);
	if (signbit(v)) {
		out[len++] = '-';
		v = -v;
	}
	if (v == 0.0) {
		out[len++] = '0';
	} else {
		n = digits_fast(v, d, &exp);
		if (n == 0)
			n = digits_slow(v, d, &exp);
		len += lay_out(d, n, exp, out + len);
	}
	out[len] = '\0';
	return len;
}

size_t num_format_json(double v, char out[NUM_TEXT_MAX])
{
	if (isnan(v))
		return put_word("\"NaN\"", out);
	if (isinf(v))
		return put_word(v < 0 ? "\"-Infinity\"" : "\"Infinity\"", out);
	return num_format_double(v, out);
}
