/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset - flowers: measures in centimetres, and of which species each is.
 *
 * The columns are found by name, in any order.  A measure is a number above 0 and at most 1000,
 * written in decimal; a species is a label (labels.h), and none of the words macro and weighted,
 * which are averages.
 */
#ifndef TRAINER_DATASET_H
#define TRAINER_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/csv.h"
#include "trainer/fail.h"
#include "trainer/labels.h"

#define DATASET_CLASS_COLUMN "species"

struct dataset {
	struct labels features;
	struct labels classes;
	size_t rows;
	double *x;   /* rows * features.count */
	uint32_t *y; /* a class each; all 0 where there are no classes */
};

#define SCOPED_DATASET __attribute__((cleanup(dataset_release)))

/* The four measures of Iris, in the order in which every file of ours has them. */
void dataset_features(struct labels *ret);

/*
 * Rows to learn from: exactly the columns of Iris.  The classes are those found, in byte order, two
 * at least; fails with the file's name and line.
 */
MUST_CHECK int dataset_learn(const struct csv *c, struct dataset *ret);

/* Rows to score with a model of these FEATURES and CLASSES; other columns are ignored. */
MUST_CHECK int dataset_score(const struct csv *c, const struct labels *features,
			     const struct labels *classes, struct dataset *ret);

/* Rows to predict: measures only; a first line of numbers is taken for a row, not for names. */
MUST_CHECK int dataset_predict(const struct csv *c, const struct labels *features,
			       struct dataset *ret);

/*
 * The file of a --data argument: PATH/FILE if PATH is a directory, else PATH.  The caller frees it.
 */
char *dataset_path(const char *path, const char *file);

void dataset_release(struct dataset *d);

#endif
