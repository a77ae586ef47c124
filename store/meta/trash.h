/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash - what was deleted, under the names it shows in /trash/{experiments,runs,data,models}.  A name already there gets ".2", ".3".
 * The objects themselves carry a deleted time; this keeps only name -> object.  Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_TRASH_H
#define STORE_META_TRASH_H

#include "store/meta/entry.h"

enum trash_dir { TRASH_EXPERIMENTS = 1, TRASH_RUNS, TRASH_DATA, TRASH_MODELS };
enum trash_kind { TRASH_EXPERIMENT = 1, TRASH_RUN, TRASH_ENTRY, TRASH_VERSION };

struct trash_item {
	struct slice name;		/* in its directory of /trash */
	enum trash_kind kind;
	uint32_t id;			/* experiment, run number, entry, version serial */
	int64_t deleted_ms;
};

MUST_CHECK int trash_add(struct meta *m, enum trash_dir dir, struct slice wanted_name, enum trash_kind kind, uint32_t id);
MUST_CHECK int trash_remove(struct meta *m, enum trash_dir dir, enum trash_kind kind, uint32_t id);
/* The name under which an object lies in the trash. -ENOENT. */
MUST_CHECK int trash_name(struct kv_view *view, enum trash_kind kind, uint32_t id, struct buf *out);
MUST_CHECK int trash_find(struct kv_view *view, enum trash_dir dir, struct slice name, struct trash_item *ret);
MUST_CHECK int trash_each(struct kv_view *view, enum trash_dir dir, struct slice after, int (*emit)(void *arg, const struct trash_item *item), void *arg);
/* Destroy for ever what lies under NAME, and its row (the object's own destroy may take that away, or leave it). */
MUST_CHECK int trash_destroy(struct meta *m, enum trash_dir dir, struct slice name);

#endif
