/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows - walking and deleting all rows of a table that share a prefix.
 * Private to store/meta.  Reads work on any view and thread; rows_delete is for the core within a batch.
 */
#ifndef STORE_META_ROWS_H
#define STORE_META_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/meta/meta.h"

/*
 * Call EMIT with what follows PREFIX in each key, and the value, in key order, beginning with the first key above PREFIX+AFTER
 * (AFTER empty: from the start).  A negative answer ends it and is returned, a positive one ends it with 0.  EMIT must not change anything.
 */
MUST_CHECK int rows_each(struct kv_view *view, uint8_t table, struct slice prefix, struct slice after,
			 int (*emit)(void *arg, struct slice rest, struct slice value), void *arg);
/* Is there a row with that prefix? */
MUST_CHECK int rows_any(struct kv_view *view, uint8_t table, struct slice prefix, bool *ret);
/* Delete them all. */
MUST_CHECK int rows_delete(struct meta *m, uint8_t table, struct slice prefix);
/* Append what follows PREFIX in each key as an array of big-endian u32 (rows whose rest is not 4 bytes: -EBADMSG): for loops that change things. */
MUST_CHECK int rows_numbers(struct kv_view *view, uint8_t table, struct slice prefix, struct buf *out);
size_t rows_count(const struct buf *numbers);
uint32_t rows_number(const struct buf *numbers, size_t i);

#endif
