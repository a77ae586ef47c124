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

#endif
