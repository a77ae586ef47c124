/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - the facade: everything durable of one labfs store, a directory (`.labfs`).
 *
 * Opening takes the exclusive lock, checks the format, recovers, and hands out the layers: kv, cas, trees, meta.  The thread that opens it is the
 * core (kv.h).  The same functions serve the daemon and a command without one.  What is in the directory: store/FORMAT.md.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/cas/cas.h"
#include "store/kv/kv.h"
#include "store/meta/meta.h"
#include "store/meta/entry.h"
#include "store/tree/tree.h"

#define STORE_FORMAT 1u			/* version of the bytes on disk, apart from the program's */

struct store;

struct store_owner {			/* who holds the lock */
	pid_t pid;
	char what[64];			/* "labfs mount /mnt" as it wrote it */
	char mountpoint[4096];		/* empty: not mounted */
};

struct store_options {
	bool read_only;
	unsigned wait_ms;		/* how long to wait for another process to let go */
	const char *what;		/* written into the lock, for messages; may be NULL */
	const char *mountpoint;		/* likewise */
	struct store_owner *ret_owner;	/* filled when -EBUSY; may be NULL */
	void (*wake)(void *arg);	/* kv_options.wake */
	void *wake_arg;
};

/*
 * Make a store at PATH (missing, or an empty directory): built under a temporary name beside it and renamed, mode 0700, with a .gitignore.
 * -EEXIST it is a store already; -ENOTEMPTY a directory that is none; -EOPNOTSUPP on FUSE, NFS, CIFS, 9p (unless ALLOW_REMOTE: then *RET_REMOTE
 * names the type for a warning).  err_reason() has the sentence for the user.
 */
MUST_CHECK int store_create(const char *path, bool allow_remote, char ret_remote[32]);

/* Nearest `.labfs` from the directory START (NULL: the working directory) upward; a mount of ours on the way stands for its store. malloc'ed. -ENOENT. */
MUST_CHECK int store_find(const char *start, char **ret_path);

/* -ENOENT no store there, -EBUSY held (ret_owner), -ENOTSUP format too new, -EBADMSG damaged, -EACCES, -EIO. */
MUST_CHECK int store_open(const char *path, const struct store_options *options, struct store **ret);
int store_close(struct store *s);	/* core; settles pending cuts, checkpoints, unlocks; NULL is fine */

/* Who holds PATH's lock: 0 and *RET filled; -ENOENT nobody. */
MUST_CHECK int store_owner(const char *path, struct store_owner *ret);

struct kv *store_kv(struct store *s);
struct cas *store_cas(struct store *s);
struct trees *store_trees(struct store *s);
struct meta *store_meta(struct store *s);
const char *store_path(const struct store *s);		/* absolute */
int store_dirfd(const struct store *s);

/* The tree that holds what editors and desktops drop into directories that are no trees.  Core; in a batch when MAKE: then it is made
 * where it is missing; else -ENOENT. */
MUST_CHECK int store_scratch_tree(struct store *s, bool make, uint32_t *ret_tree);

/* --- config: KEY VALUE lines (man 5); unknown keys are -EINVAL.  Core. --------------------------------------- */
MUST_CHECK int store_config_get(struct kv_view *view, const char *key, struct slice *ret);	/* the default when unset */
MUST_CHECK int store_config_set(struct store *s, struct slice key, struct slice value);		/* in a batch */
void store_config_text(struct kv_view *view, struct buf *out);					/* all, one a line */

/* --- limits: what `size=` and statfs speak of ------------------------------------------------------------------ */
struct store_space {
	uint64_t used;			/* bytes of the store's files on the host's disk */
	uint64_t limit;			/* size=; 0 none */
	uint64_t disk_total, disk_free;	/* statvfs of the disk below, for the user */
};
MUST_CHECK int store_space(struct store *s, struct store_space *ret);	/* core; counters, cheap */
/* The same, measured now.  Core. */
MUST_CHECK int store_space_now(struct store *s, struct store_space *ret);
void store_set_limit(struct store *s, uint64_t bytes);
/* May BYTES more be taken in?  -EDQUOT over the limit.  Core, cheap; what is admitted counts at once. */
MUST_CHECK int store_admit(struct store *s, uint64_t bytes);

/* --- checking, collecting, backup -------------------------------------------------------------------------------- */
/* Read every byte, check every reference.  Any thread with a snapshot VIEW.  REPORT a line a fault.  0 clean, 1 faults, -errno. */
MUST_CHECK int store_check(struct store *s, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg);

/* Collecting: bounded steps on the core, between batches (they open their own), until *RET_MORE is false; what they gave back to
 * the disk adds to *FREED.  What layers still hold is chunked by sealing first (tree_seal_*). */
MUST_CHECK int store_collect_step(struct store *s, uint64_t *freed, bool *ret_more);
/* What it would free. */
MUST_CHECK int store_collectable(struct store *s, struct kv_view *view, uint64_t *ret_bytes);
/* Core, nobody else uses the store: rewrite the main file without its free pages when that gives back a good part of it. *S stays
 * valid, but kv, cas, trees and meta are new ones. */
MUST_CHECK int store_compact(struct store *s, uint64_t *freed);

/*
 * A consistent copy as one tar stream, passed to WRITE piece by piece; any thread, holds SNAPSHOT meanwhile; call after everything
 * was published.  Bytes of files that are being written at that moment may be a mix of old and new ones.  A negative answer of WRITE ends it.
 */
MUST_CHECK int store_backup(struct store *s, struct kv_view *snapshot, int (*write)(void *arg, struct slice bytes), void *arg);
/* A store at PATH from a backup. Errors as store_create, -EBADMSG not a backup of ours. */
MUST_CHECK int store_restore(const char *path, int fd, bool allow_remote, char ret_remote[32]);

#endif
