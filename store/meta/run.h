/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - one execution: identity, state, times, sessions, children, attached processes.  Params, metrics, tags: param.h metric.h tag.h.
 *
 * A run has a number (its key everywhere) and an id that people see: "1", "2", … equal to the number, or a chosen word, whose number
 * is RUN_CHOSEN_FIRST or above.  A run that is not `running` or `scheduled` has ended and is frozen: only name, description, experiment, status and
 * tags can be set.  Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_RUN_H
#define STORE_META_RUN_H

#include "store/meta/meta.h"

#define RUN_CHOSEN_FIRST (1u << 25) /* numbers are below 2^26: they fit an inode number */

enum run_status {
	RUN_RUNNING = 1,
	RUN_SCHEDULED = 2,
	RUN_FINISHED = 3,
	RUN_FAILED = 4,
	RUN_KILLED = 5
}; /* MLflow's numbers */

struct run {
	uint32_t number;
	struct slice id; /* as people see it */
	uint8_t uuid[16];
	uint32_t experiment;
	struct slice name, user, description;
	uint32_t parent; /* number, 0 none */
	enum run_status status;
	int64_t start_ms, end_ms; /* end_ms 0: none yet */
	int64_t duration_ms;      /* sum of the ended sessions */
	int64_t session_start_ms; /* of the newest session */
	int64_t changed_ms, deleted_ms;
	uint32_t sessions;
	uint32_t uid, gid;
	uint32_t tree;                  /* its artifacts */
	uint32_t params, metrics, tags; /* how many it has */
	bool frozen;                    /* has ended */
	bool trashed;                   /* itself, or with its experiment */
};

const char *run_status_name(enum run_status status);
MUST_CHECK int run_status_parse(struct slice text,
				enum run_status *ret); /* any case; -EINVAL names the five words */
MUST_CHECK int run_id_check(
	struct
	slice id); /* a chosen id: not all digits, not 32 hex, no leading dot, no '@', none of the tree's words. -EINVAL */

MUST_CHECK int run_make(struct meta *m, uint32_t experiment, const struct meta_actor *who,
			uint32_t *ret_number);
MUST_CHECK int run_make_chosen(
	struct meta *m, uint32_t experiment, struct slice id, const struct meta_actor *who,
	uint32_t *ret_number); /* -EEXIST, also when one of that id lies in the trash */
MUST_CHECK int run_find(struct kv_view *view, struct slice id_or_uuid,
			uint32_t *ret_number);                         /* living only; -ENOENT */
MUST_CHECK int run_latest(struct kv_view *view, uint32_t *ret_number); /* the newest living one */
MUST_CHECK int run_get(struct kv_view *view, uint32_t number,
		       struct run *ret); /* trashed ones too */
/* Living runs by number after AFTER (0: from the start), until EMIT answers non-zero. Borrowed for the call. */
MUST_CHECK int run_each(struct kv_view *view, uint32_t after,
			int (*emit)(void *arg, const struct run *run), void *arg);
MUST_CHECK int run_each_in(struct kv_view *view, uint32_t experiment, uint32_t after,
			   int (*emit)(void *arg, const struct run *run), void *arg);
/* (of a trashed experiment: those that went with it) */
MUST_CHECK int run_each_child(struct kv_view *view, uint32_t parent, uint32_t after,
			      int (*emit)(void *arg, const struct run *run), void *arg);

MUST_CHECK int run_set_name(struct meta *m, uint32_t number,
			    struct slice text); /* mirrors tag mlflow.runName */
MUST_CHECK int run_set_description(struct meta *m, uint32_t number,
				   struct slice text); /* mirrors mlflow.note.content */
MUST_CHECK int run_set_user(struct meta *m, uint32_t number, struct slice text);
MUST_CHECK int run_set_parent(
	struct meta *m, uint32_t number,
	uint32_t parent); /* 0 none; cycles -EINVAL; mirrors mlflow.parentRunId */
MUST_CHECK int run_set_experiment(struct meta *m, uint32_t number, uint32_t experiment);
MUST_CHECK int run_set_start(
	struct meta *m, uint32_t number,
	int64_t at_ms); /* of the first session: imports and APIs that say when it began */
/* Ending freezes (params, metrics, artifacts); RUN_RUNNING on an ended run opens a new session.  AT_MS 0: now.  Trees changed by the run are cut (entry.h). */
MUST_CHECK int run_set_status(struct meta *m, uint32_t number, enum run_status status,
			      int64_t at_ms);
/* When it was last changed, its artifacts included: its directory's mtime. */
int64_t run_last_change_ms(struct kv_view *view, const struct run *run);
MUST_CHECK int run_check_writable(
	struct kv_view *view,
	uint32_t number); /* -EPERM with a reason when frozen or trashed, -ENOENT */

MUST_CHECK int run_trash(struct meta *m, uint32_t number);
MUST_CHECK int run_restore(
	struct meta *m,
	uint32_t number); /* to its experiment; to Default when that is gone. -EEXIST */
MUST_CHECK int run_destroy(
	struct meta *m,
	uint32_t number); /* from the trash, for ever; in background steps where large */

struct run_session {
	uint32_t n;
	int64_t start_ms, end_ms;
	enum run_status status;
};
MUST_CHECK int run_each_session(struct kv_view *view, uint32_t number,
				int (*emit)(void *arg, const struct run_session *s), void *arg);

/* Processes that were attached (procs): kept so that a run whose processes vanished, also by a reboot, can be told. START is /proc's start time; BOOT a digest of the boot id. */
struct run_proc {
	uint32_t pid;
	uint64_t start;
	uint64_t boot;
};
MUST_CHECK int run_proc_add(struct meta *m, uint32_t number,
			    const struct run_proc *p); /* a process belongs to one run: the last */
MUST_CHECK int run_proc_remove(struct meta *m, uint32_t number, uint32_t pid);
MUST_CHECK int run_each_proc(struct kv_view *view, uint32_t number,
			     int (*emit)(void *arg, uint32_t run, const struct run_proc *p),
			     void *arg); /* NUMBER 0: of all runs */

#endif
