/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - see mem.h.
 */
#include "trainer/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*exhausted_hook)(void);

static _Noreturn void exhausted(void)
{
	void (*hook)(void) = exhausted_hook;

	exhausted_hook = NULL;
	fputs("iris: out of memory\n", stderr);
	if (hook != NULL)
		hook();
	exit(1);
}

void *mem_zalloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL)
		exhausted();
	return p;
}

void *mem_grow(void *old, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap && old != NULL)
		return old;
	size_t wanted = *cap < 8 ? 16 : *cap * 2;

	if (wanted < need)
		wanted = need;
	if (wanted > SIZE_MAX / 2 / size)
		exhausted();
	char *p = realloc(old, wanted * size);

	if (p == NULL)
		exhausted();
	memset(p + *cap * size, 0, (wanted - *cap) * size);
	*cap = wanted;
	return p;
}

char *mem_dup(const char *bytes, size_t len)
{
	char *p = mem_zalloc(len + 1, 1);

	memcpy(p, bytes, len);
	return p;
}

void mem_on_exhausted(void (*hook)(void))
{
	exhausted_hook = hook;
}

void mem_scoped_free(void *pp)
{
	free(*(void **)pp);
}
