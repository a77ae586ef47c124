/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - see text.h.
 */
#include "trainer/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/mem.h"
#include "trainer/number.h"

void text_add(struct text *t, const char *bytes, size_t len)
{
	t->bytes = mem_grow(t->bytes, &t->cap, t->len + len + 1, 1);
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = '\0';
}

static void PRINTF_LIKE(2, 0) addv(struct text *t, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, ap);

	if (len > 0) {
		t->bytes = mem_grow(t->bytes, &t->cap, t->len + (size_t)len + 1, 1);
		(void)vsnprintf(t->bytes + t->len, (size_t)len + 1, fmt, again);
		t->len += (size_t)len;
	}
	va_end(again);
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	addv(t, fmt, ap);
	va_end(ap);
}

void text_add_number(struct text *t, double value)
{
	char buf[NUMBER_SIZE];

	number_format(value, buf);
	text_add(t, buf, strlen(buf));
}

void text_add_csv(struct text *t, const char *field)
{
	if (field[strcspn(field, "\",\r\n")] == '\0') {
		text_add(t, field, strlen(field));
		return;
	}
	text_add(t, "\"", 1);
	for (const char *p = field; *p != '\0'; p++) {
		if (*p == '"')
			text_add(t, "\"", 1);
		text_add(t, p, 1);
	}
	text_add(t, "\"", 1);
}

void text_add_xml(struct text *t, const char *plain)
{
	for (const char *p = plain; *p != '\0'; p++) {
		switch (*p) {
		case '&': text_addf(t, "&amp;"); break;
		case '<': text_addf(t, "&lt;"); break;
		case '>': text_addf(t, "&gt;"); break;
		case '"': text_addf(t, "&quot;"); break;
		default: text_add(t, p, 1);
		}
	}
}

void text_release(struct text *t)
{
	free(t->bytes);
	*t = (struct text){ 0 };
}

char *text_format(const char *fmt, ...)
{
	struct text t = { 0 };
	va_list ap;

	va_start(ap, fmt);
	addv(&t, fmt, ap);
	va_end(ap);
	return t.bytes != NULL ? t.bytes : mem_dup("", 0);
}
