/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logistic - multinomial logistic regression (softmax) by mini-batch gradient descent.
 *
 * What is minimised is scikit-learn's objective over the rows: C * sum(log loss) + |w|^2 / 2,
 * intercepts free, here divided by C * rows.  The descent runs on standardised features, where it
 * is well conditioned; the penalty stays that of the weights as they apply to centimetres.  Each
 * weight's step is scaled by its share of the curvature (1/2 of the softmax, plus the penalty) and
 * has momentum (B. Polyak, "Some methods of speeding up the convergence of iteration methods",
 * 1964).  The noise of the batches dies out because each batch's slope is corrected by what the
 * same batch said at the pass's start, where the slope of all rows is known (R. Johnson, T. Zhang,
 * "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", 2013): so it
 * settles in scikit-learn's optimum, not near it.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/algorithm.h"
#include "trainer/mem.h"
#include "trainer/rng.h"

/* Each class has features weights and then its intercept: a "line" of features + 1 numbers. */
struct logistic {
	size_t features, classes;
	double *coef; /* classes * (features + 1) */
};

struct descent {
	const struct dataset *d;
	size_t width; /* features + 1 */
	double *z;    /* rows * width: standardised, and a 1 */
	double mean[LABELS_MAX], deviation[LABELS_MAX];
	double penalty[LABELS_MAX + 1]; /* of each weight of a line */
	/* classes * width each */
	double *w, *velocity, *slope;
	double *anchor, *anchor_slope; /* w at the pass's start, and the slope of all rows there */
	double *anchor_batch;          /* the slope of the batch at the anchor */
};

enum { STATE_PARTS = 6 };

static void logistic_free(void *fitted)
{
	struct logistic *l = fitted;

	if (l == NULL)
		return;
	free(l->coef);
	free(l);
}

static struct logistic *logistic_new(size_t features, size_t classes)
{
	struct logistic *l = mem_zalloc(1, sizeof(*l));

	l->features = features;
	l->classes = classes;
	l->coef = mem_zalloc(classes * (features + 1), sizeof(*l->coef));
	return l;
}

/* PROBA holds scores and becomes probabilities; returns log(sum(exp(score))). */
static double softmax(double *proba, size_t classes)
{
	double max = proba[0], sum = 0;

	assert(classes > 0);
	for (size_t k = 1; k < classes; k++)
		max = fmax(max, proba[k]);
	for (size_t k = 0; k < classes; k++) {
		proba[k] = exp(proba[k] - max);
		sum += proba[k];
	}
	for (size_t k = 0; k < classes; k++)
		proba[k] /= sum;
	return max + log(sum);
}

static void standardise(struct descent *s)
{
	const struct dataset *d = s->d;
	size_t features = d->features.count;

	for (size_t f = 0; f < features; f++) {
		double sum = 0, squares = 0;

		for (size_t i = 0; i < d->rows; i++)
			sum += d->x[i * features + f];
		s->mean[f] = sum / (double)d->rows;
		for (size_t i = 0; i < d->rows; i++) {
			double off = d->x[i * features + f] - s->mean[f];

			squares += off * off;
		}
		s->deviation[f] = sqrt(squares / (double)d->rows);
		if (s->deviation[f] < 1e-12)
			s->deviation[f] = 1;
		for (size_t i = 0; i < d->rows; i++)
			s->z[i * s->width + f] =
				(d->x[i * features + f] - s->mean[f]) / s->deviation[f];
	}
	for (size_t i = 0; i < d->rows; i++)
		s->z[i * s->width + features] = 1;
}

/*
 * Of two classes scikit-learn fits one line, the difference of ours: the same solution at twice the
 * penalty.
 */
static void set_penalty(struct descent *s, double inverse_strength)
{
	size_t features = s->d->features.count;
	double of_all =
		(s->d->classes.count == 2 ? 2 : 1) / (inverse_strength * (double)s->d->rows);

	for (size_t f = 0; f < features; f++)
		s->penalty[f] = of_all / (s->deviation[f] * s->deviation[f]);
	s->penalty[features] = 0;
}

static void scores(const struct descent *s, const double *w, size_t row, double *ret)
{
	for (size_t k = 0; k < s->d->classes.count; k++) {
		ret[k] = 0;
		for (size_t f = 0; f < s->width; f++)
			ret[k] += w[k * s->width + f] * s->z[row * s->width + f];
	}
}

/* The mean slope of the log loss at W over COUNT rows. */
static void slope(const struct descent *s, const double *w, const uint32_t *rows, size_t count,
		  double *ret)
{
	size_t classes = s->d->classes.count;
	double proba[LABELS_MAX];

	memset(ret, 0, classes * s->width * sizeof(*ret));
	for (size_t i = 0; i < count; i++) {
		scores(s, w, rows[i], proba);
		(void)softmax(proba, classes);
		proba[s->d->y[rows[i]]] -= 1;
		for (size_t k = 0; k < classes; k++) {
			for (size_t f = 0; f < s->width; f++)
				ret[k * s->width + f] +=
					proba[k] * s->z[rows[i] * s->width + f] / (double)count;
		}
	}
}

static void step(struct descent *s, const uint32_t *rows, size_t count, double rate,
		 double momentum)
{
	slope(s, s->w, rows, count, s->slope);
	slope(s, s->anchor, rows, count, s->anchor_batch);
	for (size_t j = 0; j < s->d->classes.count * s->width; j++) {
		double penalty = s->penalty[j % s->width];
		double all =
			s->slope[j] - s->anchor_batch[j] + s->anchor_slope[j] + penalty * s->w[j];

		s->velocity[j] = momentum * s->velocity[j] - rate / (0.5 + penalty) * all;
		s->w[j] += s->velocity[j];
	}
}

/* The objective and the accuracy over all rows; false when the descent has left all bounds. */
static bool watch(const struct descent *s, size_t epoch, struct curves *curves)
{
	size_t classes = s->d->classes.count, right = 0;
	double loss = 0, proba[LABELS_MAX];

	for (size_t i = 0; i < s->d->rows; i++) {
		uint32_t class = s->d->y[i];
		bool best = true;

		scores(s, s->w, i, proba);
		double own = proba[class];

		for (size_t k = 0; k < classes; k++)
			best = best &&
			       (k == class || proba[k] < own || (proba[k] <= own && k > class));
		right += best;
		loss += softmax(proba, classes) - own;
	}
	loss /= (double)s->d->rows;
	for (size_t j = 0; j < classes * s->width; j++)
		loss += s->penalty[j % s->width] * s->w[j] * s->w[j] / 2;
	if (!isfinite(loss))
		return false;
	curve_add(curves, "train_loss", epoch, loss);
	curve_add(curves, "train_accuracy", epoch, (double)right / (double)s->d->rows);
	return true;
}

static int descend(struct descent *s, const struct params *p, struct curves *curves)
{
	size_t rows = s->d->rows, epochs = param_whole(p, PARAM_MAX_ITER);
	size_t batch = param_whole(p, PARAM_BATCH_SIZE);
	double rate = param_real(p, PARAM_LEARNING_RATE), momentum = param_real(p, PARAM_MOMENTUM);
	SCOPED_FREE uint32_t *order = mem_zalloc(rows, sizeof(*order));
	struct rng rng;

	rng_init(&rng, param_whole(p, PARAM_RANDOM_STATE), 0);
	for (uint32_t i = 0; i < rows; i++)
		order[i] = i;
	for (size_t epoch = 1; epoch <= epochs; epoch++) {
		memcpy(s->anchor, s->w, s->d->classes.count * s->width * sizeof(*s->w));
		slope(s, s->anchor, order, rows, s->anchor_slope);
		rng_shuffle(&rng, order, rows);
		for (size_t i = 0; i < rows; i += batch) {
			size_t count = rows - i < batch ? rows - i : batch;

			step(s, order + i, count, rate, momentum);
		}
		if (!watch(s, epoch, curves))
			return fail(
				EDOM,
				"the descent diverges in pass %zu: learning_rate %g is too large",
				epoch, rate);
	}
	return 0;
}

/* Back from standardised features to centimetres. */
static struct logistic *unstandardise(const struct descent *s)
{
	size_t features = s->d->features.count;
	struct logistic *l = logistic_new(features, s->d->classes.count);

	for (size_t k = 0; k < l->classes; k++) {
		const double *w = s->w + k * s->width;
		double *line = l->coef + k * s->width;

		line[features] = w[features];
		for (size_t f = 0; f < features; f++) {
			line[f] = w[f] / s->deviation[f];
			line[features] -= line[f] * s->mean[f];
		}
	}
	return l;
}

static int logistic_fit(const struct dataset *d, const struct params *p, struct curves *curves,
			void **ret)
{
	size_t width = d->features.count + 1, weights = d->classes.count * width;
	SCOPED_FREE double *z = mem_zalloc(d->rows * width, sizeof(*z));
	SCOPED_FREE double *state = mem_zalloc(STATE_PARTS * weights, sizeof(*state));
	struct descent s = { .d = d,
			     .width = width,
			     .z = z,
			     .w = state,
			     .velocity = state + weights,
			     .slope = state + 2 * weights,
			     .anchor = state + 3 * weights,
			     .anchor_slope = state + 4 * weights,
			     .anchor_batch = state + 5 * weights };

	standardise(&s);
	set_penalty(&s, param_real(p, PARAM_C));
	int rc = descend(&s, p, curves);

	if (rc == 0)
		*ret = unstandardise(&s);
	return rc;
}

static void logistic_predict(const void *fitted, const double *x, double *ret_proba)
{
	const struct logistic *l = fitted;
	size_t width = l->features + 1;

	for (size_t k = 0; k < l->classes; k++) {
		ret_proba[k] = l->coef[k * width + l->features];
		for (size_t f = 0; f < l->features; f++)
			ret_proba[k] += l->coef[k * width + f] * x[f];
	}
	(void)softmax(ret_proba, l->classes);
}

static void logistic_write(const void *fitted, struct text *out)
{
	const struct logistic *l = fitted;

	for (size_t k = 0; k < l->classes; k++) {
		text_addf(out, "line %zu", k);
		for (size_t f = 0; f <= l->features; f++) {
			text_add(out, " ", 1);
			text_add_number(out, l->coef[k * (l->features + 1) + f]);
		}
		text_add(out, "\n", 1);
	}
}

/* Numbers so large that a score could overflow are none of ours. */
static int logistic_read(struct lines *in, size_t features, size_t classes, void **ret)
{
	struct logistic *l = logistic_new(features, classes);
	size_t found;
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < classes; k++) {
		rc = lines_next(in, "line", features + 3);
		if (rc == 0)
			rc = lines_whole(in, 1, k, k, &found);
		for (size_t f = 0; rc == 0 && f <= features; f++) {
			double *coef = &l->coef[k * (features + 1) + f];

			rc = lines_real(in, f + 2, coef);
			if (rc == 0 && fabs(*coef) > 1e100)
				rc = lines_fail(in, "%g is no weight", *coef);
		}
	}
	if (rc < 0)
		logistic_free(l);
	else
		*ret = l;
	return rc;
}

const struct algorithm logistic_algorithm = {
	.name = "logistic",
	.fit = logistic_fit,
	.predict = logistic_predict,
	.write = logistic_write,
	.read = logistic_read,
	.free = logistic_free,
};
