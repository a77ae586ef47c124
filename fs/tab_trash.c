/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_trash - /trash and its four directories: what was deleted, under the names that trash.h keeps.
 *
 * Everything shows as what it was: experiments and runs as directories, a dataset or model as its head (without one, as its newest version), whose
 * versions and aliases are out of sight until it comes back.  mv out of here restores, mv to here trashes, from wherever; unlink and rmdir destroy
 * for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/deciding.h"
#include "store/meta/entry.h"
#include "store/meta/experiment.h"
#include "store/meta/run.h"
#include "store/meta/trash.h"

static const struct node_row dirs[] = {
	{ "experiments", NODE_TRASH, TRASH_EXPERIMENTS, false },
	{ "runs", NODE_TRASH, TRASH_RUNS, false },
	{ "data", NODE_TRASH, TRASH_DATA, false },
	{ "models", NODE_TRASH, TRASH_MODELS, false },
	{ NULL, NODE_TRASH, 0, false },
};

static enum trash_dir trash_of(uint64_t dir)
{
	return (enum trash_dir)node_inner(dir);
}

/* --- the directories of the trash ------------------------------------------------------------------------ */

/* The head; without one the newest version. */
static int entry_item(struct call *c, uint32_t id, struct node_entry *ret)
{
	struct entry e;
	struct version v;
	int rc = entry_get(fs_view(c->fs), id, &e);

	if (rc == 0 && !e.has_head)
		rc = version_get(fs_view(c->fs), id, e.newest, &v);
	if (rc)
		return rc;
	ret->node = e.has_head ? node_id(NODE_TREE_HEAD, e.tree, TREE_ROOT) : node_id(NODE_TREE_VERSION, v.serial, TREE_ROOT);
	return node_ops_of(ret->node)->getattr(c, ret->node, NULL, &ret->attr);
}

static int item_entry(struct call *c, const struct trash_item *item, struct node_entry *ret)
{
	ret->entry_timeout = 0;
	switch (item->kind) {
	case TRASH_EXPERIMENT:
		ret->node = node_id(NODE_EXPERIMENT, item->id, 0);
		break;
	case TRASH_RUN:
		ret->node = node_id(NODE_RUN, item->id, 0);
		break;
	case TRASH_ENTRY:
		return entry_item(c, item->id, ret);
	case TRASH_VERSION:
		ret->node = node_id(NODE_TREE_VERSION, item->id, TREE_ROOT);
		break;
	}
	return node_ops_of(ret->node)->getattr(c, ret->node, NULL, &ret->attr);
}

static int dir_entry(struct call *c, uint64_t node, struct node_entry *ret)
{
	ret->node = node;
	ret->entry_timeout = NODE_LONG;
	return trash_ops.getattr(c, node, NULL, &ret->attr);
}

/* NAME@vN of a trashed dataset or model: listed nowhere, but links in inputs/ and outputs/ of runs lead here. */
static int lookup_version(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct entry_name parsed;
	struct trash_item item;
	struct version v;
	int rc = entry_name_parse(name, &parsed);

	if (rc < 0 || parsed.kind != ENTRY_NAME_VERSION)
		return -ENOENT;
	rc = trash_find(fs_view(c->fs), trash_of(dir), slice_str(parsed.head), &item);
	if (rc == 0 && item.kind != TRASH_ENTRY)
		rc = -ENOENT;
	if (rc == 0)
		rc = version_get(fs_view(c->fs), item.id, parsed.n, &v);
	if (rc < 0)
		return rc;
	item = (struct trash_item){ .kind = TRASH_VERSION, .id = v.serial };
	return item_entry(c, &item, ret);
}

static int op_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	const struct node_row *row;
	struct trash_item item;
	int rc;

	if (trash_of(dir) == 0) {
		row = node_row_find(dirs, name);
		return row ? dir_entry(c, node_id(NODE_TRASH, 0, row->inner), ret) : -ENOENT;
	}
	rc = trash_find(fs_view(c->fs), trash_of(dir), name, &item);
	if (rc == -ENOENT && (trash_of(dir) == TRASH_DATA || trash_of(dir) == TRASH_MODELS))
		return lookup_version(c, dir, name, ret);
	return rc ? rc : item_entry(c, &item, ret);
}

/* Kind and id: unique, and it does not move when another name goes. */
static uint64_t item_cookie(const struct trash_item *item)
{
	return (uint64_t)item->kind << 32 | ((uint64_t)item->id + 1);
}

struct items {
	struct trash_item *rows;
	size_t count;
	struct buf names;	/* NUL-terminated, in order */
};

static int collect_item(void *arg, const struct trash_item *item)
{
	struct items *items = arg;
	struct trash_item *grown = realloc(items->rows, (items->count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	items->rows = grown;
	grown[items->count] = *item;
	grown[items->count++].name = slice_of(NULL, items->names.len);	/* where it starts, until all are there */
	buf_add_slice(&items->names, item->name);
	buf_add_ch(&items->names, '\0');
	return 0;
}

static int by_cookie(const void *a, const void *b)
{
	uint64_t x = item_cookie(a), y = item_cookie(b);

	return x < y ? -1 : x > y;
}

static int list_items(struct call *c, uint64_t dir, uint64_t cookie, struct dir_fill *fill)
{
	struct items items = { .names = BUF_INIT };
	int rc = trash_each(fs_view(c->fs), trash_of(dir), slice_of(NULL, 0), collect_item, &items);

	if (rc == 0)
		rc = buf_err(&items.names);
	if (rc == 0 && items.count)
		qsort(items.rows, items.count, sizeof(*items.rows), by_cookie);
	for (size_t i = 0; i < items.count && rc == 0; i++) {
		struct node_entry entry = { 0 };

		if (item_cookie(&items.rows[i]) <= cookie)
			continue;
		rc = item_entry(c, &items.rows[i], &entry);
		if (rc == 0)
			rc = dir_add(fill, slice_str(items.names.data + items.rows[i].name.len), &entry, item_cookie(&items.rows[i]));
		else if (rc == -EBADMSG || rc == -ENOENT)
			rc = 0;
	}
	free(items.rows);
	buf_release(&items.names);
	return rc < 0 ? rc : 0;
}

static int op_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill)
{
	int rc = 0;

	(void)h;
	if (trash_of(dir) != 0)
		return list_items(c, dir, cookie, fill);
	for (const struct node_row *row = dirs; row->name && rc == 0; row++) {
		struct node_entry entry = { 0 };

		if (row->inner <= cookie)
			continue;
		rc = dir_entry(c, node_id(NODE_TRASH, 0, row->inner), &entry);
		if (rc == 0 && dir_add(fill, slice_str(row->name), &entry, row->inner))
			break;
	}
	return rc;
}

static int op_getattr(struct call *c, uint64_t dir, struct handle *h, struct node_attr *ret)
{
	(void)h;
	node_fill_attr(c->fs, ret, S_IFDIR | 0755, c->fs->owner_uid, c->fs->owner_gid, 0, 0);
	ret->st.st_nlink = trash_of(dir) ? 2 : 6;
	return 0;
}

/* --- destroying -------------------------------------------------------------------------------------------- */

static int owner_of(struct fs *fs, const struct trash_item *item, uint32_t *ret)
{
	struct experiment x;
	struct run run;
	struct entry e;
	struct version v;
	int rc = -ENOENT;

	switch (item->kind) {
	case TRASH_EXPERIMENT:
		rc = experiment_get(fs_view(fs), item->id, &x);
		*ret = rc ? 0 : x.uid;
		break;
	case TRASH_RUN:
		rc = run_get(fs_view(fs), item->id, &run);
		*ret = rc ? 0 : run.uid;
		break;
	case TRASH_ENTRY:
		rc = entry_get(fs_view(fs), item->id, &e);
		*ret = rc ? 0 : e.uid;
		break;
	case TRASH_VERSION:
		rc = version_by_serial(fs_view(fs), item->id, &v);
		*ret = rc ? 0 : v.uid;
		break;
	}
	return rc;
}

static int find_item(struct call *c, uint64_t dir, struct slice name, struct trash_item *ret)
{
	uint32_t owner;
	int rc = trash_of(dir) ? trash_find(fs_view(c->fs), trash_of(dir), name, ret) : -EPERM;

	if (rc == 0)
		rc = owner_of(c->fs, ret, &owner);
	return rc ? rc : call_may_change(c, owner);
}

static int op_remove(struct call *c, uint64_t dir, struct slice name)
{
	struct trash_item item;
	int rc = find_item(c, dir, name, &item);

	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = fs_end(c->fs, trash_destroy(c->fs->meta, trash_of(dir), name));
	if (rc == 0)
		fs_names_changed(c->fs);
	return rc;
}

/* --- to the trash and back ----------------------------------------------------------------------------------- */

/* In a batch: mv of NAME in DIR to the trash. */
static int trash_name_of(struct call *c, uint64_t dir, struct slice name)
{
	struct meta *m = c->fs->meta;
	struct kv_view *view = fs_view(c->fs);
	struct trash_item item = { .kind = TRASH_EXPERIMENT };
	struct entry_found found = { .kind = ENTRY_NAME_HEAD };
	uint32_t owner;
	int rc;

	switch ((int)node_kind(dir)) {
	case NODE_EXPERIMENTS:
		rc = experiment_find(view, name, &item.id);
		break;
	case NODE_EXPERIMENT:
	case NODE_RUNS:
		item.kind = TRASH_RUN;
		rc = run_find(view, name, &item.id);
		break;
	case NODE_SPACE:
		rc = entry_lookup(view, (enum entry_space)node_inner(dir), name, &found);
		item.kind = found.kind == ENTRY_NAME_HEAD ? TRASH_ENTRY : TRASH_VERSION;
		item.id = found.kind == ENTRY_NAME_HEAD ? found.entry : found.serial;
		if (rc == 0 && found.kind == ENTRY_NAME_ALIAS)
			rc = err_set(-EPERM, "an alias is removed by rm; it does not go to the trash");
		break;
	default:
		return FS_NOT_MINE;
	}
	if (rc == 0)
		rc = owner_of(c->fs, &item, &owner);
	if (rc == 0)
		rc = call_may_change(c, owner);
	if (rc)
		return rc;
	switch (item.kind) {
	case TRASH_EXPERIMENT:
		return experiment_trash(m, item.id);
	case TRASH_RUN:
		return run_trash(m, item.id);
	case TRASH_ENTRY:
		return entry_trash(m, item.id);
	case TRASH_VERSION:
		return version_trash(m, item.id);
	}
	return -ENOENT;
}

/* Which directory of the trash what lies in DIR goes to. */
static enum trash_dir trash_for(uint64_t dir)
{
	switch ((int)node_kind(dir)) {
	case NODE_EXPERIMENTS:
		return TRASH_EXPERIMENTS;
	case NODE_EXPERIMENT:
	case NODE_RUNS:
		return TRASH_RUNS;
	case NODE_SPACE:
		return node_inner(dir) == ENTRY_DATA ? TRASH_DATA : TRASH_MODELS;
	default:
		return 0;
	}
}

static int check_version_name(struct kv_view *view, uint32_t serial, struct slice to_name)
{
	SCOPED_BUF struct buf own = BUF_INIT;
	struct version v;
	struct entry e;
	int rc = version_by_serial(view, serial, &v);

	if (rc == 0)
		rc = entry_get(view, v.entry, &e);
	if (rc)
		return rc;
	entry_name_version(e.name, v.is_dir, v.n, &own);
	rc = buf_err(&own);
	if (rc == 0 && !slice_eq(buf_slice(&own), to_name))
		rc = err_set(-EPERM, "a version keeps its name: restore it as %s", own.data);
	return rc;
}

static int restore_run(struct call *c, uint32_t number, uint64_t to_dir, struct slice to_name)
{
	struct run run;
	int rc = run_get(fs_view(c->fs), number, &run);

	if (rc == 0 && !slice_eq(run.id, to_name))
		rc = err_set(-EPERM, "a run keeps its id: restore it as %.*s", (int)run.id.len, (const char *)run.id.data);
	if (rc == 0)
		rc = run_restore(c->fs->meta, number);
	if (rc == 0 && node_kind(to_dir) == NODE_EXPERIMENT)
		rc = run_set_experiment(c->fs->meta, number, node_object(to_dir));
	return rc;
}

/* In a batch. */
static int restore(struct call *c, const struct trash_item *item, uint64_t to_dir, struct slice to_name)
{
	struct kv_view *view = fs_view(c->fs);
	int rc;

	switch (item->kind) {
	case TRASH_EXPERIMENT:
		return experiment_restore(c->fs->meta, item->id, to_name);
	case TRASH_RUN:
		return restore_run(c, item->id, to_dir, to_name);
	case TRASH_ENTRY:
		rc = entry_name_check(to_name);
		return rc ? rc : entry_restore(c->fs->meta, item->id, to_name);
	case TRASH_VERSION:
		rc = check_version_name(view, item->id, to_name);
		return rc ? rc : version_restore(c->fs->meta, item->id);
	}
	return -ENOENT;
}

static int move_out(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name)
{
	struct trash_item item;
	int rc;

	if (trash_for(to_dir) != trash_of(dir))
		return err_set(-EXDEV, "what lies in the trash goes back to where it came from");
	rc = find_item(c, dir, name, &item);
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc ? rc : fs_end(c->fs, restore(c, &item, to_dir, to_name));
}

static int move_in(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir)
{
	enum trash_dir wanted = trash_for(dir);
	int rc;

	if (wanted == 0)
		return -EXDEV;
	if (trash_of(to_dir) != 0 && trash_of(to_dir) != wanted)
		return err_set(-EXDEV, "it belongs in another directory of the trash");
	if (deciding_wait(c, 0))
		return FS_DEFERRED;
	rc = entry_settle(c->fs->meta, 0);
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc ? rc : fs_end(c->fs, trash_name_of(c, dir, name));
}

static int op_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	bool from = node_kind(dir) == NODE_TRASH, to = node_kind(to_dir) == NODE_TRASH;
	int rc;

	if (flags & ~1u)
		return -EINVAL;
	if (from && to)
		return err_set(-EPERM, "names in the trash stay as they are");
	rc = from ? move_out(c, dir, name, to_dir, to_name) : move_in(c, dir, name, to_dir);
	if (rc == 0)
		fs_names_changed(c->fs);	/* kinds and names differ on the two sides */
	return rc;
}

static void op_path(struct fs *fs, uint64_t dir, struct buf *out)
{
	(void)fs;
	buf_add_str(out, "/trash");
	for (const struct node_row *row = dirs; row->name; row++)
		if (row->inner == node_inner(dir) && trash_of(dir))
			buf_addf(out, "/%s", row->name);
}

const struct node_ops trash_ops = {
	.lookup = op_lookup,
	.unlink = op_remove,
	.rmdir = op_remove,
	.rename = op_rename,
	.readdir = op_readdir,
	.getattr = op_getattr,
	.path = op_path,
};
