/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_file - attributes and bytes of files in the head.  Core, in a batch.
 */
#include <fcntl.h>
#include <linux/falloc.h>

#include "store/base/io.h"
#include "store/tree/layer.h"
#include "store/tree/write.h"

/* A change of one file: its tree's row and its inode, loaded and put back. */
struct change {
	struct tree_row row;
	struct inode n;
	uint64_t size_before;
};

static int change_begin(struct trees *t, uint32_t tree, uint32_t ino, bool held, struct change *c)
{
	int rc = tree_row_change(t, tree, held, &c->row);

	if (!rc)
		rc = inode_get_file(kv_live(t->kv), inode_head(tree), ino, &c->n);
	c->size_before = rc ? 0 : c->n.size;
	return rc;
}

static int change_end(struct trees *t, struct change *c, bool bytes)
{
	int rc;

	if (bytes)
		c->n.mtime_ns = c->n.ctime_ns = clock_now_ns();
	rc = inode_store(t, &c->row, &c->n);
	c->row.bytes += c->n.size;
	c->row.bytes -= c->size_before < c->row.bytes ? c->size_before : c->row.bytes;
	tree_row_touch(&c->row);
	return rc ? rc : tree_row_put(t, &c->row);
}

static int too_big(uint64_t off, uint64_t len)
{
	if (off > TREE_SIZE_MAX || len > TREE_SIZE_MAX - off)
		return err_set(-EFBIG, "a file has at most 2^62 bytes");
	return 0;
}

int tree_setattr(struct trees *t, uint32_t tree, uint32_t ino, unsigned mask, const struct tree_attr *attr, struct tree_attr *ret)
{
	struct change c;
	int64_t now = clock_now_ns();
	int rc = tree_row_change(t, tree, mask & TREE_SET_HELD, &c.row);

	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), ino, &c.n);
	if (!rc && (mask & TREE_SET_SIZE))
		rc = inode_get_file(kv_live(t->kv), inode_head(tree), ino, &c.n);
	if (!rc && (mask & TREE_SET_SIZE))
		rc = too_big(attr->size, 0);
	if (rc)
		return rc;
	c.size_before = c.n.size;
	if (mask & TREE_SET_SIZE) {
		rc = write_resize(t, &c.n, c.row.epoch, attr->size);
		c.n.mtime_ns = now;
	}
	if (mask & TREE_SET_MODE)
		c.n.mode = (c.n.mode & S_IFMT) | (attr->mode & 07777);
	if (mask & TREE_SET_UID)
		c.n.uid = attr->uid;
	if (mask & TREE_SET_GID)
		c.n.gid = attr->gid;
	if (mask & TREE_SET_ATIME)
		c.n.atime_ns = attr->atime_ns;
	if (mask & TREE_SET_MTIME)
		c.n.mtime_ns = attr->mtime_ns;
	c.n.ctime_ns = mask & TREE_SET_CTIME ? attr->ctime_ns : now;
	if (!rc)
		rc = change_end(t, &c, false);
	return rc ? rc : inode_attr(kv_live(t->kv), &c.n, ret);
}

int tree_write(struct trees *t, uint32_t tree, uint32_t ino, uint64_t off, struct slice bytes, bool held)
{
	struct change c;
	int rc = too_big(off, bytes.len);

	if (!rc)
		rc = change_begin(t, tree, ino, held, &c);
	if (!rc)
		rc = write_bytes(t, &c.n, c.row.epoch, off, bytes);
	return rc ? rc : change_end(t, &c, true);
}

int tree_write_begin(struct trees *t, uint32_t tree, uint32_t ino, uint64_t off, size_t len, bool held, struct tree_write *ret)
{
	struct tree_flight *f;
	struct change c;
	struct content content;
	int rc = len ? too_big(off, len) : -EINVAL;

	if (!rc)
		rc = change_begin(t, tree, ino, held, &c);
	if (!rc)
		rc = write_prepare(t, &c.n, c.row.epoch, off, len, &content);
	if (!rc)
		rc = change_end(t, &c, true);
	if (rc)
		return rc;
	f = malloc(sizeof *f);
	if (!f)
		return -ENOMEM;
	*ret = (struct tree_write){ .tree = tree, .ino = ino, .content = content.id, .layer = content.layer, .off = off };
	rc = layer_pin(t->layers, content.layer, &ret->fd);
	if (rc) {
		free(f);
		return rc;
	}
	layer_mark_dirty(t->layers, content.layer);
	*f = (struct tree_flight){ t->flights, tree, ino, content.layer, content.id, off, len };
	t->flights = f;
	return 0;
}

int tree_write_bytes(const struct tree_write *w, struct slice bytes)
{
	return io_pwrite_full(w->fd, bytes.data, bytes.len, (off_t)w->off);
}

/* The file no longer has the content that the worker wrote to: what it wrote is written again to the one it has. */
static int write_again(struct trees *t, struct change *c, const struct tree_write *w, size_t len)
{
	SCOPED_BUF struct buf mem = BUF_INIT;
	void *p = buf_reserve(&mem, len);
	ssize_t got = p ? io_pread_full(w->fd, p, len, (off_t)w->off) : -ENOMEM;

	if (got >= 0 && (size_t)got < len)
		got = -EIO;
	return got < 0 ? (int)got : write_bytes(t, &c->n, c->row.epoch, w->off, slice_of(p, len));
}

static void land(struct trees *t, const struct tree_write *w)
{
	for (struct tree_flight **f = &t->flights; *f; f = &(*f)->next) {
		if ((*f)->content == w->content && (*f)->layer == w->layer && (*f)->off == w->off && (*f)->ino == w->ino &&
		    (*f)->tree == w->tree) {
			struct tree_flight *gone = *f;

			*f = gone->next;
			free(gone);
			break;
		}
	}
	layer_mark_dirty(t->layers, (uint32_t)w->layer);
}

void tree_write_cancel(struct trees *t, const struct tree_write *w)
{
	land(t, w);
	layer_unpin(t->layers, (uint32_t)w->layer);
}

int tree_write_end(struct trees *t, const struct tree_write *w, size_t len, int result)
{
	struct change c;
	struct content content;
	int rc = result;

	land(t, w);
	if (!rc)
		rc = change_begin(t, w->tree, w->ino, true, &c);
	if (!rc && c.n.content)
		rc = content_get(kv_live(t->kv), c.n.content, &content);
	if (!rc && c.n.content == w->content && write_is_own(t, &c.n, c.row.epoch, &content))
		rc = write_landed(t, &c.n, &content, w->off, len);
	else if (!rc)
		rc = write_again(t, &c, w, len);
	layer_unpin(t->layers, (uint32_t)w->layer);
	return rc ? rc : change_end(t, &c, true);
}

int tree_fallocate(struct trees *t, uint32_t tree, uint32_t ino, int mode, uint64_t off, uint64_t len, bool held)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int what = mode & ~FALLOC_FL_KEEP_SIZE;
	struct change c;
	int rc = len ? too_big(off, len) : -EINVAL;

	if (!rc && ((what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE) ||
		    (what == FALLOC_FL_PUNCH_HOLE && !keep)))
		rc = -EOPNOTSUPP;
	if (!rc)
		rc = change_begin(t, tree, ino, held, &c);
	if (!rc && what)
		rc = write_zero(t, &c.n, c.row.epoch, off, len);
	if (!rc && !keep && off + len > c.n.size)
		rc = write_resize(t, &c.n, c.row.epoch, off + len);
	return rc ? rc : change_end(t, &c, true);
}

/* The source of a copy, as something that nobody writes any more. */
static int source(struct trees *t, struct tree_place from, uint32_t ino, struct inode *ret)
{
	struct tree_row row;
	int rc = 0;

	if (from.epoch == TREE_HEAD)
		rc = tree_row_get(kv_live(t->kv), from.tree, &row);
	if (!rc && from.epoch == TREE_HEAD)
		rc = write_settle(t, &row, ino);
	return rc ? rc : inode_get_file(kv_live(t->kv), from, ino, ret);
}

int tree_copy_range(struct trees *t, struct tree_place from, uint32_t from_ino, uint64_t from_off,
		    uint32_t tree, uint32_t ino, uint64_t off, uint64_t len, bool held, uint64_t *ret)
{
	struct change c;
	struct inode src;
	int rc;

	*ret = 0;
	if (len > TREE_SIZE_MAX)
		len = TREE_SIZE_MAX;	/* as far as the source goes */
	rc = source(t, from, from_ino, &src);
	if (!rc && len > src.size)
		len = src.size;
	if (!rc)
		rc = too_big(off, len);
	if (!rc)
		rc = change_begin(t, tree, ino, held, &c);
	if (rc || len == 0)
		return rc;
	rc = write_copy(t, &c.n, c.row.epoch, src.content, from_off, off, len, ret);
	return rc || *ret == 0 ? rc : change_end(t, &c, true);
}

int tree_share_content(struct trees *t, struct tree_place from, uint32_t from_ino, uint32_t tree, uint32_t ino)
{
	struct change c;
	struct inode src;
	int rc = source(t, from, from_ino, &src);

	if (!rc)
		rc = change_begin(t, tree, ino, false, &c);
	if (!rc)
		rc = write_share(t, &c.n, src.content);
	if (rc)
		return rc;
	c.n.mtime_ns = src.mtime_ns;
	c.n.ctime_ns = clock_now_ns();
	return change_end(t, &c, false);
}
