/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv - batches: applied to the write transaction at once, with the old values noted, then journaled as one record.
 * Invariants: kv_internal.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/pack.h"
#include "store/kv/kv_internal.h"

#define BUFFER_KEEP_MAX (1u << 20)

void kv_adopt(struct kv *kv)
{
	assert(!kv->has_core && !kv->in_batch);
	kv->core = pthread_self();
	kv->has_core = true;
	/* An LMDB write transaction belongs to its thread, so the old core has ended its own. */
	if (!kv->options.read_only && !kv->live.txn && engine_begin(kv) < 0)
		kv_fail(kv, -EIO, "beginning a transaction");
}

void kv_release_core(struct kv *kv)
{
	core_assert(kv);
	assert(!kv->in_batch && kv->live.cursors == 0);
	if (!kv->options.read_only && kv->live.txn) {
		if (engine_commit(kv, true) < 0)
			log_warn("the database could not be committed: %s", err_reason());
		if (kv->live.txn)
			mdb_txn_abort(kv->live.txn);
		kv->live.txn = NULL;
	}
	kv->has_core = false;
}

/* --- the batch ------------------------------------------------------------------------------------ */

static bool over(const struct kv *kv, uint64_t journal_limit, uint64_t growth_limit)
{
	return kv->journal.at >= journal_limit || kv->main_end >= kv->main_base + growth_limit;
}

/*
 * Much was written since the last checkpoint, and until the next none of the main file's free pages is used again: begin
 * one; where it is too much, wait for the one that is running.
 */
static int relieve(struct kv *kv)
{
	int rc;

	if (checkpoint_running(kv)) {
		if (!over(kv, KV_JOURNAL_MAX, KV_GROWTH_MAX))
			return 0;
		rc = checkpoint_wait(kv);
		if (rc < 0)
			return rc;
	}
	rc = checkpoint_begin(kv, false);
	return over(kv, KV_JOURNAL_MAX, KV_GROWTH_MAX) ? rc : 0;
}

int kv_begin(struct kv *kv)
{
	int rc;

	core_assert(kv);
	assert(!kv->in_batch);
	if (kv->options.read_only)
		return err_set(-EROFS, "the store was opened read-only");
	rc = kv_failed(kv);
	if (rc < 0)
		return rc;
	if (over(kv, KV_JOURNAL_PRESS, KV_GROWTH_PRESS)) {
		rc = relieve(kv);
		if (rc < 0)
			return rc;
	}
	rc = reserve_check(kv);
	if (rc < 0)
		return rc;
	kv->in_batch = true;
	kv->batch_rc = 0;
	journal_record_begin(&kv->record);
	buf_reset(&kv->undo);
	return 0;
}

/* One entry of the undo log, to be read from its end: value, key, their lengths, whether there was a value. */
static void undo_add(struct buf *undo, MDB_val key, const MDB_val *old)
{
	if (old)
		buf_add(undo, old->mv_data, old->mv_size);
	buf_add(undo, key.mv_data, key.mv_size);
	pack_u32(undo, old ? (uint32_t)old->mv_size : 0);
	pack_u32(undo, (uint32_t)key.mv_size);
	pack_u8(undo, old != NULL);
}

#define UNDO_TAIL_BYTES 9u

static int undo_last(struct kv *kv)
{
	struct buf *undo = &kv->undo;
	struct unpack u =
		unpack_init(slice_of(undo->data + undo->len - UNDO_TAIL_BYTES, UNDO_TAIL_BYTES));
	size_t value_len = unpack_u32(&u), key_len = unpack_u32(&u);
	bool had = unpack_u8(&u);
	char *key_at = undo->data + undo->len - UNDO_TAIL_BYTES - key_len;
	MDB_val key = { key_len, key_at }, value = { value_len, key_at - value_len };
	int rc;

	rc = had ? mdb_put(kv->live.txn, kv->dbi, &key, &value, 0)
		 : mdb_del(kv->live.txn, kv->dbi, &key, NULL);
	undo->len -= UNDO_TAIL_BYTES + key_len + value_len;
	return rc;
}

static int check_sizes(const struct kv *kv, uint8_t table, struct slice key, struct slice value)
{
	if (table == KV_TABLE_OWN)
		return err_set(-EINVAL, "table %u is the engine's own", table);
	if (key.len > KV_KEY_MAX)
		return err_set(-ENAMETOOLONG, "a key of %zu bytes (at most %u)", key.len,
			       KV_KEY_MAX);
	if (value.len > KV_VALUE_MAX)
		return err_set(-EOVERFLOW, "a value of %zu bytes (at most %u)", value.len,
			       KV_VALUE_MAX);
	if (kv->record.len + key.len + value.len > KV_BATCH_MAX + JOURNAL_HEAD_BYTES)
		return err_set(-EOVERFLOW, "a batch of more than %u bytes", KV_BATCH_MAX);
	return 0;
}

/* Append one operation to the record; *RET_KEY and *RET_VALUE are the copies in there. */
static int record_add(struct kv *kv, enum kv_op op, uint8_t table, struct slice key,
		      struct slice value, MDB_val *ret_key, MDB_val *ret_value)
{
	struct buf *r = &kv->record;
	size_t key_at, value_at;

	pack_u8(r, (uint8_t)op);
	pack_varint(r, key.len + 1);
	key_at = r->len;
	pack_u8(r, table);
	buf_add_slice(r, key);
	if (op == KV_OP_PUT)
		pack_varint(r, value.len);
	value_at = r->len;
	if (op == KV_OP_PUT)
		buf_add_slice(r, value);
	if (buf_err(r) < 0)
		return -ENOMEM;
	*ret_key = (MDB_val){ key.len + 1, r->data + key_at };
	*ret_value = (MDB_val){ value.len, r->data + value_at };
	return 0;
}

/* Either operation.  The record is cut back to what it was when nothing is to be done. */
static int change(struct kv *kv, enum kv_op op, uint8_t table, struct slice key, struct slice value)
{
	size_t record_len = kv->record.len;
	MDB_val mkey, mvalue, old;
	bool had;
	int rc;

	core_assert(kv);
	assert(kv->in_batch);
	if (kv->batch_rc < 0)
		return err_set(kv->batch_rc, "an earlier change of this batch failed");
	rc = check_sizes(kv, table, key, value);
	if (rc < 0)
		return rc;
	rc = record_add(kv, op, table, key, value, &mkey, &mvalue);
	if (rc < 0)
		return kv->batch_rc = rc;
	rc = mdb_get(kv->live.txn, kv->dbi, &mkey, &old);
	had = rc == 0;
	if (rc && rc != MDB_NOTFOUND)
		return kv->batch_rc = kv_err(kv, rc, "reading");
	if (had ? op == KV_OP_PUT && slice_eq(slice_of_val(old), slice_of_val(mvalue))
		: op == KV_OP_DEL) {
		kv->record.len = record_len;
		return op == KV_OP_DEL ? -ENOENT : 0;
	}
	undo_add(&kv->undo, mkey, had ? &old : NULL);
	if (buf_err(&kv->undo) < 0)
		return kv->batch_rc = -ENOMEM;
	kv->changes++;
	rc = op == KV_OP_PUT ? mdb_put(kv->live.txn, kv->dbi, &mkey, &mvalue, 0)
			     : mdb_del(kv->live.txn, kv->dbi, &mkey, NULL);
	if (rc)
		kv->batch_rc = kv_err(kv, rc, op == KV_OP_PUT ? "writing" : "deleting");
	return kv->batch_rc;
}

int kv_put(struct kv *kv, uint8_t table, struct slice key, struct slice value)
{
	return change(kv, KV_OP_PUT, table, key, value);
}

int kv_del(struct kv *kv, uint8_t table, struct slice key)
{
	return change(kv, KV_OP_DEL, table, key, slice_of(NULL, 0));
}

static void end_batch(struct kv *kv)
{
	kv->in_batch = false;
	if (kv->record.cap > BUFFER_KEEP_MAX)
		buf_release(&kv->record);
	if (kv->undo.cap > BUFFER_KEEP_MAX)
		buf_release(&kv->undo);
}

void kv_abort(struct kv *kv)
{
	bool lost;

	core_assert(kv);
	if (!kv->in_batch)
		return;
	assert(kv->live.cursors == 0);
	/* After a failed put LMDB takes nothing more in this transaction; and an entry may be missing. */
	lost = kv->batch_rc < 0;
	kv->changes++;
	while (!lost && kv->undo.len)
		lost = undo_last(kv) != 0;
	end_batch(kv);
	if (lost && engine_rebuild(kv) < 0)
		log_error("undoing a batch: %s", err_reason());
}

/* Remember since when there is something to commit, and let the timer know. */
static void note_batch(struct kv *kv, size_t bytes, bool first_dirty)
{
	bool kick = first_dirty;

	kv->batches++;
	kv->commit_batches++;
	kv->commit_bytes += bytes;
	if (atomic_load(&kv->commit_since_ms) == 0) {
		atomic_store(&kv->commit_since_ms, clock_mono_ms());
		kick = true;
	}
	if (atomic_load(&kv->checkpoint_since_ms) == 0) {
		atomic_store(&kv->checkpoint_since_ms, clock_mono_ms());
		kick = true;
	}
	if (kick)
		checkpoint_timer_kick(kv);
}

int kv_commit(struct kv *kv, uint64_t *ret_seq)
{
	size_t bytes = kv->record.len;
	uint64_t seq = kv->seq + 1;
	bool first = false;
	int rc = kv->batch_rc;

	core_assert(kv);
	assert(kv->in_batch && kv->live.cursors == 0);
	if (rc == 0 && bytes > JOURNAL_HEAD_BYTES)
		rc = journal_append(&kv->journal, &kv->record, kv->epoch, seq, &first);
	if (rc < 0) {
		kv_abort(kv);
		return rc;
	}
	end_batch(kv);
	if (bytes > JOURNAL_HEAD_BYTES) {
		kv->seq = seq;
		note_batch(kv, bytes, first);
		if (kv->commit_batches >= KV_COMMIT_BATCHES || kv->commit_bytes >= KV_COMMIT_BYTES)
			(void)!engine_commit(kv, false); /* the batch is kept all the same */
		if (!kv->options.wake)
			kv_tick(kv);
	}
	if (ret_seq)
		*ret_seq = kv->seq;
	return 0;
}

bool kv_in_batch(const struct kv *kv)
{
	return kv->in_batch;
}

uint64_t kv_seq(const struct kv *kv)
{
	return kv->seq;
}

/* --- between batches ------------------------------------------------------------------------------ */

void kv_tick(struct kv *kv)
{
	int64_t now, since;
	int rc = 0;

	core_assert(kv);
	assert(!kv->in_batch);
	if (kv->options.read_only || !atomic_exchange(&kv->tick_due, false) || kv_failed(kv) < 0)
		return;
	now = clock_mono_ms();
	since = atomic_load(&kv->checkpoint_since_ms);
	if (since && now - since >= KV_CHECKPOINT_MS && !checkpoint_running(kv)) {
		rc = checkpoint_begin(kv, false);
	} else if (kv->commit_batches) {
		rc = engine_commit(kv, false);
	}
	if (rc < 0 && rc != -ENOSPC)
		log_warn("housekeeping: %s", err_text(rc));
}

int kv_publish(struct kv *kv)
{
	core_assert(kv);
	assert(!kv->in_batch);
	if (kv->options.read_only || kv->mark_seq == kv->seq)
		return 0;
	return engine_commit(kv, true);
}

int kv_checkpoint(struct kv *kv)
{
	int rc;

	core_assert(kv);
	assert(!kv->in_batch);
	if (kv->options.read_only)
		return 0;
	rc = checkpoint_wait(kv);
	if (rc < 0 || kv->saved_seq == kv->seq)
		return rc;
	rc = checkpoint_begin(kv, true);
	return rc < 0 ? rc : checkpoint_wait(kv);
}

int kv_sync(struct kv *kv, uint64_t seq)
{
	return kv->options.read_only ? 0 : journal_sync(&kv->journal, seq);
}
