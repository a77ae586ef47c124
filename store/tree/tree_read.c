/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_read - what a place shows: attributes, bytes, digests.  Any thread with a view of its own.
 */
#include "store/base/hash.h"
#include "store/tree/content.h"
#include "store/tree/inode.h"

#define CHEAP_LAYER (128u << 10)	/* most likely in the page cache: it was just written */
#define CHEAP_BLOB (16u << 10)

int tree_getattr(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, struct tree_attr *ret)
{
	struct inode n;
	int rc = inode_get(view, at, ino, &n);

	(void)t;
	return rc ? rc : inode_attr(view, &n, ret);
}

int tree_readlink(struct kv_view *view, struct tree_place at, uint32_t ino, struct buf *out)
{
	struct inode n;
	int rc = inode_get(view, at, ino, &n);

	if (!rc && !S_ISLNK(n.mode))
		rc = -EINVAL;
	if (rc)
		return rc;
	buf_add(out, n.target, n.target_len);
	return buf_err(out);
}

int tree_parent(struct kv_view *view, struct tree_place at, uint32_t ino, uint32_t *ret_dir)
{
	struct inode n;
	int rc = inode_get_dir(view, at, ino, &n);

	*ret_dir = rc ? 0 : ino == TREE_ROOT ? TREE_ROOT : n.parent;
	return rc;
}

ssize_t tree_read(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off, void *out, size_t len)
{
	struct inode n;
	int rc = inode_get_file(view, at, ino, &n);

	if (rc || off >= n.size)
		return rc;
	if (len > n.size - off)
		len = (size_t)(n.size - off);
	rc = content_read(t, view, n.content, off, out, len);
	return rc ? rc : (ssize_t)len;
}

int64_t tree_seek(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off, bool hole)
{
	struct inode n;
	struct content c;
	int rc = inode_get_file(view, at, ino, &n);

	if (rc)
		return rc;
	if (off >= n.size)
		return -ENXIO;
	rc = content_get(view, n.content, &c);
	return rc ? rc : content_seek(t, view, &c, off, hole);
}

bool tree_read_is_cheap(struct trees *t, struct kv_view *view, struct tree_place at, uint32_t ino, uint64_t off, size_t len)
{
	struct inode n;
	uint64_t end;

	(void)t;
	if (inode_get_file(view, at, ino, &n) || off >= n.size)
		return true;
	end = len < n.size - off ? off + len : n.size;
	for (unsigned pieces = 0; off < end; pieces++) {
		struct piece p;

		if (pieces == 8 || content_map(view, n.content, off, end - off, &p))
			return false;
		if (p.kind == PIECE_BLOB ? p.blob.size > CHEAP_BLOB : p.kind == PIECE_LAYER && p.len > CHEAP_LAYER)
			return false;
		off += p.len;
	}
	return true;
}

int tree_sums(struct kv_view *view, struct tree_place at, uint32_t ino, struct blob_sums *ret)
{
	static const uint8_t md5_of_nothing[16] = { 0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04,
						    0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e };
	struct inode n;
	struct content c;
	int rc = inode_get_file(view, at, ino, &n);

	if (rc)
		return rc;
	if (n.content == 0) {
		ret->xxh3 = hash_xxh3(slice_of("", 0), 0);
		memcpy(ret->md5, md5_of_nothing, sizeof ret->md5);
		return 0;
	}
	rc = content_get(view, n.content, &c);
	if (!rc && c.state != CONTENT_SEALED)
		rc = -ENODATA;
	if (!rc)
		*ret = c.sums;
	return rc;
}
