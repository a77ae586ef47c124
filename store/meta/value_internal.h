/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_internal - what value.c, value_write.c, view_table.c and view_json.c share, and nobody else includes.  Any view, any thread.
 */
#ifndef STORE_META_VALUE_INTERNAL_H
#define STORE_META_VALUE_INTERNAL_H

#include "store/meta/value.h"

/* Text on its way to a sink. */
struct view_out {
	struct buf buf;
	int (*sink)(void *arg, struct slice piece);
	void *arg;
};
MUST_CHECK int view_flush(struct view_out *out,
			  size_t above); /* hand over when more than ABOVE bytes wait */

enum value_group {
	GROUP_FIELD = 1,  /* of a run */
	GROUP_KEYED,      /* param, metric, history, tag of a run */
	GROUP_RUN_VIEW,   /* JSON */
	GROUP_EXPERIMENT, /* description, tag */
	GROUP_TABLE       /* CSV, TSV */
};
enum value_group value_group(enum value_kind kind);

/* The text of a single value, without its newline. */
MUST_CHECK int value_text(struct kv_view *view, const struct value_target *target, struct buf *out);

MUST_CHECK int view_table(struct kv_view *view, const struct value_target *target,
			  struct view_out *out);
MUST_CHECK int view_json(struct kv_view *view, const struct value_target *target,
			 struct view_out *out);

#endif
