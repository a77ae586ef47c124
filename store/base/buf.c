/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 64

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

/* Room for LEN more bytes and the NUL. */
static bool buf_grow(struct buf *b, size_t len)
{
	size_t need, cap;
	char *data;

	if (b->failed)
		return false;
	if (len < b->cap && b->len < b->cap - len)
		return true;
	if (len > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->failed = true;
		return false;
	}
	need = b->len + len + 1;
	cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap + b->cap / 2;
	if (cap < need)
		cap = need;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.data, s.len);
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_ch(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (!buf_grow(b, BUF_FIRST))
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		b->data[b->len] = '\0';
	} else if ((size_t)n < b->cap - b->len) {
		b->len += (size_t)n;
	} else if (buf_grow(b, (size_t)n)) {
		vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
		b->len += (size_t)n;
	} else {
		b->data[b->len] = '\0';
	}
	va_end(again);
}

void *buf_reserve(struct buf *b, size_t len)
{
	if (!buf_grow(b, len))
		return NULL;
	b->data[b->len + len] = '\0';
	return b->data + b->len;
}

int buf_err(const struct buf *b)
{
	return b->failed ? err_set(-ENOMEM, "out of memory") : 0;
}

char *buf_detach(struct buf *b)
{
	char *data = b->data;

	*b = (struct buf)BUF_INIT;
	return data;
}
