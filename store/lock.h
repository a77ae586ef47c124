/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock - one process owns a store at a time: an flock(2) on the file `lock`, whose text says who holds it.
 * A copied lock file is not a lock.  The text is for messages only.
 */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include "store/store.h"

/* Take the lock in the store DIRFD, waiting up to WAIT_MS; *RET_FD holds it until closed.  -EBUSY with OWNER filled (may be NULL). */
MUST_CHECK int lock_take(int dirfd, unsigned wait_ms, const char *what, const char *mountpoint, struct store_owner *owner,
			 int *ret_fd);

/* Who holds it: 0; -ENOENT nobody. */
MUST_CHECK int lock_owner(int dirfd, struct store_owner *ret);

#endif
