/* SPDX-License-Identifier: Apache-2.0 */
/*
 * importance - how much each feature matters to a model, as feature_importances.csv.
 *
 * For every model by permutation (L. Breiman, "Random Forests", 2001, section 10): the accuracy
 * lost on the scored rows when one feature's values are shuffled among them, mean and deviation of
 * 20 shuffles with a fixed seed.  For trees and forests also the Gini decrease; the field is empty
 * for the others.
 */
#ifndef TRAINER_IMPORTANCE_H
#define TRAINER_IMPORTANCE_H

#include "trainer/model.h"

#define IMPORTANCE_FILE "feature_importances.csv"

void importance_write(const struct model *m, const struct dataset *d, struct text *out);

#endif
