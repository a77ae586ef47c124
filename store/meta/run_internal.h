/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_internal - what run.c, run_set.c and run_trash.c share, and nobody else includes.  Core thread, in a batch.
 */
#ifndef STORE_META_RUN_INTERNAL_H
#define STORE_META_RUN_INTERNAL_H

#include "store/meta/meta_internal.h"

/* First byte of a TABLE_RUN_NAME key. */
enum { RUN_NAME_CHOSEN = 1, RUN_NAME_UUID = 2 }; /* first byte of a TABLE_RUN_NAME key */

bool run_status_ended(enum run_status status);
/* A run to be changed: its texts lie in TEXT, so that puts do not take them away. */
MUST_CHECK int run_load(struct meta *m, uint32_t number, struct buf *text, struct run_row *ret);
/* The same; trashed: -EPERM. */
MUST_CHECK int run_load_living(struct meta *m, uint32_t number, struct buf *text,
			       struct run_row *ret);
/* Write the record and the time of the change. */
MUST_CHECK int run_save(struct meta *m, const struct run_row *row);
MUST_CHECK int run_name_row_del(struct meta *m, uint8_t kind, struct slice name);
/* Rows of two numbers and no value. */
MUST_CHECK int run_pair_put(struct meta *m, uint8_t table, uint32_t a, uint32_t b);
MUST_CHECK int run_pair_del(struct meta *m, uint8_t table, uint32_t a, uint32_t b);
void run_emit_event(struct meta *m, const struct run *r, const char *what, const char *name,
		    const char *value);

#endif
