/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content - see content.h.  Key: content; value: state, flags, depth, references, size, data, stamp, then by state and flags
 * the bytes, or base, base length and layer, or the blob and its sums.
 */
#include "store/base/io.h"
#include "store/tree/content.h"
#include "store/tree/extent.h"
#include "store/tree/layer.h"
#include "store/tree/seal.h"

#define BLOB_HEIGHT_MAX 32u

static struct tkey content_key(uint64_t id)
{
	struct tkey k;

	k.len = 0;
	tkey_u64(&k, id);
	return k;
}

static void unpack_digest(struct unpack *u, uint8_t out[16])
{
	struct slice s = unpack_bytes(u, 16);

	if (s.len == 16)
		memcpy(out, s.data, 16);
	else
		memset(out, 0, 16);
}

int content_parse(uint64_t id, struct slice value, struct content *ret)
{
	struct unpack u = unpack_init(value);
	int rc;

	*ret = (struct content){ .id = id };
	ret->state = (enum content_state)unpack_u8(&u);
	ret->flags = unpack_u8(&u);
	ret->depth = unpack_u8(&u);
	ret->refs = unpack_u32(&u);
	ret->size = unpack_u64(&u);
	ret->data = unpack_u64(&u);
	ret->stamp_ms = unpack_i64(&u);
	if (ret->state == CONTENT_SEALED) {
		unpack_digest(&u, ret->blob.root.bytes);
		ret->blob.height = unpack_u8(&u);
		ret->blob.size = ret->size;
		unpack_digest(&u, ret->sums.xxh3.bytes);
		unpack_digest(&u, ret->sums.md5);
	} else if (ret->flags & CONTENT_INLINE) {
		ret->bytes = unpack_str(&u);
		u.bad |= ret->bytes.len != ret->size || ret->size > TREE_INLINE_MAX;
	} else {
		ret->base = unpack_u64(&u);
		ret->base_len = unpack_u64(&u);
		ret->layer = unpack_u32(&u);
		u.bad |= ret->base_len > ret->size || (!ret->base && ret->base_len);
	}
	rc = unpack_done(&u);
	if (ret->state < CONTENT_OPEN || ret->state > CONTENT_SEALED || ret->size > TREE_SIZE_MAX || ret->data > ret->size ||
	    ret->blob.height > BLOB_HEIGHT_MAX || (ret->flags & ~(CONTENT_INLINE | CONTENT_MIXED)))
		rc = -EBADMSG;
	return rc ? err_set(rc, "content %llu: damaged row", (unsigned long long)id) : 0;
}

int content_get(struct kv_view *view, uint64_t id, struct content *ret)
{
	struct tkey k = content_key(id);
	struct slice v;
	int rc = kv_get(view, TABLE_CONTENT, tkey_slice(&k), &v);

	if (rc == -ENOENT)
		return err_set(-EBADMSG, "content %llu is missing", (unsigned long long)id);
	return rc ? rc : content_parse(id, v, ret);
}

int content_put(struct trees *t, const struct content *c)
{
	struct tkey k = content_key(c->id);
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc;

	pack_u8(&v, (uint8_t)c->state);
	pack_u8(&v, c->flags);
	pack_u8(&v, c->depth);
	pack_u32(&v, c->refs);
	pack_u64(&v, c->size);
	pack_u64(&v, c->data < c->size ? c->data : c->size);
	pack_i64(&v, c->stamp_ms);
	if (c->state == CONTENT_SEALED) {
		buf_add(&v, c->blob.root.bytes, 16);
		pack_u8(&v, c->blob.height);
		buf_add(&v, c->sums.xxh3.bytes, 16);
		buf_add(&v, c->sums.md5, 16);
	} else if (c->flags & CONTENT_INLINE) {
		pack_str(&v, c->bytes);
	} else {
		pack_u64(&v, c->base);
		pack_u64(&v, c->base_len);
		pack_u32(&v, c->layer);
	}
	rc = buf_err(&v);
	return rc ? rc : kv_put(t->kv, TABLE_CONTENT, tkey_slice(&k), buf_slice(&v));
}

int content_new(struct trees *t, struct content *c)
{
	struct tree_totals totals;
	int rc = tree_totals_get(kv_live(t->kv), &totals);

	if (rc)
		return rc;
	c->id = totals.next_content++;
	totals.contents++;
	totals.unsealed++;
	rc = content_put(t, c);
	if (!rc)
		rc = tree_work_put(t, TREE_WORK_SEAL, c->id, slice_of(NULL, 0));
	return rc ? rc : tree_totals_put(t, &totals);
}

/* Load for a change of the row: the inline bytes are copied to MEM, so that a put may follow. */
static int content_load(struct trees *t, uint64_t id, struct content *c, uint8_t mem[TREE_INLINE_MAX])
{
	int rc = content_get(kv_live(t->kv), id, c);

	if (!rc && c->bytes.len) {
		memcpy(mem, c->bytes.data, c->bytes.len);
		c->bytes.data = mem;
	}
	return rc;
}

int content_ref(struct trees *t, uint64_t id)
{
	uint8_t mem[TREE_INLINE_MAX];
	struct content c;
	int rc = content_load(t, id, &c, mem);

	if (rc)
		return rc;
	if (c.refs == UINT32_MAX)
		return err_set(-EMLINK, "content %llu has too many references", (unsigned long long)id);
	c.refs++;
	return content_put(t, &c);
}

/* The row of *C, which nothing refers to and which has no extents, and what it held but its base. */
static int content_free(struct trees *t, const struct content *c)
{
	struct tkey k = content_key(c->id);
	struct tree_totals totals;
	int rc = kv_del(t->kv, TABLE_CONTENT, tkey_slice(&k));

	if (!rc && c->state == CONTENT_SEALED && blob_has_root(&c->blob))
		rc = cas_unref(t->cas, &c->blob.root);
	else if (!rc && c->state != CONTENT_SEALED)
		rc = tree_work_del(t, TREE_WORK_SEAL, c->id);
	if (!rc && c->state == CONTENT_SEALED)
		rc = tree_work_del(t, TREE_WORK_EXTENTS, c->id);
	if (!rc && c->layer)
		rc = layer_drop(t, c->layer);
	if (!rc)
		rc = tree_totals_get(kv_live(t->kv), &totals);
	if (rc)
		return rc;
	seal_forget(t, c->id);
	totals.contents--;
	totals.unsealed -= c->state != CONTENT_SEALED;
	return tree_totals_put(t, &totals);
}

int content_unref(struct trees *t, uint64_t id)
{
	unsigned steps = 0;
	int rc = 0;

	while (!rc && id) {
		uint8_t mem[TREE_INLINE_MAX];
		struct content c;
		struct extent e;

		rc = content_load(t, id, &c, mem);
		if (!rc && c.refs == 0)
			rc = err_set(-EBADMSG, "content %llu has fewer references than it should", (unsigned long long)id);
		if (rc)
			break;
		if (--c.refs > 0)
			return content_put(t, &c);
		rc = extent_find(kv_live(t->kv), id, 0, &e);
		if (!rc || steps++ > CONTENT_DEPTH_SOFT) {
			rc = content_put(t, &c);
			seal_forget(t, id);
			return rc ? rc : tree_work_put(t, TREE_WORK_DROP, id, slice_of(NULL, 0));
		}
		rc = rc == -ENOENT ? content_free(t, &c) : rc;
		id = c.base;
	}
	return rc;
}

int content_drop_step(struct trees *t, uint64_t id, unsigned budget, bool *ret_done)
{
	uint8_t mem[TREE_INLINE_MAX];
	struct content c;
	int rc = content_load(t, id, &c, mem);

	if (!rc)
		rc = extent_drop_some(t, id, budget, ret_done);
	if (rc || !*ret_done)
		return rc;
	rc = content_free(t, &c);
	return rc || !c.base ? rc : content_unref(t, c.base);
}

/* --- what lies where ------------------------------------------------------------------------------- */

static void clip(uint64_t *len, uint64_t to)
{
	if (*len > to)
		*len = to;
}

/* Fill *RET when the bytes at OFF of *C are in it or are zeros; else *ID and *OFF become where to look next. */
static int map_step(struct kv_view *view, const struct content *c, uint64_t *id, uint64_t *off, struct piece *ret, bool *ret_found)
{
	struct extent e;
	int rc;

	*ret_found = true;
	if (*off >= c->size) {
		ret->kind = PIECE_ZERO;
		return 0;
	}
	clip(&ret->len, c->size - *off);
	ret->leaf = c->id;
	ret->off = *off;
	if (c->state == CONTENT_SEALED) {
		ret->kind = PIECE_BLOB;
		ret->blob = c->blob;
		ret->dense = c->data == c->size;
		return 0;
	}
	if (c->flags & CONTENT_INLINE) {
		ret->kind = PIECE_INLINE;
		ret->bytes = slice_of((const char *)c->bytes.data + *off, (size_t)ret->len);
		return 0;
	}
	rc = extent_find(view, c->id, *off, &e);
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc && e.off <= *off) {
		clip(&ret->len, e.off + e.len - *off);
		ret->kind = e.kind == EXTENT_LAYER ? PIECE_LAYER : PIECE_ZERO;
		ret->layer = c->layer;
		*ret_found = e.kind != EXTENT_COPY;
		*id = e.src;
		*off = e.src_off + (*off - e.off);
		return 0;
	}
	if (!rc)
		clip(&ret->len, e.off - *off);
	if (*off < c->base_len) {
		clip(&ret->len, c->base_len - *off);
		*ret_found = false;
		*id = c->base;
		return 0;
	}
	ret->kind = PIECE_ZERO;
	return 0;
}

int content_map(struct kv_view *view, uint64_t id, uint64_t off, uint64_t len, struct piece *ret)
{
	*ret = (struct piece){ .kind = PIECE_ZERO, .len = len };
	if (id == 0)
		return 0;
	for (unsigned depth = 0; depth < CONTENT_DEPTH_MAX; depth++) {
		struct content c;
		bool found;
		int rc = content_get(view, id, &c);

		if (!rc)
			rc = map_step(view, &c, &id, &off, ret, &found);
		if (!rc && found && ret->kind == PIECE_ZERO)
			ret->leaf = ret->off = 0;
		if (!rc && found && ret->kind == PIECE_LAYER && !ret->layer)
			rc = err_set(-EBADMSG, "content %llu has extents but no layer", (unsigned long long)c.id);
		if (rc || found)
			return rc;
	}
	return err_set(-EBADMSG, "content %llu: a chain that does not end", (unsigned long long)id);
}

static int piece_read(struct trees *t, struct kv_view *view, const struct piece *p, void *out)
{
	ssize_t got;

	switch (p->kind) {
	case PIECE_ZERO:
		memset(out, 0, (size_t)p->len);
		return 0;
	case PIECE_INLINE:
		memcpy(out, p->bytes.data, (size_t)p->len);
		return 0;
	case PIECE_LAYER:
		return layer_pread(t->layers, p->layer, p->off, out, (size_t)p->len);
	case PIECE_BLOB:
		for (size_t done = 0; done < p->len; done += (size_t)got) {
			got = blob_read(t->cas, view, &p->blob, p->off + done, (char *)out + done, (size_t)p->len - done);
			if (got <= 0)
				return got ? (int)got : err_set(-EBADMSG, "content %llu: its blob is too short",
								(unsigned long long)p->leaf);
		}
		return 0;
	}
	return -EBADMSG;
}

int content_read(struct trees *t, struct kv_view *view, uint64_t id, uint64_t off, void *out, size_t len)
{
	for (size_t done = 0; done < len;) {
		struct piece p;
		int rc = content_map(view, id, off + done, len - done, &p);

		if (!rc)
			rc = piece_read(t, view, &p, (char *)out + done);
		if (rc)
			return rc;
		done += (size_t)p.len;
	}
	return 0;
}

int content_data(struct kv_view *view, uint64_t id, uint64_t off, uint64_t len, uint64_t *ret)
{
	struct content c;
	uint64_t end;
	int rc;

	*ret = 0;
	if (id == 0)
		return 0;
	rc = content_get(view, id, &c);
	if (rc || off >= c.size)
		return rc;
	clip(&len, c.size - off);
	if (c.data == c.size || len == c.size || c.state == CONTENT_SEALED) {
		*ret = c.data < len ? c.data : len;
		return 0;
	}
	end = off + len;
	for (unsigned n = 0; !rc && off < end; n++) {
		struct piece p;

		if (n == 256) {		/* very fragmented: an estimate will do */
			*ret += (uint64_t)((double)(end - off) * (double)c.data / (double)c.size);
			break;
		}
		rc = content_map(view, id, off, end - off, &p);
		if (!rc && p.kind == PIECE_BLOB && !p.dense) {
			struct content leaf;

			rc = content_get(view, p.leaf, &leaf);
			*ret += rc ? 0 : leaf.data < p.len ? leaf.data : p.len;
		} else if (!rc && p.kind != PIECE_ZERO) {
			*ret += p.len;
		}
		off += p.len;
	}
	return rc;
}

int64_t content_seek(struct trees *t, struct kv_view *view, const struct content *c, uint64_t off, bool hole)
{
	while (off < c->size) {
		struct piece p;
		int64_t at;
		int rc = content_map(view, c->id, off, c->size - off, &p);

		if (rc)
			return rc;
		if (p.kind != PIECE_BLOB && hole == (p.kind == PIECE_ZERO))
			return (int64_t)off;
		if (p.kind == PIECE_BLOB && !p.dense) {
			at = blob_seek(t->cas, view, &p.blob, p.off, hole);
			if (at < 0 && at != -ENXIO)
				return at;
			if (at >= 0 && (uint64_t)at < p.off + p.len)
				return (int64_t)(off + ((uint64_t)at - p.off));
		} else if (p.kind == PIECE_BLOB && !hole) {
			return (int64_t)off;
		}
		off += p.len;
	}
	return hole ? (int64_t)c->size : -ENXIO;
}
