/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines - see lines.h.
 */
#include "trainer/lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trainer/number.h"

void lines_init(struct lines *l, const char *name, char *bytes)
{
	*l = (struct lines){ .name = name, .at = bytes };
}

int lines_fail(const struct lines *l, const char *fmt, ...)
{
	char reason[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return fail(EBADMSG, "%s:%zu: %s", l->name, l->line, reason);
}

/* Words are parted by one blank each, lines ended by LF: as we write them, and nothing else. */
static int cut_words(struct lines *l)
{
	char *p = l->at;

	l->count = 0;
	for (;;) {
		size_t len = strcspn(p, " \n");

		if (l->count == LINES_WORDS_MAX)
			return lines_fail(l, "more than %d words", LINES_WORDS_MAX);
		if (p[len] == '\0')
			return lines_fail(l, "the file breaks off");
		l->word[l->count++] = p;
		bool last = p[len] == '\n';

		p[len] = '\0';
		p += len + 1;
		if (last)
			break;
	}
	l->at = p;
	return 0;
}

int lines_next(struct lines *l, const char *keyword, size_t count)
{
	l->line++;
	if (*l->at == '\0')
		return lines_fail(l, "the file ends where '%s' should stand", keyword);
	int rc = cut_words(l);

	if (rc < 0)
		return rc;
	if (strcmp(l->word[0], keyword) != 0)
		return lines_fail(l, "'%.40s' where '%s' should stand", l->word[0], keyword);
	if (count != 0 && l->count != count)
		return lines_fail(l, "%zu words after '%s', not %zu", l->count - 1, keyword,
				  count - 1);
	return 0;
}

int lines_whole(const struct lines *l, size_t i, size_t lo, size_t hi, size_t *ret)
{
	int64_t value;

	if (!number_parse_int(l->word[i], (int64_t)lo, (int64_t)hi, &value))
		return lines_fail(l, "'%.40s' is not a whole number from %zu to %zu", l->word[i],
				  lo, hi);
	*ret = (size_t)value;
	return 0;
}

int lines_real(const struct lines *l, size_t i, double *ret)
{
	if (!number_parse(l->word[i], ret))
		return lines_fail(l, "'%.40s' is not a finite number", l->word[i]);
	return 0;
}

int lines_end(struct lines *l)
{
	l->line++;
	return *l->at == '\0' ? 0 : lines_fail(l, "text after the end of the model");
}
