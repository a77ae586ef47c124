/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predictions - see predictions.h.
 */
#include "trainer/predictions.h"

#include <errno.h>
#include <string.h>

#include "trainer/csv.h"
#include "trainer/mem.h"
#include "trainer/number.h"

static const char proba_prefix[] = "p_";

static void add_header(const struct model *m, struct text *out)
{
	text_addf(out, "prediction");
	for (size_t k = 0; k < m->classes.count; k++)
		text_addf(out, ",%s%s", proba_prefix, m->classes.name[k]);
	text_add(out, "\n", 1);
}

static void add_row(const struct model *m, size_t predicted, const double *proba, struct text *out)
{
	text_addf(out, "%s", m->classes.name[predicted]);
	for (size_t k = 0; k < m->classes.count; k++) {
		text_add(out, ",", 1);
		text_add_number(out, proba[k]);
	}
	text_add(out, "\n", 1);
}

void predictions_write(const struct model *m, const struct dataset *d, const struct score *s,
		       struct text *out)
{
	for (size_t f = 0; f < d->features.count; f++)
		text_addf(out, "%s,", d->features.name[f]);
	text_addf(out, "%s,", DATASET_CLASS_COLUMN);
	add_header(m, out);
	for (size_t i = 0; i < d->rows; i++) {
		for (size_t f = 0; f < d->features.count; f++) {
			text_add_number(out, d->x[i * d->features.count + f]);
			text_add(out, ",", 1);
		}
		text_addf(out, "%s,", m->classes.name[d->y[i]]);
		add_row(m, s->predicted[i], s->proba + i * s->classes, out);
	}
}

void predictions_write_unknown(const struct model *m, const struct dataset *d, struct text *out)
{
	double proba[LABELS_MAX];

	add_header(m, out);
	for (size_t i = 0; i < d->rows; i++) {
		size_t predicted = model_predict(m, d->x + i * d->features.count, proba);

		add_row(m, predicted, proba, out);
	}
}

static int check_row(const struct model *m, const struct csv *c, size_t row, const double *x,
		     int prediction, const int *column)
{
	double proba[LABELS_MAX], told;
	const char *class = m->classes.name[model_predict(m, x, proba)];
	const char *was = csv_field(c, row, (size_t)prediction);

	if (strcmp(class, was) != 0)
		return fail(EBADMSG, "%s:%zu: the run's own model said '%.60s', this one says %s",
			    c->name, c->line[row], was, class);
	for (size_t k = 0; k < m->classes.count; k++) {
		const char *text = csv_field(c, row, (size_t)column[k]);

		if (!number_parse(text, &told) || memcmp(&told, &proba[k], sizeof(told)) != 0)
			return fail(EBADMSG,
				    "%s:%zu: the run's own model gave %s '%.40s', this one %.17g",
				    c->name, c->line[row], m->classes.name[k], text, proba[k]);
	}
	return 0;
}

int predictions_check(const struct model *m, const char *path)
{
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset d = { 0 };
	int column[LABELS_MAX];
	int rc = csv_read(path, &c);

	if (rc == 0)
		rc = dataset_score(&c, &m->features, &m->classes, &d);
	if (rc < 0)
		return rc;
	int prediction = csv_column(&c, "prediction");

	if (prediction < 0)
		return fail(EBADMSG, "%s:1: no column 'prediction'", path);
	for (size_t k = 0; k < m->classes.count; k++) {
		SCOPED_FREE char *name = text_format("%s%s", proba_prefix, m->classes.name[k]);

		column[k] = csv_column(&c, name);
		if (column[k] < 0)
			return fail(EBADMSG, "%s:1: no column '%s'", path, name);
	}
	for (size_t i = 0; rc == 0 && i < d.rows; i++)
		rc = check_row(m, &c, i + 1, d.x + i * d.features.count, prediction, column);
	return rc;
}
