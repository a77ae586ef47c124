/* SPDX-License-Identifier: Apache-2.0 */
/*
 * importance - see importance.h.
 */
#include "trainer/importance.h"

#include <math.h>
#include <string.h>

#include "trainer/mem.h"
#include "trainer/rng.h"

enum { SHUFFLES = 20, SEED = 42 };

/* FEATURE of row i is taken from row order[i]. */
static double accuracy(const struct model *m, const struct dataset *d, size_t feature,
		       const uint32_t *order)
{
	size_t features = d->features.count, hits = 0;
	double x[LABELS_MAX], proba[LABELS_MAX];

	for (size_t i = 0; i < d->rows; i++) {
		memcpy(x, d->x + i * features, features * sizeof(*x));
		x[feature] = d->x[order[i] * features + feature];
		hits += model_predict(m, x, proba) == d->y[i];
	}
	return (double)hits / (double)d->rows;
}

static void permute(const struct model *m, const struct dataset *d, size_t feature,
		    double *ret_mean, double *ret_deviation)
{
	SCOPED_FREE uint32_t *order = mem_zalloc(d->rows, sizeof(*order));
	double lost[SHUFFLES], sum = 0, squares = 0;
	struct rng rng;

	for (uint32_t i = 0; i < d->rows; i++)
		order[i] = i;
	double whole = accuracy(m, d, feature, order);

	rng_init(&rng, SEED, feature);
	for (size_t i = 0; i < SHUFFLES; i++) {
		rng_shuffle(&rng, order, d->rows);
		lost[i] = whole - accuracy(m, d, feature, order);
		sum += lost[i];
	}
	*ret_mean = sum / SHUFFLES;
	for (size_t i = 0; i < SHUFFLES; i++)
		squares += (lost[i] - *ret_mean) * (lost[i] - *ret_mean);
	*ret_deviation = sqrt(squares / SHUFFLES);
}

void importance_write(const struct model *m, const struct dataset *d, struct text *out)
{
	double gini[LABELS_MAX], mean, deviation;
	bool has_gini = m->algorithm->importance != NULL;

	if (has_gini)
		m->algorithm->importance(m->fitted, gini);
	text_addf(out, "feature,permutation_mean,permutation_std,gini\n");
	for (size_t f = 0; f < m->features.count; f++) {
		permute(m, d, f, &mean, &deviation);
		text_addf(out, "%s,", m->features.name[f]);
		text_add_number(out, mean);
		text_add(out, ",", 1);
		text_add_number(out, deviation);
		text_add(out, ",", 1);
		if (has_gini)
			text_add_number(out, gini[f]);
		text_add(out, "\n", 1);
	}
}
