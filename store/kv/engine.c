/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - the LMDB environment and the long write transaction.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/pack.h"
#include "store/kv/kv_internal.h"

#define MAX_READERS 512
#define LOCK_BYTES  36864u /* more than MAX_READERS need */
#define OWN_VERSION 1u

static const char own_key[] = { (char)KV_TABLE_OWN, 'k', 'v' };

/*
 * LMDB writes to its lock file through a mapping, so blocks that a full disk could not give would be
 * SIGBUS: the file is written here first and never removed.  Its old content, which belongs to a time
 * before this one, is wiped.
 */
int engine_clear_lock(int dirfd)
{
	static const char zeros[LOCK_BYTES];
	SCOPED_FD int fd = io_openat(dirfd, KV_LOCK_FILE, O_RDWR | O_CREAT, 0600);
	int rc = fd < 0 ? fd : io_pwrite_full(fd, zeros, sizeof(zeros), 0);

	return rc < 0 ? rc : io_ftruncate(fd, sizeof(zeros));
}

int engine_open_env(int dirfd, unsigned flags, MDB_env **ret)
{
	/* The map is address space, not memory or disk; sanitizers and limits may refuse the large ones. */
	static const size_t sizes[] = {
		(size_t)1 << 40, (size_t)1 << 36, (size_t)1 << 32, (size_t)1 << 30, (size_t)1 << 28,
	};
	char path[64];
	int rc = ENOMEM;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, KV_FILE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && rc == ENOMEM; i++) {
		MDB_env *env;

		rc = mdb_env_create(&env);
		if (rc)
			break;
		rc = mdb_env_set_mapsize(env, sizes[i]);
		if (rc == 0)
			rc = mdb_env_set_maxreaders(env, MAX_READERS);
		if (rc == 0)
			rc = mdb_env_open(env, path, flags | MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS,
					  0600);
		if (rc == 0) {
			*ret = env;
			return 0;
		}
		mdb_env_close(env);
	}
	return kv_err(NULL, rc, "opening the database");
}

int engine_put_own(MDB_txn *txn, MDB_dbi dbi, const uint8_t id[SLOT_ID_BYTES], uint64_t epoch,
		   uint64_t seq)
{
	SCOPED_BUF struct buf b = BUF_INIT;
	MDB_val key = val_of(slice_of(own_key, sizeof(own_key))), value;
	int rc;

	pack_u32(&b, OWN_VERSION);
	buf_add(&b, id, SLOT_ID_BYTES);
	pack_u64(&b, epoch);
	pack_u64(&b, seq);
	rc = buf_err(&b);
	if (rc < 0)
		return rc;
	value = val_of(buf_slice(&b));
	return kv_err(NULL, mdb_put(txn, dbi, &key, &value, 0), "writing the engine's own record");
}

int engine_get_own(MDB_txn *txn, MDB_dbi dbi, uint8_t id[SLOT_ID_BYTES], uint64_t *ret_epoch,
		   uint64_t *ret_seq)
{
	MDB_val key = val_of(slice_of(own_key, sizeof(own_key))), value;
	struct slice own_id;
	struct unpack u;
	int rc = mdb_get(txn, dbi, &key, &value);

	if (rc == MDB_NOTFOUND)
		return err_set(-EBADMSG, "%s is not of this program", KV_FILE);
	if (rc)
		return kv_err(NULL, rc, "reading the engine's own record");
	u = unpack_init(slice_of_val(value));
	if (unpack_u32(&u) != OWN_VERSION)
		return err_set(-EBADMSG, "%s has a format that this program does not know",
			       KV_FILE);
	own_id = unpack_bytes(&u, SLOT_ID_BYTES);
	*ret_epoch = unpack_u64(&u);
	*ret_seq = unpack_u64(&u);
	rc = unpack_more(&u);
	if (rc < 0)
		return err_set(rc, "the engine's own record is damaged");
	memcpy(id, own_id.data, SLOT_ID_BYTES);
	return 0;
}

int engine_begin(struct kv *kv)
{
	return kv_err(kv, mdb_txn_begin(kv->env, NULL, 0, &kv->live.txn),
		      "beginning a transaction");
}

int engine_apply(struct kv *kv, struct slice body)
{
	struct unpack u = unpack_init(body);

	while (u.left && !u.bad) {
		uint8_t op = unpack_u8(&u);
		MDB_val key = val_of(unpack_str(&u)), value;
		int rc = 0;

		if (op == KV_OP_PUT)
			value = val_of(unpack_str(&u));
		if (u.bad || (op != KV_OP_PUT && op != KV_OP_DEL))
			break;
		if (op == KV_OP_PUT)
			rc = mdb_put(kv->live.txn, kv->dbi, &key, &value, 0);
		else
			rc = mdb_del(kv->live.txn, kv->dbi, &key, NULL);
		if (rc && rc != MDB_NOTFOUND)
			return kv_err(kv, rc, "replaying the journal");
	}
	return u.bad || u.left
		       ? err_set(-EBADMSG, "a journal record with a good checksum makes no sense")
		       : 0;
}

static int apply_record(void *arg, struct slice body)
{
	return engine_apply(arg, body);
}

int engine_rebuild(struct kv *kv)
{
	uint64_t next = kv->mark_seq + 1;
	int rc;

	if (kv->live.txn)
		mdb_txn_abort(kv->live.txn);
	kv->live.txn = NULL;
	kv->changes++;
	rc = engine_begin(kv);
	if (rc == 0)
		rc = journal_replay(&kv->journal, kv->journal.current, kv->mark_at, kv->epoch,
				    &next, kv->seq, apply_record, kv, NULL);
	if (rc == 0 && next != kv->seq + 1)
		rc = err_set(-EIO, "the journal cannot be read back");
	if (rc < 0)
		kv_fail(kv, rc, "rebuilding the transaction");
	return rc;
}

int engine_commit_txn(struct kv *kv)
{
	MDB_txn *txn = kv->live.txn;
	int rc = engine_put_own(txn, kv->dbi, kv->id, kv->epoch, kv->seq);

	if (rc == 0)
		rc = io_fault_point("mdb_txn_commit");
	if (rc == 0)
		rc = kv_err(kv, mdb_txn_commit(txn), "committing");
	else
		mdb_txn_abort(txn);
	kv->live.txn = NULL;
	kv->changes++;
	return rc;
}

int engine_commit(struct kv *kv, bool force)
{
	MDB_envinfo info;
	int rc, broken;

	core_assert(kv);
	assert(!kv->in_batch && kv->live.cursors == 0);
	if (!kv->live.txn)
		return err_set(-EIO, "the database is not open for writing");
	if (kv->commit_retry_ms && !force && clock_mono_ms() < kv->commit_retry_ms)
		return err_set(-ENOSPC, "no space left for the database");
	rc = engine_commit_txn(kv);
	if (rc == -ENOSPC && reserve_release(kv)) {
		rc = engine_rebuild(kv);
		if (rc == 0)
			rc = engine_commit_txn(kv);
	}
	if (rc < 0) {
		kv->commit_retry_ms = clock_mono_ms() + KV_RETRY_MS;
		broken = engine_rebuild(kv);
		return broken < 0 ? broken : rc;
	}
	kv->commit_retry_ms = 0;
	kv->commit_batches = 0;
	kv->commit_bytes = 0;
	kv->mark_at = kv->journal.at;
	kv->mark_seq = kv->seq;
	kv->commits++;
	mdb_env_info(kv->env, &info);
	reserve_grown(kv, (info.me_last_pgno + 1) * kv->page_size);
	reserve_extend(kv);
	atomic_store(&kv->commit_since_ms, 0);
	rc = engine_begin(kv);
	if (rc < 0)
		kv_fail(kv, rc, "beginning a transaction");
	return rc;
}
