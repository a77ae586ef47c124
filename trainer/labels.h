/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels - a short ordered list of names: of the features, or of the classes.
 *
 * A label is also part of a metric's key (precision/setosa) and a word of the model's text, so it
 * is 1 to 64 of the characters A-Z a-z 0-9 _ - . : and does not begin with a dot.
 */
#ifndef TRAINER_LABELS_H
#define TRAINER_LABELS_H

#include <stdbool.h>
#include <stddef.h>

enum { LABELS_MAX = 64, LABEL_SIZE = 65 };

struct labels {
	size_t count;
	char name[LABELS_MAX][LABEL_SIZE];
};

bool labels_valid_name(const char *name);

/* False when the list is full, or NAME is there already or cannot be a label. */
bool labels_add(struct labels *l, const char *name);

/* Where NAME stands, or -1. */
int labels_find(const struct labels *l, const char *name);

bool labels_equal(const struct labels *a, const struct labels *b);

/* Byte order. */
void labels_sort(struct labels *l);

#endif
