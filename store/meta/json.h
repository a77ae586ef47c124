/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - reading one JSON object as a flat list of members (RFC 8259).  Any thread.
 *
 * Strict where common parsers are not: the whole text is one object; names twice, depth over LIMIT_JSON_DEPTH_MAX, leading
 * zeros, control characters in strings, lone surrogates and \u0000 are refused.  Beyond the RFC the bare words NaN, Infinity and -Infinity
 * are numbers, as Python writes them.  Numbers keep their own text: nothing is rounded on the way.
 */
#ifndef STORE_META_JSON_H
#define STORE_META_JSON_H

#include <stdbool.h>
#include <sys/types.h>

#include "store/base/buf.h"

enum json_type {
	JSON_STRING = 1,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_member {
	struct slice key;    /* names of nested objects joined with "/" */
	enum json_type type; /* JSON_OBJECT: an empty one */
	struct slice text;   /* strings: what they say; others: as written */
};

/*
 * Call EMIT for each member, those of nested objects too, in order, until it answers non-zero (returned).  Borrowed for the call.
 * -EINVAL with a reason that tells the offset; -EILSEQ when a string is not UTF-8 or holds a NUL.
 */
MUST_CHECK int json_flatten(struct slice text,
			    int (*emit)(void *arg, const struct json_member *member), void *arg);

/*
 * Whether an object that comes in pieces is complete: feed every byte once.  It looks at braces and strings alone; json_flatten() judges.
 */
struct json_scan {
	unsigned depth;
	bool began, in_string, escaped, done;
};
/* Feed S; returns how many of its bytes belong to the object, the closing brace included (all of them while it is not complete: see done).
 * -EINVAL: it does not begin with "{". */
MUST_CHECK ssize_t json_scan_feed(struct json_scan *scan, struct slice s);

#endif
