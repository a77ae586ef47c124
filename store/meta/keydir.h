/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keydir - the keys that a run (or a tag owner) has: as lists and as directories of paths.
 * Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_KEYDIR_H
#define STORE_META_KEYDIR_H

#include "store/meta/meta.h"

#include "store/meta/tag.h"

enum key_space { KEYS_PARAM = 1, KEYS_METRIC, KEYS_TAG }; /* KEYS_TAG: runs' tags; others below */
/* Key ids with their texts in the order of key ids; SORTED forms are the views' business. */
MUST_CHECK int keys_each(struct kv_view *view, enum key_space space, uint32_t run,
			 uint32_t after_key,
			 int (*emit)(void *arg, uint32_t key, struct slice text), void *arg);

/* Keys as paths (CONTRACT "Names"): what lies directly below the directory PREFIX ("" or "loss/…" without the last slash) of a run's params, metrics (histories too) or tags.
 * The visible name of a key whose plain path collides (loss and loss/train) is decided here.  COMPONENT is percent-encoded. DIR entries carry the prefix's key id.
 * mkdir'ed prefixes without keys count too (key_dir_make). */
struct key_entry {
	struct slice component;
	bool is_dir;
	uint32_t key;
};
MUST_CHECK int key_dir_each(struct kv_view *view, enum tag_owner tag_kind, enum key_space space,
			    uint32_t owner, uint32_t prefix_key, uint64_t after,
			    int (*emit)(void *arg, const struct key_entry *e, uint64_t cookie),
			    void *arg);
MUST_CHECK int key_dir_lookup(struct kv_view *view, enum tag_owner tag_kind, enum key_space space,
			      uint32_t owner, uint32_t prefix_key, struct slice component,
			      struct key_entry *ret); /* both spellings open; -ENOENT */
MUST_CHECK int key_dir_make(struct meta *m, enum tag_owner tag_kind, enum key_space space,
			    uint32_t owner, uint32_t prefix_key, struct slice component,
			    uint32_t *ret_key);
MUST_CHECK int key_dir_remove(struct meta *m, enum tag_owner tag_kind, enum key_space space,
			      uint32_t owner, uint32_t dir_key); /* -ENOTEMPTY */
/* The key that CREATE of COMPONENT below PREFIX_KEY means (decoded, checked): for a value not there yet. */
MUST_CHECK int key_dir_new_key(struct meta *m, uint32_t prefix_key, struct slice component,
			       uint32_t *ret_key);

#endif
