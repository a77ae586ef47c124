/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_evaluate - score a model on test.csv: metrics, confusion matrix, predictions, importances.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "trainer/cmd.h"
#include "trainer/confusion.h"
#include "trainer/file.h"
#include "trainer/importance.h"
#include "trainer/mem.h"
#include "trainer/model.h"
#include "trainer/predictions.h"
#include "trainer/run_dir.h"
#include "trainer/score.h"
#include "trainer/text.h"

enum { DATA, RUN, MODEL, METRICS, OUT };

enum { ARTIFACTS = 4 };

struct artifact {
	const char *name;
	struct text text;
};

static void write_metrics_json(const struct score *s, struct text *out)
{
	text_add(out, "{", 1);
	for (size_t i = 0; i < s->count; i++) {
		text_addf(out, "%s\n  \"%s\": ", i > 0 ? "," : "", s->metric[i].key);
		text_add_number(out, s->metric[i].value);
	}
	text_addf(out, "\n}\n");
}

static int add_artifacts(struct file_batch *batch, const char *dir,
			 const struct artifact *artifacts)
{
	int rc = file_make_dirs(dir);

	for (size_t i = 0; rc == 0 && i < ARTIFACTS; i++) {
		SCOPED_FREE char *path = text_format("%s/%s", dir, artifacts[i].name);

		rc = file_batch_add(batch, path, artifacts[i].text.bytes, artifacts[i].text.len);
	}
	return rc;
}

/*
 * Into its place in one step where that can be, in one write where it cannot (RUN/metrics.json of
 * labfs).
 */
static int write_metrics_file(const char *path, const struct text *json)
{
	SCOPED_BATCH struct file_batch batch = { 0 };
	int rc = file_batch_add(&batch, path, json->bytes, json->len);

	if (rc == 0)
		rc = file_batch_commit(&batch);
	if (rc == -EPERM || rc == -EACCES || rc == -EINVAL || rc == -EXDEV || rc == -ENOTSUP)
		rc = file_put(path, O_TRUNC, json->bytes, json->len);
	return rc;
}

static int write_all(const struct arguments *args, const struct score *s,
		     const struct artifact *artifacts)
{
	const char *run = args->value[RUN], *out = args->value[OUT],
		   *metrics = args->value[METRICS];
	SCOPED_BATCH struct file_batch run_batch = { 0 }, out_batch = { 0 };
	SCOPED_TEXT struct text json = { 0 };
	int rc = 0;

	if (run != NULL) {
		SCOPED_FREE char *dir = text_format("%s/artifacts", run);

		rc = run_dir_make(run);
		if (rc == 0)
			rc = add_artifacts(&run_batch, dir, artifacts);
	}
	if (rc == 0 && out != NULL)
		rc = add_artifacts(&out_batch, out, artifacts);
	if (rc == 0 && metrics != NULL) {
		write_metrics_json(s, &json);
		rc = write_metrics_file(metrics, &json);
	}
	if (rc == 0 && run != NULL)
		rc = run_dir_log_metrics(run, s);
	if (rc == 0)
		rc = file_batch_commit(&run_batch);
	return rc == 0 ? file_batch_commit(&out_batch) : rc;
}

static void print_metrics(const struct score *s)
{
	SCOPED_TEXT struct text lines = { 0 };

	for (size_t i = 0; i < s->count; i++) {
		text_addf(&lines, "%s\t", s->metric[i].key);
		text_add_number(&lines, s->metric[i].value);
		text_add(&lines, "\n", 1);
	}
	fputs(lines.bytes, stdout);
}

static int evaluate(struct arguments *args)
{
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset d = { 0 };
	SCOPED_MODEL struct model m = { 0 };
	SCOPED_SCORE struct score s = { 0 };
	struct artifact artifacts[ARTIFACTS] = {
		{ "confusion_matrix.csv", { 0 } },
		{ "confusion_matrix.svg", { 0 } },
		{ PREDICTIONS_FILE, { 0 } },
		{ IMPORTANCE_FILE, { 0 } },
	};

	if (args->value[RUN] == NULL && args->value[MODEL] == NULL)
		return fail_usage("--run RUN_DIR or --model DIR is missing: which model?");
	SCOPED_FREE char *own =
		text_format("%s/artifacts/model", args->value[RUN] ? args->value[RUN] : "");
	SCOPED_FREE char *path = dataset_path(args->value[DATA], "test.csv");
	int rc = model_read(args->value[MODEL] != NULL ? args->value[MODEL] : own, &m);

	if (rc == 0)
		rc = csv_read(path, &c);
	if (rc == 0)
		rc = dataset_score(&c, &m.features, &m.classes, &d);
	if (rc < 0)
		return rc;
	score_compute(&m, &d, &s);
	confusion_write_csv(&m.classes, &s, &artifacts[0].text);
	confusion_write_svg(&m.classes, &s, &artifacts[1].text);
	predictions_write(&m, &d, &s, &artifacts[2].text);
	importance_write(&m, &d, &artifacts[3].text);
	rc = write_all(args, &s, artifacts);
	if (rc == 0)
		print_metrics(&s);
	for (size_t i = 0; i < ARTIFACTS; i++)
		text_release(&artifacts[i].text);
	return rc;
}

const struct command cmd_evaluate = {
	.name = "evaluate",
	.summary = "Score a model on test.csv and log metrics, confusion matrix and predictions to a run.",
	.note = "Prints the metrics. At least one of --run and --model is needed.",
	.options = {
		[DATA] = { "--data", "DIR", NULL, true, "holds test.csv (or the CSV file itself)" },
		[RUN] = { "--run", "RUN_DIR", NULL, false, "the run to log to" },
		[MODEL] = { "--model", "DIR", NULL, false, "the model, else RUN_DIR/artifacts/model" },
		[METRICS] = { "--metrics", "FILE.json", NULL, false, "all metrics as one JSON object" },
		[OUT] = { "--out", "DIR", NULL, false, "where the artifacts go (too)" },
	},
	.run_option = RUN,
	.run = evaluate,
};
