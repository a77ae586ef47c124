/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows - see rows.h.
 */
#include "store/meta/rows.h"

#include <errno.h>
#include <limits.h>

#include "store/base/pack.h"
#include "store/meta/meta_internal.h"

int rows_each(struct kv_view *view, uint8_t table, struct slice prefix, struct slice after,
	      int (*emit)(void *arg, struct slice rest, struct slice value), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf from = BUF_INIT;
	int rc = kv_cursor_open(view, table, &cur);

	buf_add_slice(&from, prefix);
	buf_add_slice(&from, after);
	if (after.len > 0)
		buf_add_ch(&from, '\0'); /* the first key above */
	if (rc == 0)
		rc = buf_err(&from);
	if (rc == 0)
		rc = kv_cursor_seek(cur, buf_slice(&from));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		struct slice rest;

		if (!slice_has_prefix(key, prefix))
			return 0;
		rest = slice_of((const char *)key.data + prefix.len, key.len - prefix.len);
		rc = emit(arg, rest, kv_cursor_value(cur));
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	return rc == -ENOENT ? 0 : rc;
}

int rows_any(struct kv_view *view, uint8_t table, struct slice prefix, bool *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(view, table, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, prefix);
	*ret = rc == 0 && slice_has_prefix(kv_cursor_key(cur), prefix);
	return rc == -ENOENT ? 0 : rc;
}

int rows_delete(struct meta *m, uint8_t table, struct slice prefix)
{
	unsigned budget = UINT_MAX;

	return meta_delete_prefix(m, table, prefix, &budget);
}

static int add_number(void *arg, struct slice rest, struct slice value)
{
	struct buf *out = arg;
	struct unpack u = unpack_init(rest);
	uint32_t n = unkey_u32(&u);
	int rc = unpack_done(&u);

	(void)value;
	buf_add(out, &n, sizeof(n));
	return rc < 0 ? rc : buf_err(out);
}

int rows_numbers(struct kv_view *view, uint8_t table, struct slice prefix, struct buf *out)
{
	return rows_each(view, table, prefix, slice_of(NULL, 0), add_number, out);
}

size_t rows_count(const struct buf *numbers)
{
	return numbers->len / sizeof(uint32_t);
}

uint32_t rows_number(const struct buf *numbers, size_t i)
{
	uint32_t n;

	memcpy(&n, numbers->data + i * sizeof(n), sizeof(n));
	return n;
}
