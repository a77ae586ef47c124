/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - POSIX filesystems inside the store: a run's artifacts, the heads of datasets and models, and their frozen versions.
 *
 * A tree has numbered inodes; its root is inode 1, a directory or (a file dataset) a regular file.  Rows carry the epoch in which
 * they were written; tree_cut() makes the present state a version in O(1) by starting the next epoch.  A place is a tree as of an
 * epoch; only the head can change.  The bytes of files are `content` objects: inline (small), layers (plain sparse files under `dirty/`),
 * blobs of the content store (sealed), each content falling back on a base; copies and versions share them by reference.
 *
 * A layer, or a range of one, is re-used or removed only when kv_snapshot_oldest() shows that no open snapshot can still read it.
 *
 * Threads: whatever changes something is for the core thread within a kv batch (kv_begin .. kv_commit, by the caller); reads
 * take a view and work on any thread.  Names are bytes, 1-255, no '/' and no NUL; "." and ".." are the front-end's business.
 */
#ifndef STORE_TREE_TREE_H
#define STORE_TREE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "store/base/buf.h"
#include "store/cas/blob.h"
#include "store/cas/cas.h"
#include "store/kv/kv.h"

#define TREE_ROOT 1u
#define TREE_HEAD UINT32_MAX		/* the epoch of a place that is the changing head */
#define TREE_NAME_MAX 255u
#define TREE_SYMLINK_MAX 4095u
#define TREE_XATTRS_MAX 65536u		/* bytes of all xattrs of an inode together */
#define TREE_LINK_MAX 65000u
#define TREE_EMPTY_MAX 2000u		/* so many names, with small files unsealed, fit into a batch for sure */
#define TREE_INLINE_MAX 4080u		/* files up to here live in the engine, not in a layer */

struct trees;

/* Whose tree: for fsck, for messages.  */
enum tree_owner {
	TREE_OWNER_RUN = 1,		/* artifacts; owner id = run */
	TREE_OWNER_ENTRY = 2,		/* a dataset or model head; owner id = entry */
	TREE_OWNER_SCRATCH = 3,		/* droppings of editors in directories that are no trees; owner id 0 */
	TREE_OWNER_LOGGED_MODEL = 4,	/* files of an MLflow logged model; owner id = its number */
};

struct tree_place {
	uint32_t tree;
	uint32_t epoch;			/* TREE_HEAD, or what tree_cut() returned */
};

struct tree_info {
	enum tree_owner owner;
	uint32_t owner_id;
	uint32_t epoch;			/* the epoch that the head writes in */
	uint32_t changed_epoch;		/* the epoch of the last change of names, bytes or attributes that a version keeps */
	bool frozen;
	uint64_t inodes;		/* alive in the head */
	uint64_t bytes;			/* sum of the sizes of the head's regular files */
	int64_t mtime_ns;		/* of the last change of anything in it */
};

struct tree_attr {
	uint32_t ino;
	uint32_t mode;			/* type and permission bits */
	uint32_t uid, gid;
	uint32_t nlink;			/* directories: 2 + subdirectories */
	uint32_t rdev;
	uint64_t size;			/* symlink: length of its target; directory: 4096 */
	uint64_t blocks;		/* 512-byte units */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
};

MUST_CHECK int trees_create(int dirfd);		/* the empty `dirty/` below the store's DIRFD */
/* Core.  Recovers: layers against what is really there, orphans, half-done background work.  Opens batches of its own. */
MUST_CHECK int trees_open(struct kv *kv, struct cas *cas, int dirfd, struct trees **ret);
void trees_close(struct trees *t);		/* core; NULL is fine */

/* --- whole trees: core, in a batch --------------------------------------------------------------- */

/* MODE: S_IFDIR|perm or S_IFREG|perm of the root. */
MUST_CHECK int tree_new(struct trees *t, enum tree_owner owner, uint32_t owner_id, uint32_t mode, uint32_t uid, uint32_t gid,
			uint32_t *ret_tree);
MUST_CHECK int tree_info(struct kv_view *view, uint32_t tree, struct tree_info *ret);
MUST_CHECK int tree_set_owner(struct trees *t, uint32_t tree, enum tree_owner owner, uint32_t owner_id);
/* The tree and all its versions go, its rows and bytes in the background; while anything in it is held (tree_hold) it lives on until the last
 * hold is released, or the next open. */
MUST_CHECK int tree_delete(struct trees *t, uint32_t tree);
/* Everything in the head becomes the version *RET_EPOCH, in O(1).  */
MUST_CHECK int tree_cut(struct trees *t, uint32_t tree, uint32_t *ret_epoch);
/* The version of that epoch is no longer wanted; what only it held goes in the background. */
MUST_CHECK int tree_drop_version(struct trees *t, uint32_t tree, uint32_t epoch);
/* Does the head differ from the version EPOCH (0: from nothing) in names, types, bytes, targets, or the x bit?  Cheap when nothing was touched
 * since; else compares what was (bytes too; *RET_COSTLY says, when not NULL, that more than ~1 MiB would have to be compared, and nothing was). */
MUST_CHECK int tree_differs(struct trees *t, struct kv_view *view, uint32_t tree, uint32_t epoch, bool *ret_differs, bool *ret_costly);
/* From now on changes answer -EROFS, except through HELD writes (below).  tree_thaw takes it back (a run re-opened). */
MUST_CHECK int tree_freeze(struct trees *t, uint32_t tree);
MUST_CHECK int tree_thaw(struct trees *t, uint32_t tree);
/* The head lets go of everything in it; what versions show stays.  -EFBIG, and nothing has changed: more than TREE_EMPTY_MAX inodes. */
MUST_CHECK int tree_empty(struct trees *t, uint32_t tree);

/* --- reading: any view --------------------------------------------------------------------------- */

MUST_CHECK int tree_getattr(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, struct tree_attr *ret);
MUST_CHECK int tree_lookup(struct kv_view *view, struct tree_place at, uint32_t dir, struct slice name, uint32_t *ret_ino);
/* Entries with a cookie greater than COOKIE, in rising order, until EMIT answers non-zero (which is returned if negative; positive stops: 0). */
struct tree_entry {
	struct slice name;		/* borrowed for the call */
	uint32_t ino;
	uint32_t mode;			/* file type bits */
	uint64_t cookie;
};
MUST_CHECK int tree_readdir(struct kv_view *view, struct tree_place at, uint32_t dir, uint64_t cookie,
			    int (*emit)(void *arg, const struct tree_entry *entry), void *arg);
MUST_CHECK int tree_readlink(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out);
MUST_CHECK ssize_t tree_read(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off,
			     void *out, size_t len);
/* lseek(2) SEEK_DATA or SEEK_HOLE. */
MUST_CHECK int64_t tree_seek(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off, bool hole);
/* Would reading this range wait for a disk or decompress a lot (then it is a worker's)? */
bool tree_read_is_cheap(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off, size_t len);
/* The directory that holds INO (directories only; the root's is itself). */
MUST_CHECK int tree_parent(struct kv_view *view, struct tree_place at, uint32_t ino, uint32_t *ret_dir);
/* xattrs: the value, or the NUL-separated names. -ENODATA. */
MUST_CHECK int tree_getxattr(struct kv_view *view, struct tree_place at, uint32_t ino, struct slice name, struct buf *out);
MUST_CHECK int tree_listxattr(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out);
/* Digests of a regular file whose content is sealed; -ENODATA when it is not. */
MUST_CHECK int tree_sums(struct kv_view *view, struct tree_place at, uint32_t ino, struct blob_sums *ret);
/* Are two files the same bytes?  Shared parts are not read.  MAX_BYTES: give up with -E2BIG when more would have to be compared (0: never). */
MUST_CHECK int tree_same_bytes(struct trees *t, struct kv_view *view, struct tree_place a, uint32_t ino_a, struct tree_place b,
			       uint32_t ino_b, uint64_t max_bytes, bool *ret_same);
/* Depth-first differences of two places' names and files, for diff and lineage: EMIT gets the path and what happened. Equal subtrees of one tree are skipped unread. */
enum tree_change { TREE_ADDED = 1, TREE_REMOVED, TREE_CHANGED };
MUST_CHECK int tree_diff(struct trees *t, struct kv_view *view, struct tree_place a, struct tree_place b,
			 int (*emit)(void *arg, enum tree_change what, struct slice path), void *arg);

/* --- changing the head: core, in a batch; -EROFS on a frozen tree ------------------------------------- */

struct tree_make {
	uint32_t mode, uid, gid, rdev;	/* mode with type; permissions already through the umask */
	struct slice target;		/* symlinks */
};
MUST_CHECK int tree_make(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, const struct tree_make *make, struct tree_attr *ret);
MUST_CHECK int tree_link(struct trees *t, uint32_t tree, uint32_t ino, uint32_t dir, struct slice name, struct tree_attr *ret);
MUST_CHECK int tree_unlink(struct trees *t, uint32_t tree, uint32_t dir, struct slice name);	/* not directories: -EISDIR */
MUST_CHECK int tree_rmdir(struct trees *t, uint32_t tree, uint32_t dir, struct slice name);
/* FLAGS: RENAME_NOREPLACE, RENAME_EXCHANGE of renameat2(2).  Within one tree. */
MUST_CHECK int tree_rename(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, uint32_t to_dir, struct slice to_name,
			   unsigned flags);

enum tree_set {
	TREE_SET_MODE = 1, TREE_SET_UID = 2, TREE_SET_GID = 4, TREE_SET_SIZE = 8, TREE_SET_ATIME = 16, TREE_SET_MTIME = 32,
	TREE_SET_CTIME = 64, TREE_SET_HELD = 128	/* through a descriptor opened for writing before the freeze */
};
/* Sets what MASK names from ATTR (times in ns; the caller resolves "now"); ctime becomes now unless set. */
MUST_CHECK int tree_setattr(struct trees *t, uint32_t tree, uint32_t ino, unsigned mask, const struct tree_attr *attr, struct tree_attr *ret);
MUST_CHECK int tree_setxattr(struct trees *t, uint32_t tree, uint32_t ino, struct slice name, struct slice value, int flags);
MUST_CHECK int tree_removexattr(struct trees *t, uint32_t tree, uint32_t ino, struct slice name);

/*
 * Bytes.  HELD as TREE_SET_HELD.  A write may be done in one call (small ones), or for big ones in three: tree_write_begin on the core
 * (makes or picks the layer), tree_write_bytes on a worker (moves the bytes), tree_write_end on the core (extents, size, times).
 */
MUST_CHECK int tree_write(struct trees *t, uint32_t tree, uint32_t ino, uint64_t off, struct slice bytes, bool held);
struct tree_write {			/* filled by begin, read by the others */
	uint32_t tree, ino;
	uint64_t content, layer, off;
	int fd;				/* borrowed */
};
MUST_CHECK int tree_write_begin(struct trees *t, uint32_t tree, uint32_t ino, uint64_t off, size_t len, bool held, struct tree_write *ret);
MUST_CHECK int tree_write_bytes(const struct tree_write *w, struct slice bytes);
/* Must follow every successful begin, or tree_write_cancel() must; RESULT is what tree_write_bytes answered. */
MUST_CHECK int tree_write_end(struct trees *t, const struct tree_write *w, size_t len, int result);
/* Instead of the end, in no batch: the batch of the begin did not commit, or none can be had any more. */
void tree_write_cancel(struct trees *t, const struct tree_write *w);
/* FALLOC_FL_* of fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]; others -EOPNOTSUPP. */
MUST_CHECK int tree_fallocate(struct trees *t, uint32_t tree, uint32_t ino, int mode, uint64_t off, uint64_t len, bool held);
/* Copy by reference; *RET bytes (short at the end of the source). */
MUST_CHECK int tree_copy_range(struct trees *t, struct tree_place from, uint32_t from_ino, uint64_t from_off,
			       uint32_t tree, uint32_t ino, uint64_t off, uint64_t len, bool held, uint64_t *ret);
/* The whole content of one file becomes another's (rename over a head, restore): size, bytes, mtime; O(1). */
MUST_CHECK int tree_share_content(struct trees *t, struct tree_place from, uint32_t from_ino, uint32_t tree, uint32_t ino);

/* While held, an inode whose last name goes lives on (unlinked while open); released by the matching call.  Not persistent. */
MUST_CHECK int tree_hold(struct trees *t, uint32_t tree, uint32_t ino);
MUST_CHECK int tree_unhold(struct trees *t, uint32_t tree, uint32_t ino);

/* --- durability ---------------------------------------------------------------------------------- */

/* Core: what must be on disk for INO (0: every tree) beside the journal.  Then any thread: sync it, then kv_sync(). */
struct tree_sync;
MUST_CHECK int tree_sync_begin(struct trees *t, uint32_t tree, uint32_t ino, struct tree_sync **ret);
MUST_CHECK int tree_sync_wait(struct tree_sync *s);	/* any thread; blocks */
bool tree_sync_is_empty(const struct tree_sync *s);	/* is there nothing to wait for? */
void tree_sync_free(struct tree_sync *s);		/* core */

/* --- sealing: layers become chunks ----------------------------------------------------------------- */

struct tree_seal;
/* Core, between batches: pick the next contents to seal (frozen ones; files quiet for QUIET_MS; everything with QUIET_MS 0). -ENOENT: nothing to do. */
MUST_CHECK int tree_seal_begin(struct trees *t, unsigned quiet_ms, struct tree_seal **ret);
/* Worker: read, cut into chunks, stage and sync.  Uses SNAPSHOT (opened after tree_seal_begin's caller published). */
MUST_CHECK int tree_seal_work(struct tree_seal *seal, struct kv_view *snapshot);
/* Core, between batches (opens its own): switch the contents to blobs, let go of layers. -ESTALE: try again later. */
MUST_CHECK int tree_seal_end(struct trees *t, struct tree_seal *seal);
/* The same in bounded steps, for a core that must not be kept busy; *RET_MORE: call again. */
MUST_CHECK int tree_seal_end_step(struct trees *t, struct tree_seal *seal, bool *ret_more);
void tree_seal_free(struct tree_seal *seal);	/* core */
/*
 * Core, between batches, on a full disk: empty dropped layers at once, which waits for the disk.  *RET_EMPTIED counts them.
 */
MUST_CHECK int trees_empty_layers(struct trees *t, unsigned *ret_emptied);

/* Core, between batches (opens its own): one bounded step of background work (rows of deleted trees, dropped versions, unreferenced contents, layers). */
MUST_CHECK int trees_work_step(struct trees *t, bool *ret_more);
/* What seal, work and collect have still to do: 0 means quiet. */
uint64_t trees_pending(struct trees *t);

struct trees_stats {
	uint64_t trees, inodes, contents, layers, bytes_layers, unsealed;
};
MUST_CHECK int trees_stats(struct trees *t, struct kv_view *view, struct trees_stats *ret);

/* Every row, reference and invariant of trees; and the blobs' roots for cas_check.  REPORT once a fault.  0 clean, 1 faults, -errno. */
MUST_CHECK int trees_check(struct trees *t, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg);
MUST_CHECK int trees_roots(struct kv_view *view, int (*add)(void *add_arg, const struct digest *root), void *add_arg);

#endif
