/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "store/base/limits.h"
#include "store/base/text.h"

struct parser {
	const uint8_t *start, *at, *end;
	struct buf key; /* of the objects that we are in, joined */
	struct buf
		names; /* of all members: pack of (length, bytes), to find those that come twice */
	struct buf string;                                        /* the last one decoded */
	size_t count;                                             /* of names */
	int (*emit)(void *arg, const struct json_member *member); /* NULL: collect names only */
	void *arg;
};

static int bad(const struct parser *p, const char *what)
{
	return err_set(-EINVAL, "JSON: %s at byte %zu", what, (size_t)(p->at - p->start) + 1);
}

static void skip_blanks(struct parser *p)
{
	while (p->at < p->end &&
	       (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
		p->at++;
}

static bool next_is(struct parser *p, uint8_t c)
{
	skip_blanks(p);
	if (p->at == p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

/* --- strings ---------------------------------------------------------------------------------------------- */

static int hex4(struct parser *p, uint32_t *ret)
{
	*ret = 0;
	for (int i = 0; i < 4; i++, p->at++) {
		uint8_t c = p->at < p->end ? *p->at : 0;

		if (c >= '0' && c <= '9')
			*ret = *ret << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*ret = *ret << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return bad(p, "four hex digits are expected");
	}
	return 0;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_ch(out, (char)c);
	} else if (c < 0x800) {
		buf_add_ch(out, (char)(0xc0 | c >> 6));
		buf_add_ch(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_add_ch(out, (char)(0xe0 | c >> 12));
		buf_add_ch(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_add_ch(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_add_ch(out, (char)(0xf0 | c >> 18));
		buf_add_ch(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_add_ch(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_add_ch(out, (char)(0x80 | (c & 0x3f)));
	}
}

static int unicode_escape(struct parser *p)
{
	uint32_t c, low;
	int rc = hex4(p, &c);

	if (rc < 0)
		return rc;
	if (c >= 0xd800 && c < 0xdc00) {
		if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u')
			return bad(p, "half of a surrogate pair");
		p->at += 2;
		rc = hex4(p, &low);
		if (rc < 0)
			return rc;
		if (low < 0xdc00 || low > 0xdfff)
			return bad(p, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xdc00 && c < 0xe000) {
		return bad(p, "half of a surrogate pair");
	}
	if (c == 0)
		return err_set(-EILSEQ, "JSON: a string holds a NUL");
	add_utf8(&p->string, c);
	return 0;
}

static int escape(struct parser *p)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *which;
	uint8_t c;

	if (p->at == p->end)
		return bad(p, "a string does not end");
	c = *p->at++;
	if (c == 'u')
		return unicode_escape(p);
	which = c ? strchr(from, c) : NULL;
	if (!which) {
		p->at--;
		return bad(p, "an unknown escape");
	}
	buf_add_ch(&p->string, to[which - from]);
	return 0;
}

/* Decode the string at the parser (behind its opening quote) into p->string. */
static int parse_string(struct parser *p)
{
	buf_reset(&p->string);
	while (p->at < p->end && *p->at != '"') {
		const uint8_t *from = p->at;
		int rc;

		while (p->at < p->end && *p->at != '"' && *p->at != '\\' && *p->at >= 0x20)
			p->at++;
		buf_add(&p->string, from, (size_t)(p->at - from));
		if (p->at == p->end || *p->at == '"')
			break;
		if (*p->at < 0x20)
			return bad(p, "a control character in a string");
		p->at++;
		rc = escape(p);
		if (rc < 0)
			return rc;
	}
	if (p->at == p->end)
		return bad(p, "a string does not end");
	p->at++;
	if (!text_valid(buf_slice(&p->string)))
		return err_set(-EILSEQ, "JSON: a string is not UTF-8");
	return buf_err(&p->string);
}

/* --- other values --------------------------------------------------------------------------------------- */

static bool word(struct parser *p, const char *w)
{
	size_t len = strlen(w);

	if ((size_t)(p->end - p->at) < len || memcmp(p->at, w, len) != 0)
		return false;
	p->at += len;
	return true;
}

static size_t digits(struct parser *p)
{
	const uint8_t *from = p->at;

	while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		p->at++;
	return (size_t)(p->at - from);
}

static int parse_number(struct parser *p)
{
	if (p->at < p->end && *p->at == '-')
		p->at++;
	if (word(p, "Infinity"))
		return 0;
	if (p->at < p->end && *p->at == '0')
		p->at++;
	else if (digits(p) == 0)
		return bad(p, "a value is expected");
	if (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		return bad(p, "a number with a leading zero");
	if (p->at < p->end && *p->at == '.') {
		p->at++;
		if (digits(p) == 0)
			return bad(p, "digits are expected");
	}
	if (p->at < p->end && (*p->at | 0x20) == 'e') {
		p->at++;
		if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
			p->at++;
		if (digits(p) == 0)
			return bad(p, "digits are expected");
	}
	return 0;
}

static int skip_value(struct parser *p, unsigned depth);

/* A container whose members nobody wants, behind its opening bracket. */
static int skip_container(struct parser *p, bool object, unsigned depth)
{
	uint8_t close = object ? '}' : ']';

	if (depth > LIMIT_JSON_DEPTH_MAX)
		return bad(p, "nested too deep");
	if (next_is(p, close))
		return 0;
	do {
		int rc;

		skip_blanks(p);
		if (object) {
			if (!next_is(p, '"'))
				return bad(p, "a name in quotes is expected");
			rc = parse_string(p);
			if (rc < 0)
				return rc;
			if (!next_is(p, ':'))
				return bad(p, "\":\" is expected");
		}
		rc = skip_value(p, depth);
		if (rc < 0)
			return rc;
	} while (next_is(p, ','));
	return next_is(p, close) ? 0
				 : bad(p, object ? "\",\" or \"}\" is expected"
						 : "\",\" or \"]\" is expected");
}

static int scalar(struct parser *p, enum json_type *ret)
{
	if (word(p, "true"))
		*ret = JSON_TRUE;
	else if (word(p, "false"))
		*ret = JSON_FALSE;
	else if (word(p, "null"))
		*ret = JSON_NULL;
	else {
		*ret = JSON_NUMBER;
		return word(p, "NaN") ? 0 : parse_number(p);
	}
	return 0;
}

static int skip_value(struct parser *p, unsigned depth)
{
	enum json_type type;

	skip_blanks(p);
	if (next_is(p, '"'))
		return parse_string(p);
	if (next_is(p, '['))
		return skip_container(p, false, depth + 1);
	if (next_is(p, '{'))
		return skip_container(p, true, depth + 1);
	return scalar(p, &type);
}

/* --- members ---------------------------------------------------------------------------------------------- */

static int parse_members(struct parser *p, unsigned depth);

static int emit_member(struct parser *p, enum json_type type, const uint8_t *from)
{
	struct json_member member = { buf_slice(&p->key), type,
				      slice_of(from, (size_t)(p->at - from)) };
	uint32_t len = (uint32_t)p->key.len;

	if (type == JSON_STRING)
		member.text = buf_slice(&p->string);
	if (p->emit)
		return p->emit(p->arg, &member);
	buf_add(&p->names, &len, sizeof(len));
	buf_add_slice(&p->names, buf_slice(&p->key));
	p->count++;
	return buf_err(&p->names);
}

static int parse_value(struct parser *p, unsigned depth)
{
	const uint8_t *from;
	enum json_type type;
	int rc;

	skip_blanks(p);
	from = p->at;
	if (next_is(p, '{')) {
		if (next_is(p, '}'))
			return emit_member(p, JSON_OBJECT, from);
		return parse_members(p, depth + 1);
	}
	if (next_is(p, '"')) {
		type = JSON_STRING;
		rc = parse_string(p);
	} else if (next_is(p, '[')) {
		type = JSON_ARRAY;
		rc = skip_container(p, false, depth + 1);
	} else {
		rc = scalar(p, &type);
	}
	return rc < 0 ? rc : emit_member(p, type, from);
}

/* Behind "{" and not at "}". */
static int parse_members(struct parser *p, unsigned depth)
{
	size_t outer = p->key.len;

	if (depth > LIMIT_JSON_DEPTH_MAX)
		return bad(p, "nested too deep");
	do {
		int rc;

		if (!next_is(p, '"'))
			return bad(p, "a name in quotes is expected");
		rc = parse_string(p);
		if (rc < 0)
			return rc;
		if (depth > 1)
			buf_add_ch(&p->key, '/');
		buf_add_slice(&p->key, buf_slice(&p->string));
		if (buf_err(&p->key) < 0)
			return -ENOMEM;
		if (!next_is(p, ':'))
			return bad(p, "\":\" is expected");
		rc = parse_value(p, depth);
		if (rc != 0)
			return rc;
		p->key.len = outer;
	} while (next_is(p, ','));
	return next_is(p, '}') ? 0 : bad(p, "\",\" or \"}\" is expected");
}

static int compare_names(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	int c = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

	return c ? c : (x->len > y->len) - (x->len < y->len);
}

static int check_names(const struct parser *p)
{
	struct slice *names = calloc(p->count ? p->count : 1, sizeof(*names));
	const char *at = p->names.data;
	int rc = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < p->count; i++) {
		uint32_t len;

		memcpy(&len, at, sizeof(len));
		names[i] = slice_of(at + sizeof(len), len);
		at += sizeof(len) + len;
	}
	qsort(names, p->count, sizeof(*names), compare_names);
	for (size_t i = 1; i < p->count && rc == 0; i++)
		if (slice_eq(names[i - 1], names[i]))
			rc = err_set(-EINVAL, "JSON: the name \"%.*s\" comes twice",
				     names[i].len > 250 ? 250 : (int)names[i].len,
				     (const char *)names[i].data);
	free(names);
	return rc;
}

static int parse_whole(struct parser *p)
{
	int rc;

	p->at = p->start;
	p->key.len = 0;
	if (!next_is(p, '{'))
		return bad(p, "an object (\"{\") is expected");
	rc = next_is(p, '}') ? 0 : parse_members(p, 1);
	skip_blanks(p);
	if (rc == 0 && p->at != p->end)
		rc = bad(p, "something follows the object");
	return rc;
}

int json_flatten(struct slice text, int (*emit)(void *arg, const struct json_member *member),
		 void *arg)
{
	struct parser p = { .start = text.data, .arg = arg };
	int rc;

	p.end = p.start + text.len;
	rc = parse_whole(&p); /* nothing is told before all of it is known to be good */
	if (rc == 0)
		rc = check_names(&p);
	p.emit = emit;
	if (rc == 0)
		rc = parse_whole(&p);
	buf_release(&p.key);
	buf_release(&p.names);
	buf_release(&p.string);
	return rc;
}

ssize_t json_scan_feed(struct json_scan *scan, struct slice s)
{
	const char *at = s.data;

	for (size_t i = 0; i < s.len; i++) {
		char c = at[i];

		if (scan->in_string) {
			scan->in_string = scan->escaped || c != '"';
			scan->escaped = !scan->escaped && c == '\\';
		} else if (!scan->began) {
			if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
				continue;
			if (c != '{')
				return err_set(-EINVAL, "a JSON object (\"{\") is expected");
			scan->began = true;
			scan->depth = 1;
		} else if (c == '"') {
			scan->in_string = true;
		} else if (c == '{') {
			scan->depth++;
		} else if (c == '}' && --scan->depth == 0) {
			scan->done = true;
			return (ssize_t)i + 1;
		}
	}
	return (ssize_t)s.len;
}
