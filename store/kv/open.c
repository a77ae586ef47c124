/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open - recovery: back to the saved checkpoint, forward through the journal, and a new checkpoint before anything else.
 *
 * A read-only open of a directory that can be written recovers it in the same way and then takes no batches.  Where it
 * cannot be written (a read-only disk), a cleanly closed engine is read in place, and another one is copied to an unlinked
 * temporary directory (TMPDIR or /tmp) and recovered there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/kv/kv_internal.h"

#define REPLAY_COMMIT_BYTES (16u << 20)
#define COPY_BYTES          (1u << 20)

/* --- the journal ---------------------------------------------------------------------------------- */

static int replay_record(void *arg, struct slice body)
{
	struct kv *kv = arg;
	int rc = engine_apply(kv, body);

	if (rc < 0)
		return rc;
	kv->seq++;
	kv->commit_bytes += body.len;
	if (kv->commit_bytes < REPLAY_COMMIT_BYTES)
		return 0;
	kv->commit_bytes = 0;
	rc = engine_commit_txn(kv);
	return rc < 0 ? rc : engine_begin(kv);
}

/* The records may go on from one file to the other once, in either order. */
static int replay_both(const struct kv *kv, uint64_t *next, journal_apply *apply, void *arg)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 3; i++)
		rc = journal_replay(&kv->journal, i & 1, 0, kv->epoch, next, UINT64_MAX, apply, arg,
				    NULL);
	return rc;
}

/* --- the database --------------------------------------------------------------------------------- */

static void log_fault(void *arg, const char *fault)
{
	(void)arg;
	log_error("the database: %s", fault);
}

/* A damaged slot may have been the newer one, and then pages of the older are perhaps used again. */
static int check_pinned(struct kv *kv)
{
	struct kv_view view = { .kv = kv, .txn = kv->pin[0] };
	int rc = kv_check(&view, log_fault, NULL);

	return rc > 0 ? err_set(-EBADMSG, "%s is damaged, and what is left leads to a damaged database", SLOT_FILE) : rc;
}

/* Open the environment, pin what it holds, and see that it belongs to the slot. */
static int open_env(struct kv *kv, unsigned flags)
{
	uint8_t id[SLOT_ID_BYTES];
	uint64_t seq;
	int dead, rc = engine_open_env(kv->dirfd, flags, &kv->env);

	if (rc < 0)
		return rc;
	mdb_reader_check(kv->env, &dead);
	rc = kv_err(kv, mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->pin[0]),
		    "opening the database");
	if (rc == 0)
		rc = kv_err(kv, mdb_dbi_open(kv->pin[0], NULL, 0, &kv->dbi),
			    "opening the database");
	if (rc == 0)
		rc = engine_get_own(kv->pin[0], kv->dbi, id, &kv->epoch, &seq);
	if (rc < 0)
		return rc;
	if (memcmp(id, kv->saved.id, sizeof(id)) != 0 || mdb_txn_id(kv->pin[0]) != kv->saved.txnid)
		return err_set(-EBADMSG, "%s is not of this database", SLOT_FILE);
	memcpy(kv->id, id, sizeof(id));
	kv->page_size = kv->saved.page_size;
	kv->seq = kv->mark_seq = kv->saved_seq = seq;
	return kv->slot_doubt ? check_pinned(kv) : 0;
}

static int recover(struct kv *kv)
{
	uint64_t next;
	/* After a SIGKILL the slot may be in the page cache only, and its twin is written over next. */
	int rc = io_fdatasync(kv->sync_fd);

	if (rc == 0)
		rc = slot_roll_back(kv->data_fd, &kv->saved);
	if (rc == 0)
		rc = engine_clear_lock(kv->dirfd);
	if (rc == 0)
		rc = open_env(kv, 0);
	if (rc == 0)
		rc = kv_err(kv, mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->pin[1]),
			    "opening the database");
	if (rc < 0)
		return rc;
	mdb_txn_reset(kv->pin[1]);
	rc = journal_open(&kv->journal, kv->dirfd, kv->id, O_RDWR);
	if (rc < 0)
		return rc;
	kv->journal_open = true;
	rc = engine_begin(kv);
	next = kv->seq + 1;
	if (rc == 0)
		rc = replay_both(kv, &next, replay_record, kv);
	/* Records behind a hole belong to a time that did not happen: the epoch keeps them from fitting later. */
	kv->epoch++;
	if (rc == 0)
		rc = engine_commit_txn(kv);
	if (rc == 0)
		rc = engine_begin(kv);
	kv->mark_seq = kv->seq;
	kv->main_end = slot_data_end(&kv->saved);
	kv->commit_bytes = 0;
	if (rc == 0)
		rc = checkpoint_begin(kv, true);
	if (rc < 0)
		return rc;
	checkpoint_finish(kv);
	rc = kv_failed(kv);
	if (rc < 0)
		return rc;
	kv->main_end = slot_data_end(&kv->saved);
	reserve_extend(kv);
	journal_start(&kv->journal, kv->seq);
	return 0;
}

/* --- files ---------------------------------------------------------------------------------------- */

static int open_file(int dirfd, const char *name, int flags, int *ret)
{
	int rc = io_openat(dirfd, name, flags, 0);

	if (rc < 0)
		return rc == -ENOENT ? err_set(rc, "%s is missing", name) : rc;
	*ret = rc;
	return 0;
}

static int open_files(struct kv *kv, int flags)
{
	int rc = open_file(kv->dirfd, SLOT_FILE, flags, &kv->sync_fd);

	if (rc < 0)
		return rc;
	rc = io_flock(kv->sync_fd, (flags == O_RDONLY ? LOCK_SH : LOCK_EX) | LOCK_NB);
	if (rc == -EWOULDBLOCK)
		return err_set(-EBUSY, "the store is in use by another process");
	if (rc == 0)
		rc = slot_load(kv->sync_fd, &kv->saved, &kv->slot_doubt);
	if (rc == 0)
		rc = open_file(kv->dirfd, KV_FILE, flags, &kv->data_fd);
	return rc == -ENOENT ? -EBADMSG : rc;
}

static void close_files(struct kv *kv)
{
	if (kv->journal_open)
		journal_close(&kv->journal);
	kv->journal_open = false;
	if (kv->env) {
		if (kv->live.txn)
			mdb_txn_abort(kv->live.txn);
		for (int i = 0; i < 2; i++)
			if (kv->pin[i])
				mdb_txn_abort(kv->pin[i]);
		mdb_env_close(kv->env);
	}
	kv->live.txn = kv->pin[0] = kv->pin[1] = NULL;
	kv->env = NULL;
	if (kv->data_fd >= 0)
		(void)io_close(kv->data_fd);
	if (kv->sync_fd >= 0)
		(void)io_close(kv->sync_fd);
	kv->data_fd = kv->sync_fd = -1;
	if (kv->own_dirfd)
		(void)io_close(kv->dirfd);
	kv->own_dirfd = false;
}

/* --- read-only ------------------------------------------------------------------------------------ */

static int count_record(void *arg, struct slice body)
{
	(void)body;
	++*(unsigned *)arg;
	return 0;
}

/* Is the engine, opened for reading, exactly what its last checkpoint says? */
static int open_clean(struct kv *kv, bool *ret_clean)
{
	unsigned records = 0;
	uint64_t newest, next;
	int rc = slot_newest_txnid(kv->data_fd, kv->saved.page_size, &newest);

	*ret_clean = false;
	if (rc < 0 || newest != kv->saved.txnid)
		return 0; /* a torn meta page too is a matter for recovery */
	rc = open_env(kv, MDB_RDONLY | MDB_NOLOCK);
	if (rc == 0)
		rc = journal_open(&kv->journal, kv->dirfd, kv->id, O_RDONLY);
	if (rc < 0)
		return rc;
	kv->journal_open = true;
	next = kv->seq + 1;
	rc = replay_both(kv, &next, count_record, &records);
	*ret_clean = records == 0;
	return rc;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	SCOPED_FD int from = io_openat(from_dir, name, O_RDONLY, 0);
	SCOPED_FD int to =
		from < 0 ? -1 : io_openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	char *bytes;
	ssize_t n;
	int rc = 0;

	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	bytes = malloc(COPY_BYTES);
	if (!bytes)
		return err_set(-ENOMEM, "out of memory");
	while (rc == 0 && (n = io_read_full(from, bytes, COPY_BYTES)) != 0)
		rc = n < 0 ? (int)n : io_write_full(to, bytes, (size_t)n);
	free(bytes);
	return rc;
}

static const char *const all_files[] = { SLOT_FILE, KV_FILE, "journal.0", "journal.1",
					 KV_LOCK_FILE };

/* Recover a private copy.  Its names are gone again when this returns. */
static int open_copy(struct kv *kv, int dirfd)
{
	const char *tmp = getenv("TMPDIR");
	char path[256];
	int rc = snprintf(path, sizeof(path), "%s/labfs-ro-XXXXXX", tmp ? tmp : "/tmp");

	if (rc < 0 || (size_t)rc >= sizeof(path))
		return err_set(-ENAMETOOLONG, "TMPDIR is too long");
	if (!mkdtemp(path))
		return err_set(-errno, "cannot make a directory in %s", tmp ? tmp : "/tmp");
	rc = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (rc >= 0) {
		kv->dirfd = rc;
		kv->own_dirfd = true;
		rc = 0;
	}
	for (int i = 0; rc == 0 && i < 4; i++)
		rc = copy_file(dirfd, kv->dirfd, all_files[i]);
	if (rc == 0)
		rc = open_files(kv, O_RDWR);
	if (rc == 0)
		rc = recover(kv);
	for (int i = 0; kv->own_dirfd && i < 5; i++)
		(void)!io_unlinkat(kv->dirfd, all_files[i], 0);
	(void)!io_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
	return rc;
}

static int open_unwritable(struct kv *kv)
{
	bool clean = false;
	int rc = open_files(kv, O_RDONLY), dirfd = kv->dirfd;

	if (rc == 0)
		rc = open_clean(kv, &clean);
	if (rc < 0 || clean)
		return rc;
	close_files(kv);
	return open_copy(kv, dirfd);
}

/* The live view of a read-only engine is a read transaction. */
static int become_read_only(struct kv *kv)
{
	if (kv->live.txn)
		mdb_txn_abort(kv->live.txn);
	kv->live.txn = NULL;
	return kv_err(kv, mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->live.txn),
		      "opening the database");
}

/* --- open, close ---------------------------------------------------------------------------------- */

static void destroy(struct kv *kv)
{
	close_files(kv);
	buf_release(&kv->record);
	buf_release(&kv->undo);
	pthread_cond_destroy(&kv->changed);
	pthread_cond_destroy(&kv->syncer_work);
	pthread_cond_destroy(&kv->timer_work);
	pthread_mutex_destroy(&kv->snapshots_lock);
	pthread_mutex_destroy(&kv->lock);
	free(kv);
}

static struct kv *new_kv(int dirfd, const struct kv_options *options)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	pthread_condattr_t monotonic;

	if (!kv)
		return NULL;
	if (options)
		kv->options = *options;
	kv->dirfd = dirfd;
	kv->sync_fd = kv->data_fd = -1;
	kv->live.kv = kv;
	kv->live.live = true;
	kv->has_core = true;
	kv->core = pthread_self();
	pthread_mutex_init(&kv->lock, NULL);
	pthread_mutex_init(&kv->snapshots_lock, NULL);
	pthread_cond_init(&kv->changed, NULL);
	pthread_cond_init(&kv->syncer_work, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&kv->timer_work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return kv;
}

int kv_open(int dirfd, const struct kv_options *options, struct kv **ret)
{
	struct kv *kv = new_kv(dirfd, options);
	int rc;

	if (!kv)
		return err_set(-ENOMEM, "out of memory");
	if (kv->options.read_only && !io_writable(dirfd, KV_FILE)) {
		rc = open_unwritable(kv);
	} else {
		rc = open_files(kv, O_RDWR);
		if (rc == 0)
			rc = recover(kv);
	}
	if (rc == 0)
		rc = kv->options.read_only ? become_read_only(kv) : checkpoint_threads_start(kv);
	if (rc < 0) {
		destroy(kv);
		return rc;
	}
	*ret = kv;
	return 0;
}

int kv_close(struct kv *kv)
{
	int rc = 0, synced;

	if (!kv)
		return 0;
	core_assert(kv);
	assert(!kv->in_batch && kv->live.cursors == 0);
	if (!kv->options.read_only) {
		rc = kv_checkpoint(kv);
		checkpoint_threads_stop(kv);
		if (rc == 0) {
			journal_start(&kv->journal, kv->seq); /* cuts long files back */
		} else {
			synced = kv_sync(kv, kv->seq); /* the journal has it all */
			rc = rc == -ENOSPC ? synced : rc;
		}
	}
	destroy(kv);
	return rc;
}
