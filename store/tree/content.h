/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content - rows of TABLE_CONTENT: the bytes of a file as one state of them, shared by reference.
 *
 * References are counted: from inode rows, from contents that use it as base, from COPY extents.  A content is
 *	INLINE	its bytes are in the row, or
 *	layered	own extents (extent.h), else its base up to base_len, else zeros, or
 *	SEALED	a blob of the content store.
 * It may be written iff it is OPEN, has one reference and that is from an inode row of the head's epoch (write.h), and no worker is
 * just sealing it.
 * References only ever point to contents that nobody can write any more, so there are no cycles.
 */
#ifndef STORE_TREE_CONTENT_H
#define STORE_TREE_CONTENT_H

#include "store/tree/tree_internal.h"

#define CONTENT_DEPTH_SOFT 16u		/* bases below a content, beyond which it is flattened */
#define CONTENT_DEPTH_MAX 80u		/* steps of a reader, beyond which the store is damaged */

enum content_state { CONTENT_OPEN = 1, CONTENT_SEALED = 2 };
enum content_flag { CONTENT_INLINE = 1, CONTENT_MIXED = 2 /* has had ZERO or COPY extents */ };

struct content {
	uint64_t id;
	enum content_state state;
	uint8_t flags;
	uint8_t depth;			/* bases and copies to go through at most, when not sealed */
	uint32_t refs;
	uint64_t size;
	uint64_t data;			/* bytes that are not holes, as far as known: st_blocks */
	int64_t stamp_ms;		/* of the last write, give or take a second */
	uint64_t base, base_len;
	uint32_t layer;
	struct slice bytes;		/* INLINE: borrowed from the view */
	struct blob_ref blob;
	struct blob_sums sums;
};

MUST_CHECK int content_get(struct kv_view *view, uint64_t id, struct content *ret);
MUST_CHECK int content_parse(uint64_t id, struct slice value, struct content *ret);
MUST_CHECK int content_put(struct trees *t, const struct content *c);
/* Give *C a number and store it; the caller has filled the rest, with its first reference. */
MUST_CHECK int content_new(struct trees *t, struct content *c);
MUST_CHECK int content_ref(struct trees *t, uint64_t id);
/* At zero it goes: at once, or in the background when it has extents. */
MUST_CHECK int content_unref(struct trees *t, uint64_t id);
/* One bounded step for TREE_WORK_DROP. */
MUST_CHECK int content_drop_step(struct trees *t, uint64_t id, unsigned budget, bool *ret_done);

static inline unsigned content_depth(const struct content *c)
{
	return c->state == CONTENT_SEALED || (c->flags & CONTENT_INLINE) ? 0 : c->depth;
}

enum piece_kind { PIECE_ZERO, PIECE_INLINE, PIECE_LAYER, PIECE_BLOB };

struct piece {
	enum piece_kind kind;
	uint64_t len;
	uint64_t leaf, off;		/* the content that holds the bytes, and where in it; ZERO: 0 */
	uint32_t layer;
	bool dense;			/* BLOB: has no holes */
	struct slice bytes;		/* INLINE: these LEN bytes, borrowed */
	struct blob_ref blob;
};

/* What lies at OFF, up to LEN bytes of it (LEN > 0).  Past the end: ZERO.  -EBADMSG for chains that do not end. */
MUST_CHECK int content_map(struct kv_view *view, uint64_t id, uint64_t off, uint64_t len, struct piece *ret);
/* Read exactly LEN bytes (zeros past the end). */
MUST_CHECK int content_read(struct trees *t, struct kv_view *view, uint64_t id, uint64_t off, void *out, size_t len);
/* About how many bytes of a range are data. */
MUST_CHECK int content_data(struct kv_view *view, uint64_t id, uint64_t off, uint64_t len, uint64_t *ret);
MUST_CHECK int64_t content_seek(struct trees *t, struct kv_view *view, const struct content *c, uint64_t off, bool hole);

#endif
