/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write - see write.h.
 *
 * What keeps a power cut harmless (store/DESIGN.md "tree"):
 * 1. Bytes in a layer count from the batch that puts their extent on, after they were written.
 * 2. A LAYER extent only ever covers: nothing, older bytes of the same layer, or bytes of the base, which stay where they
 *    are.  Where it would cover a COPY or ZERO extent, the content becomes the base of a new one first.
 * 3. Over a base, extents are of whole blocks: the rest of a block is copied up when a part of it is written.  So a block that
 *    the layer lost shows the base's bytes, one that it kept shows the layer's, and there is no third case.
 */
#include "store/tree/extent.h"
#include "store/tree/layer.h"
#include "store/tree/seal.h"
#include "store/tree/write.h"

#define COPY_BYTES_MAX 4096u		/* copies up to here are done by bytes */
#define FLATTEN_PIECES 4096u

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool write_is_own(const struct trees *t, const struct inode *n, uint32_t epoch, const struct content *c)
{
	bool row_is_ours = n->content != n->stored || n->epoch == epoch;

	return row_is_ours && c->state == CONTENT_OPEN && c->refs == 1 && !seal_has(t, c->id);
}

static bool flight_touches(const struct trees *t, uint64_t content, uint64_t off, uint64_t end)
{
	for (const struct tree_flight *f = t->flights; f; f = f->next)
		if (f->content == content && f->off < end && f->off + f->len > off)
			return true;
	return false;
}

bool write_in_flight(const struct trees *t, uint64_t content)
{
	return flight_touches(t, content, 0, UINT64_MAX);
}

/* N's content becomes ID, whose reference is N's; one that was never stored is let go. */
static int swap(struct trees *t, struct inode *n, uint64_t id)
{
	uint64_t old = n->content;

	n->content = id;
	return old && old != n->stored ? content_unref(t, old) : 0;
}

static struct content fresh(uint64_t size)
{
	return (struct content){ .state = CONTENT_OPEN, .refs = 1, .size = size, .stamp_ms = clock_now_ms() };
}

static int new_empty(struct trees *t, struct inode *n, uint64_t size, struct content *ret)
{
	int rc;

	*ret = fresh(size);
	rc = content_new(t, ret);
	return rc ? rc : swap(t, n, ret->id);
}

/* Put on *C, from OFF on, copies of the pieces that SRC is made of: each is found there in one step.  At most LIMIT pieces. */
static int copy_pieces(struct trees *t, struct content *c, uint64_t src, uint64_t src_off, uint64_t off, uint64_t len,
		       unsigned limit, uint64_t *ret)
{
	uint64_t done = 0;
	int rc = 0;

	while (!rc && done < len && limit-- > 0) {
		struct piece p;
		struct extent e = { .off = off + done };

		rc = content_map(kv_live(t->kv), src, src_off + done, len - done, &p);
		if (rc)
			break;
		e.len = p.len;
		e.kind = p.kind == PIECE_ZERO ? EXTENT_ZERO : EXTENT_COPY;
		e.src = p.leaf;
		e.src_off = p.off;
		rc = extent_put(t, c->id, &e);
		done += p.len;
	}
	c->flags |= CONTENT_MIXED;
	c->depth = (uint8_t)max_u64(c->depth, 1);
	*ret = done;
	return rc;
}

static int pieces_of(struct trees *t, const struct content *c, unsigned limit, unsigned *ret)
{
	uint64_t off = 0;

	for (*ret = 0; off < c->size && *ret < limit; (*ret)++) {
		struct piece p;
		int rc = content_map(kv_live(t->kv), c->id, off, c->size - off, &p);

		if (rc)
			return rc;
		off += p.len;
	}
	return 0;
}

/* *C, the content of N that may not be written, is replaced by a new one that falls back on it. O(1) but for flattening. */
static int copy_on_write(struct trees *t, struct inode *n, struct content *c)
{
	struct content old = *c;
	unsigned depth = content_depth(&old) + 1, pieces = FLATTEN_PIECES;
	uint64_t done;
	int rc = 0;

	*c = fresh(old.size);
	c->data = old.data;
	if (depth > CONTENT_DEPTH_SOFT)
		rc = pieces_of(t, &old, FLATTEN_PIECES, &pieces);
	if (!rc && depth > CONTENT_DEPTH_SOFT && (pieces < FLATTEN_PIECES || depth > 2 * CONTENT_DEPTH_SOFT)) {
		rc = content_new(t, c);
		if (!rc)
			rc = copy_pieces(t, c, old.id, 0, 0, old.size, UINT32_MAX, &done);
		if (!rc)
			rc = content_put(t, c);
		return rc ? rc : swap(t, n, c->id);
	}
	c->base = old.id;
	c->base_len = old.size;
	c->depth = (uint8_t)depth;
	if (!rc)
		rc = content_ref(t, old.id);
	if (!rc)
		rc = content_new(t, c);
	return rc ? rc : swap(t, n, c->id);
}

/* --- small files -------------------------------------------------------------------------------------- */

/* The whole content of N becomes BYTES, in the row; *C is what it has now (not used when n->content is 0). */
static int inline_set(struct trees *t, struct inode *n, uint32_t epoch, struct content *c, struct slice bytes)
{
	int rc;

	n->size = bytes.len;
	if (n->content && write_is_own(t, n, epoch, c) && (c->flags & CONTENT_INLINE)) {
		c->bytes = bytes;
		c->size = c->data = bytes.len;
		c->stamp_ms = clock_now_ms();
		return content_put(t, c);
	}
	*c = fresh(bytes.len);
	c->flags = CONTENT_INLINE;
	c->data = bytes.len;
	c->bytes = bytes;
	rc = content_new(t, c);
	return rc ? rc : swap(t, n, c->id);
}

/* Is the file one whose bytes, SIZE of them, go into the row? */
static bool fits_inline(const struct inode *n, const struct content *c, uint64_t size)
{
	return size <= TREE_INLINE_MAX &&
	       (n->content == 0 || c->state == CONTENT_SEALED || (c->flags & CONTENT_INLINE));
}

static int inline_change(struct trees *t, struct inode *n, uint32_t epoch, struct content *c, uint64_t off,
			 struct slice bytes, uint64_t size)
{
	uint8_t mem[TREE_INLINE_MAX] = { 0 };
	int rc = 0;

	if (n->content)
		rc = content_read(t, kv_live(t->kv), n->content, 0, mem, (size_t)min_u64(n->size, size));
	if (rc)
		return rc;
	if (bytes.data && bytes.len)
		memcpy(mem + off, bytes.data, bytes.len);
	return inline_set(t, n, epoch, c, slice_of(mem, (size_t)size));
}

/* --- layers -------------------------------------------------------------------------------------------- */

static int layer_bytes(struct trees *t, const struct content *c, uint64_t off, const void *data, size_t len)
{
	struct iovec iov = { .iov_len = len };

	memcpy(&iov.iov_base, &data, sizeof data);	/* pwritev(2) only reads it */
	return layer_pwritev(t->layers, c->layer, &iov, 1, off);
}

/* Does OFF .. END hold bytes that are elsewhere than in *C's own layer? */
static int is_foreign(struct kv_view *view, const struct content *c, uint64_t off, uint64_t end, bool *ret)
{
	int rc = 0;

	*ret = false;
	while (!rc && off < end && !*ret) {
		struct piece p;

		rc = content_map(view, c->id, off, end - off, &p);
		*ret = !rc && p.kind != PIECE_ZERO && (p.kind != PIECE_LAYER || p.leaf != c->id);
		off += p.len;
	}
	return rc;
}

/* Rule 3: the part OFF .. END of a block that is about to be written beside it. */
static int copy_up(struct trees *t, const struct content *c, uint64_t off, uint64_t end)
{
	uint8_t mem[TREE_BLOCK];
	struct extent e = { .off = off, .len = end - off, .kind = EXTENT_LAYER };
	bool foreign;
	int rc;

	if (off >= end || flight_touches(t, c->id, off, end))
		return 0;
	rc = is_foreign(kv_live(t->kv), c, off, end, &foreign);
	if (rc || !foreign)
		return rc;
	rc = content_read(t, kv_live(t->kv), c->id, off, mem, (size_t)(end - off));
	if (!rc)
		rc = layer_bytes(t, c, off, mem, (size_t)(end - off));
	return rc ? rc : extent_put(t, c->id, &e);
}

int write_prepare(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, uint64_t len, struct content *ret)
{
	uint64_t end = off + len, low = off & ~(uint64_t)(TREE_BLOCK - 1);
	uint64_t high = (end + TREE_BLOCK - 1) & ~(uint64_t)(TREE_BLOCK - 1);
	bool mixed = false;
	int rc;

	if (n->content == 0) {
		rc = new_empty(t, n, 0, ret);
	} else {
		rc = content_get(kv_live(t->kv), n->content, ret);
		if (!rc && (ret->flags & CONTENT_MIXED))
			rc = extent_touches(kv_live(t->kv), ret->id, low, high, false, &mixed);
		if (!rc && (mixed || (ret->flags & CONTENT_INLINE) || !write_is_own(t, n, epoch, ret)))
			rc = copy_on_write(t, n, ret);
		if (!rc && (ret->flags & CONTENT_MIXED) && !mixed) {	/* flattened: what it copies is no base */
			rc = extent_touches(kv_live(t->kv), ret->id, low, high, false, &mixed);
			if (!rc && mixed)
				rc = copy_on_write(t, n, ret);
		}
	}
	if (!rc && !ret->layer) {
		rc = layer_take(t, ret->id, &ret->layer);
		if (!rc)
			rc = content_put(t, ret);
	}
	if (!rc && ret->base)
		rc = copy_up(t, ret, low, off);
	if (!rc && ret->base)
		rc = copy_up(t, ret, end, min_u64(high, ret->size));
	return rc;
}

int write_landed(struct trees *t, struct inode *n, struct content *c, uint64_t off, uint64_t len)
{
	struct extent e = { .off = off, .len = len, .kind = EXTENT_LAYER };
	uint64_t had, size = max_u64(c->size, off + len), data = c->data;
	int64_t now = clock_now_ms();
	int rc = content_data(kv_live(t->kv), c->id, off, len, &had);

	if (!rc)
		rc = extent_put(t, c->id, &e);
	data = min_u64(data + len - min_u64(had, len), size);
	n->size = size;
	if (rc || (size == c->size && data == c->data && now - c->stamp_ms < 1000 && now >= c->stamp_ms))
		return rc;
	c->size = size;
	c->data = data;
	c->stamp_ms = now;
	return content_put(t, c);
}

int write_bytes(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, struct slice bytes)
{
	uint64_t size = max_u64(n->size, off + bytes.len);
	struct content c = { .id = 0 };
	int rc = 0;

	if (bytes.len == 0)
		return 0;
	if (n->content)
		rc = content_get(kv_live(t->kv), n->content, &c);
	if (rc)
		return rc;
	if (fits_inline(n, &c, size))
		return inline_change(t, n, epoch, &c, off, bytes, size);
	rc = write_prepare(t, n, epoch, off, bytes.len, &c);
	if (!rc)
		rc = layer_bytes(t, &c, off, bytes.data, bytes.len);
	return rc ? rc : write_landed(t, n, &c, off, bytes.len);
}

/* --- sizes and holes ---------------------------------------------------------------------------------- */

static int shrink_or_grow(struct trees *t, struct content *c, uint64_t size)
{
	uint64_t gone = 0;
	int rc = 0;

	if (size < c->size) {
		rc = content_data(kv_live(t->kv), c->id, size, c->size - size, &gone);
		if (!rc)
			rc = extent_cut(t, c->id, size, TREE_SIZE_MAX);
		c->base_len = min_u64(c->base_len, size);
		c->data = min_u64(c->data - min_u64(c->data, gone), size);
	}
	c->size = size;
	c->stamp_ms = clock_now_ms();
	return rc ? rc : content_put(t, c);
}

int write_resize(struct trees *t, struct inode *n, uint32_t epoch, uint64_t size)
{
	struct content c = { .id = 0 };
	int rc = 0;

	if (size == n->size)
		return 0;
	if (size == 0) {
		n->size = 0;
		return swap(t, n, 0);
	}
	if (n->content)
		rc = content_get(kv_live(t->kv), n->content, &c);
	if (rc)
		return rc;
	if (fits_inline(n, &c, max_u64(size, n->size)))
		return inline_change(t, n, epoch, &c, 0, slice_of(NULL, 0), size);
	if (n->content == 0)
		rc = new_empty(t, n, 0, &c);
	else if ((c.flags & CONTENT_INLINE) || !write_is_own(t, n, epoch, &c))
		rc = copy_on_write(t, n, &c);
	n->size = size;
	return rc ? rc : shrink_or_grow(t, &c, size);
}

int write_zero(struct trees *t, struct inode *n, uint32_t epoch, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[TREE_INLINE_MAX];
	uint64_t end = min_u64(off + len, n->size), under, gone;
	struct content c;
	int rc;

	if (off >= end || n->content == 0)
		return 0;
	rc = content_get(kv_live(t->kv), n->content, &c);
	if (rc)
		return rc;
	if (fits_inline(n, &c, n->size))
		return inline_change(t, n, epoch, &c, off, slice_of(zeros, (size_t)(end - off)), n->size);
	if (!write_is_own(t, n, epoch, &c))
		rc = copy_on_write(t, n, &c);
	if (!rc)
		rc = content_data(kv_live(t->kv), c.id, off, end - off, &gone);
	if (!rc)
		rc = extent_cut(t, c.id, off, end);
	under = min_u64(end, c.base_len);
	if (!rc && off < under) {
		struct extent e = { .off = off, .len = under - off, .kind = EXTENT_ZERO };

		rc = extent_put(t, c.id, &e);
		c.flags |= CONTENT_MIXED;
	}
	if (rc)
		return rc;
	c.data -= min_u64(c.data, gone);
	c.stamp_ms = clock_now_ms();
	return content_put(t, &c);
}

/* --- sharing -------------------------------------------------------------------------------------------- */

int write_share(struct trees *t, struct inode *n, uint64_t src)
{
	struct content s = { .size = 0 };
	int rc = 0;

	if (src == n->content)
		return 0;
	if (src)
		rc = content_get(kv_live(t->kv), src, &s);
	if (!rc && src)
		rc = content_ref(t, src);
	n->size = s.size;
	return rc ? rc : swap(t, n, src);
}

/* A file that begins as the beginning of another: one base, no extents; *RET_DONE. */
static int copy_as_base(struct trees *t, struct inode *n, uint32_t epoch, const struct content *s, uint64_t src_off,
			uint64_t off, uint64_t len, bool *ret_done)
{
	struct content c;
	uint64_t data = 0;
	int rc = 0;

	*ret_done = false;
	if (src_off != off || n->size != off || content_depth(s) >= CONTENT_DEPTH_SOFT)
		return 0;
	if (n->content) {
		rc = content_get(kv_live(t->kv), n->content, &c);
		if (rc || c.state == CONTENT_SEALED || (c.flags & CONTENT_INLINE) || !write_is_own(t, n, epoch, &c) ||
		    c.base != s->id || c.base_len != off)
			return rc;
	} else if (off != 0) {
		return 0;
	} else {
		c = fresh(0);
		c.base = s->id;
		c.depth = (uint8_t)(content_depth(s) + 1);
		rc = content_ref(t, s->id);
		if (!rc)
			rc = content_new(t, &c);
		if (!rc)
			rc = swap(t, n, c.id);
	}
	if (!rc)
		rc = content_data(kv_live(t->kv), s->id, off, len, &data);
	c.size = c.base_len = n->size = off + len;
	c.data = min_u64(c.data + data, c.size);
	c.stamp_ms = clock_now_ms();
	*ret_done = true;
	return rc ? rc : content_put(t, &c);
}

static int copy_as_extents(struct trees *t, struct inode *n, uint32_t epoch, const struct content *s, uint64_t src_off,
			   uint64_t off, uint64_t *len)
{
	struct extent e = { .off = off, .len = *len, .kind = EXTENT_COPY, .src = s->id, .src_off = src_off };
	uint64_t had = 0, has = 0;
	struct content c;
	int rc = 0;

	if (n->content == 0)
		rc = new_empty(t, n, 0, &c);
	else
		rc = content_get(kv_live(t->kv), n->content, &c);
	if (!rc && (c.id == s->id || (c.flags & CONTENT_INLINE) || !write_is_own(t, n, epoch, &c)))
		rc = copy_on_write(t, n, &c);
	if (!rc)
		rc = content_data(kv_live(t->kv), c.id, off, *len, &had);
	if (rc)
		return rc;
	if (content_depth(s) < CONTENT_DEPTH_SOFT) {
		rc = extent_put(t, c.id, &e);
		c.depth = (uint8_t)max_u64(c.depth, content_depth(s) + 1);
		c.flags |= CONTENT_MIXED;
	} else {
		rc = copy_pieces(t, &c, s->id, src_off, off, *len, FLATTEN_PIECES, len);
	}
	if (!rc)
		rc = content_data(kv_live(t->kv), s->id, src_off, *len, &has);
	c.size = n->size = max_u64(c.size, off + *len);
	c.data = min_u64(c.data + has - min_u64(had, c.data + has), c.size);
	c.stamp_ms = clock_now_ms();
	return rc ? rc : content_put(t, &c);
}

int write_copy(struct trees *t, struct inode *n, uint32_t epoch, uint64_t src, uint64_t src_off, uint64_t off,
	       uint64_t len, uint64_t *ret)
{
	struct content s;
	bool done = false;
	int rc;

	*ret = 0;
	if (src == 0)
		return 0;
	rc = content_get(kv_live(t->kv), src, &s);
	if (rc || src_off >= s.size)
		return rc;
	*ret = len = min_u64(len, s.size - src_off);
	if (n->content == src && src_off == off)
		return 0;
	if (len <= COPY_BYTES_MAX) {
		uint8_t mem[COPY_BYTES_MAX];

		rc = content_read(t, kv_live(t->kv), src, src_off, mem, (size_t)len);
		return rc ? rc : write_bytes(t, n, epoch, off, slice_of(mem, (size_t)len));
	}
	if (off == 0 && src_off == 0 && len == s.size && n->size <= len)
		return write_share(t, n, src);
	rc = copy_as_base(t, n, epoch, &s, src_off, off, len, &done);
	return rc || done ? rc : copy_as_extents(t, n, epoch, &s, src_off, off, ret);
}

/* Those of the flights into content A of N whose bytes the file already shows: a copy of them goes into a content above A. */
static int settle_inode(struct trees *t, struct tree_row *row, struct inode *n)
{
	uint64_t a = n->content;
	struct content c;
	int rc = content_get(kv_live(t->kv), a, &c);

	for (const struct tree_flight *f = t->flights; f && !rc; f = f->next) {
		SCOPED_BUF struct buf mem = BUF_INIT;
		uint64_t end = min_u64(f->off + f->len, n->size);
		bool shown = false;
		void *p;

		if (f->content != a || f->tree != n->tree || f->ino != n->ino || f->off >= end)
			continue;
		rc = extent_touches(kv_live(t->kv), a, f->off, end, true, &shown);
		if (rc || !shown)
			continue;
		p = buf_reserve(&mem, (size_t)(end - f->off));
		rc = p ? content_read(t, kv_live(t->kv), a, f->off, p, (size_t)(end - f->off)) : -ENOMEM;
		if (!rc && n->content == a)
			rc = copy_on_write(t, n, &c);
		if (!rc)
			rc = write_bytes(t, n, row->epoch, f->off, slice_of(p, (size_t)(end - f->off)));
	}
	return rc || n->content == a ? rc : inode_store(t, row, n);
}

int write_settle(struct trees *t, struct tree_row *row, uint32_t ino)
{
	int rc = 0;

	for (const struct tree_flight *f = t->flights; f && !rc; f = f->next) {
		struct inode n;

		if (f->tree != row->tree || (ino && f->ino != ino))
			continue;
		rc = inode_get_file(kv_live(t->kv), inode_head(f->tree), f->ino, &n);
		if (!rc && n.content == f->content)
			rc = settle_inode(t, row, &n);
		rc = rc == -ENOENT ? 0 : rc;
	}
	return rc;
}
