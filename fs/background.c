/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background - timers and bounded steps on the core; the sealer's bytes are a worker's.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/background.h"
#include "fs/fs.h"
#include "fs/watch.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/meta/entry.h"

#define TICK_MS 1000			/* between two looks for work, while there are changes */
#define COLLECT_EVERY_MS 5000
#define FLUSH_MS 500			/* bytes of files wait so long for the disk, and as long as the disk needs */
#define ROOM_STEPS 2000

struct seal_job {
	struct job job;
	struct fs *fs;
	struct tree_seal *seal;
	struct kv_view *snapshot;
};

/* --- sealing ------------------------------------------------------------------------------------- */

static void seal_tick(struct fs *fs);

static void seal_work(struct job *job)
{
	struct seal_job *s = (struct seal_job *)job;

	(void)!tree_seal_work(s->seal, s->snapshot);	/* its error is the end's, too */
}

/* Between two steps of the end the core has time for requests. */
static void seal_pause(struct job *job)
{
	(void)job;
}

static void seal_done(struct job *job)
{
	struct seal_job *s = (struct seal_job *)job;
	struct fs *fs = s->fs;
	bool more = false;
	int rc;

	kv_snapshot_close(s->snapshot);
	s->snapshot = NULL;
	rc = tree_seal_end_step(fs->trees, s->seal, &more);	/* after a failure too: it notes the emptied layers */
	if (rc == 0 && more) {
		s->job.work = seal_pause;
		job_submit(fs, JOB_SEAL, 0, &s->job);
		return;
	}
	tree_seal_free(s->seal);
	free(s);
	fs->sealing = false;
	if (rc < 0 && rc != -ESTALE)
		log_warn("sealing: %s", err_text(rc));
	fs->tick_armed = true;
	core_timer(fs, TIMER_SEAL, clock_mono_ms() + (rc < 0 ? TICK_MS : 0), seal_tick);
}

static int seal_start(struct fs *fs)
{
	struct seal_job *s;
	int rc;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fs = fs;
	s->job.work = seal_work;
	s->job.done = seal_done;
	rc = tree_seal_begin(fs->trees, BACKGROUND_QUIET_MS, &s->seal);
	if (rc == 0)
		rc = kv_publish(fs->kv);
	if (rc == 0)
		rc = kv_snapshot_open(fs->kv, &s->snapshot);
	if (rc < 0) {
		tree_seal_free(s->seal);
		free(s);
		return rc;
	}
	fs->sealing = true;
	job_submit(fs, JOB_SEAL, 0, &s->job);
	return 0;
}

/* --- flushing: without fsync a power cut may cost a second, so bytes that lie in layers are synced about that often ---------- */

struct flush_job {
	struct job job;
	struct fs *fs;
	struct tree_sync *sync;
	int rc;
};

static void flush_work(struct job *job)
{
	struct flush_job *f = (struct flush_job *)job;

	f->rc = tree_sync_wait(f->sync);
}

static void flush_done(struct job *job)
{
	struct flush_job *f = (struct flush_job *)job;

	if (f->rc < 0)
		log_warn("writing files to disk: %s", err_text(f->rc));
	tree_sync_free(f->sync);
	f->fs->flushing = false;
	f->fs->seen_seq = 0;		/* look again: there may be more by now */
	free(f);
}

static void flush_tick(struct fs *fs)
{
	struct flush_job *f;

	fs->flush_armed = false;
	if (fs->flushing)
		return;
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	f->fs = fs;
	f->job.work = flush_work;
	f->job.done = flush_done;
	if (tree_sync_begin(fs->trees, 0, 0, &f->sync) < 0) {
		free(f);
		return;
	}
	if (tree_sync_is_empty(f->sync)) {
		tree_sync_free(f->sync);
		free(f);
		return;
	}
	fs->flushing = true;
	job_submit(fs, JOB_SYNC, 0, &f->job);
}

/* --- steps --------------------------------------------------------------------------------------- */

static bool step_trees(struct fs *fs)
{
	bool more = false;
	int rc = trees_work_step(fs->trees, &more);

	if (rc < 0)
		log_warn("background work on trees: %s", err_text(rc));
	fs->seen_seq = kv_seq(fs->kv);
	return rc >= 0 && more;
}

static bool step_meta(struct fs *fs)
{
	bool more = false, was = kv_use_reserve(fs->kv, true);
	int rc = meta_work_step(fs->meta, &more);

	kv_use_reserve(fs->kv, was);
	if (rc < 0)
		log_warn("background work on runs: %s", err_text(rc));
	fs->seen_seq = kv_seq(fs->kv);
	return rc >= 0 && more;
}

static bool step_collect(struct fs *fs)
{
	uint64_t freed = 0;
	bool more = false;
	int rc = store_collect_step(fs->store, &freed, &more);

	if (rc < 0)
		log_warn("collecting: %s", err_text(rc));
	fs->seen_seq = kv_seq(fs->kv);
	fs->freed += freed;
	return rc >= 0 && more;
}

/* Files in dirty/ that nothing uses any more. */
static bool empty_layers(struct fs *fs)
{
	unsigned emptied = 0;
	bool any = false;
	int rc = 0;

	do {
		rc = trees_empty_layers(fs->trees, &emptied);
		any = any || emptied;
	} while (rc == 0 && emptied);
	if (rc < 0 && rc != -ENOSPC)
		log_warn("emptying files in dirty/: %s", err_text(rc));
	return any;
}

bool background_make_room(struct fs *fs)
{
	struct store_space was = { 0 }, is = { 0 };
	uint64_t before = fs->freed;
	bool freed;

	(void)!store_space(fs->store, &was);
	(void)!kv_checkpoint(fs->kv);	/* what is let go of must be so on the disk */
	for (int i = 0; i < ROOM_STEPS; i++) {
		bool more = step_trees(fs);

		more = step_meta(fs) || more;
		more = step_collect(fs) || more;
		if (!more)
			break;
	}
	freed = empty_layers(fs) || fs->freed != before;
	return (store_space_now(fs->store, &is) == 0 && is.used < was.used) || freed;
}

/* --- timers -------------------------------------------------------------------------------------- */

static void seal_tick(struct fs *fs)
{
	int64_t now = clock_mono_ms();
	int rc = 0;

	fs->tick_armed = false;
	core_work(fs, WORK_TREES, step_trees);
	core_work(fs, WORK_META, step_meta);
	if (now - fs->collected_ms > COLLECT_EVERY_MS) {
		fs->collected_ms = now;
		core_work(fs, WORK_COLLECT, step_collect);
	}
	if (!fs->sealing)
		rc = seal_start(fs);
	if (rc < 0 && rc != -ENOENT && rc != -EBUSY)	/* busy: a gc seals */
		log_warn("sealing: %s", err_text(rc));
	fs->seen_seq = kv_seq(fs->kv);
	if (!fs->sealing && trees_pending(fs->trees) > 0) {
		fs->tick_armed = true;
		core_timer(fs, TIMER_SEAL, now + TICK_MS, seal_tick);
	}
}

static void settle_tick(struct fs *fs)
{
	int64_t next = -1;
	int rc = entry_settle_due(fs->meta, clock_mono_ms(), &next);

	if (rc < 0) {
		log_warn("cutting a version: %s", err_text(rc));
		next = clock_mono_ms() + TICK_MS;
	}
	fs->settle_armed = next >= 0;
	core_timer(fs, TIMER_SETTLE, next, settle_tick);
}

void background_notice(struct fs *fs)
{
	watch_tell(fs);
	if (fs->read_only || kv_seq(fs->kv) == fs->seen_seq)
		return;
	fs->seen_seq = kv_seq(fs->kv);
	if (!fs->tick_armed && !fs->sealing) {
		fs->tick_armed = true;
		core_timer(fs, TIMER_SEAL, clock_mono_ms() + TICK_MS, seal_tick);
	}
	if (!fs->flush_armed && !fs->flushing) {
		fs->flush_armed = true;
		core_timer(fs, TIMER_FLUSH, clock_mono_ms() + FLUSH_MS, flush_tick);
	}
	if (!fs->settle_armed) {
		fs->settle_armed = true;
		core_timer(fs, TIMER_SETTLE, clock_mono_ms() + TICK_MS / 2, settle_tick);
	}
}

void background_start(struct fs *fs)
{
	if (fs->read_only)
		return;
	fs->tick_armed = true;
	core_timer(fs, TIMER_SEAL, clock_mono_ms() + TICK_MS, seal_tick);
}
