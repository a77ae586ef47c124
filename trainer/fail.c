/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fail - see fail.h.
 */
#include "trainer/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static char sentence[1024];
static bool usage;

static void PRINTF_LIKE(1, 0) keep(const char *fmt, va_list ap)
{
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	for (char *p = sentence; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

int fail(int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep(fmt, ap);
	va_end(ap);
	return -errnum;
}

int fail_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep(fmt, ap);
	va_end(ap);
	usage = true;
	return -EINVAL;
}

const char *fail_text(void)
{
	return sentence;
}

bool fail_is_usage(void)
{
	return usage;
}
