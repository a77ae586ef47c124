/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattr - see xattr.h.  Value: pairs of strings (name, value), in the order they were made; empty: none.
 */
#include <sys/xattr.h>

#include "store/tree/xattr.h"

int xattr_load(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out)
{
	struct tkey prefix = tkey_pair(at.tree, ino);
	struct slice v;
	uint32_t epoch;
	int rc = epoch_get(view, TABLE_XATTR, &prefix, at.epoch, &epoch, &v);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	buf_add_slice(out, v);
	return buf_err(out);
}

int xattr_store(struct trees *t, const struct tree_row *row, uint32_t ino, struct slice value)
{
	struct tkey prefix = tkey_pair(row->tree, ino), k = epoch_key(&prefix, row->epoch);
	struct kv_view *view = kv_live(t->kv);
	struct slice v;
	uint32_t epoch = 0, below;
	bool stays = false;
	int rc = epoch_get(view, TABLE_XATTR, &prefix, TREE_HEAD, &epoch, &v);

	if (rc == -ENOENT)
		return value.len ? kv_put(t->kv, TABLE_XATTR, tkey_slice(&k), value) : 0;
	if (!rc && epoch < row->epoch)
		rc = epoch_seen(view, row->tree, epoch, row->epoch - 1, &stays);
	if (!rc && !stays) {
		struct tkey was = epoch_key(&prefix, epoch);

		rc = kv_del(t->kv, TABLE_XATTR, tkey_slice(&was));
	}
	if (rc)
		return rc;
	if (value.len == 0) {		/* a tombstone only where something below would show */
		rc = epoch_get(view, TABLE_XATTR, &prefix, row->epoch, &below, &v);
		if (rc)
			return rc == -ENOENT ? 0 : rc;
		if (v.len == 0)
			return 0;
	}
	return kv_put(t->kv, TABLE_XATTR, tkey_slice(&k), value);
}

int xattr_check(struct slice value)
{
	struct unpack u = unpack_init(value);

	while (u.left && !u.bad) {
		struct slice name = unpack_str(&u);

		(void)unpack_str(&u);
		if (name.len == 0 || memchr(name.data, 0, name.len))
			u.bad = true;
	}
	return unpack_done(&u);
}

static int damaged(uint32_t tree, uint32_t ino)
{
	return err_set(-EBADMSG, "extended attributes of inode %u of tree %u: damaged row", ino, tree);
}

int tree_getxattr(struct kv_view *view, struct tree_place at, uint32_t ino, struct slice name, struct buf *out)
{
	SCOPED_BUF struct buf all = BUF_INIT;
	struct unpack u;
	int rc = xattr_load(view, at, ino, &all);

	if (rc)
		return rc;
	u = unpack_init(buf_slice(&all));
	while (u.left && !u.bad) {
		struct slice n = unpack_str(&u), v = unpack_str(&u);

		if (!u.bad && slice_eq(n, name)) {
			buf_add_slice(out, v);
			return buf_err(out);
		}
	}
	return u.bad ? damaged(at.tree, ino) : -ENODATA;
}

int tree_listxattr(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out)
{
	SCOPED_BUF struct buf all = BUF_INIT;
	struct unpack u;
	int rc = xattr_load(view, at, ino, &all);

	if (rc)
		return rc;
	u = unpack_init(buf_slice(&all));
	while (u.left && !u.bad) {
		struct slice n = unpack_str(&u);

		(void)unpack_str(&u);
		if (!u.bad) {
			buf_add_slice(out, n);
			buf_add_ch(out, 0);
		}
	}
	return u.bad ? damaged(at.tree, ino) : buf_err(out);
}

/* Everything but NAME goes to OUT; *RET_FOUND: it was there. */
static int without(struct slice all, struct slice name, struct buf *out, bool *ret_found)
{
	struct unpack u = unpack_init(all);

	*ret_found = false;
	while (u.left && !u.bad) {
		struct slice n = unpack_str(&u), v = unpack_str(&u);

		if (slice_eq(n, name)) {
			*ret_found = true;
			continue;
		}
		pack_str(out, n);
		pack_str(out, v);
	}
	return u.bad ? -EBADMSG : buf_err(out);
}

/* VALUE NULL: remove. */
static int change(struct trees *t, uint32_t tree, uint32_t ino, struct slice name, const struct slice *value, int flags)
{
	SCOPED_BUF struct buf all = BUF_INIT, out = BUF_INIT;
	struct tree_row row;
	struct inode n;
	bool found;
	int rc = tree_row_change(t, tree, false, &row);

	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), ino, &n);
	if (!rc)
		rc = xattr_load(kv_live(t->kv), inode_head(tree), ino, &all);
	if (!rc)
		rc = without(buf_slice(&all), name, &out, &found);
	if (rc)
		return rc == -EBADMSG ? damaged(tree, ino) : rc;
	if (found ? (flags & XATTR_CREATE) : value && (flags & XATTR_REPLACE))
		return found ? -EEXIST : -ENODATA;
	if (!value && !found)
		return -ENODATA;
	if (value) {
		pack_str(&out, name);
		pack_str(&out, *value);
	}
	if (out.len > TREE_XATTRS_MAX)
		return err_set(-ENOSPC, "the extended attributes of a file have at most %u bytes together", TREE_XATTRS_MAX);
	rc = buf_err(&out);
	if (!rc)
		rc = xattr_store(t, &row, ino, buf_slice(&out));
	n.ctime_ns = clock_now_ns();
	if (!rc)
		rc = inode_store(t, &row, &n);
	tree_row_touch(&row);
	return rc ? rc : tree_row_put(t, &row);
}

int tree_setxattr(struct trees *t, uint32_t tree, uint32_t ino, struct slice name, struct slice value, int flags)
{
	if (name.len == 0 || name.len > TREE_NAME_MAX || memchr(name.data, 0, name.len))
		return name.len > TREE_NAME_MAX ? -ERANGE : -EINVAL;
	if (value.len > TREE_XATTRS_MAX)
		return -E2BIG;
	return change(t, tree, ino, name, &value, flags);
}

int tree_removexattr(struct trees *t, uint32_t tree, uint32_t ino, struct slice name)
{
	return change(t, tree, ino, name, NULL, 0);
}
