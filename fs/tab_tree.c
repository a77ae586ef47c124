/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_tree - the POSIX trees: artifacts, heads of datasets and models, scratch; and the versions, which only read.
 *
 * Small reads and writes are answered by the core; what would wait for a disk or takes long is a worker's.  An inode is held in the
 * store while a descriptor is open on it, so that it outlives its last name.  A descriptor opened for writing before its run ended may
 * go on writing; a new one is refused.  Who writes the head of a file dataset is counted: the last one to close has its version cut.
 */
#include "fs/tab_tree.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/meta/entry.h"
#include "store/meta/lineage.h"
#include "store/meta/run.h"

#define WRITE_ON_CORE 65536u	/* longer writes go to a worker */
#define XATTR_OURS "user.labfs."

/* A file head that somebody may be writing. */
struct head_write {
	uint32_t tree;
	unsigned writers;	/* descriptors that may write */
	bool wrote;		/* bytes or size, since the last cut */
	bool rewrote;		/* other than by appending */
	struct meta_actor who;
	struct head_write *next;
};

struct tree_front {
	struct head_write *writes;	/* few at a time */
};

struct tree_handle {
	uint32_t tree, ino;
	bool writes;
	bool held;
	struct head_write *head;	/* NULL: no head of a file dataset, or only reading */
};

int tree_front_new(struct fs *fs)
{
	fs->trees_front = calloc(1, sizeof(*fs->trees_front));
	return fs->trees_front ? 0 : -ENOMEM;
}

void tree_front_free(struct fs *fs)
{
	if (!fs->trees_front)
		return;
	while (fs->trees_front->writes) {
		struct head_write *w = fs->trees_front->writes;

		fs->trees_front->writes = w->next;
		free(w);
	}
	free(fs->trees_front);
	fs->trees_front = NULL;
}

/* --- places and attributes --------------------------------------------------------------------------- */

int tree_node_place(struct fs *fs, uint64_t node, struct tree_place *ret, uint32_t *ret_ino)
{
	struct version v;
	int rc;

	*ret_ino = node_inner(node);
	if (node_kind(node) == NODE_TREE_HEAD) {
		*ret = (struct tree_place){ node_object(node), TREE_HEAD };
		return 0;
	}
	rc = version_by_serial(fs_view(fs), node_object(node), &v);
	if (rc == -ENOENT || (rc == 0 && v.destroyed))
		return -ESTALE;
	if (rc == 0)
		*ret = v.place;
	return rc;
}

static struct timespec time_of(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

static int64_t ns_of(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void fill_attr(const struct tree_attr *a, struct node_attr *ret)
{
	memset(&ret->st, 0, sizeof(ret->st));
	ret->st.st_mode = a->mode;
	ret->st.st_nlink = a->nlink;
	ret->st.st_uid = a->uid;
	ret->st.st_gid = a->gid;
	ret->st.st_rdev = a->rdev;
	ret->st.st_size = (off_t)a->size;
	ret->st.st_blocks = (blkcnt_t)a->blocks;
	ret->st.st_blksize = 4096;
	ret->st.st_atim = time_of(a->atime_ns);
	ret->st.st_mtim = time_of(a->mtime_ns);
	ret->st.st_ctim = time_of(a->ctime_ns);
	ret->timeout = NODE_LONG;
}

static int node_attr_of(struct fs *fs, uint64_t node, struct node_attr *ret)
{
	struct tree_place place;
	struct tree_attr a;
	uint32_t ino;
	int rc = tree_node_place(fs, node, &place, &ino);

	if (rc == 0)
		rc = tree_getattr(fs->trees, fs_view(fs), place, ino, &a);
	if (rc == 0)
		fill_attr(&a, ret);
	return rc;
}

int tree_entry(struct fs *fs, struct tree_place place, uint32_t ino, uint64_t node, struct node_entry *ret)
{
	struct tree_attr a;
	int rc = tree_getattr(fs->trees, fs_view(fs), place, ino, &a);

	if (rc)
		return rc;
	ret->node = node;
	ret->entry_timeout = node_kind(node) == NODE_TREE_VERSION ? NODE_LONG : fs_entry_timeout(fs);
	fill_attr(&a, &ret->attr);
	return 0;
}

static int head_entry(struct fs *fs, uint32_t tree, const struct tree_attr *a, struct node_entry *ret)
{
	ret->node = node_id(NODE_TREE_HEAD, tree, a->ino);
	ret->entry_timeout = fs_entry_timeout(fs);
	fill_attr(a, &ret->attr);
	return 0;
}

static int op_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	(void)h;
	return node_attr_of(c->fs, node, ret);
}

/* --- whose tree ----------------------------------------------------------------------------------------- */

static int check_open_to_writing(struct fs *fs, uint32_t tree)
{
	struct tree_info info;
	int rc = tree_info(fs_view(fs), tree, &info);

	if (rc == 0 && info.frozen)
		rc = err_set(-EROFS, "the run has ended: its artifacts never change (write 'running' to its status to re-open it)");
	return rc;
}

/* Is what owns TREE in the trash?  There every removal succeeds. */
static bool owner_is_trashed(struct fs *fs, uint32_t tree)
{
	struct tree_info info;
	struct run run;
	struct entry entry;

	if (tree_info(fs_view(fs), tree, &info) != 0)
		return false;
	if (info.owner == TREE_OWNER_RUN)
		return run_get(fs_view(fs), info.owner_id, &run) == 0 && run.trashed;
	if (info.owner == TREE_OWNER_ENTRY)
		return entry_get(fs_view(fs), info.owner_id, &entry) == 0 && entry.trashed;
	return false;
}

/* The dataset or model whose head TREE is; 0: none. */
static uint32_t entry_of(struct fs *fs, uint32_t tree)
{
	struct tree_info info;

	if (tree_info(fs_view(fs), tree, &info) != 0 || info.owner != TREE_OWNER_ENTRY)
		return 0;
	return info.owner_id;
}

static bool is_commit(struct fs *fs, uint64_t dir, struct slice name)
{
	return node_inner(dir) == TREE_ROOT && slice_eq(name, slice_str(".commit")) && entry_of(fs, node_object(dir)) != 0;
}

/* A run that writes into the head of a tree dataset has it cut when it ends.  In a batch. */
static int note_writer(struct call *c, uint32_t tree)
{
	struct meta_actor who = call_actor(c);
	uint32_t entry = who.run ? entry_of(c->fs, tree) : 0;

	return entry ? entry_mark_written(c->fs->meta, entry, who.run) : 0;
}

/* --- heads of file datasets that are being written ----------------------------------------------------- */

static struct head_write *find_write(struct fs *fs, uint32_t tree)
{
	struct head_write *w = fs->trees_front->writes;

	while (w && w->tree != tree)
		w = w->next;
	return w;
}

static struct head_write *join_write(struct call *c, uint32_t tree)
{
	struct head_write *w = find_write(c->fs, tree);

	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return NULL;
		w->tree = tree;
		w->next = c->fs->trees_front->writes;
		c->fs->trees_front->writes = w;
	}
	w->writers++;
	w->who = call_actor(c);
	return w;
}

static void forget_write(struct fs *fs, struct head_write *w)
{
	struct head_write **at = &fs->trees_front->writes;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

/* A file head has been written and nobody may write it any more.  In a batch. */
static int head_written(struct fs *fs, uint32_t tree, bool rewrote, const struct meta_actor *who)
{
	uint32_t id = entry_of(fs, tree);
	struct entry e;
	int rc = id ? entry_get(fs_view(fs), id, &e) : -ENOENT;

	if (rc == -ENOENT || (rc == 0 && (!e.has_head || e.is_dir || e.trashed)))
		return 0;	/* removed, or replaced, meanwhile */
	return rc ? rc : entry_written(fs->meta, id, !rewrote && e.newest != 0, who);
}

static void leave_write(struct fs *fs, struct head_write *w)
{
	int rc;

	if (--w->writers > 0)
		return;
	if (w->wrote) {
		rc = fs_begin(fs);
		if (rc == 0)
			rc = fs_end(fs, head_written(fs, w->tree, w->rewrote, &w->who));
		if (rc < 0)
			fs_refused(fs, "cut", "/data", rc, err_reason());
	}
	forget_write(fs, w);
}

/* A size was set, or bytes were changed, in what may be the head of a file dataset.  In a batch. */
static int note_rewrite(struct call *c, uint32_t tree, uint32_t ino)
{
	struct head_write *w = ino == TREE_ROOT ? find_write(c->fs, tree) : NULL;
	struct meta_actor who;

	if (w) {
		w->wrote = w->rewrote = true;
		return 0;
	}
	if (ino != TREE_ROOT)
		return note_writer(c, tree);
	who = call_actor(c);
	return head_written(c->fs, tree, true, &who);	/* truncate(2): there will be no close */
}

/* --- names ------------------------------------------------------------------------------------------------ */

static int op_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct fs *fs = c->fs;
	struct tree_place place;
	uint32_t dir_ino, ino;
	int rc = tree_node_place(fs, dir, &place, &dir_ino);

	if (rc)
		return rc;
	if (node_kind(dir) == NODE_TREE_HEAD && is_commit(fs, dir, name)) {
		ret->node = node_id(NODE_COMMIT, entry_of(fs, place.tree), 0);
		ret->entry_timeout = 0;
		return commit_ops.getattr(c, ret->node, NULL, &ret->attr);
	}
	rc = tree_lookup(fs_view(fs), place, dir_ino, name, &ino);
	if (rc == -ENOENT) {
		ret->node = 0;
		ret->entry_timeout = node_kind(dir) == NODE_TREE_VERSION ? NODE_LONG : fs_entry_timeout(fs);
		return 0;
	}
	return rc ? rc : tree_entry(fs, place, ino, node_id(node_kind(dir), node_object(dir), ino), ret);
}

/* As on a disk: a set-group-id directory hands its group on. */
static int inherit_group(struct call *c, uint32_t tree, uint32_t dir, struct tree_make *make)
{
	struct tree_attr a;
	int rc = tree_getattr(c->fs->trees, fs_view(c->fs), (struct tree_place){ tree, TREE_HEAD }, dir, &a);

	if (rc == 0 && (a.mode & S_ISGID)) {
		make->gid = a.gid;
		if (S_ISDIR(make->mode))
			make->mode |= S_ISGID;
	}
	return rc;
}

static int make_in_batch(struct call *c, uint32_t tree, uint32_t dir, struct slice name, struct tree_make *make, struct tree_attr *ret)
{
	int rc = inherit_group(c, tree, dir, make);

	if (rc == 0)
		rc = tree_make(c->fs->trees, tree, dir, name, make, ret);
	return rc ? rc : note_writer(c, tree);
}

int tree_front_make(struct call *c, uint32_t tree, uint32_t dir, struct slice name, const struct node_make *make,
		    struct node_entry *ret)
{
	struct tree_make how = { .mode = make->mode, .uid = c->uid, .gid = c->gid, .rdev = make->rdev, .target = make->target };
	struct tree_attr a;
	int rc = store_admit(c->fs->store, 4096);

	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = fs_end(c->fs, make_in_batch(c, tree, dir, name, &how, &a));
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

static int op_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret)
{
	return tree_front_make(c, node_object(dir), node_inner(dir), name, make, ret);
}

/* In a batch: the handle's state, the hold on the inode, the count of writers. */
int tree_front_opened(struct call *c, uint32_t tree, uint32_t ino, struct handle *h)
{
	struct tree_handle *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->tree = tree;
	s->ino = ino;
	s->writes = handle_writes(h);
	rc = tree_hold(c->fs->trees, tree, ino);
	if (rc) {
		free(s);
		return rc;
	}
	s->held = true;
	if (s->writes && ino == TREE_ROOT && entry_of(c->fs, tree)) {
		s->head = join_write(c, tree);
		if (!s->head) {
			(void)!tree_unhold(c->fs->trees, tree, ino);
			free(s);
			return -ENOMEM;
		}
	}
	h->state = s;
	h->noflush = true;
	h->keep_cache = true;
	return 0;
}

int tree_front_create(struct call *c, uint32_t tree, uint32_t dir, struct slice name, uint32_t mode, struct handle *h,
		      struct node_entry *ret)
{
	struct tree_make how = { .mode = mode, .uid = c->uid, .gid = c->gid };
	struct tree_attr a;
	int rc = store_admit(c->fs->store, 4096);

	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = make_in_batch(c, tree, dir, name, &how, &a);
	if (rc == 0)
		rc = tree_front_opened(c, tree, a.ino, h);
	rc = fs_end(c->fs, rc);
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

static int op_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct handle *h, struct node_entry *ret)
{
	return tree_front_create(c, node_object(dir), node_inner(dir), name, mode, h, ret);
}

static int op_link(struct call *c, uint64_t node, uint64_t dir, struct slice name, struct node_entry *ret)
{
	uint32_t tree = node_object(dir);
	struct tree_attr a;
	int rc;

	if (node_kind(node) != NODE_TREE_HEAD || node_object(node) != tree)
		return -EXDEV;
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_link(c->fs->trees, tree, node_inner(node), node_inner(dir), name, &a);
	if (rc == 0)
		rc = note_writer(c, tree);
	rc = fs_end(c->fs, rc);
	return rc ? rc : head_entry(c->fs, tree, &a, ret);
}

/* Frozen, but in the trash: what is removed there goes. */
static int remove_frozen(struct fs *fs, uint32_t tree, uint32_t dir, struct slice name, bool is_dir)
{
	int rc = tree_thaw(fs->trees, tree);

	if (rc == 0)
		rc = is_dir ? tree_rmdir(fs->trees, tree, dir, name) : tree_unlink(fs->trees, tree, dir, name);
	return rc ? rc : tree_freeze(fs->trees, tree);
}

static int remove_name(struct call *c, uint64_t dir, struct slice name, bool is_dir)
{
	struct fs *fs = c->fs;
	uint32_t tree = node_object(dir);
	int rc;

	if (is_commit(fs, dir, name))
		return err_set(-EPERM, ".commit cannot be removed; write a message to it to cut a version");
	rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = is_dir ? tree_rmdir(fs->trees, tree, node_inner(dir), name) : tree_unlink(fs->trees, tree, node_inner(dir), name);
	if (rc == -EROFS && owner_is_trashed(fs, tree))
		rc = remove_frozen(fs, tree, node_inner(dir), name, is_dir);
	else if (rc == -EROFS)
		err_set(rc, "the run has ended: its artifacts never change");
	if (rc == 0)
		rc = note_writer(c, tree);
	return fs_end(fs, rc);
}

static int op_unlink(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, false);
}

static int op_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, true);
}

static int op_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	struct fs *fs = c->fs;
	uint32_t tree = node_object(dir);
	int rc;

	if (node_kind(to_dir) != NODE_TREE_HEAD || node_object(to_dir) != tree || node_kind(dir) != NODE_TREE_HEAD)
		return FS_NOT_MINE;
	if (is_commit(fs, dir, name) || is_commit(fs, to_dir, to_name))
		return err_set(-EPERM, ".commit cannot be renamed or replaced");
	rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = tree_rename(fs->trees, tree, node_inner(dir), name, node_inner(to_dir), to_name, flags);
	if (rc == 0)
		rc = note_writer(c, tree);
	return fs_end(fs, rc);
}

struct listing {
	struct fs *fs;
	struct dir_fill *fill;
	struct tree_place place;
	uint64_t dir;
};

static int list_entry(void *arg, const struct tree_entry *e)
{
	struct listing *l = arg;
	struct node_entry entry = { 0 };
	int rc = tree_entry(l->fs, l->place, e->ino, node_id(node_kind(l->dir), node_object(l->dir), e->ino), &entry);

	if (rc == -EBADMSG) {	/* one damaged inode must not hide the others */
		memset(&entry, 0, sizeof(entry));
		entry.attr.st.st_mode = e->mode;
		entry.attr.st.st_ino = e->ino;
		rc = 0;
	}
	return rc ? rc : dir_add(l->fill, e->name, &entry, e->cookie);
}

static int op_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill)
{
	struct listing l = { .fs = c->fs, .fill = fill, .dir = dir };
	uint32_t ino;
	int rc = tree_node_place(c->fs, dir, &l.place, &ino);

	(void)h;
	return rc ? rc : tree_readdir(fs_view(c->fs), l.place, ino, cookie, list_entry, &l);
}

/* --- attributes ----------------------------------------------------------------------------------------------- */

static unsigned set_mask(const struct stat *st, int to_set, struct tree_attr *a)
{
	struct timespec now;
	unsigned mask = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	a->mode = st->st_mode;
	a->uid = st->st_uid;
	a->gid = st->st_gid;
	a->size = (uint64_t)st->st_size;
	a->atime_ns = ns_of(to_set & FUSE_SET_ATTR_ATIME_NOW ? now : st->st_atim);
	a->mtime_ns = ns_of(to_set & FUSE_SET_ATTR_MTIME_NOW ? now : st->st_mtim);
	a->ctime_ns = ns_of(st->st_ctim);
	mask |= to_set & FUSE_SET_ATTR_MODE ? TREE_SET_MODE : 0;
	mask |= to_set & FUSE_SET_ATTR_UID ? TREE_SET_UID : 0;
	mask |= to_set & FUSE_SET_ATTR_GID ? TREE_SET_GID : 0;
	mask |= to_set & FUSE_SET_ATTR_SIZE ? TREE_SET_SIZE : 0;
	mask |= to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) ? TREE_SET_ATIME : 0;
	mask |= to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) ? TREE_SET_MTIME : 0;
	mask |= to_set & FUSE_SET_ATTR_CTIME ? TREE_SET_CTIME : 0;
	return mask;
}

static int op_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st, int to_set, struct node_attr *ret)
{
	struct tree_attr want, a;
	unsigned mask = set_mask(st, to_set, &want);
	uint32_t tree = node_object(node), ino = node_inner(node);
	int rc = fs_begin(c->fs);

	if (rc)
		return rc;
	if (h && handle_writes(h))
		mask |= TREE_SET_HELD;
	rc = tree_setattr(c->fs->trees, tree, ino, mask, &want, &a);
	if (rc == -EROFS)
		err_set(rc, "the run has ended: its artifacts never change");
	if (rc == 0 && (mask & TREE_SET_SIZE))
		rc = note_rewrite(c, tree, ino);
	rc = fs_end(c->fs, rc);
	if (rc == 0)
		fill_attr(&a, ret);
	return rc;
}

static int op_readlink(struct call *c, uint64_t node, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	return rc ? rc : tree_readlink(fs_view(c->fs), place, ino, out);
}

/* --- xattrs: a user's own, and user.labfs.* that tell of the file ------------------------------------------------- */

static void add_hex(struct buf *out, const uint8_t *bytes, size_t len)
{
	char hex[33];

	hash_hex(bytes, len, hex);
	buf_add_str(out, hex);
}

static int get_sums(struct fs *fs, uint64_t node, bool md5, struct buf *out)
{
	struct tree_place place;
	struct blob_sums sums;
	uint32_t ino;
	int rc = tree_node_place(fs, node, &place, &ino);

	if (rc == 0)
		rc = tree_sums(fs_view(fs), place, ino, &sums);
	if (rc)
		return rc == -EINVAL || rc == -EISDIR ? -ENODATA : rc;
	if (md5)
		add_hex(out, sums.md5, sizeof(sums.md5));
	else
		add_hex(out, sums.xxh3.bytes, sizeof(sums.xxh3.bytes));
	return 0;
}

static int get_xxh3(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)v;
	return get_sums(fs, node, false, out);
}

static int get_md5(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)v;
	return get_sums(fs, node, true, out);
}

static int head_version(struct fs *fs, uint32_t tree, struct buf *out)
{
	uint32_t id = entry_of(fs, tree);
	struct entry e;
	bool differs;
	int rc;

	if (id == 0)
		return -ENODATA;
	rc = entry_settle(fs->meta, id);
	if (rc == 0)
		rc = entry_get(fs_view(fs), id, &e);
	if (rc)
		return rc;
	if (e.newest == 0)
		return -ENODATA;
	buf_addf(out, "v%u", e.newest);
	rc = entry_differs(fs->meta, fs_view(fs), id, 1u << 20, &differs);
	if (rc == -E2BIG) {
		differs = true;
		rc = 0;
	}
	if (rc == 0 && differs)
		buf_add_ch(out, '+');
	return rc;
}

static int get_version(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	if (!v)
		return head_version(fs, node_object(node), out);
	buf_addf(out, "v%u", v->n);
	return 0;
}

static int get_run(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	struct run run;
	int rc = v && v->run ? run_get(fs_view(fs), v->run, &run) : -ENODATA;

	(void)node;
	if (rc == 0)
		buf_add_slice(out, run.id);
	return rc == -ENOENT ? -ENODATA : rc;
}

static int get_message(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)fs;
	(void)node;
	if (!v)
		return -ENODATA;
	buf_add_slice(out, v->message);
	return 0;
}

static int get_created(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];

	(void)fs;
	(void)node;
	if (!v)
		return -ENODATA;
	clock_format_ms(v->created_ms, text);
	buf_add_str(out, text);
	return 0;
}

struct readers {
	struct fs *fs;
	struct buf *out;
};

static int add_reader(void *arg, uint32_t number)
{
	struct readers *r = arg;
	struct run run;

	if (run_get(fs_view(r->fs), number, &run) != 0)
		return 0;
	if (r->out->len)
		buf_add_ch(r->out, ' ');
	buf_add_slice(r->out, run.id);
	return 0;
}

static int get_readers(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	struct readers r = { fs, out };

	(void)node;
	return v ? lineage_runs(fs_view(fs), v->serial, LINEAGE_INPUT, add_reader, &r) : -ENODATA;
}

static const struct {			/* man 7, "EXTENDED ATTRIBUTES" */
	const char *name;
	int (*get)(struct fs *fs, uint64_t node, const struct version *v, struct buf *out);	/* V NULL: a head */
} xattrs[] = {
	{ XATTR_OURS "xxh3", get_xxh3 },	{ XATTR_OURS "md5", get_md5 },	       { XATTR_OURS "version", get_version },
	{ XATTR_OURS "run", get_run },		{ XATTR_OURS "message", get_message }, { XATTR_OURS "created", get_created },
	{ XATTR_OURS "readers", get_readers },
};

static bool is_ours(struct slice name)
{
	return slice_has_prefix(name, slice_str(XATTR_OURS));
}

static int get_ours(struct fs *fs, uint64_t node, struct slice name, struct buf *out)
{
	struct version v;
	bool is_version = node_kind(node) == NODE_TREE_VERSION;
	int rc = is_version ? version_by_serial(fs_view(fs), node_object(node), &v) : 0;

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(xattrs) / sizeof(xattrs[0]); i++)
		if (slice_eq(name, slice_str(xattrs[i].name)))
			return xattrs[i].get(fs, node, is_version ? &v : NULL, out);
	return -ENODATA;
}

static int op_getxattr(struct call *c, uint64_t node, struct slice name, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc;

	if (is_ours(name))
		return get_ours(c->fs, node, name, out);
	rc = tree_node_place(c->fs, node, &place, &ino);
	return rc ? rc : tree_getxattr(fs_view(c->fs), place, ino, name, out);
}

static int op_listxattr(struct call *c, uint64_t node, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	return rc ? rc : tree_listxattr(fs_view(c->fs), place, ino, out);
}

static int op_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags)
{
	int rc;

	if (is_ours(name))
		return err_set(-EPERM, "user.labfs.* tell of the file and cannot be set (but .message of a version)");
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, tree_setxattr(c->fs->trees, node_object(node), node_inner(node), name, value, flags));
}

static int op_removexattr(struct call *c, uint64_t node, struct slice name)
{
	int rc;

	if (is_ours(name))
		return err_set(-EPERM, "user.labfs.* tell of the file and cannot be removed");
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, tree_removexattr(c->fs->trees, node_object(node), node_inner(node), name));
}

static int version_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags)
{
	struct version v;
	int rc;

	(void)flags;
	if (!slice_eq(name, slice_str(XATTR_OURS "message")))
		return err_set(-EROFS, "a version never changes, but for user.labfs.message");
	rc = version_by_serial(fs_view(c->fs), node_object(node), &v);
	if (rc == 0)
		rc = call_may_change(c, v.uid);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, version_set_message(c->fs->meta, node_object(node), value));
}

/* --- open files ------------------------------------------------------------------------------------------------------ */

static int open_in_batch(struct call *c, uint32_t tree, uint32_t ino, struct handle *h)
{
	struct tree_attr zero = { .size = 0 }, a;
	int rc = tree_front_opened(c, tree, ino, h);
	struct tree_handle *s = h->state;

	if (rc || !(h->flags & O_TRUNC) || !handle_writes(h))
		return rc;
	rc = tree_setattr(c->fs->trees, tree, ino, TREE_SET_SIZE, &zero, &a);
	if (rc == 0 && s->head)
		s->head->wrote = s->head->rewrote = true;
	return rc;
}

/* Undo what tree_front_opened() did, when the open fails after it.  In no batch. */
static void drop_state(struct fs *fs, struct handle *h)
{
	struct tree_handle *s = h->state;

	if (!s)
		return;
	h->state = NULL;
	if (s->head)
		leave_write(fs, s->head);
	if (s->held && fs_begin(fs) == 0)
		(void)!fs_end(fs, tree_unhold(fs->trees, s->tree, s->ino));
	free(s);
}

static int op_open(struct call *c, uint64_t node, struct handle *h)
{
	uint32_t tree = node_object(node), ino = node_inner(node);
	int rc = 0;

	h->state = NULL;
	if (handle_writes(h))
		rc = check_open_to_writing(c->fs, tree);
	if (rc == 0 && c->fs->read_only) {
		h->keep_cache = h->noflush = true;
		return 0;
	}
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = fs_end(c->fs, open_in_batch(c, tree, ino, h));
	if (rc)
		drop_state(c->fs, h);
	return rc;
}

static int version_open(struct call *c, uint64_t node, struct handle *h)
{
	struct tree_place place;
	uint32_t ino;

	if (handle_writes(h) || (h->flags & O_TRUNC))
		return err_set(-EROFS, "a version never changes; write to the head, which makes the next version");
	h->keep_cache = h->noflush = true;
	return tree_node_place(c->fs, node, &place, &ino);
}

static void op_release(struct call *c, uint64_t node, struct handle *h)
{
	(void)node;
	drop_state(c->fs, h);
}

/* --- reading: by a worker where it may wait ---------------------------------------------------------------------------- */

struct read_job {
	struct job job;
	struct fs *fs;
	struct call *call;
	struct kv_view *snapshot;
	struct tree_place place;
	uint32_t ino;
	uint64_t off;
	size_t size;
	struct buf out;
	int rc;
};

static int read_into(struct fs *fs, struct kv_view *view, struct tree_place place, uint32_t ino, uint64_t off, size_t size,
		     struct buf *out)
{
	void *at = buf_reserve(out, size);
	ssize_t got = at ? tree_read(fs->trees, view, place, ino, off, at, size) : -ENOMEM;

	if (got < 0)
		return (int)got;
	out->len += (size_t)got;
	return 0;
}

static void read_work(struct job *job)
{
	struct read_job *r = (struct read_job *)job;

	r->rc = read_into(r->fs, r->snapshot, r->place, r->ino, r->off, r->size, &r->out);
}

static void read_done(struct job *job)
{
	struct read_job *r = (struct read_job *)job;

	kv_snapshot_close(r->snapshot);
	if (r->rc == -EBADMSG)
		r->rc = -EIO;
	if (r->rc < 0)
		call_reply_err(r->call, r->rc);
	else
		call_reply_data(r->call, buf_slice(&r->out));
	buf_release(&r->out);
	free(r);
}

static int read_later(struct call *c, struct tree_place place, uint32_t ino, uint64_t off, size_t size)
{
	struct read_job *r = calloc(1, sizeof(*r));
	int rc = r ? kv_publish(c->fs->kv) : -ENOMEM;

	if (rc == 0)
		rc = kv_snapshot_open(c->fs->kv, &r->snapshot);
	if (rc == 0) {
		r->call = call_defer(c);
		rc = r->call ? 0 : -ENOMEM;
	}
	if (rc) {
		if (r)
			kv_snapshot_close(r->snapshot);
		free(r);
		return rc;
	}
	r->job = (struct job){ .work = read_work, .done = read_done };
	r->fs = c->fs;
	r->place = place;
	r->ino = ino;
	r->off = off;
	r->size = size;
	job_submit(c->fs, JOB_BYTES, off / (1u << 20) + ino, &r->job);
	return FS_DEFERRED;
}

static int op_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	(void)h;
	if (rc)
		return rc;
	if (!c->fs->read_only && !tree_read_is_cheap(c->fs->trees, fs_view(c->fs), place, ino, off, size))
		return read_later(c, place, ino, off, size);
	rc = read_into(c->fs, fs_view(c->fs), place, ino, off, size, out);
	return rc == -EBADMSG ? -EIO : rc;
}

/* --- writing -------------------------------------------------------------------------------------------------------------- */

struct write_job {
	struct job job;
	struct fs *fs;
	struct call *call;
	struct tree_write write;
	void *payload;
	struct slice bytes;
	int rc;
};

static void write_work(struct job *job)
{
	struct write_job *w = (struct write_job *)job;

	w->rc = tree_write_bytes(&w->write, w->bytes);
}

static void write_done(struct job *job)
{
	struct write_job *w = (struct write_job *)job;
	int rc = fs_begin(w->fs);

	if (rc == 0)
		rc = fs_end(w->fs, tree_write_end(w->fs->trees, &w->write, w->bytes.len, w->rc));
	call_payload_free(w->fs, w->payload);
	if (rc < 0)
		call_reply_err(w->call, rc);
	else
		call_reply_written(w->call, w->bytes.len);
	free(w);
}

static int write_later(struct call *c, uint64_t node, struct write_job *w, uint64_t off, bool held)
{
	struct fs *fs = c->fs;
	int rc = fs_begin(fs);

	if (rc == 0)
		rc = fs_end(fs, tree_write_begin(fs->trees, node_object(node), node_inner(node), off, w->bytes.len, held, &w->write));
	if (rc)
		return rc;
	w->payload = call_take_payload(c);
	w->call = w->payload ? call_defer(c) : NULL;
	if (!w->call) {
		call_payload_free(fs, w->payload);
		if (fs_begin(fs) == 0)
			(void)!fs_end(fs, tree_write_end(fs->trees, &w->write, w->bytes.len, -ENOMEM));
		return -ENOMEM;
	}
	w->job = (struct job){ .work = write_work, .done = write_done };
	w->fs = fs;
	job_submit(fs, JOB_BYTES, node, &w->job);
	return FS_DEFERRED;
}

static int write_now(struct call *c, uint64_t node, uint64_t off, struct slice bytes, bool held, size_t *ret)
{
	int rc = fs_begin(c->fs);

	if (rc)
		return rc;
	rc = tree_write(c->fs->trees, node_object(node), node_inner(node), off, bytes, held);
	if (rc == 0 && node_inner(node) != TREE_ROOT)
		rc = note_writer(c, node_object(node));
	rc = fs_end(c->fs, rc);
	if (rc == 0)
		*ret = bytes.len;
	return rc;
}

static int op_write(struct call *c, uint64_t node, struct handle *h, uint64_t off, struct slice bytes, size_t *ret)
{
	struct tree_handle *s = h->state;
	struct write_job *w;
	int rc = store_admit(c->fs->store, bytes.len);

	if (rc)
		return rc;
	if (s && s->head) {
		struct tree_attr a;

		rc = tree_getattr(c->fs->trees, fs_view(c->fs), (struct tree_place){ s->tree, TREE_HEAD }, s->ino, &a);
		if (rc)
			return rc;
		s->head->wrote = true;
		s->head->rewrote |= off < a.size;
	}
	if (bytes.len <= WRITE_ON_CORE)
		return write_now(c, node, off, bytes, true, ret);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->bytes = bytes;
	rc = write_later(c, node, w, off, true);
	if (rc != FS_DEFERRED)
		free(w);
	return rc;
}

static int op_fallocate(struct call *c, uint64_t node, struct handle *h, int mode, uint64_t off, uint64_t len)
{
	int rc = mode & FALLOC_FL_PUNCH_HOLE ? 0 : store_admit(c->fs->store, len);

	(void)h;
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_fallocate(c->fs->trees, node_object(node), node_inner(node), mode, off, len, true);
	if (rc == 0)
		rc = note_rewrite(c, node_object(node), node_inner(node));
	return fs_end(c->fs, rc);
}

static int op_copy_range(struct call *c, uint64_t from, struct handle *from_h, uint64_t from_off, uint64_t node, struct handle *h,
			 uint64_t off, uint64_t len, uint64_t *ret)
{
	struct tree_place place;
	uint32_t ino;
	int rc;

	(void)from_h;
	(void)h;
	if (node_kind(from) != NODE_TREE_HEAD && node_kind(from) != NODE_TREE_VERSION)
		return -EXDEV;
	rc = tree_node_place(c->fs, from, &place, &ino);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_copy_range(c->fs->trees, place, ino, from_off, node_object(node), node_inner(node), off, len, true, ret);
	if (rc == 0)
		rc = note_rewrite(c, node_object(node), node_inner(node));
	return fs_end(c->fs, rc);
}

static int op_lseek(struct call *c, uint64_t node, struct handle *h, int64_t off, int whence, int64_t *ret)
{
	struct tree_place place;
	uint32_t ino;
	int64_t at;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	(void)h;
	if (rc)
		return rc;
	if (off < 0)
		return -ENXIO;
	at = tree_seek(c->fs->trees, fs_view(c->fs), place, ino, (uint64_t)off, whence == SEEK_HOLE);
	if (at < 0)
		return (int)at;
	*ret = at;
	return 0;
}

/* --- durability -------------------------------------------------------------------------------------------------------------- */

struct tree_sync_job {
	struct job job;
	struct call *call;
	struct kv *kv;
	struct tree_sync *sync;
	uint64_t seq;
	int rc;
};

static void sync_work(struct job *job)
{
	struct tree_sync_job *s = (struct tree_sync_job *)job;

	s->rc = tree_sync_wait(s->sync);	/* the bytes first, then the journal that speaks of them */
	if (s->rc == 0)
		s->rc = kv_sync(s->kv, s->seq);
}

static void sync_done(struct job *job)
{
	struct tree_sync_job *s = (struct tree_sync_job *)job;

	tree_sync_free(s->sync);
	call_reply_err(s->call, s->rc);
	free(s);
}

static int op_fsync(struct call *c, uint64_t node, struct handle *h, bool datasync)
{
	struct tree_sync_job *s = calloc(1, sizeof(*s));
	int rc = s ? tree_sync_begin(c->fs->trees, node_object(node), node_inner(node), &s->sync) : -ENOMEM;

	(void)h;
	(void)datasync;
	if (rc == 0) {
		s->call = call_defer(c);
		rc = s->call ? 0 : -ENOMEM;
		if (rc)
			tree_sync_free(s->sync);
	}
	if (rc) {
		free(s);
		return rc;
	}
	s->job = (struct job){ .work = sync_work, .done = sync_done };
	s->kv = c->fs->kv;
	s->seq = kv_seq(c->fs->kv);
	job_submit(c->fs, JOB_SYNC, node, &s->job);
	return FS_DEFERRED;
}

/* --- a version in the trash ------------------------------------------------------------------------------------------------------ */

/* Files of a version go with the version: in the trash their removal is taken and waits for its rmdir; elsewhere it is refused. */
static int version_remove(struct call *c, uint64_t dir, struct slice name)
{
	struct version v;
	struct entry e;
	int rc = version_by_serial(fs_view(c->fs), node_object(dir), &v);

	(void)name;
	if (rc == 0 && !v.trashed)
		rc = entry_get(fs_view(c->fs), v.entry, &e);
	if (rc == 0 && !v.trashed && !e.trashed)
		return err_set(-EROFS, "a version never changes");
	return rc;
}

/* --- paths and tables --------------------------------------------------------------------------------------------------------------- */

static void entry_path(struct fs *fs, uint32_t id, const struct version *v, struct buf *out)
{
	struct entry e;

	if (entry_get(fs_view(fs), id, &e) != 0)
		return;
	buf_add_str(out, e.space == ENTRY_DATA ? "/data/" : "/models/");
	if (v)
		entry_name_version(e.name, v->is_dir, v->n, out);
	else
		buf_add_slice(out, e.name);
}

static void op_path(struct fs *fs, uint64_t node, struct buf *out)
{
	struct tree_info info;
	struct version v;
	struct run run;

	if (node_kind(node) == NODE_TREE_VERSION) {
		if (version_by_serial(fs_view(fs), node_object(node), &v) == 0)
			entry_path(fs, v.entry, &v, out);
	} else if (tree_info(fs_view(fs), node_object(node), &info) == 0) {
		if (info.owner == TREE_OWNER_RUN && run_get(fs_view(fs), info.owner_id, &run) == 0)
			buf_addf(out, "/runs/%.*s/artifacts", (int)run.id.len, (const char *)run.id.data);
		else if (info.owner == TREE_OWNER_ENTRY)
			entry_path(fs, info.owner_id, NULL, out);
	}
	if (node_inner(node) != TREE_ROOT)
		buf_add_str(out, "/...");
}

const struct node_ops tree_head_ops = {
	.lookup = op_lookup,
	.make = op_make,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.readdir = op_readdir,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.getxattr = op_getxattr,
	.setxattr = op_setxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.copy_range = op_copy_range,
	.lseek = op_lseek,
	.path = op_path,
};

const struct node_ops tree_version_ops = {
	.lookup = op_lookup,
	.unlink = version_remove,
	.rmdir = version_remove,
	.readdir = op_readdir,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.getxattr = op_getxattr,
	.setxattr = version_setxattr,
	.listxattr = op_listxattr,
	.open = version_open,
	.read = op_read,
	.lseek = op_lseek,
	.path = op_path,
};
