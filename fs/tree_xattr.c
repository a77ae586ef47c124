/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_xattr - extended attributes of files in trees: a user's own, kept as on a disk, and user.labfs.*, which tell of the file.
 */
#include <errno.h>

#include "fs/head_write.h"
#include "fs/tab_tree.h"
#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/meta/entry.h"
#include "store/meta/lineage.h"
#include "store/meta/run.h"

#define XATTR_OURS "user.labfs."

/* --- xattrs: a user's own, and user.labfs.* that tell of the file ------------------------------------------------- */

static void add_hex(struct buf *out, const uint8_t *bytes, size_t len)
{
	char hex[33];

	hash_hex(bytes, len, hex);
	buf_add_str(out, hex);
}

static int get_sums(struct fs *fs, uint64_t node, bool md5, struct buf *out)
{
	struct tree_place place;
	struct blob_sums sums;
	uint32_t ino;
	int rc = tree_node_place(fs, node, &place, &ino);

	if (rc == 0)
		rc = tree_sums(fs_view(fs), place, ino, &sums);
	if (rc)
		return rc == -EINVAL || rc == -EISDIR ? -ENODATA : rc;
	if (md5)
		add_hex(out, sums.md5, sizeof(sums.md5));
	else
		add_hex(out, sums.xxh3.bytes, sizeof(sums.xxh3.bytes));
	return 0;
}

static int get_xxh3(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)v;
	return get_sums(fs, node, false, out);
}

static int get_md5(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)v;
	return get_sums(fs, node, true, out);
}

static int head_version(struct fs *fs, uint32_t tree, struct buf *out)
{
	uint32_t id = head_entry_id(fs, tree);
	struct entry e;
	bool differs;
	int rc;

	if (id == 0)
		return -ENODATA;
	rc = entry_settle(fs->meta, id);
	if (rc == 0)
		rc = entry_get(fs_view(fs), id, &e);
	if (rc)
		return rc;
	if (e.newest == 0)
		return -ENODATA;
	buf_addf(out, "v%u", e.newest);
	rc = entry_differs(fs->meta, fs_view(fs), id, 1u << 20, &differs);
	if (rc == -E2BIG) {
		differs = true;
		rc = 0;
	}
	if (rc == 0 && differs)
		buf_add_ch(out, '+');
	return rc;
}

static int get_version(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	if (!v)
		return head_version(fs, node_object(node), out);
	buf_addf(out, "v%u", v->n);
	return 0;
}

static int get_run(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	struct run run;
	int rc = v && v->run ? run_get(fs_view(fs), v->run, &run) : -ENODATA;

	(void)node;
	if (rc == 0)
		buf_add_slice(out, run.id);
	return rc == -ENOENT ? -ENODATA : rc;
}

static int get_message(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	(void)fs;
	(void)node;
	if (!v)
		return -ENODATA;
	buf_add_slice(out, v->message);
	return 0;
}

static int get_created(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];

	(void)fs;
	(void)node;
	if (!v)
		return -ENODATA;
	clock_format_ms(v->created_ms, text);
	buf_add_str(out, text);
	return 0;
}

struct readers {
	struct fs *fs;
	struct buf *out;
};

static int add_reader(void *arg, uint32_t number)
{
	struct readers *r = arg;
	struct run run;

	if (run_get(fs_view(r->fs), number, &run) != 0)
		return 0;
	if (r->out->len)
		buf_add_ch(r->out, ' ');
	buf_add_slice(r->out, run.id);
	return 0;
}

static int get_readers(struct fs *fs, uint64_t node, const struct version *v, struct buf *out)
{
	struct readers r = { fs, out };

	(void)node;
	return v ? lineage_runs(fs_view(fs), v->serial, LINEAGE_INPUT, add_reader, &r) : -ENODATA;
}

static const struct {			/* man 7, "EXTENDED ATTRIBUTES" */
	const char *name;
	int (*get)(struct fs *fs, uint64_t node, const struct version *v, struct buf *out);	/* V NULL: a head */
} xattrs[] = {
	{ XATTR_OURS "xxh3", get_xxh3 },	{ XATTR_OURS "md5", get_md5 },	       { XATTR_OURS "version", get_version },
	{ XATTR_OURS "run", get_run },		{ XATTR_OURS "message", get_message }, { XATTR_OURS "created", get_created },
	{ XATTR_OURS "readers", get_readers },
};

static bool is_ours(struct slice name)
{
	return slice_has_prefix(name, slice_str(XATTR_OURS));
}

static int get_ours(struct fs *fs, uint64_t node, struct slice name, struct buf *out)
{
	struct version v;
	bool is_version = node_kind(node) == NODE_TREE_VERSION;
	int rc = is_version ? version_by_serial(fs_view(fs), node_object(node), &v) : 0;

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(xattrs) / sizeof(xattrs[0]); i++)
		if (slice_eq(name, slice_str(xattrs[i].name)))
			return xattrs[i].get(fs, node, is_version ? &v : NULL, out);
	return -ENODATA;
}

int tree_op_getxattr(struct call *c, uint64_t node, struct slice name, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc;

	if (is_ours(name))
		return get_ours(c->fs, node, name, out);
	rc = tree_node_place(c->fs, node, &place, &ino);
	return rc ? rc : tree_getxattr(fs_view(c->fs), place, ino, name, out);
}

int tree_op_listxattr(struct call *c, uint64_t node, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	return rc ? rc : tree_listxattr(fs_view(c->fs), place, ino, out);
}

int tree_op_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags)
{
	int rc;

	if (is_ours(name))
		return err_set(-EPERM, "user.labfs.* tell of the file and cannot be set (but .message of a version)");
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, tree_setxattr(c->fs->trees, node_object(node), node_inner(node), name, value, flags));
}

int tree_op_removexattr(struct call *c, uint64_t node, struct slice name)
{
	int rc;

	if (is_ours(name))
		return err_set(-EPERM, "user.labfs.* tell of the file and cannot be removed");
	rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, tree_removexattr(c->fs->trees, node_object(node), node_inner(node), name));
}

int tree_version_setxattr(struct call *c, uint64_t node, struct slice name, struct slice value, int flags)
{
	struct version v;
	int rc;

	(void)flags;
	if (!slice_eq(name, slice_str(XATTR_OURS "message")))
		return err_set(-EROFS, "a version never changes, but for user.labfs.message");
	rc = version_by_serial(fs_view(c->fs), node_object(node), &v);
	if (rc == 0)
		rc = call_may_change(c, v.uid);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	return fs_end(c->fs, version_set_message(c->fs->meta, node_object(node), value));
}
