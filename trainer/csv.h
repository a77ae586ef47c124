/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv - a table of text fields, read whole: RFC 4180 with LF or CRLF, quoted fields, an optional
 * UTF-8 mark.
 *
 * 1. Every row has as many fields as the first.   2. No field holds a NUL.
 * 3. Empty lines are taken at the end only.
 */
#ifndef TRAINER_CSV_H
#define TRAINER_CSV_H

#include <stddef.h>

#include "trainer/fail.h"

struct csv {
	char *name;  /* for messages */
	char *bytes; /* what the fields point into */
	size_t columns;
	size_t rows;  /* the first line too */
	char **field; /* rows * columns */
	size_t *line; /* where each row begins, from 1 */
};

#define SCOPED_CSV __attribute__((cleanup(csv_release)))

/* Takes BYTES (LEN and a NUL) over, whatever it returns. */
MUST_CHECK int csv_parse(const char *name, char *bytes, size_t len, struct csv *ret);
MUST_CHECK int csv_read(const char *path, struct csv *ret);

/* Column NAME of the first row, or -1. */
int csv_column(const struct csv *c, const char *name);

const char *csv_field(const struct csv *c, size_t row, size_t column);

void csv_release(struct csv *c);

#endif
