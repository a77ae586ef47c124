/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoch - versions of a tree: cutting, dropping, trimming of rows that no place sees any more.
 *
 * Rows of inodes, dirents and xattrs end in the complement of the epoch in which they were written.  A row written in
 * epoch e whose next newer sibling was written in epoch n is seen by versions e .. n-1, the newest also by the head.
 */
#ifndef STORE_TREE_EPOCH_H
#define STORE_TREE_EPOCH_H

#include "store/tree/tree_internal.h"

/* Is there a version from FROM to TO (both included)? */
MUST_CHECK int epoch_seen(struct kv_view *view, uint32_t tree, uint32_t from, uint32_t to, bool *ret);

/* Does version EPOCH exist? */
MUST_CHECK int epoch_check(struct kv_view *view, uint32_t tree, uint32_t epoch);

/* One bounded step of trimming; AT is where it stands, DONE that all was seen.  Core, in a batch. */
MUST_CHECK int epoch_trim_step(struct trees *t, uint32_t tree, struct buf *at, unsigned budget, bool *ret_done);

/* How many rows of TREE nobody sees: none, unless trimming is pending. */
MUST_CHECK int epoch_garbage(struct kv_view *view, uint32_t tree, uint64_t *ret);

/* Position CUR on the row of PREFIX that a place of epoch EPOCH sees.  -ENOENT.  *RET_EPOCH is the row's own. */
MUST_CHECK int epoch_seek(struct kv_cursor *cur, const struct tkey *prefix, uint32_t epoch, uint32_t *ret_epoch);

/* The same with a cursor of its own; the value is borrowed from the view. */
MUST_CHECK int epoch_get(struct kv_view *view, uint8_t table, const struct tkey *prefix, uint32_t epoch,
			 uint32_t *ret_epoch, struct slice *ret);

/* The key of the row of PREFIX written in EPOCH. */
static inline struct tkey epoch_key(const struct tkey *prefix, uint32_t epoch)
{
	struct tkey k = *prefix;

	tkey_u32(&k, ~epoch);
	return k;
}

#endif
