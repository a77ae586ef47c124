/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of files: a random test in the manner of fsx against copies in memory, of two heads and of every version; and the
 * corners by hand.
 */
#include <linux/falloc.h>

#include "store/tree/content.h"
#include "store/tree/inode.h"
#include "tests/unit/tree_fixture.h"

#define SIZE_MAX_TEST (192u << 10)
#define FILES 2u
#define VERSIONS 12u

struct model {
	uint8_t bytes[SIZE_MAX_TEST];
	size_t size;
};

struct version {
	uint32_t epoch;			/* 0: free */
	struct model *files[FILES];
};

static struct model head[FILES];
static struct version versions[VERSIONS];
static uint32_t inos[FILES];
static uint8_t scratch[SIZE_MAX_TEST];
static struct tree_seal *seal;		/* between begin and end */

static void fill(uint8_t *p, size_t len)
{
	if (fx_random(8) == 0) {
		memset(p, 0, len);
		return;
	}
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(fx_random(255) + 1);
}

static uint32_t some_len(void)
{
	switch (fx_random(4)) {
	case 0: return 1 + fx_random(100);
	case 1: return 1 + fx_random(5000);
	case 2: return 4096 * (1 + fx_random(6));
	default: return 1 + fx_random(40000);
	}
}

static uint32_t some_off(uint32_t len)
{
	uint32_t off = fx_random(3) ? fx_random(SIZE_MAX_TEST - len) : fx_random(9000);

	return off + len > SIZE_MAX_TEST ? 0 : fx_random(3) ? off : off & ~4095u;
}

static void model_write(struct model *m, size_t off, const uint8_t *p, size_t len)
{
	if (off > m->size)
		memset(m->bytes + m->size, 0, off - m->size);
	memcpy(m->bytes + off, p, len);
	if (off + len > m->size)
		m->size = off + len;
}

static void model_resize(struct model *m, size_t size)
{
	if (size > m->size)
		memset(m->bytes + m->size, 0, size - m->size);
	m->size = size;
}

static void do_write(unsigned f)
{
	uint32_t len = some_len(), off = fx_random(4) ? some_off(len) : (uint32_t)head[f].size;

	if (off + len > SIZE_MAX_TEST)
		off = 0;
	fill(scratch, len);
	fx_write(fx.tree, inos[f], off, scratch, len);
	model_write(&head[f], off, scratch, len);
}

static void do_resize(unsigned f)
{
	uint32_t size = fx_random(6) ? fx_random(SIZE_MAX_TEST) : fx_random(3) * 2000;

	fx_resize(fx.tree, inos[f], size);
	model_resize(&head[f], size);
}

static void do_punch(unsigned f)
{
	uint32_t len = some_len(), off = some_off(len);
	size_t end = off + len < head[f].size ? off + len : head[f].size;
	int mode = fx_random(2) ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;

	in_batch(tree_fallocate(fx.t, fx.tree, inos[f], mode, off, len, false));
	if (off < end)
		memset(head[f].bytes + off, 0, end - off);
	if (mode == FALLOC_FL_ZERO_RANGE && off + len > head[f].size)
		model_resize(&head[f], off + len);
}

static void do_allocate(unsigned f)
{
	uint32_t len = some_len(), off = some_off(len);

	in_batch(tree_fallocate(fx.t, fx.tree, inos[f], 0, off, len, false));
	if (off + len > head[f].size)
		model_resize(&head[f], off + len);
}

/* From the head of either file, or from a version of it, to file F. */
static void do_copy(unsigned f)
{
	unsigned from = fx_random(FILES);
	struct version *v = &versions[fx_random(VERSIONS)];
	struct model *m = v->epoch && fx_random(2) ? v->files[from] : &head[from];
	struct tree_place at = m == &head[from] ? HEAD_OF(fx.tree) : AT(fx.tree, v->epoch);
	uint32_t len = some_len(), off = some_off(len), src = some_off(len);
	uint64_t got = 0;

	if (fx_random(4) == 0) {	/* as cp does */
		src = off = 0;
		len = fx_random(2) ? SIZE_MAX_TEST : len;
	} else if (fx_random(3) == 0) {
		src = off;
	}
	in_batch(tree_copy_range(fx.t, at, inos[from], src, fx.tree, inos[f], off, len, false, &got));
	if (src >= m->size) {
		assert_int_equal(got, 0);
		return;
	}
	assert_true(got > 0 && got <= len && got <= m->size - src);
	memcpy(scratch, m->bytes + src, got);
	model_write(&head[f], off, scratch, got);
}

static void do_share(unsigned f)
{
	unsigned from = fx_random(FILES);
	struct version *v = &versions[fx_random(VERSIONS)];

	if (!v->epoch)
		return;
	in_batch(tree_share_content(fx.t, AT(fx.tree, v->epoch), inos[from], fx.tree, inos[f]));
	head[f] = *v->files[from];
}

static void do_cut(void)
{
	struct version *v = &versions[fx_random(VERSIONS)];

	if (v->epoch) {
		in_batch(tree_drop_version(fx.t, fx.tree, v->epoch));
		for (unsigned f = 0; f < FILES; f++)
			free(v->files[f]);
		*v = (struct version){ .epoch = 0 };
		if (fx_random(3) == 0)
			return;
	}
	v->epoch = fx_cut(fx.tree);
	for (unsigned f = 0; f < FILES; f++) {
		v->files[f] = malloc(sizeof head[f]);
		assert_non_null(v->files[f]);
		*v->files[f] = head[f];
	}
}

static void compare_place(struct tree_place at, struct model *const files[FILES])
{
	for (unsigned f = 0; f < FILES; f++)
		fx_is(at, inos[f], files[f]->bytes, files[f]->size);
}

static void compare_all(void)
{
	compare_place(HEAD_OF(fx.tree), (struct model *[]){ &head[0], &head[1] });
	for (unsigned i = 0; i < VERSIONS; i++)
		if (versions[i].epoch)
			compare_place(AT(fx.tree, versions[i].epoch), versions[i].files);
}

/* A big write with something else between its begin and its end: a cut, a copy, a small write, a truncation. */
static void do_flight(unsigned f)
{
	uint32_t len = 1 + fx_random(60000), off = some_off(len);
	struct tree_write w;
	bool cut = false;
	struct model *before = NULL;
	uint32_t epoch = 0;
	unsigned when = fx_random(3);

	fill(scratch, len);
	in_batch(tree_write_begin(fx.t, fx.tree, inos[f], off, len, false, &w));
	if (when == 0)
		ok(tree_write_bytes(&w, slice_of(scratch, len)));
	if (fx_random(2)) {		/* the version may hold any mix of old and new there, but must not change later */
		epoch = fx_cut(fx.tree);
		before = malloc(sizeof *before);
		assert_non_null(before);
		before->size = (size_t)tree_read(fx.t, LIVE, AT(fx.tree, epoch), inos[f], 0, before->bytes, SIZE_MAX_TEST);
		cut = true;
	} else if (fx_random(3) == 0) {
		fx_resize(fx.tree, inos[f], off / 2);
		model_resize(&head[f], off / 2);
	} else if (fx_random(2)) {
		uint8_t other[64];

		fill(other, sizeof other);	/* beside it, in the same block */
		if (off >= sizeof other) {
			fx_write(fx.tree, inos[f], off - sizeof other, other, sizeof other);
			model_write(&head[f], off - sizeof other, other, sizeof other);
		}
	}
	if (when)
		ok(tree_write_bytes(&w, slice_of(scratch, len)));
	in_batch(tree_write_end(fx.t, &w, len, 0));
	model_write(&head[f], off, scratch, len);
	if (cut) {
		fx_is(AT(fx.tree, epoch), inos[f], before->bytes, before->size);
		in_batch(tree_drop_version(fx.t, fx.tree, epoch));
		free(before);
	}
}

static void do_seal(void)
{
	struct kv_view *snap;

	if (!seal) {
		if (tree_seal_begin(fx.t, 0, &seal))
			seal = NULL;
		return;
	}
	ok(kv_publish(fx.kv));
	ok(kv_snapshot_open(fx.kv, &snap));
	fx_must(tree_seal_work(seal, snap), "tree_seal_work", 0);
	kv_snapshot_close(snap);
	if (fx_random(3) == 0)		/* something happens before the core hears of it */
		do_write(fx_random(FILES));
	fx_must(tree_seal_end(fx.t, seal), "tree_seal_end", 0);
	tree_seal_free(seal);
	seal = NULL;
}

/* Holes are zeros, and both directions of seeking agree. */
static void check_seek(unsigned f)
{
	uint64_t at = 0;

	while (at < head[f].size) {
		int64_t data = tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), inos[f], at, false);
		int64_t hole;
		uint64_t end = data < 0 ? head[f].size : (uint64_t)data;

		assert_true(data >= (int64_t)at || data == -ENXIO);
		for (uint64_t i = at; i < end; i++)
			assert_int_equal(head[f].bytes[i], 0);
		if (data < 0)
			return;
		hole = tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), inos[f], end, true);
		assert_true(hole > data && hole <= (int64_t)head[f].size);
		at = (uint64_t)hole;
	}
}

static void one_step(void)
{
	unsigned f = fx_random(FILES), what = fx_random(100);
	bool more;

	if (what < 40)
		do_write(f);
	else if (what < 48)
		do_resize(f);
	else if (what < 56)
		do_punch(f);
	else if (what < 58)
		do_allocate(f);
	else if (what < 68)
		do_copy(f);
	else if (what < 70)
		do_share(f);
	else if (what < 78)
		do_cut();
	else if (what < 84)
		do_flight(f);
	else if (what < 94)
		do_seal();
	else
		ok(trees_work_step(fx.t, &more));
}

static void random_run(uint64_t seed, unsigned steps)
{
	char name[16];

	fx.seed = seed;
	for (unsigned f = 0; f < FILES; f++) {
		snprintf(name, sizeof name, "file%u", f);
		inos[f] = fx_make(TREE_ROOT, name, S_IFREG | 0644);
		head[f].size = 0;
	}
	for (unsigned i = 1; i <= steps; i++) {
		one_step();
		if (i % 5 == 0)
			compare_place(HEAD_OF(fx.tree), (struct model *[]){ &head[0], &head[1] });
		if (i % 40 == 0) {
			compare_all();
			fx_clean();
			check_seek(fx_random(FILES));
		}
		if (i % 400 == 0 && !seal) {
			fx_reopen();
			compare_all();
		}
	}
	if (seal) {
		tree_seal_free(seal);
		seal = NULL;
	}
	compare_all();
	fx_settle();
	compare_all();
	fx_clean();
	fx_cas_clean();
	for (unsigned i = 0; i < VERSIONS; i++) {
		for (unsigned f = 0; f < FILES && versions[i].epoch; f++)
			free(versions[i].files[f]);
		versions[i] = (struct version){ .epoch = 0 };
	}
	in_batch(tree_delete(fx.t, fx.tree));
	fx_settle();
	fx_clean();
	fx_cas_clean();
}

static void test_random(void **state)
{
	const char *env = getenv("TREE_SEED"), *steps = getenv("TREE_STEPS");

	(void)state;
	random_run(env ? strtoull(env, NULL, 10) : 20240601, steps ? (unsigned)strtoul(steps, NULL, 10) : 1500);
}

static void test_random_other(void **state)
{
	(void)state;
	random_run(77, 1000);
}

static void test_small_files_need_no_layer(void **state)
{
	uint32_t ino = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct trees_stats stats;

	(void)state;
	fx_is(HEAD_OF(fx.tree), ino, "", 0);
	fx_write(fx.tree, ino, 0, "hello", 5);
	fx_write(fx.tree, ino, 5, " world", 6);
	fx_write(fx.tree, ino, 13, "!", 1);
	fx_is(HEAD_OF(fx.tree), ino, "hello world\0\0!", 14);
	assert_int_equal(fx_attr(HEAD_OF(fx.tree), ino).blocks, 1);
	memset(scratch, 'x', TREE_INLINE_MAX + 1);
	fx_write(fx.tree, ino, 0, scratch, TREE_INLINE_MAX);
	ok(trees_stats(fx.t, LIVE, &stats));
	assert_int_equal(stats.layers, 0);
	fx_write(fx.tree, ino, TREE_INLINE_MAX, "x", 1);
	ok(trees_stats(fx.t, LIVE, &stats));
	assert_int_equal(stats.layers, 1);
	assert_int_equal(stats.contents, 2);
	fx_is(HEAD_OF(fx.tree), ino, scratch, TREE_INLINE_MAX + 1);
	fx_resize(fx.tree, ino, 0);
	ok(trees_stats(fx.t, LIVE, &stats));
	fx_work();
	ok(trees_stats(fx.t, LIVE, &stats));
	assert_int_equal(stats.layers, 0);
	assert_int_equal(stats.contents, 0);
	fx_clean();
}

static void test_limits(void **state)
{
	uint32_t ino = fx_make(TREE_ROOT, "a", S_IFREG | 0644), dir = fx_make(TREE_ROOT, "d", S_IFDIR | 0755);
	struct tree_attr attr = { .size = (UINT64_C(1) << 62) + 1 };
	struct tree_write w;
	char byte;

	(void)state;
	refused(tree_write(fx.t, fx.tree, ino, UINT64_C(1) << 62, slice_str("x"), false), -EFBIG);
	refused(tree_write(fx.t, fx.tree, ino, UINT64_MAX, slice_str("x"), false), -EFBIG);
	refused(tree_setattr(fx.t, fx.tree, ino, TREE_SET_SIZE, &attr, &attr), -EFBIG);
	refused(tree_fallocate(fx.t, fx.tree, ino, 0, UINT64_MAX - 5, 10, false), -EFBIG);
	refused(tree_fallocate(fx.t, fx.tree, ino, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, false), -EOPNOTSUPP);
	refused(tree_fallocate(fx.t, fx.tree, ino, FALLOC_FL_PUNCH_HOLE, 0, 4096, false), -EOPNOTSUPP);
	refused(tree_fallocate(fx.t, fx.tree, ino, 0, 0, 0, false), -EINVAL);
	refused(tree_write(fx.t, fx.tree, dir, 0, slice_str("x"), false), -EISDIR);
	refused(tree_write(fx.t, fx.tree, 999, 0, slice_str("x"), false), -ENOENT);
	refused(tree_write_begin(fx.t, fx.tree, dir, 0, 10, false, &w), -EISDIR);
	fx_resize(fx.tree, ino, UINT64_C(1) << 62);
	assert_int_equal(tree_read(fx.t, LIVE, HEAD_OF(fx.tree), ino, (UINT64_C(1) << 62) - 1, &byte, 1), 1);
	assert_int_equal(byte, 0);
	fx_write(fx.tree, ino, UINT64_C(5) << 30, "far", 3);
	assert_int_equal(tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), ino, 0, false), INT64_C(5) << 30);
	assert_int_equal(tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), ino, UINT64_C(5) << 30, true), (INT64_C(5) << 30) + 3);
	assert_int_equal(tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), ino, UINT64_C(6) << 30, false), -ENXIO);
	assert_int_equal(fx_attr(HEAD_OF(fx.tree), ino).blocks, 1);
	fx_resize(fx.tree, ino, UINT64_C(6) << 30);
	fx_settle();
	assert_int_equal(tree_seek(fx.t, LIVE, HEAD_OF(fx.tree), ino, 0, false), INT64_C(5) << 30);
	fx_clean();
}

/* cp of a whole file is one reference; the copy and the original then go their own ways. */
static void test_copies_share(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	struct trees_stats before, after;
	struct tree_info info;
	uint64_t got;

	(void)state;
	fill(scratch, 100000);
	scratch[0] = 1;
	fx_write(fx.tree, a, 0, scratch, 100000);
	ok(trees_stats(fx.t, LIVE, &before));
	in_batch(tree_copy_range(fx.t, HEAD_OF(fx.tree), a, 0, fx.tree, b, 0, UINT64_C(1) << 40, false, &got));
	assert_int_equal(got, 100000);
	ok(trees_stats(fx.t, LIVE, &after));
	assert_int_equal(after.contents, before.contents);
	assert_int_equal(after.bytes_layers, before.bytes_layers);
	ok(tree_info(LIVE, fx.tree, &info));
	assert_int_equal(info.bytes, 200000);
	fx_write(fx.tree, a, 10, "AAAA", 4);
	fx_is(HEAD_OF(fx.tree), b, scratch, 100000);
	fx_write(fx.tree, b, 50000, "BBBB", 4);
	memcpy(scratch + 50000, "BBBB", 4);
	fx_is(HEAD_OF(fx.tree), b, scratch, 100000);
	fx_clean();
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("a")));
	fx_is(HEAD_OF(fx.tree), b, scratch, 100000);
	fx_settle();
	fx_is(HEAD_OF(fx.tree), b, scratch, 100000);
	fx_clean();
}

/* A long row of versions, each with a small change, and no sealing: chains stay short enough to be read. */
static void test_deep_chains(void **state)
{
	uint32_t ino = fx_make(TREE_ROOT, "a", S_IFREG | 0644), epochs[120];
	uint8_t *p = calloc(1, 100000);

	(void)state;
	fx_write(fx.tree, ino, 0, p, 100000);
	for (unsigned i = 0; i < 120; i++) {
		p[i * 800] = (uint8_t)(i + 1);
		fx_write(fx.tree, ino, i * 800, p + i * 800, 1);
		epochs[i] = fx_cut(fx.tree);
	}
	fx_is(HEAD_OF(fx.tree), ino, p, 100000);
	fx_clean();
	for (unsigned i = 120; i-- > 0;) {
		if (i % 7 == 0)
			fx_is(AT(fx.tree, epochs[i]), ino, p, 100000);
		p[i * 800] = 0;
	}
	fx_settle();
	fx_is(AT(fx.tree, epochs[0]), ino, (p[0] = 1, p), 100000);
	fx_clean();
	fx_cas_clean();
	free(p);
}

static void test_held_writes(void **state)
{
	uint32_t ino = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct tree_attr attr = { .mode = 0600, .size = 2 };

	(void)state;
	fx_write(fx.tree, ino, 0, "abc", 3);
	in_batch(tree_freeze(fx.t, fx.tree));
	refused(tree_write(fx.t, fx.tree, ino, 0, slice_str("x"), false), -EROFS);
	refused(tree_setattr(fx.t, fx.tree, ino, TREE_SET_MODE, &attr, &attr), -EROFS);
	refused(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("a")), -EROFS);
	in_batch(tree_write(fx.t, fx.tree, ino, 3, slice_str("def"), true));
	in_batch(tree_setattr(fx.t, fx.tree, ino, TREE_SET_SIZE | TREE_SET_HELD, &attr, &attr));
	fx_is(HEAD_OF(fx.tree), ino, "ab", 2);
	in_batch(tree_thaw(fx.t, fx.tree));
	fx_write(fx.tree, ino, 0, "x", 1);
	fx_clean();
}

/* A failing batch leaves no trace, also where bytes already went into a layer. */
static void test_aborted_batches(void **state)
{
	uint32_t ino = fx_make(TREE_ROOT, "a", S_IFREG | 0644);

	(void)state;
	memset(scratch, 'q', 50000);
	ok(kv_begin(fx.kv));
	ok(tree_write(fx.t, fx.tree, ino, 0, slice_of(scratch, 50000), false));
	kv_abort(fx.kv);
	fx_is(HEAD_OF(fx.tree), ino, "", 0);
	fx_clean();
	fx_write(fx.tree, ino, 20000, "real", 4);
	memset(scratch, 0, 20000);
	memcpy(scratch + 20000, "real", 4);
	fx_is(HEAD_OF(fx.tree), ino, scratch, 20004);
	fx_clean();
	fx_reopen();
	fx_is(HEAD_OF(fx.tree), ino, scratch, 20004);
	fx_clean();
}

static void test_same_bytes(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	struct tree_place h = HEAD_OF(fx.tree);
	uint64_t got;
	bool same;

	(void)state;
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 0, &same));
	assert_true(same);
	fill(scratch, 150000);
	scratch[9] = 1;
	fx_write(fx.tree, a, 0, scratch, 150000);
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 0, &same));
	assert_false(same);
	fx_write(fx.tree, b, 0, scratch, 150000);
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 0, &same));
	assert_true(same);
	assert_int_equal(tree_same_bytes(fx.t, LIVE, h, a, h, b, 1000, &same), -E2BIG);
	in_batch(tree_copy_range(fx.t, h, a, 0, fx.tree, b, 0, 150000, false, &got));
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 1, &same));
	assert_true(same);		/* shared: nothing is compared */
	fx_write(fx.tree, b, 70000, scratch + 70000, 10);
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 8192, &same));
	assert_true(same);		/* one block is */
	fx_write(fx.tree, b, 70000, "\xff\xfe\xfd\xfc\xfb", 5);
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 8192, &same));
	assert_false(same);
	fx_settle();
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 1, &same));
	assert_false(same);		/* sealed: the roots say it */
	fx_write(fx.tree, b, 70000, scratch + 70000, 5);
	fx_settle();
	ok(tree_same_bytes(fx.t, LIVE, h, a, h, b, 1, &same));
	assert_true(same);
}

/* A big write whose beginning did not commit leaves nothing behind that would keep the file from being sealed. */
static void test_cancelled_write(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct tree_write w;

	(void)state;
	fill(scratch, 150000);
	fx_write(fx.tree, a, 0, scratch, 100000);
	ok(kv_begin(fx.kv));
	ok(tree_write_begin(fx.t, fx.tree, a, 50000, 100000, false, &w));
	kv_abort(fx.kv);
	tree_write_cancel(fx.t, &w);
	fx_is(HEAD_OF(fx.tree), a, scratch, 100000);
	in_batch(tree_write_begin(fx.t, fx.tree, a, 50000, 100000, false, &w));
	ok(tree_write_bytes(&w, slice_of(scratch + 50000, 100000)));
	tree_write_cancel(fx.t, &w);
	fx_clean();
	fx_settle();
	fx_is(HEAD_OF(fx.tree), a, scratch, 100000);
	fx_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_small_files_need_no_layer, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_limits, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_copies_share, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_deep_chains, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_held_writes, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_aborted_batches, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_write, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_same_bytes, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_random, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_random_other, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
