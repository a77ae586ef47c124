/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset - see dataset.h.
 */
#include "trainer/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/number.h"
#include "trainer/text.h"

static const double measure_max_cm = 1000;

static const char *const iris_measures[] = { "sepal_length", "sepal_width", "petal_length",
					     "petal_width" };

void dataset_features(struct labels *ret)
{
	*ret = (struct labels){ 0 };
	for (size_t i = 0; i < sizeof(iris_measures) / sizeof(iris_measures[0]); i++)
		(void)labels_add(ret, iris_measures[i]);
}

static int find_column(const struct csv *c, const char *name, size_t *ret)
{
	int column = csv_column(c, name);

	if (column < 0)
		return fail(EINVAL, "%s:%zu: no column '%s'", c->name, c->line[0], name);
	for (size_t i = (size_t)column + 1; i < c->columns; i++) {
		if (strcmp(csv_field(c, 0, i), name) == 0)
			return fail(EINVAL, "%s:%zu: two columns '%s'", c->name, c->line[0], name);
	}
	*ret = (size_t)column;
	return 0;
}

static int refuse_other_columns(const struct csv *c, const struct labels *features)
{
	for (size_t i = 0; i < c->columns; i++) {
		const char *name = csv_field(c, 0, i);

		if (labels_find(features, name) < 0 && strcmp(name, DATASET_CLASS_COLUMN) != 0)
			return fail(EINVAL, "%s:%zu: unknown column '%.60s'", c->name, c->line[0],
				    name);
	}
	return 0;
}

static int read_measure(const struct csv *c, size_t row, size_t column, const char *name,
			double *ret)
{
	const char *text = csv_field(c, row, column);

	if (text[0] == '\0')
		return fail(EINVAL, "%s:%zu: %s is missing", c->name, c->line[row], name);
	if (!number_parse(text, ret))
		return fail(EINVAL, "%s:%zu: %s is '%.40s', not a finite number", c->name,
			    c->line[row], name, text);
	if (*ret <= 0 || *ret > measure_max_cm)
		return fail(EINVAL, "%s:%zu: %s is %.40s, not between 0 and %g cm", c->name,
			    c->line[row], name, text, measure_max_cm);
	return 0;
}

/* Rows FIRST and on; COLUMN[i] holds feature i. */
static int read_measures(const struct csv *c, size_t first, const size_t *column, struct dataset *d)
{
	size_t features = d->features.count;

	if (first == c->rows)
		return fail(EINVAL, "%s:%zu: no rows below the names", c->name, c->line[0]);
	d->rows = c->rows - first;
	d->x = mem_zalloc(d->rows * features, sizeof(*d->x));
	d->y = mem_zalloc(d->rows, sizeof(*d->y));
	for (size_t i = 0; i < d->rows; i++) {
		for (size_t f = 0; f < features; f++) {
			int rc = read_measure(c, first + i, column[f], d->features.name[f],
					      &d->x[i * features + f]);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int read_named_measures(const struct csv *c, struct dataset *d)
{
	size_t column[LABELS_MAX];

	for (size_t f = 0; f < d->features.count; f++) {
		int rc = find_column(c, d->features.name[f], &column[f]);

		if (rc < 0)
			return rc;
	}
	return read_measures(c, 1, column, d);
}

static int collect_classes(const struct csv *c, size_t column, struct labels *ret)
{
	for (size_t row = 1; row < c->rows; row++) {
		const char *name = csv_field(c, row, column);

		if (labels_find(ret, name) >= 0)
			continue;
		if (strcmp(name, "macro") == 0 || strcmp(name, "weighted") == 0)
			return fail(EINVAL, "%s:%zu: species '%s' is the name of an average",
				    c->name, c->line[row], name);
		if (!labels_valid_name(name))
			return fail(EINVAL,
				    "%s:%zu: species '%.60s' is not 1 to 64 of A-Z a-z 0-9 _ - . :",
				    c->name, c->line[row], name);
		if (!labels_add(ret, name))
			return fail(EINVAL, "%s:%zu: more than %d species", c->name, c->line[row],
				    LABELS_MAX);
	}
	labels_sort(ret);
	if (ret->count < 2)
		return fail(EINVAL, "%s:%zu: all rows are of one species, nothing to tell apart",
			    c->name, c->line[c->rows - 1]);
	return 0;
}

static int read_classes(const struct csv *c, size_t column, struct dataset *d)
{
	for (size_t i = 0; i < d->rows; i++) {
		const char *name = csv_field(c, i + 1, column);
		int class = labels_find(&d->classes, name);

		if (class < 0)
			return fail(EINVAL, "%s:%zu: species '%.60s' is none of the model's",
				    c->name, c->line[i + 1], name);
		d->y[i] = (uint32_t) class;
	}
	return 0;
}

static int finish(int rc, struct dataset *d)
{
	if (rc < 0)
		dataset_release(d);
	return rc;
}

int dataset_learn(const struct csv *c, struct dataset *ret)
{
	size_t column = 0;

	*ret = (struct dataset){ 0 };
	dataset_features(&ret->features);
	int rc = find_column(c, DATASET_CLASS_COLUMN, &column);

	if (rc == 0)
		rc = refuse_other_columns(c, &ret->features);
	if (rc == 0)
		rc = read_named_measures(c, ret);
	if (rc == 0)
		rc = collect_classes(c, column, &ret->classes);
	if (rc == 0)
		rc = read_classes(c, column, ret);
	return finish(rc, ret);
}

int dataset_score(const struct csv *c, const struct labels *features, const struct labels *classes,
		  struct dataset *ret)
{
	size_t column = 0;

	*ret = (struct dataset){ .features = *features, .classes = *classes };
	int rc = find_column(c, DATASET_CLASS_COLUMN, &column);

	if (rc == 0)
		rc = read_named_measures(c, ret);
	if (rc == 0)
		rc = read_classes(c, column, ret);
	return finish(rc, ret);
}

int dataset_predict(const struct csv *c, const struct labels *features, struct dataset *ret)
{
	size_t column[LABELS_MAX];
	double ignored;

	*ret = (struct dataset){ .features = *features };
	if (!number_parse(csv_field(c, 0, 0), &ignored))
		return finish(read_named_measures(c, ret), ret);
	if (c->columns != features->count)
		return fail(EINVAL, "%s:%zu: %zu numbers where the model has %zu features", c->name,
			    c->line[0], c->columns, features->count);
	for (size_t f = 0; f < features->count; f++)
		column[f] = f;
	return finish(read_measures(c, 0, column, ret), ret);
}

char *dataset_path(const char *path, const char *file)
{
	if (file_is_dir(path))
		return text_format("%s/%s", path, file);
	return mem_dup(path, strlen(path));
}

void dataset_release(struct dataset *d)
{
	free(d->x);
	free(d->y);
	*d = (struct dataset){ 0 };
}
