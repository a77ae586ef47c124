/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths - from node ids back to paths.
 */
#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/value_node.h"
#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/run.h"

static const char *const fields[VALUE_KIND_END] = {
	[VALUE_RUN_NAME] = "name",
	[VALUE_RUN_EXPERIMENT] = "experiment",
	[VALUE_RUN_USER] = "user",
	[VALUE_RUN_DESCRIPTION] = "description",
	[VALUE_RUN_PARENT] = "parent",
	[VALUE_RUN_STATUS] = "status",
	[VALUE_RUN_START] = "start_time",
	[VALUE_RUN_END] = "end_time",
	[VALUE_RUN_DURATION] = "duration",
	[VALUE_RUN_PARAMS_JSON] = "params.json",
	[VALUE_RUN_METRICS_JSON] = "metrics.json",
	[VALUE_RUN_TAGS_JSON] = "tags.json",
	[VALUE_RUN_JSON] = "run.json",
	[VALUE_EXPERIMENT_DESCRIPTION] = "description",
	[VALUE_EXPERIMENT_RUNS_CSV] = "runs.csv",
	[VALUE_EXPERIMENT_RUNS_TSV] = "runs.tsv",
	[VALUE_ALL_RUNS_CSV] = "runs.csv",
	[VALUE_ALL_RUNS_TSV] = "runs.tsv",
};

const char *path_field(uint32_t value_kind)
{
	return value_kind < VALUE_KIND_END && fields[value_kind] ? fields[value_kind] : "?";
}

void path_experiment(struct fs *fs, uint32_t experiment, struct buf *out)
{
	struct experiment e;

	if (experiment_get(fs_view(fs), experiment, &e) < 0) {
		buf_addf(out, "/experiments/(%u)", experiment);
		return;
	}
	buf_add_str(out, e.deleted_ms ? "/trash/experiments/" : "/experiments/");
	buf_add_slice(out, e.name);
}

void path_run(struct fs *fs, uint32_t number, struct buf *out)
{
	struct run run;

	if (run_get(fs_view(fs), number, &run) < 0) {
		buf_addf(out, "/runs/(%u)", number);
		return;
	}
	buf_add_str(out, run.trashed ? "/trash/runs/" : "/runs/");
	buf_add_slice(out, run.id);
}

void path_key(struct fs *fs, uint32_t key, struct buf *out)
{
	struct slice text;

	if (key_text(fs_view(fs), key, &text) == 0)
		text_key_to_path(out, text);
	else
		buf_addf(out, "(%u)", key);
}

static const char *key_dir(enum node_kind kind)
{
	switch ((int)kind) {
	case NODE_PARAM:
	case NODE_RUN_PARAMS: return "/params";
	case NODE_METRIC:
	case NODE_RUN_METRICS: return "/metrics";
	case NODE_HISTORY:
	case NODE_RUN_HISTORIES: return "/history";
	default: return "/tags";
	}
}

void value_path(struct fs *fs, uint64_t node, struct buf *out)
{
	enum node_kind kind = node_kind(node);
	uint32_t inner = node_inner(node);

	if (kind == NODE_EXPERIMENT_FIELD &&
	    (inner == VALUE_ALL_RUNS_CSV || inner == VALUE_ALL_RUNS_TSV)) {
		buf_addf(out, "/%s", path_field(inner));
		return;
	}
	if (kind == NODE_EXPERIMENT_FIELD || kind == NODE_EXPERIMENT_TAG ||
	    kind == NODE_EXPERIMENT_TAGS)
		path_experiment(fs, node_object(node), out);
	else
		path_run(fs, node_object(node), out);
	if (kind == NODE_EXPERIMENT_FIELD || kind == NODE_RUN_FIELD) {
		buf_addf(out, "/%s", path_field(inner));
		return;
	}
	buf_add_str(out, key_dir(kind));
	if (inner) {
		buf_add_ch(out, '/');
		path_key(fs, inner, out);
	}
}
