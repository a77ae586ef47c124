/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confusion - the confusion matrix as a table and as a picture: rows are what is, columns what was
 * said.
 */
#ifndef TRAINER_CONFUSION_H
#define TRAINER_CONFUSION_H

#include "trainer/score.h"

void confusion_write_csv(const struct labels *classes, const struct score *s, struct text *out);

/* Transparent, in colours that keep a contrast of 4.5 on white and on black. */
void confusion_write_svg(const struct labels *classes, const struct score *s, struct text *out);

#endif
