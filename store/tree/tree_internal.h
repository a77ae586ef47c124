/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_internal - what the files of store/tree share; nobody else includes it.
 *
 * Everything durable is in the tables; this struct holds only what a restart may forget (holds, writes in flight,
 * descriptors) and nothing that an aborted batch would have to undo, but for a begun write (tree_write_cancel).
 */
#ifndef STORE_TREE_TREE_INTERNAL_H
#define STORE_TREE_TREE_INTERNAL_H

#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/limits.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/tree/tkey.h"
#include "store/tree/tree.h"

#define TREE_BLOCK 4096u		/* the unit in which a layer may lose bytes to a power cut */
#define TREE_SIZE_MAX (UINT64_C(1) << 62)
#define TREE_HOLD_BUCKETS 256u

struct layers;

struct tree_hold {			/* core thread */
	struct tree_hold *next;
	uint32_t tree, ino, count;
};

/* A big write between its begin and its end: a worker may be writing these bytes of the layer. */
struct tree_flight {			/* core thread */
	struct tree_flight *next;
	uint32_t tree, ino, layer;
	uint64_t content, off, len;
};

struct trees {
	struct kv *kv;			/* immutable */
	struct cas *cas;		/* immutable */
	int dirfd;			/* immutable: `dirty/` */
	struct layers *layers;		/* has a lock of its own */
	bool read_only;			/* immutable */
	struct tree_hold *holds[TREE_HOLD_BUCKETS];	/* core thread */
	struct tree_flight *flights;	/* core thread */
	struct tree_seal *seal;		/* core thread: the one between begin and free */
	uint64_t seal_at;		/* core thread: where the next search for quiet contents begins */
	struct buf seal_bad;		/* core thread: contents (uint64_t) that cannot be read; not tried again */
	uint32_t layer_next;		/* core thread: layer numbers below were given out in this process */
};

/* The row of a tree. */
enum tree_row_flag { TREE_ROW_FROZEN = 1, TREE_ROW_DELETED = 2 };

struct tree_row {
	uint32_t tree;
	uint8_t owner, flags;
	uint32_t owner_id, epoch, changed_epoch, next_ino;
	uint64_t inodes, bytes;
	int64_t mtime_ns;
};

/* -ENOENT also for a tree that is being deleted. */
MUST_CHECK int tree_row_get(struct kv_view *view, uint32_t tree, struct tree_row *ret);
MUST_CHECK int tree_row_parse(uint32_t tree, struct slice value, struct tree_row *ret);
MUST_CHECK int tree_row_put(struct trees *t, const struct tree_row *row);
/* For a change of the head: -EROFS when frozen and not HELD. */
MUST_CHECK int tree_row_change(struct trees *t, uint32_t tree, bool held, struct tree_row *ret);
/* Note a change that a version keeps. */
void tree_row_touch(struct tree_row *row);

/* Numbers to give out and counts, in the row of tree 0. */
struct tree_totals {
	uint32_t next_tree, next_layer;
	uint64_t next_content, trees, contents, unsealed, layers;
};

MUST_CHECK int tree_totals_get(struct kv_view *view, struct tree_totals *ret);
MUST_CHECK int tree_totals_put(struct trees *t, const struct tree_totals *totals);

/* Background work: rows (kind, id) -> where it stands. */
enum tree_work {
	TREE_WORK_DELETE = 1,		/* id = tree: all its rows go */
	TREE_WORK_TRIM = 2,		/* id = tree: rows that no place sees any more go */
	TREE_WORK_DROP = 3,		/* id = content without references: its extents, then itself */
	TREE_WORK_EXTENTS = 4,		/* id = sealed content: the extents it had */
	TREE_WORK_SEAL = 16		/* id = content: not sealed yet */
};

MUST_CHECK int tree_work_put(struct trees *t, enum tree_work kind, uint64_t id, struct slice at);
MUST_CHECK int tree_work_del(struct trees *t, enum tree_work kind, uint64_t id);
MUST_CHECK int tree_work_has(struct kv_view *view, enum tree_work kind, uint64_t id, bool *ret);

/* Names, for whoever makes an entry. */
MUST_CHECK int tree_name_check(struct slice name);

static inline bool tree_is_held(const struct trees *t, uint32_t tree, uint32_t ino)
{
	for (const struct tree_hold *h = t->holds[(tree * 31 + ino) % TREE_HOLD_BUCKETS]; h; h = h->next)
		if (h->tree == tree && h->ino == ino)
			return true;
	return false;
}

#endif
