/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predictions - predictions.csv: the rows, what they are, what a model says and how sure it is.
 *
 * Columns: the features, species, prediction, then the probability of each class under the class's
 * name with `p_` before it.  Numbers are in their shortest exact form, so the file can be held
 * against another model.
 */
#ifndef TRAINER_PREDICTIONS_H
#define TRAINER_PREDICTIONS_H

#include "trainer/score.h"

#define PREDICTIONS_FILE "predictions.csv"

void predictions_write(const struct model *m, const struct dataset *d, const struct score *s,
		       struct text *out);

/* Only the prediction and the probabilities, for rows whose class nobody knows. */
void predictions_write_unknown(const struct model *m, const struct dataset *d, struct text *out);

/*
 * Does M say of every row of the file at PATH what the file says, to the last bit? -EBADMSG if not.
 */
MUST_CHECK int predictions_check(const struct model *m, const char *path);

#endif
