/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_attr - attributes, link targets, extended attributes, statfs.
 */
#include <errno.h>

#include "fs/fs.h"
#include "fs/ops_internal.h"
#include "store/base/limits.h"

static void reply_attr(struct call *c, int rc, const struct node_attr *a)
{
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_attr(c, c->node, a);
}

static void do_getattr(struct call *c)
{
	const struct node_ops *ops = node_ops_of(c->node);
	struct node_attr a = { .timeout = 0 };

	reply_attr(c, ops && ops->getattr ? ops->getattr(c, c->node, c->handle, &a) : -ENOENT, &a);
}

void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "stat", node);

	c.handle = ops_handle(fi);
	c.again = do_getattr;
	do_getattr(&c);
}

static void do_setattr(struct call *c)
{
	const struct node_ops *ops = node_ops_of(c->node);
	struct node_attr a = { .timeout = 0 };
	bool tried = false;
	int rc = ops_check_change(c);

	if (rc == 0 && (!ops || !ops->setattr))
		rc = ops_refuse(c->node);
	if (rc == 0) {
		do {
			rc = ops->setattr(c, c->node, c->handle, &c->set, c->to_set, &a);
		} while (ops_try_again(c, rc, &tried));
	}
	reply_attr(c, rc, &a);
}

void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, to_set & FUSE_SET_ATTR_SIZE ? "truncate" : "setattr", node);

	c.handle = ops_handle(fi);
	c.set = *st;
	c.to_set = to_set;
	c.again = do_setattr;
	do_setattr(&c);
}

static void do_readlink(struct call *c)
{
	const struct node_ops *ops = node_ops_of(c->node);
	SCOPED_BUF struct buf target = BUF_INIT;
	int rc = ops && ops->readlink ? ops->readlink(c, c->node, &target) : -EINVAL;

	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_link(c, &target);
}

void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct call c = ops_call(req, "readlink", node);

	c.again = do_readlink;
	do_readlink(&c);
}

/* --- extended attributes: only user.* exist; EOPNOTSUPP for the others keeps `ls -l` from asking for each file ------------ */

static bool is_user_xattr(const char *name)
{
	return strncmp(name, "user.", 5) == 0 && name[5];
}

static void reply_xattr(struct call *c, int rc, const struct buf *value, size_t size)
{
	if (rc == FS_DEFERRED)
		return;
	if (rc == 0)
		rc = buf_err(value);
	if (rc == 0 && size && value->len > size)
		rc = -ERANGE;
	if (rc < 0)
		call_reply_err(c, rc);
	else if (size == 0)
		fuse_reply_xattr(c->req, value->len);
	else
		fuse_reply_buf(c->req, value->data, value->len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	const struct node_ops *ops = node_ops_of(node);
	SCOPED_BUF struct buf value = BUF_INIT;
	struct call c;

	if (!is_user_xattr(name)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	c = ops_call(req, "getxattr", node);
	reply_xattr(&c,
		    ops && ops->getxattr ? ops->getxattr(&c, node, slice_str(name), &value)
					 : -ENODATA,
		    &value, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct call c = ops_call(req, "listxattr", node);
	const struct node_ops *ops = node_ops_of(node);
	SCOPED_BUF struct buf names = BUF_INIT;

	reply_xattr(&c, ops && ops->listxattr ? ops->listxattr(&c, node, &names) : 0, &names, size);
}

static int check_xattr_change(struct call *c, const char *name)
{
	return is_user_xattr(name) ? ops_check_change(c) : -EOPNOTSUPP;
}

void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size,
		 int flags)
{
	struct call call = ops_call(req, "setxattr", node), *c = &call;
	const struct node_ops *ops = node_ops_of(node);
	bool tried = false;
	int rc = check_xattr_change(c, name);

	if (rc == 0 && (!ops || !ops->setxattr))
		rc = ops_refuse(node);
	if (rc == 0) {
		do {
			rc = ops->setxattr(c, node, slice_str(name), slice_of(value, size), flags);
		} while (ops_try_again(c, rc, &tried));
	}
	ops_reply_status(c, rc);
}

void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	struct call c = ops_call(req, "removexattr", node);
	const struct node_ops *ops = node_ops_of(node);
	int rc = check_xattr_change(&c, name);

	if (rc == 0)
		rc = ops && ops->removexattr ? ops->removexattr(&c, node, slice_str(name))
					     : ops_refuse(node);
	ops_reply_status(&c, rc);
}

void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct call c = ops_call(req, "statfs", node);
	struct store_space space;
	uint64_t total, room;
	struct statvfs st;
	int rc = store_space(c.fs->store, &space);

	if (rc < 0) {
		call_reply_err(&c, rc);
		return;
	}
	total = space.disk_total;
	room = space.disk_free;
	if (space.limit) {
		uint64_t left = space.limit > space.used ? space.limit - space.used : 0;

		total = space.limit;
		room = left < room ? left : room;
	}
	memset(&st, 0, sizeof(st));
	st.f_bsize = st.f_frsize = 4096;
	st.f_blocks = total / 4096;
	st.f_bfree = st.f_bavail = room / 4096;
	st.f_files = 1u << 30;
	st.f_ffree = st.f_favail = 1u << 30;
	st.f_namemax = LIMIT_NAME_MAX;
	fuse_reply_statfs(req, &st);
}
