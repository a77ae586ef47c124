/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - a string that grows, for files that are built whole before they are written.
 */
#ifndef TRAINER_TEXT_H
#define TRAINER_TEXT_H

#include <stddef.h>

#include "trainer/fail.h"

struct text {
	char *bytes; /* NUL-terminated once anything was added */
	size_t len;
	size_t cap;
};

#define SCOPED_TEXT __attribute__((cleanup(text_release)))

void text_add(struct text *t, const char *bytes, size_t len);
void text_addf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_add_number(struct text *t, double value);

/* A CSV field, quoted when it has to be. */
void text_add_csv(struct text *t, const char *field);

/* For XML text and attribute values. */
void text_add_xml(struct text *t, const char *plain);

void text_release(struct text *t);

/* A string of its own, for paths.  The caller frees it. */
char *text_format(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
