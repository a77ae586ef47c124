/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io - the only door from the store to the file system.  Any thread.
 *
 * Every function answers 0 or a count, or -errno; EINTR is retried and short transfers are completed.  A failure that
 * is not an everyday answer (EIO, ENOSPC, EDQUOT, EROFS, EFBIG) leaves an err_set() reason that names call and file.
 *
 * Calls that change something are counted, and one of them can be made to go wrong, so that tests can visit
 * every point at which a machine may stop:
 *	STORE_CRASH_AT=n		the n-th changing call does not happen: _exit(IO_CRASH_STATUS)
 *	STORE_FAULT=n:torn		the n-th call, if it writes, writes half of its bytes; then _exit
 *	STORE_FAULT=n:EIO		the n-th call fails without doing anything
 *	STORE_FAULT=n:ENOSPC		the n-th call fails, after half of its bytes if it writes
 *	STORE_FAULT=n+:...		the n-th and every later one
 * Unit tests set the same by io_set_fault_hook().
 */
#ifndef STORE_BASE_IO_H
#define STORE_BASE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <fcntl.h>

#include "store/base/err.h"

#define IO_CRASH_STATUS 99

/* --- descriptors ---------------------------------------------------------------------------------- */

/* O_CLOEXEC is added.  Counts as a change with O_CREAT, O_TRUNC or O_TMPFILE.  Returns the descriptor. */
MUST_CHECK int io_openat(int dirfd, const char *path, int flags, mode_t mode);
int io_close(int fd);
/* OP as flock(2); with LOCK_NB -EWOULDBLOCK. */
MUST_CHECK int io_flock(int fd, int op);

/* --- reading -------------------------------------------------------------------------------------- */

/* LEN bytes, fewer only at the end of the file.  Returns the count. */
MUST_CHECK ssize_t io_read_full(int fd, void *data, size_t len);
MUST_CHECK ssize_t io_pread_full(int fd, void *data, size_t len, off_t offset);
MUST_CHECK int io_fstat(int fd, struct stat *ret);
MUST_CHECK int io_fstatat(int dirfd, const char *path, struct stat *ret, int flags);
/* May NAME in DIRFD, and DIRFD itself, be written by us? */
MUST_CHECK bool io_writable(int dirfd, const char *name);
MUST_CHECK int io_fstatvfs(int fd, struct statvfs *ret);
/* SEEK_DATA, SEEK_HOLE and the rest.  -ENXIO past the end. */
MUST_CHECK off_t io_lseek(int fd, off_t offset, int whence);

/* Call EACH for every name in the directory DIRFD but . and .., in no order, until it answers other than 0. */
MUST_CHECK int io_each_name(int dirfd, int (*each)(void *arg, const char *name), void *arg);

/* --- changing ------------------------------------------------------------------------------------- */

MUST_CHECK int io_write_full(int fd, const void *data, size_t len);
MUST_CHECK int io_pwrite_full(int fd, const void *data, size_t len, off_t offset);
/* The pieces of IOV one after the other at OFFSET.  IOV is used up. */
MUST_CHECK int io_pwritev_full(int fd, struct iovec *iov, int count, off_t offset);
MUST_CHECK int io_ftruncate(int fd, off_t size);
/* MODE as fallocate(2).  -EOPNOTSUPP where the file system has no such thing. */
MUST_CHECK int io_fallocate(int fd, int mode, off_t offset, off_t len);
MUST_CHECK int io_punch_hole(int fd, off_t offset, off_t len);
MUST_CHECK int io_fsync(int fd);
MUST_CHECK int io_fdatasync(int fd);
/* FLAGS as renameat2(2): 0 or RENAME_NOREPLACE, RENAME_EXCHANGE. */
MUST_CHECK int io_renameat(int from_dir, const char *from, int to_dir, const char *to,
			   unsigned flags);
MUST_CHECK int io_unlinkat(int dirfd, const char *path, int flags);
MUST_CHECK int io_mkdirat(int dirfd, const char *path, mode_t mode);
MUST_CHECK int io_fchmod(int fd, mode_t mode);

/* --- counting and faults --------------------------------------------------------------------------- */

/* How many changing calls there were so far in this process. */
uint64_t io_changes(void);

/*
 * A changing call that a library makes for us (WHAT, such as "mdb_txn_commit") is about to happen: count it, and fail
 * or crash as planned.
 */
MUST_CHECK int io_fault_point(const char *what);

enum io_fault { IO_FAULT_NONE, IO_FAULT_CRASH, IO_FAULT_TORN, IO_FAULT_EIO, IO_FAULT_ENOSPC };

/*
 * Ask HOOK before every changing call what shall happen to it: NUMBER as io_changes() counts, OP "pwrite" etc.  NULL: no
 * hook.  The hook may be called from any thread; a hook that is taken away may still be running in another.
 */
void io_set_fault_hook(enum io_fault (*hook)(void *arg, uint64_t number, const char *op),
		       void *arg);

static inline void io_scoped_close(int *fd)
{
	if (*fd >= 0)
		(void)io_close(*fd);
}
#define SCOPED_FD __attribute__((cleanup(io_scoped_close)))

#endif
