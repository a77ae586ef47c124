/* SPDX-License-Identifier: Apache-2.0 */
/*
 * algorithm - what every way of learning offers; one table row each.
 *
 * A fitted thing (void *) belongs to the algorithm that made it and is freed by its free().  The
 * text of a fitted thing is MODEL.md's "body"; read() takes only what write() can have written.
 */
#ifndef TRAINER_ALGORITHM_H
#define TRAINER_ALGORITHM_H

#include "trainer/curve.h"
#include "trainer/dataset.h"
#include "trainer/lines.h"
#include "trainer/param.h"
#include "trainer/text.h"

struct algorithm {
	const char *name;

	/* Learn D; log the course to CURVES. */
	int (*fit)(const struct dataset *d, const struct params *p, struct curves *curves,
		   void **ret);

	/* The probability of each class for the measures X; they add up to 1. */
	void (*predict)(const void *fitted, const double *x, double *ret_proba);

	/* How much each feature served, adding up to 1; NULL where the algorithm cannot say. */
	void (*importance)(const void *fitted, double *ret);

	void (*write)(const void *fitted, struct text *out);
	int (*read)(struct lines *in, size_t features, size_t classes, void **ret);
	void (*free)(void *fitted);
};

extern const struct algorithm forest_algorithm, tree_algorithm, logistic_algorithm, knn_algorithm;

const struct algorithm *algorithm_get(enum algorithm_id id);

/* NULL if there is none of that name. */
const struct algorithm *algorithm_find(const char *name);

#endif
