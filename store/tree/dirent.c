/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirent - see dirent.h.  Key (tree, dir, name, 0, ~epoch): names hold no NUL, so rows of one name lie together, newest first,
 * and names are in byte order.
 */
#include "store/tree/dirent.h"

enum { DIRENT_GONE = 1 };

static struct tkey name_prefix(uint32_t tree, uint32_t dir, struct slice name)
{
	struct tkey k = tkey_pair(tree, dir);

	tkey_bytes(&k, name);
	tkey_u8(&k, 0);
	return k;
}

static struct tkey cookie_key(uint32_t tree, uint32_t dir, uint64_t cookie)
{
	struct tkey k = tkey_pair(tree, dir);

	tkey_u64(&k, cookie);
	return k;
}

int dirent_parse(uint32_t epoch, struct slice value, struct dirent_row *ret)
{
	struct unpack u = unpack_init(value);
	uint8_t flags = unpack_u8(&u);
	int rc;

	*ret = (struct dirent_row){ .epoch = epoch, .gone = flags & DIRENT_GONE };
	if (!ret->gone) {
		ret->ino = unpack_u32(&u);
		ret->type = (uint32_t)unpack_u8(&u) << 12;
		ret->cookie = unpack_u64(&u);
	}
	rc = (flags & ~DIRENT_GONE) || (!ret->gone && ret->cookie == 0) ? -EBADMSG : unpack_done(&u);
	return rc ? err_set(rc, "directory entry: damaged row") : 0;
}

/* The row seen at AT, tombstones too. */
static int dirent_row_get(struct kv_view *view, struct tree_place at, const struct tkey *prefix, struct dirent_row *ret)
{
	struct slice v;
	uint32_t epoch;
	int rc = epoch_get(view, TABLE_DIRENT, prefix, at.epoch, &epoch, &v);

	return rc ? rc : dirent_parse(epoch, v, ret);
}

int dirent_get(struct kv_view *view, struct tree_place at, uint32_t dir, struct slice name, struct dirent_row *ret)
{
	struct tkey prefix = name_prefix(at.tree, dir, name);
	int rc = name.len > TREE_NAME_MAX ? -ENAMETOOLONG : dirent_row_get(view, at, &prefix, ret);

	if (rc)
		*ret = (struct dirent_row){ .gone = true };
	return !rc && ret->gone ? -ENOENT : rc;
}

int dirent_cookie_del(struct trees *t, uint32_t tree, uint32_t dir, uint64_t cookie)
{
	struct tkey k = cookie_key(tree, dir, cookie);
	int rc = kv_del(t->kv, TABLE_DIRENT_COOKIE, tkey_slice(&k));

	return rc == -ENOENT ? 0 : rc;
}

/* Must the head's row OLD stay for a version when another one comes above it? */
static int dirent_row_stays(struct trees *t, const struct tree_row *row, const struct dirent_row *old, bool *ret)
{
	*ret = false;
	if (old->epoch == 0 || old->epoch >= row->epoch)
		return 0;
	return epoch_seen(kv_live(t->kv), row->tree, old->epoch, row->epoch - 1, ret);
}

int dirent_set(struct trees *t, const struct tree_row *row, struct inode *dir, struct slice name,
	       const struct dirent_row *old, uint32_t ino, uint32_t type)
{
	struct tkey prefix = name_prefix(row->tree, dir->ino, name), k = epoch_key(&prefix, row->epoch);
	SCOPED_BUF struct buf v = BUF_INIT;
	uint64_t cookie = old->gone ? dir->next_cookie++ : old->cookie;
	bool stays;
	int rc = dirent_row_stays(t, row, old, &stays);

	if (!rc && !stays && old->epoch && old->epoch < row->epoch) {
		struct tkey was = epoch_key(&prefix, old->epoch);

		rc = kv_del(t->kv, TABLE_DIRENT, tkey_slice(&was));
	}
	pack_u8(&v, 0);
	pack_u32(&v, ino);
	pack_u8(&v, (uint8_t)(type >> 12));
	pack_u64(&v, cookie);
	if (!rc)
		rc = buf_err(&v);
	if (!rc)
		rc = kv_put(t->kv, TABLE_DIRENT, tkey_slice(&k), buf_slice(&v));
	if (!rc && old->gone) {
		struct tkey ck = cookie_key(row->tree, dir->ino, cookie);

		rc = kv_put(t->kv, TABLE_DIRENT_COOKIE, tkey_slice(&ck), name);
	}
	return rc;
}

int dirent_clear(struct trees *t, const struct tree_row *row, uint32_t dir, struct slice name, const struct dirent_row *old)
{
	struct tkey prefix = name_prefix(row->tree, dir, name), k = epoch_key(&prefix, row->epoch);
	const uint8_t gone = DIRENT_GONE;
	struct dirent_row older = { .gone = true };
	bool stays, tomb;
	int rc = dirent_row_stays(t, row, old, &stays);

	tomb = stays;
	if (!rc && !stays) {
		struct tkey was = epoch_key(&prefix, old->epoch);

		rc = dirent_row_get(kv_live(t->kv), (struct tree_place){ row->tree, old->epoch - 1 }, &prefix, &older);
		tomb = !rc && !older.gone;
		if (!rc || rc == -ENOENT)
			rc = kv_del(t->kv, TABLE_DIRENT, tkey_slice(&was));
	}
	if (!rc && tomb)
		rc = kv_put(t->kv, TABLE_DIRENT, tkey_slice(&k), slice_of(&gone, 1));
	if (!rc && !stays && (older.gone || older.cookie != old->cookie))
		rc = dirent_cookie_del(t, row->tree, dir, old->cookie);
	return rc;
}

int tree_readdir(struct kv_view *view, struct tree_place at, uint32_t dir, uint64_t cookie,
		 int (*emit)(void *arg, const struct tree_entry *entry), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cookies = NULL, *names = NULL;
	struct inode n;
	struct tkey k;
	int rc = inode_get_dir(view, at, dir, &n);

	if (rc || cookie == UINT64_MAX)
		return rc;
	if (!rc)
		rc = kv_cursor_open(view, TABLE_DIRENT_COOKIE, &cookies);
	if (!rc)
		rc = kv_cursor_open(view, TABLE_DIRENT, &names);
	k = cookie_key(at.tree, dir, cookie + 1);
	if (!rc)
		rc = kv_cursor_seek(cookies, tkey_slice(&k));
	while (!rc) {
		struct slice key = kv_cursor_key(cookies), name = kv_cursor_value(cookies);
		struct tkey prefix;
		struct dirent_row d;
		uint32_t epoch;

		if (key.len != 16 || memcmp(key.data, k.bytes, 8) != 0)
			return 0;
		cookie = tkey_get_u64((const uint8_t *)key.data + 8);
		prefix = name_prefix(at.tree, dir, name);
		rc = epoch_seek(names, &prefix, at.epoch, &epoch);
		if (!rc)
			rc = dirent_parse(epoch, kv_cursor_value(names), &d);
		if (!rc && !d.gone && d.cookie == cookie)
			rc = emit(arg, &(struct tree_entry){ name, d.ino, d.type, cookie });
		if (rc && rc != -ENOENT)
			return rc < 0 ? rc : 0;
		rc = kv_cursor_next(cookies);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int stop_at_first(void *arg, const struct tree_entry *entry)
{
	(void)entry;
	*(bool *)arg = false;
	return 1;
}

int dirent_is_empty(struct kv_view *view, struct tree_place at, uint32_t dir, bool *ret)
{
	*ret = true;
	return tree_readdir(view, at, dir, 0, stop_at_first, ret);
}

int tree_lookup(struct kv_view *view, struct tree_place at, uint32_t dir, struct slice name, uint32_t *ret_ino)
{
	struct dirent_row d;
	int rc = dirent_get(view, at, dir, name, &d);

	if (rc == -ENOENT) {		/* a file is no directory: the everyday answer stays cheap */
		struct inode n;
		int dir_rc = inode_get_dir(view, at, dir, &n);

		return dir_rc ? dir_rc : -ENOENT;
	}
	*ret_ino = rc ? 0 : d.ino;
	return rc;
}
