/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_move - whole files and directories between trees: by reference, so the cost is that of their names.  Core, in one batch;
 * one that grows too large for it fails and changes nothing.
 */
#include "store/tree/content.h"
#include "store/tree/listing.h"
#include "store/tree/write.h"
#include "store/tree/xattr.h"

struct link {				/* a file with several names that was already copied */
	uint32_t from, to;
};

struct pair {				/* a directory to do */
	uint32_t from, to;
};

struct copy {
	struct trees *t;
	struct tree_place from;
	struct tree_row *row;		/* of the tree that gets the copies */
	struct buf links, todo;
};

static void take_attrs(struct inode *to, const struct inode *from)
{
	to->mode = (to->mode & S_IFMT) | (from->mode & 07777);
	to->uid = from->uid;
	to->gid = from->gid;
	to->atime_ns = from->atime_ns;
	to->mtime_ns = from->mtime_ns;
	to->btime_ns = from->btime_ns;
}

static int copy_xattrs(struct copy *c, uint32_t from, uint32_t to)
{
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc = xattr_load(kv_live(c->t->kv), c->from, from, &v);

	return rc ? rc : xattr_store(c->t, c->row, to, buf_slice(&v));
}

/* A new inode in the tree of c->row that is what INO is; a directory is still empty.  Stored. */
static int copy_inode(struct copy *c, uint32_t ino, struct inode *ret)
{
	struct inode src;
	struct tree_make make;
	int rc = inode_get(kv_live(c->t->kv), c->from, ino, &src);

	if (rc)
		return rc;
	make = (struct tree_make){ .mode = src.mode, .rdev = src.rdev, .target = slice_of(src.target, src.target_len) };
	rc = inode_new(c->row, &make, ret);
	if (rc)
		return rc;
	take_attrs(ret, &src);
	if (S_ISREG(src.mode))
		rc = write_share(c->t, ret, src.content);
	c->row->bytes += ret->size;
	if (!rc)
		rc = inode_store(c->t, c->row, ret);
	if (!rc)
		rc = copy_xattrs(c, ino, ret->ino);
	if (!rc && S_ISDIR(src.mode)) {
		struct pair p = { ino, ret->ino };

		buf_add(&c->todo, &p, sizeof p);
	} else if (!rc && src.nlink > 1) {
		struct link l = { ino, ret->ino };

		buf_add(&c->links, &l, sizeof l);
	}
	return rc ? rc : buf_err(&c->todo) ? -ENOMEM : buf_err(&c->links);
}

static uint32_t known_link(const struct copy *c, uint32_t ino)
{
	for (size_t at = 0; at < c->links.len; at += sizeof(struct link)) {
		struct link l;

		memcpy(&l, c->links.data + at, sizeof l);
		if (l.from == ino)
			return l.to;
	}
	return 0;
}

static int copy_entry(struct copy *c, struct inode *dir, const struct listing_entry *e)
{
	uint32_t known = known_link(c, e->ino);
	struct dirent_row old;
	struct inode n;
	int rc;

	if (known) {
		rc = inode_get(kv_live(c->t->kv), inode_head(c->row->tree), known, &n);
		n.nlink++;
	} else {
		rc = copy_inode(c, e->ino, &n);
		if (!rc && !S_ISDIR(n.mode) && n.nlink != 1)
			rc = -EBADMSG;
		n.parent = dir->ino;
	}
	if (rc)
		return rc;
	dir->nlink += S_ISDIR(n.mode) ? 1 : 0;
	rc = inode_store(c->t, c->row, &n);
	if (!rc)
		rc = dirent_get(kv_live(c->t->kv), inode_head(c->row->tree), dir->ino, e->name, &old);
	return rc && rc != -ENOENT ? rc : dirent_set(c->t, c->row, dir, e->name, &old, n.ino, n.mode & S_IFMT);
}

/* Everything below the directories in c->todo; their own times stay. */
static int copy_below(struct copy *c)
{
	struct listing l = LISTING_INIT;
	int rc = 0;

	while (!rc && c->todo.len) {
		struct listing_entry e;
		struct inode dir;
		struct pair p;

		c->todo.len -= sizeof p;
		memcpy(&p, c->todo.data + c->todo.len, sizeof p);
		rc = listing_load(&l, kv_live(c->t->kv), c->from, p.from);
		if (!rc)
			rc = inode_get_dir(kv_live(c->t->kv), inode_head(c->row->tree), p.to, &dir);
		while (!rc && listing_next(&l, &e))
			rc = copy_entry(c, &dir, &e);
		if (!rc)
			rc = inode_store(c->t, c->row, &dir);
	}
	listing_release(&l);
	return rc;
}

static void copy_release(struct copy *c)
{
	buf_release(&c->links);
	buf_release(&c->todo);
}

/* All names below DIR go, and DIR's own inode too, unless it is the root. */
static int remove_below(struct trees *t, struct tree_row *row, uint32_t top)
{
	SCOPED_BUF struct buf todo = BUF_INIT;
	struct listing l = LISTING_INIT;
	int rc = 0;

	buf_add(&todo, &top, sizeof top);
	while (!rc && !(rc = buf_err(&todo)) && todo.len) {
		struct listing_entry e;
		struct inode n;
		uint32_t dir;

		todo.len -= sizeof dir;
		memcpy(&dir, todo.data + todo.len, sizeof dir);
		rc = listing_load(&l, kv_live(t->kv), inode_head(row->tree), dir);
		while (!rc && listing_next(&l, &e)) {
			struct dirent_row d;

			rc = dirent_get(kv_live(t->kv), inode_head(row->tree), dir, e.name, &d);
			if (!rc)
				rc = dirent_clear(t, row, dir, e.name, &d);
			if (!rc && e.type == S_IFDIR) {
				buf_add(&todo, &e.ino, sizeof e.ino);
				continue;
			}
			if (!rc)
				rc = inode_get(kv_live(t->kv), inode_head(row->tree), e.ino, &n);
			if (!rc)
				rc = inode_unlink(t, row, &n);
		}
		if (!rc && dir != TREE_ROOT) {
			rc = inode_get(kv_live(t->kv), inode_head(row->tree), dir, &n);
			if (!rc)
				rc = inode_unlink(t, row, &n);
		}
	}
	listing_release(&l);
	return rc;
}

/* In the head, what may be written to while we share it is set apart first. */
static int settle(struct trees *t, struct tree_place from)
{
	struct tree_row row;
	int rc;

	if (from.epoch != TREE_HEAD)
		return epoch_check(kv_live(t->kv), from.tree, from.epoch);
	rc = tree_row_get(kv_live(t->kv), from.tree, &row);
	return rc ? rc : write_settle(t, &row, 0);
}

/* The root of ROW's tree, empty by now, becomes what inode INO at c->from is. */
static int fill_root(struct copy *c, uint32_t ino)
{
	struct pair p = { ino, TREE_ROOT };
	struct inode src, root;
	uint64_t had;
	int rc = inode_get(kv_live(c->t->kv), c->from, ino, &src);

	if (!rc)
		rc = inode_get(kv_live(c->t->kv), inode_head(c->row->tree), TREE_ROOT, &root);
	if (!rc && S_ISREG(root.mode))
		rc = inode_get_file(kv_live(c->t->kv), inode_head(c->row->tree), TREE_ROOT, &root);
	if (rc)
		return rc;
	had = root.size;
	if (S_ISREG(root.mode) && !S_ISREG(src.mode))
		rc = write_share(c->t, &root, 0);
	if (S_ISDIR(src.mode) && !S_ISDIR(root.mode)) {	/* a file becomes a directory */
		if (!rc)
			rc = inode_store(c->t, c->row, &root);
		root.next_cookie = 1;
		root.parent = TREE_ROOT;
	}
	root.mode = src.mode;
	take_attrs(&root, &src);
	root.ctime_ns = clock_now_ns();
	root.nlink = S_ISDIR(src.mode) ? 2 : 1;
	if (!rc && S_ISREG(src.mode))
		rc = write_share(c->t, &root, src.content);
	c->row->bytes += root.size;
	c->row->bytes -= had < c->row->bytes ? had : c->row->bytes;
	if (!rc)
		rc = inode_store(c->t, c->row, &root);
	if (!rc)
		rc = copy_xattrs(c, ino, TREE_ROOT);
	if (rc || !S_ISDIR(src.mode))
		return rc;
	buf_add(&c->todo, &p, sizeof p);
	return copy_below(c);
}

int tree_become(struct trees *t, uint32_t tree, struct tree_place place)
{
	struct tree_row row;
	struct copy c = { .t = t, .from = place, .row = &row, .links = BUF_INIT, .todo = BUF_INIT };
	int rc;

	if (place.tree == tree && place.epoch == TREE_HEAD)
		return 0;
	rc = settle(t, place);
	if (!rc)
		rc = tree_row_change(t, tree, false, &row);
	if (!rc)
		rc = remove_below(t, &row, TREE_ROOT);
	if (!rc)
		rc = fill_root(&c, TREE_ROOT);
	copy_release(&c);
	tree_row_touch(&row);
	return rc ? rc : tree_row_put(t, &row);
}

/* --- moving -------------------------------------------------------------------------------------------- */

/* The source goes: its name, unless it is a whole tree, and all below it. */
static int remove_source(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, const struct dirent_row *d)
{
	struct tree_row row;
	struct inode n;
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	if (!rc)
		rc = dirent_clear(t, &row, dir, name, d);
	if (!rc && d->type == S_IFDIR) {
		rc = remove_below(t, &row, d->ino);
	} else if (!rc) {
		rc = inode_get(kv_live(t->kv), inode_head(tree), d->ino, &n);
		if (!rc)
			rc = inode_unlink(t, &row, &n);
	}
	if (!rc)
		rc = inode_get_dir(kv_live(t->kv), inode_head(tree), dir, &n);
	if (rc)
		return rc;
	n.nlink -= d->type == S_IFDIR ? 1 : 0;
	n.mtime_ns = n.ctime_ns = clock_now_ns();
	rc = inode_store(t, &row, &n);
	tree_row_touch(&row);
	return rc ? rc : tree_row_put(t, &row);
}

/* What stands in the way at NAME in DIR goes, if a rename may replace it by something of TYPE. */
static int make_room(struct trees *t, struct tree_row *row, struct inode *dir, const struct dirent_row *old, uint32_t type)
{
	bool empty = true;
	struct inode n;
	int rc = 0;

	if (old->type == S_IFDIR && type != S_IFDIR)
		return -EISDIR;
	if (old->type != S_IFDIR && type == S_IFDIR)
		return -ENOTDIR;
	if (type == S_IFDIR)
		rc = dirent_is_empty(kv_live(t->kv), inode_head(row->tree), old->ino, &empty);
	if (!rc && !empty)
		rc = -ENOTEMPTY;
	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(row->tree), old->ino, &n);
	if (!rc && type == S_IFDIR)
		dir->nlink--;
	return rc ? rc : inode_unlink(t, row, &n);
}

static int move_to_name(struct copy *c, uint32_t ino, uint32_t dir, struct slice name)
{
	struct dirent_row old;
	struct inode d, n;
	bool there;
	int rc = tree_name_check(name);

	if (!rc)
		rc = inode_get_dir(kv_live(c->t->kv), inode_head(c->row->tree), dir, &d);
	if (!rc && d.nlink == 0)
		rc = -ENOENT;
	if (rc)
		return rc;
	rc = dirent_get(kv_live(c->t->kv), inode_head(c->row->tree), dir, name, &old);
	there = !rc;
	if (rc && rc != -ENOENT)
		return rc;
	rc = inode_get(kv_live(c->t->kv), c->from, ino, &n);
	if (!rc && there)
		rc = make_room(c->t, c->row, &d, &old, n.mode & S_IFMT);
	if (!rc)
		rc = copy_inode(c, ino, &n);
	if (rc)
		return rc;
	n.parent = dir;
	d.nlink += S_ISDIR(n.mode) ? 1 : 0;
	d.mtime_ns = d.ctime_ns = clock_now_ns();
	rc = inode_store(c->t, c->row, &n);
	if (!rc)
		rc = dirent_set(c->t, c->row, &d, name, &old, n.ino, n.mode & S_IFMT);
	if (!rc)
		rc = inode_store(c->t, c->row, &d);
	return rc ? rc : copy_below(c);
}

static int move_to_root(struct copy *c, uint32_t ino)
{
	struct inode n, root;
	bool empty = true;
	int rc = inode_get(kv_live(c->t->kv), c->from, ino, &n);

	if (!rc)
		rc = inode_get(kv_live(c->t->kv), inode_head(c->row->tree), TREE_ROOT, &root);
	if (rc)
		return rc;
	if (!S_ISDIR(n.mode) && !S_ISREG(n.mode))
		return -EINVAL;
	if (S_ISDIR(n.mode) != S_ISDIR(root.mode))
		return S_ISDIR(root.mode) ? -EISDIR : -ENOTDIR;
	if (S_ISDIR(root.mode))
		rc = dirent_is_empty(kv_live(c->t->kv), inode_head(c->row->tree), TREE_ROOT, &empty);
	if (!rc && !empty)
		rc = -ENOTEMPTY;
	return rc ? rc : fill_root(c, ino);
}

int tree_move(struct trees *t, uint32_t from_tree, uint32_t from_dir, struct slice from_name,
	      uint32_t tree, uint32_t dir, struct slice name)
{
	struct tree_row row, from_row;
	struct copy c = { .t = t, .from = inode_head(from_tree), .row = &row, .links = BUF_INIT, .todo = BUF_INIT };
	struct dirent_row d = { .ino = TREE_ROOT };
	int rc;

	if (from_tree == tree)
		return from_dir && dir ? tree_rename(t, tree, from_dir, from_name, dir, name, 0) : -EINVAL;
	rc = tree_row_change(t, from_tree, false, &from_row);
	if (!rc && from_dir)
		rc = dirent_get(kv_live(t->kv), c.from, from_dir, from_name, &d);
	if (!rc)
		rc = settle(t, c.from);
	if (!rc)
		rc = tree_row_change(t, tree, false, &row);
	if (!rc)
		rc = dir ? move_to_name(&c, d.ino, dir, name) : move_to_root(&c, d.ino);
	copy_release(&c);
	if (rc)
		return rc;
	tree_row_touch(&row);
	rc = tree_row_put(t, &row);
	return rc || !from_dir ? rc : remove_source(t, from_tree, from_dir, from_name, &d);
}
