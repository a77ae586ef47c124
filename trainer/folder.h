/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder - whole trees of plain files: make one like another, compare, remove.  What is neither a
 * file nor a directory is refused: a model is not made of links.
 */
#ifndef TRAINER_FOLDER_H
#define TRAINER_FOLDER_H

#include <stdbool.h>

#include "trainer/fail.h"

/*
 * Make TO hold what FROM holds and nothing else (dotfiles at its top apart); each file is replaced
 * whole.
 */
MUST_CHECK int folder_mirror(const char *from, const char *to);

/* The same files with the same bytes; false also when either cannot be read. */
bool folder_equal(const char *a, const char *b);

/* As far as it goes. */
void folder_remove(const char *path);

#endif
