/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score - how well a model does on rows whose class is known.
 *
 * Metrics have scikit-learn's meaning: precision, recall and f1 of a class that nothing speaks of
 * are 0, macro is the plain mean over the classes, weighted that by their rows; log_loss clips
 * probabilities at 2^-52.
 */
#ifndef TRAINER_SCORE_H
#define TRAINER_SCORE_H

#include <stdint.h>

#include "trainer/model.h"

enum { SCORE_METRICS_MAX = 2 + 3 * (LABELS_MAX + 2), SCORE_KEY_SIZE = 96 };

struct score_metric {
	char key[SCORE_KEY_SIZE]; /* accuracy, log_loss, precision/CLASS, recall/macro … */
	double value;
};

struct score {
	size_t rows, classes;
	uint32_t *predicted; /* a class each row */
	double *proba;       /* rows * classes */
	uint64_t *confusion; /* classes * classes: [true * classes + predicted] */
	size_t count;
	struct score_metric metric[SCORE_METRICS_MAX];
};

#define SCOPED_SCORE __attribute__((cleanup(score_release)))

void score_compute(const struct model *m, const struct dataset *d, struct score *ret);

/* The metric KEY, or NULL. */
const struct score_metric *score_find(const struct score *s, const char *key);

void score_release(struct score *s);

#endif
