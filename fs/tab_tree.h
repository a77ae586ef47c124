/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_tree - what the tables beside tab_tree.c need of it: entries and changes of names in a tree's directory.  Core thread.
 */
#ifndef FS_TAB_TREE_H
#define FS_TAB_TREE_H

#include "fs/fs.h"

/* The entry of inode INO at PLACE, whose node is NODE. */
MUST_CHECK int tree_entry(struct fs *fs, struct tree_place place, uint32_t ino, uint64_t node, struct node_entry *ret);
/* The place and inode of a tree node; -ESTALE when its version is gone. */
MUST_CHECK int tree_node_place(struct fs *fs, uint64_t node, struct tree_place *ret, uint32_t *ret_ino);

/* In the directory DIR (an inode) of a tree that can change; each opens its own batch. */
MUST_CHECK int tree_front_make(struct call *c, uint32_t tree, uint32_t dir, struct slice name, const struct node_make *make,
			       struct node_entry *ret);
MUST_CHECK int tree_front_create(struct call *c, uint32_t tree, uint32_t dir, struct slice name, uint32_t mode, struct handle *h,
				 struct node_entry *ret);

/* A regular file that is the root of TREE has been made and H shall write it. Within a batch. */
MUST_CHECK int tree_front_opened(struct call *c, uint32_t tree, uint32_t ino, struct handle *h);
/* Undo that, where it was done: the open failed after all, or the file is closed.  In no batch. */
void tree_front_drop(struct fs *fs, struct handle *h);

/* Members of tree_head_ops and tree_version_ops that are not in tab_tree.c. */
int tree_op_open(struct call *c, uint64_t node, struct handle *h);
int tree_op_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size, struct buf *out);
int tree_op_write(struct call *c, uint64_t node, struct handle *h, uint64_t off, struct slice bytes, size_t *ret);
void tree_op_release(struct call *c, uint64_t node, struct handle *h);
int tree_op_fsync(struct call *c, uint64_t node, struct handle *h, bool datasync);
int tree_op_fallocate(struct call *c, uint64_t node, struct handle *h, int mode, uint64_t off, uint64_t len);
int tree_op_copy_range(struct call *c, uint64_t from, struct handle *from_h, uint64_t from_off, uint64_t node, struct handle *h,
		       uint64_t off, uint64_t len, uint64_t *ret);
int tree_op_lseek(struct call *c, uint64_t node, struct handle *h, int64_t off, int whence, int64_t *ret);
int tree_op_getxattr(struct call *c, uint64_t node, struct slice name, struct buf *out);
int tree_op_listxattr(struct call *c, uint64_t node, struct buf *out);
int tree_op_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags);
int tree_op_removexattr(struct call *c, uint64_t node, struct slice name);
int tree_version_open(struct call *c, uint64_t node, struct handle *h);
int tree_version_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags);

#endif
