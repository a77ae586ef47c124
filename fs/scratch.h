/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch - files that programs drop beside what they work on (.lr.swp, 4913, x~, .DS_Store), in directories that are no trees.
 * They live in one tree of the store, in a directory per directory of the mount; they are never a dataset, a param or a version.  Also there:
 * symlinks that `ln -sfn` makes beside an alias before it renames them to it.  Core thread.
 */
#ifndef FS_SCRATCH_H
#define FS_SCRATCH_H

#include "fs/fs.h"

/* Is NAME in DIR one for here? */
bool scratch_takes(uint64_t dir, struct slice name);

/* Where the scratch files of the mount's directory DIR are.  MAKE: within a batch.  -ENOENT when there is none. */
MUST_CHECK int scratch_place(struct fs *fs, uint64_t dir, bool make, uint32_t *ret_tree, uint32_t *ret_dir);

/* The symlink NAME kept in DIR: its target.  -ENOENT, -EINVAL when it is something else. */
MUST_CHECK int scratch_target(struct fs *fs, uint64_t dir, struct slice name, struct buf *out);
MUST_CHECK int scratch_lookup(struct fs *fs, uint64_t dir, struct slice name, struct node_entry *ret);	/* FS_NOT_MINE */
MUST_CHECK int scratch_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret);
MUST_CHECK int scratch_unlink(struct fs *fs, uint64_t dir, struct slice name);				/* FS_NOT_MINE; own batch */
MUST_CHECK int scratch_rename(struct fs *fs, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags);

#endif
