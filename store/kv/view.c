/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - reading: the live state is the open write transaction, a snapshot is a read transaction of LMDB.
 * A cursor that was left behind by a change, or that ran out of its table, says so instead of guessing.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/kv/kv_internal.h"

enum cursor_state { CURSOR_FRESH, CURSOR_ON, CURSOR_OFF };

struct kv_cursor {
	struct kv_view *view;
	MDB_cursor *mdb;
	MDB_val key; /* table byte included */
	MDB_val value;
	uint64_t changes; /* of the live view when it was sought */
	uint8_t table;
	enum cursor_state state;
};

struct kv_view *kv_live(struct kv *kv)
{
	core_assert(kv);
	return &kv->live;
}

/* Begin reading, and stand in the list at once: nobody may find a snapshot missing that is about to be there. */
static int snapshot_begin(struct kv *kv, struct kv_view *view)
{
	uint8_t id[SLOT_ID_BYTES];
	uint64_t epoch;
	int rc = kv_err(kv, mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &view->txn),
			"opening a snapshot");

	if (rc < 0)
		return rc;
	rc = engine_get_own(view->txn, kv->dbi, id, &epoch, &view->seq);
	if (rc < 0) {
		mdb_txn_abort(view->txn);
		return rc;
	}
	view->older = kv->snapshots;
	if (view->older)
		view->older->newer = view;
	kv->snapshots = view;
	return 0;
}

int kv_snapshot_open(struct kv *kv, struct kv_view **ret)
{
	struct kv_view *view = calloc(1, sizeof(*view));
	int rc;

	if (!view)
		return err_set(-ENOMEM, "out of memory");
	view->kv = kv;
	pthread_mutex_lock(&kv->snapshots_lock);
	rc = snapshot_begin(kv, view);
	pthread_mutex_unlock(&kv->snapshots_lock);
	if (rc < 0) {
		free(view);
		return rc;
	}
	*ret = view;
	return 0;
}

void kv_snapshot_close(struct kv_view *view)
{
	struct kv *kv;

	if (!view)
		return;
	assert(!view->live && view->cursors == 0);
	kv = view->kv;
	mdb_txn_abort(view->txn);
	pthread_mutex_lock(&kv->snapshots_lock);
	*(view->newer ? &view->newer->older : &kv->snapshots) = view->older;
	if (view->older)
		view->older->newer = view->newer;
	pthread_mutex_unlock(&kv->snapshots_lock);
	free(view);
}

uint64_t kv_view_seq(const struct kv_view *view)
{
	return view->live ? view->kv->seq : view->seq;
}

uint64_t kv_snapshot_oldest(struct kv *kv)
{
	uint64_t oldest = UINT64_MAX;

	pthread_mutex_lock(&kv->snapshots_lock);
	for (const struct kv_view *view = kv->snapshots; view; view = view->older) {
		if (view->seq < oldest)
			oldest = view->seq;
	}
	pthread_mutex_unlock(&kv->snapshots_lock);
	return oldest;
}

static int view_check(const struct kv_view *view)
{
	if (view->live)
		core_assert(view->kv);
	return view->txn ? 0 : err_set(-EIO, "the database is not open since an error");
}

/* TABLE and KEY as one key in SPACE. */
static int full_key(uint8_t table, struct slice key, uint8_t space[KV_KEY_MAX + 1], MDB_val *ret)
{
	if (key.len > KV_KEY_MAX)
		return err_set(-ENAMETOOLONG, "a key of %zu bytes (at most %u)", key.len,
			       KV_KEY_MAX);
	space[0] = table;
	if (key.len)
		memcpy(space + 1, key.data, key.len);
	*ret = (MDB_val){ key.len + 1, space };
	return 0;
}

int kv_get(struct kv_view *view, uint8_t table, struct slice key, struct slice *ret)
{
	uint8_t space[KV_KEY_MAX + 1];
	MDB_val mkey, value;
	int rc = view_check(view);

	if (rc == 0)
		rc = full_key(table, key, space, &mkey);
	if (rc == 0)
		rc = kv_err(view->kv, mdb_get(view->txn, view->kv->dbi, &mkey, &value), "reading");
	if (rc == 0)
		*ret = slice_of_val(value);
	return rc;
}

int kv_cursor_open(struct kv_view *view, uint8_t table, struct kv_cursor **ret)
{
	struct kv_cursor *cur;
	int rc = view_check(view);

	*ret = NULL;
	if (rc < 0)
		return rc;
	cur = calloc(1, sizeof(*cur));
	if (!cur)
		return err_set(-ENOMEM, "out of memory");
	rc = kv_err(view->kv, mdb_cursor_open(view->txn, view->kv->dbi, &cur->mdb),
		    "opening a cursor");
	if (rc < 0) {
		free(cur);
		return rc;
	}
	cur->view = view;
	cur->table = table;
	view->cursors++;
	*ret = cur;
	return 0;
}

void kv_cursor_close(struct kv_cursor *cur)
{
	if (!cur)
		return;
	cur->view->cursors--;
	mdb_cursor_close(cur->mdb);
	free(cur);
}

/* LMDB has moved the cursor with the result RC: is it still in the table? */
static int landed(struct kv_cursor *cur, int rc)
{
	cur->state = CURSOR_OFF;
	if (rc)
		return kv_err(cur->view->kv, rc, "reading");
	if (cur->key.mv_size == 0 || *(const uint8_t *)cur->key.mv_data != cur->table)
		return -ENOENT;
	cur->state = CURSOR_ON;
	return 0;
}

static int move(struct kv_cursor *cur, MDB_cursor_op op)
{
	return landed(cur, mdb_cursor_get(cur->mdb, &cur->key, &cur->value, op));
}

/* To the first record of all at or after table byte + KEY; MDB_NOTFOUND as LMDB says it. */
static int set_range(struct kv_cursor *cur, MDB_val *mkey)
{
	cur->key = *mkey;
	if (cur->view->live)
		cur->changes = cur->view->kv->changes;
	cur->state = CURSOR_OFF;
	return mdb_cursor_get(cur->mdb, &cur->key, &cur->value, MDB_SET_RANGE);
}

int kv_cursor_seek(struct kv_cursor *cur, struct slice key)
{
	uint8_t space[KV_KEY_MAX + 1];
	MDB_val mkey = { 0, NULL };
	int rc = full_key(cur->table, key, space, &mkey);

	if (rc < 0)
		return rc;
	return landed(cur, set_range(cur, &mkey));
}

/* The last record before MKEY (table byte included). */
static int seek_before(struct kv_cursor *cur, MDB_val *mkey)
{
	int rc = set_range(cur, mkey);

	if (rc && rc != MDB_NOTFOUND)
		return kv_err(cur->view->kv, rc, "reading");
	return move(cur, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

int kv_cursor_seek_before(struct kv_cursor *cur, struct slice key)
{
	uint8_t space[KV_KEY_MAX + 1];
	MDB_val mkey = { 0, NULL };
	int rc = full_key(cur->table, key, space, &mkey);

	return rc < 0 ? rc : seek_before(cur, &mkey);
}

/* Only the live view changes under its cursors. */
static int stale(const struct kv_cursor *cur)
{
	if (cur->view->live && cur->changes != cur->view->kv->changes)
		return err_set(-ESTALE,
			       "a cursor was moved after a change without being sought again");
	return 0;
}

int kv_cursor_next(struct kv_cursor *cur)
{
	int rc;

	if (cur->state == CURSOR_FRESH)
		return kv_cursor_seek(cur, slice_of(NULL, 0));
	rc = stale(cur);
	if (rc < 0)
		return rc;
	return cur->state == CURSOR_ON ? move(cur, MDB_NEXT) : -ENOENT;
}

int kv_cursor_prev(struct kv_cursor *cur)
{
	int rc;

	if (cur->state == CURSOR_FRESH) {
		uint8_t after = (uint8_t)(cur->table + 1); /* no table of callers is 0xff */

		return seek_before(cur, &(MDB_val){ 1, &after });
	}
	rc = stale(cur);
	if (rc < 0)
		return rc;
	return cur->state == CURSOR_ON ? move(cur, MDB_PREV) : -ENOENT;
}

struct slice kv_cursor_key(const struct kv_cursor *cur)
{
	assert(cur->state == CURSOR_ON);
	return slice_of((const uint8_t *)cur->key.mv_data + 1, cur->key.mv_size - 1);
}

struct slice kv_cursor_value(const struct kv_cursor *cur)
{
	assert(cur->state == CURSOR_ON);
	return slice_of_val(cur->value);
}
