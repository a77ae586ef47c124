/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curve - what a training watches itself by: points (step, value) under a metric's key.
 */
#ifndef TRAINER_CURVE_H
#define TRAINER_CURVE_H

#include <stddef.h>

#include "trainer/text.h"

enum { CURVES_MAX = 2 };

struct curve {
	const char *key;
	double last;
	struct text points; /* lines `step value`, as history/KEY takes them */
};

struct curves {
	size_t count;
	struct curve curve[CURVES_MAX];
};

#define SCOPED_CURVES __attribute__((cleanup(curve_release)))

/* Append a point; KEY is a constant string. */
void curve_add(struct curves *c, const char *key, size_t step, double value);

void curve_release(struct curves *c);

#endif
