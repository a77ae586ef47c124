/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_keys - the directories of keys: params/ metrics/ history/ tags/ of a run, tags/ of an experiment, and those that a "/" in a key makes.
 */
#include <errno.h>
#include <fcntl.h>

#include "fs/fs.h"
#include "fs/handle_internal.h"
#include "fs/value_node.h"
#include "store/meta/experiment.h"
#include "store/meta/keydir.h"
#include "store/meta/run.h"

/* What a kind of directory holds. */
struct keys_kind {
	enum node_kind dir, value;
	enum value_kind value_kind;
	enum tag_owner owner;
	enum key_space space;
};

static const struct keys_kind kinds[] = {
	{ NODE_RUN_PARAMS, NODE_PARAM, VALUE_RUN_PARAM, TAG_RUN, KEYS_PARAM },
	{ NODE_RUN_METRICS, NODE_METRIC, VALUE_RUN_METRIC, TAG_RUN, KEYS_METRIC },
	{ NODE_RUN_HISTORIES, NODE_HISTORY, VALUE_RUN_HISTORY, TAG_RUN, KEYS_METRIC },
	{ NODE_RUN_TAGS, NODE_TAG, VALUE_RUN_TAG, TAG_RUN, KEYS_TAG },
	{ NODE_EXPERIMENT_TAGS, NODE_EXPERIMENT_TAG, VALUE_EXPERIMENT_TAG, TAG_EXPERIMENT,
	  KEYS_TAG },
};

static const struct keys_kind *kind_of(uint64_t dir)
{
	const struct keys_kind *k = kinds;

	while (k->dir != node_kind(dir) && k->dir != NODE_EXPERIMENT_TAGS) /* the last */
		k++;
	return k;
}

static struct value_target target_of(const struct keys_kind *k, uint64_t dir, uint32_t key)
{
	return (struct value_target){ .kind = k->value_kind,
				      .owner = node_object(dir),
				      .key = key };
}

static int find(struct call *c, uint64_t dir, struct slice name, struct key_entry *ret)
{
	const struct keys_kind *k = kind_of(dir);

	return key_dir_lookup(fs_view(c->fs), k->owner, k->space, node_object(dir), node_inner(dir),
			      name, ret);
}

static uint64_t node_of(uint64_t dir, const struct key_entry *e)
{
	const struct keys_kind *k = kind_of(dir);

	return node_id(e->is_dir ? k->dir : k->value, node_object(dir), e->key);
}

/* May the caller change keys of this directory's owner at all? */
static int check_owner(struct call *c, uint64_t dir)
{
	struct value_target t = target_of(kind_of(dir), dir, 0);
	int rc = value_may_change(c, &t);

	if (rc == 0 && t.kind != VALUE_RUN_TAG && t.kind != VALUE_EXPERIMENT_TAG)
		rc = run_check_writable(fs_view(c->fs), t.owner);
	return rc;
}

/* --- names -------------------------------------------------------------------------------------------- */

static int keys_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct key_entry e;
	int rc = find(c, dir, name, &e);

	return rc < 0 ? rc : node_entry(c, node_of(dir, &e), ret);
}

static int keys_getattr(struct call *c, uint64_t dir, struct handle *h, struct node_attr *ret)
{
	struct experiment e;
	struct run run;
	int rc;

	(void)h;
	if (node_kind(dir) == NODE_EXPERIMENT_TAGS) {
		rc = experiment_get(fs_view(c->fs), node_object(dir), &e);
		if (rc == 0)
			node_fill_attr(c->fs, ret, S_IFDIR | 0755, e.uid, c->fs->owner_gid, 0,
				       e.changed_ms);
	} else {
		rc = run_get(fs_view(c->fs), node_object(dir), &run);
		if (rc == 0)
			node_fill_attr(c->fs, ret, S_IFDIR | 0755, run.uid, run.gid, 0,
				       run.changed_ms);
	}
	ret->timeout = NODE_DIR_TIMEOUT;
	return rc;
}

struct listing {
	struct call *c;
	uint64_t dir;
	struct dir_fill *fill;
};

static int list_key(void *arg, const struct key_entry *e, uint64_t cookie)
{
	struct listing *l = arg;
	struct node_entry entry = { .node = 0 };
	int rc = node_entry(l->c, node_of(l->dir, e), &entry);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	return dir_add(l->fill, e->component, &entry, cookie) ? 1 : 0;
}

static int keys_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
			struct dir_fill *fill)
{
	const struct keys_kind *k = kind_of(dir);
	struct listing l = { c, dir, fill };
	int rc = key_dir_each(fs_view(c->fs), k->owner, k->space, node_object(dir), node_inner(dir),
			      cookie, list_key, &l);

	(void)h;
	return rc < 0 ? rc : 0;
}

static int keys_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make,
		     struct node_entry *ret)
{
	const struct keys_kind *k = kind_of(dir);
	uint32_t key;
	int rc;

	if (!S_ISDIR(make->mode))
		return err_set(-EPERM, "only values and directories of keys can be made here");
	rc = check_owner(c, dir);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, key_dir_make(c->fs->meta, k->owner, k->space, node_object(dir),
					node_inner(dir), name, &key));
	return rc < 0 ? rc : node_entry(c, node_id(k->dir, node_object(dir), key), ret);
}

static int keys_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	const struct keys_kind *k = kind_of(dir);
	struct key_entry e;
	int rc = find(c, dir, name, &e);

	if (rc < 0)
		return rc;
	if (!e.is_dir)
		return -ENOTDIR;
	rc = check_owner(c, dir);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs,
		    key_dir_remove(c->fs->meta, k->owner, k->space, node_object(dir), e.key));
	if (rc == 0 && k->space == KEYS_METRIC)
		fs_names_changed(c->fs); /* metrics/ and history/ show the same keys */
	return rc;
}

static int keys_unlink(struct call *c, uint64_t dir, struct slice name)
{
	struct value_target t;
	struct key_entry e;
	int rc = find(c, dir, name, &e);

	if (rc < 0)
		return rc;
	if (e.is_dir)
		return -EISDIR;
	t = target_of(kind_of(dir), dir, e.key);
	rc = value_may_change(c, &t);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, value_remove(c->fs->meta, &t));
	if (rc == 0)
		fs_names_changed(
			c->fs); /* the twin in history/, and a key that was encoded because of this one */
	return rc;
}

static int rename_in_batch(struct call *c, uint64_t dir, const struct value_target *from,
			   struct slice to_name, unsigned flags)
{
	struct value_target to;
	struct key_entry e;
	int rc = find(c, dir, to_name, &e);

	if (rc == 0 && (flags & 1 /* RENAME_NOREPLACE */))
		return -EEXIST;
	if (rc == 0 && e.is_dir)
		return -EISDIR;
	if (rc == -ENOENT)
		rc = key_dir_new_key(c->fs->meta, node_inner(dir), to_name, &e.key);
	if (rc < 0)
		return rc;
	to = target_of(kind_of(dir), dir, e.key);
	return value_rename(c->fs->meta, from, &to);
}

static int keys_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir,
		       struct slice to_name, unsigned flags)
{
	struct value_target from;
	struct key_entry e;
	int rc;

	if (node_kind(dir) != node_kind(to_dir) || node_object(dir) != node_object(to_dir))
		return FS_NOT_MINE;
	if (flags & ~1u)
		return err_set(-EINVAL, "two values cannot be exchanged");
	rc = find(c, dir, name, &e);
	if (rc < 0)
		return rc;
	if (e.is_dir)
		return err_set(-EPERM,
			       "a directory of keys cannot be renamed: rename the keys in it");
	from = target_of(kind_of(dir), dir, e.key);
	rc = value_may_change(c, &from);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, rename_in_batch(c, to_dir, &from, to_name, flags));
	if (rc == 0)
		fs_names_changed(c->fs); /* the new name is another node */
	return rc;
}

/* --- values --------------------------------------------------------------------------------------------- */

int keys_target(struct call *c, uint64_t dir, struct slice name, struct value_target *ret, bool *ret_found)
{
	struct key_entry e;
	int rc;

	*ret_found = false;
	if (node_ops_of(dir) != &keys_ops)
		return -ENOENT;
	rc = find(c, dir, name, &e);
	*ret_found = rc == 0;
	if (rc == 0 && e.is_dir)
		return -EISDIR;
	if (rc == -ENOENT)
		rc = key_dir_new_key(c->fs->meta, node_inner(dir), name, &e.key);
	if (rc == 0)
		*ret = target_of(kind_of(dir), dir, e.key);
	return rc;
}

/* A refused first write must leave no ghost: the entry is not kept. */
static int keys_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode,
		       struct handle *h, struct node_entry *ret)
{
	struct value_target t;
	bool found = false;
	int rc = check_owner(c, dir);

	(void)mode;
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(c->fs, keys_target(c, dir, name, &t, &found));
	if (rc < 0)
		return rc;
	if (found && (h->flags & O_EXCL))
		return -EEXIST;
	rc = value_open_target(c, &t, h, !found);
	if (rc < 0)
		return rc;
	h->ops = &value_ops;
	handle_set_node(c->fs, h, node_id(kind_of(dir)->value, t.owner, t.key));
	rc = node_entry(c, h->node, ret);
	ret->entry_timeout = 0;
	if (rc < 0)
		value_ops.release(c, h->node, h);
	return rc;
}

const struct node_ops keys_ops = {
	.lookup = keys_lookup,
	.getattr = keys_getattr,
	.setattr = node_setattr_nothing,
	.readdir = keys_readdir,
	.make = keys_make,
	.create = keys_create,
	.unlink = keys_unlink,
	.rmdir = keys_rmdir,
	.rename = keys_rename,
	.path = value_path,
};
