/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines - a text read as lines of words, as a model file is.  What it cannot read it says with file
 * and line.
 */
#ifndef TRAINER_LINES_H
#define TRAINER_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/fail.h"

enum { LINES_WORDS_MAX = 80 };

struct lines {
	const char *name; /* of the file */
	char *at;         /* what is not read yet; words are cut in place */
	size_t line;      /* of the words below, from 1 */
	size_t count;
	const char *word[LINES_WORDS_MAX];
};

/* BYTES is modified and has to outlive L. */
void lines_init(struct lines *l, const char *name, char *bytes);

/* The next line, which has to begin with KEYWORD and have COUNT words with it (0: any number). */
MUST_CHECK int lines_next(struct lines *l, const char *keyword, size_t count);

/* Word I as a number in its range. */
MUST_CHECK int lines_whole(const struct lines *l, size_t i, size_t lo, size_t hi, size_t *ret);
MUST_CHECK int lines_real(const struct lines *l, size_t i, double *ret);

/* Nothing may follow. */
MUST_CHECK int lines_end(struct lines *l);

/* "NAME:LINE: reason"; -EBADMSG. */
int lines_fail(const struct lines *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
