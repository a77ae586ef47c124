/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extent - rows of TABLE_EXTENT: which ranges of a content are its own, and where they lie.  They never overlap.
 */
#ifndef STORE_TREE_EXTENT_H
#define STORE_TREE_EXTENT_H

#include "store/tree/tree_internal.h"

enum extent_kind {
	EXTENT_LAYER = 1,		/* in the content's layer at the same offset */
	EXTENT_ZERO = 2,
	EXTENT_COPY = 3			/* in content SRC from SRC_OFF on; holds a reference on it */
};

struct extent {
	uint64_t off, len;
	enum extent_kind kind;
	uint64_t src, src_off;
};

MUST_CHECK int extent_parse(struct slice key, struct slice value, uint64_t *ret_content, struct extent *ret);
/* The extent that covers OFF, or else the first one after it.  -ENOENT: neither. */
MUST_CHECK int extent_find(struct kv_view *view, uint64_t content, uint64_t off, struct extent *ret);
/* Does any extent but LAYER ones (ALL: any at all) touch OFF .. END? */
MUST_CHECK int extent_touches(struct kv_view *view, uint64_t content, uint64_t off, uint64_t end, bool all, bool *ret);
/* OFF .. END is no longer the content's own. */
MUST_CHECK int extent_cut(struct trees *t, uint64_t content, uint64_t off, uint64_t end);
/* *E becomes the content's own, in place of whatever it covers; joins its neighbours.  Takes a reference for a COPY. */
MUST_CHECK int extent_put(struct trees *t, uint64_t content, const struct extent *e);
/* Delete up to BUDGET rows of CONTENT; *RET_DONE: there are none any more. */
MUST_CHECK int extent_drop_some(struct trees *t, uint64_t content, unsigned budget, bool *ret_done);

#endif
