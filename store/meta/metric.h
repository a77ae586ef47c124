/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric - what a run measured: points of metrics and their histories, typed access beneath value.h.
 * Threads and batches: meta/meta.h.
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
	struct metric_point latest;	/* highest step, then time, then the one logged later */
	uint64_t points;
	uint64_t text_bytes;		/* of the history as text: its st_size */
	int64_t min_step, max_step;	/* of all points */
	double min, max;		/* of the values that are numbers */
	int64_t logged_ms;
};
MUST_CHECK int metric_log(struct meta *m, uint32_t run, struct slice key, const struct metric_point *points, size_t count);	/* O(log n) each, O(1) amortised at the end; checks the run */
MUST_CHECK int metric_next_step(struct kv_view *view, uint32_t run, uint32_t key, int64_t *ret);	/* 0 for a new one */
MUST_CHECK int metric_get(struct kv_view *view, uint32_t run, uint32_t key, struct metric *ret);	/* O(1) */
MUST_CHECK int metric_each_point(struct kv_view *view, uint32_t run, uint32_t key, int64_t from_step, int (*emit)(void *arg, const struct metric_point *p), void *arg);
MUST_CHECK int metric_remove(struct meta *m, uint32_t run, uint32_t key);

#endif
