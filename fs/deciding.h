/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deciding - has the head of a large file dataset, just closed, other bytes than its newest version?  A worker compares; whoever looks for
 * versions meanwhile waits for the answer.  Core thread.
 */
#ifndef FS_DECIDING_H
#define FS_DECIDING_H

#include "fs/fs.h"

#define DECIDE_ON_CORE (256u << 10)	/* bytes that the core compares itself */

/* The head of ENTRY, for which entry_defer() was called in a batch that is committed: compare, then cut or not. */
void deciding_start(struct fs *fs, uint32_t entry, const struct meta_actor *who);

/* True: the head of ENTRY (0: of any) is being compared; the call waits and is then done over (return FS_DEFERRED).  False for
 * requests that cannot be done over: they settle by themselves. */
bool deciding_wait(struct call *c, uint32_t entry);

#endif
