/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/kv/kv_internal.h"

#define ALMOST_FULL_BYTES (4u << 20)

/* LMDB reports a short write as EIO: was it that the disk is full? */
static bool disk_full(const struct kv *kv)
{
	struct statvfs vfs;

	if (!kv || kv->data_fd < 0 || io_fstatvfs(kv->data_fd, &vfs) < 0)
		return false;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize < ALMOST_FULL_BYTES;
}

int kv_err(const struct kv *kv, int mdb_rc, const char *what)
{
	int rc;

	switch (mdb_rc) {
	case MDB_SUCCESS: return 0;
	case MDB_NOTFOUND: return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case MDB_CURSOR_FULL:
	case MDB_PAGE_FULL: rc = -ENOSPC; break;
	case MDB_READERS_FULL: rc = -EBUSY; break;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE: rc = -EBADMSG; break;
	case EIO: rc = disk_full(kv) ? -ENOSPC : -EIO; break;
	default: rc = mdb_rc > 0 ? -mdb_rc : -EIO;
	}
	return err_set(rc, "%s: %s", what,
		       rc == -ENOSPC && mdb_rc == EIO ? "no space left on device"
						      : mdb_strerror(mdb_rc));
}

void kv_fail(struct kv *kv, int rc, const char *what)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&kv->failed, &none, -EIO))
		log_error("%s: %s; the store is read-only until it is opened again", what,
			  err_text(rc));
}

int kv_failed(struct kv *kv)
{
	if (atomic_load(&kv->failed) || journal_failed(&kv->journal))
		return err_set(
			-EIO,
			"the store is read-only since an I/O error; unmount it and look at the disk");
	return 0;
}
