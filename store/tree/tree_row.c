/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_row - the rows of TABLE_TREE (one a tree; the row of tree 0 holds the totals) and of TABLE_TREE_WORK.
 */
#include "store/tree/tree_internal.h"

static struct tkey row_key(uint32_t tree)
{
	struct tkey k;

	k.len = 0;
	tkey_u32(&k, tree);
	return k;
}

int tree_row_parse(uint32_t tree, struct slice value, struct tree_row *ret)
{
	struct unpack u = unpack_init(value);
	int rc;

	ret->tree = tree;
	ret->owner = unpack_u8(&u);
	ret->owner_id = unpack_u32(&u);
	ret->flags = unpack_u8(&u);
	ret->epoch = unpack_u32(&u);
	ret->changed_epoch = unpack_u32(&u);
	ret->next_ino = unpack_u32(&u);
	ret->inodes = unpack_u64(&u);
	ret->bytes = unpack_u64(&u);
	ret->mtime_ns = unpack_i64(&u);
	rc = unpack_done(&u);
	if (!rc && (ret->epoch == 0 || ret->epoch >= TREE_HEAD || ret->next_ino <= TREE_ROOT))
		rc = -EBADMSG;
	return rc ? err_set(rc, "tree %u: damaged row", tree) : 0;
}

int tree_row_get(struct kv_view *view, uint32_t tree, struct tree_row *ret)
{
	struct tkey k = row_key(tree);
	struct slice v;
	int rc;

	if (tree == 0)
		return -ENOENT;
	rc = kv_get(view, TABLE_TREE, tkey_slice(&k), &v);
	if (!rc)
		rc = tree_row_parse(tree, v, ret);
	if (!rc && (ret->flags & TREE_ROW_DELETED))
		rc = -ENOENT;
	return rc;
}

int tree_row_put(struct trees *t, const struct tree_row *row)
{
	struct tkey k = row_key(row->tree);
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc;

	pack_u8(&v, row->owner);
	pack_u32(&v, row->owner_id);
	pack_u8(&v, row->flags);
	pack_u32(&v, row->epoch);
	pack_u32(&v, row->changed_epoch);
	pack_u32(&v, row->next_ino);
	pack_u64(&v, row->inodes);
	pack_u64(&v, row->bytes);
	pack_i64(&v, row->mtime_ns);
	rc = buf_err(&v);
	return rc ? rc : kv_put(t->kv, TABLE_TREE, tkey_slice(&k), buf_slice(&v));
}

int tree_row_change(struct trees *t, uint32_t tree, bool held, struct tree_row *ret)
{
	int rc = tree_row_get(kv_live(t->kv), tree, ret);

	if (!rc && (ret->flags & TREE_ROW_FROZEN) && !held)
		rc = err_set(-EROFS, "this tree is frozen");
	return rc;
}

void tree_row_touch(struct tree_row *row)
{
	row->changed_epoch = row->epoch;
	row->mtime_ns = clock_now_ns();
}

int tree_totals_get(struct kv_view *view, struct tree_totals *ret)
{
	struct tkey k = row_key(0);
	struct slice v;
	struct unpack u;
	int rc = kv_get(view, TABLE_TREE, tkey_slice(&k), &v);

	*ret = (struct tree_totals){ .next_tree = 1, .next_layer = 1, .next_content = 1 };
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	u = unpack_init(v);
	ret->next_tree = unpack_u32(&u);
	ret->next_layer = unpack_u32(&u);
	ret->next_content = unpack_u64(&u);
	ret->trees = unpack_u64(&u);
	ret->contents = unpack_u64(&u);
	ret->unsealed = unpack_u64(&u);
	ret->layers = unpack_u64(&u);
	rc = unpack_done(&u);
	return rc ? err_set(rc, "totals of the trees: damaged row") : 0;
}

int tree_totals_put(struct trees *t, const struct tree_totals *totals)
{
	struct tkey k = row_key(0);
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc;

	pack_u32(&v, totals->next_tree);
	pack_u32(&v, totals->next_layer);
	pack_u64(&v, totals->next_content);
	pack_u64(&v, totals->trees);
	pack_u64(&v, totals->contents);
	pack_u64(&v, totals->unsealed);
	pack_u64(&v, totals->layers);
	rc = buf_err(&v);
	return rc ? rc : kv_put(t->kv, TABLE_TREE, tkey_slice(&k), buf_slice(&v));
}

static struct tkey work_key(enum tree_work kind, uint64_t id)
{
	struct tkey k;

	k.len = 0;
	tkey_u8(&k, (uint8_t)kind);
	tkey_u64(&k, id);
	return k;
}

int tree_work_put(struct trees *t, enum tree_work kind, uint64_t id, struct slice at)
{
	struct tkey k = work_key(kind, id);

	return kv_put(t->kv, TABLE_TREE_WORK, tkey_slice(&k), at);
}

int tree_work_del(struct trees *t, enum tree_work kind, uint64_t id)
{
	struct tkey k = work_key(kind, id);
	int rc = kv_del(t->kv, TABLE_TREE_WORK, tkey_slice(&k));

	return rc == -ENOENT ? 0 : rc;
}

int tree_work_has(struct kv_view *view, enum tree_work kind, uint64_t id, bool *ret)
{
	struct tkey k = work_key(kind, id);
	struct slice v;
	int rc = kv_get(view, TABLE_TREE_WORK, tkey_slice(&k), &v);

	*ret = !rc;
	return rc == -ENOENT ? 0 : rc;
}

int tree_name_check(struct slice name)
{
	if (name.len == 0 || memchr(name.data, '/', name.len) || memchr(name.data, 0, name.len) ||
	    slice_eq(name, slice_str(".")) || slice_eq(name, slice_str("..")))
		return err_set(-EINVAL, "not a name");
	if (name.len > TREE_NAME_MAX)
		return err_set(-ENAMETOOLONG, "a name has at most %u bytes", TREE_NAME_MAX);
	return 0;
}
