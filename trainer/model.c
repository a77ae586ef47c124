/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - see model.h.
 */
#include "trainer/model.h"

#include <errno.h>
#include <string.h>

#include "trainer/file.h"
#include "trainer/mem.h"

enum { MODEL_BYTES_MAX = 256 * 1024 * 1024 };

int model_fit(const struct dataset *d, const struct params *p, struct curves *curves,
	      struct model *ret)
{
	*ret = (struct model){ .algorithm = algorithm_get(p->algorithm),
			       .features = d->features,
			       .classes = d->classes };
	return ret->algorithm->fit(d, p, curves, &ret->fitted);
}

static void write_labels(const char *keyword, const struct labels *l, struct text *out)
{
	text_addf(out, "%s", keyword);
	for (size_t i = 0; i < l->count; i++)
		text_addf(out, " %s", l->name[i]);
	text_add(out, "\n", 1);
}

void model_write(const struct model *m, struct text *out)
{
	text_addf(out, MODEL_FORMAT "\nalgorithm %s\n", m->algorithm->name);
	write_labels("features", &m->features, out);
	write_labels("classes", &m->classes, out);
	m->algorithm->write(m->fitted, out);
	text_addf(out, "end\n");
}

static int read_labels(struct lines *in, const char *keyword, size_t least, struct labels *ret)
{
	int rc = lines_next(in, keyword, 0);

	for (size_t i = 1; rc == 0 && i < in->count; i++) {
		if (!labels_add(ret, in->word[i]))
			rc = lines_fail(in, "'%.40s' cannot be one of the %s", in->word[i],
					keyword);
	}
	if (rc == 0 && ret->count < least)
		rc = lines_fail(in, "%zu %s, which is too few", ret->count, keyword);
	return rc;
}

static int read_lines(struct lines *in, struct model *m)
{
	int rc = lines_next(in, "iris-model", 2);

	if (rc == 0 && strcmp(in->word[1], "1") != 0)
		rc = lines_fail(in, "a model of format %.40s; this program reads format 1",
				in->word[1]);
	if (rc == 0)
		rc = lines_next(in, "algorithm", 2);
	if (rc < 0)
		return rc;
	m->algorithm = algorithm_find(in->word[1]);
	if (m->algorithm == NULL)
		return lines_fail(in, "unknown algorithm '%.40s'", in->word[1]);
	rc = read_labels(in, "features", 1, &m->features);
	if (rc == 0)
		rc = read_labels(in, "classes", 2, &m->classes);
	if (rc == 0)
		rc = m->algorithm->read(in, m->features.count, m->classes.count, &m->fitted);
	if (rc == 0)
		rc = lines_next(in, "end", 1);
	if (rc == 0)
		rc = lines_end(in);
	return rc;
}

int model_read(const char *dir, struct model *ret)
{
	SCOPED_FREE char *path = text_format("%s/%s", dir, MODEL_FILE);
	SCOPED_FREE char *bytes = NULL;
	struct lines in;
	size_t len;

	*ret = (struct model){ 0 };
	int rc = file_read(path, MODEL_BYTES_MAX, &bytes, &len);

	if (rc < 0)
		return rc;
	if (strlen(bytes) != len)
		return fail(EBADMSG, "%s:1: not a model: it has NUL bytes", path);
	lines_init(&in, path, bytes);
	rc = read_lines(&in, ret);
	if (rc < 0)
		model_release(ret);
	return rc;
}

size_t model_predict(const struct model *m, const double *x, double *ret_proba)
{
	size_t best = 0;

	m->algorithm->predict(m->fitted, x, ret_proba);
	for (size_t k = 1; k < m->classes.count; k++) {
		if (ret_proba[k] > ret_proba[best])
			best = k;
	}
	return best;
}

void model_release(struct model *m)
{
	if (m->algorithm != NULL)
		m->algorithm->free(m->fitted);
	m->fitted = NULL;
}
