/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - what the rest of store/tree must tell the sealer; its own functions are tree_seal_* of tree.h.
 */
#ifndef STORE_TREE_SEAL_H
#define STORE_TREE_SEAL_H

#include "store/tree/tree_internal.h"

/* Core: is a worker just sealing CONTENT? */
bool seal_has(const struct trees *t, uint64_t content);

/* Core: CONTENT has gone, so a worker that seals it may stop. */
void seal_forget(struct trees *t, uint64_t content);

#endif
