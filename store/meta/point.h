/* SPDX-License-Identifier: Apache-2.0 */
/*
 * point - the packed form of metric points (FORMAT.md 4.4) and their text.  Any thread.
 *
 * A point is packed against the one before it; the first of a block against step 0, time 0.  A value of at most 15 digits is kept as
 * digits and power of ten, others as the double itself.
 */
#ifndef STORE_META_POINT_H
#define STORE_META_POINT_H

#include "store/base/num.h"
#include "store/base/pack.h"
#include "store/meta/metric.h"

#define POINT_TEXT_MAX (3 * NUM_TEXT_MAX)

struct point_delta { /* of the point before; all zero at the start */
	int64_t step, time_ms;
};

void point_pack(struct buf *out, struct point_delta *prev, const struct metric_point *p);
void point_unpack(struct unpack *u, struct point_delta *prev,
		  struct metric_point *ret); /* strings borrowed */
size_t point_text(const struct metric_point *p,
		  char out[POINT_TEXT_MAX]); /* step, tab, value, tab, ms, newline */
bool point_eq(const struct metric_point *a, const struct metric_point *b); /* bit for bit */

#endif
