/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirent - rows of TABLE_DIRENT and TABLE_DIRENT_COOKIE: names in directories.
 *
 * A cookie belongs to one name for ever.  A name keeps it while what it names is replaced (rename over it), and gets a new
 * one when it is made again after a removal.  An entry shows at a place when the row seen there carries the cookie.
 */
#ifndef STORE_TREE_DIRENT_H
#define STORE_TREE_DIRENT_H

#include "store/tree/inode.h"

struct dirent_row {
	uint32_t epoch;			/* of the row; 0: there is none */
	bool gone;			/* a tombstone */
	uint32_t ino, type;		/* type: S_IFMT bits */
	uint64_t cookie;
};

MUST_CHECK int dirent_parse(uint32_t epoch, struct slice value, struct dirent_row *ret);
/* -ENOENT: *RET is then a tombstone, or nothing (gone, epoch 0). */
MUST_CHECK int dirent_get(struct kv_view *view, struct tree_place at, uint32_t dir, struct slice name, struct dirent_row *ret);
/* NAME in DIR (loaded, stored by the caller afterwards) names INO from now on; OLD is what dirent_get() gave, found or not. */
MUST_CHECK int dirent_set(struct trees *t, const struct tree_row *row, struct inode *dir, struct slice name,
			  const struct dirent_row *old, uint32_t ino, uint32_t type);
MUST_CHECK int dirent_clear(struct trees *t, const struct tree_row *row, uint32_t dir, struct slice name,
			    const struct dirent_row *old);
MUST_CHECK int dirent_is_empty(struct kv_view *view, struct tree_place at, uint32_t dir, bool *ret);
MUST_CHECK int dirent_cookie_del(struct trees *t, uint32_t tree, uint32_t dir, uint64_t cookie);

#endif
