/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - figures and the self-test of the engine, through LMDB's public interface: every record is read in order, and every
 * page of the file must be in use once or on the free list once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/kv/kv_internal.h"

#define FREE_DBI       0u /* LMDB's list of free pages; a documented use (mdb_stat -f) */
#define META_PAGES     2u
#define STATS_EVERY_MS 5000

/* Call EACH for every list of free pages; a record is a count and that many page numbers. */
static int each_free_list(MDB_txn *txn, int (*each)(void *arg, const size_t *pages, size_t count),
			  void *arg)
{
	MDB_cursor *cur;
	MDB_val key, value;
	int rc = mdb_cursor_open(txn, FREE_DBI, &cur);

	if (rc)
		return kv_err(NULL, rc, "reading the free list");
	while ((rc = mdb_cursor_get(cur, &key, &value, MDB_NEXT)) == 0) {
		const size_t *list = value.mv_data;

		/* LMDB keeps these aligned; only a damaged page has one that is not. */
		if ((uintptr_t)list % _Alignof(size_t) || value.mv_size < sizeof(*list) ||
		    (value.mv_size / sizeof(*list)) - 1 < list[0])
			rc = MDB_CORRUPTED;
		else
			rc = each(arg, list + 1, list[0]);
		if (rc)
			break;
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND      ? 0
	       : rc < 0 && rc > -30000 ? rc
				       : kv_err(NULL, rc, "reading the free list");
}

static int add_count(void *arg, const size_t *pages, size_t count)
{
	(void)pages;
	*(uint64_t *)arg += count;
	return 0;
}

void kv_stats(struct kv *kv, struct kv_stats *ret)
{
	struct kv_view *view;
	MDB_envinfo info;
	MDB_stat stat;
	int64_t now = clock_mono_ms();
	uint64_t free_pages = 0;

	core_assert(kv);
	mdb_env_info(kv->env, &info);
	mdb_env_stat(kv->env, &stat);
	/* The free list can be long; its length changes slowly. */
	if ((kv->stats_ms == 0 || now - kv->stats_ms >= STATS_EVERY_MS) &&
	    kv_snapshot_open(kv, &view) == 0) {
		if (each_free_list(view->txn, add_count, &free_pages) == 0)
			kv->stats_free = free_pages * stat.ms_psize;
		kv->stats_ms = now;
		kv_snapshot_close(view);
	}
	*ret = (struct kv_stats){
		.bytes_main = (info.me_last_pgno + 1) * stat.ms_psize,
		.bytes_free = kv->stats_free,
		.bytes_journal =
			kv->journal.at + (checkpoint_running(kv) ? kv->journal.other_bytes : 0),
		.batches = kv->batches,
		.commits = kv->commits,
		.checkpoints = atomic_load(&kv->checkpoints),
	};
}

struct check {
	void (*report)(void *arg, const char *fault);
	void *arg;
	int faults;
	uint8_t *seen; /* a bit a page of the free list */
	size_t pages;
	uint64_t free_pages;
};

static void fault(struct check *c, const char *what, uint64_t number)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: %" PRIu64, what, number);
	c->faults = 1;
	c->report(c->arg, text);
}

/* Read every byte of every record; their order and number must be right. */
static int check_records(struct kv_view *view, struct check *c)
{
	SCOPED_BUF struct buf last = BUF_INIT;
	volatile uint8_t sum = 0;
	uint64_t count = 0;
	MDB_cursor *cur = NULL;
	MDB_val key, value;
	MDB_stat stat;
	int rc = mdb_cursor_open(view->txn, view->kv->dbi, &cur);

	while (rc == 0 && (rc = mdb_cursor_get(cur, &key, &value, MDB_NEXT)) == 0) {
		size_t common = key.mv_size < last.len ? key.mv_size : last.len;
		int order = common ? memcmp(last.data, key.mv_data, common) : 0;

		if (count && (order > 0 || (order == 0 && last.len >= key.mv_size)))
			fault(c, "a record is out of order, number", count);
		if (key.mv_size == 0 || key.mv_size > KV_KEY_MAX + 1 ||
		    value.mv_size > KV_VALUE_MAX)
			fault(c, "a record has an impossible size, number", count);
		for (size_t i = 0; i < value.mv_size; i++)
			sum = (uint8_t)(sum + ((const uint8_t *)value.mv_data)[i]);
		buf_reset(&last);
		buf_add(&last, key.mv_data, key.mv_size);
		if (buf_err(&last) < 0) {
			mdb_cursor_close(cur);
			return -ENOMEM;
		}
		count++;
	}
	mdb_cursor_close(cur);
	if (rc != MDB_NOTFOUND) {
		fault(c, "the records cannot be read beyond number", count);
		return 0;
	}
	if (mdb_stat(view->txn, view->kv->dbi, &stat) == 0 && stat.ms_entries != count)
		fault(c, "the database believes in another number of records than there are",
		      count);
	return 0;
}

static int mark_free(void *arg, const size_t *pages, size_t count)
{
	struct check *c = arg;

	for (size_t i = 0; i < count; i++) {
		size_t page = pages[i];

		if (page < META_PAGES || page >= c->pages)
			fault(c, "the free list names a page that there is not", page);
		else if (c->seen[page / 8] & 1u << page % 8)
			fault(c, "a page is free twice", page);
		else
			c->seen[page / 8] = (uint8_t)(c->seen[page / 8] | 1u << page % 8);
		c->free_pages++;
	}
	return 0;
}

static size_t tree_pages(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_stat stat;

	if (mdb_stat(txn, dbi, &stat))
		return 0;
	return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

/* Only for the newest commit is it known how many pages there are. */
static int check_pages(struct kv_view *view, struct check *c)
{
	uint64_t used =
		META_PAGES + tree_pages(view->txn, view->kv->dbi) + tree_pages(view->txn, FREE_DBI);
	MDB_envinfo info;
	int rc;

	mdb_env_info(view->kv->env, &info);
	if (info.me_last_txnid != mdb_txn_id(view->txn))
		return 0;
	c->pages = info.me_last_pgno + 1;
	c->seen = calloc(c->pages / 8 + 1, 1);
	if (!c->seen)
		return err_set(-ENOMEM, "out of memory");
	rc = each_free_list(view->txn, mark_free, c);
	free(c->seen);
	if (rc < 0)
		fault(c, "the free list cannot be read beyond entry", c->free_pages);
	else if (used + c->free_pages != c->pages)
		fault(c, "pages that are neither used nor free, or both",
		      used + c->free_pages > c->pages ? used + c->free_pages - c->pages
						      : c->pages - used - c->free_pages);
	return 0;
}

int kv_check(struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	struct check c = { .report = report, .arg = arg };
	bool snapshot = !view->live || view->kv->options.read_only;
	int rc;

	if (!view->txn)
		return err_set(-EIO, "the database is not open since an error");
	rc = check_records(view, &c);
	if (rc == 0 && snapshot)
		rc = check_pages(view, &c);
	return rc < 0 ? rc : c.faults;
}
