/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal - shared by the .c files directly in store/ only.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "store/store.h"

#define STORE_VERSION_FILE "version"
#define STORE_KV_DIR "kv"		/* the engine's files, a directory of their own so that a rewritten engine can be swapped in by one rename */
#define STORE_KV_NEW STORE_KV_DIR ".new"	/* that one, being written */
#define STORE_BACKUP_PREFIX "backup."	/* copies of the engine that a backup is made from; the thread's id follows */
#define STORE_SEGMENTS_DIR "segments"	/* store/cas */
#define STORE_DIRTY_DIR "dirty"		/* store/tree */

/* Feature flags of the format that this program knows (FORMAT.md 0).  A store with an unknown compat flag is served, with an unknown
 * ro_compat flag only read, with an unknown incompat flag refused. */
#define STORE_COMPAT 0u
#define STORE_RO_COMPAT 0u
#define STORE_INCOMPAT 0u

struct store {
	char *path;			/* immutable, absolute */
	int dirfd, kv_dirfd, lock_fd;
	bool read_only;			/* immutable */
	struct kv_options kv_options;	/* immutable */
	struct kv *kv;			/* these four: core thread, replaced by store_compact */
	struct cas *cas;
	struct trees *trees;
	struct meta *meta;
	uint64_t limit;			/* core thread */
	uint64_t used_bytes;		/* core thread: as last measured, and what was admitted since */
	int64_t used_at_ms;		/* core thread */
};

/* Open and close the four layers of a store whose descriptors are set. */
MUST_CHECK int store_open_layers(struct store *s);
int store_close_layers(struct store *s);

/* The text of the version file, and what of it matters.  -ENOTSUP with a sentence when the store is too new. */
MUST_CHECK int store_version_write(int dirfd);
MUST_CHECK int store_version_check(int dirfd, const char *path, bool *ret_read_only);

/* Remove the copy of an engine in the directory NAME; none is fine. */
MUST_CHECK int store_remove_engine(int dirfd, const char *name);

MUST_CHECK int store_gitignore_write(int dirfd);

/* Build a store in the fresh directory of store_create: called with the temporary directory's descriptor. */
MUST_CHECK int store_build(const char *path, bool allow_remote, char ret_remote[32], int (*fill)(void *arg, int dirfd), void *arg);

#endif
