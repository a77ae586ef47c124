/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_run - /runs, one directory a run, its children, the symlinks that stand for runs, and `procs`.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/paths.h"
#include "fs/procs.h"
#include "fs/value_node.h"
#include "store/base/num.h"
#include "store/meta/experiment.h"
#include "store/meta/lineage.h"
#include "store/meta/run.h"
#include "store/meta/value.h"

static const struct node_row rows[] = {
	{ "name", NODE_RUN_FIELD, VALUE_RUN_NAME, false },
	{ "experiment", NODE_RUN_FIELD, VALUE_RUN_EXPERIMENT, false },
	{ "user", NODE_RUN_FIELD, VALUE_RUN_USER, false },
	{ "description", NODE_RUN_FIELD, VALUE_RUN_DESCRIPTION, false },
	{ "parent", NODE_RUN_FIELD, VALUE_RUN_PARENT, false },
	{ "status", NODE_RUN_FIELD, VALUE_RUN_STATUS, false },
	{ "start_time", NODE_RUN_FIELD, VALUE_RUN_START, false },
	{ "end_time", NODE_RUN_FIELD, VALUE_RUN_END, false },
	{ "duration", NODE_RUN_FIELD, VALUE_RUN_DURATION, false },
	{ "params", NODE_RUN_PARAMS, 0, false },
	{ "metrics", NODE_RUN_METRICS, 0, false },
	{ "history", NODE_RUN_HISTORIES, 0, false },
	{ "tags", NODE_RUN_TAGS, 0, false },
	{ "params.json", NODE_RUN_FIELD, VALUE_RUN_PARAMS_JSON, false },
	{ "metrics.json", NODE_RUN_FIELD, VALUE_RUN_METRICS_JSON, false },
	{ "tags.json", NODE_RUN_FIELD, VALUE_RUN_TAGS_JSON, false },
	{ "run.json", NODE_RUN_FIELD, VALUE_RUN_JSON, false },
	{ "artifacts", NODE_TREE_HEAD, 0, false },
	{ "inputs", NODE_RUN_LINEAGE, LINEAGE_INPUT << 8, false },
	{ "outputs", NODE_RUN_LINEAGE, LINEAGE_OUTPUT << 8, false },
	{ "children", NODE_RUN_CHILDREN, 0, false },
	{ "procs", NODE_RUN_PROCS, 0, false },
	{ NULL, NODE_ROOT, 0, false },
};
#define RUN_SUBDIRS 8u /* directories among them */

const struct node_row *run_row(struct slice name)
{
	return node_row_find(rows, name);
}

static void fill_run(struct fs *fs, const struct run *run, struct node_attr *ret)
{
	node_fill_attr(fs, ret, S_IFDIR | 0755, run->uid, run->gid, 0, run_last_change_ms(fs_view(fs), run));
	ret->st.st_nlink = 2 + RUN_SUBDIRS;
	ret->timeout = NODE_DIR_TIMEOUT;
}

/* --- /runs ------------------------------------------------------------------------------------------- */

static void resolved(struct call *c, uint32_t run, void *arg)
{
	(void)run;
	(void)arg;
	call_retry(c);
}

/* The run of the caller; FS_DEFERRED: the call is handed to its table again. */
static int self_run(struct call *c, struct run *ret)
{
	struct call *d;
	uint32_t number;
	int rc = call_run(c, &number);

	if (rc == -EAGAIN) {
		d = call_defer(c);
		if (!d)
			return -ENOMEM;
		rc = procs_resolve(d, resolved, NULL);
		if (rc == 0)
			return FS_DEFERRED;
		call_reply_err(d, rc);
		return FS_DEFERRED;
	}
	if (rc == 0 && number == 0)
		rc = -ENOENT;
	return rc < 0 ? rc : run_get(fs_view(c->fs), number, ret);
}

static int lookup_self(struct call *c, struct node_entry *ret)
{
	struct run run;
	int rc = self_run(c, &run);

	if (rc != 0)
		return rc;
	ret->node = node_id(NODE_RUN_SELF, 0, 0);
	node_fill_link(c->fs, &ret->attr, run.uid, run.gid, run.id.len, run.start_ms);
	return 0;
}

static int runs_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct run run;
	uint32_t number;
	int rc;

	(void)dir;
	if (slice_eq(name, slice_str("self")))
		return lookup_self(c, ret);
	if (slice_eq(name, slice_str("latest"))) {
		rc = run_latest(fs_view(c->fs), &number);
		if (rc == 0)
			rc = node_entry(c, node_id(NODE_RUN_ALIAS, 0, 0), ret);
		ret->entry_timeout = 0;
		return rc;
	}
	rc = run_find(fs_view(c->fs), name, &number);
	if (rc == 0)
		rc = run_get(fs_view(c->fs), number, &run);
	if (rc < 0)
		return rc;
	return node_entry(c, node_id(slice_eq(run.id, name) ? NODE_RUN : NODE_RUN_ALIAS, number, 0),
			  ret);
}

static int runs_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct run run = { .start_ms = 0 };
	uint32_t number;

	(void)node;
	(void)h;
	if (run_latest(fs_view(c->fs), &number) < 0 || run_get(fs_view(c->fs), number, &run) < 0)
		run.start_ms = 0;
	err_clear();
	node_fill_attr(c->fs, ret, S_IFDIR | 0755, c->fs->owner_uid, c->fs->owner_gid, 0,
		       run.start_ms);
	ret->timeout = NODE_DIR_TIMEOUT;
	return 0;
}

struct listing {
	struct call *c;
	struct dir_fill *fill;
};

static int list_run(void *arg, const struct run *run)
{
	struct listing *l = arg;
	struct node_entry e = { .node = node_id(NODE_RUN, run->number, 0),
				.entry_timeout = fs_entry_timeout(l->c->fs) };

	fill_run(l->c->fs, run, &e.attr);
	return dir_add(l->fill, run->id, &e, run->number) ? 1 : 0;
}

static int runs_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			struct dir_fill *fill)
{
	struct listing l = { c, fill };
	int rc = run_each(fs_view(c->fs), (uint32_t)cookie, list_run, &l);

	(void)dir;
	(void)h;
	return rc < 0 ? rc : 0;
}

static int runs_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make,
		     struct node_entry *ret)
{
	struct meta_actor who = call_actor(c);
	uint32_t number;
	int rc;

	(void)dir;
	if (!S_ISDIR(make->mode))
		return err_set(-EPERM, "here are runs, which are directories: mkdir makes one");
	rc = run_id_check(name);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, run_make_chosen(c->fs->meta, EXPERIMENT_DEFAULT, name, &who, &number));
	return rc < 0 ? rc : node_entry(c, node_id(NODE_RUN, number, 0), ret);
}

static int runs_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	struct run run;
	uint32_t number;
	int rc = run_find(fs_view(c->fs), name, &number);

	(void)dir;
	if (rc == 0)
		rc = run_get(fs_view(c->fs), number, &run);
	if (rc == 0 && !slice_eq(run.id, name))
		rc = -ENOTDIR;
	if (rc == 0)
		rc = call_may_change(c, run.uid);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, run_trash(c->fs->meta, number));
	if (rc == 0)
		fs_names_changed(c->fs); /* in its experiment, in children/ of its parent */
	return rc;
}

static int runs_unlink(struct call *c, uint64_t dir, struct slice name)
{
	(void)c;
	(void)dir;
	return err_set(-EPERM, "%.*s is not a file that can be removed", (int)name.len,
		       (const char *)name.data);
}

static int runs_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir,
		       struct slice to_name, unsigned flags)
{
	(void)c;
	(void)dir;
	(void)name;
	(void)to_name;
	(void)flags;
	if (node_kind(to_dir) == NODE_TRASH)
		return FS_NOT_MINE;
	return err_set(-EPERM, "a run keeps its id for ever; its name is in the file `name`");
}

static void runs_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	(void)node;
	buf_add_str(out, "/runs");
}

const struct node_ops runs_ops = {
	.lookup = runs_lookup,
	.getattr = runs_getattr,
	.setattr = node_setattr_nothing,
	.readdir = runs_readdir,
	.make = runs_make,
	.rmdir = runs_rmdir,
	.unlink = runs_unlink,
	.rename = runs_rename,
	.path = runs_path,
};

/* --- one run --------------------------------------------------------------------------------------------- */

static int run_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	const struct node_row *row = node_row_find(rows, name);

	return row ? node_row_entry(c, row, node_object(dir), ret) : -ENOENT;
}

static int run_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct run run;
	int rc = run_get(fs_view(c->fs), node_object(node), &run);

	(void)h;
	if (rc == 0)
		fill_run(c->fs, &run, ret);
	return rc;
}

static int run_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
		       struct dir_fill *fill)
{
	int rc = node_rows_list(c, rows, node_object(dir), cookie, fill);

	(void)h;
	return rc < 0 ? rc : 0;
}

static int run_refuse(struct call *c, uint64_t dir, struct slice name)
{
	(void)c;
	(void)dir;
	(void)name;
	return err_set(
		-EPERM,
		"every run has these files; values are made below params/, metrics/, history/ and tags/, files below artifacts/");
}

static int run_make_node(struct call *c, uint64_t dir, struct slice name,
			 const struct node_make *make, struct node_entry *ret)
{
	(void)make;
	(void)ret;
	return run_refuse(c, dir, name);
}

static int run_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode,
		      struct handle *h, struct node_entry *ret)
{
	(void)mode;
	(void)h;
	(void)ret;
	return run_refuse(c, dir, name);
}

static void run_node_path(struct fs *fs, uint64_t node, struct buf *out)
{
	path_run(fs, node_object(node), out);
	if (node_kind(node) == NODE_RUN_CHILDREN)
		buf_add_str(out, "/children");
	if (node_kind(node) == NODE_RUN_PROCS)
		buf_add_str(out, "/procs");
}

const struct node_ops run_ops = {
	.lookup = run_lookup,
	.getattr = run_getattr,
	.setattr = node_setattr_nothing,
	.readdir = run_readdir,
	.make = run_make_node,
	.create = run_create,
	.unlink = run_refuse,
	.rmdir = run_refuse,
	.path = run_node_path,
};

/* --- children ---------------------------------------------------------------------------------------------- */

static int children_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct run run;
	uint32_t number;
	int rc = run_find(fs_view(c->fs), name, &number);

	if (rc == 0)
		rc = run_get(fs_view(c->fs), number, &run);
	if (rc == 0 && (run.parent != node_object(dir) || !slice_eq(run.id, name)))
		rc = -ENOENT;
	if (rc == 0)
		rc = node_entry(c, node_id(NODE_RUN_CHILD, number, 0), ret);
	ret->entry_timeout = 0; /* parents change by a tag, too */
	return rc;
}

static int children_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	int rc = run_getattr(c, node, h, ret);

	ret->st.st_nlink = 2;
	return rc;
}

static int list_child(void *arg, const struct run *run)
{
	struct listing *l = arg;
	struct node_entry e = { .node = node_id(NODE_RUN_CHILD, run->number, 0),
				.entry_timeout = 0 };

	node_fill_link(l->c->fs, &e.attr, run->uid, run->gid, strlen("../../") + run->id.len,
		       run->start_ms);
	e.attr.timeout = NODE_LONG;
	return dir_add(l->fill, run->id, &e, run->number) ? 1 : 0;
}

static int children_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			    struct dir_fill *fill)
{
	struct listing l = { c, fill };
	int rc = run_each_child(fs_view(c->fs), node_object(dir), (uint32_t)cookie, list_child, &l);

	(void)h;
	return rc < 0 ? rc : 0;
}

static int children_refuse(struct call *c, uint64_t dir, struct slice name)
{
	(void)c;
	(void)dir;
	(void)name;
	return err_set(-EPERM, "children follow from the file `parent` of each run");
}

const struct node_ops run_children_ops = {
	.lookup = children_lookup,
	.getattr = children_getattr,
	.setattr = node_setattr_nothing,
	.readdir = children_readdir,
	.unlink = children_refuse,
	.path = run_node_path,
};

/* --- symlinks that stand for runs: in experiments, in children/, latest, UUIDs --------------------------------- */

static int link_target(struct fs *fs, uint64_t node, struct run *ret, struct buf *out)
{
	uint32_t number = node_object(node);
	int rc = 0;

	if (node_kind(node) == NODE_RUN_ALIAS && number == 0)
		rc = run_latest(fs_view(fs), &number);
	if (rc == 0)
		rc = run_get(fs_view(fs), number, ret);
	if (rc < 0)
		return rc;
	if (node_kind(node) == NODE_EXPERIMENT_RUN)
		buf_add_str(out, "../../runs/");
	else if (node_kind(node) == NODE_RUN_CHILD)
		buf_add_str(out, "../../");
	buf_add_slice(out, ret->id);
	return buf_err(out);
}

static int link_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	SCOPED_BUF struct buf target = BUF_INIT;
	struct run run;
	int rc = link_target(c->fs, node, &run, &target);

	(void)h;
	if (rc == 0)
		node_fill_link(c->fs, ret, run.uid, run.gid, target.len, run.start_ms);
	if (node_kind(node) != NODE_RUN_ALIAS || node_object(node))
		ret->timeout = NODE_LONG; /* a run keeps its id */
	return rc;
}

static int link_readlink(struct call *c, uint64_t node, struct buf *out)
{
	struct run run;

	return link_target(c->fs, node, &run, out);
}

static void link_path(struct fs *fs, uint64_t node, struct buf *out)
{
	struct run run;

	if (node_kind(node) == NODE_EXPERIMENT_RUN &&
	    run_get(fs_view(fs), node_object(node), &run) == 0) {
		path_experiment(fs, run.experiment, out);
		buf_add_ch(out, '/');
		buf_add_slice(out, run.id);
	} else if (node_object(node)) {
		path_run(fs, node_object(node), out);
	} else {
		buf_add_str(out, "/runs/latest");
	}
}

const struct node_ops run_link_ops = {
	.getattr = link_getattr,
	.setattr = node_setattr_nothing,
	.readlink = link_readlink,
	.path = link_path,
};

/* --- self ---------------------------------------------------------------------------------------------------- */

static int self_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct run run;
	int rc = self_run(c, &run);

	(void)node;
	(void)h;
	if (rc == 0)
		node_fill_link(c->fs, ret, run.uid, run.gid, run.id.len, run.start_ms);
	return rc;
}

static int self_readlink(struct call *c, uint64_t node, struct buf *out)
{
	struct run run;
	int rc = self_run(c, &run);

	(void)node;
	if (rc == 0)
		buf_add_slice(out, run.id);
	return rc;
}

static void self_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	(void)node;
	buf_add_str(out, "/runs/self");
}

const struct node_ops run_self_ops = {
	.getattr = self_getattr,
	.readlink = self_readlink,
	.path = self_path,
};

/* --- procs ---------------------------------------------------------------------------------------------------- */

static int procs_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run run;
	int rc = run_get(fs_view(c->fs), node_object(node), &run);

	(void)h;
	if (rc < 0)
		return rc;
	procs_text(c->fs, node_object(node), &text);
	node_fill_attr(c->fs, ret, S_IFREG | 0644, run.uid, run.gid, text.len, run.changed_ms);
	return 0;
}

static int procs_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st,
			 int to_set, struct node_attr *ret)
{
	int rc = run_check_writable(fs_view(c->fs), node_object(node));

	(void)st;
	(void)to_set;
	return rc < 0 ? rc : procs_getattr(c, node, h, ret);
}

static int procs_open(struct call *c, uint64_t node, struct handle *h)
{
	struct run run;
	int rc = run_get(fs_view(c->fs), node_object(node), &run);

	if (rc == 0 && handle_writes(h))
		rc = run_check_writable(fs_view(c->fs), node_object(node));
	if (rc == 0 && handle_writes(h))
		rc = call_may_change(c, run.uid);
	if (rc < 0)
		return rc;
	h->state = calloc(1, sizeof(struct buf));
	if (!h->state)
		return -ENOMEM;
	h->direct_io = h->noflush = true;
	return 0;
}

static int procs_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size,
		      struct buf *out)
{
	struct buf *text = h->state;

	if (off == 0) {
		buf_reset(text);
		procs_text(c->fs, node_object(node), text);
	}
	if (off < text->len)
		buf_add(out, text->data + off,
			size < text->len - off ? size : text->len - (size_t)off);
	return buf_err(text);
}

static void attach_done(struct call *c, int rc, void *arg)
{
	size_t *size = arg;

	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_written(c, *size);
	free(size);
}

static int procs_write(struct call *c, uint64_t node, struct handle *h, uint64_t off,
		       struct slice bytes, size_t *ret)
{
	size_t *size;
	struct call *d;
	int64_t pid;
	int rc;

	(void)h;
	(void)off;
	(void)ret;
	while (bytes.len && ((const char *)bytes.data)[bytes.len - 1] == '\n' && *ret == 0) {
		bytes.len--;
		*ret = 1;
	}
	*ret += bytes.len;
	if (num_parse_i64(bytes, &pid) < 0 || pid < 0 || pid > INT32_MAX)
		return err_set(-EINVAL, "write the id of a process, or 0 for the writer");
	size = malloc(sizeof(*size));
	d = call_defer(c);
	if (!size || !d) {
		free(size);
		if (d)
			call_reply_err(d, -ENOMEM);
		return d ? FS_DEFERRED : -ENOMEM;
	}
	*size = *ret;
	call_on_interrupt(d, NULL, NULL); /* it will be attached in a moment, so it is answered */
	rc = procs_attach(d, node_object(node), (pid_t)pid, attach_done, size);
	if (rc < 0)
		attach_done(d, rc, size);
	return FS_DEFERRED;
}

static void procs_release(struct call *c, uint64_t node, struct handle *h)
{
	(void)c;
	(void)node;
	buf_release(h->state);
	free(h->state);
}

const struct node_ops run_procs_ops = {
	.getattr = procs_getattr,
	.setattr = procs_setattr,
	.open = procs_open,
	.read = procs_read,
	.write = procs_write,
	.release = procs_release,
	.path = run_node_path,
};
