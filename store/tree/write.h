/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write - changing the bytes of a file in the head: in place where its content is its own, copy-on-write else.
 *
 * All functions work on a loaded inode (inode_get_file) of the head whose epoch is EPOCH; they change n->content and n->size,
 * and the caller stores the inode afterwards in the same batch.  Core.
 */
#ifndef STORE_TREE_WRITE_H
#define STORE_TREE_WRITE_H

#include "store/tree/content.h"
#include "store/tree/inode.h"

MUST_CHECK int write_bytes(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, struct slice bytes);
/* For a worker: the content and the layer to write OFF .. OFF+LEN into; write_landed() makes it count. */
MUST_CHECK int write_prepare(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, uint64_t len, struct content *ret);
MUST_CHECK int write_landed(struct trees *t, struct inode *n, struct content *c, uint64_t off, uint64_t len);
MUST_CHECK int write_resize(struct trees *t, struct inode *n, uint32_t epoch, uint64_t size);
MUST_CHECK int write_zero(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, uint64_t len);
/* By reference; *RET bytes, fewer than LEN at the end of the source or when it is very fragmented. */
MUST_CHECK int write_copy(struct trees *t, struct inode *n, uint32_t epoch, uint64_t src, uint64_t src_off, uint64_t off,
			  uint64_t len, uint64_t *ret);
/* The whole content becomes SRC (0: empty). */
MUST_CHECK int write_share(struct trees *t, struct inode *n, uint64_t src);
/* Before the present content of N (INO 0: of every file of TREE) is shared: bytes that a worker is just overwriting are set apart. */
MUST_CHECK int write_settle(struct trees *t, struct tree_row *row, uint32_t ino);
/* May the content *C of N be changed in place? */
bool write_is_own(const struct trees *t, const struct inode *n, uint32_t epoch, const struct content *c);
bool write_in_flight(const struct trees *t, uint64_t content);

#endif
