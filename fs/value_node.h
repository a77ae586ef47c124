/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_node - nodes that are values: shared by tab_value.c (open files) and tab_keys.c (their names).
 */
#ifndef FS_VALUE_NODE_H
#define FS_VALUE_NODE_H

#include "fs/call.h"
#include "store/meta/value.h"

#define NODE_SET_SIZE (1 << 3)		/* FUSE_SET_ATTR_SIZE */

bool value_target_of(uint64_t node, struct value_target *ret);		/* false: NODE is no value */
MUST_CHECK int value_may_change(struct call *c, const struct value_target *t);
/* Open T into H, which then belongs to value_ops. */
MUST_CHECK int value_open_target(struct call *c, const struct value_target *t, struct handle *h, bool created);

/* The value that NAME in the directory of keys DIR is or, *RET_FOUND false, would be.  In a batch: the key may be new.  -ENOENT: DIR is none;
 * -EISDIR. */
MUST_CHECK int keys_target(struct call *c, uint64_t dir, struct slice name, struct value_target *ret, bool *ret_found);
/* The row of one of the fixed files of a run, of an experiment; NULL: no such name. */
const struct node_row *run_row(struct slice name);
const struct node_row *experiment_row(struct slice name);

void value_path(struct fs *fs, uint64_t node, struct buf *out);		/* paths.c */

#endif
