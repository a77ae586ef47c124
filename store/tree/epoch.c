/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoch - see epoch.h.
 *
 * Trimming walks the rows of a tree table by table, group by group (a group: the rows of one inode, name or xattr set,
 * newest first), and deletes what neither the head nor a version sees.  Where it stands is kept in the work row: the table
 * and the prefix of the next group; a version dropped meanwhile starts it over.
 */
#include "store/tree/content.h"
#include "store/tree/dirent.h"
#include "store/tree/write.h"

static struct tkey version_key(uint32_t tree, uint32_t epoch)
{
	return tkey_pair(tree, epoch);
}

int epoch_seen(struct kv_view *view, uint32_t tree, uint32_t from, uint32_t to, bool *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey k = version_key(tree, from);
	struct slice key;
	int rc = kv_cursor_open(view, TABLE_TREE_EPOCH, &cur);

	*ret = false;
	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&k));
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	key = kv_cursor_key(cur);
	if (key.len != 8)
		return err_set(-EBADMSG, "versions of tree %u: damaged key", tree);
	*ret = tkey_get_u32(key.data) == tree && tkey_get_u32((const uint8_t *)key.data + 4) <= to;
	return 0;
}

int epoch_check(struct kv_view *view, uint32_t tree, uint32_t epoch)
{
	struct tkey k = version_key(tree, epoch);
	struct slice v;

	return kv_get(view, TABLE_TREE_EPOCH, tkey_slice(&k), &v);
}

int epoch_seek(struct kv_cursor *cur, const struct tkey *prefix, uint32_t epoch, uint32_t *ret_epoch)
{
	struct tkey k = epoch_key(prefix, epoch);
	struct slice key;
	int rc = kv_cursor_seek(cur, tkey_slice(&k));

	if (rc)
		return rc;
	key = kv_cursor_key(cur);
	if (key.len != k.len || memcmp(key.data, prefix->bytes, prefix->len) != 0)
		return -ENOENT;
	*ret_epoch = ~tkey_get_u32((const uint8_t *)key.data + prefix->len);
	return 0;
}

int epoch_get(struct kv_view *view, uint8_t table, const struct tkey *prefix, uint32_t epoch,
	      uint32_t *ret_epoch, struct slice *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(view, table, &cur);

	if (!rc)
		rc = epoch_seek(cur, prefix, epoch, ret_epoch);
	if (!rc)
		*ret = kv_cursor_value(cur);
	return rc;
}

int tree_cut(struct trees *t, uint32_t tree, uint32_t *ret_epoch)
{
	struct tree_row row;
	struct tkey k;
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	if (!rc && row.epoch >= TREE_HEAD - 1)
		rc = err_set(-EOVERFLOW, "tree %u has had all its versions", tree);
	if (!rc)
		rc = write_settle(t, &row, 0);
	if (rc)
		return rc;
	k = version_key(tree, row.epoch);
	pack_i64(&v, clock_now_ns());
	rc = buf_err(&v);
	if (!rc)
		rc = kv_put(t->kv, TABLE_TREE_EPOCH, tkey_slice(&k), buf_slice(&v));
	*ret_epoch = row.epoch++;
	return rc ? rc : tree_row_put(t, &row);
}

int tree_drop_version(struct trees *t, uint32_t tree, uint32_t epoch)
{
	struct tree_row row;
	struct tkey k = version_key(tree, epoch);
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	if (!rc)
		rc = kv_del(t->kv, TABLE_TREE_EPOCH, tkey_slice(&k));
	if (!rc)
		rc = tree_work_put(t, TREE_WORK_TRIM, tree, slice_of(NULL, 0));
	return rc;
}

/* --- trimming ---------------------------------------------------------------------------------------- */

static const uint8_t trim_tables[] = { TABLE_INODE, TABLE_DIRENT, TABLE_XATTR };
#define TRIM_TABLES (sizeof trim_tables / sizeof *trim_tables)

struct trim_row {
	uint32_t epoch;
	bool gone, keep;
	uint64_t ref;			/* inode: content; dirent: cookie */
};

static int trim_parse(uint8_t table, uint32_t tree, uint32_t epoch, struct slice value, struct trim_row *ret)
{
	struct dirent_row d;
	struct inode n;
	int rc = 0;

	*ret = (struct trim_row){ .epoch = epoch };
	if (table == TABLE_INODE) {
		rc = inode_parse(tree, 0, epoch, value, &n, &ret->gone);
		ret->ref = rc || ret->gone ? 0 : n.content;
	} else if (table == TABLE_DIRENT) {
		rc = dirent_parse(epoch, value, &d);
		ret->gone = !rc && d.gone;
		ret->ref = rc || d.gone ? 0 : d.cookie;
	} else {
		ret->gone = value.len == 0;
	}
	return rc;
}

/* Read the group at CUR into ROWS (struct trim_row each); PREFIX becomes its prefix; CUR stands behind it.  *RET_END: at the end. */
static int trim_group(struct kv_cursor *cur, uint8_t table, uint32_t tree, struct tkey *prefix, struct buf *rows, bool *ret_end)
{
	struct slice key = kv_cursor_key(cur);
	int rc = 0;

	buf_reset(rows);
	prefix->len = 0;
	if (key.len < 12 || key.len - 4 > sizeof prefix->bytes)
		return err_set(-EBADMSG, "tree %u: damaged key in table %u", tree, table);
	tkey_bytes(prefix, slice_of(key.data, key.len - 4));
	while (!rc && key.len == prefix->len + 4 && memcmp(key.data, prefix->bytes, prefix->len) == 0) {
		struct trim_row r;

		rc = trim_parse(table, tree, ~tkey_get_u32((const uint8_t *)key.data + prefix->len), kv_cursor_value(cur), &r);
		if (rc)
			return rc;
		buf_add(rows, &r, sizeof r);
		rc = kv_cursor_next(cur);
		if (!rc)
			key = kv_cursor_key(cur);
	}
	*ret_end = rc == -ENOENT;
	return rc && rc != -ENOENT ? rc : buf_err(rows);
}

/* Decide which rows stay: those a version or the head sees, but no tombstones with nothing below them. */
static int trim_decide(struct kv_view *view, uint32_t tree, struct trim_row *rows, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		if (i == 0)
			rows[i].keep = true;
		else
			rc = epoch_seen(view, tree, rows[i].epoch, rows[i - 1].epoch - 1, &rows[i].keep);
	}
	while (n > 0 && (!rows[n - 1].keep || rows[n - 1].gone))
		rows[--n].keep = false;
	return rc;
}

static int trim_apply(struct trees *t, uint8_t table, const struct tkey *prefix, const struct trim_row *rows, size_t n)
{
	const uint8_t *p = prefix->bytes;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		struct tkey k = epoch_key(prefix, rows[i].epoch);
		bool used = false;

		if (rows[i].keep)
			continue;
		rc = kv_del(t->kv, table, tkey_slice(&k));
		if (rc || rows[i].ref == 0)
			continue;
		for (size_t j = 0; j < n && table == TABLE_DIRENT; j++)
			used |= rows[j].ref == rows[i].ref && (rows[j].keep || j < i);
		if (table == TABLE_INODE)
			rc = content_unref(t, rows[i].ref);
		else if (!used)
			rc = dirent_cookie_del(t, tkey_get_u32(p), tkey_get_u32(p + 4), rows[i].ref);
	}
	return rc;
}

int epoch_trim_step(struct trees *t, uint32_t tree, struct buf *at, unsigned budget, bool *ret_done)
{
	SCOPED_BUF struct buf rows = BUF_INIT;
	struct kv_view *view = kv_live(t->kv);
	uint8_t phase = at->len ? (uint8_t)at->data[0] : 0;
	struct tkey pos = { .len = 0 };
	int rc = 0;

	if (at->len > 1)
		tkey_bytes(&pos, slice_of(at->data + 1, at->len - 1));
	else
		tkey_u32(&pos, tree);
	while (!rc && budget > 0 && phase < TRIM_TABLES) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		struct tkey prefix = { .len = 0 };
		bool end = false, dirty = false;
		size_t n = 0;

		rc = kv_cursor_open(view, trim_tables[phase], &cur);
		if (!rc)
			rc = kv_cursor_seek(cur, tkey_slice(&pos));
		while (!rc && !dirty && !end && budget > 0) {
			struct slice key = kv_cursor_key(cur);
			struct trim_row *r;

			if (key.len < 4 || tkey_get_u32(key.data) != tree) {
				end = true;
				break;
			}
			rc = trim_group(cur, trim_tables[phase], tree, &prefix, &rows, &end);
			n = rows.len / sizeof *r;
			r = (struct trim_row *)(void *)rows.data;
			budget -= n < budget ? (unsigned)n : budget;
			if (!rc && (n > 1 || r->gone))
				rc = trim_decide(view, tree, r, n);
			for (size_t i = 0; !rc && i < n && (n > 1 || r->gone); i++)
				dirty |= !r[i].keep;
		}
		kv_cursor_close(cur);
		cur = NULL;
		if (rc == -ENOENT) {
			rc = 0;
			end = true;
		}
		if (!rc && dirty)
			rc = trim_apply(t, trim_tables[phase], &prefix, (struct trim_row *)(void *)rows.data, n);
		if (end) {
			phase++;
			pos.len = 0;
			tkey_u32(&pos, tree);
		} else if (prefix.len) {	/* the next group is the first one behind this prefix */
			pos = epoch_key(&prefix, 0);
			tkey_u8(&pos, 0);
		}
	}
	*ret_done = phase >= TRIM_TABLES;
	buf_reset(at);
	buf_add(at, &phase, 1);
	buf_add_slice(at, tkey_slice(&pos));
	return rc ? rc : buf_err(at);
}

int epoch_garbage(struct kv_view *view, uint32_t tree, uint64_t *ret)
{
	SCOPED_BUF struct buf rows = BUF_INIT;
	int rc = 0;

	*ret = 0;
	for (size_t i = 0; i < TRIM_TABLES && !rc; i++) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		struct tkey first = { .len = 0 }, prefix;
		bool end = false;

		tkey_u32(&first, tree);
		rc = kv_cursor_open(view, trim_tables[i], &cur);
		if (!rc)
			rc = kv_cursor_seek(cur, tkey_slice(&first));
		while (!rc && !end && kv_cursor_key(cur).len >= 4 && tkey_get_u32(kv_cursor_key(cur).data) == tree) {
			struct trim_row *r;
			size_t n;

			rc = trim_group(cur, trim_tables[i], tree, &prefix, &rows, &end);
			r = (struct trim_row *)(void *)rows.data;
			n = rows.len / sizeof *r;
			if (!rc)
				rc = trim_decide(view, tree, r, n);
			for (size_t j = 0; j < n && !rc; j++)
				*ret += !r[j].keep;
		}
		rc = rc == -ENOENT ? 0 : rc;
	}
	return rc;
}
