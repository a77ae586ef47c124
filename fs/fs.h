/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - what every file of the front-end shares: the mounted store, its options, batches, jobs for workers.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include "fs/call.h"
#include "fs/job.h"
#include "store/store.h"

struct handles;
struct refusals;
struct procs;
struct loop;
struct pool;
struct watch;
struct views;
struct deciding;
struct tree_front;			/* fs/tab_tree.c's own */

struct fs {
	struct store *store;		/* immutable, as all down to `loop` */
	struct kv *kv;
	struct cas *cas;
	struct trees *trees;
	struct meta *meta;
	struct fuse_session *session;
	const char *mountpoint;
	uint32_t owner_uid, owner_gid;	/* of the store: who runs the daemon */
	bool has_group;			/* group=G */
	uint32_t group;
	bool allow_other, read_only;
	bool hide_versions;		/* versions=hide */
	bool has_epoch;			/* the kernel knows FUSE_NOTIFY_INC_EPOCH */
	int64_t started_ms;		/* clock_mono_ms() of the mount */
	int64_t created_ms;		/* of the store; mtime of what has no other */
	struct loop *loop;
	struct pool *pool;

	struct handles *handles;	/* core thread, as all below */
	struct refusals *refusals;
	struct procs *procs;
	struct watch *watch;
	struct views *views;
	struct deciding *deciding;	/* deciding.c: heads that a worker compares */
	struct tree_front *trees_front;	/* made by tree_front_new, freed by tree_front_free */
	uint64_t requests;		/* since the mount */
	uint64_t deferred;		/* requests that wait for something */
	uint64_t jobs;			/* submitted, and not yet done() */
	uint64_t seen_seq;		/* background.c's, as all down to `freed` */
	int64_t collected_ms;
	bool sealing, flushing, tick_armed, settle_armed, flush_armed;
	uint64_t freed;			/* bytes given back in the background */
};

/* The live state. */
static inline struct kv_view *fs_view(struct fs *fs)
{
	return kv_live(fs->kv);
}

/* End a batch: commit when RC >= 0, else abort.  Returns RC, or what the commit answered.
 *	int rc = fs_begin(fs);
 *	if (rc < 0) return rc;
 *	rc = run_set_name(...);
 *	return fs_end(fs, rc);
 */
MUST_CHECK int fs_begin(struct fs *fs);
MUST_CHECK int fs_end(struct fs *fs, int rc);

/*
 * A name has vanished, or now means something else, by another door than the request that is being answered (a twin path, a
 * command): the kernel forgets what names it knows, before the answer goes out.  Where the kernel cannot, entry timeouts are 0 (fs_entry_timeout).
 */
void fs_names_changed(struct fs *fs);
double fs_entry_timeout(const struct fs *fs);	/* NODE_LONG, or 0 without has_epoch */
/* Ask for it once; true: the kernel understood. */
bool fs_epoch_works(struct fs *fs);

/* Note a refusal for /.labfs/errors. */
void fs_refused(struct fs *fs, const char *op, const char *path, int rc, const char *reason);

/* Trees' own state and its timers: fs/tab_tree.c. */
MUST_CHECK int tree_front_new(struct fs *fs);
void tree_front_free(struct fs *fs);		/* every handle has been released before */

#endif
