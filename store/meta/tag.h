/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tag - changeable texts of runs, experiments, entries, versions and logged models, typed access beneath value.h.
 * Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_TAG_H
#define STORE_META_TAG_H

#include "store/meta/meta.h"

enum tag_owner {
	TAG_RUN = 1,
	TAG_EXPERIMENT,
	TAG_ENTRY,
	TAG_VERSION,
	TAG_LOGGED_MODEL
}; /* ids: number, id, id, version serial, id */
MUST_CHECK int tag_set(struct meta *m, enum tag_owner kind, uint32_t owner, struct slice key,
		       struct slice value);
MUST_CHECK int tag_get(struct kv_view *view, enum tag_owner kind, uint32_t owner, uint32_t key,
		       struct slice *ret, int64_t *ret_ms);
MUST_CHECK int tag_remove(struct meta *m, enum tag_owner kind, uint32_t owner,
			  uint32_t key); /* also of an ended run: the door for set-tag --delete */

/* With their key ids, in the order of key ids. */
MUST_CHECK int tags_each(
	struct kv_view *view, enum tag_owner kind, uint32_t owner, uint32_t after_key,
	int (*emit)(void *arg, uint32_t key, struct slice text, struct slice value), void *arg);

#endif
