/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_tree - the POSIX trees: artifacts, heads of datasets and models, scratch; and the versions, which only read.  Names and attributes are
 * here; open files in tree_io.c, extended attributes in tree_xattr.c.
 */
#include "fs/tab_tree.h"

#include <errno.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/head_write.h"
#include "store/meta/entry.h"
#include "store/meta/run.h"

/* --- places and attributes --------------------------------------------------------------------------- */

int tree_node_place(struct fs *fs, uint64_t node, struct tree_place *ret, uint32_t *ret_ino)
{
	struct version v;
	int rc;

	*ret_ino = node_inner(node);
	if (node_kind(node) == NODE_TREE_HEAD) {
		*ret = (struct tree_place){ node_object(node), TREE_HEAD };
		return 0;
	}
	rc = version_by_serial(fs_view(fs), node_object(node), &v);
	if (rc == -ENOENT || (rc == 0 && v.destroyed))
		return -ESTALE;
	if (rc == 0)
		*ret = v.place;
	return rc;
}

static struct timespec time_of(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

static int64_t ns_of(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void fill_attr(const struct tree_attr *a, struct node_attr *ret)
{
	memset(&ret->st, 0, sizeof(ret->st));
	ret->st.st_mode = a->mode;
	ret->st.st_nlink = a->nlink;
	ret->st.st_uid = a->uid;
	ret->st.st_gid = a->gid;
	ret->st.st_rdev = a->rdev;
	ret->st.st_size = (off_t)a->size;
	ret->st.st_blocks = (blkcnt_t)a->blocks;
	ret->st.st_blksize = 4096;
	ret->st.st_atim = time_of(a->atime_ns);
	ret->st.st_mtim = time_of(a->mtime_ns);
	ret->st.st_ctim = time_of(a->ctime_ns);
	ret->timeout = NODE_LONG;
}

static int node_attr_of(struct fs *fs, uint64_t node, struct node_attr *ret)
{
	struct tree_place place;
	struct tree_attr a;
	uint32_t ino;
	int rc = tree_node_place(fs, node, &place, &ino);

	if (rc == 0)
		rc = tree_getattr(fs->trees, fs_view(fs), place, ino, &a);
	if (rc == 0)
		fill_attr(&a, ret);
	return rc;
}

int tree_entry(struct fs *fs, struct tree_place place, uint32_t ino, uint64_t node, struct node_entry *ret)
{
	struct tree_attr a;
	int rc = tree_getattr(fs->trees, fs_view(fs), place, ino, &a);

	if (rc)
		return rc;
	ret->node = node;
	ret->entry_timeout = node_kind(node) == NODE_TREE_VERSION ? NODE_LONG : fs_entry_timeout(fs);
	fill_attr(&a, &ret->attr);
	return 0;
}

static int head_entry(struct fs *fs, uint32_t tree, const struct tree_attr *a, struct node_entry *ret)
{
	ret->node = node_id(NODE_TREE_HEAD, tree, a->ino);
	ret->entry_timeout = fs_entry_timeout(fs);
	fill_attr(a, &ret->attr);
	return 0;
}

static int op_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	(void)h;
	return node_attr_of(c->fs, node, ret);
}

/* --- whose tree ----------------------------------------------------------------------------------------- */

/* Is what owns TREE in the trash?  There every removal succeeds. */
static bool owner_is_trashed(struct fs *fs, uint32_t tree)
{
	struct tree_info info;
	struct run run;
	struct entry entry;

	if (tree_info(fs_view(fs), tree, &info) != 0)
		return false;
	if (info.owner == TREE_OWNER_RUN)
		return run_get(fs_view(fs), info.owner_id, &run) == 0 && run.trashed;
	if (info.owner == TREE_OWNER_ENTRY)
		return entry_get(fs_view(fs), info.owner_id, &entry) == 0 && entry.trashed;
	return false;
}

static bool is_commit(struct fs *fs, uint64_t dir, struct slice name)
{
	return node_inner(dir) == TREE_ROOT && slice_eq(name, slice_str(".commit")) && head_entry_id(fs, node_object(dir)) != 0;
}

/* --- names ------------------------------------------------------------------------------------------------ */

static int op_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct fs *fs = c->fs;
	struct tree_place place;
	uint32_t dir_ino, ino;
	int rc = tree_node_place(fs, dir, &place, &dir_ino);

	if (rc)
		return rc;
	if (node_kind(dir) == NODE_TREE_HEAD && is_commit(fs, dir, name)) {
		ret->node = node_id(NODE_COMMIT, head_entry_id(fs, place.tree), 0);
		ret->entry_timeout = 0;
		return commit_ops.getattr(c, ret->node, NULL, &ret->attr);
	}
	rc = tree_lookup(fs_view(fs), place, dir_ino, name, &ino);
	if (rc == -ENOENT) {
		ret->node = 0;
		ret->entry_timeout = node_kind(dir) == NODE_TREE_VERSION ? NODE_LONG : fs_entry_timeout(fs);
		return 0;
	}
	return rc ? rc : tree_entry(fs, place, ino, node_id(node_kind(dir), node_object(dir), ino), ret);
}

/* As on a disk: a set-group-id directory hands its group on. */
static int inherit_group(struct call *c, uint32_t tree, uint32_t dir, struct tree_make *make)
{
	struct tree_attr a;
	int rc = tree_getattr(c->fs->trees, fs_view(c->fs), (struct tree_place){ tree, TREE_HEAD }, dir, &a);

	if (rc == 0 && (a.mode & S_ISGID)) {
		make->gid = a.gid;
		if (S_ISDIR(make->mode))
			make->mode |= S_ISGID;
	}
	return rc;
}

static int make_in_batch(struct call *c, uint32_t tree, uint32_t dir, struct slice name, struct tree_make *make, struct tree_attr *ret)
{
	int rc = inherit_group(c, tree, dir, make);

	if (rc == 0)
		rc = tree_make(c->fs->trees, tree, dir, name, make, ret);
	return rc ? rc : head_write_note(c, tree);
}

int tree_front_make(struct call *c, uint32_t tree, uint32_t dir, struct slice name, const struct node_make *make,
		    struct node_entry *ret)
{
	struct tree_make how = { .mode = make->mode, .uid = c->uid, .gid = c->gid, .rdev = make->rdev, .target = make->target };
	struct tree_attr a;
	int rc = store_admit(c->fs->store, 4096);

	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = fs_end(c->fs, make_in_batch(c, tree, dir, name, &how, &a));
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

static int op_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret)
{
	return tree_front_make(c, node_object(dir), node_inner(dir), name, make, ret);
}

int tree_front_create(struct call *c, uint32_t tree, uint32_t dir, struct slice name, uint32_t mode, struct handle *h,
		      struct node_entry *ret)
{
	struct tree_make how = { .mode = mode, .uid = c->uid, .gid = c->gid };
	struct tree_attr a;
	int rc = store_admit(c->fs->store, 4096);

	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = make_in_batch(c, tree, dir, name, &how, &a);
	if (rc == 0)
		rc = tree_front_opened(c, tree, a.ino, h);
	rc = fs_end(c->fs, rc);
	if (rc)
		tree_front_drop(c->fs, h);
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

static int op_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct handle *h, struct node_entry *ret)
{
	return tree_front_create(c, node_object(dir), node_inner(dir), name, mode, h, ret);
}

static int op_link(struct call *c, uint64_t node, uint64_t dir, struct slice name, struct node_entry *ret)
{
	uint32_t tree = node_object(dir);
	struct tree_attr a;
	int rc;

	if (node_kind(node) != NODE_TREE_HEAD || node_object(node) != tree)
		return -EXDEV;
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_link(c->fs->trees, tree, node_inner(node), node_inner(dir), name, &a);
	if (rc == 0)
		rc = head_write_note(c, tree);
	rc = fs_end(c->fs, rc);
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

/* Frozen, but in the trash: what is removed there goes. */
static int remove_frozen(struct fs *fs, uint32_t tree, uint32_t dir, struct slice name, bool is_dir)
{
	int rc = tree_thaw(fs->trees, tree);

	if (rc == 0)
		rc = is_dir ? tree_rmdir(fs->trees, tree, dir, name) : tree_unlink(fs->trees, tree, dir, name);
	return rc ? rc : tree_freeze(fs->trees, tree);
}

static int remove_name(struct call *c, uint64_t dir, struct slice name, bool is_dir)
{
	struct fs *fs = c->fs;
	uint32_t tree = node_object(dir);
	int rc;

	if (is_commit(fs, dir, name))
		return err_set(-EPERM, ".commit cannot be removed; write a message to it to cut a version");
	rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = is_dir ? tree_rmdir(fs->trees, tree, node_inner(dir), name) : tree_unlink(fs->trees, tree, node_inner(dir), name);
	if (rc == -EROFS && owner_is_trashed(fs, tree))
		rc = remove_frozen(fs, tree, node_inner(dir), name, is_dir);
	else if (rc == -EROFS)
		err_set(rc, "the run has ended: its artifacts never change");
	if (rc == 0)
		rc = head_write_note(c, tree);
	return fs_end(fs, rc);
}

static int op_unlink(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, false);
}

static int op_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, true);
}

static int op_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	struct fs *fs = c->fs;
	uint32_t tree = node_object(dir);
	int rc;

	if (node_kind(to_dir) != NODE_TREE_HEAD || node_object(to_dir) != tree || node_kind(dir) != NODE_TREE_HEAD)
		return FS_NOT_MINE;
	if (is_commit(fs, dir, name) || is_commit(fs, to_dir, to_name))
		return err_set(-EPERM, ".commit cannot be renamed or replaced");
	rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = tree_rename(fs->trees, tree, node_inner(dir), name, node_inner(to_dir), to_name, flags);
	if (rc == 0)
		rc = head_write_note(c, tree);
	return fs_end(fs, rc);
}

struct listing {
	struct fs *fs;
	struct dir_fill *fill;
	struct tree_place place;
	uint64_t dir;
};

static int list_entry(void *arg, const struct tree_entry *e)
{
	struct listing *l = arg;
	struct node_entry entry = { 0 };
	int rc = tree_entry(l->fs, l->place, e->ino, node_id(node_kind(l->dir), node_object(l->dir), e->ino), &entry);

	if (rc == -EBADMSG) {	/* one damaged inode must not hide the others */
		memset(&entry, 0, sizeof(entry));
		entry.attr.st.st_mode = e->mode;
		entry.attr.st.st_ino = e->ino;
		rc = 0;
	}
	return rc ? rc : dir_add(l->fill, e->name, &entry, e->cookie);
}

static int op_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill)
{
	struct listing l = { .fs = c->fs, .fill = fill, .dir = dir };
	uint32_t ino;
	int rc = tree_node_place(c->fs, dir, &l.place, &ino);

	(void)h;
	return rc ? rc : tree_readdir(fs_view(c->fs), l.place, ino, cookie, list_entry, &l);
}

/* --- attributes ----------------------------------------------------------------------------------------------- */

static unsigned set_mask(const struct stat *st, int to_set, struct tree_attr *a)
{
	struct timespec now;
	unsigned mask = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	a->mode = st->st_mode;
	a->uid = st->st_uid;
	a->gid = st->st_gid;
	a->size = (uint64_t)st->st_size;
	a->atime_ns = ns_of(to_set & FUSE_SET_ATTR_ATIME_NOW ? now : st->st_atim);
	a->mtime_ns = ns_of(to_set & FUSE_SET_ATTR_MTIME_NOW ? now : st->st_mtim);
	a->ctime_ns = ns_of(st->st_ctim);
	mask |= to_set & FUSE_SET_ATTR_MODE ? TREE_SET_MODE : 0;
	mask |= to_set & FUSE_SET_ATTR_UID ? TREE_SET_UID : 0;
	mask |= to_set & FUSE_SET_ATTR_GID ? TREE_SET_GID : 0;
	mask |= to_set & FUSE_SET_ATTR_SIZE ? TREE_SET_SIZE : 0;
	mask |= to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) ? TREE_SET_ATIME : 0;
	mask |= to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) ? TREE_SET_MTIME : 0;
	mask |= to_set & FUSE_SET_ATTR_CTIME ? TREE_SET_CTIME : 0;
	return mask;
}

static int op_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st, int to_set, struct node_attr *ret)
{
	struct tree_attr want, a;
	unsigned mask = set_mask(st, to_set, &want);
	uint32_t tree = node_object(node), ino = node_inner(node);
	int rc = fs_begin(c->fs);

	if (rc)
		return rc;
	if (h && handle_writes(h))
		mask |= TREE_SET_HELD;
	rc = tree_setattr(c->fs->trees, tree, ino, mask, &want, &a);
	if (rc == -EROFS)
		err_set(rc, "the run has ended: its artifacts never change");
	if (rc == 0 && (mask & TREE_SET_SIZE))
		rc = head_write_note_rewrite(c, tree, ino);
	rc = fs_end(c->fs, rc);
	if (rc == 0)
		fill_attr(&a, ret);
	return rc;
}

static int op_readlink(struct call *c, uint64_t node, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	return rc ? rc : tree_readlink(fs_view(c->fs), place, ino, out);
}

/* --- a version in the trash ------------------------------------------------------------------------------------------------------ */

/* Files of a version go with the version: in the trash their removal is taken and waits for its rmdir; elsewhere it is refused. */
static int version_remove(struct call *c, uint64_t dir, struct slice name)
{
	struct version v;
	struct entry e;
	int rc = version_by_serial(fs_view(c->fs), node_object(dir), &v);

	(void)name;
	if (rc == 0 && !v.trashed)
		rc = entry_get(fs_view(c->fs), v.entry, &e);
	if (rc == 0 && !v.trashed && !e.trashed)
		return err_set(-EROFS, "a version never changes");
	return rc;
}

/* --- paths and tables --------------------------------------------------------------------------------------------------------------- */

static void entry_path(struct fs *fs, uint32_t id, const struct version *v, struct buf *out)
{
	struct entry e;

	if (entry_get(fs_view(fs), id, &e) != 0)
		return;
	buf_add_str(out, e.space == ENTRY_DATA ? "/data/" : "/models/");
	if (v)
		entry_name_version(e.name, v->is_dir, v->n, out);
	else
		buf_add_slice(out, e.name);
}

static void op_path(struct fs *fs, uint64_t node, struct buf *out)
{
	struct tree_info info;
	struct version v;
	struct run run;

	if (node_kind(node) == NODE_TREE_VERSION) {
		if (version_by_serial(fs_view(fs), node_object(node), &v) == 0)
			entry_path(fs, v.entry, &v, out);
	} else if (tree_info(fs_view(fs), node_object(node), &info) == 0) {
		if (info.owner == TREE_OWNER_RUN && run_get(fs_view(fs), info.owner_id, &run) == 0)
			buf_addf(out, "/runs/%.*s/artifacts", (int)run.id.len, (const char *)run.id.data);
		else if (info.owner == TREE_OWNER_ENTRY)
			entry_path(fs, info.owner_id, NULL, out);
	}
	if (node_inner(node) != TREE_ROOT)
		buf_add_str(out, "/...");
}

const struct node_ops tree_head_ops = {
	.lookup = op_lookup,
	.make = op_make,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.readdir = op_readdir,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.getxattr = tree_op_getxattr,
	.setxattr = tree_op_setxattr,
	.listxattr = tree_op_listxattr,
	.removexattr = tree_op_removexattr,
	.open = tree_op_open,
	.read = tree_op_read,
	.write = tree_op_write,
	.release = tree_op_release,
	.fsync = tree_op_fsync,
	.fallocate = tree_op_fallocate,
	.copy_range = tree_op_copy_range,
	.lseek = tree_op_lseek,
	.path = op_path,
};

const struct node_ops tree_version_ops = {
	.lookup = op_lookup,
	.unlink = version_remove,
	.rmdir = version_remove,
	.readdir = op_readdir,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.getxattr = tree_op_getxattr,
	.setxattr = tree_version_setxattr,
	.listxattr = tree_op_listxattr,
	.open = tree_version_open,
	.read = tree_op_read,
	.fsync = tree_op_fsync,
	.lseek = tree_op_lseek,
	.path = op_path,
};
