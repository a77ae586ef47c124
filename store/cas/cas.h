/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas - the content store: immutable chunks of bytes named by the XXH3-128 of their bytes.
 *
 * A chunk is stored once however many refer to it: a put whose digest is known compares the bytes; if they differ (a
 * collision) the newcomer is named by its digest under the next seed, so two contents are never taken for one.  A get re-hashes.
 * Small chunks lie in the key-value engine, others (zstd when it pays) in append-only segment files under `segments/`.
 * Chunks are of two kinds: DATA, and NODE, whose bytes name other chunks (cas/blob.h builds files of them).
 * A chunk counts its references: from nodes, and those taken by cas_ref().  What nobody refers to is collected in steps.
 *
 * Threads: staging belongs to one worker; everything marked core to the core thread within a kv batch; reads to any.
 */
#ifndef STORE_CAS_CAS_H
#define STORE_CAS_CAS_H

#include <stdint.h>

#include "store/base/buf.h"
#include "store/base/hash.h"
#include "store/kv/kv.h"

enum cas_kind {
	CAS_DATA = 1,
	CAS_NODE = 2,
};

#define CAS_CHUNK_MAX (1u << 20)	/* bytes of one chunk; the chunker's own maximum is smaller */

struct cas;
struct cas_stage;

/* Make the (empty) segment directory below the store's DIRFD. */
MUST_CHECK int cas_create(int dirfd);

/* Core.  Truncates what a crash left behind the recorded end of each segment (not when the engine is read-only). DIRFD and KV are borrowed until cas_close(). */
MUST_CHECK int cas_open(struct kv *kv, int dirfd, struct cas **ret);
void cas_close(struct cas *cas);	/* NULL is fine */

/* --- adding: a worker stages chunks, the core adopts them ---------------------------------------- */

/* A stage looks for known chunks in SNAPSHOT (borrowed until cas_stage_free; may be the live view when there are no workers).
 * One stage is open at a time. -EBUSY. */
MUST_CHECK int cas_stage_new(struct cas *cas, struct kv_view *snapshot, struct cas_stage **ret);

/* Name BYTES; writes them to a segment unless they are known or already staged.  For a NODE the children must be known or staged.
 * -ENOSPC, -EIO, -EFBIG. */
MUST_CHECK int cas_stage_put(struct cas_stage *stage, enum cas_kind kind, struct slice bytes, struct digest *ret);

/* The staged bytes are on stable storage when this returns. */
MUST_CHECK int cas_stage_sync(struct cas_stage *stage);

/*
 * Core, within a batch: the staged chunks become part of the store with the references their nodes make; new chunks that
 * nothing refers to yet must be given a reference by cas_ref() in the same batch.  May be called with parts: FROM continues where the
 * last call ended, *RET_MORE says that there is more (so that no batch grows too large).  -ESTALE: a chunk that was found
 * known has been collected meanwhile; stage again.
 */
MUST_CHECK int cas_stage_commit(struct cas_stage *stage, bool *ret_more);
void cas_stage_free(struct cas_stage *stage);	/* forgets what was not committed; any thread; NULL is fine */

/* Core, within a batch: one reference more, one fewer.  -ENOENT.  At zero the chunk is queued for cas_collect_step(). */
MUST_CHECK int cas_ref(struct cas *cas, const struct digest *id);
MUST_CHECK int cas_unref(struct cas *cas, const struct digest *id);

/* Core, within a batch: collect up to BUDGET dead chunks; *RET_MORE when there are more. */
MUST_CHECK int cas_collect_step(struct cas *cas, unsigned budget, bool *ret_more);

/* Give the blocks of collected chunks back to the host (punch holes, remove dead segments): core, between batches; deletions that are
 * not durable yet or that an open snapshot may still see are left for later.  *RET_BYTES given back. */
MUST_CHECK int cas_reclaim_step(struct cas *cas, unsigned budget, uint64_t *ret_bytes, bool *ret_more);

/* Batches up to SEQ are on stable storage: a kv_sync() of it has returned.  cas_reclaim_step() waits for that; without such news it
 * learns of it from the next checkpoint or cas_stage_sync().  Any thread. */
void cas_durable(struct cas *cas, uint64_t seq);

/* --- reading: any thread with a view of its own -------------------------------------------------- */

/* Append the bytes of ID to OUT, re-hashed.  -ENOENT, -EBADMSG (bytes do not match), -EIO. */
MUST_CHECK int cas_get(struct cas *cas, struct kv_view *view, const struct digest *id, struct buf *out);

struct cas_stats {
	uint64_t chunks, bytes_raw, bytes_stored;	/* referenced */
	uint64_t segments, bytes_segments;		/* on disk */
	uint64_t dead, bytes_dead;			/* to be collected, or to be given back */
};
MUST_CHECK int cas_stats(struct cas *cas, struct kv_view *view, struct cas_stats *ret);	/* O(segments) */

/* Read and re-hash every chunk, check every node's children, every count of references against what refers (ROOTS adds the references
 * that others hold: calls add() once each), every segment's figures.  REPORT once a fault.  0 clean, 1 faults, -errno. */
struct cas_check {
	MUST_CHECK int (*roots)(void *arg, int (*add)(void *add_arg, const struct digest *root), void *add_arg);
	void (*report)(void *arg, const char *fault);
	void *arg;
};
MUST_CHECK int cas_check(struct cas *cas, struct kv_view *view, const struct cas_check *check);

#endif
