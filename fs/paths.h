/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths - where experiments, runs and values are in the mount, for messages and link targets.
 */
#ifndef FS_PATHS_H
#define FS_PATHS_H

#include "fs/node.h"

void path_experiment(struct fs *fs, uint32_t experiment, struct buf *out);	/* /experiments/E, or below /trash */
void path_run(struct fs *fs, uint32_t run, struct buf *out);			/* /runs/RUN, or below /trash */
/* The path below a key directory for the key id KEY, percent-encoded as listings show it where nothing collides. */
void path_key(struct fs *fs, uint32_t key, struct buf *out);
const char *path_field(uint32_t value_kind);		/* "run.json", … of fields without a key */

#endif
