/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procs - which run a process belongs to: attached processes and their descendants, and LABFS_RUN.
 *
 * A request carries the id of a thread.  A worker reads /proc for its process, start time and ancestors (the core never does: a process in
 * a page fault on our mount holds the lock that such a read needs); the core then finds the nearest attached one.
 */
#ifndef FS_PROCS_H
#define FS_PROCS_H

#include "fs/call.h"

MUST_CHECK int procs_new(struct fs *fs);	/* core; reads what is attached from the store */
void procs_free(struct fs *fs);

/* Is any process attached to a run?  Core. */
bool procs_any(const struct fs *fs);

/* The run of the thread PID when it was asked a moment ago; -EAGAIN when not: procs_resolve(). Core. */
MUST_CHECK int procs_known(struct fs *fs, pid_t pid, uint32_t *ret_run);

/* Find out, then call FN(C, RUN, ARG) on the core (RUN 0: none). C is a deferred call. */
MUST_CHECK int procs_resolve(struct call *c, void (*fn)(struct call *c, uint32_t run, void *arg), void *arg);

/* Attach the process PID (0: the caller's) to RUN, then FN(C, RC, ARG): -ESRCH, -EINVAL, or what the store says. */
MUST_CHECK int procs_attach(struct call *c, uint32_t run, pid_t pid, void (*fn)(struct call *c, int rc, void *arg), void *arg);

/* The live processes attached to RUN, a pid a line, ascending. */
void procs_text(struct fs *fs, uint32_t run, struct buf *out);

#endif
