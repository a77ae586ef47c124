/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric - what a run measured: points of metrics and their histories, typed access beneath value.h.
 *
 * Points are kept by step, of equal steps in the order in which they were logged.  Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_METRIC_H
#define STORE_META_METRIC_H

#include "store/meta/meta.h"

struct metric_point {
	int64_t step;
	double value;
	int64_t time_ms;
	/* MLflow: which logged model and dataset the point belongs to; empty when none. */
	struct slice model_id, dataset_name, dataset_digest;
};
struct metric {
	struct metric_point latest; /* highest step, then time, then the one logged later */
	uint64_t points;
	uint64_t text_bytes;        /* of the history as text: its st_size */
	int64_t min_step, max_step; /* of all points */
	double min, max;            /* of the values that are numbers; NaN when none is */
	int64_t logged_ms;
};

/* O(log n) each, O(1) amortised at the end; checks the run and the key.  -EINVAL for a NaN step etc. never: every double is a value. */
MUST_CHECK int metric_log(struct meta *m, uint32_t run, struct slice key,
			  const struct metric_point *points, size_t count);
/* One more than the highest step, 0 for a new one.  -EINVAL when there is no higher step. */
MUST_CHECK int metric_next_step(struct kv_view *view, uint32_t run, uint32_t key, int64_t *ret);
MUST_CHECK int metric_get(struct kv_view *view, uint32_t run, uint32_t key,
			  struct metric *ret); /* O(1); borrowed */
MUST_CHECK int metric_each_point(struct kv_view *view, uint32_t run, uint32_t key,
				 int64_t from_step,
				 int (*emit)(void *arg, const struct metric_point *p), void *arg);
/* Is there exactly this point (MLflow logs an exact duplicate once)?  O(log n + points of that step). */
MUST_CHECK int metric_has_point(struct kv_view *view, uint32_t run, uint32_t key,
				const struct metric_point *p, bool *ret);
/* The history as text from byte OFF, at least LEN bytes if there are that many. */
MUST_CHECK int metric_text(struct kv_view *view, uint32_t run, uint32_t key, uint64_t off,
			   size_t len, struct buf *out);
MUST_CHECK int metric_remove(struct meta *m, uint32_t run,
			     uint32_t key); /* checks the run; noted in the run's record */

/*
 * Many points with one record written: open, add, then close or drop.  The caller has checked the run; KEY is interned.  Nothing else
 * may touch the metric in between; everything in one batch, which must be aborted when add or close fails.
 */
struct metric_appender;
MUST_CHECK int metric_append_open(struct meta *m, uint32_t run, uint32_t key,
				  struct metric_appender **ret);
MUST_CHECK int metric_append_next_step(const struct metric_appender *a, int64_t *ret);
MUST_CHECK int metric_append_add(struct metric_appender *a, const struct metric_point *p);
MUST_CHECK int metric_append_close(struct metric_appender *a); /* writes; frees A in any case */
void metric_append_drop(struct metric_appender *a); /* frees A, writes nothing; NULL is fine */

/*
 * A point that may be taken back.  metric_undo_before() between the last certain point and the provisional one, metric_append_close_undo() at
 * the end; metric_take_back() then removes the point: in O(1) when nobody logged since, else O(n).
 */
struct metric_undo {
	bool had_before;
	struct buf before, after; /* the metric's record */
	struct metric_point point;
};
MUST_CHECK int metric_undo_before(struct metric_appender *a, struct metric_undo *undo);
MUST_CHECK int metric_append_close_undo(struct metric_appender *a, const struct metric_point *p,
					struct metric_undo *undo);
MUST_CHECK int metric_take_back(struct meta *m, uint32_t run, uint32_t key,
				struct metric_undo *undo);
void metric_undo_release(struct metric_undo *undo);

/* Every record of a metric of every run against the others; for run_check.  0, 1 faults, -errno. */
MUST_CHECK int metric_check(struct kv_view *view, void (*report)(void *arg, const char *fault),
			    void *arg);

#endif
