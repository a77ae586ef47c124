/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice - a borrowed run of bytes: pointer and length, owned by somebody else.
 * Whoever hands one out says how long it stays valid.
 */
#ifndef STORE_BASE_SLICE_H
#define STORE_BASE_SLICE_H

#include <stddef.h>
#include <stdbool.h>
#include <string.h>

struct slice {
	const void *data;
	size_t len;
};

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){ data, len };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

#endif
