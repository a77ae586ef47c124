/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing byte buffer.  One owner, no locking.
 *
 * Running out of memory is sticky: the buffer turns `failed`, further appends do nothing, and the owner
 * asks once at the end with buf_err().  data is always NUL-terminated after the first append.
 */
#ifndef STORE_BASE_BUF_H
#define STORE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/err.h"
#include "store/base/slice.h"

struct buf {
	char *data; /* NULL while empty */
	size_t len;
	size_t cap;
	bool failed;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, false                                                                  \
	}
#define SCOPED_BUF __attribute__((cleanup(buf_release)))

void buf_release(struct buf *b); /* free and make empty */
void buf_reset(struct buf *b);   /* empty, keep the memory, clear `failed` */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_ch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Make room for LEN more bytes and return where they go; the caller then adds to b->len.  NULL: no memory. */
void *buf_reserve(struct buf *b, size_t len);
/* 0, or -ENOMEM when any append failed. */
MUST_CHECK int buf_err(const struct buf *b);
/* Hand the bytes to the caller (free() them); the buffer is empty afterwards. */
char *buf_detach(struct buf *b);

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->data, b->len);
}

#endif
