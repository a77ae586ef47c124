/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint - what is mounted where, and whether we may mount there.
 */
#ifndef TOOLS_CLI_MOUNTPOINT_H
#define TOOLS_CLI_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "store/base/buf.h"

/* realpath() that does not touch the last component of PATH, which may be a dead mount.  malloc'ed; NULL: nothing above it. */
char *mountpoint_real(const char *path);

/* Is one of our mounts on PATH (absolute, real)?  *RET_STORE, when not NULL: the store that it serves; malloc'ed. */
bool mountpoint_is_ours(const char *path, char **ret_store);

/* Was a mount at PATH left behind by a daemon that died? */
bool mountpoint_is_dead(const char *path);

/*
 * Make PATH fit to mount on, for the store at STORE (real path): makes the directory when it is missing, detaches a dead mount.
 * *RET: its real path, malloc'ed.  -ENOTDIR, -ENOTEMPTY, -EBUSY (mounted already), -EOPNOTSUPP (on FUSE or NFS), -EINVAL (inside the store or
 * around it), each with a sentence.
 */
MUST_CHECK int mountpoint_prepare(const char *path, const char *store, char **ret);

/* Unmount: 0, -EBUSY, or what it was.  LAZY detaches at once whoever uses it. */
MUST_CHECK int mountpoint_detach(const char *path, bool lazy);

/* The processes that use the mount at PATH, "name (pid), …" into OUT; a /proc walk, from the client only. */
void mountpoint_users(const char *path, struct buf *out);

#endif
