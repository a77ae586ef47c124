/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging and removing metrics (metric.h; how they are kept: metric_internal.h).
 */
#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric_internal.h"
#include "store/meta/point.h"

/* Keep what the latest point's strings say: they may be borrowed from a record that goes away. */
int metric_own_strings(struct metric_appender *a)
{
	struct metric_point *p = &a->r.m.latest;
	struct slice *const all[] = { &p->model_id, &p->dataset_name, &p->dataset_digest };
	SCOPED_BUF struct buf fresh = BUF_INIT;
	size_t off = 0;

	if (p->model_id.len + p->dataset_name.len + p->dataset_digest.len == 0)
		return 0;
	for (size_t i = 0; i < 3; i++)
		buf_add_slice(&fresh, *all[i]);
	if (buf_err(&fresh) < 0)
		return -ENOMEM;
	buf_release(&a->strings);
	a->strings = fresh;
	fresh = (struct buf)BUF_INIT;
	for (size_t i = 0; i < 3; i++) {
		all[i]->data = a->strings.data + off;
		off += all[i]->len;
	}
	return 0;
}

int metric_append_open(struct meta *m, uint32_t run, uint32_t key, struct metric_appender **ret)
{
	struct metric_appender *a = malloc(sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	a->m = m;
	a->run = run;
	a->key = key;
	a->tail = (struct buf)BUF_INIT;
	a->strings = (struct buf)BUF_INIT;
	rc = metric_record_get(kv_live(m->kv), run, key, &a->r);
	a->is_new = rc == -ENOENT;
	if (a->is_new) {
		a->r = (struct metric_record){ 0 };
		rc = 0;
	} else if (rc == 0) {
		buf_add_slice(&a->tail, a->r.tail);
		rc = buf_err(&a->tail);
		if (rc == 0)
			rc = metric_own_strings(a);
	}
	if (rc < 0)
		metric_append_drop(a);
	else
		*ret = a;
	return rc;
}

void metric_append_drop(struct metric_appender *a)
{
	if (!a)
		return;
	buf_release(&a->tail);
	buf_release(&a->strings);
	free(a);
}

int metric_step_after(const struct metric *m, int64_t *ret)
{
	if (m->points && m->max_step == INT64_MAX)
		return err_set(-EINVAL, "there is no step after %lld: give the step",
			       (long long)INT64_MAX);
	*ret = m->points && m->max_step >= 0 ? m->max_step + 1 : 0;
	return 0;
}

int metric_append_next_step(const struct metric_appender *a, int64_t *ret)
{
	return metric_step_after(&a->r.m, ret);
}

/* Write VALUE, which starts at step FIRST, as the last block. */
static int put_last_block(struct metric_appender *a, int64_t first, const struct buf *value)
{
	struct metric_block_key limit = metric_block_key(a->run, a->key, first, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint32_t n = METRIC_N_FIRST, pred_n;
	int64_t pred_first;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, metric_block_key_slice(&limit));
	if (rc == 0 && metric_block_at(cur, a->run, a->key, &pred_first, &pred_n) &&
	    pred_first == first)
		n = pred_n + 1;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return metric_block_put(a->m, a->run, a->key, first, n, value);
}

static int flush_tail(struct metric_appender *a)
{
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_varint(&value, a->r.tail_count);
	pack_varint(&value, a->r.tail_text);
	buf_add_slice(&value, buf_slice(&a->tail));
	rc = put_last_block(a, a->r.tail_first, &value);
	buf_reset(&a->tail);
	a->r.tail_count = 0;
	a->r.tail_text = 0;
	a->r.tail_last = a->r.tail_last_ms = 0;
	return rc;
}

static int append_in_order(struct metric_appender *a, const struct metric_point *p, size_t text_len)
{
	struct point_delta prev;
	int rc = a->r.tail_count >= METRIC_TAIL_MAX ? flush_tail(a) : 0;

	if (rc < 0)
		return rc;
	prev = (struct point_delta){ a->r.tail_last, a->r.tail_last_ms };
	if (a->r.tail_count == 0)
		a->r.tail_first = p->step;
	point_pack(&a->tail, &prev, p);
	a->r.tail_count++;
	a->r.tail_text += text_len;
	a->r.tail_last = p->step;
	a->r.tail_last_ms = p->time_ms;
	return buf_err(&a->tail);
}

/* The tail becomes COUNT points from AT (whose strings may be borrowed from the old tail). */
int metric_set_tail(struct metric_appender *a, const struct metric_point *at, uint32_t count)
{
	SCOPED_BUF struct buf tail = BUF_INIT;
	struct buf old = a->tail;

	a->r.tail_text = metric_points_pack(&tail, at, count);
	if (buf_err(&tail) < 0)
		return -ENOMEM;
	a->r.tail_count = count;
	a->r.tail_first = at[0].step;
	a->r.tail_last = at[count - 1].step;
	a->r.tail_last_ms = at[count - 1].time_ms;
	a->tail = tail;
	tail = old;
	return 0;
}

static int insert_in_tail(struct metric_appender *a, const struct metric_point *p)
{
	SCOPED_BUF struct buf block = BUF_INIT;
	struct metric_points *w = &a->work;
	uint32_t half;
	int rc = metric_points_unpack(buf_slice(&a->tail), a->r.tail_count, w);

	if (rc < 0)
		return rc;
	metric_points_insert(w, p);
	if (w->count <= METRIC_TAIL_MAX)
		return metric_set_tail(a, w->at, w->count);
	half = w->count / 2;
	metric_block_pack(&block, w->at, half);
	rc = put_last_block(a, w->at[0].step, &block);
	return rc < 0 ? rc : metric_set_tail(a, w->at + half, w->count - half);
}

/* Nearest to the middle, a place where the step rises; else the middle. */
static uint32_t split_place(const struct metric_points *p)
{
	uint32_t middle = p->count / 2;

	for (uint32_t d = 0; d < middle; d++) {
		if (p->at[middle - d].step > p->at[middle - d - 1].step)
			return middle - d;
		if (middle + d < p->count && p->at[middle + d].step > p->at[middle + d - 1].step)
			return middle + d;
	}
	return middle;
}

/* The n of a second half that starts at STEP, behind (FIRST, N); the cursor stands on the old block.  Invariant 4. */
static int second_half_n(struct metric_appender *a, struct kv_cursor *cur, int64_t first,
			 uint32_t n, int64_t step, uint32_t *ret)
{
	int64_t succ_first;
	uint32_t succ_n;
	int rc;

	*ret = METRIC_N_FIRST;
	if (step == first) {
		*ret = n + 1;
		return 0;
	}
	rc = kv_cursor_next(cur);
	if (rc == 0 && metric_block_at(cur, a->run, a->key, &succ_first, &succ_n) &&
	    succ_first == step)
		*ret = succ_n - 1;
	return rc == -ENOENT ? 0 : rc;
}

/* The block at (OLD_FIRST, N) becomes the points of a->work, in one or two blocks.  CUR stands on it. */
int metric_rewrite_block(struct metric_appender *a, struct kv_cursor *cur, int64_t old_first,
			 uint32_t n)
{
	SCOPED_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	struct metric_points *w = &a->work;
	struct metric_block_key old = metric_block_key(a->run, a->key, old_first, n);
	uint32_t cut = w->count < METRIC_BLOCK_SPLIT ? w->count : split_place(w), second_n = 0;
	int64_t first = w->at[0].step, second = 0;
	int rc = 0;

	if (first < old_first)
		n = METRIC_N_FIRST;
	else if (first > old_first)
		rc = second_half_n(a, cur, old_first, n, first, &n);
	if (cut < w->count) {
		second = w->at[cut].step;
		if (rc == 0)
			rc = second_half_n(a, cur, first, n, second, &second_n);
		metric_block_pack(&two, w->at + cut, w->count - cut);
	}
	metric_block_pack(&one, w->at, cut); /* the last use of what WORK borrows */
	if (rc == 0 && first != old_first)
		rc = kv_del(a->m->kv, TABLE_POINT, metric_block_key_slice(&old));
	if (rc == 0)
		rc = metric_block_put(a->m, a->run, a->key, first, n, &one);
	if (rc == 0 && cut < w->count)
		rc = metric_block_put(a->m, a->run, a->key, second, second_n, &two);
	return rc;
}

static int insert_in_blocks(struct metric_appender *a, const struct metric_point *p)
{
	struct metric_block_key limit = metric_block_key(a->run, a->key, p->step, UINT32_MAX);
	struct metric_block_key lowest = metric_block_key(a->run, a->key, INT64_MIN, 0);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int64_t first = 0;
	uint32_t n = 0;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc < 0)
		return rc;
	rc = kv_cursor_seek_before(cur, metric_block_key_slice(&limit));
	if (rc == -ENOENT || (rc == 0 && !metric_block_at(cur, a->run, a->key, &first, &n))) {
		rc = kv_cursor_seek(cur, metric_block_key_slice(&lowest));
		if (rc == -ENOENT || (rc == 0 && !metric_block_at(cur, a->run, a->key, &first, &n)))
			rc = err_set(-EBADMSG, "a metric has lost its points");
	}
	if (rc == 0)
		rc = metric_block_unpack(kv_cursor_value(cur), &a->work);
	if (rc < 0)
		return rc;
	metric_points_insert(&a->work, p);
	return metric_rewrite_block(a, cur, first, n);
}

int metric_append_add(struct metric_appender *a, const struct metric_point *p)
{
	char text[POINT_TEXT_MAX];
	size_t text_len = point_text(p, text);
	int rc;

	if (a->r.tail_count == 0 || p->step >= a->r.tail_last)
		rc = append_in_order(a, p, text_len);
	else if (p->step >= a->r.tail_first || a->r.m.points == a->r.tail_count)
		rc = insert_in_tail(a, p);
	else
		rc = insert_in_blocks(a, p);
	if (rc < 0)
		return rc;
	metric_aggregate(&a->r.m, p, text_len);
	return metric_own_strings(a);
}

int metric_put_record(struct metric_appender *a, struct buf *record)
{
	struct meta_key k = meta_key_2(a->run, a->key);
	int rc = 0;

	if (a->is_new) {
		struct slice text;
		char copy[META_KEY_MAX];

		rc = key_text(kv_live(a->m->kv), a->key, &text);
		if (rc == 0 && text.len > sizeof(copy))
			rc = -EBADMSG;
		if (rc == 0) {
			memcpy(copy, text.data, text.len);
			rc = keydir_added(a->m, KEYSPACE_METRIC, a->run, slice_of(copy, text.len));
		}
	}
	a->r.m.logged_ms = clock_now_ms();
	metric_record_pack(record, &a->r, buf_slice(&a->tail));
	if (rc == 0)
		rc = buf_err(record);
	if (rc == 0)
		rc = kv_put(a->m->kv, TABLE_METRIC, meta_key_slice(&k), buf_slice(record));
	return rc < 0 ? rc : run_changed(a->m, a->run, 0, a->is_new, 0);
}

int metric_append_close(struct metric_appender *a)
{
	SCOPED_BUF struct buf record = BUF_INIT;
	int rc = a->r.m.points ? metric_put_record(a, &record) : 0;

	metric_append_drop(a);
	return rc;
}

int metric_log(struct meta *m, uint32_t run, struct slice key, const struct metric_point *points,
	       size_t count)
{
	struct metric_appender *a = NULL;
	uint32_t id;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = key_check(key);
	if (rc == 0)
		rc = key_intern(m, key, &id);
	if (rc == 0)
		rc = metric_append_open(m, run, id, &a);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = metric_append_add(a, &points[i]);
	if (rc == 0)
		return metric_append_close(a);
	metric_append_drop(a);
	return rc;
}

int metric_delete(struct meta *m, uint32_t run, uint32_t key)
{
	struct meta_key k = meta_key_2(run, key);
	char copy[META_KEY_MAX];
	unsigned budget = UINT32_MAX;
	struct slice text;
	int rc = key_text(kv_live(m->kv), key, &text);

	if (rc == 0 && text.len > sizeof(copy))
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	memcpy(copy, text.data, text.len);
	rc = kv_del(m->kv, TABLE_METRIC, meta_key_slice(&k));
	if (rc == 0)
		rc = meta_delete_prefix(m, TABLE_POINT, meta_key_slice(&k), &budget);
	if (rc == 0)
		rc = keydir_removed(m, KEYSPACE_METRIC, run, key, slice_of(copy, text.len));
	return rc < 0 ? rc : run_changed(m, run, 0, -1, 0);
}

int metric_remove(struct meta *m, uint32_t run, uint32_t key)
{
	char value[NUM_TEXT_MAX], copy[META_KEY_MAX];
	struct metric_record r;
	struct slice text;
	size_t len;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = metric_record_get(kv_live(m->kv), run, key, &r);
	if (rc == 0)
		rc = key_text(kv_live(m->kv), key, &text);
	if (rc == 0 && text.len > sizeof(copy))
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	len = num_format_double(r.m.latest.value, value);
	memcpy(copy, text.data, text.len);
	text.data = copy;
	rc = run_note_add(m, run, RUN_NOTE_METRIC_REMOVED, text, slice_of(value, len));
	return rc < 0 ? rc : metric_delete(m, run, key);
}
