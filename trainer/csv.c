/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv - see csv.h.
 */
#include "trainer/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/file.h"
#include "trainer/mem.h"

enum { CSV_BYTES_MAX = 64 * 1024 * 1024, CSV_ROWS_MAX = 1000001, CSV_COLUMNS_MAX = 256 };

struct cursor {
	struct csv *csv;
	char *at;
	size_t line; /* of AT */
	size_t fields, fields_cap;
	size_t rows_cap;
};

static bool at_line_end(const char *p)
{
	return *p == '\0' || *p == '\n' || (*p == '\r' && (p[1] == '\n' || p[1] == '\0'));
}

/*
 * Unquote in place; on return AT is behind the closing quote and *RET_END where the field's NUL
 * belongs.
 */
static int quoted_field(struct cursor *cur, char **ret, char **ret_end)
{
	size_t began = cur->line;
	char *from = cur->at + 1, *to = from;

	*ret = to;
	for (;; from++) {
		if (*from == '\0')
			return fail(EINVAL, "%s:%zu: a quote is never closed", cur->csv->name,
				    began);
		if (*from == '"' && *++from != '"')
			break;
		cur->line += *from == '\n';
		*to++ = *from;
	}
	*ret_end = to;
	cur->at = from;
	if (*from != ',' && !at_line_end(from))
		return fail(EINVAL, "%s:%zu: text after a closing quote", cur->csv->name,
			    cur->line);
	return 0;
}

static int plain_field(struct cursor *cur, char **ret, char **ret_end)
{
	char *p = cur->at;

	*ret = p;
	while (*p != ',' && !at_line_end(p)) {
		if (*p == '"')
			return fail(EINVAL, "%s:%zu: a quote inside a field", cur->csv->name,
				    cur->line);
		p++;
	}
	*ret_end = p;
	cur->at = p;
	return 0;
}

/* One line's fields; AT moves to the next line. */
static int parse_row(struct cursor *cur, size_t *ret_count)
{
	struct csv *c = cur->csv;
	size_t line = cur->line, count = 0;
	bool more = true;

	while (more) {
		char *begin = NULL, *end = NULL;
		int rc = *cur->at == '"' ? quoted_field(cur, &begin, &end)
					 : plain_field(cur, &begin, &end);

		if (rc < 0)
			return rc;
		if (++count > CSV_COLUMNS_MAX)
			return fail(EINVAL, "%s:%zu: more than %d fields", c->name, line,
				    CSV_COLUMNS_MAX);
		more = *cur->at == ',';
		if (*cur->at == '\r')
			cur->at++;
		if (*cur->at == '\n')
			cur->line++;
		if (*cur->at != '\0')
			cur->at++;
		*end = '\0';
		c->field = mem_grow(c->field, &cur->fields_cap, cur->fields + 1, sizeof(*c->field));
		c->field[cur->fields++] = begin;
	}
	*ret_count = count;
	return 0;
}

static int parse_rows(struct cursor *cur)
{
	struct csv *c = cur->csv;

	while (*cur->at != '\0') {
		size_t line = cur->line, count = 0;

		if (cur->at[strspn(cur->at, "\r\n")] == '\0')
			break;
		if (at_line_end(cur->at))
			return fail(EINVAL, "%s:%zu: an empty line", c->name, line);
		int rc = parse_row(cur, &count);

		if (rc < 0)
			return rc;
		if (c->rows == 0)
			c->columns = count;
		if (count != c->columns)
			return fail(EINVAL, "%s:%zu: %zu fields where the first line has %zu",
				    c->name, line, count, c->columns);
		if (c->rows == CSV_ROWS_MAX)
			return fail(EFBIG, "%s:%zu: more than %d rows", c->name, line,
				    CSV_ROWS_MAX - 1);
		c->line = mem_grow(c->line, &cur->rows_cap, c->rows + 1, sizeof(*c->line));
		c->line[c->rows++] = line;
	}
	if (c->rows == 0)
		return fail(EINVAL, "%s:1: the file is empty", c->name);
	return 0;
}

static size_t lines_before(const char *bytes, size_t len)
{
	size_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines;
}

int csv_parse(const char *name, char *bytes, size_t len, struct csv *ret)
{
	*ret = (struct csv){ .name = mem_dup(name, strlen(name)), .bytes = bytes };
	struct cursor cur = { .csv = ret, .at = bytes, .line = 1 };
	size_t text_len = strlen(bytes);
	int rc;

	if (text_len != len) {
		rc = fail(EILSEQ, "%s:%zu: a NUL byte", name, lines_before(bytes, text_len) + 1);
	} else {
		if (strncmp(bytes, "\xef\xbb\xbf", 3) == 0)
			cur.at += 3;
		rc = parse_rows(&cur);
	}
	if (rc < 0)
		csv_release(ret);
	return rc;
}

int csv_read(const char *path, struct csv *ret)
{
	char *bytes;
	size_t len;
	int rc = file_read(path, CSV_BYTES_MAX, &bytes, &len);

	if (rc < 0) {
		*ret = (struct csv){ 0 };
		return rc;
	}
	return csv_parse(path, bytes, len, ret);
}

int csv_column(const struct csv *c, const char *name)
{
	for (size_t i = 0; i < c->columns; i++) {
		if (strcmp(c->field[i], name) == 0)
			return (int)i;
	}
	return -1;
}

const char *csv_field(const struct csv *c, size_t row, size_t column)
{
	return c->field[row * c->columns + column];
}

void csv_release(struct csv *c)
{
	free(c->name);
	free(c->bytes);
	free(c->field);
	free(c->line);
	*c = (struct csv){ 0 };
}
