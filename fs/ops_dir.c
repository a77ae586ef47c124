/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_dir - listing directories.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/ops_internal.h"
#include "store/base/limits.h"

#define SCRATCH_COOKIE (1ull << 62) /* set in cookies of scratch entries */
#define OWN_COOKIES    2u           /* "." and ".." */

struct dir_fill {
	fuse_req_t req;
	char *data;
	size_t size, used;
	uint64_t cookie_add, cookie_mark; /* how a table's cookies become the kernel's */
	bool plus, full;
};

bool dir_add(struct dir_fill *fill, struct slice name, const struct node_entry *entry,
	     uint64_t cookie)
{
	off_t next = (off_t)((cookie + fill->cookie_add) | fill->cookie_mark);
	char text[LIMIT_NAME_MAX + 1];
	size_t left = fill->size - fill->used, need;

	if (fill->full)
		return true;
	if (name.len > LIMIT_NAME_MAX)
		return false;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	if (fill->plus) {
		struct fuse_entry_param e = {
			.ino = entry->node,
			.attr = entry->attr.st,
			.attr_timeout = entry->attr.timeout,
			.entry_timeout = entry->entry_timeout,
		};

		if (entry->node)
			e.attr.st_ino = entry->node;
		need = fuse_add_direntry_plus(fill->req, fill->data + fill->used, left, text, &e,
					      next);
	} else {
		struct stat st = entry->attr.st;

		if (entry->node)
			st.st_ino = entry->node;
		need = fuse_add_direntry(fill->req, fill->data + fill->used, left, text, &st, next);
	}
	fill->full = need > left;
	if (!fill->full)
		fill->used += need;
	return fill->full;
}

static int list(struct call *c, struct dir_fill *fill)
{
	const struct node_ops *ops = node_ops_of(c->node);
	struct node_entry dot = { .node = 0 };
	uint64_t cookie = c->off;
	int rc = 0;

	dot.attr.st.st_mode = S_IFDIR;
	dot.attr.st.st_ino = c->node;
	if (cookie < 1 && dir_add(fill, slice_str("."), &dot, 1))
		return 0;
	if (cookie < 2 && dir_add(fill, slice_str(".."), &dot, 2))
		return 0;
	if (!ops || !ops->readdir)
		return -ENOTDIR;
	if (!(cookie & SCRATCH_COOKIE)) {
		fill->cookie_add = OWN_COOKIES;
		rc = ops->readdir(c, c->node, NULL, cookie > OWN_COOKIES ? cookie - OWN_COOKIES : 0,
				  fill);
		if (rc != 0 || fill->full)
			return rc;
		cookie = SCRATCH_COOKIE;
	}
	if (node_is_tree(c->node))
		return 0;
	fill->cookie_add = 0;
	fill->cookie_mark = SCRATCH_COOKIE;
	rc = scratch_ops.readdir(c, c->node, NULL, cookie & ~SCRATCH_COOKIE, fill);
	return rc == FS_NOT_MINE ? 0 : rc;
}

static void do_readdir(struct call *c)
{
	struct dir_fill fill = { .req = c->req, .size = c->size, .plus = c->flags & 1 };
	int rc = -ENOMEM;

	fill.data = malloc(fill.size);
	if (fill.data)
		rc = list(c, &fill);
	if (rc < 0)
		call_reply_err(c, rc);
	else if (rc != FS_DEFERRED)
		call_reply_data(c, slice_of(fill.data, fill.used));
	free(fill.data);
}

static void readdir_any(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, unsigned flags)
{
	struct call c = ops_call(req, "readdir", node);

	c.off = (uint64_t)off;
	c.size = size;
	c.flags = flags;
	c.again = do_readdir;
	do_readdir(&c);
}

void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	readdir_any(req, node, size, off, 0);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	readdir_any(req, node, size, off, 1);
}

void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	fi->fh = 0;
	fuse_reply_open(req, fi);
}

void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	fuse_reply_err(req, 0);
}
