/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics (metric.h).  A metric's record holds its counters, the latest point and the tail: its last points, at most TAIL_MAX.  What came
 * before lies in blocks of TABLE_POINT, keyed (run, key, first step, n).
 *
 * Invariants:
 * 1. The points of all blocks in key order, then the tail, are the history: steps never fall.
 * 2. The tail is not empty, and there are blocks only when there are more points than the tail holds.
 * 3. No block is empty or holds BLOCK_SPLIT points or more.
 * 4. n only orders blocks of equal first step: a block after one with the same first step has the next higher n, one put before such has
 *    the next lower, any other N_FIRST.  (A block is put between two of its own first step never: a new point of step s goes behind all of step s.)
 * 5. Counters are what counting would give.
 */
#include "store/meta/metric.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"
#include "store/meta/point.h"

#define RECORD_FORMAT 1
#define TAIL_MAX 100u
#define BLOCK_SPLIT 200u
#define N_FIRST (1u << 31)
#define BLOCK_KEY_LEN 20u

/* --- records ------------------------------------------------------------------------------------------- */

struct record {
	struct metric m;		/* strings of `latest` borrowed */
	uint32_t tail_count;
	uint64_t tail_text;
	int64_t tail_first, tail_last, tail_last_ms;
	struct slice tail;		/* borrowed */
};

static int record_unpack(struct slice value, struct record *ret)
{
	struct unpack u = unpack_init(value);
	struct metric *m = &ret->m;

	*ret = (struct record){ 0 };
	if (unpack_u8(&u) != RECORD_FORMAT)
		return err_set(-EBADMSG, "the record of a metric is damaged");
	m->logged_ms = unpack_i64(&u);
	m->points = unpack_varint(&u);
	m->text_bytes = unpack_varint(&u);
	m->min_step = unpack_svarint(&u);
	m->max_step = unpack_svarint(&u);
	m->min = unpack_f64(&u);
	m->max = unpack_f64(&u);
	m->latest.step = unpack_svarint(&u);
	m->latest.time_ms = unpack_svarint(&u);
	m->latest.value = unpack_f64(&u);
	m->latest.model_id = unpack_str(&u);
	m->latest.dataset_name = unpack_str(&u);
	m->latest.dataset_digest = unpack_str(&u);
	ret->tail_count = (uint32_t)unpack_varint(&u);
	ret->tail_text = unpack_varint(&u);
	ret->tail_first = unpack_svarint(&u);
	ret->tail_last = unpack_svarint(&u);
	ret->tail_last_ms = unpack_svarint(&u);
	ret->tail = unpack_rest(&u);
	if (unpack_done(&u) < 0 || ret->tail_count == 0 || ret->tail_count > m->points)
		return err_set(-EBADMSG, "the record of a metric is damaged");
	return 0;
}

static void record_pack(struct buf *out, const struct record *r, struct slice tail)
{
	const struct metric *m = &r->m;

	pack_u8(out, RECORD_FORMAT);
	pack_i64(out, m->logged_ms);
	pack_varint(out, m->points);
	pack_varint(out, m->text_bytes);
	pack_svarint(out, m->min_step);
	pack_svarint(out, m->max_step);
	pack_f64(out, m->min);
	pack_f64(out, m->max);
	pack_svarint(out, m->latest.step);
	pack_svarint(out, m->latest.time_ms);
	pack_f64(out, m->latest.value);
	pack_str(out, m->latest.model_id);
	pack_str(out, m->latest.dataset_name);
	pack_str(out, m->latest.dataset_digest);
	pack_varint(out, r->tail_count);
	pack_varint(out, r->tail_text);
	pack_svarint(out, r->tail_first);
	pack_svarint(out, r->tail_last);
	pack_svarint(out, r->tail_last_ms);
	buf_add_slice(out, tail);
}

static int record_get(struct kv_view *view, uint32_t run, uint32_t key, struct record *ret)
{
	struct meta_key k = meta_key_2(run, key);
	struct slice value;
	int rc = kv_get(view, TABLE_METRIC, meta_key_slice(&k), &value);

	return rc < 0 ? rc : record_unpack(value, ret);
}

/* The aggregates of M after one more point. */
static void aggregate(struct metric *m, const struct metric_point *p, size_t text_len)
{
	bool first = m->points == 0;

	m->points++;
	m->text_bytes += text_len;
	if (first || p->step < m->min_step)
		m->min_step = p->step;
	if (first || p->step > m->max_step)
		m->max_step = p->step;
	if (first)
		m->min = m->max = (double)NAN;
	if (!isnan(p->value)) {
		if (isnan(m->min) || p->value < m->min)
			m->min = p->value;
		if (isnan(m->max) || p->value > m->max)
			m->max = p->value;
	}
	if (first || p->step > m->latest.step || (p->step == m->latest.step && p->time_ms >= m->latest.time_ms))
		m->latest = *p;
}

/* --- blocks --------------------------------------------------------------------------------------------- */

struct block_key {
	uint8_t bytes[BLOCK_KEY_LEN];
};

static struct block_key block_key(uint32_t run, uint32_t key, int64_t first, uint32_t n)
{
	struct meta_key head = meta_key_2(run, key);
	uint64_t step = (uint64_t)first ^ UINT64_C(1) << 63;
	struct block_key k;

	memcpy(k.bytes, head.bytes, 8);
	for (unsigned i = 0; i < 8; i++)
		k.bytes[8 + i] = (uint8_t)(step >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++)
		k.bytes[16 + i] = (uint8_t)(n >> (24 - 8 * i));
	return k;
}

static struct slice block_key_slice(const struct block_key *k)
{
	return slice_of(k->bytes, sizeof(k->bytes));
}

/* Is the cursor's row a block of (RUN, KEY)?  Then its first step and n. */
static bool block_at(struct kv_cursor *cur, uint32_t run, uint32_t key, int64_t *ret_first, uint32_t *ret_n)
{
	struct unpack u = unpack_init(kv_cursor_key(cur));

	if (unkey_u32(&u) != run || unkey_u32(&u) != key)
		return false;
	*ret_first = unkey_i64(&u);
	*ret_n = unkey_u32(&u);
	return unpack_done(&u) == 0;
}

struct points {
	uint32_t count;
	struct metric_point at[BLOCK_SPLIT + 1];	/* strings borrowed from the packed form */
};

static int points_unpack(struct slice packed, uint32_t count, struct points *ret)
{
	struct unpack u = unpack_init(packed);
	struct point_delta prev = { 0 };

	if (count > BLOCK_SPLIT)
		return err_set(-EBADMSG, "a block of points is damaged");
	for (ret->count = 0; ret->count < count; ret->count++)
		point_unpack(&u, &prev, &ret->at[ret->count]);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a block of points is damaged") : 0;
}

static int block_head(struct slice value, uint32_t *ret_count, uint64_t *ret_text, struct slice *ret_packed)
{
	struct unpack u = unpack_init(value);
	uint64_t count = unpack_varint(&u);

	*ret_text = unpack_varint(&u);
	*ret_packed = unpack_rest(&u);
	if (unpack_done(&u) < 0 || count == 0 || count > BLOCK_SPLIT)
		return err_set(-EBADMSG, "a block of points is damaged");
	*ret_count = (uint32_t)count;
	return 0;
}

static int block_unpack(struct slice value, struct points *ret)
{
	struct slice packed;
	uint32_t count;
	uint64_t text;
	int rc = block_head(value, &count, &text, &packed);

	return rc < 0 ? rc : points_unpack(packed, count, ret);
}

/* Where POINT goes: behind all of its step and before. */
static uint32_t points_place(const struct points *p, int64_t step)
{
	uint32_t low = 0, high = p->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (p->at[middle].step <= step)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void points_insert(struct points *p, const struct metric_point *point)
{
	uint32_t i = points_place(p, point->step);

	memmove(&p->at[i + 1], &p->at[i], (p->count - i) * sizeof(p->at[0]));
	p->at[i] = *point;
	p->count++;
}

static uint64_t points_pack(struct buf *out, const struct metric_point *at, uint32_t count)
{
	struct point_delta prev = { 0 };
	char text[POINT_TEXT_MAX];
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		point_pack(out, &prev, &at[i]);
		bytes += point_text(&at[i], text);
	}
	return bytes;
}

static void block_pack(struct buf *out, const struct metric_point *at, uint32_t count)
{
	SCOPED_BUF struct buf packed = BUF_INIT;
	uint64_t text = points_pack(&packed, at, count);

	pack_varint(out, count);
	pack_varint(out, text);
	buf_add_slice(out, buf_slice(&packed));
	out->failed |= packed.failed;
}

static int block_put(struct meta *m, uint32_t run, uint32_t key, int64_t first, uint32_t n, const struct buf *value)
{
	struct block_key k = block_key(run, key, first, n);
	int rc = buf_err(value);

	return rc < 0 ? rc : kv_put(m->kv, TABLE_POINT, block_key_slice(&k), buf_slice(value));
}

/* --- appending ------------------------------------------------------------------------------------------ */

struct metric_appender {
	struct meta *m;
	uint32_t run, key;
	bool is_new;
	struct record r;		/* r.tail unused */
	struct buf tail;
	struct buf strings;		/* those of the latest point */
	struct points work;
};

/* Keep what the latest point's strings say: they may be borrowed from a record that goes away. */
static int own_strings(struct metric_appender *a)
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
	rc = record_get(kv_live(m->kv), run, key, &a->r);
	a->is_new = rc == -ENOENT;
	if (a->is_new) {
		a->r = (struct record){ 0 };
		rc = 0;
	} else if (rc == 0) {
		buf_add_slice(&a->tail, a->r.tail);
		rc = buf_err(&a->tail);
		if (rc == 0)
			rc = own_strings(a);
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

static int next_step(const struct metric *m, int64_t *ret)
{
	if (m->points && m->max_step == INT64_MAX)
		return err_set(-EINVAL, "there is no step after %lld: give the step", (long long)INT64_MAX);
	*ret = m->points && m->max_step >= 0 ? m->max_step + 1 : 0;
	return 0;
}

int metric_append_next_step(const struct metric_appender *a, int64_t *ret)
{
	return next_step(&a->r.m, ret);
}

/* Write VALUE, which starts at step FIRST, as the last block. */
static int put_last_block(struct metric_appender *a, int64_t first, const struct buf *value)
{
	struct block_key limit = block_key(a->run, a->key, first, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint32_t n = N_FIRST, pred_n;
	int64_t pred_first;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, block_key_slice(&limit));
	if (rc == 0 && block_at(cur, a->run, a->key, &pred_first, &pred_n) && pred_first == first)
		n = pred_n + 1;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return block_put(a->m, a->run, a->key, first, n, value);
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
	int rc = a->r.tail_count >= TAIL_MAX ? flush_tail(a) : 0;

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
static int set_tail(struct metric_appender *a, const struct metric_point *at, uint32_t count)
{
	SCOPED_BUF struct buf tail = BUF_INIT;
	struct buf old = a->tail;

	a->r.tail_text = points_pack(&tail, at, count);
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
	struct points *w = &a->work;
	uint32_t half;
	int rc = points_unpack(buf_slice(&a->tail), a->r.tail_count, w);

	if (rc < 0)
		return rc;
	points_insert(w, p);
	if (w->count <= TAIL_MAX)
		return set_tail(a, w->at, w->count);
	half = w->count / 2;
	block_pack(&block, w->at, half);
	rc = put_last_block(a, w->at[0].step, &block);
	return rc < 0 ? rc : set_tail(a, w->at + half, w->count - half);
}

/* Nearest to the middle, a place where the step rises; else the middle. */
static uint32_t split_place(const struct points *p)
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
static int second_half_n(struct metric_appender *a, struct kv_cursor *cur, int64_t first, uint32_t n, int64_t step, uint32_t *ret)
{
	int64_t succ_first;
	uint32_t succ_n;
	int rc;

	*ret = N_FIRST;
	if (step == first) {
		*ret = n + 1;
		return 0;
	}
	rc = kv_cursor_next(cur);
	if (rc == 0 && block_at(cur, a->run, a->key, &succ_first, &succ_n) && succ_first == step)
		*ret = succ_n - 1;
	return rc == -ENOENT ? 0 : rc;
}

/* The block at (OLD_FIRST, N) becomes the points of a->work, in one or two blocks.  CUR stands on it. */
static int rewrite_block(struct metric_appender *a, struct kv_cursor *cur, int64_t old_first, uint32_t n)
{
	SCOPED_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	struct points *w = &a->work;
	struct block_key old = block_key(a->run, a->key, old_first, n);
	uint32_t cut = w->count < BLOCK_SPLIT ? w->count : split_place(w), second_n = 0;
	int64_t first = w->at[0].step, second = 0;
	int rc = 0;

	if (first < old_first)
		n = N_FIRST;
	else if (first > old_first)
		rc = second_half_n(a, cur, old_first, n, first, &n);
	if (cut < w->count) {
		second = w->at[cut].step;
		if (rc == 0)
			rc = second_half_n(a, cur, first, n, second, &second_n);
		block_pack(&two, w->at + cut, w->count - cut);
	}
	block_pack(&one, w->at, cut);	/* the last use of what WORK borrows */
	if (rc == 0 && first != old_first)
		rc = kv_del(a->m->kv, TABLE_POINT, block_key_slice(&old));
	if (rc == 0)
		rc = block_put(a->m, a->run, a->key, first, n, &one);
	if (rc == 0 && cut < w->count)
		rc = block_put(a->m, a->run, a->key, second, second_n, &two);
	return rc;
}

static int insert_in_blocks(struct metric_appender *a, const struct metric_point *p)
{
	struct block_key limit = block_key(a->run, a->key, p->step, UINT32_MAX);
	struct block_key lowest = block_key(a->run, a->key, INT64_MIN, 0);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int64_t first = 0;
	uint32_t n = 0;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc < 0)
		return rc;
	rc = kv_cursor_seek_before(cur, block_key_slice(&limit));
	if (rc == -ENOENT || (rc == 0 && !block_at(cur, a->run, a->key, &first, &n))) {
		rc = kv_cursor_seek(cur, block_key_slice(&lowest));
		if (rc == -ENOENT || (rc == 0 && !block_at(cur, a->run, a->key, &first, &n)))
			rc = err_set(-EBADMSG, "a metric has lost its points");
	}
	if (rc == 0)
		rc = block_unpack(kv_cursor_value(cur), &a->work);
	if (rc < 0)
		return rc;
	points_insert(&a->work, p);
	return rewrite_block(a, cur, first, n);
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
	aggregate(&a->r.m, p, text_len);
	return own_strings(a);
}

static int put_record(struct metric_appender *a, struct buf *record)
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
	record_pack(record, &a->r, buf_slice(&a->tail));
	if (rc == 0)
		rc = buf_err(record);
	if (rc == 0)
		rc = kv_put(a->m->kv, TABLE_METRIC, meta_key_slice(&k), buf_slice(record));
	return rc < 0 ? rc : run_changed(a->m, a->run, 0, a->is_new, 0);
}

int metric_append_close(struct metric_appender *a)
{
	SCOPED_BUF struct buf record = BUF_INIT;
	int rc = a->r.m.points ? put_record(a, &record) : 0;

	metric_append_drop(a);
	return rc;
}

int metric_log(struct meta *m, uint32_t run, struct slice key, const struct metric_point *points, size_t count)
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

/* --- taking back ----------------------------------------------------------------------------------------- */

int metric_undo_before(struct metric_appender *a, struct metric_undo *undo)
{
	undo->had_before = a->r.m.points > 0;
	buf_reset(&undo->before);
	/* A full tail: the provisional point will flush it, and then putting this record back would undo too little. */
	if (undo->had_before && a->r.tail_count < TAIL_MAX) {
		a->r.m.logged_ms = clock_now_ms();
		record_pack(&undo->before, &a->r, buf_slice(&a->tail));
	}
	return buf_err(&undo->before);
}

int metric_append_close_undo(struct metric_appender *a, const struct metric_point *p, struct metric_undo *undo)
{
	bool in_tail_only = p->step >= a->r.tail_first;
	int rc;

	buf_reset(&undo->after);
	rc = put_record(a, &undo->after);
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

static int delete_metric(struct meta *m, uint32_t run, uint32_t key);

static int recount_one(void *arg, const struct metric_point *p)
{
	char text[POINT_TEXT_MAX];

	aggregate(arg, p, point_text(p, text));
	return 0;
}

/* The last of the points equal to P is cut out of WORK. */
static bool points_cut(struct points *w, const struct metric_point *p)
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
	struct block_key limit = block_key(a->run, a->key, p->step, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, block_key_slice(&limit));
	while (rc == 0 && block_at(cur, a->run, a->key, &first, &n)) {
		struct block_key k = block_key(a->run, a->key, first, n);

		rc = block_unpack(kv_cursor_value(cur), &a->work);
		if (rc < 0)
			return rc;
		if (a->work.at[a->work.count - 1].step < p->step)
			break;
		if (points_cut(&a->work, p))
			return a->work.count ? rewrite_block(a, cur, first, n)
					     : kv_del(a->m->kv, TABLE_POINT, block_key_slice(&k));
		rc = kv_cursor_prev(cur);
	}
	return rc < 0 && rc != -ENOENT ? rc : -ENOENT;
}

/* An empty tail takes the last block's points. */
static int tail_from_block(struct metric_appender *a)
{
	struct block_key limit = block_key(a->run, a->key, INT64_MAX, UINT32_MAX);
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct block_key k;
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(kv_live(a->m->kv), TABLE_POINT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek_before(cur, block_key_slice(&limit));
	if (rc == 0 && !block_at(cur, a->run, a->key, &first, &n))
		rc = err_set(-EBADMSG, "a metric has lost its points");
	if (rc == 0)
		rc = block_unpack(kv_cursor_value(cur), &a->work);
	if (rc < 0)
		return rc;
	k = block_key(a->run, a->key, first, n);
	/* A block may hold more than a tail: the rest stays. */
	if (a->work.count > TAIL_MAX) {
		struct points rest = a->work;
		uint32_t half = rest.count / 2;

		rc = set_tail(a, rest.at + half, rest.count - half);
		a->work.count = half;
		return rc < 0 ? rc : rewrite_block(a, cur, first, n);
	}
	rc = set_tail(a, a->work.at, a->work.count);
	return rc < 0 ? rc : kv_del(a->m->kv, TABLE_POINT, block_key_slice(&k));
}

static int cut_point(struct metric_appender *a, const struct metric_point *p)
{
	int rc = points_unpack(buf_slice(&a->tail), a->r.tail_count, &a->work);

	if (rc < 0)
		return rc;
	if (!points_cut(&a->work, p))
		return cut_from_blocks(a, p);
	return a->work.count ? set_tail(a, a->work.at, a->work.count) : tail_from_block(a);
}

/* Somebody logged since: find the point, take it out, count anew. */
static int take_back_slowly(struct meta *m, uint32_t run, uint32_t key, const struct metric_point *p)
{
	struct metric fresh = { 0 };
	struct metric_appender *a;
	SCOPED_BUF struct buf record = BUF_INIT;
	int rc = metric_append_open(m, run, key, &a);

	if (rc < 0)
		return rc;
	if (a->r.m.points <= 1) {
		rc = a->r.m.points ? delete_metric(m, run, key) : 0;
		metric_append_drop(a);
		return rc;
	}
	rc = cut_point(a, p);
	if (rc == 0)
		a->r.m.points--;	/* for record_unpack's checks below */
	if (rc == 0)
		rc = put_record(a, &record);
	if (rc == 0)
		rc = metric_each_point(kv_live(m->kv), run, key, INT64_MIN, recount_one, &fresh);
	if (rc == 0) {
		a->r.m = fresh;
		rc = own_strings(a);
		buf_reset(&record);
	}
	if (rc == 0)
		rc = put_record(a, &record);
	metric_append_drop(a);
	return rc == -ENOENT ? 0 : rc;	/* already taken back with its metric */
}

int metric_take_back(struct meta *m, uint32_t run, uint32_t key, struct metric_undo *undo)
{
	struct meta_key k = meta_key_2(run, key);
	struct slice now;
	int rc = kv_get(kv_live(m->kv), TABLE_METRIC, meta_key_slice(&k), &now);

	if (rc == -ENOENT)
		return 0;	/* removed since */
	if (rc < 0)
		return rc;
	if (!slice_eq(now, buf_slice(&undo->after)))
		return take_back_slowly(m, run, key, &undo->point);
	if (!undo->had_before)
		return delete_metric(m, run, key);
	if (undo->before.len == 0)
		return take_back_slowly(m, run, key, &undo->point);
	return kv_put(m->kv, TABLE_METRIC, meta_key_slice(&k), buf_slice(&undo->before));
}

/* --- reading --------------------------------------------------------------------------------------------- */

int metric_next_step(struct kv_view *view, uint32_t run, uint32_t key, int64_t *ret)
{
	struct record r;
	int rc = record_get(view, run, key, &r);

	*ret = 0;
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : next_step(&r.m, ret);
}

int metric_get(struct kv_view *view, uint32_t run, uint32_t key, struct metric *ret)
{
	struct record r;
	int rc = record_get(view, run, key, &r);

	if (rc == 0)
		*ret = r.m;
	return rc;
}

/* Call EMIT for COUNT packed points from FROM_STEP on. */
static int emit_points(struct slice packed, uint32_t count, int64_t from_step,
		       int (*emit)(void *arg, const struct metric_point *p), void *arg)
{
	struct unpack u = unpack_init(packed);
	struct point_delta prev = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++) {
		struct metric_point p;

		point_unpack(&u, &prev, &p);
		if (u.bad)
			return err_set(-EBADMSG, "a block of points is damaged");
		if (p.step >= from_step)
			rc = emit(arg, &p);
	}
	return rc;
}

/* Open *RET at the block that may hold the first point of FROM_STEP; -ENOENT: only the tail may. */
static int blocks_open(struct kv_view *view, uint32_t run, uint32_t key, int64_t from_step, struct kv_cursor **ret)
{
	struct block_key from = block_key(run, key, from_step, 0), lowest = block_key(run, key, INT64_MIN, 0);
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(view, TABLE_POINT, ret);

	if (rc < 0)
		return rc;
	rc = kv_cursor_seek_before(*ret, block_key_slice(&from));
	if (rc == 0 && block_at(*ret, run, key, &first, &n))
		return 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = kv_cursor_seek(*ret, block_key_slice(&lowest));
	if (rc == 0 && !block_at(*ret, run, key, &first, &n))
		rc = -ENOENT;
	return rc;
}

int metric_each_point(struct kv_view *view, uint32_t run, uint32_t key, int64_t from_step,
		      int (*emit)(void *arg, const struct metric_point *p), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct record r;
	int64_t first;
	uint32_t n;
	int rc = record_get(view, run, key, &r);

	if (rc < 0)
		return rc;
	if (r.m.points > r.tail_count) {
		rc = blocks_open(view, run, key, from_step, &cur);
		while (rc == 0 && block_at(cur, run, key, &first, &n)) {
			struct slice packed;
			uint32_t count;
			uint64_t text;

			rc = block_head(kv_cursor_value(cur), &count, &text, &packed);
			if (rc == 0)
				rc = emit_points(packed, count, from_step, emit, arg);
			if (rc != 0)
				return rc > 0 ? 0 : rc;
			rc = kv_cursor_next(cur);
		}
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	rc = emit_points(r.tail, r.tail_count, from_step, emit, arg);
	return rc > 0 ? 0 : rc;
}

struct find_point {
	const struct metric_point *p;
	bool found;
};

static int find_point_emit(void *arg, const struct metric_point *p)
{
	struct find_point *f = arg;

	f->found = point_eq(p, f->p);
	return f->found || p->step > f->p->step;
}

int metric_has_point(struct kv_view *view, uint32_t run, uint32_t key, const struct metric_point *p, bool *ret)
{
	struct find_point f = { .p = p };
	int rc = metric_each_point(view, run, key, p->step, find_point_emit, &f);

	*ret = rc == 0 && f.found;
	return rc == -ENOENT ? 0 : rc;
}

struct text_out {
	struct buf *out;
	uint64_t skip;		/* bytes still before the wanted range */
};

static int text_point(void *arg, const struct metric_point *p)
{
	struct text_out *t = arg;
	char text[POINT_TEXT_MAX];
	size_t len = point_text(p, text);

	if (t->skip >= len) {
		t->skip -= len;
		return 0;
	}
	buf_add(t->out, text + t->skip, len - t->skip);
	t->skip = 0;
	return 0;
}

int metric_text(struct kv_view *view, uint32_t run, uint32_t key, uint64_t off, size_t len, struct buf *out)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct text_out t = { out, off };
	size_t start = out->len;
	struct record r;
	int64_t first;
	uint32_t n;
	int rc = record_get(view, run, key, &r);

	if (rc < 0)
		return rc;
	if (off >= r.m.text_bytes)
		return 0;
	if (off >= r.m.text_bytes - r.tail_text) {
		t.skip = off - (r.m.text_bytes - r.tail_text);
	} else {
		rc = blocks_open(view, run, key, INT64_MIN, &cur);
		while (rc == 0 && block_at(cur, run, key, &first, &n) && out->len - start < len) {
			struct slice packed;
			uint32_t count;
			uint64_t text;

			rc = block_head(kv_cursor_value(cur), &count, &text, &packed);
			if (rc == 0 && t.skip >= text)
				t.skip -= text;
			else if (rc == 0)
				rc = emit_points(packed, count, INT64_MIN, text_point, &t);
			if (rc == 0)
				rc = kv_cursor_next(cur);
		}
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if (out->len - start >= len)
			return buf_err(out);
	}
	rc = emit_points(r.tail, r.tail_count, INT64_MIN, text_point, &t);
	return rc < 0 ? rc : buf_err(out);
}

/* --- removing and checking -------------------------------------------------------------------------------- */

static int delete_metric(struct meta *m, uint32_t run, uint32_t key)
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
	struct record r;
	struct slice text;
	size_t len;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = record_get(kv_live(m->kv), run, key, &r);
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
	return rc < 0 ? rc : delete_metric(m, run, key);
}

struct check {
	struct metric counted;
	int64_t last_step;
	bool disordered;
};

static int check_point(void *arg, const struct metric_point *p)
{
	struct check *c = arg;

	c->disordered |= c->counted.points && p->step < c->last_step;
	c->last_step = p->step;
	return recount_one(&c->counted, p);
}

static bool same_double(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static const char *check_metric(struct kv_view *view, uint32_t run, uint32_t key, const struct metric *m)
{
	struct check c = { .disordered = false };
	const struct metric *n = &c.counted;

	if (metric_each_point(view, run, key, INT64_MIN, check_point, &c) < 0)
		return "has damaged points";
	if (c.disordered)
		return "has points out of order";
	if (n->points != m->points || n->text_bytes != m->text_bytes)
		return "has wrong counters";
	if (n->min_step != m->min_step || n->max_step != m->max_step || !same_double(n->min, m->min) || !same_double(n->max, m->max))
		return "has wrong extremes";
	if (!point_eq(&n->latest, &m->latest) && !(isnan(n->latest.value) && isnan(m->latest.value)))
		return "has a wrong latest point";
	return NULL;
}

int metric_check(struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int faults = 0, rc = kv_cursor_open(view, TABLE_METRIC, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		uint32_t run = meta_key_read_u32(kv_cursor_key(cur), 0), key = meta_key_read_u32(kv_cursor_key(cur), 4);
		SCOPED_BUF struct buf line = BUF_INIT;
		const char *fault = "has a damaged record";
		struct record r;

		if (record_unpack(kv_cursor_value(cur), &r) == 0)
			fault = check_metric(view, run, key, &r.m);
		if (!fault)
			continue;
		faults = 1;
		buf_addf(&line, "run %u: metric of key %u %s", run, key, fault);
		report(arg, line.data ? line.data : fault);
	}
	return rc == -ENOENT ? faults : rc;
}
