/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading metrics: points, text, and checking them.
 */
#include <errno.h>
#include <math.h>

#include "store/meta/meta_internal.h"
#include "store/meta/metric_internal.h"
#include "store/meta/point.h"

int metric_next_step(struct kv_view *view, uint32_t run, uint32_t key, int64_t *ret)
{
	struct metric_record r;
	int rc = metric_record_get(view, run, key, &r);

	*ret = 0;
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : metric_step_after(&r.m, ret);
}

int metric_get(struct kv_view *view, uint32_t run, uint32_t key, struct metric *ret)
{
	struct metric_record r;
	int rc = metric_record_get(view, run, key, &r);

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
int metric_blocks_open(struct kv_view *view, uint32_t run, uint32_t key, int64_t from_step,
		       struct kv_cursor **ret)
{
	struct metric_block_key from = metric_block_key(run, key, from_step, 0),
				lowest = metric_block_key(run, key, INT64_MIN, 0);
	int64_t first;
	uint32_t n;
	int rc = kv_cursor_open(view, TABLE_POINT, ret);

	if (rc < 0)
		return rc;
	rc = kv_cursor_seek_before(*ret, metric_block_key_slice(&from));
	if (rc == 0 && metric_block_at(*ret, run, key, &first, &n))
		return 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = kv_cursor_seek(*ret, metric_block_key_slice(&lowest));
	if (rc == 0 && !metric_block_at(*ret, run, key, &first, &n))
		rc = -ENOENT;
	return rc;
}

int metric_each_point(struct kv_view *view, uint32_t run, uint32_t key, int64_t from_step,
		      int (*emit)(void *arg, const struct metric_point *p), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct metric_record r;
	int64_t first;
	uint32_t n;
	int rc = metric_record_get(view, run, key, &r);

	if (rc < 0)
		return rc;
	if (r.m.points > r.tail_count) {
		rc = metric_blocks_open(view, run, key, from_step, &cur);
		while (rc == 0 && metric_block_at(cur, run, key, &first, &n)) {
			struct slice packed;
			uint32_t count;
			uint64_t text;

			rc = metric_block_head(kv_cursor_value(cur), &count, &text, &packed);
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

int metric_has_point(struct kv_view *view, uint32_t run, uint32_t key, const struct metric_point *p,
		     bool *ret)
{
	struct find_point f = { .p = p };
	int rc = metric_each_point(view, run, key, p->step, find_point_emit, &f);

	*ret = rc == 0 && f.found;
	return rc == -ENOENT ? 0 : rc;
}

struct text_out {
	struct buf *out;
	uint64_t skip; /* bytes still before the wanted range */
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

int metric_text(struct kv_view *view, uint32_t run, uint32_t key, uint64_t off, size_t len,
		struct buf *out)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct text_out t = { out, off };
	size_t start = out->len;
	struct metric_record r;
	int64_t first;
	uint32_t n;
	int rc = metric_record_get(view, run, key, &r);

	if (rc < 0)
		return rc;
	if (off >= r.m.text_bytes)
		return 0;
	if (off >= r.m.text_bytes - r.tail_text) {
		t.skip = off - (r.m.text_bytes - r.tail_text);
	} else {
		rc = metric_blocks_open(view, run, key, INT64_MIN, &cur);
		while (rc == 0 && metric_block_at(cur, run, key, &first, &n) &&
		       out->len - start < len) {
			struct slice packed;
			uint32_t count;
			uint64_t text;

			rc = metric_block_head(kv_cursor_value(cur), &count, &text, &packed);
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

int metric_recount(void *arg, const struct metric_point *p)
{
	char text[POINT_TEXT_MAX];

	metric_aggregate(arg, p, point_text(p, text));
	return 0;
}

/* --- checking ------------------------------------------------------------------------------------------ */

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
	return metric_recount(&c->counted, p);
}

static bool same_double(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static const char *check_metric(struct kv_view *view, uint32_t run, uint32_t key,
				const struct metric_record *r)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct check c = { .disordered = false };
	const struct metric *n = &c.counted, *m = &r->m;

	if (r->tail_count == m->points && metric_blocks_open(view, run, key, INT64_MIN, &cur) == 0)
		return "has points that it does not know of";
	if (metric_each_point(view, run, key, INT64_MIN, check_point, &c) < 0)
		return "has damaged points";
	if (c.disordered)
		return "has points out of order";
	if (n->points != m->points || n->text_bytes != m->text_bytes)
		return "has wrong counters";
	if (n->min_step != m->min_step || n->max_step != m->max_step ||
	    !same_double(n->min, m->min) || !same_double(n->max, m->max))
		return "has wrong extremes";
	if (!point_eq(&n->latest, &m->latest) &&
	    !(isnan(n->latest.value) && isnan(m->latest.value)))
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
		uint32_t run = meta_key_read_u32(kv_cursor_key(cur), 0),
			 key = meta_key_read_u32(kv_cursor_key(cur), 4);
		SCOPED_BUF struct buf line = BUF_INIT;
		const char *fault = "has a damaged record";
		struct metric_record r;

		if (metric_record_unpack(kv_cursor_value(cur), &r) == 0)
			fault = check_metric(view, run, key, &r);
		if (!fault)
			continue;
		faults = 1;
		buf_addf(&line, "run %u: metric of key %u %s", run, key, fault);
		report(arg, line.data ? line.data : fault);
	}
	return rc == -ENOENT ? faults : rc;
}
