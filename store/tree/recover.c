/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover - see recover.h.
 *
 * The engine's state may be newer than what of a layer reached the disk: the journal never waits for layers.  A LAYER extent
 * whose blocks are a hole in the file was lost; it falls back to what was there before it, the base or nothing, and a file that
 * ended in it ends before it.  Without a power cut nothing is ever found missing.
 */
#include <stdio.h>
#include <unistd.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/tree/content.h"
#include "store/tree/extent.h"
#include "store/tree/inode.h"
#include "store/tree/layer.h"
#include "store/tree/recover.h"
#include "store/tree/tree_check.h"

struct layer_seen {
	uint8_t state;
	uint32_t id;
	uint64_t content;
};

static int list_layers(struct trees *t, struct buf *out)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_LAYER, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		struct unpack u = unpack_init(kv_cursor_value(cur));
		struct layer_seen l = { .content = unpack_u64(&u) };

		if (key.len != 5 || unpack_done(&u))
			return err_set(-EBADMSG, "layers: damaged row");
		l.state = *(const uint8_t *)key.data;
		l.id = tkey_get_u32((const uint8_t *)key.data + 1);
		buf_add(out, &l, sizeof l);
	}
	return rc == -ENOENT ? buf_err(out) : rc;
}

/* The first range of *E that the file FD has no data for; *RET_END 0: none. */
static int first_lost(int fd, const struct extent *e, uint64_t *ret_off, uint64_t *ret_end)
{
	uint64_t end = e->off + e->len, at = e->off;

	*ret_end = 0;
	while (at < end) {
		off_t data = io_lseek(fd, (off_t)at, SEEK_DATA);
		off_t hole;

		if (data == -ENXIO || (data >= 0 && (uint64_t)data > at)) {
			*ret_off = at;
			*ret_end = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
			return 0;
		}
		hole = data < 0 ? data : io_lseek(fd, (off_t)at, SEEK_HOLE);
		if (hole < 0)
			return (int)hole;
		at = (uint64_t)hole;
	}
	return 0;
}

/* Take what is lost out of *C; *RET_LOST bytes, *RET_TAIL: where the lost end of the file begins. */
static int cut_lost(struct trees *t, const struct content *c, int fd, uint64_t *ret_lost, uint64_t *ret_tail)
{
	struct extent e;
	int rc = 0;

	*ret_lost = 0;
	*ret_tail = c->size;
	for (uint64_t at = 0; !rc && at < c->size;) {
		uint64_t off = 0, end = 0;

		rc = extent_find(kv_live(t->kv), c->id, at, &e);
		if (rc)
			break;
		if (e.kind == EXTENT_LAYER && fd < 0) {
			off = e.off;
			end = e.off + e.len;
		} else if (e.kind == EXTENT_LAYER) {
			rc = first_lost(fd, &e, &off, &end);
		}
		at = end ? end : e.off + e.len;
		if (rc || !end)
			continue;
		rc = extent_cut(t, c->id, off, end);
		*ret_lost += end - off;
		if (end == c->size)
			*ret_tail = off;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int recover_content(struct trees *t, struct content *c, bool *ret_shorter)
{
	uint64_t lost = 0, tail = 0;
	int fd = -1, rc = layer_pin(t->layers, c->layer, &fd);

	if (rc == -ENOENT)
		log_warn("dirty/%08x is missing: what was in it is lost", c->layer);
	if (rc && rc != -ENOENT)
		return rc;
	rc = cut_lost(t, c, fd, &lost, &tail);
	layer_mark_dirty(t->layers, c->layer);	/* what was written before a SIGKILL is perhaps not on the disk yet */
	if (fd >= 0)
		layer_unpin(t->layers, c->layer);
	else if (!rc)
		rc = layer_recreate(t->layers, c->layer);
	if (rc || lost == 0)
		return rc;
	log_warn("dirty/%08x: %llu bytes never reached the disk", c->layer, (unsigned long long)lost);
	if (tail < c->size) {
		*ret_shorter = true;
		c->size = tail > c->base_len ? tail : c->base_len;
	}
	c->data -= lost < c->data ? lost : c->data;
	c->data = c->data < c->size ? c->data : c->size;
	return content_put(t, c);
}

static int forget_layer(struct trees *t, const struct layer_seen *l)
{
	struct tkey k = layer_key((enum layer_state)l->state, l->id);

	return kv_del(t->kv, TABLE_LAYER, tkey_slice(&k));
}

/* One layer; *POOL counts the free ones. */
static int recover_layer(struct trees *t, const struct layer_seen *l, unsigned *pool, bool *ret_shorter)
{
	struct content c;
	struct stat st;
	char name[16];
	int rc;

	layer_name(l->id, name);
	if (l->state == LAYER_USED) {
		rc = content_get(kv_live(t->kv), l->content, &c);
		if (!rc && c.layer == l->id)
			return recover_content(t, &c, ret_shorter);
		return rc == -EBADMSG ? 0 : rc;	/* fsck will name it; the bytes stay */
	}
	rc = io_fstatat(t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	if (rc == -ENOENT)
		return forget_layer(t, l);
	if (!rc && (st.st_size || st.st_blocks || l->state == LAYER_DROPPED))
		rc = layer_empty(t->layers, l->id, *pool < LAYER_POOL);
	if (rc || (l->state == LAYER_FREE && *pool < LAYER_POOL)) {
		++*pool;
		return rc;
	}
	rc = forget_layer(t, l);
	if (!rc && *pool < LAYER_POOL) {
		struct tkey k = layer_key(LAYER_FREE, l->id);
		const uint8_t none[8] = { 0 };

		++*pool;
		return kv_put(t->kv, TABLE_LAYER, tkey_slice(&k), slice_of(none, sizeof none));
	}
	return rc ? rc : layer_empty(t->layers, l->id, false);
}

struct strays {
	struct trees *t;
	struct buf ids;			/* uint32_t each, rising */
};

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* A file in dirty/ that no row knows is left from a batch that never happened. */
static int remove_stray(void *arg, const char *name)
{
	struct strays *s = arg;
	char *end, want[16];
	uint32_t id = (uint32_t)strtoul(name, &end, 16);

	layer_name(id, want);
	if (strcmp(want, name) == 0 && s->ids.len &&
	    bsearch(&id, s->ids.data, s->ids.len / sizeof id, sizeof id, by_id))
		return 0;
	return io_unlinkat(s->t->dirfd, name, 0);
}

static int remove_strays(struct trees *t, const struct buf *layers)
{
	struct strays s = { t, BUF_INIT };
	int rc;

	for (size_t at = 0; at < layers->len; at += sizeof(struct layer_seen)) {
		struct layer_seen l;

		memcpy(&l, layers->data + at, sizeof l);
		buf_add(&s.ids, &l.id, sizeof l.id);
	}
	rc = buf_err(&s.ids);
	if (!rc && s.ids.len)
		qsort(s.ids.data, s.ids.len / sizeof(uint32_t), sizeof(uint32_t), by_id);
	if (!rc)
		rc = io_each_name(t->dirfd, remove_stray, &s);
	buf_release(&s.ids);
	return rc;
}

static int recover_layers(struct trees *t, bool *ret_shorter)
{
	SCOPED_BUF struct buf layers = BUF_INIT;
	unsigned pool = 0;
	int rc = list_layers(t, &layers);

	for (size_t at = 0; !rc && at < layers.len; at += sizeof(struct layer_seen)) {
		struct layer_seen l;

		memcpy(&l, layers.data + at, sizeof l);
		rc = kv_begin(t->kv);
		if (rc)
			break;
		rc = recover_layer(t, &l, &pool, ret_shorter);
		if (!rc)
			rc = kv_commit(t->kv, NULL);
		else
			kv_abort(t->kv);
	}
	return rc ? rc : remove_strays(t, &layers);
}

static int first_orphan(struct trees *t, uint32_t *ret_tree, uint32_t *ret_ino)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct slice key;
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_ORPHAN, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	if (rc)
		return rc;
	key = kv_cursor_key(cur);
	if (key.len != 8)
		return err_set(-EBADMSG, "orphans: damaged key");
	*ret_tree = tkey_get_u32(key.data);
	*ret_ino = tkey_get_u32((const uint8_t *)key.data + 4);
	return 0;
}

static int remove_orphan(struct trees *t, uint32_t tree, uint32_t ino)
{
	int rc = ino == TREE_ROOT ? inode_orphan_del(t, tree, ino) : inode_orphan_remove(t, tree, ino);

	if (!rc && ino == TREE_ROOT)	/* the tree itself was deleted while open */
		rc = tree_delete(t, tree);
	return rc == -ENOENT ? 0 : rc;
}

static int recover_orphans(struct trees *t)
{
	uint32_t tree = 0, ino = 0;
	int rc;

	while ((rc = first_orphan(t, &tree, &ino)) == 0) {
		rc = kv_begin(t->kv);
		if (rc)
			return rc;
		rc = remove_orphan(t, tree, ino);
		if (rc) {
			kv_abort(t->kv);
			return rc;
		}
		rc = kv_commit(t->kv, NULL);
		if (rc)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Files became shorter: the sums in the rows of the trees are made anew. */
static int recount(struct trees *t)
{
	SCOPED_BUF struct buf trees = BUF_INIT;
	int rc = tree_check_list(kv_live(t->kv), &trees);

	for (size_t at = 0; !rc && at < trees.len; at += sizeof(struct tree_row)) {
		struct tree_row row;

		memcpy(&row, trees.data + at, sizeof row);
		if (row.flags & TREE_ROW_DELETED)
			continue;
		rc = tree_check_count(kv_live(t->kv), row.tree, &row.inodes, &row.bytes);
		if (!rc)
			rc = kv_begin(t->kv);
		if (rc)
			break;
		rc = tree_row_put(t, &row);
		if (!rc)
			rc = kv_commit(t->kv, NULL);
		else
			kv_abort(t->kv);
	}
	return rc;
}

int recover_trees(struct trees *t)
{
	bool shorter = false;
	int rc = recover_layers(t, &shorter);

	if (!rc)
		rc = recover_orphans(t);
	return rc || !shorter ? rc : recount(t);
}
