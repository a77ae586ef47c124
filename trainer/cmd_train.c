/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_train - learn a model from train.csv, and log to the run how that went.
 *
 * All is computed before anything is written: a run that cannot be trained is left without params
 * or model.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "trainer/cmd.h"
#include "trainer/curve.h"
#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/metadata.h"
#include "trainer/model.h"
#include "trainer/param_file.h"
#include "trainer/run_dir.h"
#include "trainer/text.h"

enum { DATA, RUN, OUT, PARAMS };

static double seconds_since(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

static int gather_params(struct arguments *args)
{
	int rc = 0;

	if (args->value[RUN] != NULL)
		rc = run_dir_read_params(args->value[RUN], &args->params);
	if (rc == 0 && args->value[PARAMS] != NULL)
		rc = param_file_read(args->value[PARAMS], &args->params);
	if (rc == 0)
		rc = param_settle(&args->params);
	return rc;
}

static int add_model(struct file_batch *batch, const char *dir, const struct text *model,
		     const struct text *metadata)
{
	SCOPED_FREE char *model_path = text_format("%s/%s", dir, MODEL_FILE);
	SCOPED_FREE char *metadata_path = text_format("%s/%s", dir, METADATA_FILE);
	int rc = file_make_dirs(dir);

	if (rc == 0)
		rc = file_batch_add(batch, model_path, model->bytes, model->len);
	if (rc == 0)
		rc = file_batch_add(batch, metadata_path, metadata->bytes, metadata->len);
	return rc;
}

static int write_all(const struct arguments *args, const struct model *m,
		     const struct curves *curves, const struct metadata_training *training)
{
	const char *run = args->value[RUN], *out = args->value[OUT];
	SCOPED_BATCH struct file_batch batch = { 0 };
	SCOPED_TEXT struct text model = { 0 }, metadata = { 0 };
	int rc = 0;

	model_write(m, &model);
	metadata_write(m, &args->params, training, &metadata);
	if (run != NULL) {
		SCOPED_FREE char *dir = text_format("%s/artifacts/model", run);

		rc = run_dir_make(run);
		if (rc == 0)
			rc = run_dir_log_params(run, &args->params);
		if (rc == 0)
			rc = add_model(&batch, dir, &model, &metadata);
	}
	if (rc == 0 && out != NULL)
		rc = add_model(&batch, out, &model, &metadata);
	if (rc == 0 && run != NULL)
		rc = run_dir_log_curves(run, curves);
	return rc == 0 ? file_batch_commit(&batch) : rc;
}

static void report(const struct model *m, const struct curves *curves,
		   const struct metadata_training *training)
{
	printf("%s: %zu rows", m->algorithm->name, training->rows);
	for (size_t i = 0; i < curves->count; i++)
		printf(", %s %.4g", curves->curve[i].key, curves->curve[i].last);
	printf(", %.3f s\n", training->seconds);
}

static int train(struct arguments *args)
{
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset d = { 0 };
	SCOPED_MODEL struct model m = { 0 };
	SCOPED_CURVES struct curves curves = { 0 };
	struct timespec began;

	if (args->value[RUN] == NULL && args->value[OUT] == NULL)
		return fail_usage(
			"--run RUN_DIR or --out DIR is missing: the model has to go somewhere");
	int rc = gather_params(args);

	if (rc < 0)
		return rc;
	SCOPED_FREE char *path = dataset_path(args->value[DATA], "train.csv");
	struct metadata_training training = { .data_path = path };

	rc = csv_read(path, &c);
	if (rc == 0)
		rc = dataset_learn(&c, &d);
	if (rc < 0)
		return rc;
	clock_gettime(CLOCK_REALTIME, &training.began);
	clock_gettime(CLOCK_MONOTONIC, &began);
	rc = model_fit(&d, &args->params, &curves, &m);
	training.seconds = seconds_since(&began);
	training.rows = d.rows;
	if (rc == 0)
		rc = write_all(args, &m, &curves, &training);
	if (rc == 0)
		report(&m, &curves, &training);
	return rc;
}

const struct command cmd_train = {
	.name = "train",
	.summary = "Learn a model from train.csv and log params, curve and model to a run.",
	.note = "Parameters come from RUN_DIR/params/, from --params, and from the command line; what is said\n"
		"twice has to be the same. At least one of --run and --out is needed.",
	.options = {
		[DATA] = { "--data", "DIR", NULL, true, "holds train.csv (or the CSV file itself)" },
		[RUN] = { "--run", "RUN_DIR", NULL, false, "the run to log to" },
		[OUT] = { "--out", "DIR", NULL, false, "where the model goes (too)" },
		[PARAMS] = { "--params", "FILE", NULL, false, "parameters, params.yaml or JSON" },
	},
	.takes_params = true,
	.run_option = RUN,
	.run = train,
};
