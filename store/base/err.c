/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERR_TEXT_MAX 512

static _Thread_local struct {
	int rc;
	char text[ERR_TEXT_MAX];
	char fallback[128];
} last;

int err_set(int rc, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX]; /* the arguments may point into last.text */
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	last.rc = rc;
	memcpy(last.text, text, strlen(text) + 1);
	return rc;
}

const char *err_reason(void)
{
	return last.text;
}

void err_clear(void)
{
	last.rc = 0;
	last.text[0] = '\0';
}

const char *err_text(int rc)
{
	/* A reason that was recorded for another errno is a left-over of something that was overcome. */
	if (last.text[0] && last.rc == rc)
		return last.text;
	return strerror_r(rc < 0 ? -rc : rc, last.fallback, sizeof(last.fallback));
}
