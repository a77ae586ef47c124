/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head_write - who is writing the head of a file dataset or model: the last one to close has its version cut.  Core thread.
 */
#ifndef FS_HEAD_WRITE_H
#define FS_HEAD_WRITE_H

#include "fs/fs.h"
#include "store/meta/entry.h"

/* A file head that somebody may be writing. */
struct head_write {
	uint32_t tree;
	unsigned writers;	/* descriptors that may write */
	bool wrote;		/* bytes or size, since the last cut */
	bool rewrote;		/* other than by appending */
	struct meta_actor who;
	struct head_write *next;
};

/* The dataset or model whose head TREE is; 0: none. */
uint32_t head_entry_id(struct fs *fs, uint32_t tree);

/* May the caller make the head NAME?  What goes by that name already, if only its versions do, must be the caller's. */
MUST_CHECK int head_may_make(struct call *c, enum entry_space space, struct slice name);

/* A descriptor that may write TREE's root, a file head, was opened; NULL: no memory.  Its last one leaving cuts (own batch). */
struct head_write *head_write_join(struct call *c, uint32_t tree);
void head_write_leave(struct fs *fs, struct head_write *w);

/* In a batch: a run wrote into the head that TREE may be: a tree dataset is cut when the run ends. */
MUST_CHECK int head_write_note(struct call *c, uint32_t tree);
/* In a batch: a size was set, or bytes were changed, in an inode of what may be a head. */
MUST_CHECK int head_write_note_rewrite(struct call *c, uint32_t tree, uint32_t ino);

#endif
