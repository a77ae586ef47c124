/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer - the sparse files `dirty/%08x` that hold the bytes of files being written, and their descriptors.
 *
 * Life of a layer, its state the first byte of its key:  USED by one content -> DROPPED (nobody needs its bytes once that is
 * durable) -> a worker empties the file, durably -> FREE -> USED ...  Of many, the file is removed instead.
 * Descriptors are kept in a bounded cache.  Functions that take only `struct layers` may be called on any thread.
 */
#ifndef STORE_TREE_LAYER_H
#define STORE_TREE_LAYER_H

#include <sys/uio.h>

#include "store/tree/tree_internal.h"

#define LAYER_FDS_MAX 256u		/* cached descriptors; pinned ones may exceed it */
#define LAYER_POOL 32u			/* FREE layers kept */

enum layer_state { LAYER_USED = 1, LAYER_FREE = 2, LAYER_DROPPED = 3 };

MUST_CHECK int layers_new(int dirfd, struct layers **ret);
void layers_free(struct layers *ls);

void layer_name(uint32_t id, char out[16]);
struct tkey layer_key(enum layer_state state, uint32_t id);

/* Core, in a batch: a layer for CONTENT, empty; nobody writes it any more. */
MUST_CHECK int layer_take(struct trees *t, uint64_t content, uint32_t *ret);
MUST_CHECK int layer_drop(struct trees *t, uint32_t id);

/* Core: the file of a USED layer is missing; here is a new, empty one. */
MUST_CHECK int layer_recreate(struct layers *ls, uint32_t id);

/* Any thread. */
MUST_CHECK int layer_pin(struct layers *ls, uint32_t id, int *ret_fd);
void layer_unpin(struct layers *ls, uint32_t id);
bool layer_is_pinned(struct layers *ls, uint32_t id);
MUST_CHECK int layer_pwritev(struct layers *ls, uint32_t id, struct iovec *iov, int count, uint64_t off);
MUST_CHECK int layer_pread(struct layers *ls, uint32_t id, uint64_t off, void *out, size_t len);	/* -EIO when it is shorter */
void layer_mark_dirty(struct layers *ls, uint32_t id);

/* Empty the file durably (KEEP) or remove it; nobody may refer to it. */
MUST_CHECK int layer_empty(struct layers *ls, uint32_t id, bool keep);

/* --- what fsync needs: see tree_sync_begin ------------------------------------------------------------ */

/* Core: take the duty to sync ID, if it has unsynced writes or somebody is at it; *RET false: nothing to do. */
bool layer_sync_begin(struct layers *ls, uint32_t id);
/* Calls EACH for all layers with unsynced writes. */
int layer_each_dirty(struct layers *ls, int (*each)(void *arg, uint32_t id), void *arg);
MUST_CHECK int layer_sync(struct layers *ls, uint32_t id);
/* OK: the writes before layer_sync_begin() are safe; else it is dirty again and the error stays until reported. */
void layer_sync_end(struct layers *ls, uint32_t id, bool ok);
bool layer_dir_sync_begin(struct layers *ls);
void layer_dir_sync_end(struct layers *ls, bool ok);
MUST_CHECK int layer_dir_sync(struct layers *ls);

#endif
