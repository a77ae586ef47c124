/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading, sizing, removing and renaming values (value.h).  Writing: value_write.c.  Views: view_table.c, view_json.c.
 */
#include "store/meta/value.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/base/num.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/param.h"
#include "store/meta/value_internal.h"

#define PIECE (64u << 10)

enum { ENDED_TOO = 1, READ_ONLY = 2, NEEDS_FLUSH = 4, REMOVABLE = 8 };

static const struct {
	enum value_group group;
	unsigned flags;
} kinds[VALUE_KIND_END] = {
	[VALUE_RUN_NAME] = { GROUP_FIELD, ENDED_TOO },
	[VALUE_RUN_EXPERIMENT] = { GROUP_FIELD, ENDED_TOO },
	[VALUE_RUN_USER] = { GROUP_FIELD, 0 },
	[VALUE_RUN_DESCRIPTION] = { GROUP_FIELD, ENDED_TOO },
	[VALUE_RUN_PARENT] = { GROUP_FIELD, 0 },
	[VALUE_RUN_STATUS] = { GROUP_FIELD, ENDED_TOO },
	[VALUE_RUN_START] = { GROUP_FIELD, READ_ONLY },
	[VALUE_RUN_END] = { GROUP_FIELD, READ_ONLY },
	[VALUE_RUN_DURATION] = { GROUP_FIELD, READ_ONLY },
	[VALUE_RUN_PARAM] = { GROUP_KEYED, REMOVABLE | NEEDS_FLUSH },
	[VALUE_RUN_METRIC] = { GROUP_KEYED, REMOVABLE | NEEDS_FLUSH },
	[VALUE_RUN_HISTORY] = { GROUP_KEYED, REMOVABLE | NEEDS_FLUSH },
	[VALUE_RUN_TAG] = { GROUP_KEYED, REMOVABLE | ENDED_TOO },
	[VALUE_RUN_PARAMS_JSON] = { GROUP_RUN_VIEW, NEEDS_FLUSH },
	[VALUE_RUN_METRICS_JSON] = { GROUP_RUN_VIEW, NEEDS_FLUSH },
	[VALUE_RUN_TAGS_JSON] = { GROUP_RUN_VIEW, NEEDS_FLUSH | ENDED_TOO },
	[VALUE_RUN_JSON] = { GROUP_RUN_VIEW, READ_ONLY },
	[VALUE_EXPERIMENT_DESCRIPTION] = { GROUP_EXPERIMENT, ENDED_TOO },
	[VALUE_EXPERIMENT_TAG] = { GROUP_EXPERIMENT, REMOVABLE | ENDED_TOO },
	[VALUE_EXPERIMENT_RUNS_CSV] = { GROUP_TABLE, READ_ONLY },
	[VALUE_EXPERIMENT_RUNS_TSV] = { GROUP_TABLE, READ_ONLY },
	[VALUE_ALL_RUNS_CSV] = { GROUP_TABLE, READ_ONLY },
	[VALUE_ALL_RUNS_TSV] = { GROUP_TABLE, READ_ONLY },
};

enum value_group value_group(enum value_kind kind)
{
	return kinds[kind].group;
}

bool value_size_is_cheap(enum value_kind kind)
{
	return kinds[kind].group != GROUP_TABLE && kinds[kind].group != GROUP_RUN_VIEW;
}

static bool value_needs_flush(enum value_kind kind)
{
	return kinds[kind].flags & NEEDS_FLUSH;
}

bool value_open_needs_flush(struct kv_view *view, const struct value_target *target)
{
	if (target->kind == VALUE_RUN_PARAM)
		return value_exists(view, target) == 0;
	return value_needs_flush(target->kind);
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void add_time(struct buf *out, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	if (ms)
		buf_add(out, text, clock_format_ms(ms, text));
}

static void add_number(struct buf *out, double v)
{
	char text[NUM_TEXT_MAX];

	buf_add(out, text, num_format_double(v, text));
}

static int field_text(struct kv_view *view, enum value_kind kind, uint32_t number, struct buf *out)
{
	struct experiment e;
	struct run run, parent;
	int rc = run_get(view, number, &run);

	if (rc < 0)
		return rc;
	if (kind == VALUE_RUN_NAME)
		buf_add_slice(out, run.name);
	else if (kind == VALUE_RUN_USER)
		buf_add_slice(out, run.user);
	else if (kind == VALUE_RUN_DESCRIPTION)
		buf_add_slice(out, run.description);
	else if (kind == VALUE_RUN_STATUS)
		buf_add_str(out, run_status_name(run.status));
	else if (kind == VALUE_RUN_START)
		add_time(out, run.start_ms);
	else if (kind == VALUE_RUN_END)
		add_time(out, run.end_ms);
	else if (kind == VALUE_RUN_DURATION && run.end_ms)
		add_number(out, (double)run.duration_ms / 1000);
	else if (kind == VALUE_RUN_EXPERIMENT && experiment_get(view, run.experiment, &e) == 0)
		buf_add_slice(out, e.name);
	else if (kind == VALUE_RUN_PARENT && run.parent && run_get(view, run.parent, &parent) == 0)
		buf_add_slice(out, parent.id);
	return buf_err(out);
}

static int keyed_text(struct kv_view *view, const struct value_target *t, struct buf *out)
{
	struct metric metric;
	struct slice text = slice_of(NULL, 0);
	int rc;

	if (t->kind == VALUE_RUN_PARAM)
		rc = param_get(view, t->owner, t->key, &text, NULL);
	else if (t->kind == VALUE_RUN_TAG)
		rc = tag_get(view, TAG_RUN, t->owner, t->key, &text, NULL);
	else
		rc = metric_get(view, t->owner, t->key, &metric);
	if (rc < 0)
		return rc;
	buf_add_slice(out, text);
	if (t->kind == VALUE_RUN_METRIC)
		add_number(out, metric.latest.value);
	return buf_err(out);
}

int value_text(struct kv_view *view, const struct value_target *target, struct buf *out)
{
	struct experiment e;
	struct slice text;
	int rc;

	if (value_group(target->kind) == GROUP_FIELD)
		return field_text(view, target->kind, target->owner, out);
	if (value_group(target->kind) == GROUP_KEYED)
		return keyed_text(view, target, out);
	if (target->kind == VALUE_EXPERIMENT_TAG) {
		rc = tag_get(view, TAG_EXPERIMENT, target->owner, target->key, &text, NULL);
	} else {
		rc = experiment_get(view, target->owner, &e);
		text = rc < 0 ? slice_of(NULL, 0) : e.description;
	}
	if (rc < 0)
		return rc;
	buf_add_slice(out, text);
	return buf_err(out);
}

int value_exists(struct kv_view *view, const struct value_target *target)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	struct run run;

	switch (value_group(target->kind)) {
	case GROUP_FIELD:
	case GROUP_RUN_VIEW: return run_get(view, target->owner, &run);
	case GROUP_TABLE:
		if (target->kind == VALUE_ALL_RUNS_CSV || target->kind == VALUE_ALL_RUNS_TSV)
			return 0;
		return experiment_get(view, target->owner, &e);
	case GROUP_KEYED:
	case GROUP_EXPERIMENT: return value_text(view, target, &text);
	}
	return -ENOENT;
}

/* --- whole ------------------------------------------------------------------------------------------------ */

int view_flush(struct view_out *out, size_t above)
{
	int rc = buf_err(&out->buf);

	if (rc < 0 || out->buf.len <= above)
		return rc;
	rc = out->sink(out->arg, buf_slice(&out->buf));
	buf_reset(&out->buf);
	return rc;
}

static int stream_history(struct kv_view *view, const struct value_target *t, struct view_out *out)
{
	uint64_t off = 0;
	int rc;

	do {
		size_t before = out->buf.len;

		rc = metric_text(view, t->owner, t->key, off, PIECE, &out->buf);
		if (rc < 0 || out->buf.len == before)
			return rc;
		off += out->buf.len - before;
		rc = view_flush(out, 0);
	} while (rc == 0);
	return rc;
}

int value_stream(struct kv_view *view, const struct value_target *target,
		 int (*sink)(void *arg, struct slice piece), void *arg)
{
	struct view_out out = { BUF_INIT, sink, arg };
	int rc;

	if (target->kind == VALUE_RUN_HISTORY) {
		rc = stream_history(view, target, &out);
	} else if (value_group(target->kind) == GROUP_TABLE) {
		rc = view_table(view, target, &out);
	} else if (value_group(target->kind) == GROUP_RUN_VIEW) {
		rc = view_json(view, target, &out);
	} else {
		rc = value_text(view, target, &out.buf);
		buf_add_ch(&out.buf, '\n');
	}
	if (rc == 0)
		rc = view_flush(&out, 0);
	buf_release(&out.buf);
	return rc;
}

static int to_buf(void *arg, struct slice piece)
{
	buf_add_slice(arg, piece);
	return buf_err(arg);
}

int value_render(struct kv_view *view, const struct value_target *target, struct buf *out)
{
	return value_stream(view, target, to_buf, out);
}

int value_render_range(struct kv_view *view, const struct value_target *target, uint64_t off,
		       size_t len, struct buf *out)
{
	SCOPED_BUF struct buf whole = BUF_INIT;
	int rc;

	if (target->kind == VALUE_RUN_HISTORY)
		return metric_text(view, target->owner, target->key, off, len, out);
	rc = value_render(view, target, &whole);
	if (rc == 0 && off < whole.len)
		buf_add(out, whole.data + off, whole.len - off < len ? whole.len - off : len);
	return rc < 0 ? rc : buf_err(out);
}

static int count_bytes(void *arg, struct slice piece)
{
	*(uint64_t *)arg += piece.len;
	return 0;
}

int value_size(struct kv_view *view, const struct value_target *target, uint64_t *ret)
{
	struct metric metric;
	struct slice text;
	int rc;

	*ret = 0;
	switch (target->kind) {
	case VALUE_RUN_HISTORY:
		rc = metric_get(view, target->owner, target->key, &metric);
		if (rc == 0)
			*ret = metric.text_bytes;
		return rc;
	case VALUE_RUN_PARAM:
	case VALUE_RUN_TAG:
		rc = target->kind == VALUE_RUN_PARAM
			     ? param_get(view, target->owner, target->key, &text, NULL)
			     : tag_get(view, TAG_RUN, target->owner, target->key, &text, NULL);
		if (rc == 0)
			*ret = text.len + 1;
		return rc;
	case VALUE_RUN_NAME:
	case VALUE_RUN_EXPERIMENT:
	case VALUE_RUN_USER:
	case VALUE_RUN_DESCRIPTION:
	case VALUE_RUN_PARENT:
	case VALUE_RUN_STATUS:
	case VALUE_RUN_START:
	case VALUE_RUN_END:
	case VALUE_RUN_DURATION:
	case VALUE_RUN_METRIC:
	case VALUE_RUN_PARAMS_JSON:
	case VALUE_RUN_METRICS_JSON:
	case VALUE_RUN_TAGS_JSON:
	case VALUE_RUN_JSON:
	case VALUE_EXPERIMENT_DESCRIPTION:
	case VALUE_EXPERIMENT_TAG:
	case VALUE_EXPERIMENT_RUNS_CSV:
	case VALUE_EXPERIMENT_RUNS_TSV:
	case VALUE_ALL_RUNS_CSV:
	case VALUE_ALL_RUNS_TSV:
	case VALUE_KIND_END: break;
	}
	return value_stream(view, target, count_bytes, ret);
}

/* The last change of the newest run in the table, or of its experiment. */
static int table_mtime(struct kv_view *view, const struct value_target *t, int64_t *ret)
{
	struct experiment e;
	struct run run;
	uint32_t latest;
	int rc = experiment_get(view, t->owner, &e);

	*ret = rc == 0 ? e.changed_ms : 0;
	if (rc == 0 && run_latest(view, &latest) == 0 && run_get(view, latest, &run) == 0 &&
	    run.changed_ms > *ret)
		*ret = run.changed_ms;
	return rc;
}

int value_mtime_ms(struct kv_view *view, const struct value_target *target, int64_t *ret)
{
	struct metric metric;
	struct experiment e;
	struct slice text;
	struct run run;
	int rc;

	if (value_group(target->kind) == GROUP_TABLE)
		return table_mtime(view, target, ret);
	if (target->kind == VALUE_RUN_PARAM)
		return param_get(view, target->owner, target->key, &text, ret);
	if (target->kind == VALUE_RUN_TAG)
		return tag_get(view, TAG_RUN, target->owner, target->key, &text, ret);
	if (target->kind == VALUE_EXPERIMENT_TAG)
		return tag_get(view, TAG_EXPERIMENT, target->owner, target->key, &text, ret);
	if (target->kind == VALUE_EXPERIMENT_DESCRIPTION) {
		rc = experiment_get(view, target->owner, &e);
		*ret = rc < 0 ? 0 : e.changed_ms;
		return rc;
	}
	if (value_group(target->kind) == GROUP_KEYED) {
		rc = metric_get(view, target->owner, target->key, &metric);
		*ret = rc < 0 ? 0 : metric.logged_ms;
		return rc;
	}
	rc = run_get(view, target->owner, &run);
	*ret = rc < 0 ? 0 : run.changed_ms;
	return rc;
}

/* --- changing --------------------------------------------------------------------------------------------- */

int value_check_writable(struct kv_view *view, const struct value_target *target)
{
	struct experiment e;
	struct run run;
	int rc;

	if (kinds[target->kind].flags & READ_ONLY)
		return err_set(-EACCES, "this file can only be read");
	if (value_group(target->kind) == GROUP_EXPERIMENT) {
		rc = experiment_get(view, target->owner, &e);
		return rc == 0 && e.deleted_ms ? err_set(-EPERM, "the experiment is in the trash")
					       : rc;
	}
	if (!(kinds[target->kind].flags & ENDED_TOO))
		return run_check_writable(view, target->owner);
	rc = run_get(view, target->owner, &run);
	return rc < 0 ? rc : run_refuse_trashed(&run);
}

int value_remove(struct meta *m, const struct value_target *target)
{
	int rc;

	if (!(kinds[target->kind].flags & REMOVABLE))
		return err_set(-EPERM, "this file is part of its directory and cannot be removed");
	if (target->kind == VALUE_EXPERIMENT_TAG)
		return tag_remove(m, TAG_EXPERIMENT, target->owner, target->key);
	rc = run_check_writable(kv_live(m->kv), target->owner);
	if (rc == -EPERM && target->kind == VALUE_RUN_TAG)
		return err_set(
			-EPERM,
			"a tag of an ended run cannot be unlinked: use labfs set-tag --delete");
	if (rc < 0)
		return rc;
	if (target->kind == VALUE_RUN_PARAM)
		return param_remove(m, target->owner, target->key);
	if (target->kind == VALUE_RUN_TAG)
		return tag_remove(m, TAG_RUN, target->owner, target->key);
	return metric_remove(m, target->owner, target->key);
}

int value_rename(struct meta *m, const struct value_target *from, const struct value_target *to)
{
	SCOPED_BUF struct buf value = BUF_INIT, key = BUF_INIT;
	bool of_run = from->kind == VALUE_RUN_PARAM || from->kind == VALUE_RUN_TAG;
	struct slice text;
	int rc;

	if (from->kind != to->kind || from->owner != to->owner ||
	    (!of_run && from->kind != VALUE_EXPERIMENT_TAG))
		return err_set(
			-EPERM,
			"only params and tags can be renamed, and only within their directory");
	if (from->key == to->key)
		return 0;
	rc = of_run ? run_check_writable(kv_live(m->kv), from->owner)
		    : value_check_writable(kv_live(m->kv), from);
	if (rc == 0)
		rc = value_text(kv_live(m->kv), from, &value);
	if (rc == 0)
		rc = key_text(kv_live(m->kv), to->key, &text);
	if (rc < 0)
		return rc;
	buf_add_slice(&key, text);
	rc = buf_err(&key);
	if (rc == 0 && from->kind == VALUE_RUN_PARAM)
		rc = param_log(m, to->owner, buf_slice(&key), buf_slice(&value));
	else if (rc == 0)
		rc = tag_set(m, of_run ? TAG_RUN : TAG_EXPERIMENT, to->owner, buf_slice(&key),
			     buf_slice(&value));
	return rc < 0 ? rc : value_remove(m, from); /* and noted */
}
