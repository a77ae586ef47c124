/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param - what a run was given: write-once values of runs, typed access beneath value.h.
 * Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_PARAM_H
#define STORE_META_PARAM_H

#include "store/meta/meta.h"

MUST_CHECK int param_log(struct meta *m, uint32_t run, struct slice key,
			 struct slice value); /* same value again: 0; another: -EPERM */
MUST_CHECK int param_get(struct kv_view *view, uint32_t run, uint32_t key, struct slice *ret,
			 int64_t *ret_ms);
MUST_CHECK int param_remove(struct meta *m, uint32_t run,
			    uint32_t key); /* while running; noted in the run's record */
/* What one writer goes on writing (value.c): the value becomes another, no questions asked but size and encoding. In a batch. */
MUST_CHECK int param_replace(struct meta *m, uint32_t run, uint32_t key, struct slice value);

#endif
