/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_internal - what the files of store/kv share; nobody else includes it.
 *
 * Engine: one LMDB environment that is never synced by LMDB itself, one write transaction that the core holds open over
 * many batches, a redo journal, and checkpoints.  Opening always rolls LMDB back to the last checkpoint and replays the
 * journal: there is one way to recover, from SIGKILL and power cut alike.
 *
 * 1. A batch is acknowledged only when its record is in the journal; a record is written only when all of the batch's
 *    puts have succeeded in the write transaction.
 * 2. LMDB state = own record (KEY_OWN): after an LMDB commit it holds exactly the batches up to `seq` in that record.
 *    The records since then are in the current journal file, from mark_at on.
 * 3. A slot of sync.meta is written only after all pages that its meta page leads to are durable.
 * 4. From before the pages of a checkpoint are synced until its slot is durable, a read transaction (the old pin) holds
 *    the checkpoint before it, so that no page of that one is re-used.
 * 5. The slot that is overwritten is never the only durable one.
 * 6. No batch is accepted between opening and the checkpoint that ends recovery.
 * 7. A journal file is begun again only when a checkpoint that covers it is saved.
 * 8. After an I/O error of journal or checkpoint no batch is accepted until the engine is opened again.
 *
 * Threads: `core` (batches, LMDB commits, begin of a checkpoint), `syncer` (its slow part), `timer` (journal fdatasync,
 * reminders).  One lock, held for a few instructions; the journal has its own, taken inside or outside of it never.
 */
#ifndef STORE_KV_KV_INTERNAL_H
#define STORE_KV_KV_INTERNAL_H

#include <assert.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/base/buf.h"
#include "store/kv/journal.h"
#include "store/kv/kv.h"
#include "store/kv/slot.h"

#define KV_FILE      "meta.mdb"
#define KV_LOCK_FILE "meta.mdb-lock"
#define KV_TABLE_OWN 0xffu /* the engine's own record; not for callers */

#define KV_COMMIT_BATCHES   1000u
#define KV_COMMIT_BYTES     (4u << 20)
#define KV_COMMIT_MS        100
#define KV_SYNC_MS          100
#define KV_CHECKPOINT_MS    1000
#define KV_RETRY_MS         1000        /* after an LMDB commit that found the disk full */
#define KV_JOURNAL_PRESS    (32u << 20) /* a journal file above this wants a checkpoint */
#define KV_JOURNAL_MAX      (64u << 20) /* above this new batches wait for it */
#define KV_GROWTH_PRESS     (32u << 20) /* the same two limits for what the main file has grown by */
#define KV_GROWTH_MAX       (256u << 20)
#define KV_JOURNAL_HEADROOM (64u << 10)	/* for a batch that frees space on a full disk */
#define KV_JOURNAL_SPARE (256u << 10)	/* left by other batches for such */

/* One operation in a journal record's body. */
enum kv_op { KV_OP_PUT = 1, KV_OP_DEL = 2 };

struct kv_view {
	struct kv *kv;
	MDB_txn *txn;     /* NULL: lost, nothing can be read */
	unsigned cursors; /* open ones */
	bool live;
	uint64_t seq; /* of a snapshot: the newest batch it shows */
	struct kv_view *newer,
		*older; /* among the open snapshots; protected by kv.snapshots_lock */
};

enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_SYNCING, CHECKPOINT_FAILED };

struct kv {
	/* immutable */
	struct kv_options options;
	int dirfd;
	bool own_dirfd; /* a private copy of a store that cannot be written */
	int sync_fd;
	bool slot_doubt; /* a slot is damaged: look at the pages before they are believed */
	int data_fd; /* a second descriptor of the main file, for fdatasync and the meta page */
	MDB_env *env;
	MDB_dbi dbi;
	uint8_t id[SLOT_ID_BYTES];
	uint32_t page_size;

	/* core thread */
	bool has_core;
	pthread_t core;
	struct kv_view live; /* live.txn is the open write transaction */
	bool in_batch;
	int batch_rc;      /* sticky error of the open batch */
	struct buf record; /* its journal record so far */
	struct buf undo;   /* old values, read from the end */
	uint64_t changes;  /* puts and deletes since open; cursors compare it */
	uint64_t epoch;
	unsigned commit_batches; /* since the last LMDB commit */
	uint64_t commit_bytes;   /* same */
	int64_t commit_retry_ms;
	uint64_t mark_at; /* invariant 2 */
	uint64_t mark_seq;
	uint64_t main_end;  /* of the main file, at the last LMDB commit */
	uint64_t main_base;	/* the same at the last begin of a checkpoint */
	uint64_t growth;	/* of the main file by one LMDB commit: the most of late */
	uint64_t reserve_end;	/* main file is preallocated up to here */
	bool no_reserve;	/* the file system cannot */
	bool tight;		/* the reserve is smaller than it should be: the disk is almost full */
	bool low;		/* it could not be had at all */
	bool spend;		/* kv_use_reserve() */
	uint64_t batches;
	uint64_t commits;
	int64_t stats_ms; /* when stats_free was counted */
	uint64_t stats_free;

	/* atomic */
	_Atomic uint64_t seq;
	_Atomic int failed;                  /* 0 or -EIO: invariant 8 */
	_Atomic int64_t commit_since_ms;     /* oldest batch without LMDB commit, 0: none */
	_Atomic int64_t checkpoint_since_ms; /* oldest batch without begun checkpoint, 0: none */
	_Atomic bool tick_due;
	_Atomic uint64_t checkpoints;

	struct journal journal;

	/* protected by lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* checkpoint ended */
	pthread_cond_t syncer_work;
	pthread_cond_t timer_work;
	bool stop;
	bool timer_kicked;
	enum checkpoint_state checkpoint;
	struct slot saved;   /* the last durable slot */
	struct slot pending; /* the one that the syncer works on */
	uint64_t saved_seq;
	uint64_t pending_seq;

	pthread_mutex_t snapshots_lock; /* never held together with another */
	struct kv_view *snapshots;      /* protected by snapshots_lock: the newest open one */

	MDB_txn *pin[2];      /* core while idle, else syncer */
	int pin_current;      /* same */

	bool journal_open; /* core */
	bool threads;      /* core: they run */
	pthread_t syncer;
	pthread_t timer;
};

static inline void core_assert(const struct kv *kv)
{
	assert(kv->has_core && pthread_equal(kv->core, pthread_self()));
	(void)kv;
}

/* kv_err.c: an MDB_* code as -errno, with a reason that says WHAT failed.  KV may be NULL. */
int kv_err(const struct kv *kv, int mdb_rc, const char *what);
/* The engine takes no more batches. */
void kv_fail(struct kv *kv, int rc, const char *what);
MUST_CHECK int kv_failed(struct kv *kv);

/* engine.c: the write transaction between batches.  Core. */
MUST_CHECK int engine_begin(struct kv *kv);
/* FORCE: even if it found the disk full a moment ago. */
MUST_CHECK int engine_commit(struct kv *kv, bool force);
/* The bare commit: the transaction is gone afterwards, whatever the answer. */
MUST_CHECK int engine_commit_txn(struct kv *kv);
/* Throw the transaction away and build it again from the journal. */
MUST_CHECK int engine_rebuild(struct kv *kv);
MUST_CHECK int engine_apply(struct kv *kv, struct slice body);
MUST_CHECK int engine_put_own(MDB_txn *txn, MDB_dbi dbi, const uint8_t id[SLOT_ID_BYTES],
			      uint64_t epoch, uint64_t seq);
MUST_CHECK int engine_get_own(MDB_txn *txn, MDB_dbi dbi, uint8_t id[SLOT_ID_BYTES],
			      uint64_t *ret_epoch, uint64_t *ret_seq);
/* Have an empty lock file in DIRFD, all of it on disk.  No LMDB may be open there. */
MUST_CHECK int engine_clear_lock(int dirfd);
/* Open the LMDB file in DIRFD with the largest map the system allows. */
MUST_CHECK int engine_open_env(int dirfd, unsigned flags, MDB_env **ret);

/* reserve.c; core.  main_end is now MAIN_END. */
void reserve_grown(struct kv *kv, uint64_t main_end);
/* Keep blocks ready behind the end of the main file, or set kv->low. */
void reserve_extend(struct kv *kv);
/* May a batch begin?  -ENOSPC, -EIO. */
MUST_CHECK int reserve_check(struct kv *kv);
/* A commit found the disk full.  True: it is worth another try. */
bool reserve_release(struct kv *kv);

/* checkpoint.c */
/* Commit, pin, switch journals; the syncer does the rest.  Core, none running.  FORCE as engine_commit(). */
MUST_CHECK int checkpoint_begin(struct kv *kv, bool force);
/* The rest of it.  Syncer, or the core before the threads run. */
void checkpoint_finish(struct kv *kv);
MUST_CHECK int checkpoint_wait(struct kv *kv);
bool checkpoint_running(struct kv *kv);
MUST_CHECK int checkpoint_threads_start(struct kv *kv);
void checkpoint_threads_stop(struct kv *kv);
/* The timer must look at its deadlines again. */
void checkpoint_timer_kick(struct kv *kv);

static inline MDB_val val_of(struct slice s)
{
	union {
		const void *in;
		void *out;
	} cast = { s.data }; /* MDB_val serves both ways and has no const */

	return (MDB_val){ s.len, cast.out };
}

static inline struct slice slice_of_val(MDB_val v)
{
	return slice_of(v.mv_data, v.mv_size);
}

#endif
