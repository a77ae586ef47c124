/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_dataset - what the trash shows of a dataset or model in the same way.  Core thread.
 */
#ifndef FS_TAB_DATASET_H
#define FS_TAB_DATASET_H

#include "fs/fs.h"
#include "store/meta/entry.h"

/* Head, versions and aliases of E after COOKIE; positive when the answer is full.  E is borrowed for the call. */
MUST_CHECK int dataset_list(struct call *c, const struct entry *e, uint64_t cookie, struct dir_fill *fill);

/* The node of what FOUND says, spelt NAME. */
MUST_CHECK int dataset_entry(struct call *c, const struct entry_found *found, struct slice name, struct node_entry *ret);

#endif
