/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode - rows of TABLE_INODE: attributes, and where the bytes are.
 *
 * Every row holds one reference on its content.  Change a loaded `struct inode` and inode_store() it: when the row it came
 * from is one that a version sees, a new one is written in the head's epoch and the old one stays.
 */
#ifndef STORE_TREE_INODE_H
#define STORE_TREE_INODE_H

#include "store/tree/epoch.h"

struct inode {
	uint32_t tree, ino;
	uint32_t epoch;			/* of the row it was loaded from; 0: not stored yet */
	uint32_t mode, uid, gid, nlink, rdev;
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
	uint64_t content;		/* regular files: 0 is the empty file */
	uint64_t stored;		/* the content that the stored row refers to */
	uint64_t size;			/* regular files: of the content */
	uint32_t parent;		/* directories */
	uint64_t next_cookie;		/* directories */
	uint32_t target_len;		/* symlinks */
	char target[TREE_SYMLINK_MAX + 1];
};

MUST_CHECK int inode_get(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret);
/* -ENOTDIR when it is none. */
MUST_CHECK int inode_get_dir(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret);
/* -EISDIR, -EINVAL when it is no regular file; also loads the size. */
MUST_CHECK int inode_get_file(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret);
/* Parse a row; *RET_DEAD: it says that the inode is gone. */
MUST_CHECK int inode_parse(uint32_t tree, uint32_t ino, uint32_t epoch, struct slice value, struct inode *ret, bool *ret_dead);

/* A fresh inode with the next number of ROW; counts it; not stored yet. */
MUST_CHECK int inode_new(struct tree_row *row, const struct tree_make *make, struct inode *ret);
/* Write it in the head of ROW.  A changed n->content must come with a reference, which the row takes over. */
MUST_CHECK int inode_store(struct trees *t, const struct tree_row *row, struct inode *n);
/* Take it out of the head, its content and xattrs too; counts in ROW. */
MUST_CHECK int inode_remove(struct trees *t, struct tree_row *row, struct inode *n);
/* One name fewer; without names it goes, or becomes an orphan while it is held.  Stores. */
MUST_CHECK int inode_unlink(struct trees *t, struct tree_row *row, struct inode *n);
MUST_CHECK int inode_attr(struct kv_view *view, const struct inode *n, struct tree_attr *ret);

MUST_CHECK int inode_orphan_put(struct trees *t, uint32_t tree, uint32_t ino);
MUST_CHECK int inode_orphan_del(struct trees *t, uint32_t tree, uint32_t ino);	/* -ENOENT */
/* Its row as an orphan goes, and so does the inode, unless it is gone with its tree.  -ENOENT: it was no orphan. */
MUST_CHECK int inode_orphan_remove(struct trees *t, uint32_t tree, uint32_t ino);
bool inode_is_orphan(struct kv_view *view, uint32_t tree, uint32_t ino);

static inline struct tree_place inode_head(uint32_t tree)
{
	return (struct tree_place){ tree, TREE_HEAD };
}

#endif
