/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extent - see extent.h.  Key (content, offset); value: kind, length, and for a COPY content and offset in it.
 */
#include "store/tree/content.h"
#include "store/tree/extent.h"

static struct tkey extent_key(uint64_t content, uint64_t off)
{
	struct tkey k;

	k.len = 0;
	tkey_u64(&k, content);
	tkey_u64(&k, off);
	return k;
}

int extent_parse(struct slice key, struct slice value, uint64_t *ret_content, struct extent *ret)
{
	struct unpack u = unpack_init(value);
	int rc;

	*ret_content = key.len == 16 ? tkey_get_u64(key.data) : 0;
	*ret = (struct extent){ .off = key.len == 16 ? tkey_get_u64((const uint8_t *)key.data + 8) : 0 };
	ret->kind = (enum extent_kind)unpack_u8(&u);
	ret->len = unpack_u64(&u);
	if (ret->kind == EXTENT_COPY) {
		ret->src = unpack_u64(&u);
		ret->src_off = unpack_u64(&u);
	}
	rc = unpack_done(&u);
	if (key.len != 16 || ret->kind < EXTENT_LAYER || ret->kind > EXTENT_COPY || ret->len == 0 ||
	    ret->len > TREE_SIZE_MAX || ret->off > TREE_SIZE_MAX || ret->off + ret->len > TREE_SIZE_MAX ||
	    ret->src_off > TREE_SIZE_MAX)
		rc = -EBADMSG;
	return rc ? err_set(rc, "extent of content %llu: damaged row", (unsigned long long)*ret_content) : 0;
}

/* The row at the cursor, if it is CONTENT's. */
static int extent_here(struct kv_cursor *cur, uint64_t content, struct extent *ret)
{
	struct slice key = kv_cursor_key(cur);
	uint64_t of;

	if (key.len != 16 || tkey_get_u64(key.data) != content)
		return -ENOENT;
	return extent_parse(key, kv_cursor_value(cur), &of, ret);
}

int extent_find(struct kv_view *view, uint64_t content, uint64_t off, struct extent *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey k = extent_key(content, off + 1);
	int rc = kv_cursor_open(view, TABLE_EXTENT, &cur);

	if (!rc)
		rc = kv_cursor_seek_before(cur, tkey_slice(&k));
	if (!rc)
		rc = extent_here(cur, content, ret);
	if (!rc && ret->off + ret->len > off)
		return 0;
	if (rc && rc != -ENOENT)
		return rc;
	rc = kv_cursor_seek(cur, tkey_slice(&k));
	return rc ? rc : extent_here(cur, content, ret);
}

int extent_touches(struct kv_view *view, uint64_t content, uint64_t off, uint64_t end, bool all, bool *ret)
{
	int rc = 0;

	*ret = false;
	while (off < end && !*ret) {
		struct extent e;

		rc = extent_find(view, content, off, &e);
		if (rc || e.off >= end)
			break;
		*ret = all || e.kind != EXTENT_LAYER;
		off = e.off + e.len;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int row_put(struct trees *t, uint64_t content, const struct extent *e)
{
	struct tkey k = extent_key(content, e->off);
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc;

	pack_u8(&v, (uint8_t)e->kind);
	pack_u64(&v, e->len);
	if (e->kind == EXTENT_COPY) {
		pack_u64(&v, e->src);
		pack_u64(&v, e->src_off);
	}
	rc = buf_err(&v);
	return rc ? rc : kv_put(t->kv, TABLE_EXTENT, tkey_slice(&k), buf_slice(&v));
}

static int row_del(struct trees *t, uint64_t content, uint64_t off)
{
	struct tkey k = extent_key(content, off);

	return kv_del(t->kv, TABLE_EXTENT, tkey_slice(&k));
}

/* The part of *E from FROM on. */
static struct extent tail_of(const struct extent *e, uint64_t from)
{
	struct extent tail = *e;

	tail.off = from;
	tail.len = e->off + e->len - from;
	if (e->kind == EXTENT_COPY)
		tail.src_off += from - e->off;
	return tail;
}

int extent_cut(struct trees *t, uint64_t content, uint64_t off, uint64_t end)
{
	int rc = 0;

	while (!rc && off < end) {
		struct extent e, head, tail;
		unsigned rows = 0;

		rc = extent_find(kv_live(t->kv), content, off, &e);
		if (rc || e.off >= end)
			break;
		if (e.off < off) {
			head = e;
			head.len = off - e.off;
			rc = row_put(t, content, &head);
			rows++;
		} else {
			rc = row_del(t, content, e.off);
		}
		if (!rc && e.off + e.len > end) {
			tail = tail_of(&e, end);
			rc = row_put(t, content, &tail);
			rows++;
		}
		if (!rc && e.kind == EXTENT_COPY && rows == 2)
			rc = content_ref(t, e.src);
		else if (!rc && e.kind == EXTENT_COPY && rows == 0)
			rc = content_unref(t, e.src);
		off = e.off + e.len;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Does B go on where A ends, in such a way that they are one extent? */
static bool joins(const struct extent *a, const struct extent *b)
{
	return a->kind == b->kind && a->off + a->len == b->off &&
	       (a->kind != EXTENT_COPY || (a->src == b->src && a->src_off + a->len == b->src_off));
}

int extent_put(struct trees *t, uint64_t content, const struct extent *e)
{
	struct extent all = *e, near;
	struct kv_view *view = kv_live(t->kv);
	unsigned joined = 0;
	int rc = extent_find(view, content, e->off, &near);

	if (!rc && near.kind == EXTENT_LAYER && e->kind == EXTENT_LAYER && near.off <= e->off &&
	    near.off + near.len >= e->off + e->len)
		return 0;		/* rewritten in place: the everyday case */
	if (e->kind == EXTENT_COPY) {	/* first, so that cutting cannot let the source go */
		rc = content_ref(t, e->src);
		if (rc)
			return rc;
	}
	rc = extent_cut(t, content, e->off, e->off + e->len);
	if (!rc && e->off > 0) {
		rc = extent_find(view, content, e->off - 1, &near);
		if (!rc && joins(&near, &all)) {
			near.len += all.len;
			all = near;
			joined++;
		}
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (!rc) {
		rc = extent_find(view, content, e->off + e->len, &near);
		if (!rc && joins(&all, &near)) {
			all.len += near.len;
			joined++;
			rc = row_del(t, content, near.off);
		}
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (!rc)
		rc = row_put(t, content, &all);
	while (!rc && e->kind == EXTENT_COPY && joined-- > 0)
		rc = content_unref(t, e->src);
	return rc;
}

int extent_drop_some(struct trees *t, uint64_t content, unsigned budget, bool *ret_done)
{
	int rc = 0;

	*ret_done = false;
	while (!rc && budget-- > 0) {
		struct extent e;

		rc = extent_find(kv_live(t->kv), content, 0, &e);
		if (rc == -ENOENT) {
			*ret_done = true;
			return 0;
		}
		if (!rc)
			rc = row_del(t, content, e.off);
		if (!rc && e.kind == EXTENT_COPY)
			rc = content_unref(t, e.src);
	}
	return rc;
}
