/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/point.h"

#include <math.h>

/*
 * The first byte: bit 7, model and dataset follow; bits 0-5, the form of the value: 0..22 digits / 10^form, 23..44 digits * 10^(form - 22),
 * 63 the double.  Digits are below 10^15 and powers of ten up to 22 are exact, so one division or multiplication gives
 * the same double back (see base/num.c).
 */
#define FORM_MULTIPLY 22
#define FORM_LAST     44
#define FORM_RAW      63
#define HAS_STRINGS   0x80
#define DIGITS_MAX    1e15

static const double power_of_ten[FORM_MULTIPLY + 1] = {
	1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static double form_value(unsigned form, int64_t digits)
{
	return form <= FORM_MULTIPLY ? (double)digits / power_of_ten[form]
				     : (double)digits * power_of_ten[form - FORM_MULTIPLY];
}

static bool same_bits(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* The form and digits of V, or FORM_RAW. */
static unsigned find_form(double v, int64_t *ret_digits)
{
	double a = fabs(v);

	if (!(a < 1e37))
		return FORM_RAW;
	for (unsigned form = 0; form <= FORM_MULTIPLY; form++) {
		double scaled = a * power_of_ten[form];
		int64_t digits;

		if (scaled >= DIGITS_MAX - 1) {
			if (form > 0)
				return FORM_RAW;
			break;
		}
		digits = (int64_t)(scaled + 0.5);
		*ret_digits = v < 0 ? -digits : digits;
		if (same_bits(form_value(form, *ret_digits), v))
			return form;
	}
	if (a < DIGITS_MAX - 1)
		return FORM_RAW;
	for (unsigned form = FORM_MULTIPLY + 1; form <= FORM_LAST; form++) {
		double scaled = a / power_of_ten[form - FORM_MULTIPLY];

		if (scaled >= DIGITS_MAX - 1)
			continue;
		*ret_digits = (int64_t)(v < 0 ? -(scaled + 0.5) : scaled + 0.5);
		return same_bits(form_value(form, *ret_digits), v) ? form : FORM_RAW;
	}
	return FORM_RAW;
}

static int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

void point_pack(struct buf *out, struct point_delta *prev, const struct metric_point *p)
{
	bool strings = p->model_id.len || p->dataset_name.len || p->dataset_digest.len;
	int64_t digits = 0;
	unsigned form = find_form(p->value, &digits);

	pack_u8(out, (uint8_t)(form | (strings ? HAS_STRINGS : 0)));
	pack_svarint(out, minus(p->step, prev->step));
	if (form == FORM_RAW)
		pack_f64(out, p->value);
	else
		pack_svarint(out, digits);
	pack_svarint(out, minus(p->time_ms, prev->time_ms));
	if (strings) {
		pack_str(out, p->model_id);
		pack_str(out, p->dataset_name);
		pack_str(out, p->dataset_digest);
	}
	*prev = (struct point_delta){ p->step, p->time_ms };
}

void point_unpack(struct unpack *u, struct point_delta *prev, struct metric_point *ret)
{
	unsigned head = unpack_u8(u), form = head & 0x3f;

	*ret = (struct metric_point){ .step = plus(prev->step, unpack_svarint(u)) };
	if ((head & 0x40) || (form > FORM_LAST && form != FORM_RAW)) {
		u->bad = true;
		return;
	}
	ret->value = form == FORM_RAW ? unpack_f64(u) : form_value(form, unpack_svarint(u));
	ret->time_ms = plus(prev->time_ms, unpack_svarint(u));
	if (head & HAS_STRINGS) {
		ret->model_id = unpack_str(u);
		ret->dataset_name = unpack_str(u);
		ret->dataset_digest = unpack_str(u);
	}
	*prev = (struct point_delta){ ret->step, ret->time_ms };
}

size_t point_text(const struct metric_point *p, char out[POINT_TEXT_MAX])
{
	size_t len = num_format_i64(p->step, out);

	out[len++] = '\t';
	len += num_format_double(p->value, out + len);
	out[len++] = '\t';
	len += num_format_i64(p->time_ms, out + len);
	out[len++] = '\n';
	return len;
}

bool point_eq(const struct metric_point *a, const struct metric_point *b)
{
	return a->step == b->step && a->time_ms == b->time_ms && same_bits(a->value, b->value) &&
	       slice_eq(a->model_id, b->model_id) && slice_eq(a->dataset_name, b->dataset_name) &&
	       slice_eq(a->dataset_digest, b->dataset_digest);
}
