/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch - see scratch.h.  Renames across the border are how editors and careful programs save: a scratch file over a head becomes its
 * next version, over a value its new text; a head or a value that is renamed to a scratch name leaves its bytes there.
 */
#include "fs/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/deciding.h"
#include "fs/head_write.h"
#include "fs/tab_tree.h"
#include "fs/value_node.h"
#include "store/base/text.h"
#include "store/meta/entry.h"

#define DIR_NAME_LEN 16
#define VALUE_MAX (1u << 20)	/* bytes of a scratch file that becomes a value */

static void dir_name(uint64_t dir, char out[DIR_NAME_LEN + 1])
{
	snprintf(out, DIR_NAME_LEN + 1, "%016llx", (unsigned long long)dir);
}

static struct tree_place head_of(uint32_t tree)
{
	return (struct tree_place){ tree, TREE_HEAD };
}

bool scratch_takes(uint64_t dir, struct slice name)
{
	return !node_is_tree(dir) && text_is_scratch(name);
}

/* --- where they are ---------------------------------------------------------------------------------- */

int scratch_place(struct fs *fs, uint64_t dir, bool make, uint32_t *ret_tree, uint32_t *ret_dir)
{
	struct tree_make how = { .mode = S_IFDIR | 0700, .uid = fs->owner_uid, .gid = fs->owner_gid };
	struct tree_attr a;
	char name[DIR_NAME_LEN + 1];
	int rc = store_scratch_tree(fs->store, make, ret_tree);

	if (rc)
		return rc;
	dir_name(dir, name);
	rc = tree_lookup(fs_view(fs), head_of(*ret_tree), TREE_ROOT, slice_str(name), ret_dir);
	if (rc != -ENOENT || !make)
		return rc;
	rc = tree_make(fs->trees, *ret_tree, TREE_ROOT, slice_str(name), &how, &a);
	*ret_dir = a.ino;
	return rc;
}

/* In a batch of its own: the directory is there afterwards. */
static int make_place(struct fs *fs, uint64_t dir, uint32_t *ret_tree, uint32_t *ret_dir)
{
	int rc = scratch_place(fs, dir, false, ret_tree, ret_dir);

	if (rc != -ENOENT)
		return rc;
	rc = fs_begin(fs);
	return rc ? rc : fs_end(fs, scratch_place(fs, dir, true, ret_tree, ret_dir));
}

static int find(struct fs *fs, uint64_t dir, struct slice name, uint32_t *ret_tree, uint32_t *ret_dir, uint32_t *ret_ino)
{
	int rc = scratch_place(fs, dir, false, ret_tree, ret_dir);

	return rc ? rc : tree_lookup(fs_view(fs), head_of(*ret_tree), *ret_dir, name, ret_ino);
}

int scratch_lookup(struct fs *fs, uint64_t dir, struct slice name, struct node_entry *ret)
{
	uint32_t tree, at, ino;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	if (rc == -ENOENT)
		return FS_NOT_MINE;
	if (rc == 0)
		rc = tree_entry(fs, head_of(tree), ino, node_id(NODE_TREE_HEAD, tree, ino), ret);
	if (rc == 0)
		ret->entry_timeout = 0;
	return rc;
}

int scratch_target(struct fs *fs, uint64_t dir, struct slice name, struct buf *out)
{
	uint32_t tree, at, ino;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	return rc ? rc : tree_readlink(fs_view(fs), head_of(tree), ino, out);
}

/* --- making and removing ------------------------------------------------------------------------------ */

int scratch_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret)
{
	uint32_t tree, at;
	int rc = make_place(c->fs, dir, &tree, &at);

	if (rc == 0)
		rc = tree_front_make(c, tree, at, name, make, ret);
	if (rc == 0)
		ret->entry_timeout = 0;
	return rc;
}

static int op_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct handle *h, struct node_entry *ret)
{
	uint32_t tree, at;
	int rc = make_place(c->fs, dir, &tree, &at);

	if (rc == 0)
		rc = tree_front_create(c, tree, at, name, mode, h, ret);
	if (rc == 0)
		ret->entry_timeout = 0;
	return rc;
}

static int remove_name(struct fs *fs, uint64_t dir, struct slice name, bool is_dir)
{
	uint32_t tree, at, ino;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	rc = fs_begin(fs);
	if (rc)
		return rc;
	return fs_end(fs, is_dir ? tree_rmdir(fs->trees, tree, at, name) : tree_unlink(fs->trees, tree, at, name));
}

int scratch_unlink(struct fs *fs, uint64_t dir, struct slice name)
{
	return remove_name(fs, dir, name, false);
}

static int op_unlink(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c->fs, dir, name, false);
}

static int op_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c->fs, dir, name, true);
}

static int op_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	return scratch_lookup(c->fs, dir, name, ret);
}

static int op_link(struct call *c, uint64_t node, uint64_t dir, struct slice name, struct node_entry *ret)
{
	uint32_t tree, at;
	int rc = make_place(c->fs, dir, &tree, &at);

	if (rc)
		return rc;
	return tree_head_ops.link(c, node, node_id(NODE_TREE_HEAD, tree, at), name, ret);
}

static int op_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill)
{
	uint32_t tree, at;
	int rc = scratch_place(c->fs, dir, false, &tree, &at);

	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	return tree_head_ops.readdir(c, node_id(NODE_TREE_HEAD, tree, at), h, cookie, fill);
}

/* --- renaming within scratch ------------------------------------------------------------------------------- */

int scratch_rename(struct fs *fs, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	uint32_t tree, at, ino, to;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = scratch_place(fs, to_dir, true, &tree, &to);
	if (rc == 0)
		rc = tree_rename(fs->trees, tree, at, name, to, to_name, flags);
	return fs_end(fs, rc);
}

/* --- a scratch file becomes a head, and a head a scratch file ------------------------------------------------ */

static int to_head(struct call *c, uint64_t dir, struct slice name, uint64_t space, struct slice head, unsigned flags)
{
	struct fs *fs = c->fs;
	struct meta_actor who = call_actor(c);
	struct entry_found found;
	uint32_t tree, at, ino, id;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	if (flags & ~1u)
		return -EINVAL;
	if (flags && entry_lookup(fs_view(fs), (enum entry_space)node_inner(space), head, &found) == 0)
		return -EEXIST;
	rc = head_may_make(c, (enum entry_space)node_inner(space), head);
	if (rc == 0)
		rc = entry_settle(fs->meta, 0);
	if (rc == 0)
		rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = fs_end(fs, entry_adopt(fs->meta, (enum entry_space)node_inner(space), head, tree, at, name, &who, &id));
	if (rc == 0)
		fs_names_changed(fs);	/* the kernel thinks that the head is the scratch inode now */
	return rc;
}

static int from_head(struct call *c, uint64_t space, struct slice head, uint64_t dir, struct slice name, unsigned flags)
{
	struct fs *fs = c->fs;
	struct meta_actor who = call_actor(c);
	struct entry_found found;
	struct entry e;
	uint32_t tree, at, ino;
	int rc = entry_lookup(fs_view(fs), (enum entry_space)node_inner(space), head, &found);

	if (rc || found.kind != ENTRY_NAME_HEAD)
		return rc == 0 || rc == -ENOENT || rc == -EINVAL ? FS_NOT_MINE : rc;
	if (flags & ~1u)
		return -EINVAL;
	if (flags && find(fs, dir, name, &tree, &at, &ino) == 0)
		return -EEXIST;
	rc = entry_get(fs_view(fs), found.entry, &e);
	if (rc == 0)
		rc = call_may_change(c, e.uid);
	if (rc == 0)
		rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = scratch_place(fs, dir, true, &tree, &at);
	if (rc == 0)
		rc = entry_surrender(fs->meta, found.entry, tree, at, name, &who);
	rc = fs_end(fs, rc);
	if (rc == 0)
		fs_names_changed(fs);
	return rc;
}

/* --- a scratch file becomes a value, and a value a scratch file ----------------------------------------------- */

/* The value that NAME in DIR is, or (in a directory of keys) would be, and may the caller change it?  In a batch.  -ENOENT: none of these. */
static int value_at(struct call *c, uint64_t dir, struct slice name, struct value_target *ret)
{
	const struct node_row *row = NULL;
	bool found;
	int rc;

	if (node_kind(dir) == NODE_RUN)
		row = run_row(name);
	else if (node_kind(dir) == NODE_EXPERIMENT)
		row = experiment_row(name);
	if (row)
		rc = value_target_of(node_id(row->kind, node_object(dir), row->inner), ret) ? 0 : -ENOENT;
	else
		rc = keys_target(c, dir, name, ret, &found);
	if (rc == 0)
		rc = value_may_change(c, ret);
	return rc ? rc : value_check_writable(fs_view(c->fs), ret);
}

static int write_value(struct call *c, const struct value_target *target, struct slice text)
{
	struct meta_actor who = call_actor(c);
	struct value_writer *w;
	ssize_t taken;
	int rc = value_writer_new(c->fs->meta, target, false, &who, &w);

	if (rc)
		return rc;
	taken = value_write(w, text);
	rc = taken < 0 ? (int)taken : value_flush(w);
	if (rc == 0 && (size_t)taken < text.len)
		rc = -EINVAL;
	value_writer_free(w);
	return rc;
}

static int to_value(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct fs *fs = c->fs;
	struct value_target target;
	uint32_t tree, at, ino;
	void *room;
	ssize_t got;
	int rc = find(fs, dir, name, &tree, &at, &ino);

	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	rc = fs_begin(fs);	/* a new key may be interned */
	if (rc == 0)
		rc = fs_end(fs, value_at(c, to_dir, to_name, &target));
	if (rc)
		return rc == -ENOENT ? FS_NOT_MINE : rc;
	room = buf_reserve(&text, VALUE_MAX + 1);
	got = room ? tree_read(fs->trees, fs_view(fs), head_of(tree), ino, 0, room, VALUE_MAX + 1) : -ENOMEM;
	if (got < 0)
		return (int)got;
	if (got > (ssize_t)VALUE_MAX)
		return -EFBIG;
	rc = write_value(c, &target, slice_of(room, (size_t)got));
	if (rc == 0)
		rc = remove_name(fs, dir, name, false);
	if (rc == 0)
		fs_names_changed(fs);
	return rc;
}

/* In a batch: TEXT becomes the scratch file NAME. */
static int put_file(struct fs *fs, uint64_t dir, struct slice name, struct slice text)
{
	struct tree_make how = { .mode = S_IFREG | 0644, .uid = fs->owner_uid, .gid = fs->owner_gid };
	struct tree_attr a;
	uint32_t tree, at;
	int rc = scratch_place(fs, dir, true, &tree, &at);

	if (rc)
		return rc;
	rc = tree_unlink(fs->trees, tree, at, name);
	if (rc && rc != -ENOENT)
		return rc;
	rc = tree_make(fs->trees, tree, at, name, &how, &a);
	return rc ? rc : tree_write(fs->trees, tree, a.ino, 0, text, false);
}

static int from_value(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct fs *fs = c->fs;
	struct value_target target;
	int rc = fs_begin(fs);

	if (rc)
		return rc;
	rc = value_at(c, dir, name, &target);
	if (rc == 0)
		rc = value_render(fs_view(fs), &target, &text);
	if (rc == 0)
		rc = buf_err(&text);
	if (rc == 0)
		rc = value_remove(fs->meta, &target);
	if (rc == 0)
		rc = put_file(fs, to_dir, to_name, buf_slice(&text));
	rc = fs_end(fs, rc);
	if (rc == 0)
		fs_names_changed(fs);
	return rc == -ENOENT ? FS_NOT_MINE : rc;
}

/* --- which of these --------------------------------------------------------------------------------------------- */

static int op_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	bool from = scratch_takes(dir, name), to = scratch_takes(to_dir, to_name);

	if (node_is_tree(dir) || node_is_tree(to_dir))
		return -EXDEV;
	if (from && to)
		return scratch_rename(c->fs, dir, name, to_dir, to_name, flags);
	if ((node_kind(dir) == NODE_SPACE || node_kind(to_dir) == NODE_SPACE) && deciding_wait(c, 0))
		return FS_DEFERRED;
	if (from && node_kind(to_dir) == NODE_SPACE)
		return to_head(c, dir, name, to_dir, to_name, flags);
	if (to && node_kind(dir) == NODE_SPACE)
		return from_head(c, dir, name, to_dir, to_name, flags);
	if (flags)
		return -EINVAL;
	return from ? to_value(c, dir, name, to_dir, to_name) : from_value(c, dir, name, to_dir, to_name);
}

const struct node_ops scratch_ops = {
	.lookup = op_lookup,
	.make = scratch_make,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.readdir = op_readdir,
};
