/* SPDX-License-Identifier: Apache-2.0 */
/*
 * experiment - a named group of runs.  Names are unique among the living; "Default" (id 0, as MLflow has it) always exists.
 * Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_EXPERIMENT_H
#define STORE_META_EXPERIMENT_H

#include "store/meta/meta.h"

#define EXPERIMENT_DEFAULT 0u

struct experiment {
	uint32_t id;
	struct slice name; /* 1-240 bytes of UTF-8 that can be a directory's name */
	struct slice description;
	struct slice artifact_location;             /* MLflow's field; empty: ours */
	int64_t created_ms, changed_ms, deleted_ms; /* deleted_ms 0: alive */
	uint32_t uid;
	uint32_t mode; /* permission bits of its directory */
};

MUST_CHECK int experiment_make(struct meta *m, struct slice name, const struct meta_actor *who,
			       uint32_t *ret_id);
MUST_CHECK int experiment_find(struct kv_view *view, struct slice name, uint32_t *ret_id);
MUST_CHECK int experiment_get(struct kv_view *view, uint32_t id, struct experiment *ret);
/* The living, by id, after AFTER (UINT32_MAX: from the start), until EMIT answers non-zero. */
MUST_CHECK int experiment_each(struct kv_view *view, uint32_t after,
			       int (*emit)(void *arg, const struct experiment *e), void *arg);
MUST_CHECK int experiment_rename(struct meta *m, uint32_t id,
				 struct slice name); /* -EEXIST; Default: -EPERM */
MUST_CHECK int experiment_set_description(struct meta *m, uint32_t id, struct slice text);
MUST_CHECK int experiment_remove(
	struct meta *m,
	uint32_t
		id); /* rmdir: -ENOTEMPTY when it has live runs; Default -EPERM; goes to the trash */
MUST_CHECK int experiment_trash(
	struct meta *m,
	uint32_t id); /* with its runs; the runs follow by the one flag in its row */
MUST_CHECK int experiment_restore(struct meta *m, uint32_t id, struct slice name);
MUST_CHECK int experiment_destroy(
	struct meta *m, uint32_t id); /* from the trash, for ever; its runs in background steps */

#endif
