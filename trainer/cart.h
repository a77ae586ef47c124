/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cart - one classification tree: binary splits of one feature each, grown greedily by the Gini
 * index.
 *
 * After L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees", 1984,
 * chapter 4.
 *
 * 1. Node 0 is the root; a child's number is larger than its parent's, so every walk ends.
 * 2. Every other node is the child of exactly one.
 * 3. A leaf's weights (how many rows of each class it holds) add up to more than 0.
 */
#ifndef TRAINER_CART_H
#define TRAINER_CART_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/dataset.h"
#include "trainer/lines.h"
#include "trainer/rng.h"
#include "trainer/text.h"

enum { CART_LEAF = -1 };

struct cart_node {
	int feature; /* CART_LEAF, or rows with x[feature] <= threshold go left */
	double threshold;
	uint32_t left, right;
};

struct cart {
	size_t features, classes;
	size_t count, count_cap, weight_cap;
	struct cart_node *node;
	double *weight; /* count * classes; an inner node's is the sum of its children's */
};

struct cart_limits {
	size_t depth_max;           /* SIZE_MAX: none */
	size_t split_min, leaf_min; /* in different rows, as scikit-learn counts */
	size_t features_max;        /* tried for a split; more while none of them varies */
};

/* Grow on the rows of D, each counted WEIGHT times; those of weight 0 are not there. */
void cart_grow(const struct dataset *d, const uint32_t *weight, const struct cart_limits *limits,
	       struct rng *rng, struct cart *ret);

/* Add the leaf's class shares to SUM; walk at most DEPTH_MAX splits. */
void cart_add_proba(const struct cart *c, const double *x, size_t depth_max, double *sum);

/* Levels of splits. */
size_t cart_depth(const struct cart *c);

/* The Gini decrease that each feature brought, adding up to 1 (or all 0 for a lone leaf). */
void cart_importance(const struct cart *c, double *ret);

void cart_write(const struct cart *c, size_t number, struct text *out);
MUST_CHECK int cart_read(struct lines *in, size_t number, size_t features, size_t classes,
			 struct cart *ret);

void cart_release(struct cart *c);

#endif
