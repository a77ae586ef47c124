/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs umount - flush, unmount, and wait until the daemon has left: then all of it is on the disk.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/base/io.h"
#include "tools/cli/command.h"
#include "tools/cli/mountpoint.h"

#define LEAVE_MS 120000		/* a daemon may have much to write */

static int busy(const char *path)
{
	SCOPED_BUF struct buf users = BUF_INIT;

	mountpoint_users(path, &users);
	if (users.len == 0 || buf_err(&users))
		return err_set(-EBUSY, "%s: in use by some process (it holds a file open, or stands in it)", path);
	return err_set(-EBUSY, "%s: in use by %s", path, users.data);
}

static int wait_for_exit(int pidfd, const char *path)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int got;

	do {
		got = poll(&p, 1, LEAVE_MS);
	} while (got < 0 && errno == EINTR);
	return got > 0 ? 0 : err_set(-EBUSY, "%s: unmounted, but its daemon is still writing", path);
}

static int leave(const char *path)
{
	SCOPED_FD int pidfd = -1;
	struct store_owner owner = { .pid = 0 };
	char *store = NULL;
	int rc;

	if (!mountpoint_is_ours(path, &store))
		return err_set(-ENOENT, "%s: no labfs store is mounted there", path);
	if (store && store_owner(store, &owner) == 0 && strcmp(owner.mountpoint, path) == 0)	/* else a command has the store */
		pidfd = (int)syscall(SYS_pidfd_open, owner.pid, 0);
	free(store);
	rc = mountpoint_detach(path, mountpoint_is_dead(path));
	if (rc == -EBUSY)
		return busy(path);
	if (rc)
		return err_set(rc, "%s: cannot be unmounted: %s", path, err_text(rc));
	return pidfd >= 0 ? wait_for_exit(pidfd, path) : 0;
}

int cmd_umount(struct command_env *env)
{
	const char *given = env->options->args[0];
	char *path = realpath(given, NULL);
	int rc;

	if (!path && (errno == ENOTCONN || errno == ECONNABORTED))
		path = mountpoint_real(given);
	rc = path ? leave(path) : err_set(-ENOENT, "%s: %s", given, strerror(errno));
	free(path);
	return rc ? env_fail(env, rc) : EXIT_OK;
}
