/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - all names of a directory at a place, in byte order, copied: for whoever walks trees and may write meanwhile.
 */
#ifndef STORE_TREE_LISTING_H
#define STORE_TREE_LISTING_H

#include "store/tree/dirent.h"

struct listing {
	struct buf bytes;
	size_t at;			/* of the next entry */
};

#define LISTING_INIT { BUF_INIT, 0 }

struct listing_entry {
	uint32_t ino, type;
	struct slice name;		/* borrowed from the listing */
};

MUST_CHECK int listing_load(struct listing *l, struct kv_view *view, struct tree_place at, uint32_t dir);
void listing_release(struct listing *l);
/* The entry at l->at without moving on; false at the end. */
bool listing_peek(const struct listing *l, struct listing_entry *ret);
bool listing_next(struct listing *l, struct listing_entry *ret);

#endif
