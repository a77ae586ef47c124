/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode - see inode.h.  Key (tree, ino, ~epoch); value: flags, then (unless the inode is gone) the attributes and what its
 * type needs.
 */
#include "store/tree/content.h"
#include "store/tree/inode.h"
#include "store/tree/xattr.h"

enum { INODE_DEAD = 1 };

int inode_parse(uint32_t tree, uint32_t ino, uint32_t epoch, struct slice value, struct inode *ret, bool *ret_dead)
{
	struct unpack u = unpack_init(value);
	uint8_t flags = unpack_u8(&u);
	int rc;

	*ret_dead = flags & INODE_DEAD;
	ret->tree = tree;
	ret->ino = ino;
	ret->epoch = epoch;
	ret->content = ret->stored = ret->size = ret->next_cookie = 0;
	ret->parent = ret->target_len = 0;
	if (!*ret_dead) {
		ret->mode = unpack_u32(&u);
		ret->uid = unpack_u32(&u);
		ret->gid = unpack_u32(&u);
		ret->nlink = unpack_u32(&u);
		ret->rdev = unpack_u32(&u);
		ret->atime_ns = unpack_i64(&u);
		ret->mtime_ns = unpack_i64(&u);
		ret->ctime_ns = unpack_i64(&u);
		ret->btime_ns = unpack_i64(&u);
		if (S_ISREG(ret->mode)) {
			ret->content = ret->stored = unpack_u64(&u);
		} else if (S_ISDIR(ret->mode)) {
			ret->parent = unpack_u32(&u);
			ret->next_cookie = unpack_u64(&u);
		} else if (S_ISLNK(ret->mode)) {
			struct slice target = unpack_str(&u);

			if (target.len > TREE_SYMLINK_MAX)
				u.bad = true;
			else if (target.len)
				memcpy(ret->target, target.data, target.len);
			ret->target_len = u.bad ? 0 : (uint32_t)target.len;
		}
	}
	rc = (flags & ~INODE_DEAD) ? -EBADMSG : unpack_done(&u);
	return rc ? err_set(rc, "inode %u of tree %u: damaged row", ino, tree) : 0;
}

int inode_get(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret)
{
	struct tkey prefix = tkey_pair(at.tree, ino);
	struct slice v;
	uint32_t epoch;
	bool dead;
	int rc = epoch_get(view, TABLE_INODE, &prefix, at.epoch, &epoch, &v);

	if (!rc)
		rc = inode_parse(at.tree, ino, epoch, v, ret, &dead);
	return !rc && dead ? -ENOENT : rc;
}

int inode_get_dir(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret)
{
	int rc = inode_get(view, at, ino, ret);

	return !rc && !S_ISDIR(ret->mode) ? -ENOTDIR : rc;
}

int inode_get_file(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret)
{
	struct content c;
	int rc = inode_get(view, at, ino, ret);

	if (!rc && S_ISDIR(ret->mode))
		rc = -EISDIR;
	else if (!rc && !S_ISREG(ret->mode))
		rc = -EINVAL;
	if (!rc && ret->content) {
		rc = content_get(view, ret->content, &c);
		ret->size = rc ? 0 : c.size;
	}
	return rc;
}

int inode_new(struct tree_row *row, const struct tree_make *make, struct inode *ret)
{
	if (row->next_ino == UINT32_MAX)
		return err_set(-ENOSPC, "tree %u has no inode numbers left", row->tree);
	ret->tree = row->tree;
	ret->ino = row->next_ino++;
	ret->epoch = 0;
	ret->mode = make->mode;
	ret->uid = make->uid;
	ret->gid = make->gid;
	ret->nlink = S_ISDIR(make->mode) ? 2 : 1;
	ret->rdev = make->rdev;
	ret->atime_ns = ret->mtime_ns = ret->ctime_ns = ret->btime_ns = clock_now_ns();
	ret->content = ret->stored = ret->size = 0;
	ret->parent = 0;
	ret->next_cookie = 1;
	ret->target_len = 0;
	if (S_ISLNK(make->mode)) {
		if (make->target.len == 0)
			return err_set(-ENOENT, "a symbolic link must have a target");
		if (make->target.len > TREE_SYMLINK_MAX)
			return err_set(-ENAMETOOLONG, "a symbolic link's target has at most %u bytes", TREE_SYMLINK_MAX);
		memcpy(ret->target, make->target.data, make->target.len);
		ret->target_len = (uint32_t)make->target.len;
	}
	row->inodes++;
	return 0;
}

static void inode_pack(const struct inode *n, struct buf *v)
{
	pack_u8(v, 0);
	pack_u32(v, n->mode);
	pack_u32(v, n->uid);
	pack_u32(v, n->gid);
	pack_u32(v, n->nlink);
	pack_u32(v, n->rdev);
	pack_i64(v, n->atime_ns);
	pack_i64(v, n->mtime_ns);
	pack_i64(v, n->ctime_ns);
	pack_i64(v, n->btime_ns);
	if (S_ISREG(n->mode)) {
		pack_u64(v, n->content);
	} else if (S_ISDIR(n->mode)) {
		pack_u32(v, n->parent);
		pack_u64(v, n->next_cookie);
	} else if (S_ISLNK(n->mode)) {
		pack_str(v, slice_of(n->target, n->target_len));
	}
}

/* Must the row that N was loaded from stay for a version, when the head of ROW gets another one? */
static int inode_row_stays(struct trees *t, const struct tree_row *row, const struct inode *n, bool *ret)
{
	*ret = false;
	if (n->epoch == 0 || n->epoch >= row->epoch)
		return 0;
	return epoch_seen(kv_live(t->kv), row->tree, n->epoch, row->epoch - 1, ret);
}

int inode_store(struct trees *t, const struct tree_row *row, struct inode *n)
{
	struct tkey prefix = tkey_pair(row->tree, n->ino), k = epoch_key(&prefix, row->epoch);
	SCOPED_BUF struct buf v = BUF_INIT;
	bool stays;
	int rc = inode_row_stays(t, row, n, &stays);

	inode_pack(n, &v);
	if (!rc)
		rc = buf_err(&v);
	if (!rc && n->epoch && n->epoch < row->epoch && !stays) {
		struct tkey old = epoch_key(&prefix, n->epoch);

		rc = kv_del(t->kv, TABLE_INODE, tkey_slice(&old));
	}
	if (!rc)
		rc = kv_put(t->kv, TABLE_INODE, tkey_slice(&k), buf_slice(&v));
	if (!rc && stays && n->content == n->stored && n->content)
		rc = content_ref(t, n->content);
	else if (!rc && !stays && n->content != n->stored && n->stored)
		rc = content_unref(t, n->stored);
	n->stored = n->content;
	n->epoch = row->epoch;
	return rc;
}

int inode_remove(struct trees *t, struct tree_row *row, struct inode *n)
{
	struct tkey prefix = tkey_pair(row->tree, n->ino), k = epoch_key(&prefix, row->epoch);
	const uint8_t dead = INODE_DEAD;
	struct slice v;
	uint32_t older;
	bool stays, tomb;
	struct content c = { .size = 0 };
	int rc = inode_row_stays(t, row, n, &stays);

	tomb = stays;
	if (!rc && n->stored)
		rc = content_get(kv_live(t->kv), n->stored, &c);
	if (!rc && !stays && n->epoch) {	/* what lies below it must not show again */
		rc = epoch_get(kv_live(t->kv), TABLE_INODE, &prefix, n->epoch - 1, &older, &v);
		tomb = !rc;
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (!rc && !stays) {
		struct tkey old = epoch_key(&prefix, n->epoch);

		rc = kv_del(t->kv, TABLE_INODE, tkey_slice(&old));
	}
	if (!rc && tomb)
		rc = kv_put(t->kv, TABLE_INODE, tkey_slice(&k), slice_of(&dead, 1));
	if (!rc && !stays && n->stored)
		rc = content_unref(t, n->stored);
	if (!rc)
		rc = xattr_store(t, row, n->ino, slice_of(NULL, 0));
	row->inodes--;
	row->bytes -= c.size < row->bytes ? c.size : row->bytes;
	return rc;
}

static struct tkey orphan_key(uint32_t tree, uint32_t ino)
{
	return tkey_pair(tree, ino);
}

bool inode_is_orphan(struct kv_view *view, uint32_t tree, uint32_t ino)
{
	struct tkey k = orphan_key(tree, ino);
	struct slice v;

	return kv_get(view, TABLE_ORPHAN, tkey_slice(&k), &v) == 0;
}

int inode_orphan_put(struct trees *t, uint32_t tree, uint32_t ino)
{
	struct tkey k = orphan_key(tree, ino);

	return kv_put(t->kv, TABLE_ORPHAN, tkey_slice(&k), slice_of(NULL, 0));
}

int inode_orphan_del(struct trees *t, uint32_t tree, uint32_t ino)
{
	struct tkey k = orphan_key(tree, ino);

	return kv_del(t->kv, TABLE_ORPHAN, tkey_slice(&k));
}

int inode_orphan_remove(struct trees *t, uint32_t tree, uint32_t ino)
{
	struct tree_row row;
	struct inode n;
	int rc = inode_orphan_del(t, tree, ino);

	if (rc)
		return rc;
	rc = tree_row_get(kv_live(t->kv), tree, &row);
	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), ino, &n);
	if (!rc)
		rc = inode_remove(t, &row, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return tree_row_put(t, &row);
}

int inode_unlink(struct trees *t, struct tree_row *row, struct inode *n)
{
	int rc = 0;

	n->ctime_ns = clock_now_ns();
	n->nlink = S_ISDIR(n->mode) || n->nlink == 0 ? 0 : n->nlink - 1;
	if (n->nlink == 0 && !tree_is_held(t, row->tree, n->ino))
		return inode_remove(t, row, n);
	if (n->nlink == 0)
		rc = inode_orphan_put(t, row->tree, n->ino);
	return rc ? rc : inode_store(t, row, n);
}

int inode_attr(struct kv_view *view, const struct inode *n, struct tree_attr *ret)
{
	struct content c;
	int rc;

	*ret = (struct tree_attr){
		.ino = n->ino, .mode = n->mode, .uid = n->uid, .gid = n->gid, .nlink = n->nlink, .rdev = n->rdev,
		.size = S_ISDIR(n->mode) ? 4096 : n->target_len, .blocks = 0,
		.atime_ns = n->atime_ns, .mtime_ns = n->mtime_ns, .ctime_ns = n->ctime_ns, .btime_ns = n->btime_ns,
	};
	if (!S_ISREG(n->mode) || n->content == 0)
		return 0;
	rc = content_get(view, n->content, &c);
	if (rc)
		return rc;
	ret->size = c.size;
	ret->blocks = (c.data + 511) / 512;
	return 0;
}
