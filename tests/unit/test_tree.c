/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the head of a tree: making, linking, removing, renaming, listing, attributes, xattrs; and faults that the check must find.
 */
#include <sys/xattr.h>

#include "store/tree/content.h"
#include "store/tree/dirent.h"
#include "store/tree/layer.h"
#include "tests/unit/tree_fixture.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

#define H HEAD_OF(fx.tree)

static int make(uint32_t dir, struct slice name, uint32_t mode)
{
	struct tree_make m = { .mode = mode, .target = slice_str("t") };
	struct tree_attr attr;

	return tree_make(fx.t, fx.tree, dir, name, &m, &attr);
}

static int rename_(uint32_t dir, const char *name, uint32_t to, const char *to_name, unsigned flags)
{
	return tree_rename(fx.t, fx.tree, dir, slice_str(name), to, slice_str(to_name), flags);
}

static uint32_t find(uint32_t dir, const char *name)
{
	uint32_t ino = 0;

	return fx_find(H, dir, name, &ino) ? 0 : ino;
}

static void test_make_every_kind(void **state)
{
	static const uint32_t kinds[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	SCOPED_BUF struct buf target = BUF_INIT;
	struct tree_make m = { .mode = S_IFCHR | 0600, .rdev = 0x103 };
	struct tree_attr attr;
	struct tree_info info;
	char name[8] = "k0";

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		name[1] = (char)('0' + i);
		attr = fx_attr(H, fx_make(TREE_ROOT, name, kinds[i] | 0640));
		assert_int_equal(attr.mode, kinds[i] | 0640);
		assert_int_equal(attr.uid, 1000);
		assert_int_equal(attr.nlink, kinds[i] == S_IFDIR ? 2 : 1);
		assert_true(attr.mtime_ns > 0 && attr.btime_ns == attr.ctime_ns);
	}
	assert_int_equal(fx_attr(H, find(TREE_ROOT, "k2")).size, 6);
	ok(tree_readlink(LIVE, H, find(TREE_ROOT, "k2"), &target));
	assert_true(slice_eq(buf_slice(&target), slice_str("target")));
	assert_int_equal(tree_readlink(LIVE, H, find(TREE_ROOT, "k0"), &target), -EINVAL);
	assert_int_equal(fx_attr(H, TREE_ROOT).nlink, 3);
	in_batch(tree_make(fx.t, fx.tree, TREE_ROOT, fx_name("null"), &m, &attr));
	assert_int_equal(fx_attr(H, attr.ino).rdev, 0x103);
	ok(tree_info(LIVE, fx.tree, &info));
	assert_int_equal(info.inodes, 9);
	assert_int_equal(info.owner, TREE_OWNER_RUN);
	assert_int_equal(info.owner_id, 7);
	fx_clean();
}

static void test_bad_names(void **state)
{
	char longest[300];
	struct tree_make m = { .mode = S_IFLNK | 0777, .target = slice_of(longest, 0) };
	struct tree_attr attr;
	uint32_t file = fx_make(TREE_ROOT, "file", S_IFREG | 0644);
	char *big = calloc(1, 5000);

	(void)state;
	memset(longest, 'n', sizeof longest);
	refused(make(TREE_ROOT, slice_str(""), S_IFREG | 0644), -EINVAL);
	refused(make(TREE_ROOT, slice_str("."), S_IFREG | 0644), -EINVAL);
	refused(make(TREE_ROOT, slice_str(".."), S_IFREG | 0644), -EINVAL);
	refused(make(TREE_ROOT, slice_str("a/b"), S_IFREG | 0644), -EINVAL);
	refused(make(TREE_ROOT, slice_of("a\0b", 3), S_IFREG | 0644), -EINVAL);
	refused(make(TREE_ROOT, slice_of(longest, 256), S_IFREG | 0644), -ENAMETOOLONG);
	in_batch(make(TREE_ROOT, slice_of(longest, 255), S_IFREG | 0644));
	in_batch(make(TREE_ROOT, slice_str("\xff\x01 \n%"), S_IFREG | 0644));
	refused(make(TREE_ROOT, slice_str("file"), S_IFDIR | 0755), -EEXIST);
	refused(make(file, slice_str("x"), S_IFREG | 0644), -ENOTDIR);
	refused(make(12345, slice_str("x"), S_IFREG | 0644), -ENOENT);
	refused(tree_make(fx.t, 999, TREE_ROOT, slice_str("x"), &m, &attr), -ENOENT);
	refused(tree_make(fx.t, fx.tree, TREE_ROOT, slice_str("x"), &m, &attr), -ENOENT);
	m.target = slice_of(memset(big, 'x', 5000), TREE_SYMLINK_MAX + 1);
	refused(tree_make(fx.t, fx.tree, TREE_ROOT, slice_str("x"), &m, &attr), -ENAMETOOLONG);
	m.target.len--;
	in_batch(tree_make(fx.t, fx.tree, TREE_ROOT, slice_str("x"), &m, &attr));
	assert_int_equal(attr.size, TREE_SYMLINK_MAX);
	free(big);
	fx_clean();
}

static void test_links_and_removal(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), d = fx_make(TREE_ROOT, "d", S_IFDIR | 0755), found;
	struct tree_attr attr;

	(void)state;
	fx_write(fx.tree, a, 0, "bytes", 5);
	in_batch(tree_link(fx.t, fx.tree, a, d, fx_name("b"), &attr));
	assert_int_equal(attr.nlink, 2);
	refused(tree_link(fx.t, fx.tree, a, d, fx_name("b"), &attr), -EEXIST);
	refused(tree_link(fx.t, fx.tree, d, d, fx_name("self"), &attr), -EPERM);
	refused(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("d")), -EISDIR);
	refused(tree_rmdir(fx.t, fx.tree, TREE_ROOT, fx_name("a")), -ENOTDIR);
	refused(tree_rmdir(fx.t, fx.tree, TREE_ROOT, fx_name("d")), -ENOTEMPTY);
	refused(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("nothing")), -ENOENT);
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("a")));
	fx_is(H, a, "bytes", 5);
	in_batch(tree_unlink(fx.t, fx.tree, d, fx_name("b")));
	assert_int_equal(tree_getattr(fx.t, LIVE, H, a, &attr), -ENOENT);
	in_batch(tree_rmdir(fx.t, fx.tree, TREE_ROOT, fx_name("d")));
	assert_int_equal(fx_attr(H, TREE_ROOT).nlink, 2);
	assert_int_equal(fx_find(H, TREE_ROOT, "d", &found), -ENOENT);
	assert_int_equal(fx_find(H, 77, "d", &found), -ENOENT);
	fx_clean();
	fx_settle();
	fx_clean();
}

/* Unlinked while open: lives on until the last hold goes; after a crash it is collected. */
static void test_orphans(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	struct tree_attr attr;
	struct tree_info info;

	(void)state;
	ok(tree_hold(fx.t, fx.tree, a));
	ok(tree_hold(fx.t, fx.tree, a));
	ok(tree_hold(fx.t, fx.tree, b));
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("a")));
	fx_write(fx.tree, a, 0, "still here", 10);
	fx_is(H, a, "still here", 10);
	assert_int_equal(fx_attr(H, a).nlink, 0);
	refused(tree_link(fx.t, fx.tree, a, TREE_ROOT, fx_name("again"), &attr), -ENOENT);
	fx_clean();
	in_batch(tree_unhold(fx.t, fx.tree, a));
	fx_is(H, a, "still here", 10);
	in_batch(tree_unhold(fx.t, fx.tree, a));
	assert_int_equal(tree_getattr(fx.t, LIVE, H, a, &attr), -ENOENT);
	refused(tree_unhold(fx.t, fx.tree, a), -ENOENT);
	fx_write(fx.tree, b, 0, "x", 1);
	in_batch(rename_(TREE_ROOT, "b", TREE_ROOT, "c", 0));
	fx_make(TREE_ROOT, "d", S_IFREG | 0644);
	in_batch(rename_(TREE_ROOT, "d", TREE_ROOT, "c", 0));	/* b's file is replaced while held */
	fx_is(H, b, "x", 1);
	fx_clean();
	fx_reopen();
	assert_int_equal(tree_getattr(fx.t, LIVE, H, b, &attr), -ENOENT);
	ok(tree_info(LIVE, fx.tree, &info));
	assert_int_equal(info.inodes, 2);
	assert_int_equal(info.bytes, 0);
	fx_clean();
}

/* A tree that was deleted while something in it was open goes with the last hold; stopping right then is no harm. */
static void test_deleted_while_open(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	struct tree_info info;

	(void)state;
	ok(tree_hold(fx.t, fx.tree, a));
	ok(tree_hold(fx.t, fx.tree, b));
	in_batch(tree_delete(fx.t, fx.tree));
	fx_write(fx.tree, a, 0, "still here", 10);
	in_batch(tree_unhold(fx.t, fx.tree, b));
	fx_is(H, a, "still here", 10);
	in_batch(tree_unhold(fx.t, fx.tree, a));
	assert_int_equal(tree_info(LIVE, fx.tree, &info), -ENOENT);
	ok(tree_hold(fx.t, fx.tree, a));	/* a front-end may be late */
	in_batch(tree_unhold(fx.t, fx.tree, a));
	fx_clean();
	fx_reopen();
	assert_int_equal(tree_info(LIVE, fx.tree, &info), -ENOENT);
	fx_settle();
	fx_clean();
	in_batch(tree_new(fx.t, TREE_OWNER_RUN, 7, S_IFDIR | 0755, 0, 0, &fx.tree));
	ok(tree_hold(fx.t, fx.tree, TREE_ROOT));
	in_batch(tree_delete(fx.t, fx.tree));
	fx_reopen();
	assert_int_equal(tree_info(LIVE, fx.tree, &info), -ENOENT);
	fx_settle();
	fx_clean();
}

static void test_rename(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), d = fx_make(TREE_ROOT, "d", S_IFDIR | 0755);
	uint32_t e = fx_make(d, "e", S_IFDIR | 0755), f = fx_make(e, "f", S_IFREG | 0644), up;

	(void)state;
	refused(rename_(TREE_ROOT, "none", TREE_ROOT, "x", 0), -ENOENT);
	refused(rename_(TREE_ROOT, "d", e, "x", 0), -EINVAL);
	refused(rename_(TREE_ROOT, "d", d, "x", 0), -EINVAL);
	refused(rename_(TREE_ROOT, "a", TREE_ROOT, "d", 0), -EISDIR);
	refused(rename_(TREE_ROOT, "d", TREE_ROOT, "a", 0), -ENOTDIR);
	refused(rename_(d, "e", TREE_ROOT, "d", 0), -ENOTEMPTY);
	refused(rename_(TREE_ROOT, "a", d, "e", RENAME_NOREPLACE), -EEXIST);
	refused(rename_(TREE_ROOT, "a", d, "x", RENAME_EXCHANGE), -ENOENT);
	refused(rename_(TREE_ROOT, "a", d, "x", 4), -EINVAL);
	refused(rename_(TREE_ROOT, "a", d, "x", RENAME_EXCHANGE | RENAME_NOREPLACE), -EINVAL);
	refused(rename_(d, "e", TREE_ROOT, "d", RENAME_EXCHANGE), -EINVAL);
	refused(rename_(TREE_ROOT, "a", TREE_ROOT, "..", 0), -EINVAL);
	in_batch(rename_(TREE_ROOT, "a", TREE_ROOT, "a", 0));
	assert_int_equal(find(TREE_ROOT, "a"), a);
	in_batch(rename_(TREE_ROOT, "a", e, "a2", RENAME_NOREPLACE));
	assert_int_equal(find(TREE_ROOT, "a"), 0);
	assert_int_equal(find(e, "a2"), a);
	in_batch(rename_(e, "a2", e, "f", 0));
	assert_int_equal(find(e, "f"), a);
	assert_int_equal(fx_find(H, e, "a2", &up), -ENOENT);
	assert_int_equal(tree_parent(LIVE, H, f, &up), -ENOENT);
	in_batch(rename_(d, "e", TREE_ROOT, "e", 0));
	ok(tree_parent(LIVE, H, e, &up));
	assert_int_equal(up, TREE_ROOT);
	assert_int_equal(fx_attr(H, TREE_ROOT).nlink, 4);
	assert_int_equal(fx_attr(H, d).nlink, 2);
	in_batch(rename_(TREE_ROOT, "e", TREE_ROOT, "d", RENAME_EXCHANGE));
	assert_int_equal(find(TREE_ROOT, "d"), e);
	in_batch(rename_(e, "f", TREE_ROOT, "e", RENAME_EXCHANGE));	/* a file for a directory */
	assert_int_equal(find(e, "f"), d);
	assert_int_equal(find(TREE_ROOT, "e"), a);
	ok(tree_parent(LIVE, H, d, &up));
	assert_int_equal(up, e);
	assert_int_equal(fx_attr(H, e).nlink, 3);
	fx_clean();
	fx_make(TREE_ROOT, "empty", S_IFDIR | 0755);
	in_batch(rename_(e, "f", TREE_ROOT, "empty", 0));
	assert_int_equal(find(TREE_ROOT, "empty"), d);
	fx_clean();
}

static void test_setattr(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct tree_attr set = { .mode = S_IFDIR | 04751, .uid = 5, .gid = 6, .atime_ns = 11, .mtime_ns = -12, .ctime_ns = 13 }, got;

	(void)state;
	in_batch(tree_setattr(fx.t, fx.tree, a, TREE_SET_MODE | TREE_SET_UID | TREE_SET_GID, &set, &got));
	assert_int_equal(got.mode, S_IFREG | 04751);
	assert_int_equal(got.uid, 5);
	assert_int_equal(got.gid, 6);
	in_batch(tree_setattr(fx.t, fx.tree, a, TREE_SET_ATIME | TREE_SET_MTIME | TREE_SET_CTIME, &set, &got));
	got = fx_attr(H, a);
	assert_true(got.atime_ns == 11 && got.mtime_ns == -12 && got.ctime_ns == 13);
	fx_write(fx.tree, a, 0, "x", 1);
	assert_true(fx_attr(H, a).mtime_ns > 1000);
	fx_clean();
}

static void test_xattrs(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	SCOPED_BUF struct buf out = BUF_INIT;
	char *big = calloc(1, TREE_XATTRS_MAX + 1);

	(void)state;
	assert_int_equal(tree_getxattr(LIVE, H, a, fx_name("user.x"), &out), -ENODATA);
	ok(tree_listxattr(LIVE, H, a, &out));
	assert_int_equal(out.len, 0);
	in_batch(tree_setxattr(fx.t, fx.tree, a, fx_name("user.x"), slice_str("one"), 0));
	in_batch(tree_setxattr(fx.t, fx.tree, a, fx_name("user.y"), slice_str(""), XATTR_CREATE));
	refused(tree_setxattr(fx.t, fx.tree, a, fx_name("user.y"), slice_str("2"), XATTR_CREATE), -EEXIST);
	refused(tree_setxattr(fx.t, fx.tree, a, fx_name("user.z"), slice_str("2"), XATTR_REPLACE), -ENODATA);
	refused(tree_removexattr(fx.t, fx.tree, a, fx_name("user.z")), -ENODATA);
	refused(tree_setxattr(fx.t, fx.tree, a, fx_name(""), slice_str("2"), 0), -EINVAL);
	refused(tree_setxattr(fx.t, fx.tree, a, fx_name("user.b"), slice_of(big, TREE_XATTRS_MAX), 0), -ENOSPC);
	refused(tree_setxattr(fx.t, fx.tree, a, fx_name("user.b"), slice_of(big, TREE_XATTRS_MAX + 1), 0), -E2BIG);
	ok(tree_getxattr(LIVE, H, a, fx_name("user.x"), &out));
	assert_true(slice_eq(buf_slice(&out), slice_str("one")));
	buf_reset(&out);
	ok(tree_listxattr(LIVE, H, a, &out));
	assert_true(slice_eq(buf_slice(&out), slice_of("user.x\0user.y\0", 14)));
	fx_cut(fx.tree);
	in_batch(tree_removexattr(fx.t, fx.tree, a, fx_name("user.x")));
	in_batch(tree_removexattr(fx.t, fx.tree, a, fx_name("user.y")));
	buf_reset(&out);
	ok(tree_listxattr(LIVE, H, a, &out));
	assert_int_equal(out.len, 0);
	ok(tree_getxattr(LIVE, AT(fx.tree, 1), a, fx_name("user.x"), &out));
	fx_clean();
	in_batch(tree_drop_version(fx.t, fx.tree, 1));
	fx_settle();
	fx_clean();
	free(big);
}

/* --- listing -------------------------------------------------------------------------------------------- */

struct seen {
	uint64_t cookie;
	unsigned count, limit;
	bool names[3000];
};

static int note(void *arg, const struct tree_entry *entry)
{
	struct seen *s = arg;
	char name[16] = { 0 };

	if (s->count == s->limit)
		return 1;
	assert_true(entry->cookie > s->cookie);
	memcpy(name, entry->name.data, entry->name.len);
	s->names[strtoul(name + 1, NULL, 10)] = true;
	s->cookie = entry->cookie;
	s->count++;
	return 0;
}

/* rm -rf: what is removed between two calls makes the reader skip nothing. */
static void test_readdir_while_removing(void **state)
{
	struct seen *s = calloc(1, sizeof *s);
	char name[16];
	uint32_t version;

	(void)state;
	ok(kv_begin(fx.kv));
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "n%u", i);
		ok(make(TREE_ROOT, slice_str(name), S_IFREG | 0644));
	}
	ok(kv_commit(fx.kv, NULL));
	version = fx_cut(fx.tree);
	for (unsigned done = 0; done < 1000; done += 10) {
		memset(s->names, 0, sizeof s->names);
		s->count = 0;
		s->limit = 10;
		ok(tree_readdir(LIVE, H, TREE_ROOT, s->cookie, note, s));
		assert_int_equal(s->count, 10);
		ok(kv_begin(fx.kv));
		for (unsigned i = 0; i < 1000; i++) {
			snprintf(name, sizeof name, "n%u", i);
			if (s->names[i])
				ok(tree_unlink(fx.t, fx.tree, TREE_ROOT, slice_str(name)));
		}
		ok(kv_commit(fx.kv, NULL));
	}
	s->count = 0;
	ok(tree_readdir(LIVE, H, TREE_ROOT, 0, note, s));
	assert_int_equal(s->count, 0);
	*s = (struct seen){ .limit = 5000 };
	ok(tree_readdir(LIVE, AT(fx.tree, version), TREE_ROOT, 0, note, s));
	assert_int_equal(s->count, 1000);
	fx_clean();
	in_batch(tree_drop_version(fx.t, fx.tree, version));
	fx_settle();
	fx_clean();
	free(s);
}

/* A name that is replaced keeps its place in the listing; one that is made again gets a new one, seen by who reads on. */
static void test_cookies(void **state)
{
	struct seen s = { .limit = 2 };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		fx_make(TREE_ROOT, (const char *[]){ "n0", "n1", "n2", "n3" }[i], S_IFREG | 0644);
	ok(tree_readdir(LIVE, H, TREE_ROOT, 0, note, &s));
	in_batch(rename_(TREE_ROOT, "n3", TREE_ROOT, "n0", 0));
	fx_cut(fx.tree);
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("n1")));
	fx_make(TREE_ROOT, "n1", S_IFREG | 0644);
	memset(s.names, 0, sizeof s.names);
	s.limit = 100;
	ok(tree_readdir(LIVE, H, TREE_ROOT, s.cookie, note, &s));
	assert_true(!s.names[0] && s.names[1] && s.names[2] && !s.names[3]);
	assert_int_equal(tree_readdir(LIVE, H, 4000, 0, note, &s), -ENOENT);
	assert_int_equal(tree_readdir(LIVE, H, find(TREE_ROOT, "n0"), 0, note, &s), -ENOTDIR);
	fx_clean();
}

static int fail_with(void *arg, const struct tree_entry *entry)
{
	(void)entry;
	return *(int *)arg;
}

static void test_readdir_errors(void **state)
{
	int rc = -EIO;

	(void)state;
	fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	assert_int_equal(tree_readdir(LIVE, H, TREE_ROOT, 0, fail_with, &rc), -EIO);
	rc = 5;
	assert_int_equal(tree_readdir(LIVE, H, TREE_ROOT, 0, fail_with, &rc), 0);
	assert_int_equal(tree_readdir(LIVE, H, TREE_ROOT, UINT64_MAX, fail_with, &rc), 0);
}

/* --- whole trees, and faults ------------------------------------------------------------------------------ */

static void test_delete_tree(void **state)
{
	struct trees_stats stats;
	struct tree_info info;
	uint32_t other, d;
	char name[16];

	(void)state;
	in_batch(tree_new(fx.t, TREE_OWNER_ENTRY, 3, S_IFREG | 0644, 0, 0, &other));
	refused(tree_new(fx.t, TREE_OWNER_ENTRY, 3, S_IFIFO | 0644, 0, 0, &d), -EINVAL);
	in_batch(tree_set_owner(fx.t, other, TREE_OWNER_SCRATCH, 0));
	fx_write(other, TREE_ROOT, 0, "head", 4);
	d = fx_make(TREE_ROOT, "d", S_IFDIR | 0755);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "f%u", i);
		fx_write(fx.tree, fx_make(d, name, S_IFREG | 0644), i * 500, "x", 1);
		if (i % 100 == 50)
			fx_cut(fx.tree);
	}
	in_batch(tree_delete(fx.t, fx.tree));
	assert_int_equal(tree_info(LIVE, fx.tree, &info), -ENOENT);
	refused(make(TREE_ROOT, slice_str("x"), S_IFREG | 0644), -ENOENT);
	refused(tree_delete(fx.t, fx.tree), -ENOENT);
	fx_clean();
	fx_settle();
	fx_clean();
	ok(trees_stats(fx.t, LIVE, &stats));
	assert_int_equal(stats.trees, 1);
	assert_int_equal(stats.inodes, 1);
	assert_int_equal(stats.contents, 1);
	fx_is(HEAD_OF(other), TREE_ROOT, "head", 4);
	ok(tree_info(LIVE, other, &info));
	assert_int_equal(info.owner, TREE_OWNER_SCRATCH);
}

/* Change one byte of the first row of TABLE at or after PREFIX. */
static void damage(uint8_t table, struct slice prefix, size_t at, uint8_t flip)
{
	struct kv_cursor *cur;
	uint8_t key[400], value[4200];
	size_t klen, vlen;

	ok(kv_begin(fx.kv));
	ok(kv_cursor_open(LIVE, table, &cur));
	ok(kv_cursor_seek(cur, prefix));
	klen = kv_cursor_key(cur).len;
	vlen = kv_cursor_value(cur).len;
	memcpy(key, kv_cursor_key(cur).data, klen);
	memcpy(value, kv_cursor_value(cur).data, vlen);
	kv_cursor_close(cur);
	assert_true(at < vlen);
	value[at] ^= flip;
	ok(kv_put(fx.kv, table, slice_of(key, klen), slice_of(value, vlen)));
	ok(kv_commit(fx.kv, NULL));
}

static void test_check_finds(void **state)
{
	static const struct { uint8_t table; size_t prefix, at; uint8_t flip; } plans[] = {
		{ TABLE_INODE, 1, 0, 0x80 },		/* unknown flag */
		{ TABLE_INODE, 1, 13, 1 },		/* links of the root */
		{ TABLE_DIRENT, 1, 1, 0x40 },		/* names an inode that is not there */
		{ TABLE_DIRENT, 1, 6, 0x20 },		/* a cookie without a row */
		{ TABLE_DIRENT_COOKIE, 1, 0, 1 },	/* another name */
		{ TABLE_CONTENT, 1, 0, 0x40 },		/* unknown state */
		{ TABLE_CONTENT, 1, 3, 1 },		/* references */
		{ TABLE_EXTENT, 1, 4, 1 },		/* past the end */
		{ TABLE_LAYER, 1, 0, 1 },		/* of another content */
		{ TABLE_TREE, 4, 22, 1 },		/* inode count */
		{ TABLE_XATTR, 1, 0, 0x40 },		/* lengths */
	};
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	const uint8_t zero = 0;
	char *big = calloc(1, 20000);

	(void)state;
	fx_write(fx.tree, a, 0, memset(big, 1, 20000), 20000);
	in_batch(tree_setxattr(fx.t, fx.tree, a, fx_name("user.x"), slice_str("one"), 0));
	free(big);
	fx_clean();
	for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
		const uint8_t first_tree[4] = { 0, 0, 0, 1 };
		struct slice prefix = plans[i].prefix == 4 ? slice_of(first_tree, 4) : slice_of(&zero, 1);

		damage(plans[i].table, prefix, plans[i].at, plans[i].flip);
		if (fx_faults() == 0) {
			fprintf(stderr, "plan %zu was not found\n", i);
			fail();
		}
		damage(plans[i].table, prefix, plans[i].at, plans[i].flip);
		fx_clean();
	}
	ok(unlinkat(fx.dirfd, "dirty/00000001", 0));
	assert_true(fx_faults() > 0);
}

/* Reading what is damaged is an error, never more than that. */
static void test_damage_is_an_error(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	const uint8_t zero = 0;
	struct tree_attr attr;
	char byte;

	(void)state;
	fx_write(fx.tree, a, 0, "abc", 3);
	damage(TABLE_CONTENT, slice_of(&zero, 1), 0, 0x40);
	assert_int_equal(tree_read(fx.t, LIVE, H, a, 0, &byte, 1), -EBADMSG);
	assert_int_equal(tree_getattr(fx.t, LIVE, H, a, &attr), -EBADMSG);
	refused(tree_write(fx.t, fx.tree, a, 0, slice_str("x"), false), -EBADMSG);
	damage(TABLE_CONTENT, slice_of(&zero, 1), 0, 0x40);
	damage(TABLE_INODE, slice_of(&zero, 1), 0, 0x80);
	assert_int_equal(tree_getattr(fx.t, LIVE, H, TREE_ROOT, &attr), -EBADMSG);
	fx_is(H, a, "abc", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_make_every_kind, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_links_and_removal, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_orphans, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_deleted_while_open, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_rename, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_setattr, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_xattrs, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_readdir_while_removing, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_cookies, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_readdir_errors, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_delete_tree, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_check_finds, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_an_error, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
