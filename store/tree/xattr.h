/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattr - rows of TABLE_XATTR: all extended attributes of an inode in one value.
 */
#ifndef STORE_TREE_XATTR_H
#define STORE_TREE_XATTR_H

#include "store/tree/inode.h"

/* The whole row as its bytes; empty when there are none.  For copies. */
MUST_CHECK int xattr_load(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out);
MUST_CHECK int xattr_store(struct trees *t, const struct tree_row *row, uint32_t ino, struct slice value);
MUST_CHECK int xattr_check(struct slice value);

#endif
