/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta - what has a name: experiments, runs and their values, datasets, models, versions, aliases, lineage, trash.
 *
 * This header holds what all of store/meta shares: the handle, the dictionary of keys, who acts, the events.
 * Threads: functions that take a `struct meta *` and change something are for the core thread and, unless they say that they open a batch of
 * their own, are called within one (kv_begin .. kv_commit).  Functions that take a view read, on any thread.  Slices in records are
 * borrowed from the view as kv_get() says.
 */
#ifndef STORE_META_META_H
#define STORE_META_META_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/cas/cas.h"
#include "store/kv/kv.h"
#include "store/tree/tree.h"

#define META_KEY_MAX 250u		/* bytes of a key */
#define META_PARAM_MAX 6000u		/* bytes of a param's value */
#define META_TAG_MAX 8000u		/* bytes of a tag's value, of a description, of a message */
#define META_NAME_MAX 240u		/* bytes of a head's name */

struct meta {				/* immutable after meta_open, but for what is named */
	struct kv *kv;
	struct cas *cas;
	struct trees *trees;
	struct meta_state *state;	/* core thread: events, pending cuts; meta/ only */
};

/* Who does it: for records, for `user`, for events. */
struct meta_actor {
	uint32_t uid, gid;
	uint32_t run;			/* the run that the acting process belongs to, 0 none */
};

/* In a batch of a new store: the first experiment "Default". */
MUST_CHECK int meta_create(struct kv *kv);
MUST_CHECK int meta_open(struct kv *kv, struct cas *cas, struct trees *trees, struct meta **ret);
void meta_close(struct meta *m);	/* NULL is fine */

/* --- keys: the dictionary of metric, param and tag names --------------------------------------------- */

/* Is TEXT a key: 1-250 bytes of letters, digits, _ - . : / and space, as MLflow has it?  -EINVAL, -ENAMETOOLONG with a reason.
 * (Unicode letters and digits count, as in MLflow.) */
MUST_CHECK int key_check(struct slice text);
MUST_CHECK int key_find(struct kv_view *view, struct slice text, uint32_t *ret_id);		/* -ENOENT: nobody ever used it */
MUST_CHECK int key_intern(struct meta *m, struct slice text, uint32_t *ret_id);			/* makes it when new; checks nothing */
MUST_CHECK int key_text(struct kv_view *view, uint32_t id, struct slice *ret);

/* --- events: a ring of JSON lines, for /.labfs/events --------------------------------------------------- */

/* One event with flat string members: event_emit(m, "run.status", "run", "42", "status", "finished", NULL).  Time and number are added. */
void event_emit(struct meta *m, const char *what, ...) __attribute__((sentinel));
/* Append the lines after *CURSOR (0: only what comes from now on: sets it to the end) to OUT and move *CURSOR; 0 lines is no error.  Core. */
void event_read(struct meta *m, uint64_t *cursor, struct buf *out);
/* Called on the core after an event was emitted. */
void event_set_listener(struct meta *m, void (*listener)(void *arg), void *arg);

/* One bounded step of background work (rows of destroyed runs and experiments); core, between batches: opens its own.  *RET_MORE: there is more. */
MUST_CHECK int meta_work_step(struct meta *m, bool *ret_more);

/* Check everything of meta against itself and against the trees.  0 clean, 1 faults, -errno. */
MUST_CHECK int meta_check(struct meta *m, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg);

#endif
