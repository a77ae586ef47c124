/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob - a byte string of any length as a Merkle tree of chunks (its "recipe").
 *
 * Bytes are cut by content (cas/chunker.h); runs of zeros are entries without bytes.  Nodes, too, end where the digests
 * of their entries say, so that equal content has equal trees whatever its history.  A blob of one data chunk is that chunk (height 0).
 */
#ifndef STORE_CAS_BLOB_H
#define STORE_CAS_BLOB_H

#include <sys/types.h>

#include "store/cas/cas.h"

struct blob_ref {		/* 25 bytes on disk: digest, height, size */
	struct digest root;	/* all zero when size is 0 or everything is a hole: no chunk then, no reference */
	uint8_t height;
	uint64_t size;
};

struct blob_sums {
	struct digest xxh3;	/* of the whole content, as `xxh128sum` prints it */
	uint8_t md5[16];	/* of the whole content, as `md5sum` prints it */
};

struct blob_writer;

/* STAGE is borrowed until the writer is freed. */
MUST_CHECK int blob_writer_new(struct cas_stage *stage, struct blob_writer **ret);
MUST_CHECK int blob_writer_add(struct blob_writer *w, struct slice bytes);
MUST_CHECK int blob_writer_add_zeros(struct blob_writer *w, uint64_t len);	/* a hole */
MUST_CHECK int blob_writer_finish(struct blob_writer *w, struct blob_ref *ret, struct blob_sums *ret_sums);
void blob_writer_free(struct blob_writer *w);	/* NULL is fine */

bool blob_has_root(const struct blob_ref *ref);	/* does it hold a reference on a chunk at all? */

/* Read up to LEN bytes at OFF into OUT; the count (0 at the end).  -EBADMSG, -EIO.  Any thread with its own view. */
MUST_CHECK ssize_t blob_read(struct cas *cas, struct kv_view *view, const struct blob_ref *ref,
			     uint64_t off, void *out, size_t len);

/* The first byte at or after OFF that is data (HOLE false) or hole (HOLE true; the end counts as one).  -ENXIO as lseek(2). */
MUST_CHECK int64_t blob_seek(struct cas *cas, struct kv_view *view, const struct blob_ref *ref, uint64_t off, bool hole);

/* Bytes that are not holes: what st_blocks is made of.  */
MUST_CHECK int blob_data_bytes(struct cas *cas, struct kv_view *view, const struct blob_ref *ref, uint64_t *ret);

/* Are two blobs of one store the same bytes?  Equal roots are; different ones are not, by construction. */
bool blob_same(const struct blob_ref *a, const struct blob_ref *b);

#endif
