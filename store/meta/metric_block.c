/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of a metric's record and of its blocks (FORMAT.md 4).
 */
#include <errno.h>
#include <math.h>

#include "store/meta/meta_internal.h"
#include "store/meta/metric_internal.h"
#include "store/meta/point.h"

#define RECORD_FORMAT 1

int metric_record_unpack(struct slice value, struct metric_record *ret)
{
	struct unpack u = unpack_init(value);
	struct metric *m = &ret->m;

	*ret = (struct metric_record){ 0 };
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

void metric_record_pack(struct buf *out, const struct metric_record *r, struct slice tail)
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

int metric_record_get(struct kv_view *view, uint32_t run, uint32_t key, struct metric_record *ret)
{
	struct meta_key k = meta_key_2(run, key);
	struct slice value;
	int rc = kv_get(view, TABLE_METRIC, meta_key_slice(&k), &value);

	return rc < 0 ? rc : metric_record_unpack(value, ret);
}

/* The aggregates of M after one more point. */
void metric_aggregate(struct metric *m, const struct metric_point *p, size_t text_len)
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
	if (first || p->step > m->latest.step ||
	    (p->step == m->latest.step && p->time_ms >= m->latest.time_ms))
		m->latest = *p;
}

struct metric_block_key metric_block_key(uint32_t run, uint32_t key, int64_t first, uint32_t n)
{
	struct meta_key head = meta_key_2(run, key);
	uint64_t step = (uint64_t)first ^ UINT64_C(1) << 63;
	struct metric_block_key k;

	memcpy(k.bytes, head.bytes, 8);
	for (unsigned i = 0; i < 8; i++)
		k.bytes[8 + i] = (uint8_t)(step >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++)
		k.bytes[16 + i] = (uint8_t)(n >> (24 - 8 * i));
	return k;
}

struct slice metric_block_key_slice(const struct metric_block_key *k)
{
	return slice_of(k->bytes, sizeof(k->bytes));
}

/* Is the cursor's row a block of (RUN, KEY)?  Then its first step and n. */
bool metric_block_at(struct kv_cursor *cur, uint32_t run, uint32_t key, int64_t *ret_first,
		     uint32_t *ret_n)
{
	struct unpack u = unpack_init(kv_cursor_key(cur));

	if (unkey_u32(&u) != run || unkey_u32(&u) != key)
		return false;
	*ret_first = unkey_i64(&u);
	*ret_n = unkey_u32(&u);
	return unpack_done(&u) == 0;
}

int metric_points_unpack(struct slice packed, uint32_t count, struct metric_points *ret)
{
	struct unpack u = unpack_init(packed);
	struct point_delta prev = { 0 };

	if (count > METRIC_BLOCK_SPLIT)
		return err_set(-EBADMSG, "a block of points is damaged");
	for (ret->count = 0; ret->count < count; ret->count++)
		point_unpack(&u, &prev, &ret->at[ret->count]);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a block of points is damaged") : 0;
}

int metric_block_head(struct slice value, uint32_t *ret_count, uint64_t *ret_text,
		      struct slice *ret_packed)
{
	struct unpack u = unpack_init(value);
	uint64_t count = unpack_varint(&u);

	*ret_text = unpack_varint(&u);
	*ret_packed = unpack_rest(&u);
	if (unpack_done(&u) < 0 || count == 0 || count > METRIC_BLOCK_SPLIT)
		return err_set(-EBADMSG, "a block of points is damaged");
	*ret_count = (uint32_t)count;
	return 0;
}

int metric_block_unpack(struct slice value, struct metric_points *ret)
{
	struct slice packed;
	uint32_t count;
	uint64_t text;
	int rc = metric_block_head(value, &count, &text, &packed);

	return rc < 0 ? rc : metric_points_unpack(packed, count, ret);
}

/* Where POINT goes: behind all of its step and before. */
static uint32_t points_place(const struct metric_points *p, int64_t step)
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

void metric_points_insert(struct metric_points *p, const struct metric_point *point)
{
	uint32_t i = points_place(p, point->step);

	memmove(&p->at[i + 1], &p->at[i], (p->count - i) * sizeof(p->at[0]));
	p->at[i] = *point;
	p->count++;
}

uint64_t metric_points_pack(struct buf *out, const struct metric_point *at, uint32_t count)
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

void metric_block_pack(struct buf *out, const struct metric_point *at, uint32_t count)
{
	SCOPED_BUF struct buf packed = BUF_INIT;
	uint64_t text = metric_points_pack(&packed, at, count);

	pack_varint(out, count);
	pack_varint(out, text);
	buf_add_slice(out, buf_slice(&packed));
	out->failed |= packed.failed;
}

int metric_block_put(struct meta *m, uint32_t run, uint32_t key, int64_t first, uint32_t n,
		     const struct buf *value)
{
	struct metric_block_key k = metric_block_key(run, key, first, n);
	int rc = buf_err(value);

	return rc < 0 ? rc
		      : kv_put(m->kv, TABLE_POINT, metric_block_key_slice(&k), buf_slice(value));
}
