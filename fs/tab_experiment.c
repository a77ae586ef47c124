/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_experiment - /experiments, one directory each, and `new`, which makes a run when it is opened for reading.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/value_node.h"
#include "store/meta/experiment.h"
#include "store/meta/run.h"
#include "store/meta/value.h"

#define RUN_COOKIES 64u /* cookies of runs begin here */

static const struct node_row rows[] = {
	{ "description", NODE_EXPERIMENT_FIELD, VALUE_EXPERIMENT_DESCRIPTION, false },
	{ "runs.csv", NODE_EXPERIMENT_FIELD, VALUE_EXPERIMENT_RUNS_CSV, false },
	{ "runs.tsv", NODE_EXPERIMENT_FIELD, VALUE_EXPERIMENT_RUNS_TSV, false },
	{ "tags", NODE_EXPERIMENT_TAGS, 0, false },
	{ "new", NODE_EXPERIMENT_NEW, 0, true },
	{ NULL, NODE_ROOT, 0, false },
};

const struct node_row *experiment_row(struct slice name)
{
	return node_row_find(rows, name);
}

/* --- /experiments ------------------------------------------------------------------------------------ */

static void fill_experiment(struct fs *fs, const struct experiment *e, struct node_attr *ret)
{
	node_fill_attr(fs, ret, S_IFDIR | 0755, e->uid, fs->owner_gid, 0, e->changed_ms);
	ret->st.st_nlink = 2 + 1;
	ret->timeout = NODE_DIR_TIMEOUT;
}

static int experiments_lookup(struct call *c, uint64_t dir, struct slice name,
			      struct node_entry *ret)
{
	uint32_t id;
	int rc = experiment_find(fs_view(c->fs), name, &id);

	(void)dir;
	return rc < 0 ? rc : node_entry(c, node_id(NODE_EXPERIMENT, id, 0), ret);
}

static int experiments_getattr(struct call *c, uint64_t node, struct handle *h,
			       struct node_attr *ret)
{
	(void)node;
	(void)h;
	node_fill_attr(c->fs, ret, S_IFDIR | 0755, c->fs->owner_uid, c->fs->owner_gid, 0, 0);
	ret->timeout = NODE_DIR_TIMEOUT;
	return 0;
}

struct listing {
	struct call *c;
	struct dir_fill *fill;
};

static int list_experiment(void *arg, const struct experiment *e)
{
	struct listing *l = arg;
	struct node_entry entry = { .node = node_id(NODE_EXPERIMENT, e->id, 0),
				    .entry_timeout = fs_entry_timeout(l->c->fs) };

	fill_experiment(l->c->fs, e, &entry.attr);
	return dir_add(l->fill, e->name, &entry, (uint64_t)e->id + 1) ? 1 : 0;
}

static int experiments_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			       struct dir_fill *fill)
{
	struct listing l = { c, fill };
	int rc = experiment_each(fs_view(c->fs), cookie ? (uint32_t)(cookie - 1) : UINT32_MAX,
				 list_experiment, &l);

	(void)dir;
	(void)h;
	return rc < 0 ? rc : 0;
}

static int experiments_make(struct call *c, uint64_t dir, struct slice name,
			    const struct node_make *make, struct node_entry *ret)
{
	struct meta_actor who = call_actor(c);
	uint32_t id;
	int rc;

	(void)dir;
	if (!S_ISDIR(make->mode))
		return err_set(-EPERM,
			       "here are experiments, which are directories: mkdir makes one");
	rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, experiment_make(c->fs->meta, name, &who, &id));
	if (rc < 0)
		return rc;
	return node_entry(c, node_id(NODE_EXPERIMENT, id, 0), ret);
}

static int find_own(struct call *c, struct slice name, uint32_t *ret_id)
{
	struct experiment e;
	int rc = experiment_find(fs_view(c->fs), name, ret_id);

	if (rc == 0)
		rc = experiment_get(fs_view(c->fs), *ret_id, &e);
	return rc < 0 ? rc : call_may_change(c, e.uid);
}

static int experiments_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	uint32_t id;
	int rc = find_own(c, name, &id);

	(void)dir;
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc < 0 ? rc : fs_end(c->fs, experiment_remove(c->fs->meta, id));
}

static int experiments_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir,
			      struct slice to_name, unsigned flags)
{
	uint32_t id;
	int rc;

	if (node_kind(to_dir) == NODE_TRASH)
		return FS_NOT_MINE;
	if (to_dir != dir || (flags & ~1u))
		return err_set(
			-EPERM,
			"an experiment can only be renamed, or moved into /trash/experiments");
	rc = find_own(c, name, &id);
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc < 0 ? rc : fs_end(c->fs, experiment_rename(c->fs->meta, id, to_name));
}

static void experiments_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	(void)node;
	buf_add_str(out, "/experiments");
}

const struct node_ops experiments_ops = {
	.lookup = experiments_lookup,
	.getattr = experiments_getattr,
	.setattr = node_setattr_nothing,
	.readdir = experiments_readdir,
	.make = experiments_make,
	.rmdir = experiments_rmdir,
	.rename = experiments_rename,
	.path = experiments_path,
};

/* --- one experiment ------------------------------------------------------------------------------------- */

static int experiment_getattr(struct call *c, uint64_t node, struct handle *h,
			      struct node_attr *ret)
{
	struct experiment e;
	int rc = experiment_get(fs_view(c->fs), node_object(node), &e);

	(void)h;
	if (rc == 0)
		fill_experiment(c->fs, &e, ret);
	return rc;
}

/* The run that shows as NAME in the experiment. */
static int find_run(struct call *c, uint64_t dir, struct slice name, struct run *ret)
{
	uint32_t number;
	int rc = run_find(fs_view(c->fs), name, &number);

	if (rc == 0)
		rc = run_get(fs_view(c->fs), number, ret);
	if (rc == 0 && (ret->experiment != node_object(dir) || !slice_eq(ret->id, name)))
		rc = -ENOENT;
	return rc;
}

static int experiment_lookup(struct call *c, uint64_t dir, struct slice name,
			     struct node_entry *ret)
{
	const struct node_row *row = node_row_find(rows, name);
	struct run run;
	int rc;

	if (row)
		return node_row_entry(c, row, node_object(dir), ret);
	rc = find_run(c, dir, name, &run);
	return rc < 0 ? rc : node_entry(c, node_id(NODE_EXPERIMENT_RUN, run.number, 0), ret);
}

static int list_run(void *arg, const struct run *run)
{
	struct listing *l = arg;
	struct node_entry e = { .node = node_id(NODE_EXPERIMENT_RUN, run->number, 0),
				.entry_timeout = fs_entry_timeout(l->c->fs) };

	node_fill_link(l->c->fs, &e.attr, run->uid, run->gid, strlen("../../runs/") + run->id.len,
		       run->start_ms);
	e.attr.timeout = NODE_LONG;
	return dir_add(l->fill, run->id, &e, RUN_COOKIES + run->number) ? 1 : 0;
}

static int experiment_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			      struct dir_fill *fill)
{
	struct listing l = { c, fill };
	int rc = 0;

	(void)h;
	if (cookie < RUN_COOKIES)
		rc = node_rows_list(c, rows, node_object(dir), cookie, fill);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = run_each_in(fs_view(c->fs), node_object(dir),
			 cookie > RUN_COOKIES ? (uint32_t)(cookie - RUN_COOKIES) : 0, list_run, &l);
	return rc < 0 ? rc : 0;
}

static int experiment_make_node(struct call *c, uint64_t dir, struct slice name,
				const struct node_make *make, struct node_entry *ret)
{
	(void)c;
	(void)dir;
	(void)name;
	(void)make;
	(void)ret;
	return err_set(
		-EPERM,
		"reading `new` makes a run here; `mkdir /runs/ID` makes one with a chosen id");
}

static int experiment_unlink(struct call *c, uint64_t dir, struct slice name)
{
	struct run run;
	int rc;

	if (node_row_find(rows, name))
		return err_set(-EPERM, "every experiment has this file");
	rc = find_run(c, dir, name, &run);
	return rc < 0 ? rc
		      : err_set(-EPERM, "a run is deleted by `rmdir /runs/%.*s`", (int)name.len,
				(const char *)name.data);
}

/* mv to another experiment's directory moves the run. */
static int experiment_rename_run(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir,
				 struct slice to_name, unsigned flags)
{
	struct run run;
	int rc;

	if (node_kind(to_dir) == NODE_TRASH)
		return FS_NOT_MINE;
	rc = find_run(c, dir, name, &run);
	if (rc < 0)
		return node_row_find(rows, name) ? err_set(-EPERM, "every experiment has this file")
						 : rc;
	if (node_kind(to_dir) != NODE_EXPERIMENT || (flags & ~1u))
		return err_set(-EPERM, "a run can be moved to another experiment's directory only");
	if (!slice_eq(name, to_name))
		return err_set(-EPERM, "a run keeps its id; its name is in the file `name`");
	rc = call_may_change(c, run.uid);
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc < 0 ? rc
		      : fs_end(c->fs,
			       run_set_experiment(c->fs->meta, run.number, node_object(to_dir)));
}

static void experiment_path(struct fs *fs, uint64_t node, struct buf *out)
{
	path_experiment(fs, node_object(node), out);
}

const struct node_ops experiment_ops = {
	.lookup = experiment_lookup,
	.getattr = experiment_getattr,
	.setattr = node_setattr_nothing,
	.readdir = experiment_readdir,
	.make = experiment_make_node,
	.unlink = experiment_unlink,
	.rename = experiment_rename_run,
	.path = experiment_path,
};

/* --- new ------------------------------------------------------------------------------------------------- */

static int new_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct experiment e;
	int rc = experiment_get(fs_view(c->fs), node_object(node), &e);

	(void)h;
	if (rc < 0)
		return rc;
	node_fill_attr(c->fs, ret, S_IFREG | 0444, e.uid, c->fs->owner_gid, 0, e.changed_ms);
	return 0;
}

static int new_open(struct call *c, uint64_t node, struct handle *h)
{
	struct meta_actor who = call_actor(c);
	struct buf *text;
	struct run run;
	uint32_t number;
	int rc;

	if (handle_writes(h))
		return err_set(-EACCES, "reading this file makes a run; it cannot be written");
	if (c->fs->read_only)
		return err_set(-EROFS, "the store is mounted read-only: no run can be made");
	text = calloc(1, sizeof(*text));
	if (!text)
		return -ENOMEM;
	rc = fs_begin(c->fs);
	if (rc == 0)
		rc = fs_end(c->fs, run_make(c->fs->meta, node_object(node), &who, &number));
	if (rc == 0)
		rc = run_get(fs_view(c->fs), number, &run);
	if (rc == 0) {
		buf_add_slice(text, run.id);
		buf_add_ch(text, '\n');
		rc = buf_err(text);
	}
	if (rc < 0) {
		buf_release(text);
		free(text);
		return rc;
	}
	h->state = text;
	h->direct_io = h->noflush = true;
	return 0;
}

static int new_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size,
		    struct buf *out)
{
	const struct buf *text = h->state;

	(void)c;
	(void)node;
	if (off < text->len)
		buf_add(out, text->data + off,
			size < text->len - off ? size : text->len - (size_t)off);
	return 0;
}

static void new_release(struct call *c, uint64_t node, struct handle *h)
{
	(void)c;
	(void)node;
	buf_release(h->state);
	free(h->state);
}

static void new_path(struct fs *fs, uint64_t node, struct buf *out)
{
	path_experiment(fs, node_object(node), out);
	buf_add_str(out, "/new");
}

const struct node_ops experiment_new_ops = {
	.getattr = new_getattr,
	.open = new_open,
	.read = new_read,
	.release = new_release,
	.path = new_path,
};
