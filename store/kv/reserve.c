/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reserve - room kept back for the day the disk is full: blocks behind the end of the main file, a stretch of the journal.
 *
 * What frees space (kv_use_reserve) needs some space itself: records in the journal, pages for the commit after which dropped
 * files may go.  So when the reserve cannot be had any more, other batches are refused and only those go on; the reserve is
 * made up again as soon as there is room.
 */
#include <errno.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/kv/kv_internal.h"

#define RESERVE_MIN     (1u << 20)
#define RESERVE_MAX     (32u << 20)
#define RESERVE_PART    8u /* the reserve is this part of the main file */
#define RESERVE_COMMITS 4u /* and at least so many of the largest commits of late */
#define TIGHT_BATCHES   32u /* with less than that: what is not committed is kept small, … */
#define TIGHT_BYTES     (64u << 10)

static uint64_t wanted(const struct kv *kv)
{
	uint64_t want = kv->main_end / RESERVE_PART;

	if (want < RESERVE_COMMITS * kv->growth)
		want = RESERVE_COMMITS * kv->growth;
	if (want < RESERVE_MIN)
		want = RESERVE_MIN;
	return want < RESERVE_MAX ? want : RESERVE_MAX;
}

void reserve_grown(struct kv *kv, uint64_t main_end)
{
	uint64_t grown = main_end > kv->main_end ? main_end - kv->main_end : 0;

	kv->growth -= kv->growth / 16;
	if (kv->growth < grown)
		kv->growth = grown;
	kv->main_end = main_end;
}

static bool is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

/* Are there pages in the main file that a commit can use without growing it? */
static bool has_free_pages(struct kv *kv)
{
	struct kv_stats stats;

	kv->stats_ms = 0; /* not as they were a while ago */
	kv_stats(kv, &stats);
	return stats.bytes_free >= 2 * RESERVE_MIN;
}

void reserve_extend(struct kv *kv)
{
	uint64_t want = wanted(kv), ask = want;
	int rc;

	kv->low = kv->tight = false;
	if (kv->no_reserve || kv->reserve_end >= kv->main_end + want / 2)
		return;
	for (;;) {
		rc = io_fallocate(kv->data_fd, FALLOC_FL_KEEP_SIZE, (off_t)kv->main_end, (off_t)ask);
		if (!is_full(rc) || ask / 2 < RESERVE_MIN)
			break;
		ask /= 2;
	}
	if (rc == 0)
		kv->reserve_end = kv->main_end + ask;
	kv->no_reserve = rc == -EOPNOTSUPP;
	kv->tight = ask < want || is_full(rc);
	kv->low = is_full(rc) && !has_free_pages(kv);
}

/* With the disk full the other journal file may still have room, as it is allocated. */
static int journal_room(struct kv *kv, uint64_t bytes)
{
	int rc = journal_reserve(&kv->journal, bytes);

	if (rc != -ENOSPC || !kv->journal.at || clock_mono_ms() < kv->commit_retry_ms)
		return rc;
	rc = kv_checkpoint(kv);
	return rc < 0 ? rc : journal_reserve(&kv->journal, bytes);
}

int reserve_check(struct kv *kv)
{
	int rc = 0;

	/* … and pages that were freed are made free to use. */
	if (kv->tight && (kv->commit_batches >= TIGHT_BATCHES || kv->commit_bytes >= TIGHT_BYTES))
		rc = kv_checkpoint(kv);
	if (rc < 0 && !is_full(rc))
		return rc;
	if (kv->spend) {
		rc = journal_room(kv, KV_JOURNAL_HEADROOM);
		return is_full(rc) ? 0 : rc; /* it may be enough: journal_append() will say */
	}
	if (kv->low)
		reserve_extend(kv);
	if (kv->low)
		return err_set(-ENOSPC, "the disk is full: only what frees space is taken");
	return journal_room(kv, KV_JOURNAL_SPARE);
}

bool reserve_release(struct kv *kv)
{
	kv->low = kv->tight = true;
	return !checkpoint_running(kv) && journal_shrink_other(&kv->journal);
}

bool kv_use_reserve(struct kv *kv, bool on)
{
	bool was = kv->spend;

	core_assert(kv);
	assert(!kv->in_batch);
	kv->spend = on;
	return was;
}
