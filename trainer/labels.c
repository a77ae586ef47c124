/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels - see labels.h.
 */
#include "trainer/labels.h"

#include <stdlib.h>
#include <string.h>

bool labels_valid_name(const char *name)
{
	size_t len =
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:");

	return name[len] == '\0' && len > 0 && len < LABEL_SIZE && name[0] != '.';
}

bool labels_add(struct labels *l, const char *name)
{
	if (l->count == LABELS_MAX || !labels_valid_name(name) || labels_find(l, name) >= 0)
		return false;
	memcpy(l->name[l->count++], name, strlen(name) + 1);
	return true;
}

int labels_find(const struct labels *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++) {
		if (strcmp(l->name[i], name) == 0)
			return (int)i;
	}
	return -1;
}

bool labels_equal(const struct labels *a, const struct labels *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->name[i], b->name[i]) != 0)
			return false;
	}
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

void labels_sort(struct labels *l)
{
	qsort(l->name, l->count, sizeof(l->name[0]), by_bytes);
}
