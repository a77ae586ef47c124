/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curve - see curve.h.
 */
#include "trainer/curve.h"

#include <assert.h>
#include <string.h>

void curve_add(struct curves *c, const char *key, size_t step, double value)
{
	size_t i = 0;

	while (i < c->count && strcmp(c->curve[i].key, key) != 0)
		i++;
	if (i == c->count) {
		assert(i < CURVES_MAX);
		c->curve[c->count++].key = key;
	}
	struct curve *curve = &c->curve[i];

	curve->last = value;
	text_addf(&curve->points, "%zu ", step);
	text_add_number(&curve->points, value);
	text_add(&curve->points, "\n", 1);
}

void curve_release(struct curves *c)
{
	for (size_t i = 0; i < c->count; i++)
		text_release(&c->curve[i].points);
	c->count = 0;
}
