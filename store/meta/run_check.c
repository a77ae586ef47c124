/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking runs: the invariants at the top of run.c.
 */
#include <errno.h>
#include <stdio.h>

#include "store/base/hash.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/rows.h"

struct check {
	struct kv_view *view;
	void (*report)(void *arg, const char *fault);
	void *arg;
	int faults;
	struct run_session last;
	uint32_t count;
};

static void fault(struct check *c, uint32_t number, const char *what)
{
	char line[160];

	snprintf(line, sizeof(line), "run number %u %s", number, what);
	c->report(c->arg, line);
	c->faults = 1;
}

static int session(void *arg, const struct run_session *s)
{
	struct check *c = arg;

	c->count++;
	c->last = *s;
	return 0;
}

static int count_key(void *arg, uint32_t key, struct slice text)
{
	struct check *c = arg;

	(void)key;
	(void)text;
	c->count++;
	return 0;
}

static bool has_pair(struct kv_view *view, uint8_t table, uint32_t a, uint32_t b)
{
	struct meta_key k = meta_key_2(a, b);
	struct slice value;

	return kv_get(view, table, meta_key_slice(&k), &value) == 0;
}

static bool work_queued(struct kv_view *view, enum meta_work what, uint32_t id)
{
	struct meta_key k = { .len = 0 };
	struct slice value;

	meta_key_u8(&k, (uint8_t)what);
	meta_key_u32(&k, id);
	return kv_get(view, TABLE_META_WORK, meta_key_slice(&k), &value) == 0;
}

static void check_sessions(struct check *c, const struct run *r)
{
	c->count = 0;
	c->last = (struct run_session){ 0 };
	if (run_each_session(c->view, r->number, session, c) < 0)
		fault(c, r->number, "has a damaged session");
	else if (c->count != r->sessions || c->last.n != r->sessions ||
		 c->last.start_ms != r->session_start_ms)
		fault(c, r->number, "has other sessions than it says");
	else if ((c->last.end_ms != 0) != r->frozen)
		fault(c, r->number, "has a last session that is open or not as its status is not");
}

static void check_counts(struct check *c, const struct run *r)
{
	const struct {
		enum key_space space;
		uint32_t said;
		const char *what;
	} all[] = {
		{ KEYS_PARAM, r->params, "has a wrong count of params" },
		{ KEYS_METRIC, r->metrics, "has a wrong count of metrics" },
		{ KEYS_TAG, r->tags, "has a wrong count of tags" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		c->count = 0;
		if (keys_each(c->view, all[i].space, r->number, 0, count_key, c) < 0 ||
		    c->count != all[i].said)
			fault(c, r->number, all[i].what);
	}
}

static void check_names(struct check *c, const struct run *r)
{
	char uuid[33];
	uint32_t number = 0;

	hash_hex(r->uuid, sizeof(r->uuid), uuid);
	if (!r->trashed) {
		if (run_find(c->view, slice_str(uuid), &number) < 0 || number != r->number)
			fault(c, r->number, "is not found by its UUID");
		if (run_find(c->view, r->id, &number) < 0 || number != r->number)
			fault(c, r->number, "is not found by its id");
	}
	if (!has_pair(c->view, TABLE_RUN_EXPERIMENT, r->experiment, r->number))
		fault(c, r->number, "is not listed in its experiment");
	if (r->parent && !has_pair(c->view, TABLE_RUN_CHILD, r->parent, r->number))
		fault(c, r->number, "is not listed under its parent");
}

static void check_tree(struct check *c, const struct run *r)
{
	struct tree_info info;

	if (tree_info(c->view, r->tree, &info) < 0)
		fault(c, r->number, "has lost its artifacts");
	else if (info.owner != TREE_OWNER_RUN || info.owner_id != r->number)
		fault(c, r->number, "has artifacts that say they are not its");
	else if (info.frozen != r->frozen)
		fault(c, r->number, "has artifacts that are frozen or not as its status is not");
}

static int check_runs(struct check *c)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(c->view, TABLE_RUN, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		uint32_t number = meta_key_read_u32(kv_cursor_key(cur), 0);
		struct run_row row;
		struct run run;

		rc = run_row_get(c->view, number, &row);
		if (rc == 0)
			rc = run_get(c->view, number, &run);
		if (rc == -ENOENT &&
		    !work_queued(c->view, META_WORK_EXPERIMENT, row.run.experiment))
			fault(c, number, "belongs to no experiment");
		else if (rc < 0 && rc != -ENOENT)
			fault(c, number, "has a damaged record");
		if (rc < 0)
			continue;
		check_names(c, &run);
		check_sessions(c, &run);
		check_counts(c, &run);
		check_tree(c, &run);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Rows of TABLE, whose run stands SKIP bytes into the key, belong to a run, or to one that is being deleted. */
static int check_rows(struct check *c, uint8_t table, size_t skip, const char *what)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint32_t last = 0;
	bool known = false;
	int rc = kv_cursor_open(c->view, table, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		uint32_t run = meta_key_read_u32(kv_cursor_key(cur), skip);
		struct run_row row;

		if (table == TABLE_TAG && *(const uint8_t *)kv_cursor_key(cur).data != TAG_RUN)
			continue;
		if (known && run == last)
			continue;
		known = true;
		last = run;
		if (run_row_get(c->view, run, &row) == -ENOENT &&
		    !work_queued(c->view, META_WORK_RUN, run))
			fault(c, run, what);
	}
	return rc == -ENOENT ? 0 : rc;
}

int run_check(struct meta *m, struct kv_view *view, void (*report)(void *arg, const char *fault),
	      void *arg)
{
	static const struct {
		uint8_t table;
		size_t skip;
		const char *what;
	} tables[] = {
		{ TABLE_PARAM, 0, "is gone, but has params" },
		{ TABLE_METRIC, 0, "is gone, but has metrics" },
		{ TABLE_POINT, 0, "is gone, but has points" },
		{ TABLE_TAG, 1, "is gone, but has tags" },
		{ TABLE_RUN_STAT, 0, "is gone, but has counts" },
		{ TABLE_RUN_SESSION, 0, "is gone, but has sessions" },
		{ TABLE_RUN_PROC, 0, "is gone, but has processes" },
		{ TABLE_RUN_NOTE, 0, "is gone, but has notes" },
		{ TABLE_RUN_EXPERIMENT, 4, "is gone, but listed in an experiment" },
		{ TABLE_RUN_CHILD, 4, "is gone, but listed as a child" },
	};
	struct check c = { .view = view, .report = report, .arg = arg };
	int rc = check_runs(&c);

	(void)m;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && rc == 0; i++)
		rc = check_rows(&c, tables[i].table, tables[i].skip, tables[i].what);
	if (rc == 0) {
		rc = metric_check(view, report, arg);
		c.faults |= rc > 0;
	}
	return rc < 0 ? rc : c.faults;
}
