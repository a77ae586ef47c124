/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score - see score.h.
 */
#include "trainer/score.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/mem.h"

/* What can be said of one class. */
struct class_score {
	double precision, recall, f1;
	double rows;
};

static const struct {
	const char *name;
	size_t offset;
} kinds[] = {
	{ "precision", offsetof(struct class_score, precision) },
	{ "recall", offsetof(struct class_score, recall) },
	{ "f1", offsetof(struct class_score, f1) },
};

static void add(struct score *s, double value, const char *kind, const char *of)
{
	struct score_metric *m = &s->metric[s->count++];

	(void)snprintf(m->key, sizeof(m->key), "%s%s%s", kind, of[0] != '\0' ? "/" : "", of);
	m->value = value;
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static struct class_score judge_class(const struct score *s, size_t class)
{
	double hit = (double)s->confusion[class * s->classes + class], said = 0, is = 0;

	for (size_t k = 0; k < s->classes; k++) {
		is += (double)s->confusion[class * s->classes + k];
		said += (double)s->confusion[k * s->classes + class];
	}
	return (struct class_score){ share(hit, said), share(hit, is), share(2 * hit, said + is),
				     is };
}

static void add_kind(struct score *s, const struct labels *classes,
		     const struct class_score *judged, size_t kind)
{
	double macro = 0, weighted = 0;

	for (size_t k = 0; k < s->classes; k++) {
		double value;

		memcpy(&value, (const char *)&judged[k] + kinds[kind].offset, sizeof(value));
		add(s, value, kinds[kind].name, classes->name[k]);
		macro += value / (double)s->classes;
		weighted += value * judged[k].rows / (double)s->rows;
	}
	add(s, macro, kinds[kind].name, "macro");
	add(s, weighted, kinds[kind].name, "weighted");
}

void score_compute(const struct model *m, const struct dataset *d, struct score *ret)
{
	size_t classes = m->classes.count, hits = 0;
	struct class_score judged[LABELS_MAX];
	double loss = 0;

	*ret = (struct score){ .rows = d->rows, .classes = classes };
	ret->predicted = mem_zalloc(d->rows, sizeof(*ret->predicted));
	ret->proba = mem_zalloc(d->rows * classes, sizeof(*ret->proba));
	ret->confusion = mem_zalloc(classes * classes, sizeof(*ret->confusion));
	for (size_t i = 0; i < d->rows; i++) {
		double *proba = ret->proba + i * classes;

		ret->predicted[i] = (uint32_t)model_predict(m, d->x + i * d->features.count, proba);
		ret->confusion[d->y[i] * classes + ret->predicted[i]]++;
		hits += ret->predicted[i] == d->y[i];
		loss -= log(fmin(fmax(proba[d->y[i]], DBL_EPSILON), 1 - DBL_EPSILON));
	}
	add(ret, (double)hits / (double)d->rows, "accuracy", "");
	add(ret, loss / (double)d->rows, "log_loss", "");
	for (size_t k = 0; k < classes; k++)
		judged[k] = judge_class(ret, k);
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++)
		add_kind(ret, &m->classes, judged, kind);
}

const struct score_metric *score_find(const struct score *s, const char *key)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->metric[i].key, key) == 0)
			return &s->metric[i];
	}
	return NULL;
}

void score_release(struct score *s)
{
	free(s->predicted);
	free(s->proba);
	free(s->confusion);
	*s = (struct score){ 0 };
}
