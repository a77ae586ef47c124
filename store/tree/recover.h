/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover - what trees_open() does: layers against what is really there, and files unlinked while open.
 */
#ifndef STORE_TREE_RECOVER_H
#define STORE_TREE_RECOVER_H

#include "store/tree/tree_internal.h"

/* Core, opens batches of its own. */
MUST_CHECK int recover_trees(struct trees *t);

#endif
