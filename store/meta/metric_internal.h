/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric_internal - what metric*.c share, and nobody else includes.
 *
 * A metric's record holds its counters, the latest point and the tail: its last points, at most METRIC_TAIL_MAX.  What came
 * before lies in blocks of TABLE_POINT, keyed (run, key, first step, n).
 *
 * Invariants:
 * 1. The points of all blocks in key order, then the tail, are the history: steps never fall.
 * 2. The tail is not empty, and there are blocks only when there are more points than the tail holds.
 * 3. No block is empty or holds METRIC_BLOCK_SPLIT points or more.
 * 4. n only orders blocks of equal first step: a block after one with the same first step has the next higher n, one put before such has
 *    the next lower, any other METRIC_N_FIRST.  (A block is put between two of its own first step never: a new point of step s goes behind all of step s.)
 * 5. Counters are what counting would give.
 */
#ifndef STORE_META_METRIC_INTERNAL_H
#define STORE_META_METRIC_INTERNAL_H

#include "store/base/pack.h"
#include "store/meta/metric.h"

#define METRIC_TAIL_MAX      100u
#define METRIC_BLOCK_SPLIT   200u
#define METRIC_N_FIRST       (1u << 31)
#define METRIC_BLOCK_KEY_LEN 20u

struct metric_record {
	struct metric m; /* strings of `latest` borrowed */
	uint32_t tail_count;
	uint64_t tail_text;
	int64_t tail_first, tail_last, tail_last_ms;
	struct slice tail; /* borrowed */
};

/* metric_block.c: the forms of records and blocks. */
MUST_CHECK int metric_record_unpack(struct slice value, struct metric_record *ret);
void metric_record_pack(struct buf *out, const struct metric_record *r, struct slice tail);
MUST_CHECK int metric_record_get(struct kv_view *view, uint32_t run, uint32_t key,
				 struct metric_record *ret);
/* The counters of M after one more point. */
void metric_aggregate(struct metric *m, const struct metric_point *p, size_t text_len);

struct metric_block_key {
	uint8_t bytes[METRIC_BLOCK_KEY_LEN];
};

struct metric_block_key metric_block_key(uint32_t run, uint32_t key, int64_t first, uint32_t n);
struct slice metric_block_key_slice(const struct metric_block_key *k);
/* Is the cursor's row a block of (RUN, KEY)?  Then its first step and n. */
bool metric_block_at(struct kv_cursor *cur, uint32_t run, uint32_t key, int64_t *ret_first,
		     uint32_t *ret_n);

struct metric_points {
	uint32_t count;
	struct metric_point at[METRIC_BLOCK_SPLIT + 1]; /* strings borrowed from the packed form */
};

MUST_CHECK int metric_points_unpack(struct slice packed, uint32_t count, struct metric_points *ret);
MUST_CHECK int metric_block_head(struct slice value, uint32_t *ret_count, uint64_t *ret_text,
				 struct slice *ret_packed);
MUST_CHECK int metric_block_unpack(struct slice value, struct metric_points *ret);
/* Behind all of its step and before. */
void metric_points_insert(struct metric_points *p, const struct metric_point *point);
/* Returns the bytes of their text. */
uint64_t metric_points_pack(struct buf *out, const struct metric_point *at, uint32_t count);
void metric_block_pack(struct buf *out, const struct metric_point *at, uint32_t count);
MUST_CHECK int metric_block_put(struct meta *m, uint32_t run, uint32_t key, int64_t first,
				uint32_t n, const struct buf *value);

/* metric.c: what is being appended to. */
struct metric_appender {
	struct meta *m;
	uint32_t run, key;
	bool is_new;
	struct metric_record r; /* r.tail unused */
	struct buf tail;
	struct buf strings; /* those of the latest point */
	struct metric_points work;
};

/* Keep what the latest point's strings say: they may be borrowed from a record that goes away. */
MUST_CHECK int metric_own_strings(struct metric_appender *a);
/* The tail becomes COUNT points from AT (whose strings may be borrowed from the old tail). */
MUST_CHECK int metric_set_tail(struct metric_appender *a, const struct metric_point *at,
			       uint32_t count);
/* The block at (OLD_FIRST, N) becomes the points of a->work, in one or two blocks.  CUR stands on it. */
MUST_CHECK int metric_rewrite_block(struct metric_appender *a, struct kv_cursor *cur,
				    int64_t old_first, uint32_t n);
MUST_CHECK int metric_put_record(struct metric_appender *a, struct buf *record);
MUST_CHECK int metric_step_after(const struct metric *m, int64_t *ret);
MUST_CHECK int metric_delete(struct meta *m, uint32_t run, uint32_t key);

/* metric_read.c */
/* Open *RET at the block that may hold the first point of FROM_STEP; -ENOENT: only the tail may. */
MUST_CHECK int metric_blocks_open(struct kv_view *view, uint32_t run, uint32_t key,
				  int64_t from_step, struct kv_cursor **ret);
/* An emit of metric_each_point: ARG is a struct metric that counts. */
MUST_CHECK int metric_recount(void *arg, const struct metric_point *p);

#endif
