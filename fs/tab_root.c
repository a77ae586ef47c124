/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_root - the top directory, and its files that never change.
 */
#include <errno.h>

#include "fs/fs.h"
#include "store/meta/entry.h"
#include "store/meta/value.h"

enum { STATIC_README = 1, STATIC_GITIGNORE };

static const char readme[] =
	"labfs: an experiment tracker and a data version store, as files.\n"
	"\n"
	"experiments/   one directory an experiment; mkdir makes one\n"
	"runs/          one directory a run: params, metrics, history, tags, artifacts, inputs, outputs\n"
	"data/          datasets: save a file and each new content becomes NAME@v1, @v2, ...\n"
	"models/        models, the same way\n"
	"trash/         what was deleted; mv it back to restore it\n"
	"runs.csv       every run as a table; runs.tsv for sort, awk and cut\n"
	"\n"
	"Five commands to try, from this directory:\n"
	"\n"
	"    run=$(cat experiments/Default/new)         # a new run: its id\n"
	"    echo 0.1 > runs/$run/params/lr             # a param\n"
	"    echo 0.93 >> runs/$run/metrics/accuracy    # a point of a metric; see history/accuracy\n"
	"    cp ~/iris.csv data/iris.csv                # a dataset: data/iris@v1.csv is kept for ever\n"
	"    echo finished > runs/$run/status           # ends the run: it never changes again\n"
	"\n"
	"Refused?  tail -1 .labfs/errors says why.  Every path: man 7 labfs-tree.\n";

static const struct {
	const char *text;
	size_t len;
} texts[] = {
	[STATIC_README] = { readme, sizeof(readme) - 1 },
	[STATIC_GITIGNORE] = { "*\n", 2 },
};

static const struct node_row rows[] = {
	{ "README", NODE_STATIC, STATIC_README, false },
	{ "runs.csv", NODE_EXPERIMENT_FIELD, VALUE_ALL_RUNS_CSV, false },
	{ "runs.tsv", NODE_EXPERIMENT_FIELD, VALUE_ALL_RUNS_TSV, false },
	{ "experiments", NODE_EXPERIMENTS, 0, false },
	{ "runs", NODE_RUNS, 0, false },
	{ "data", NODE_SPACE, ENTRY_DATA, false },
	{ "models", NODE_SPACE, ENTRY_MODELS, false },
	{ "trash", NODE_TRASH, 0, false },
	{ ".labfs", NODE_CTL, 0, true },
	{ ".gitignore", NODE_STATIC, STATIC_GITIGNORE, true },
	{ NULL, NODE_ROOT, 0, false },
};

static int root_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	const struct node_row *row = node_row_find(rows, name);

	(void)dir;
	return row ? node_row_entry(c, row, 0, ret) : -ENOENT;
}

static int root_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct fs *fs = c->fs;

	(void)node;
	(void)h;
	node_fill_attr(fs, ret, S_IFDIR | 0755, fs->owner_uid, fs->owner_gid, 0, 0);
	if (fs->has_group)
		ret->st.st_mode = S_IFDIR | 0750; /* the group and nobody else comes in */
	else
		ret->st.st_mode = S_IFDIR | 0755;
	ret->st.st_nlink = 2 + 5;
	ret->timeout = NODE_LONG;
	return 0;
}

static int root_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			struct dir_fill *fill)
{
	int rc = node_rows_list(c, rows, 0, cookie, fill);

	(void)dir;
	(void)h;
	return rc < 0 ? rc : 0;
}

static void root_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	(void)node;
	buf_add_ch(out, '/');
}

const struct node_ops root_ops = {
	.lookup = root_lookup,
	.getattr = root_getattr,
	.setattr = node_setattr_nothing,
	.readdir = root_readdir,
	.path = root_path,
};

/* --- files that never change -------------------------------------------------------------------------- */

static int static_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	uint32_t which = node_inner(node);

	(void)h;
	if (which < STATIC_README || which > STATIC_GITIGNORE)
		return -ENOENT;
	node_fill_attr(c->fs, ret, S_IFREG | 0444, c->fs->owner_uid, c->fs->owner_gid,
		       texts[which].len, 0);
	ret->timeout = NODE_LONG;
	return 0;
}

static int static_open(struct call *c, uint64_t node, struct handle *h)
{
	(void)c;
	(void)node;
	if (handle_writes(h))
		return err_set(-EACCES, "this file never changes");
	h->keep_cache = h->noflush = true;
	return 0;
}

static int static_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size,
		       struct buf *out)
{
	uint32_t which = node_inner(node);

	(void)c;
	(void)h;
	if (off < texts[which].len)
		buf_add(out, texts[which].text + off,
			size < texts[which].len - off ? size : texts[which].len - (size_t)off);
	return 0;
}

static void static_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	buf_add_str(out, node_inner(node) == STATIC_README ? "/README" : "/.gitignore");
}

const struct node_ops static_ops = {
	.getattr = static_getattr,
	.open = static_open,
	.read = static_read,
	.path = static_path,
};
