/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_internal - what model.c offers to the checks and to whoever destroys an experiment.  For store/meta alone.
 */
#ifndef STORE_META_MODEL_INTERNAL_H
#define STORE_META_MODEL_INTERNAL_H

#include "store/meta/model.h"

MUST_CHECK int logged_model_decode(struct slice record, uint32_t number, struct logged_model *ret);
/* EXPERIMENT is destroyed: up to *BUDGET logged models of it go, with their files; *BUDGET falls, to 0 when there may be more.  In a batch. */
MUST_CHECK int logged_model_forget_experiment(struct meta *m, uint32_t experiment, unsigned *budget);

#endif
