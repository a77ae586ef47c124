/* SPDX-License-Identifier: Apache-2.0 */
/*
 * knn - the nearest neighbours vote.
 *
 * Euclidean distance; of rows equally far the one learned first is nearer.  With weights=distance a
 * vote counts 1/distance, and where a neighbour is the very point, only such neighbours count (as
 * in scikit-learn).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/algorithm.h"
#include "trainer/mem.h"

enum { KNN_ROWS_MAX = 1000 * 1000, KNN_WATCHED_MAX = 1000 };

static const char *const weight_words[] = { "uniform", "distance" };

struct knn {
	size_t features, classes, rows, neighbors;
	bool by_distance;
	double *x;
	uint32_t *y;
};

struct neighbor {
	double square; /* of the distance */
	size_t row;
};

static void knn_free(void *fitted)
{
	struct knn *n = fitted;

	if (n == NULL)
		return;
	free(n->x);
	free(n->y);
	free(n);
}

/* The NEIGHBORS nearest rows, nearest first, without row EXCEPT. */
static size_t find(const struct knn *n, const double *x, size_t neighbors, size_t except,
		   struct neighbor *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < n->rows; i++) {
		double square = 0;

		if (i == except)
			continue;
		for (size_t f = 0; f < n->features; f++) {
			double off = x[f] - n->x[i * n->features + f];

			square += off * off;
		}
		if (found == neighbors && square >= ret[found - 1].square)
			continue;
		size_t at = found < neighbors ? found++ : found - 1;

		for (; at > 0 && ret[at - 1].square > square; at--)
			ret[at] = ret[at - 1];
		ret[at] = (struct neighbor){ square, i };
	}
	return found;
}

static void vote(const struct knn *n, const struct neighbor *near, size_t count, double *ret_proba)
{
	bool same_place = n->by_distance && near[0].square <= 0;
	double total = 0;

	memset(ret_proba, 0, n->classes * sizeof(*ret_proba));
	for (size_t i = 0; i < count; i++) {
		double weight = 1;

		if (same_place)
			weight = near[i].square <= 0 ? 1 : 0;
		else if (n->by_distance)
			weight = 1 / sqrt(near[i].square);
		ret_proba[n->y[near[i].row]] += weight;
		total += weight;
	}
	for (size_t k = 0; k < n->classes; k++)
		ret_proba[k] /= total;
}

/*
 * The curve: each row judged by the 1 .. n_neighbors others nearest to it, on up to a thousand
 * rows.
 */
static void watch(const struct knn *n, struct curves *curves)
{
	size_t stride = (n->rows + KNN_WATCHED_MAX - 1) / KNN_WATCHED_MAX, watched = 0;
	size_t most = n->neighbors < n->rows - 1 ? n->neighbors : n->rows - 1;
	SCOPED_FREE struct neighbor *near = mem_zalloc(most, sizeof(*near));
	SCOPED_FREE size_t *wrong = mem_zalloc(most, sizeof(*wrong));

	for (size_t i = 0; i < n->rows; i += stride, watched++) {
		(void)find(n, n->x + i * n->features, most, i, near);
		for (size_t count = 1; count <= most; count++) {
			double proba[LABELS_MAX];
			size_t best = 0;

			vote(n, near, count, proba);
			for (size_t k = 1; k < n->classes; k++) {
				if (proba[k] > proba[best])
					best = k;
			}
			wrong[count - 1] += best != n->y[i];
		}
	}
	for (size_t count = 1; count <= most; count++)
		curve_add(curves, "loo_error", count, (double)wrong[count - 1] / (double)watched);
}

static int knn_fit(const struct dataset *d, const struct params *p, struct curves *curves,
		   void **ret)
{
	size_t neighbors = param_whole(p, PARAM_N_NEIGHBORS), features = d->features.count;

	if (neighbors > d->rows)
		return fail(EINVAL, "n_neighbors is %zu, and the data has %zu rows", neighbors,
			    d->rows);
	struct knn *n = mem_zalloc(1, sizeof(*n));

	*n = (struct knn){ .features = features,
			   .classes = d->classes.count,
			   .rows = d->rows,
			   .neighbors = neighbors,
			   .by_distance = param_whole(p, PARAM_WEIGHTS) == 1 };
	n->x = mem_zalloc(d->rows * features, sizeof(*n->x));
	n->y = mem_zalloc(d->rows, sizeof(*n->y));
	memcpy(n->x, d->x, d->rows * features * sizeof(*n->x));
	memcpy(n->y, d->y, d->rows * sizeof(*n->y));
	watch(n, curves);
	*ret = n;
	return 0;
}

static void knn_predict(const void *fitted, const double *x, double *ret_proba)
{
	const struct knn *n = fitted;
	SCOPED_FREE struct neighbor *near = mem_zalloc(n->neighbors, sizeof(*near));

	vote(n, near, find(n, x, n->neighbors, SIZE_MAX, near), ret_proba);
}

static void knn_write(const void *fitted, struct text *out)
{
	const struct knn *n = fitted;

	text_addf(out, "n_neighbors %zu\nweights %s\nrows %zu\n", n->neighbors,
		  weight_words[n->by_distance], n->rows);
	for (size_t i = 0; i < n->rows; i++) {
		text_addf(out, "row %u", n->y[i]);
		for (size_t f = 0; f < n->features; f++) {
			text_add(out, " ", 1);
			text_add_number(out, n->x[i * n->features + f]);
		}
		text_add(out, "\n", 1);
	}
}

static int read_head(struct lines *in, struct knn *n)
{
	int rc = lines_next(in, "n_neighbors", 2);

	if (rc == 0)
		rc = lines_whole(in, 1, 1, KNN_ROWS_MAX, &n->neighbors);
	if (rc == 0)
		rc = lines_next(in, "weights", 2);
	if (rc == 0 && strcmp(in->word[1], weight_words[0]) != 0 &&
	    strcmp(in->word[1], weight_words[1]) != 0)
		rc = lines_fail(in, "'%.40s' is not uniform or distance", in->word[1]);
	if (rc == 0) {
		n->by_distance = strcmp(in->word[1], weight_words[1]) == 0;
		rc = lines_next(in, "rows", 2);
	}
	if (rc == 0)
		rc = lines_whole(in, 1, n->neighbors, KNN_ROWS_MAX, &n->rows);
	return rc;
}

static int read_row(struct lines *in, struct knn *n, size_t row)
{
	size_t class;
	int rc = lines_next(in, "row", n->features + 2);

	if (rc == 0)
		rc = lines_whole(in, 1, 0, n->classes - 1, &class);
	for (size_t f = 0; rc == 0 && f < n->features; f++) {
		double *x = &n->x[row * n->features + f];

		rc = lines_real(in, f + 2, x);
		if (rc == 0 && fabs(*x) > 1e100)
			rc = lines_fail(in, "%g is no measure", *x);
	}
	if (rc == 0)
		n->y[row] = (uint32_t) class;
	return rc;
}

static int knn_read(struct lines *in, size_t features, size_t classes, void **ret)
{
	struct knn *n = mem_zalloc(1, sizeof(*n));
	size_t x_cap = 0, y_cap = 0;

	*n = (struct knn){ .features = features, .classes = classes };
	int rc = read_head(in, n);

	for (size_t i = 0; rc == 0 && i < n->rows; i++) {
		n->x = mem_grow(n->x, &x_cap, (i + 1) * features, sizeof(*n->x));
		n->y = mem_grow(n->y, &y_cap, i + 1, sizeof(*n->y));
		rc = read_row(in, n, i);
	}
	if (rc < 0)
		knn_free(n);
	else
		*ret = n;
	return rc;
}

const struct algorithm knn_algorithm = {
	.name = "knn",
	.fit = knn_fit,
	.predict = knn_predict,
	.write = knn_write,
	.read = knn_read,
	.free = knn_free,
};
