/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - the table of libfuse's operations, and the rules that hold for all: which names are scratch, read-only mounts, "no space".
 */
#include <errno.h>

#include "fs/background.h"
#include "fs/fs.h"
#include "fs/ops.h"
#include "fs/ops_internal.h"
#include "fs/scratch.h"
#include "store/base/limits.h"

struct call ops_call(fuse_req_t req, const char *op, uint64_t node)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	err_clear();
	return (struct call){
		.fs = fuse_req_userdata(req),
		.req = req,
		.op = op,
		.node = node,
		.uid = ctx->uid,
		.gid = ctx->gid,
		.pid = ctx->pid,
	};
}

struct handle *ops_handle(struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
}

int ops_refuse(uint64_t node)
{
	if (node_kind(node) == NODE_TREE_VERSION)
		return err_set(-EROFS, "a version never changes");
	return err_set(-EPERM, "this cannot be done here");
}

int ops_check_name(struct slice name)
{
	return name.len > LIMIT_NAME_MAX ? -ENAMETOOLONG : 0;
}

int ops_check_change(struct call *c)
{
	if (c->fs->read_only)
		return err_set(-EROFS, "the store is mounted read-only");
	return 0;
}

bool ops_try_again(struct call *c, int rc, bool *tried)
{
	if ((rc != -ENOSPC && rc != -EDQUOT) || *tried)
		return false;
	*tried = true;
	return background_make_room(c->fs);
}

int ops_change_name(struct call *c,
		    int (*ask)(const struct node_ops *ops, struct call *c, void *arg), void *arg)
{
	const struct node_ops *own = node_ops_of(c->node);
	bool tried = false;
	int rc = ops_check_change(c);

	if (rc == 0)
		rc = ops_check_name(c->name);
	if (rc < 0)
		return rc;
	do {
		rc = scratch_takes(c->node, c->name) ? ask(&scratch_ops, c, arg) : FS_NOT_MINE;
		if (rc == FS_NOT_MINE && own)
			rc = ask(own, c, arg);
	} while (ops_try_again(c, rc, &tried));
	return rc == FS_NOT_MINE ? ops_refuse(c->node) : rc;
}

void ops_reply_status(struct call *c, int rc)
{
	if (rc != FS_DEFERRED)
		call_reply_err(c, rc);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_background = 65535; /* RELEASE never queues behind background reads */
	conn->congestion_threshold = 65535;
	conn->time_gran = 1;
	conn->want &=
		~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA |
			    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_IOCTL_DIR);
	conn->want |= conn->capable &
		      (FUSE_CAP_READDIRPLUS | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
};
