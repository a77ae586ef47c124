/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - batches, refusals, and what the kernel must be told.
 */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/refusal.h"

#define NOTIFY_INC_EPOCH                                                                           \
	8 /* FUSE_NOTIFY_INC_EPOCH of linux/fuse.h since 6.16; libfuse 3.14 has no call for it */

int fs_begin(struct fs *fs)
{
	return kv_begin(fs->kv);
}

int fs_end(struct fs *fs, int rc)
{
	if (rc < 0) {
		kv_abort(fs->kv);
		return rc;
	}
	rc = kv_commit(fs->kv, NULL);
	return rc < 0 ? rc : 0;
}

bool fs_epoch_works(struct fs *fs)
{
	struct {
		uint32_t len;
		int32_t code;
		uint64_t unique;
	} msg = { sizeof(msg), NOTIFY_INC_EPOCH, 0 };

	return write(fuse_session_fd(fs->session), &msg, sizeof(msg)) == (ssize_t)sizeof(msg);
}

void fs_names_changed(struct fs *fs)
{
	if (fs->has_epoch)
		(void)fs_epoch_works(fs); /* fails only when the mount is gone */
}

double fs_entry_timeout(const struct fs *fs)
{
	return fs->has_epoch ? NODE_LONG : 0;
}

void fs_refused(struct fs *fs, const char *op, const char *path, int rc, const char *reason)
{
	refusals_add(fs->refusals, op, path, rc, reason);
}
