/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of FORMAT.md section 3: the rows of a known store (tests/golden/tree-rows.hex) are put into an empty engine, read
 * through tree.h, and written again by the program's own encoders, which must give the same bytes; and every row of
 * tree-reject.hex must be refused.
 *
 * TREE_GOLDEN=FILE makes that store afresh and writes its rows to FILE (the times will be others).
 */
#include <linux/falloc.h>
#include <sys/stat.h>

#include "store/tree/content.h"
#include "store/tree/dirent.h"
#include "store/tree/extent.h"
#include "store/tree/tree_internal.h"
#include "store/tree/xattr.h"
#include "tests/unit/tree_fixture.h"

#define LAYER_BYTES 10000u

static const uint8_t tables[] = {
	TABLE_CHUNK, TABLE_TREE, TABLE_TREE_EPOCH, TABLE_INODE, TABLE_DIRENT, TABLE_DIRENT_COOKIE, TABLE_XATTR, TABLE_CONTENT,
	TABLE_EXTENT, TABLE_LAYER, TABLE_ORPHAN, TABLE_TREE_WORK,
};

static uint8_t pattern[LAYER_BYTES];

static void make_pattern(void)
{
	for (unsigned i = 0; i < LAYER_BYTES; i++)
		pattern[i] = (uint8_t)(i * 7 + 1);
}

/* --- writing it (once) -------------------------------------------------------------------------------------- */

static void print_hex(FILE *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		fprintf(out, "%02x", ((const uint8_t *)s.data)[i]);
	if (s.len == 0)
		fputc('-', out);
}

static void dump(const char *path)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	for (size_t i = 0; i < sizeof tables; i++) {
		struct kv_cursor *cur;
		int rc;

		ok(kv_cursor_open(LIVE, tables[i], &cur));
		for (rc = kv_cursor_seek(cur, slice_of("", 1)); !rc; rc = kv_cursor_next(cur)) {
			fprintf(out, "%u ", tables[i]);
			print_hex(out, kv_cursor_key(cur));
			fputc(' ', out);
			print_hex(out, kv_cursor_value(cur));
			fputc('\n', out);
		}
		kv_cursor_close(cur);
	}
	fclose(out);
}

static void write_golden(const char *path)
{
	uint32_t hello, big, doc, gone, other;
	struct tree_attr attr = { .mtime_ns = 1700000000000000000, .atime_ns = 1700000000000000000 };
	uint64_t got;

	hello = fx_make(TREE_ROOT, "hello.txt", S_IFREG | 0644);
	fx_write(fx.tree, hello, 0, "hello\n", 6);
	in_batch(tree_setxattr(fx.t, fx.tree, hello, fx_name("user.k"), slice_str("v"), 0));
	fx_settle();
	big = fx_make(TREE_ROOT, "big", S_IFREG | 0640);
	fx_write(fx.tree, big, 0, pattern, LAYER_BYTES);
	in_batch(tree_setattr(fx.t, fx.tree, big, TREE_SET_MTIME | TREE_SET_ATIME, &attr, &attr));
	fx_cut(fx.tree);
	in_batch(tree_rename(fx.t, fx.tree, TREE_ROOT, fx_name("hello.txt"), TREE_ROOT, fx_name("hi.txt"), 0));
	fx_make(TREE_ROOT, "link", S_IFLNK | 0777);
	fx_make(TREE_ROOT, "d", S_IFDIR | 0755);
	in_batch(tree_fallocate(fx.t, fx.tree, big, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 500, false));
	doc = fx_make(TREE_ROOT, "doc", S_IFREG | 0600);
	fx_write(fx.tree, doc, 0, "0123456789", 10);
	in_batch(tree_copy_range(fx.t, HEAD_OF(fx.tree), big, 2000, fx.tree, doc, 10, 5000, false, &got));
	gone = fx_make(TREE_ROOT, "gone", S_IFREG | 0600);
	fx_write(fx.tree, gone, 0, "x", 1);
	ok(tree_hold(fx.t, fx.tree, gone));
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("gone")));
	in_batch(tree_new(fx.t, TREE_OWNER_ENTRY, 3, S_IFREG | 0644, 1000, 1000, &other));
	in_batch(tree_delete(fx.t, other));
	fx_clean();
	dump(path);
}

/* --- reading it ---------------------------------------------------------------------------------------------- */

static size_t from_hex(const char *text, uint8_t *out)
{
	size_t n = 0;

	for (; *text && *text != '-'; text += 2) {
		unsigned v;

		assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n++] = (uint8_t)v;
	}
	return n;
}

/* Calls EACH for every line "TABLE KEY VALUE" of a golden file. */
static unsigned each_row(const char *name, void (*each)(uint8_t table, struct slice key, struct slice value))
{
	static char line[20000], key_text[1000], value_text[18000];
	static uint8_t key[500], value[9000];
	unsigned table, n = 0;
	FILE *f = fopen(name, "r");

	if (!f)
		fail_msg("%s is missing (run from the top of the source)", name);
	while (fgets(line, sizeof line, f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		assert_int_equal(sscanf(line, "%u %999s %17999s", &table, key_text, value_text), 3);
		each((uint8_t)table, slice_of(key, from_hex(key_text, key)), slice_of(value, from_hex(value_text, value)));
		n++;
	}
	fclose(f);
	return n;
}

static void put_row(uint8_t table, struct slice key, struct slice value)
{
	ok(kv_put(fx.kv, table, key, value));
}

static void row_is_there(uint8_t table, struct slice key, struct slice value)
{
	struct slice got;

	ok(kv_get(LIVE, table, key, &got));
	if (!slice_eq(got, value))
		fail_msg("a row of table %u is written otherwise", table);
}

/* Each row once more by the encoder of its table, over what is there. */
static void write_again(uint8_t table, struct slice key, struct slice value)
{
	const uint8_t *k = key.data;
	struct tree_totals totals;
	struct tree_row row;
	struct content c;
	struct extent e;
	struct inode n;
	uint64_t id;
	bool dead;

	if (table == TABLE_TREE && tkey_get_u32(k) == 0) {
		ok(tree_totals_get(LIVE, &totals));
		ok(tree_totals_put(fx.t, &totals));
	} else if (table == TABLE_TREE) {
		ok(tree_row_parse(tkey_get_u32(k), value, &row));
		ok(tree_row_put(fx.t, &row));
	} else if (table == TABLE_INODE) {
		row = (struct tree_row){ .tree = tkey_get_u32(k), .epoch = ~tkey_get_u32(k + 8) };
		ok(inode_parse(row.tree, tkey_get_u32(k + 4), row.epoch, value, &n, &dead));
		assert_false(dead);
		ok(inode_store(fx.t, &row, &n));
	} else if (table == TABLE_CONTENT) {
		static uint8_t mem[TREE_INLINE_MAX];

		ok(content_parse(tkey_get_u64(k), value, &c));
		if (c.bytes.len)
			c.bytes.data = memcpy(mem, c.bytes.data, c.bytes.len);
		ok(content_put(fx.t, &c));
	} else if (table == TABLE_EXTENT) {
		ok(extent_parse(key, value, &id, &e));
		ok(content_ref(fx.t, e.kind == EXTENT_COPY ? e.src : id));
		ok(extent_cut(fx.t, id, e.off, e.off + e.len));
		ok(extent_put(fx.t, id, &e));
		ok(content_unref(fx.t, e.kind == EXTENT_COPY ? e.src : id));
	}
}

static void test_golden(void **state)
{
	static const char rows[] = "tests/golden/tree-rows.hex";
	const char *path = getenv("TREE_GOLDEN");
	struct tree_place v1 = AT(1, 1), head = HEAD_OF(1);
	SCOPED_BUF struct buf out = BUF_INIT;
	uint8_t want[LAYER_BYTES];
	uint32_t ino;
	int fd;

	(void)state;
	make_pattern();
	if (path) {
		write_golden(path);
		return;
	}
	in_batch(tree_delete(fx.t, fx.tree));
	fx_settle();
	ok(kv_begin(fx.kv));
	each_row(rows, put_row);
	ok(kv_commit(fx.kv, NULL));
	fd = openat(fx.dirfd, "dirty/00000001", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, pattern, LAYER_BYTES), LAYER_BYTES);
	close(fd);
	fx_clean();
	ok(fx_find(v1, TREE_ROOT, "hello.txt", &ino));
	fx_is(v1, ino, "hello\n", 6);
	assert_int_equal(fx_find(head, TREE_ROOT, "hello.txt", &ino), -ENOENT);
	ok(fx_find(head, TREE_ROOT, "hi.txt", &ino));
	ok(tree_getxattr(LIVE, head, ino, fx_name("user.k"), &out));
	assert_true(slice_eq(buf_slice(&out), slice_str("v")));
	ok(fx_find(head, TREE_ROOT, "big", &ino));
	fx_is(v1, ino, pattern, LAYER_BYTES);
	memcpy(want, pattern, LAYER_BYTES);
	memset(want + 1000, 0, 500);
	fx_is(head, ino, want, LAYER_BYTES);
	assert_true(fx_attr(v1, ino).mtime_ns == 1700000000000000000 && fx_attr(v1, ino).mode == (S_IFREG | 0640));
	ok(fx_find(head, TREE_ROOT, "doc", &ino));
	memmove(want + 10, want + 2000, 5000);
	memcpy(want, "0123456789", 10);
	fx_is(head, ino, want, 5010);
	ok(kv_begin(fx.kv));
	each_row(rows, write_again);
	each_row(rows, row_is_there);
	kv_abort(fx.kv);
	fx_reopen();			/* the orphan goes, as after a crash */
	fx_settle();
	fx_clean();
}

static void refuse(uint8_t table, struct slice key, struct slice value)
{
	struct dirent_row d;
	struct tree_row row;
	struct content c;
	struct extent e;
	struct inode n;
	uint64_t id;
	bool dead;
	int rc = 0;

	switch (table) {
	case TABLE_TREE:
		rc = tree_row_parse(1, value, &row);
		break;
	case TABLE_INODE:
		rc = inode_parse(1, 2, 1, value, &n, &dead);
		break;
	case TABLE_DIRENT:
		rc = dirent_parse(1, value, &d);
		break;
	case TABLE_XATTR:
		rc = xattr_check(value);
		break;
	case TABLE_CONTENT:
		rc = content_parse(1, value, &c);
		break;
	case TABLE_EXTENT:
		rc = extent_parse(key, value, &id, &e);
		break;
	default:
		fail_msg("table %u has no such test", table);
	}
	if (rc != -EBADMSG)
		fail_msg("a bad row of table %u was taken", table);
}

static void test_rejects(void **state)
{
	(void)state;
	assert_true(each_row("tests/golden/tree-reject.hex", refuse) >= 25);
}

/* A row of any table that lacks its last byte, or has one more, is no row. */
static void lengths(uint8_t table, struct slice key, struct slice value)
{
	uint8_t longer[9000];

	if (table == TABLE_CHUNK || table == TABLE_TREE_EPOCH || table == TABLE_DIRENT_COOKIE || table >= TABLE_LAYER ||
	    (table == TABLE_TREE && tkey_get_u32(key.data) == 0))
		return;
	for (size_t len = table == TABLE_XATTR ? 1 : 0; len < value.len; len++)
		refuse(table, key, slice_of(value.data, len));
	memcpy(longer, value.data, value.len);
	longer[value.len] = 0;
	refuse(table, key, slice_of(longer, value.len + 1));
}

static void test_lengths(void **state)
{
	(void)state;
	assert_true(each_row("tests/golden/tree-rows.hex", lengths) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_golden, fx_setup, fx_teardown),
		cmocka_unit_test(test_rejects),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
