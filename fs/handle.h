/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle - open files and directories: what fuse_file_info.fh points at.  Core thread only.
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "fs/node.h"

struct handle {
	uint64_t node;
	const struct node_ops *ops;	/* of the node, at open */
	int flags;			/* of open(2): O_ACCMODE, O_APPEND, O_TRUNC … */
	void *state;			/* the table's own; freed by its release */

	/* Answer bits for open and create, set by the table. */
	bool direct_io, keep_cache, noflush, nonseekable;

	struct handle *next, *prev;	/* all handles, for leaving */
};

struct handle *handle_new(struct fs *fs, uint64_t node, int flags);	/* NULL: no memory */
void handle_free(struct fs *fs, struct handle *h);

static inline bool handle_writes(const struct handle *h)
{
	return (h->flags & 3) != 0;	/* O_WRONLY or O_RDWR */
}

/* The next open handle of NODE after AFTER (NULL: the first), or NULL.  O(handles of its hash bucket). */
struct handle *handle_next(struct fs *fs, uint64_t node, const struct handle *after);

#endif
