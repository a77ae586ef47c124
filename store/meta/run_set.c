/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing runs: fields, those that tags mirror, and the status (run.h).
 */
#include <errno.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/meta/experiment.h"
#include "store/meta/run_internal.h"

#define PARENTS_MAX 1000 /* runs above each other */

enum mirror { MIRROR_NAME, MIRROR_DESCRIPTION, MIRROR_USER, MIRROR_PARENT, MIRROR_END };

static const struct {
	const char *tag, *what;
} mirrors[MIRROR_END] = {
	[MIRROR_NAME] = { "mlflow.runName", "the name of a run" },
	[MIRROR_DESCRIPTION] = { "mlflow.note.content", "a description" },
	[MIRROR_USER] = { "mlflow.user", "the user of a run" },
	[MIRROR_PARENT] = { "mlflow.parentRunId", "the parent of a run" },
};

static int set_text(struct meta *m, uint32_t number, enum mirror which, struct slice value,
		    bool keep_empty)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	int rc = run_load_living(m, number, &text, &row);

	if (rc == 0)
		rc = meta_text_check(value, META_TAG_MAX, mirrors[which].what);
	if (rc < 0)
		return rc;
	if (which == MIRROR_NAME)
		row.run.name = value;
	else if (which == MIRROR_USER)
		row.run.user = value;
	else
		row.run.description = value;
	rc = run_save(m, &row);
	if (rc == 0)
		rc = tag_put(m, TAG_RUN, number, slice_str(mirrors[which].tag),
			     value.len || keep_empty ? &value : NULL);
	return rc;
}

int run_set_name(struct meta *m, uint32_t number, struct slice text)
{
	return set_text(m, number, MIRROR_NAME, text, false);
}

int run_set_description(struct meta *m, uint32_t number, struct slice text)
{
	return set_text(m, number, MIRROR_DESCRIPTION, text, false);
}

int run_set_user(struct meta *m, uint32_t number, struct slice text)
{
	return set_text(m, number, MIRROR_USER, text, false);
}

/* Is ANCESTOR above NUMBER or NUMBER itself? */
static int check_cycle(struct kv_view *view, uint32_t number, uint32_t ancestor)
{
	for (int i = 0; i < PARENTS_MAX && ancestor; i++) {
		struct run_row row;
		int rc;

		if (ancestor == number)
			return err_set(-EINVAL, "a run cannot be above itself");
		rc = run_row_get(view, ancestor, &row);
		if (rc < 0)
			return rc == -ENOENT ? 0 : rc;
		ancestor = row.run.parent;
	}
	return ancestor ? err_set(-EINVAL, "there may be at most %d runs above each other",
				  PARENTS_MAX)
			: 0;
}

/* The field and the row of the child, not the tag. */
static int change_parent(struct meta *m, uint32_t number, uint32_t parent)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	int rc = run_load_living(m, number, &text, &row);

	if (rc == 0)
		rc = check_cycle(kv_live(m->kv), number, parent);
	if (rc < 0 || row.run.parent == parent)
		return rc;
	if (row.run.parent)
		rc = run_pair_del(m, TABLE_RUN_CHILD, row.run.parent, number);
	if (rc == 0 && parent)
		rc = run_pair_put(m, TABLE_RUN_CHILD, parent, number);
	row.run.parent = parent;
	return rc < 0 ? rc : run_save(m, &row);
}

int run_set_parent(struct meta *m, uint32_t number, uint32_t parent)
{
	struct run run;
	char hex[33];
	struct slice value;
	int rc = parent ? run_get(kv_live(m->kv), parent, &run) : 0;

	if (rc == 0 && parent)
		rc = run_refuse_trashed(&run);
	if (rc < 0)
		return rc == -ENOENT ? err_set(-EINVAL, "there is no such run to be the parent")
				     : rc;
	if (parent)
		hash_hex(run.uuid, sizeof(run.uuid), hex);
	rc = change_parent(m, number, parent);
	value = slice_of(hex, 32);
	return rc < 0 ? rc
		      : tag_put(m, TAG_RUN, number, slice_str(mirrors[MIRROR_PARENT].tag),
				parent ? &value : NULL);
}

int run_set_mirrored(struct meta *m, uint32_t number, struct slice key, struct slice value,
		     bool *ret_done)
{
	enum mirror which = 0;
	uint32_t parent = 0;
	int rc;

	while (which < MIRROR_END && !slice_eq(key, slice_str(mirrors[which].tag)))
		which++;
	*ret_done = which < MIRROR_END;
	if (!*ret_done)
		return 0;
	if (which != MIRROR_PARENT)
		return set_text(m, number, which, value, true);
	/* A tag may name a run that this store does not know (an import): then it is only a tag. */
	if (run_find(kv_live(m->kv), value, &parent) < 0)
		parent = 0;
	rc = change_parent(m, number, parent);
	return rc < 0 ? rc : tag_put(m, TAG_RUN, number, key, &value);
}

int run_set_experiment(struct meta *m, uint32_t number, uint32_t experiment)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	int rc = run_load_living(m, number, &text, &row);

	if (rc < 0 || row.run.experiment == experiment)
		return rc;
	if (!experiment_alive(kv_live(m->kv), experiment))
		return err_set(-EINVAL, "there is no such experiment, or it is in the trash");
	rc = run_pair_del(m, TABLE_RUN_EXPERIMENT, row.run.experiment, number);
	if (rc == 0)
		rc = run_pair_put(m, TABLE_RUN_EXPERIMENT, experiment, number);
	row.run.experiment = experiment;
	return rc < 0 ? rc : run_save(m, &row);
}

int run_set_start(struct meta *m, uint32_t number, int64_t at_ms)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_session s = { .n = 1 };
	struct run_row row;
	int rc = run_load_living(m, number, &text, &row);

	if (rc < 0)
		return rc;
	if (row.run.sessions != 1 || row.run.frozen)
		return err_set(-EPERM, "the start of a run can be set in its first session only");
	row.run.start_ms = row.run.session_start_ms = s.start_ms = at_ms;
	s.status = row.run.status;
	rc = run_session_put(m, number, &s);
	return rc < 0 ? rc : run_save(m, &row);
}

/* --- status ---------------------------------------------------------------------------------------------- */

static int end_run(struct meta *m, struct run *r, enum run_status status, int64_t at_ms)
{
	struct run_session s = { r->sessions, r->session_start_ms, at_ms, status };
	int rc;

	if (at_ms < r->session_start_ms)
		s.end_ms = at_ms = r->session_start_ms;
	rc = entries_run_ended(m, r->number);
	if (rc == 0)
		rc = run_session_put(m, r->number, &s);
	if (rc == 0)
		rc = run_procs_drop(m, r->number);
	if (rc == 0)
		rc = tree_freeze(m->trees, r->tree);
	r->end_ms = at_ms;
	r->duration_ms += at_ms - r->session_start_ms;
	return rc;
}

static int reopen_run(struct meta *m, struct run *r, enum run_status status, int64_t at_ms)
{
	struct run_session s = { r->sessions + 1, at_ms, 0, status };
	int rc = run_session_put(m, r->number, &s);

	if (rc == 0)
		rc = tree_thaw(m->trees, r->tree);
	r->sessions++;
	r->session_start_ms = at_ms;
	r->end_ms = 0;
	return rc;
}

/* Another word for the state it is in: running and scheduled, or one end and another; a time given moves the end. */
static int reword_run(struct meta *m, struct run *r, enum run_status status, int64_t at_ms)
{
	struct run_session s = { r->sessions, r->session_start_ms, r->end_ms, status };

	if (r->frozen && at_ms) {
		if (at_ms < r->session_start_ms)
			at_ms = r->session_start_ms;
		r->duration_ms += at_ms - r->end_ms;
		s.end_ms = r->end_ms = at_ms;
	}
	return run_session_put(m, r->number, &s);
}

int run_set_status(struct meta *m, uint32_t number, enum run_status status, int64_t at_ms)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	struct run *r = &row.run;
	int64_t now = at_ms ? at_ms : clock_now_ms();
	int rc = run_load_living(m, number, &text, &row);

	if (rc < 0 || (r->status == status && !(at_ms && r->frozen)))
		return rc;
	if (run_status_ended(status) == r->frozen)
		rc = reword_run(m, r, status, at_ms);
	else if (run_status_ended(status))
		rc = end_run(m, r, status, now);
	else
		rc = reopen_run(m, r, status, now);
	r->status = status;
	if (rc == 0)
		rc = run_save(m, &row);
	if (rc == 0)
		run_emit_event(m, r, "run.status", "status", run_status_name(status));
	return rc;
}
