/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock - see lock.h.  The text is three lines: pid, what, mountpoint (may be empty).
 */
#include "store/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "store/base/clock.h"
#include "store/base/io.h"

#define LOCK_POLL_MS 20

static void copy_line(char *out, size_t size, const char **at)
{
	size_t len = strcspn(*at, "\n");

	snprintf(out, size, "%.*s", (int)len, *at);
	*at += len + ((*at)[len] == '\n');
}

static int read_owner(int fd, struct store_owner *ret)
{
	char text[4400], pid[16];
	const char *at = text;
	ssize_t len = io_pread_full(fd, text, sizeof(text) - 1, 0);

	memset(ret, 0, sizeof(*ret));
	if (len < 0)
		return (int)len;
	text[len] = '\0';
	copy_line(pid, sizeof(pid), &at);
	copy_line(ret->what, sizeof(ret->what), &at);
	copy_line(ret->mountpoint, sizeof(ret->mountpoint), &at);
	ret->pid = (pid_t)strtol(pid, NULL, 10);
	return 0;
}

/* Over the old text, so that a full disk does not matter; and where it does, there is only no text. */
static int write_owner(int fd, const char *what, const char *mountpoint)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	int rc;

	buf_addf(&text, "%ld\n%s\n%s\n", (long)getpid(), what ? what : "labfs", mountpoint ? mountpoint : "");
	rc = buf_err(&text);
	if (rc == 0)
		rc = io_pwrite_full(fd, text.data, text.len, 0);
	if (rc == 0)
		rc = io_ftruncate(fd, (off_t)text.len);
	if (rc == -ENOSPC || rc == -EDQUOT) {
		err_clear();
		return 0;
	}
	return rc;
}

static int wait_for(int fd, unsigned wait_ms)
{
	int64_t until = clock_mono_ms() + (int64_t)wait_ms;

	for (;;) {
		int rc = io_flock(fd, LOCK_EX | LOCK_NB);

		if (rc != -EWOULDBLOCK)
			return rc;
		if (clock_mono_ms() >= until)
			return -EBUSY;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_POLL_MS * 1000000L }, NULL);
	}
}

int lock_take(int dirfd, unsigned wait_ms, const char *what, const char *mountpoint, struct store_owner *owner, int *ret_fd)
{
	struct store_owner other;
	int fd = io_openat(dirfd, "lock", O_RDWR | O_CREAT, 0600);
	int rc;

	if (fd < 0)
		return fd;
	rc = wait_for(fd, wait_ms);
	if (rc == -EBUSY && read_owner(fd, &other) == 0) {
		if (owner)
			*owner = other;
		err_set(rc, "the store is in use by process %ld (%s%s%s)", (long)other.pid, other.what,
			other.mountpoint[0] ? " on " : "", other.mountpoint);
	}
	if (rc == 0)
		rc = write_owner(fd, what, mountpoint);
	if (rc) {
		io_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int lock_owner(int dirfd, struct store_owner *ret)
{
	SCOPED_FD int fd = io_openat(dirfd, "lock", O_RDONLY, 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = io_flock(fd, LOCK_SH | LOCK_NB);
	if (rc == 0)
		return -ENOENT;
	return rc == -EWOULDBLOCK ? read_owner(fd, ret) : rc;
}
