/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - every path of the mount with its kind, mode and grammar: what man 7 labfs-tree lists (a test compares the two, and
 * both with a real mount).
 */
#include "fs/serve.h"

struct row {
	const char *path, *kind;
	unsigned mode;
	bool unlisted;
	const char *read, *write; /* "-": not at all */
};

static const struct row rows[] = {
	{ "/README", "text", 0444, false, "text", "-" },
	{ "/.gitignore", "text", 0444, true, "text", "-" },
	{ "/runs.csv", "view", 0444, false, "csv", "-" },
	{ "/runs.tsv", "view", 0444, false, "tsv", "-" },

	{ "/experiments/", "dir", 0755, false, "experiments", "mkdir, mv, rmdir" },
	{ "/experiments/E/", "dir", 0755, false, "runs", "mv of a run" },
	{ "/experiments/E/new", "value", 0444, true, "id", "-" },
	{ "/experiments/E/description", "value", 0644, false, "text", "text" },
	{ "/experiments/E/runs.csv", "view", 0444, false, "csv", "-" },
	{ "/experiments/E/runs.tsv", "view", 0444, false, "tsv", "-" },
	{ "/experiments/E/tags/", "dir", 0755, false, "keys", "mkdir, mv, rm, rmdir" },
	{ "/experiments/E/tags/KEY", "value", 0644, false, "text", "text" },
	{ "/experiments/E/RUN", "symlink", 0777, false, "link", "-" },

	{ "/runs/", "dir", 0755, false, "runs", "mkdir, rmdir, mv" },
	{ "/runs/self", "symlink", 0777, true, "link", "-" },
	{ "/runs/latest", "symlink", 0777, true, "link", "-" },
	{ "/runs/UUID", "symlink", 0777, true, "link", "-" },
	{ "/runs/RUN/", "dir", 0755, false, "fields", "-" },
	{ "/runs/RUN/name", "value", 0644, false, "text", "text" },
	{ "/runs/RUN/experiment", "value", 0644, false, "text", "experiment" },
	{ "/runs/RUN/user", "value", 0644, false, "text", "text" },
	{ "/runs/RUN/description", "value", 0644, false, "text", "text" },
	{ "/runs/RUN/parent", "value", 0644, false, "id", "id" },
	{ "/runs/RUN/status", "value", 0644, false, "status", "status" },
	{ "/runs/RUN/start_time", "value", 0444, false, "time", "-" },
	{ "/runs/RUN/end_time", "value", 0444, false, "time", "-" },
	{ "/runs/RUN/duration", "value", 0444, false, "seconds", "-" },
	{ "/runs/RUN/params/", "dir", 0755, false, "keys", "mkdir, mv, rm, rmdir" },
	{ "/runs/RUN/params/KEY", "value", 0644, false, "text", "text, once" },
	{ "/runs/RUN/metrics/", "dir", 0755, false, "keys", "mkdir, rm, rmdir" },
	{ "/runs/RUN/metrics/KEY", "value", 0644, false, "number", "numbers" },
	{ "/runs/RUN/history/", "dir", 0755, false, "keys", "mkdir, rm, rmdir" },
	{ "/runs/RUN/history/KEY", "value", 0644, false, "points", "points" },
	{ "/runs/RUN/tags/", "dir", 0755, false, "keys", "mkdir, mv, rm, rmdir" },
	{ "/runs/RUN/tags/KEY", "value", 0644, false, "text", "text" },
	{ "/runs/RUN/params.json", "view", 0644, false, "object", "object" },
	{ "/runs/RUN/metrics.json", "view", 0644, false, "object", "object" },
	{ "/runs/RUN/tags.json", "view", 0644, false, "object", "object" },
	{ "/runs/RUN/run.json", "view", 0444, false, "object", "-" },
	{ "/runs/RUN/artifacts/", "tree", 0755, false, "files", "files" },
	{ "/runs/RUN/inputs/", "dir", 0755, false, "data, models", "-" },
	{ "/runs/RUN/inputs/data/", "dir", 0755, false, "links", "ln -s, rm" },
	{ "/runs/RUN/inputs/models/", "dir", 0755, false, "links", "ln -s, rm" },
	{ "/runs/RUN/inputs/data/V", "symlink", 0777, false, "link", "-" },
	{ "/runs/RUN/inputs/models/V", "symlink", 0777, false, "link", "-" },
	{ "/runs/RUN/outputs/", "dir", 0755, false, "data, models", "-" },
	{ "/runs/RUN/outputs/data/", "dir", 0755, false, "links", "ln -s, rm" },
	{ "/runs/RUN/outputs/models/", "dir", 0755, false, "links", "ln -s, rm" },
	{ "/runs/RUN/outputs/data/V", "symlink", 0777, false, "link", "-" },
	{ "/runs/RUN/outputs/models/V", "symlink", 0777, false, "link", "-" },
	{ "/runs/RUN/children/", "dir", 0755, false, "runs", "-" },
	{ "/runs/RUN/children/RUN", "symlink", 0777, false, "link", "-" },
	{ "/runs/RUN/procs", "value", 0644, false, "pids", "pid" },

	{ "/data/", "dir", 0755, false, "datasets", "files, mkdir, mv, rm, ln -s" },
	{ "/data/NAME.EXT", "head", 0644, false, "bytes", "bytes" },
	{ "/data/NAME/", "tree", 0755, false, "files", "files" },
	{ "/data/NAME/.commit", "value", 0644, true, "version", "message" },
	{ "/data/NAME@vN.EXT", "version", 0444, false, "bytes", "-" },
	{ "/data/NAME@vN/", "version", 0555, false, "files", "-" },
	{ "/data/NAME@latest.EXT", "symlink", 0777, false, "link", "-" },
	{ "/data/NAME@WORD.EXT", "symlink", 0777, false, "link", "ln -sfn, rm" },
	{ "/models/", "dir", 0755, false, "models", "files, mkdir, mv, rm, ln -s" },

	{ "/trash/", "dir", 0755, false, "four directories", "-" },
	{ "/trash/experiments/", "dir", 0755, false, "what was deleted", "mv, rm, rmdir" },
	{ "/trash/runs/", "dir", 0755, false, "what was deleted", "mv, rm, rmdir" },
	{ "/trash/data/", "dir", 0755, false, "what was deleted", "mv, rm, rmdir" },
	{ "/trash/models/", "dir", 0755, false, "what was deleted", "mv, rm, rmdir" },

	{ "/.labfs/", "dir", 0755, true, "files", "-" },
	{ "/.labfs/stats", "text", 0444, true, "figures", "-" },
	{ "/.labfs/version", "text", 0444, true, "text", "-" },
	{ "/.labfs/store", "text", 0444, true, "text", "-" },
	{ "/.labfs/config", "text", 0644, true, "settings", "settings" },
	{ "/.labfs/errors", "text", 0444, true, "refusals", "-" },
	{ "/.labfs/events", "text", 0444, true, "events", "-" },
};

void node_table_print(FILE *out)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, "%s\t%s\t%04o\t%s\t%s\t%s\n", rows[i].path, rows[i].kind, rows[i].mode,
			rows[i].unlisted ? "unlisted" : "listed", rows[i].read, rows[i].write);
}
