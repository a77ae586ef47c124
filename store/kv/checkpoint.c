/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint - moves the point that a recovery goes back to, and the two threads of the engine.
 *
 *	core	commit; pin the commit by a read transaction; note its meta page; go on in the other journal file
 *	syncer	fdatasync the main file; write the slot durably; only now let the old pin go, and the old journal file
 *
 * See the invariants 3 to 7 in kv_internal.h.
 */
#include <errno.h>
#include <time.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/kv/kv_internal.h"


bool checkpoint_running(struct kv *kv)
{
	bool running;

	pthread_mutex_lock(&kv->lock);
	running = kv->checkpoint == CHECKPOINT_SYNCING;
	pthread_mutex_unlock(&kv->lock);
	return running;
}

int checkpoint_wait(struct kv *kv)
{
	pthread_mutex_lock(&kv->lock);
	while (kv->checkpoint == CHECKPOINT_SYNCING)
		pthread_cond_wait(&kv->changed, &kv->lock);
	pthread_mutex_unlock(&kv->lock);
	return kv_failed(kv);
}

int checkpoint_begin(struct kv *kv, bool force)
{
	int spare = kv->pin_current ^ 1, rc = 0;
	struct slot next = kv->saved;

	core_assert(kv);
	/* One that has just failed has saved nothing: what the other journal file holds is still needed. */
	rc = kv_failed(kv);
	if (rc == 0 && (kv->commit_batches || kv->mark_seq != kv->seq))
		rc = engine_commit(kv, force);
	if (rc < 0)
		return rc;
	rc = kv_err(kv, mdb_txn_renew(kv->pin[spare]), "pinning the checkpoint");
	if (rc < 0)
		return rc;
	next.gen++;
	rc = slot_take_page(kv->data_fd, mdb_txn_id(kv->pin[spare]), &next);
	if (rc < 0) {
		mdb_txn_reset(kv->pin[spare]);
		return rc;
	}
	journal_switch(&kv->journal);
	kv->mark_at = 0;
	kv->main_base = kv->main_end;
	atomic_store(&kv->checkpoint_since_ms, 0);
	pthread_mutex_lock(&kv->lock);
	kv->pending = next;
	kv->pending_seq = kv->seq;
	kv->checkpoint = CHECKPOINT_SYNCING;
	pthread_cond_signal(&kv->syncer_work);
	pthread_mutex_unlock(&kv->lock);
	return 0;
}


void checkpoint_finish(struct kv *kv)
{
	int rc = io_fdatasync(kv->data_fd);

	if (rc == 0)
		rc = slot_save(kv->sync_fd, &kv->pending);
	if (rc < 0) {
		kv_fail(kv, rc, "checkpoint");
	} else {
		mdb_txn_reset(kv->pin[kv->pin_current]);
		kv->pin_current ^= 1;
		journal_covered(&kv->journal, kv->pending_seq);
		atomic_fetch_add(&kv->checkpoints, 1);
	}
	pthread_mutex_lock(&kv->lock);
	if (rc == 0) {
		kv->saved = kv->pending;
		kv->saved_seq = kv->pending_seq;
	}
	kv->checkpoint = rc < 0 ? CHECKPOINT_FAILED : CHECKPOINT_IDLE;
	pthread_cond_broadcast(&kv->changed);
	pthread_cond_signal(&kv->timer_work);
	pthread_mutex_unlock(&kv->lock);
}

static void *syncer_main(void *arg)
{
	struct kv *kv = arg;

	pthread_mutex_lock(&kv->lock);
	for (;;) {
		if (kv->checkpoint == CHECKPOINT_SYNCING) {
			pthread_mutex_unlock(&kv->lock);
			checkpoint_finish(kv);
			pthread_mutex_lock(&kv->lock);
		} else if (kv->stop) {
			break;
		} else {
			pthread_cond_wait(&kv->syncer_work, &kv->lock);
		}
	}
	pthread_mutex_unlock(&kv->lock);
	return NULL;
}

/* Milliseconds from NOW until SINCE is AFTER old; 0 when it is, -1 when there is nothing. */
static int64_t time_left(int64_t since, int64_t after, int64_t now)
{
	if (since == 0)
		return -1;
	return since + after > now ? since + after - now : 0;
}

static int64_t sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* What is due is done, or the core told; answers how long to sleep, -1: until kicked.  Without the lock. */
static int64_t timer_round(struct kv *kv, bool syncing)
{
	int64_t now = clock_mono_ms(), sync_in, commit_in, checkpoint_in;

	if (atomic_load(&kv->failed))
		return -1;
	sync_in = time_left(journal_dirty_since(&kv->journal), KV_SYNC_MS, now);
	if (sync_in == 0) {
		/* A failure is kept by the journal, and logged there. */
		if (journal_sync(&kv->journal, UINT64_MAX) < 0)
			return -1;
		now = clock_mono_ms();
		sync_in = time_left(journal_dirty_since(&kv->journal), KV_SYNC_MS, now);
	}
	commit_in = time_left(atomic_load(&kv->commit_since_ms), KV_COMMIT_MS, now);
	checkpoint_in =
		syncing ? -1
			: time_left(atomic_load(&kv->checkpoint_since_ms), KV_CHECKPOINT_MS, now);
	if (commit_in == 0 || checkpoint_in == 0) {
		/* Told again until it is done: a signal may come just before the core goes to sleep. */
		atomic_store(&kv->tick_due, true);
		if (kv->options.wake)
			kv->options.wake(kv->options.wake_arg);
		commit_in = commit_in == 0 ? KV_COMMIT_MS : commit_in;
		checkpoint_in = checkpoint_in == 0 ? KV_COMMIT_MS : checkpoint_in;
	}
	return sooner(sync_in, sooner(commit_in, checkpoint_in));
}

static void *timer_main(void *arg)
{
	struct kv *kv = arg;

	pthread_mutex_lock(&kv->lock);
	while (!kv->stop) {
		bool syncing = kv->checkpoint == CHECKPOINT_SYNCING;
		int64_t sleep_ms;
		struct timespec until;

		kv->timer_kicked = false;
		pthread_mutex_unlock(&kv->lock);
		sleep_ms = timer_round(kv, syncing);
		pthread_mutex_lock(&kv->lock);
		if (kv->stop || kv->timer_kicked || sleep_ms == 0)
			continue;
		if (sleep_ms < 0) {
			pthread_cond_wait(&kv->timer_work, &kv->lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += sleep_ms / 1000;
		until.tv_nsec += sleep_ms % 1000 * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		(void)pthread_cond_timedwait(&kv->timer_work, &kv->lock, &until);
	}
	pthread_mutex_unlock(&kv->lock);
	return NULL;
}

void checkpoint_timer_kick(struct kv *kv)
{
	pthread_mutex_lock(&kv->lock);
	kv->timer_kicked = true;
	pthread_cond_signal(&kv->timer_work);
	pthread_mutex_unlock(&kv->lock);
}

int checkpoint_threads_start(struct kv *kv)
{
	int rc = pthread_create(&kv->syncer, NULL, syncer_main, kv);

	if (rc)
		return err_set(-rc, "cannot start a thread");
	rc = pthread_create(&kv->timer, NULL, timer_main, kv);
	if (rc) {
		pthread_mutex_lock(&kv->lock);
		kv->stop = true;
		pthread_cond_signal(&kv->syncer_work);
		pthread_mutex_unlock(&kv->lock);
		pthread_join(kv->syncer, NULL);
		return err_set(-rc, "cannot start a thread");
	}
	kv->threads = true;
	return 0;
}

void checkpoint_threads_stop(struct kv *kv)
{
	if (!kv->threads)
		return;
	pthread_mutex_lock(&kv->lock);
	kv->stop = true;
	pthread_cond_signal(&kv->syncer_work);
	pthread_cond_signal(&kv->timer_work);
	pthread_mutex_unlock(&kv->lock);
	pthread_join(kv->timer, NULL);
	pthread_join(kv->syncer, NULL);
	kv->threads = false;
}

uint64_t kv_durable(struct kv *kv)
{
	uint64_t seq;

	pthread_mutex_lock(&kv->lock);
	seq = kv->saved_seq;
	pthread_mutex_unlock(&kv->lock);
	return seq;
}
