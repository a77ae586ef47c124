/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create - the files of a new engine: empty, or filled with a compact copy.  sync.meta gets its name last, so an engine that
 * has one is complete; what an interrupted creation left is swept away by the next.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "store/base/io.h"
#include "store/kv/kv_internal.h"

#define NEW_SLOT_FILE SLOT_FILE ".new"
#define FIRST_RESERVE (256u << 10)

static int sweep(int dirfd)
{
	static const char *const names[] = { NEW_SLOT_FILE, KV_FILE, KV_LOCK_FILE, "journal.0",
					     "journal.1" };
	struct stat st;
	int rc = io_fstatat(dirfd, SLOT_FILE, &st, AT_SYMLINK_NOFOLLOW);

	if (rc != -ENOENT)
		return rc < 0 ? rc : err_set(-EEXIST, "there is a store already");
	rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		rc = io_unlinkat(dirfd, names[i], 0);
		if (rc == -ENOENT)
			rc = 0;
	}
	return rc;
}

/* Give the database in DIRFD, empty or a copy (which knows its number), an own record with a new id.
 * *SLOT learns id and txnid. */
static int brand(int dirfd, bool copied, struct slot *slot)
{
	uint64_t epoch, seq = 0;
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_dbi dbi;
	int rc;

	rc = io_fault_point("mdb_env_open");
	if (rc == 0)
		rc = engine_clear_lock(dirfd);
	if (rc == 0)
		rc = engine_open_env(dirfd, 0, &env);
	if (rc < 0)
		return rc;
	rc = kv_err(NULL, mdb_txn_begin(env, NULL, 0, &txn), "making the database");
	if (rc == 0)
		rc = kv_err(NULL, mdb_dbi_open(txn, NULL, 0, &dbi), "making the database");
	if (rc == 0 && copied)
		rc = engine_get_own(txn, dbi, slot->id, &epoch, &seq);
	if (rc == 0 && getrandom(slot->id, sizeof(slot->id), 0) != (ssize_t)sizeof(slot->id))
		rc = err_set(-EIO, "no random numbers");
	if (rc == 0)
		rc = engine_put_own(txn, dbi, slot->id, 1, seq);
	if (rc == 0)
		rc = io_fault_point("mdb_txn_commit");
	if (rc == 0) {
		slot->txnid = mdb_txn_id(txn);
		rc = kv_err(NULL, mdb_txn_commit(txn), "making the database");
		txn = NULL;
	}
	if (txn)
		mdb_txn_abort(txn);
	mdb_env_close(env);
	return rc;
}

static int make_slots(int dirfd, const struct slot *slot)
{
	SCOPED_FD int fd = io_openat(dirfd, NEW_SLOT_FILE, O_RDWR | O_CREAT | O_EXCL, 0600);
	int rc = fd < 0 ? fd : io_ftruncate(fd, SLOT_STRIDE + SLOT_BYTES);

	if (rc == 0)
		rc = slot_save(fd, slot);
	return rc < 0 ? rc : io_fsync(fd);
}

/* All files but the main one, the main one made durable, and the last rename. */
static int complete(int dirfd, bool copied)
{
	struct slot slot = { .gen = 1 };
	int rc = brand(dirfd, copied, &slot);
	SCOPED_FD int fd = rc < 0 ? -1 : io_openat(dirfd, KV_FILE, O_RDWR, 0);

	if (rc == 0 && fd < 0)
		rc = fd;
	if (rc == 0)
		rc = slot_take_page(fd, slot.txnid, &slot);
	if (rc == 0) {
		rc = io_fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)slot_data_end(&slot),
				  FIRST_RESERVE);
		if (rc == -EOPNOTSUPP)
			rc = 0;
	}
	if (rc == 0)
		rc = io_fsync(fd);
	if (rc == 0)
		rc = journal_create(dirfd);
	if (rc == 0)
		rc = make_slots(dirfd, &slot);
	if (rc == 0)
		rc = io_fsync(dirfd);
	if (rc == 0)
		rc = io_renameat(dirfd, NEW_SLOT_FILE, dirfd, SLOT_FILE, 0);
	return rc < 0 ? rc : io_fsync(dirfd);
}

int kv_create(int dirfd)
{
	int rc = sweep(dirfd);

	return rc < 0 ? rc : complete(dirfd, false);
}

/* The compact copy restarts LMDB's numbers; it gets an id of its own, so that files of the two cannot be mixed up. */
static int copy_main(struct kv *kv, int dirfd)
{
	SCOPED_FD int fd = io_openat(dirfd, KV_FILE, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return fd;
	return kv_err(kv, mdb_env_copyfd2(kv->env, fd, MDB_CP_COMPACT), "copying the database");
}

int kv_copy(struct kv *kv, int dirfd)
{
	int rc = sweep(dirfd);

	if (rc == 0)
		rc = copy_main(kv, dirfd);
	return rc < 0 ? rc : complete(dirfd, true);
}
