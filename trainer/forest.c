/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forest - many trees that vote (`forest`), and the one tree (`tree`), which is a forest of one.
 *
 * After L. Breiman, "Random Forests", Machine Learning 45, 2001: each tree sees a bootstrap sample,
 * each split a random choice of features; the trees' class shares are averaged.  A row's out-of-bag
 * vote is that of the trees that did not see it: the error of those votes needs no test set.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "trainer/algorithm.h"
#include "trainer/cart.h"
#include "trainer/mem.h"

enum { FOREST_TREES_MAX = 10000 };

struct forest {
	size_t features, classes;
	size_t count, cap;
	struct cart *tree;
};

static void forest_free(void *fitted)
{
	struct forest *f = fitted;

	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++)
		cart_release(&f->tree[i]);
	free(f->tree);
	free(f);
}

static struct forest *forest_new(size_t features, size_t classes)
{
	struct forest *f = mem_zalloc(1, sizeof(*f));

	f->features = features;
	f->classes = classes;
	return f;
}

static struct cart *forest_add(struct forest *f)
{
	f->tree = mem_grow(f->tree, &f->cap, f->count + 1, sizeof(*f->tree));
	return &f->tree[f->count++];
}

/* scikit-learn's rounding: row fractions up, feature fractions down, at least one. */
static int limits_of(const struct dataset *d, const struct params *p, struct cart_limits *ret)
{
	const struct param_value *features = &p->value[PARAM_MAX_FEATURES];
	double all = (double)d->features.count, tried = all;

	if (features->form == PARAM_WORD)
		tried = features->whole == 0 ? sqrt(all) : log2(all);
	else if (features->form != PARAM_NONE)
		tried = param_amount(p, PARAM_MAX_FEATURES, d->features.count);
	if (tried > all)
		return fail(EINVAL, "max_features is %s, and the data has %zu features",
			    features->text, d->features.count);
	ret->depth_max = param_whole(p, PARAM_MAX_DEPTH);
	ret->split_min = (size_t)fmax(2, ceil(param_amount(p, PARAM_MIN_SAMPLES_SPLIT, d->rows)));
	ret->leaf_min = (size_t)fmax(1, ceil(param_amount(p, PARAM_MIN_SAMPLES_LEAF, d->rows)));
	ret->features_max = (size_t)fmax(1, floor(tried));
	return 0;
}

static size_t best_class(const double *sum, size_t classes)
{
	size_t best = 0;

	for (size_t k = 1; k < classes; k++) {
		if (sum[k] > sum[best])
			best = k;
	}
	return best;
}

/*
 * After tree number COUNT: let it vote on the rows it did not see (all rows when none are left out)
 * and log how the votes so far do.  SUM keeps rows * classes votes.
 */
static void watch(const struct dataset *d, const struct cart *tree, const uint32_t *weight,
		  bool bagged, size_t count, double *sum, struct curves *curves)
{
	size_t classes = d->classes.count, judged = 0, wrong = 0;

	for (size_t i = 0; i < d->rows; i++) {
		double *votes = sum + i * classes, total = 0;

		if (!bagged || weight[i] == 0)
			cart_add_proba(tree, d->x + i * d->features.count, SIZE_MAX, votes);
		for (size_t k = 0; k < classes; k++)
			total += votes[k];
		if (total > 0) {
			judged++;
			wrong += best_class(votes, classes) != d->y[i];
		}
	}
	if (judged == 0)
		return;
	double error = (double)wrong / (double)judged;

	if (bagged)
		curve_add(curves, "oob_error", count, error);
	else
		curve_add(curves, "train_accuracy", count, 1 - error);
}

static int forest_fit(const struct dataset *d, const struct params *p, struct curves *curves,
		      void **ret)
{
	struct cart_limits limits;
	size_t trees = param_whole(p, PARAM_N_ESTIMATORS);
	bool bagged = param_whole(p, PARAM_BOOTSTRAP) != 0;
	int rc = limits_of(d, p, &limits);

	if (rc < 0)
		return rc;
	SCOPED_FREE uint32_t *weight = mem_zalloc(d->rows, sizeof(*weight));
	SCOPED_FREE double *sum = mem_zalloc(d->rows * d->classes.count, sizeof(*sum));
	struct forest *f = forest_new(d->features.count, d->classes.count);

	for (size_t t = 0; t < trees; t++) {
		struct rng rng;
		struct cart *tree = forest_add(f);

		rng_init(&rng, param_whole(p, PARAM_RANDOM_STATE), t);
		for (size_t i = 0; i < d->rows; i++)
			weight[i] = bagged ? 0 : 1;
		for (size_t i = 0; bagged && i < d->rows; i++)
			weight[rng_below(&rng, (uint32_t)d->rows)]++;
		cart_grow(d, weight, &limits, &rng, tree);
		watch(d, tree, weight, bagged, t + 1, sum, curves);
	}
	*ret = f;
	return 0;
}

/* The curve: accuracy on what it learned, by levels of splits. */
static int tree_fit(const struct dataset *d, const struct params *p, struct curves *curves,
		    void **ret)
{
	struct cart_limits limits;
	struct rng rng;
	int rc = limits_of(d, p, &limits);

	if (rc < 0)
		return rc;
	SCOPED_FREE uint32_t *weight = mem_zalloc(d->rows, sizeof(*weight));
	struct forest *f = forest_new(d->features.count, d->classes.count);
	struct cart *tree = forest_add(f);

	for (size_t i = 0; i < d->rows; i++)
		weight[i] = 1;
	rng_init(&rng, param_whole(p, PARAM_RANDOM_STATE), 0);
	cart_grow(d, weight, &limits, &rng, tree);
	size_t levels = cart_depth(tree);

	for (size_t level = 0; level <= levels; level++) {
		size_t right = 0;

		for (size_t i = 0; i < d->rows; i++) {
			double proba[LABELS_MAX] = { 0 };

			cart_add_proba(tree, d->x + i * d->features.count, level, proba);
			right += best_class(proba, d->classes.count) == d->y[i];
		}
		curve_add(curves, "train_accuracy", level, (double)right / (double)d->rows);
	}
	*ret = f;
	return 0;
}

static void forest_predict(const void *fitted, const double *x, double *ret_proba)
{
	const struct forest *f = fitted;

	for (size_t k = 0; k < f->classes; k++)
		ret_proba[k] = 0;
	for (size_t t = 0; t < f->count; t++)
		cart_add_proba(&f->tree[t], x, SIZE_MAX, ret_proba);
	for (size_t k = 0; k < f->classes; k++)
		ret_proba[k] /= (double)f->count;
}

/* scikit-learn's: the mean over the trees that split at all, adding up to 1. */
static void forest_importance(const void *fitted, double *ret)
{
	const struct forest *f = fitted;
	double one[LABELS_MAX], total = 0;

	for (size_t i = 0; i < f->features; i++)
		ret[i] = 0;
	for (size_t t = 0; t < f->count; t++) {
		cart_importance(&f->tree[t], one);
		for (size_t i = 0; i < f->features; i++) {
			ret[i] += one[i];
			total += one[i];
		}
	}
	for (size_t i = 0; i < f->features && total > 0; i++)
		ret[i] /= total;
}

static void forest_write(const void *fitted, struct text *out)
{
	const struct forest *f = fitted;

	text_addf(out, "trees %zu\n", f->count);
	for (size_t t = 0; t < f->count; t++)
		cart_write(&f->tree[t], t, out);
}

static int read_trees(struct lines *in, size_t max, size_t features, size_t classes, void **ret)
{
	size_t trees;
	int rc = lines_next(in, "trees", 2);

	if (rc == 0)
		rc = lines_whole(in, 1, 1, max, &trees);
	if (rc < 0)
		return rc;
	struct forest *f = forest_new(features, classes);

	for (size_t t = 0; rc == 0 && t < trees; t++)
		rc = cart_read(in, t, features, classes, forest_add(f));
	if (rc < 0)
		forest_free(f);
	else
		*ret = f;
	return rc;
}

static int forest_read(struct lines *in, size_t features, size_t classes, void **ret)
{
	return read_trees(in, FOREST_TREES_MAX, features, classes, ret);
}

static int tree_read(struct lines *in, size_t features, size_t classes, void **ret)
{
	return read_trees(in, 1, features, classes, ret);
}

const struct algorithm forest_algorithm = {
	.name = "forest",
	.fit = forest_fit,
	.predict = forest_predict,
	.importance = forest_importance,
	.write = forest_write,
	.read = forest_read,
	.free = forest_free,
};

const struct algorithm tree_algorithm = {
	.name = "tree",
	.fit = tree_fit,
	.predict = forest_predict,
	.importance = forest_importance,
	.write = forest_write,
	.read = tree_read,
	.free = forest_free,
};
