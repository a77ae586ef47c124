/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_check - parts of the check that recovery needs, too.
 */
#ifndef STORE_TREE_TREE_CHECK_H
#define STORE_TREE_TREE_CHECK_H

#include "store/tree/tree_internal.h"

/* The rows of all trees (struct tree_row each), those being deleted included. */
MUST_CHECK int tree_check_list(struct kv_view *view, struct buf *out);
/* What the counters in the row of TREE should be. */
MUST_CHECK int tree_check_count(struct kv_view *view, uint32_t tree, uint64_t *ret_inodes, uint64_t *ret_bytes);

#endif
