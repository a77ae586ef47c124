/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - something learned, with the names of what goes in and comes out.  Its text form:
 * MODEL.md.
 */
#ifndef TRAINER_MODEL_H
#define TRAINER_MODEL_H

#include "trainer/algorithm.h"
#include "trainer/dataset.h"
#include "trainer/labels.h"

#define MODEL_FILE   "model.txt"
#define MODEL_FORMAT "iris-model 1"

struct model {
	const struct algorithm *algorithm;
	struct labels features, classes;
	void *fitted;
};

#define SCOPED_MODEL __attribute__((cleanup(model_release)))

MUST_CHECK int model_fit(const struct dataset *d, const struct params *p, struct curves *curves,
			 struct model *ret);

/* The same model gives the same bytes. */
void model_write(const struct model *m, struct text *out);

/* DIR/model.txt; fails with file and line for anything that model_write() cannot have written. */
MUST_CHECK int model_read(const char *dir, struct model *ret);

/*
 * The likeliest class (of equals the first) of the measures X; RET_PROBA as many as there are
 * classes.
 */
size_t model_predict(const struct model *m, const double *x, double *ret_proba);

void model_release(struct model *m);

#endif
