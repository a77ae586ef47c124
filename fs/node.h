/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node - what every file and directory of the mount is: an id that says it all, and a table of operations for each kind.
 *
 * A node id is kind (6 bits) | object (26) | inner (32).  It is the kernel's node id and st_ino, so there is no table of inodes and nothing to
 * forget.  Node ids are never used for a different file: two kinds never share one, objects and inodes never get a used number.
 * A directory has exactly one path.  Everything here runs on the core thread unless it says worker.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "store/base/buf.h"
#include "store/base/err.h"
#include "store/base/slice.h"

/* In braces: what `object` and `inner` are. */
enum node_kind {
	NODE_ROOT = 0,			/* /  {0, 1} */
	NODE_STATIC,			/* /README /.gitignore  {0, which} */
	NODE_EXPERIMENTS,		/* /experiments */
	NODE_EXPERIMENT,		/* /experiments/E, /trash/experiments/E  {experiment} */
	NODE_EXPERIMENT_NEW,		/* /experiments/E/new  {experiment} */
	NODE_EXPERIMENT_FIELD,		/* description, runs.csv, runs.tsv; /runs.csv /runs.tsv with object 0  {experiment, enum value_kind} */
	NODE_EXPERIMENT_TAGS,		/* tags/ and below  {experiment, prefix key or 0} */
	NODE_EXPERIMENT_TAG,		/* {experiment, key} */
	NODE_EXPERIMENT_RUN,		/* /experiments/E/RUN, a symlink  {run} */
	NODE_RUNS,			/* /runs */
	NODE_RUN,			/* /runs/RUN, /trash/runs/RUN  {run} */
	NODE_RUN_FIELD,			/* name status run.json metrics.json …  {run, enum value_kind} */
	NODE_RUN_PARAMS,		/* params/ and below  {run, prefix key or 0} */
	NODE_RUN_METRICS,
	NODE_RUN_HISTORIES,
	NODE_RUN_TAGS,
	NODE_PARAM,			/* {run, key} */
	NODE_METRIC,
	NODE_HISTORY,
	NODE_TAG,
	NODE_RUN_CHILDREN,		/* children/  {run} */
	NODE_RUN_CHILD,			/* children/RUN, a symlink  {the child's run} */
	NODE_RUN_PROCS,			/* procs  {run} */
	NODE_RUN_LINEAGE,		/* inputs/ outputs/ and below  {run, enum lineage_direction << 8 | enum entry_space or 0} */
	NODE_LINEAGE_LINK,		/* inputs/data/V …, a symlink  {run, enum lineage_direction << 26 | version serial} */
	NODE_SPACE,			/* /data /models  {0, enum entry_space} */
	NODE_TREE_HEAD,			/* files and directories that can change: artifacts, heads, scratch  {tree, ino} */
	NODE_TREE_VERSION,		/* immutable ones  {version serial, ino} */
	NODE_ALIAS,			/* /data/NAME@WORD.EXT, a symlink  {entry, node_hash(word)} */
	NODE_COMMIT,			/* /data/DIR/.commit  {entry} */
	NODE_TRASH,			/* /trash and its four directories  {0, 0 or enum trash_dir} */
	NODE_CTL,			/* /.labfs and below  {0, 0 or which} */
	NODE_RUN_ALIAS,			/* /runs/latest {0}, /runs/UUID {run}: symlinks */
	NODE_RUN_SELF,			/* /runs/self, a symlink */
	NODE_KIND_END			/* at most 64 */
};

#define NODE_OBJECT_MAX ((1u << 26) - 1)

static inline uint64_t node_id(enum node_kind kind, uint32_t object, uint32_t inner)
{
	return (uint64_t)kind << 58 | (uint64_t)(object & NODE_OBJECT_MAX) << 32 | inner;
}

static inline enum node_kind node_kind(uint64_t node)
{
	return (enum node_kind)(node >> 58);
}

static inline uint32_t node_object(uint64_t node)
{
	return (uint32_t)(node >> 32) & NODE_OBJECT_MAX;
}

static inline uint32_t node_inner(uint64_t node)
{
	return (uint32_t)node;
}

static inline bool node_is_tree(uint64_t node)
{
	return node_kind(node) == NODE_TREE_HEAD || node_kind(node) == NODE_TREE_VERSION;
}

#define NODE_ROOT_ID 1u			/* node_id(NODE_ROOT, 0, 1) */

uint32_t node_hash(struct slice name);	/* of an alias' word: never 0 */

/* --- a request and its answers -------------------------------------------------------------------------------- */

#define FS_DEFERRED 1			/* a handler kept the call (call_defer) and answers later */
#define FS_NOT_MINE 2			/* lookup, make, unlink, rmdir, rename, create: not a name of this table, try the next */

#define NODE_LONG 86400.0		/* seconds: what changes only through us, so that we can tell the kernel */

struct fs;				/* fs/fs.h */
struct handle;				/* fs/handle.h: an open file or directory */
struct call;				/* fs/call.h: one request */
struct dir_fill;			/* a READDIRPLUS answer that is being filled */

struct node_attr {
	struct stat st;			/* st_ino is filled by the dispatcher */
	double timeout;			/* seconds; 0 for values and views, NODE_LONG for what never changes behind the kernel's back */
};

struct node_entry {
	uint64_t node;			/* 0 in a lookup's answer with rc 0: "absent", cached for entry_timeout */
	struct node_attr attr;
	double entry_timeout;
};

struct node_make {			/* mkdir, mknod, symlink */
	uint32_t mode;			/* with type; through the umask */
	uint32_t rdev;
	struct slice target;		/* symlinks */
};

/*
 * One table a kind.  All return 0, -errno with err_set() where a person may ask why, or FS_DEFERRED.  A missing member refuses: EPERM (EROFS on
 * versions) for changes, ENOTDIR for names below a file, EINVAL else.  Outputs only count with 0.  Names are 1-255 bytes, no '/', not "." or "..".
 */
struct node_ops {
	/* Names. */
	int (*lookup)(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret);
	int (*make)(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret);
	int (*create)(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct handle *h, struct node_entry *ret);
	int (*link)(struct call *c, uint64_t node, uint64_t dir, struct slice name, struct node_entry *ret);	/* table of DIR */
	int (*unlink)(struct call *c, uint64_t dir, struct slice name);
	int (*rmdir)(struct call *c, uint64_t dir, struct slice name);
	/* The table of the directory that the name leaves is asked first; on FS_NOT_MINE, or without a member, that of the one it goes to; then EXDEV. */
	int (*rename)(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags);
	/* Entries after COOKIE (0: from the start) by dir_add(), until it says full.  "." and ".." are the dispatcher's (cookies 1, 2);
	 * the table's own cookies are passed as they are, must be > 0 and rise: the dispatcher adds 2. */
	int (*readdir)(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill);

	/* Attributes; H may be NULL. */
	int (*getattr)(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret);
	int (*setattr)(struct call *c, uint64_t node, struct handle *h, const struct stat *st, int to_set, struct node_attr *ret);	/* FUSE_SET_ATTR_* */
	int (*readlink)(struct call *c, uint64_t node, struct buf *out);
	int (*getxattr)(struct call *c, uint64_t node, struct slice name, struct buf *out);	/* only user.* comes here */
	int (*setxattr)(struct call *c, uint64_t node, struct slice name, struct slice value, int flags);
	int (*listxattr)(struct call *c, uint64_t node, struct buf *out);
	int (*removexattr)(struct call *c, uint64_t node, struct slice name);

	/* Open files.  open: H->flags are open(2)'s; the table sets H->state and the answer bits. release is called for every successful
	 * open and create (directories: release_dir not needed, state must be NULL), in order of arrival. */
	int (*open)(struct call *c, uint64_t node, struct handle *h);
	int (*read)(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size, struct buf *out);
	int (*write)(struct call *c, uint64_t node, struct handle *h, uint64_t off, struct slice bytes, size_t *ret);	/* call_take_payload() keeps BYTES */
	int (*flush)(struct call *c, uint64_t node, struct handle *h);
	void (*release)(struct call *c, uint64_t node, struct handle *h);
	int (*fsync)(struct call *c, uint64_t node, struct handle *h, bool datasync);	/* missing: kv_sync of the newest batch by a worker; H NULL for FSYNCDIR without state */
	int (*fallocate)(struct call *c, uint64_t node, struct handle *h, int mode, uint64_t off, uint64_t len);
	int (*copy_range)(struct call *c, uint64_t from, struct handle *from_h, uint64_t from_off,
			  uint64_t node, struct handle *h, uint64_t off, uint64_t len, uint64_t *ret);	/* table of the target; missing: EXDEV */
	int (*lseek)(struct call *c, uint64_t node, struct handle *h, int64_t off, int whence, int64_t *ret);

	/* The absolute path in the mount, for messages: "/runs/3/params/lr".  What cannot be said exactly may be said roughly. */
	void (*path)(struct fs *fs, uint64_t node, struct buf *out);
};

/* The tables; who defines what: fs/DESIGN.md. */
extern const struct node_ops root_ops, static_ops;			/* tab_root.c */
extern const struct node_ops experiments_ops, experiment_ops, experiment_new_ops;	/* tab_experiment.c */
extern const struct node_ops runs_ops, run_ops, run_children_ops, run_link_ops, run_procs_ops, run_self_ops;	/* tab_run.c */
extern const struct node_ops lineage_dir_ops, lineage_link_ops;		/* tab_lineage.c */
extern const struct node_ops keys_ops;					/* tab_keys.c: params/ metrics/ history/ tags/ */
extern const struct node_ops value_ops;					/* tab_value.c: every value and view */
extern const struct node_ops ctl_ops;					/* tab_ctl.c */
extern const struct node_ops tree_head_ops, tree_version_ops;		/* tab_tree.c */
extern const struct node_ops space_ops, alias_ops, commit_ops;		/* tab_dataset.c, tab_commit.c */
extern const struct node_ops trash_ops;				/* tab_trash.c */
/* Names that text_is_scratch() in any directory that is no tree; asked by the dispatcher before the directory's own table
 * (which therefore never sees them; lookup there answers FS_NOT_MINE when there is no such scratch file, so /.labfs and
 * .commit still resolve).  Members used: lookup make create link unlink rmdir rename readdir. */
extern const struct node_ops scratch_ops;				/* scratch.c */

const struct node_ops *node_ops_of(uint64_t node);		/* NULL: no such kind */
void node_path(struct fs *fs, uint64_t node, struct buf *out);

/* --- helpers for tables ------------------------------------------------------------------------------------------ */

/* Attributes by the rules of the mount: MODE with type; UID made it; group= and allow_other applied; size, blocks, times in ms (0: the store's creation). */
void node_fill_attr(struct fs *fs, struct node_attr *ret, uint32_t mode, uint32_t uid, uint32_t gid, uint64_t size, int64_t mtime_ms);

/* Fill RET for NODE by its table's getattr and the usual entry timeout; FS_DEFERRED as that answers. */
MUST_CHECK int node_entry(struct call *c, uint64_t node, struct node_entry *ret);

/*
 * Add an entry to a READDIRPLUS answer.  COOKIE: where to go on after it.  ENTRY->node 0: type and name alone, the kernel will
 * look it up (st_mode's type bits in ENTRY->attr.st count, st_ino too).  True: it is full, stop (this entry is not in).
 */
bool dir_add(struct dir_fill *fill, struct slice name, const struct node_entry *entry, uint64_t cookie);

/* Fixed names of a directory: one row drives lookup and readdir. */
struct node_row {
	const char *name;
	enum node_kind kind;
	uint32_t inner;
	bool unlisted;
};
const struct node_row *node_row_find(const struct node_row *rows, struct slice name);	/* rows end with name NULL */
/* The entry of a row in the directory of OBJECT.  Listing gives views by name alone: their size may cost. */
MUST_CHECK int node_row_entry(struct call *c, const struct node_row *row, uint32_t object, struct node_entry *ret);
/* List the rows with cookies 1, 2, … after COOKIE.  1: full. */
MUST_CHECK int node_rows_list(struct call *c, const struct node_row *rows, uint32_t object, uint64_t cookie, struct dir_fill *fill);

/* For directories of ours: chmod, chown and utimens succeed and change nothing. */
MUST_CHECK int node_setattr_nothing(struct call *c, uint64_t node, struct handle *h, const struct stat *st, int to_set, struct node_attr *ret);
/* A symlink's attributes. */
void node_fill_link(struct fs *fs, struct node_attr *ret, uint32_t uid, uint32_t gid, size_t target_len, int64_t mtime_ms);

#define NODE_DIR_TIMEOUT 1.0		/* attributes of directories whose times follow what happens below them */

#endif
