/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv - an ordered, transactional map from bytes to bytes: the seam behind which the storage engine lives.
 *
 * One thread, the core, owns the write side; it groups changes into batches.  A batch is all or nothing,
 * and once kv_commit() has returned it survives SIGKILL of the process.  It survives a power cut once
 * kv_sync() of its number has returned, or about 100 ms later by itself.  Keys live in numbered tables and
 * are ordered by memcmp within each.  Nothing above this header knows which engine stores them.
 * Design and invariants: store/DESIGN.md "kv".  Bytes on disk: store/FORMAT.md.
 */
#ifndef STORE_KV_KV_H
#define STORE_KV_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/err.h"
#include "store/base/slice.h"

#define KV_KEY_MAX   480u        /* bytes of a key, the table not counted */
#define KV_VALUE_MAX (1u << 20)  /* bytes of a value */
#define KV_BATCH_MAX (16u << 20) /* bytes of keys and values in one batch */

struct kv;
struct kv_view;
struct kv_cursor;

struct kv_options {
	bool read_only; /* replay is then done into memory-only state; kv_begin answers -EROFS */
	/* Called from kv's own thread when the core should call kv_tick() soon.  May be NULL (no event loop). */
	void (*wake)(void *arg);
	void *wake_arg;
};

/* Make the files of an empty engine in the directory DIRFD, durably.  -EEXIST when there are some. */
MUST_CHECK int kv_create(int dirfd);

/*
 * Open the engine in DIRFD (borrowed, kept open by the caller until kv_close): rolls back to the last
 * checkpoint, replays the journal, checkpoints.  The calling thread becomes the core until kv_adopt().
 * -ENOENT no engine there; -EBADMSG damaged; -EIO.
 */
MUST_CHECK int kv_open(int dirfd, const struct kv_options *options, struct kv **ret);

/* The calling thread becomes the core.  Only between batches, and after the old core called kv_release_core(). */
void kv_adopt(struct kv *kv);
void kv_release_core(struct kv *kv);

/* Checkpoint, stop the threads, close.  Core only.  NULL is fine.  Returns the first error of the checkpoint. */
int kv_close(struct kv *kv);

/* --- writing: core thread only ------------------------------------------------------------------ */

/*
 * Begin a batch; batches do not nest.  -ENOSPC: see kv_use_reserve().  -EROFS when read-only, -EIO
 * after an I/O error of the journal or of a checkpoint (the engine then only reads until it is opened
 * again).
 */
MUST_CHECK int kv_begin(struct kv *kv);

/*
 * Put or delete within the batch; seen at once by kv_get() of the live view.  Memory behind the slices is copied.
 * kv_del of what is not there: -ENOENT.  -ENOSPC, -ENOMEM, -EIO: the batch must be aborted.
 */
MUST_CHECK int kv_put(struct kv *kv, uint8_t table, struct slice key, struct slice value);
MUST_CHECK int kv_del(struct kv *kv, uint8_t table, struct slice key);

/*
 * End the batch: all of it is journaled, or none of it has happened (and the error says why).
 * *RET_SEQ (may be NULL) is its number, for kv_sync().  An empty batch costs nothing.
 */
MUST_CHECK int kv_commit(struct kv *kv, uint64_t *ret_seq);

/* Undo everything since kv_begin(). */
void kv_abort(struct kv *kv);

/*
 * While ON, batches may take the room that is kept back for a full disk.  For what frees space, and nothing else; other
 * batches get -ENOSPC from kv_begin() when that room is all there is.  Core, between batches.
 */
bool kv_use_reserve(struct kv *kv, bool on);	/* answers what it was before */

/* Is a batch open?  For assertions. */
bool kv_in_batch(const struct kv *kv);

/* The number of the newest committed batch. */
uint64_t kv_seq(const struct kv *kv);

/* Housekeeping that is due (engine commit, checkpoint begin); core, between batches; cheap when nothing is. */
void kv_tick(struct kv *kv);

/* Make everything committed so far visible to snapshots opened from now on.  Core, between batches. */
MUST_CHECK int kv_publish(struct kv *kv);

/* Everything committed so far goes into the main file durably, journal emptied.  Core, between batches; blocks. */
MUST_CHECK int kv_checkpoint(struct kv *kv);

/* --- durability: any thread ---------------------------------------------------------------------- */

/* Block until batch SEQ and all before it are on stable storage.  -EIO when that can no longer be had. */
MUST_CHECK int kv_sync(struct kv *kv, uint64_t seq);

/* The newest batch that the last checkpoint put on stable storage.  Does not block; later ones may be there, too. */
uint64_t kv_durable(struct kv *kv);

/* --- reading ------------------------------------------------------------------------------------- */

/* The live state, open batch included.  Core only.  Borrowed from KV. */
struct kv_view *kv_live(struct kv *kv);

/*
 * A snapshot: what the last kv_publish() or kv_tick() commit made visible, unchanged until closed.  Any thread;
 * may be used by one thread at a time and passed between threads.  Keep it short: while it lives no page is re-used.
 */
MUST_CHECK int kv_snapshot_open(struct kv *kv, struct kv_view **ret);
void kv_snapshot_close(struct kv_view *view); /* NULL is fine */

/* The newest batch a view shows; and the oldest such number of all open snapshots (UINT64_MAX when none is open): what was
 * deleted by a batch may be reclaimed outside the engine only when no older snapshot can still name it.  Any thread. */
uint64_t kv_view_seq(const struct kv_view *view);
uint64_t kv_snapshot_oldest(struct kv *kv);

/*
 * The value of KEY, borrowed: on the live view valid until the next kv_put, kv_del, kv_commit, kv_abort or kv_tick; on
 * a snapshot until it is closed.  -ENOENT, -EIO, -EBADMSG.
 */
MUST_CHECK int kv_get(struct kv_view *view, uint8_t table, struct slice key, struct slice *ret);

/*
 * A cursor over one table.  Key and value slices are borrowed as with kv_get().  On the live view a cursor must be closed
 * before kv_commit, kv_abort, kv_tick; after a put or delete it must be sought again.
 * seek: the first key >= KEY.  seek_before: the last key < KEY.  next, prev: from the current one.
 * All: -ENOENT when there is no such key (within the table).
 */
MUST_CHECK int kv_cursor_open(struct kv_view *view, uint8_t table, struct kv_cursor **ret);
void kv_cursor_close(struct kv_cursor *cur); /* NULL is fine */
MUST_CHECK int kv_cursor_seek(struct kv_cursor *cur, struct slice key);
MUST_CHECK int kv_cursor_seek_before(struct kv_cursor *cur, struct slice key);
MUST_CHECK int kv_cursor_next(struct kv_cursor *cur);
MUST_CHECK int kv_cursor_prev(struct kv_cursor *cur);
struct slice kv_cursor_key(const struct kv_cursor *cur);
struct slice kv_cursor_value(const struct kv_cursor *cur);

static inline void kv_cursor_scoped_close(struct kv_cursor **cur)
{
	kv_cursor_close(*cur);
}
#define SCOPED_CURSOR __attribute__((cleanup(kv_cursor_scoped_close)))

/* --- facts ---------------------------------------------------------------------------------------- */

struct kv_stats {
	uint64_t bytes_main;    /* of the main file that hold pages, used or free */
	uint64_t bytes_free;    /* of those: free for re-use */
	uint64_t bytes_journal; /* in use since the last checkpoint */
	uint64_t batches;       /* since open */
	uint64_t commits;       /* of the engine, since open */
	uint64_t checkpoints;   /* since open */
};
void kv_stats(struct kv *kv, struct kv_stats *ret); /* core */

/*
 * Write a compact copy of the main file as a new engine's files into the empty directory DIRFD, from the last published
 * state; any thread.  The copy is complete by itself (backup, and giving space back).
 */
MUST_CHECK int kv_copy(struct kv *kv, int dirfd);

/* Check the engine's own structure (every page reachable once, order of keys) and that every record can be read.
 * REPORT is called once a fault.  0 clean, 1 faults, -errno. */
MUST_CHECK int kv_check(struct kv_view *view, void (*report)(void *arg, const char *fault),
			void *arg);

#endif
