/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_name - operations on names: look-up, making, removing, renaming.
 */
#include <errno.h>

#include "fs/fs.h"
#include "fs/ops_internal.h"
#include "fs/scratch.h"
#include "store/meta/experiment.h"
#include "store/meta/run.h"

static int lookup(struct call *c, struct node_entry *e)
{
	const struct node_ops *ops = node_ops_of(c->node);
	int rc = ops_check_name(c->name);

	if (rc < 0)
		return rc;
	if (scratch_takes(c->node, c->name)) {
		rc = scratch_ops.lookup(c, c->node, c->name, e);
		if (rc != FS_NOT_MINE)
			return rc;
	}
	if (!ops || !ops->lookup)
		return -ENOTDIR;
	rc = ops->lookup(c, c->node, c->name, e);
	return rc == FS_NOT_MINE ? -ENOENT : rc;
}

static void reply_entry(struct call *c, int rc, const struct node_entry *e)
{
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_entry(c, e);
}

static void do_lookup(struct call *c)
{
	struct node_entry e = { 0 };

	reply_entry(c, lookup(c, &e), &e);
}

void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct call c = ops_call(req, "lookup", dir);

	c.name = slice_str(name);
	c.again = do_lookup;
	do_lookup(&c);
}

struct make_args {
	const struct node_make *how;
	struct node_entry *e;
};

static int ask_make(const struct node_ops *ops, struct call *c, void *arg)
{
	struct make_args *a = arg;

	return ops->make ? ops->make(c, c->node, c->name, a->how, a->e) : FS_NOT_MINE;
}

static void make(struct call *c, const struct node_make *how)
{
	struct node_entry e = { 0 };
	struct make_args a = { how, &e };
	int rc = ops_change_name(c, ask_make, &a);

	reply_entry(c, rc, &e);
}

void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	struct call c = ops_call(req, "mknod", dir);
	struct node_make how = { .mode = mode, .rdev = (uint32_t)rdev };

	c.name = slice_str(name);
	make(&c, &how);
}

void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct call c = ops_call(req, "mkdir", dir);
	struct node_make how = { .mode = (mode & 07777) | S_IFDIR };

	c.name = slice_str(name);
	make(&c, &how);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	struct call c = ops_call(req, "symlink", dir);
	struct node_make how = { .mode = 0777 | S_IFLNK, .target = slice_str(target) };

	c.name = slice_str(name);
	make(&c, &how);
}

/* Does the directory DIR belong to a run or an experiment that lies in the trash? */
static bool is_in_trash(struct fs *fs, uint64_t dir)
{
	struct experiment experiment;
	struct run run;

	switch ((int)node_kind(dir)) {
	case NODE_EXPERIMENT:
	case NODE_EXPERIMENT_TAGS:
		return experiment_get(fs_view(fs), node_object(dir), &experiment) == 0 && experiment.deleted_ms != 0;
	case NODE_RUN:
	case NODE_RUN_PARAMS:
	case NODE_RUN_METRICS:
	case NODE_RUN_HISTORIES:
	case NODE_RUN_TAGS:
	case NODE_RUN_CHILDREN:
	case NODE_RUN_LINEAGE:
		return run_get(fs_view(fs), node_object(dir), &run) == 0 && run.trashed;
	default:
		return false;
	}
}

/*
 * With the room kept for it: what frees space must work on a full disk.  In the trash every removal is taken: what can go by itself goes, and
 * the rest goes with its run or experiment, so that rm -rf gets to the directory that destroys it.
 */
static int remove_by(struct call *c, int (*ask)(const struct node_ops *ops, struct call *c, void *arg))
{
	bool was = kv_use_reserve(c->fs->kv, true);
	int rc = ops_change_name(c, ask, NULL);

	kv_use_reserve(c->fs->kv, was);
	return (rc == -EPERM || rc == -EROFS) && is_in_trash(c->fs, c->node) && !c->fs->read_only ? 0 : rc;
}

static int ask_unlink(const struct node_ops *ops, struct call *c, void *arg)
{
	(void)arg;
	return ops->unlink ? ops->unlink(c, c->node, c->name) : FS_NOT_MINE;
}

static void do_unlink(struct call *c)
{
	ops_reply_status(c, remove_by(c, ask_unlink));
}

void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct call c = ops_call(req, "unlink", dir);

	c.name = slice_str(name);
	c.again = do_unlink;
	do_unlink(&c);
}

static int ask_rmdir(const struct node_ops *ops, struct call *c, void *arg)
{
	(void)arg;
	return ops->rmdir ? ops->rmdir(c, c->node, c->name) : FS_NOT_MINE;
}

static void do_rmdir(struct call *c)
{
	ops_reply_status(c, remove_by(c, ask_rmdir));
}

void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct call c = ops_call(req, "rmdir", dir);

	c.name = slice_str(name);
	c.again = do_rmdir;
	do_rmdir(&c);
}

static int rename_by(const struct node_ops *ops, struct call *c)
{
	bool tried = false;
	int rc;

	if (!ops || !ops->rename)
		return FS_NOT_MINE;
	do {
		rc = ops->rename(c, c->node, c->name, c->to_node, c->to_name, c->flags);
	} while (ops_try_again(c, rc, &tried));
	return rc;
}

static void do_rename(struct call *c)
{
	bool was = kv_use_reserve(c->fs->kv, node_kind(c->to_node) == NODE_TRASH);
	int rc = ops_check_change(c);

	if (rc == 0)
		rc = ops_check_name(c->to_name);
	if (rc == 0) {
		rc = FS_NOT_MINE;
		if (scratch_takes(c->node, c->name) || scratch_takes(c->to_node, c->to_name))
			rc = rename_by(&scratch_ops, c);
		if (rc == FS_NOT_MINE)
			rc = rename_by(node_ops_of(c->node), c);
		if (rc == FS_NOT_MINE && node_kind(c->to_node) != node_kind(c->node))
			rc = rename_by(node_ops_of(c->to_node), c);
		if (rc == FS_NOT_MINE && c->node == c->to_node)
			rc = ops_refuse(c->node);
		if (rc == FS_NOT_MINE)
			rc = -EXDEV;
	}
	kv_use_reserve(c->fs->kv, was);
	ops_reply_status(c, rc);
}

void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to_dir, const char *to_name, unsigned int flags)
{
	struct call c = ops_call(req, "rename", dir);

	c.name = slice_str(name);
	c.to_node = to_dir;
	c.to_name = slice_str(to_name);
	c.flags = flags;
	c.again = do_rename;
	do_rename(&c);
}

struct link_args {
	uint64_t node;
	struct node_entry *e;
};

static int ask_link(const struct node_ops *ops, struct call *c, void *arg)
{
	struct link_args *a = arg;

	return ops->link ? ops->link(c, a->node, c->node, c->name, a->e) : FS_NOT_MINE;
}

void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name)
{
	struct call call = ops_call(req, "link", dir), *c = &call;
	struct node_entry e = { 0 };
	struct link_args a = { node, &e };

	c->name = slice_str(name);
	reply_entry(c, ops_change_name(c, ask_link, &a), &e);
}
