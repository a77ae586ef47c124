/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - mount a store and answer the kernel until it is unmounted: the only header of fs/ that tools/ need.
 *
 * serve() runs in the process that is to be the daemon, with one thread so far; it makes its threads itself.  SIGTERM and SIGINT make it
 * unmount, flush and return.  Other threads may have things done on the core by fs_call_core().
 */
#ifndef FS_SERVE_H
#define FS_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "store/base/err.h"

struct fs;
struct store;

enum serve_versions { SERVE_VERSIONS_DEFAULT = 0, SERVE_VERSIONS_LIST, SERVE_VERSIONS_HIDE };

struct serve_options {
	const char *store;		/* path; absolute */
	const char *mountpoint;		/* an existing directory that nothing is mounted on; absolute */
	bool allow_other, read_only;
	const char *group;		/* name or number; NULL none */
	uint64_t size_limit;		/* bytes; 0 none, or as the store's config says */
	enum serve_versions versions;	/* default: as the store's config says */
	unsigned wait_ms;		/* for another process to let go of the store */
	struct store_owner *ret_owner;	/* store.h: filled when the answer is -EBUSY; may be NULL */

	/* The mount answers: called once, on the core thread.  FS may be used by any thread from now on, until STOPPING was called. */
	void (*ready)(void *arg, struct fs *fs);
	/* No fs_call_core() may be begun once this has returned: stop the control socket here.  A thread of its own (the core still
	 * answers fs_call_core() meanwhile); may be NULL. */
	void (*stopping)(void *arg, struct fs *fs);
	void *arg;
};

/*
 * Open the store, mount, serve, unmount, close.  0: it was unmounted, or told to end, and everything is on disk.  -EBUSY the store is
 * held by another process; -errno with a sentence for the user in err_reason().
 */
MUST_CHECK int serve(const struct serve_options *options);

/*
 * Run FN(ARG) on the core thread and, with WAIT, return what it answered; any thread (the core itself: at once).  Without WAIT, ARG must live until
 * FN frees it.  FN may open batches; what the kernel knows of names is refreshed when it changed something.  -ESHUTDOWN: the daemon is ending.
 */
int fs_call_core(struct fs *fs, int (*fn)(struct fs *fs, void *arg), void *arg, bool wait);

struct store *fs_store(struct fs *fs);
/* The group of group=G; (gid_t)-1 without it. */
gid_t fs_group(const struct fs *fs);

/* The table of man page 7, machine-readable: PATH <tab> KIND <tab> MODE <tab> LISTED|unlisted <tab> READ <tab> WRITE, a line each. */
void node_table_print(FILE *out);

/* Why this machine cannot mount, as one sentence in err_reason(): -ENOENT no /dev/fuse, -EACCES, -ENOPKG no fusermount3.  0: it can. */
MUST_CHECK int serve_check_machine(void);

#endif
