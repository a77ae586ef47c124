/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum io_fault fault_hook(void *arg, uint64_t number, const char *op);

static _Atomic uint64_t changes;
static _Atomic(fault_hook *) hook;
static _Atomic(void *) hook_arg;
static pthread_once_t env_once = PTHREAD_ONCE_INIT;

/* What the environment asks for; immutable after env_init. */
static struct {
	uint64_t at; /* 0: nothing */
	bool onwards;
	enum io_fault fault;
} plan;

static enum io_fault fault_by_name(const char *name)
{
	static const struct {
		const char *name;
		enum io_fault fault;
	} names[] = {
		{ "crash", IO_FAULT_CRASH },
		{ "torn", IO_FAULT_TORN },
		{ "EIO", IO_FAULT_EIO },
		{ "ENOSPC", IO_FAULT_ENOSPC },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].fault;
	return IO_FAULT_NONE;
}

static void env_init(void)
{
	const char *crash = getenv("STORE_CRASH_AT"), *fault = getenv("STORE_FAULT");
	char *end;

	if (crash) {
		plan.at = strtoull(crash, NULL, 10);
		plan.fault = IO_FAULT_CRASH;
	} else if (fault) {
		plan.at = strtoull(fault, &end, 10);
		plan.onwards = *end == '+';
		end += plan.onwards;
		plan.fault = *end == ':' ? fault_by_name(end + 1) : IO_FAULT_NONE;
	}
}

/* A changing call OP is about to be made: count it and say what shall happen to it.  Crashes itself. */
static enum io_fault change(const char *op)
{
	uint64_t number = atomic_fetch_add(&changes, 1) + 1;
	fault_hook *asked = atomic_load(&hook);
	enum io_fault fault = IO_FAULT_NONE;

	pthread_once(&env_once, env_init);
	if (plan.at && (number == plan.at || (plan.onwards && number > plan.at)))
		fault = plan.fault;
	else if (asked)
		fault = asked(atomic_load(&hook_arg), number, op);
	if (fault == IO_FAULT_CRASH)
		_exit(IO_CRASH_STATUS);
	return fault;
}

uint64_t io_changes(void)
{
	return atomic_load(&changes);
}

void io_set_fault_hook(fault_hook *new_hook, void *arg)
{
	atomic_store(&hook_arg, arg);
	atomic_store(&hook, new_hook);
}

/* Where FD leads, for the reason of an error. */
static void fd_name(int fd, char *out, size_t size)
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	if (n <= 0)
		n = snprintf(out, size, "descriptor %d", fd);
	out[n] = '\0';
}

/* RC of OP on FD or PATH (NULL: FD itself), with a reason when it is one that somebody must hear about. */
static int failed(int rc, const char *op, int fd, const char *path)
{
	char name[256];

	if (rc != -EIO && rc != -ENOSPC && rc != -EDQUOT && rc != -EROFS && rc != -EFBIG)
		return rc;
	if (!path)
		fd_name(fd, name, sizeof(name));
	return err_set(rc, "%s of %s: %s", op, path ? path : name, strerror(-rc));
}

/* The error of a call that does not write and was told to fail, 0 to go on. */
static int refused(enum io_fault fault)
{
	switch (fault) {
	case IO_FAULT_EIO: return -EIO;
	case IO_FAULT_ENOSPC: return -ENOSPC;
	case IO_FAULT_TORN: _exit(IO_CRASH_STATUS);
	case IO_FAULT_NONE:
	case IO_FAULT_CRASH: break;
	}
	return 0;
}

int io_fault_point(const char *what)
{
	return failed(refused(change(what)), what, -1, "the database");
}

/* Run CALL again while a signal interrupts it; RC is then its result or -errno. */
#define RETRY(rc, call)                                                                            \
	do {                                                                                       \
		(rc) = (call);                                                                     \
		if ((rc) < 0)                                                                      \
			(rc) = -errno;                                                             \
	} while ((rc) == -EINTR)

/* The body of a changing call whose result is 0 or an error. */
#define CHANGE(op, fd, path, call)                                                                 \
	do {                                                                                       \
		int rc_ = refused(change(op));                                                     \
                                                                                                   \
		if (rc_ == 0)                                                                      \
			RETRY(rc_, call);                                                          \
		return rc_ < 0 ? failed(rc_, op, fd, path) : rc_;                                  \
	} while (0)

int io_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	int rc = 0;

	if (flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE)
		rc = refused(change("open"));
	if (rc == 0)
		RETRY(rc, openat(dirfd, path, flags | O_CLOEXEC, mode));
	return rc < 0 ? failed(rc, "open", dirfd, path) : rc;
}

int io_close(int fd)
{
	/* Linux has freed the descriptor even when it says EINTR. */
	if (close(fd) == 0 || errno == EINTR)
		return 0;
	return failed(-errno, "close", -1, "a file");
}

int io_flock(int fd, int op)
{
	int rc;

	RETRY(rc, flock(fd, op));
	return rc;
}

ssize_t io_read_full(int fd, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		RETRY(n, read(fd, (char *)data + done, len - done));
		if (n < 0)
			return failed((int)n, "read", fd, NULL);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t io_pread_full(int fd, void *data, size_t len, off_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		RETRY(n, pread(fd, (char *)data + done, len - done, offset + (off_t)done));
		if (n < 0)
			return failed((int)n, "read", fd, NULL);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int io_fstat(int fd, struct stat *ret)
{
	return fstat(fd, ret) == 0 ? 0 : failed(-errno, "stat", fd, NULL);
}

int io_fstatat(int dirfd, const char *path, struct stat *ret, int flags)
{
	return fstatat(dirfd, path, ret, flags) == 0 ? 0 : failed(-errno, "stat", dirfd, path);
}

bool io_writable(int dirfd, const char *name)
{
	return faccessat(dirfd, ".", W_OK, AT_EACCESS) == 0 &&
	       faccessat(dirfd, name, W_OK, AT_EACCESS) == 0;
}

int io_fstatvfs(int fd, struct statvfs *ret)
{
	int rc;

	RETRY(rc, fstatvfs(fd, ret));
	return rc;
}

off_t io_lseek(int fd, off_t offset, int whence)
{
	off_t at = lseek(fd, offset, whence);

	return at < 0 ? failed(-errno, "seek", fd, NULL) : at;
}

int io_each_name(int dirfd, int (*each)(void *arg, const char *name), void *arg)
{
	int fd = io_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0), rc = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		rc = -errno;
		(void)io_close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			rc = errno ? failed(-errno, "readdir", fd, NULL) : 0;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = each(arg, entry->d_name);
	}
	closedir(dir);
	return rc;
}

/* Drop DONE bytes from the front of the *COUNT pieces at *IOV. */
static void iov_advance(struct iovec **iov, int *count, size_t done)
{
	while (*count && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* OFFSET -1: at the file's own position. */
static int write_all(int fd, struct iovec *iov, int count, off_t offset)
{
	iov_advance(&iov, &count, 0);
	while (count) {
		ssize_t n;

		if (offset < 0)
			RETRY(n, writev(fd, iov, count));
		else
			RETRY(n, pwritev(fd, iov, count, offset));
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		if (offset >= 0)
			offset += n;
		iov_advance(&iov, &count, (size_t)n);
	}
	return 0;
}

/* A write that stops in the middle: the first half of the bytes, of the first piece only when there are several. */
static void write_half(int fd, const struct iovec *iov, int count, off_t offset)
{
	struct iovec half = { NULL, 0 };

	if (count == 0)
		return;
	half.iov_base = iov->iov_base;
	half.iov_len = count > 1 ? iov->iov_len : iov->iov_len / 2;
	(void)write_all(fd, &half, 1, offset);
}

static int write_or_fault(const char *op, int fd, struct iovec *iov, int count, off_t offset)
{
	enum io_fault fault = change(op);
	int rc;

	if (fault == IO_FAULT_TORN || fault == IO_FAULT_ENOSPC)
		write_half(fd, iov, count, offset);
	rc = refused(fault);
	if (rc == 0)
		rc = write_all(fd, iov, count, offset);
	return rc < 0 ? failed(rc, op, fd, NULL) : 0;
}

static struct iovec iov_of(const void *data, size_t len)
{
	union {
		const void *in;
		void *out;
	} cast = { data }; /* struct iovec serves reads too and has no const */

	return (struct iovec){ cast.out, len };
}

int io_write_full(int fd, const void *data, size_t len)
{
	struct iovec iov = iov_of(data, len);

	return write_or_fault("write", fd, &iov, 1, -1);
}

int io_pwrite_full(int fd, const void *data, size_t len, off_t offset)
{
	struct iovec iov = iov_of(data, len);

	return write_or_fault("pwrite", fd, &iov, 1, offset);
}

int io_pwritev_full(int fd, struct iovec *iov, int count, off_t offset)
{
	return write_or_fault("pwritev", fd, iov, count, offset);
}

int io_ftruncate(int fd, off_t size)
{
	CHANGE("truncate", fd, NULL, ftruncate(fd, size));
}

int io_fallocate(int fd, int mode, off_t offset, off_t len)
{
	CHANGE("fallocate", fd, NULL, fallocate(fd, mode, offset, len));
}

int io_punch_hole(int fd, off_t offset, off_t len)
{
	CHANGE("punch", fd, NULL,
	       fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len));
}

int io_fsync(int fd)
{
	CHANGE("fsync", fd, NULL, fsync(fd));
}

int io_fdatasync(int fd)
{
	CHANGE("fdatasync", fd, NULL, fdatasync(fd));
}

int io_renameat(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	CHANGE("rename", to_dir, to, renameat2(from_dir, from, to_dir, to, flags));
}

int io_unlinkat(int dirfd, const char *path, int flags)
{
	CHANGE("unlink", dirfd, path, unlinkat(dirfd, path, flags));
}

int io_mkdirat(int dirfd, const char *path, mode_t mode)
{
	CHANGE("mkdir", dirfd, path, mkdirat(dirfd, path, mode));
}

int io_fchmod(int fd, mode_t mode)
{
	CHANGE("chmod", fd, NULL, fchmod(fd, mode));
}
