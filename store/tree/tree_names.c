/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_names - making, linking, removing and renaming in the head of a tree.  Core, in a batch; a failure leaves the batch to be
 * aborted.  Sticky bits and permissions are the kernel's business (default_permissions).
 */
#include <stdio.h>

#include "store/tree/content.h"
#include "store/tree/dirent.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

static void touch_dir(struct inode *dir)
{
	dir->mtime_ns = dir->ctime_ns = clock_now_ns();
}

static int store_all(struct trees *t, struct tree_row *row, struct inode *dir)
{
	int rc = inode_store(t, row, dir);

	tree_row_touch(row);
	return rc ? rc : tree_row_put(t, row);
}

/* The row of the tree, the directory, and the entry of NAME: *RET_OLD.gone when there is none. */
static int begin(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, struct tree_row *row, struct inode *d,
		 struct dirent_row *ret_old)
{
	int rc = tree_row_change(t, tree, false, row);

	if (!rc)
		rc = tree_name_check(name);
	if (!rc)
		rc = inode_get_dir(kv_live(t->kv), inode_head(tree), dir, d);
	if (rc)
		return rc;
	if (d->nlink == 0)
		return -ENOENT;		/* removed while somebody stands in it */
	rc = dirent_get(kv_live(t->kv), inode_head(tree), dir, name, ret_old);
	return rc == -ENOENT ? 0 : rc;
}

int tree_make(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, const struct tree_make *make, struct tree_attr *ret)
{
	struct tree_row row;
	struct inode d, n;
	struct dirent_row old;
	int rc = begin(t, tree, dir, name, &row, &d, &old);

	if (!rc && !old.gone)
		rc = -EEXIST;
	if (!rc && S_ISDIR(make->mode) && d.nlink >= TREE_LINK_MAX)
		rc = err_set(-EMLINK, "a directory holds at most %u directories", TREE_LINK_MAX - 2);
	if (!rc)
		rc = inode_new(&row, make, &n);
	if (rc)
		return rc;
	n.parent = dir;
	d.nlink += S_ISDIR(make->mode) ? 1 : 0;
	touch_dir(&d);
	rc = dirent_set(t, &row, &d, name, &old, n.ino, n.mode & S_IFMT);
	if (!rc)
		rc = inode_store(t, &row, &n);
	if (!rc)
		rc = store_all(t, &row, &d);
	return rc ? rc : inode_attr(kv_live(t->kv), &n, ret);
}

int tree_link(struct trees *t, uint32_t tree, uint32_t ino, uint32_t dir, struct slice name, struct tree_attr *ret)
{
	struct tree_row row;
	struct inode d, n;
	struct dirent_row old;
	int rc = begin(t, tree, dir, name, &row, &d, &old);

	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), ino, &n);
	if (!rc && !old.gone)
		rc = -EEXIST;
	if (!rc && S_ISDIR(n.mode))
		rc = -EPERM;
	if (!rc && n.nlink == 0)
		rc = -ENOENT;
	if (!rc && n.nlink >= TREE_LINK_MAX)
		rc = err_set(-EMLINK, "a file has at most %u names", TREE_LINK_MAX);
	if (rc)
		return rc;
	n.nlink++;
	n.ctime_ns = clock_now_ns();
	touch_dir(&d);
	rc = dirent_set(t, &row, &d, name, &old, ino, n.mode & S_IFMT);
	if (!rc)
		rc = inode_store(t, &row, &n);
	if (!rc)
		rc = store_all(t, &row, &d);
	return rc ? rc : inode_attr(kv_live(t->kv), &n, ret);
}

int tree_unlink(struct trees *t, uint32_t tree, uint32_t dir, struct slice name)
{
	struct tree_row row;
	struct inode d, n;
	struct dirent_row old;
	int rc = begin(t, tree, dir, name, &row, &d, &old);

	if (!rc && old.gone)
		rc = -ENOENT;
	if (!rc && old.type == S_IFDIR)
		rc = -EISDIR;
	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), old.ino, &n);
	if (!rc)
		rc = dirent_clear(t, &row, dir, name, &old);
	if (!rc)
		rc = inode_unlink(t, &row, &n);
	touch_dir(&d);
	return rc ? rc : store_all(t, &row, &d);
}

int tree_rmdir(struct trees *t, uint32_t tree, uint32_t dir, struct slice name)
{
	struct tree_row row;
	struct inode d, n;
	struct dirent_row old;
	bool empty = false;
	int rc = begin(t, tree, dir, name, &row, &d, &old);

	if (!rc && old.gone)
		rc = -ENOENT;
	if (!rc && old.type != S_IFDIR)
		rc = -ENOTDIR;
	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), old.ino, &n);
	if (!rc)
		rc = dirent_is_empty(kv_live(t->kv), inode_head(tree), old.ino, &empty);
	if (!rc && !empty)
		rc = -ENOTEMPTY;
	if (!rc)
		rc = dirent_clear(t, &row, dir, name, &old);
	if (!rc)
		rc = inode_unlink(t, &row, &n);
	d.nlink--;
	touch_dir(&d);
	return rc ? rc : store_all(t, &row, &d);
}

/* --- rename -------------------------------------------------------------------------------------------- */

struct ren {				/* one side of a rename; B's directory is A's when they are the same */
	struct inode *dir;
	struct slice name;
	struct dirent_row row;
	struct inode n;
};

/* Is INO the directory DIR, or above it? */
static int is_above(struct trees *t, uint32_t tree, uint32_t ino, uint32_t dir, bool *ret)
{
	*ret = false;
	for (unsigned depth = 0; !*ret && dir != TREE_ROOT; depth++) {
		int rc = depth > 1u << 16 ? -EBADMSG : 0;

		*ret = dir == ino;
		if (!rc)
			rc = tree_parent(kv_live(t->kv), inode_head(tree), dir, &dir);
		if (rc)
			return rc == -EBADMSG ? err_set(rc, "tree %u: directories in a circle", tree) : rc;
	}
	*ret |= dir == ino;
	return 0;
}

static int rename_check(struct trees *t, uint32_t tree, const struct ren *a, const struct ren *b, unsigned flags)
{
	bool above = false, empty = true;
	int rc = 0;

	if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		return -EINVAL;
	if (a->row.gone || ((flags & RENAME_EXCHANGE) && b->row.gone))
		return -ENOENT;
	if ((flags & RENAME_NOREPLACE) && !b->row.gone)
		return -EEXIST;
	if (a->row.type == S_IFDIR)
		rc = is_above(t, tree, a->row.ino, b->dir->ino, &above);
	if (!rc && !above && (flags & RENAME_EXCHANGE) && b->row.type == S_IFDIR)
		rc = is_above(t, tree, b->row.ino, a->dir->ino, &above);
	if (!rc && above)
		rc = err_set(-EINVAL, "a directory cannot be moved into itself");
	if (rc || b->row.gone || (flags & RENAME_EXCHANGE) || a->row.ino == b->row.ino)
		return rc;
	if (a->row.type == S_IFDIR && b->row.type != S_IFDIR)
		return -ENOTDIR;
	if (a->row.type != S_IFDIR && b->row.type == S_IFDIR)
		return -EISDIR;
	if (b->row.type == S_IFDIR)
		rc = dirent_is_empty(kv_live(t->kv), inode_head(tree), b->row.ino, &empty);
	return rc ? rc : empty ? 0 : -ENOTEMPTY;
}

/* A directory N leaves FROM for TO. */
static int move_dir(struct inode *n, struct inode *from, struct inode *to)
{
	if (!S_ISDIR(n->mode) || from == to)
		return 0;
	if (to->nlink >= TREE_LINK_MAX)
		return err_set(-EMLINK, "a directory holds at most %u directories", TREE_LINK_MAX - 2);
	n->parent = to->ino;
	from->nlink--;
	to->nlink++;
	return 0;
}

static int rename_exchange(struct trees *t, struct tree_row *row, struct ren *a, struct ren *b)
{
	int rc;

	a->n.ctime_ns = b->n.ctime_ns = clock_now_ns();
	if (S_ISDIR(a->n.mode) && S_ISDIR(b->n.mode)) {
		a->n.parent = b->dir->ino;
		b->n.parent = a->dir->ino;
		rc = 0;
	} else {
		rc = move_dir(&a->n, a->dir, b->dir);
		if (!rc)
			rc = move_dir(&b->n, b->dir, a->dir);
	}
	if (!rc)
		rc = dirent_set(t, row, b->dir, b->name, &b->row, a->n.ino, a->n.mode & S_IFMT);
	if (!rc)
		rc = dirent_set(t, row, a->dir, a->name, &a->row, b->n.ino, b->n.mode & S_IFMT);
	if (!rc)
		rc = inode_store(t, row, &a->n);
	return rc ? rc : inode_store(t, row, &b->n);
}

static int rename_over(struct trees *t, struct tree_row *row, struct ren *a, struct ren *b)
{
	int rc = 0;

	a->n.ctime_ns = clock_now_ns();
	if (!b->row.gone) {
		if (S_ISDIR(b->n.mode))
			b->dir->nlink--;
		rc = inode_unlink(t, row, &b->n);
	}
	if (!rc)
		rc = move_dir(&a->n, a->dir, b->dir);
	if (!rc)
		rc = dirent_set(t, row, b->dir, b->name, &b->row, a->n.ino, a->n.mode & S_IFMT);
	if (!rc)
		rc = dirent_clear(t, row, a->dir->ino, a->name, &a->row);
	return rc ? rc : inode_store(t, row, &a->n);
}

int tree_rename(struct trees *t, uint32_t tree, uint32_t dir, struct slice name, uint32_t to_dir, struct slice to_name,
		unsigned flags)
{
	struct tree_row row;
	struct inode da, db;
	struct ren a = { .dir = &da, .name = name }, b = { .dir = dir == to_dir ? &da : &db, .name = to_name };
	int rc = begin(t, tree, dir, name, &row, &da, &a.row);

	if (!rc)
		rc = begin(t, tree, to_dir, to_name, &row, b.dir, &b.row);
	if (!rc)
		rc = rename_check(t, tree, &a, &b, flags);
	if (rc || a.row.ino == b.row.ino)
		return rc;		/* two names of one file: nothing to do, says POSIX */
	rc = inode_get(kv_live(t->kv), inode_head(tree), a.row.ino, &a.n);
	if (!rc && !b.row.gone)
		rc = inode_get(kv_live(t->kv), inode_head(tree), b.row.ino, &b.n);
	if (!rc)
		rc = flags & RENAME_EXCHANGE ? rename_exchange(t, &row, &a, &b) : rename_over(t, &row, &a, &b);
	touch_dir(&da);
	touch_dir(b.dir);
	if (!rc && b.dir != &da)
		rc = inode_store(t, &row, b.dir);
	return rc ? rc : store_all(t, &row, &da);
}
