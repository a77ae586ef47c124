/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back a provisional point (metric.h).
 */
#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric_internal.h"
#include "store/meta/point.h"

int metric_undo_before(struct metric_appender *a, struct metric_undo *undo)
{
	undo->had_before = a->r.m.points > 0;
	buf_reset(&undo->before);
	/* A full tail: the provisional point will flush it, and then putting this record back would undo too little. */
	if (undo->had_before && a->r.tail_count < METRIC_TAIL_MAX) {
		a->r.m.logged_ms = clock_now_ms();
		metric_record_pack(&undo->before, &a->r, buf_slice(&a->tail));
	}
	return buf_err(&undo->before);
}

int metric_append_close_undo(struct metric_appender *a, const struct metric_point *p,
			     struct metric_undo *undo)
{
	bool in_tail_only = p->step >= a->r.tail_first;
	int rc;

	buf_reset(&undo->after);
	rc = metric_put_record(a, &undo->after);
	undo->point = *p;
	if (!in_tail_only)
		buf_reset(&undo->before);
	metric_append_drop(a);
	return rc;
}

void metric_undo_release(struct metric_undo *undo)
{
	buf_release(&undo->before);
	buf_release(&undo->after);
}

/* The last of the points equal to P is cut out of WORK. */
static bool points_cut(struct metric_points *w, const struct metric_point *p)
{
	for (uint32_t i = w->count; i-- > 0;) {
		if (!point_eq(&w->at[i], p))
			continue;
		memmove(&w->at[i], &w->at[i + 1], (w->count - i - 1) * sizeof(w->at[0]));
		w->count--;
		return true;
	}
	return false;
}

/* Take P out of the blocks, newest first. */
static int cut_from_blocks(struct metric_appender *a, const struct metric_point *p)
{
	struct metric_block_key limit = metric_block_key(a->run, a->key, p->step, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, metric_block_key_slice(&limit));
	while (rc == 0 && metric_block_at(cur, a->run, a->key, &first, &n)) {
		struct metric_block_key k = metric_block_key(a->run, a->key, first, n);

		rc = metric_block_unpack(kv_cursor_value(cur), &a->work);
		if (rc < 0)
			return rc;
		if (a->work.at[a->work.count - 1].step < p->step)
			break;
		if (points_cut(&a->work, p))
			return a->work.count
				       ? metric_rewrite_block(a, cur, first, n)
				       : kv_del(a->m->kv, TABLE_POINT, metric_block_key_slice(&k));
		rc = kv_cursor_prev(cur);
	}
	return rc < 0 && rc != -ENOENT ? rc : -ENOENT;
}

/* An empty tail takes the last block's points. */
static int tail_from_block(struct metric_appender *a)
{
	struct metric_block_key limit = metric_block_key(a->run, a->key, INT64_MAX, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct metric_block_key k;
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, metric_block_key_slice(&limit));
	if (rc == 0 && !metric_block_at(cur, a->run, a->key, &first, &n))
		rc = err_set(-EBADMSG, "a metric has lost its points");
	if (rc == 0)
		rc = metric_block_unpack(kv_cursor_value(cur), &a->work);
	if (rc < 0)
		return rc;
	k = metric_block_key(a->run, a->key, first, n);
	/* A block may hold more than a tail: the rest stays. */
	if (a->work.count > METRIC_TAIL_MAX) {
		struct metric_points rest = a->work;
		uint32_t half = rest.count / 2;

		rc = metric_set_tail(a, rest.at + half, rest.count - half);
		a->work.count = half;
		return rc < 0 ? rc : metric_rewrite_block(a, cur, first, n);
	}
	rc = metric_set_tail(a, a->work.at, a->work.count);
	return rc < 0 ? rc : kv_del(a->m->kv, TABLE_POINT, metric_block_key_slice(&k));
}

static int cut_point(struct metric_appender *a, const struct metric_point *p)
{
	int rc = metric_points_unpack(buf_slice(&a->tail), a->r.tail_count, &a->work);

	if (rc < 0)
		return rc;
	if (!points_cut(&a->work, p))
		return cut_from_blocks(a, p);
	return a->work.count ? metric_set_tail(a, a->work.at, a->work.count) : tail_from_block(a);
}

/* Somebody logged since: find the point, take it out, count anew. */
static int take_back_slowly(struct meta *m, uint32_t run, uint32_t key,
			    const struct metric_point *p)
{
	struct metric fresh = { 0 };
	struct metric_appender *a;
	SCOPED_BUF struct buf record = BUF_INIT;
	int rc = metric_append_open(m, run, key, &a);

	if (rc < 0)
		return rc;
	if (a->r.m.points <= 1) {
		rc = a->r.m.points ? metric_delete(m, run, key) : 0;
		metric_append_drop(a);
		return rc;
	}
	rc = cut_point(a, p);
	if (rc == 0)
		a->r.m.points--; /* for record_unpack's checks below */
	if (rc == 0)
		rc = metric_put_record(a, &record);
	if (rc == 0)
		rc = metric_each_point(kv_live(m->kv), run, key, INT64_MIN, metric_recount, &fresh);
	if (rc == 0) {
		a->r.m = fresh;
		rc = metric_own_strings(a);
		buf_reset(&record);
	}
	if (rc == 0)
		rc = metric_put_record(a, &record);
	metric_append_drop(a);
	return rc == -ENOENT ? 0 : rc; /* already taken back with its metric */
}

int metric_take_back(struct meta *m, uint32_t run, uint32_t key, struct metric_undo *undo)
{
	struct meta_key k = meta_key_2(run, key);
	struct slice now;
	int rc = kv_get(kv_live(m->kv), TABLE_METRIC, meta_key_slice(&k), &now);

	if (rc == -ENOENT)
		return 0; /* removed since */
	if (rc < 0)
		return rc;
	if (!slice_eq(now, buf_slice(&undo->after)))
		return take_back_slowly(m, run, key, &undo->point);
	if (!undo->had_before)
		return metric_delete(m, run, key);
	if (undo->before.len == 0)
		return take_back_slowly(m, run, key, &undo->point);
	return kv_put(m->kv, TABLE_METRIC, meta_key_slice(&k), buf_slice(&undo->before));
}
