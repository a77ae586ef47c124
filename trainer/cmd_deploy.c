/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_deploy - publish a run's model as a version of MODELS/iris and move iris@production to it.
 *
 * 1. Nothing is written before the run's model is read, does what its own predictions.csv says, and
 *    (with --if-better) is no worse than the one in production on the same rows.
 * 2. @production moves only after the version that was cut, read back, predicts what the run's
 *    model does.  The run itself is only read; it may have ended long ago.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/cmd.h"
#include "trainer/csv.h"
#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/metadata.h"
#include "trainer/model.h"
#include "trainer/number.h"
#include "trainer/predictions.h"
#include "trainer/release.h"
#include "trainer/rng.h"
#include "trainer/score.h"
#include "trainer/text.h"

enum { RUN, MODELS, IF_BETTER, DATA };

enum { PROBES = 500 };

static const char name[] = "iris", word[] = "production";

struct deployment {
	const char *run, *models, *metric, *data;
	char *run_id;      /* the last part of the run's real path */
	char *model_dir;   /* RUN/artifacts/model */
	char *predictions; /* RUN/artifacts/predictions.csv, or NULL */
	struct model model;
	char production[RELEASE_NAME_SIZE]; /* what the alias points to now, "" */
	double was, is; /* the metric, with --if-better and a production model */
	bool compared;
};

static void deployment_release(struct deployment *d)
{
	free(d->run_id);
	free(d->model_dir);
	free(d->predictions);
	model_release(&d->model);
}

static int open_run(struct deployment *d)
{
	SCOPED_FREE char *real = realpath(d->run, NULL);

	if (real == NULL)
		return fail(errno, "%s: no such run: %s", d->run, strerror(errno));
	d->run_id = mem_dup(strrchr(real, '/') + 1, strlen(strrchr(real, '/') + 1));
	d->model_dir = text_format("%s/artifacts/model", d->run);
	char *predictions = text_format("%s/artifacts/%s", d->run, PREDICTIONS_FILE);

	if (access(predictions, F_OK) == 0)
		d->predictions = predictions;
	else
		free(predictions);
	int rc = model_read(d->model_dir, &d->model);

	if (rc == 0)
		rc = metadata_check(d->model_dir, &d->model);
	if (rc == 0 && d->predictions != NULL)
		rc = predictions_check(&d->model, d->predictions);
	return rc;
}

/* METRIC of M on the rows of --data. */
static int score_on(const struct deployment *d, const struct model *m, double *ret,
		    size_t *ret_rows)
{
	SCOPED_FREE char *path = dataset_path(d->data, "test.csv");
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset rows = { 0 };
	SCOPED_SCORE struct score s = { 0 };
	int rc = csv_read(path, &c);

	if (rc == 0)
		rc = dataset_score(&c, &m->features, &m->classes, &rows);
	if (rc < 0)
		return rc;
	score_compute(m, &rows, &s);
	const struct score_metric *metric = score_find(&s, d->metric);

	if (metric == NULL)
		return fail_usage("--if-better: '%.60s' is no metric of this model", d->metric);
	*ret = metric->value;
	*ret_rows = rows.rows;
	return 0;
}

static int refuse_worse(struct deployment *d)
{
	SCOPED_FREE char *dir = text_format("%s/%s@%s", d->models, name, word);
	SCOPED_MODEL struct model old = { 0 };
	char was[NUMBER_SIZE], is[NUMBER_SIZE];
	size_t rows;
	int rc = score_on(d, &d->model, &d->is, &rows);

	if (rc < 0 || d->production[0] == '\0')
		return rc;
	rc = model_read(dir, &old);
	if (rc == 0)
		rc = score_on(d, &old, &d->was, &rows);
	if (rc < 0)
		return rc;
	d->compared = true;
	bool worse = strcmp(d->metric, "log_loss") == 0 ? d->is > d->was : d->is < d->was;

	if (worse)
		return fail(EPERM,
			    "%s: not deployed: its %s of %s on %zu rows is worse than the %s of %s",
			    d->run, d->metric, number_format(d->is, is), rows,
			    number_format(d->was, was), d->production);
	return 0;
}

/* The copy against the run's own: on what the run predicted, and on points all over the space. */
static int check_copy(const struct deployment *d, const char *version)
{
	SCOPED_FREE char *dir = text_format("%s/%s", d->models, version);
	SCOPED_MODEL struct model copy = { 0 };
	double x[LABELS_MAX], own_proba[LABELS_MAX], copy_proba[LABELS_MAX];
	struct rng rng;
	int rc = model_read(dir, &copy);

	if (rc == 0 && d->predictions != NULL)
		rc = predictions_check(&copy, d->predictions);
	if (rc < 0)
		return rc;
	if (!labels_equal(&copy.features, &d->model.features) ||
	    !labels_equal(&copy.classes, &d->model.classes))
		return fail(EBADMSG, "%s: not the run's model", dir);
	rng_init(&rng, 0, 0);
	for (size_t i = 0; i < PROBES; i++) {
		for (size_t f = 0; f < copy.features.count; f++)
			x[f] = (double)rng_below(&rng, 10000) / 1000 + 0.001;
		size_t own = model_predict(&d->model, x, own_proba);

		if (model_predict(&copy, x, copy_proba) != own ||
		    memcmp(own_proba, copy_proba, copy.classes.count * sizeof(*x)) != 0)
			return fail(EBADMSG, "%s: does not predict what the run's model does", dir);
	}
	return 0;
}

static void report(const struct deployment *d, const char *version)
{
	char was[NUMBER_SIZE], is[NUMBER_SIZE];

	if (d->compared)
		printf("%s %s, %s had %s\n", d->metric, number_format(d->is, is), d->production,
		       number_format(d->was, was));
	printf("%s@%s -> %s\n", name, word, version);
}

static int run_deployment(struct deployment *d)
{
	char version[RELEASE_NAME_SIZE];
	int rc = open_run(d);

	if (rc == 0)
		rc = release_pointed(d->models, name, word, d->production);
	if (rc == 0)
		d->production[0] = '\0';
	if (rc >= 0)
		rc = d->metric != NULL ? refuse_worse(d) : 0;
	if (rc < 0)
		return rc;
	SCOPED_FREE char *message =
		text_format("deploy %s of run %s", d->model.algorithm->name, d->run_id);

	rc = release_cut(d->models, name, d->model_dir, message, version);
	if (rc == 0)
		rc = check_copy(d, version);
	if (rc == 0)
		rc = release_point(d->models, name, word, version);
	if (rc == 0)
		report(d, version);
	return rc;
}

static int deploy(struct arguments *args)
{
	struct deployment d = { .run = args->value[RUN],
				.models = args->value[MODELS],
				.metric = args->value[IF_BETTER],
				.data = args->value[DATA] };

	if ((d.metric == NULL) != (d.data == NULL))
		return fail_usage("--if-better and --data go together");
	int rc = run_deployment(&d);

	deployment_release(&d);
	return rc;
}

const struct command cmd_deploy = {
	.name = "deploy",
	.summary = "Publish a run's model as the next version of DIR/iris and point iris@production to it.",
	.note = "--if-better scores both models on the same rows and refuses a worse one (log_loss: a higher).",
	.options = {
		[RUN] = { "--run", "RUN_DIR", NULL, true, "whose artifacts/model" },
		[MODELS] = { "--models", "DIR", NULL, true, "where models live" },
		[IF_BETTER] = { "--if-better", "METRIC", NULL, false, "only if no worse than @production" },
		[DATA] = { "--data", "DIR", NULL, false, "holds test.csv, the rows for --if-better" },
	},
	.run_option = -1,
	.run = deploy,
};
