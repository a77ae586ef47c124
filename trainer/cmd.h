/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd - the commands, one file each; main.c has their table.
 */
#ifndef TRAINER_CMD_H
#define TRAINER_CMD_H

#include "trainer/options.h"

extern const struct command cmd_prepare, cmd_train, cmd_evaluate, cmd_predict, cmd_deploy;

#endif
