/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param_file - hyperparameters from params.yaml or a .json file.
 *
 * Either a flat mapping of KEY: VALUE, or one with a section `train` that is such a mapping; then
 * the other sections are other steps' and are passed over.
 */
#ifndef TRAINER_PARAM_FILE_H
#define TRAINER_PARAM_FILE_H

#include "trainer/param.h"

/*
 * Says each with "PATH:LINE"; fails for bad syntax, a key twice, an unknown key, a value that is no
 * scalar.
 */
MUST_CHECK int param_file_read(const char *path, struct params *p);

#endif
