/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing: layers and inline bytes become blobs while the head goes on changing; layers are used again; sums; fsync.
 */
#include <pthread.h>

#include "store/base/hash.h"
#include "store/base/io.h"
#include "store/tree/content.h"
#include "store/tree/layer.h"
#include "tests/unit/tree_fixture.h"

#define H HEAD_OF(fx.tree)

static char big[300000];

static void fill(unsigned seed)
{
	fx.seed = seed;
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(fx_random(255) + 1);
}

static void hex_is(const uint8_t *bytes, const char *want)
{
	char hex[33];

	hash_hex(bytes, 16, hex);
	assert_string_equal(hex, want);
}

static void test_sums(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct blob_sums sums;

	(void)state;
	ok(tree_sums(LIVE, H, a, &sums));
	hex_is(sums.md5, "d41d8cd98f00b204e9800998ecf8427e");
	hex_is(sums.xxh3.bytes, "99aa06d3014798d86001c324468d497f");
	fx_write(fx.tree, a, 0, "hello\n", 6);
	assert_int_equal(tree_sums(LIVE, H, a, &sums), -ENODATA);
	assert_int_equal(fx_seal(3600000), -ENOENT);	/* not quiet for long enough */
	fx_settle();
	ok(tree_sums(LIVE, H, a, &sums));
	hex_is(sums.md5, "b1946ac92492d2347c6235b4d2611184");
	hex_is(sums.xxh3.bytes, "6bba86c7e069f56d5a10b435f1c8e49c");
	fx_is(H, a, "hello\n", 6);
	fx_write(fx.tree, a, 0, "J", 1);
	assert_int_equal(tree_sums(LIVE, H, a, &sums), -ENODATA);
	fx_is(H, a, "Jello\n", 6);
	fx_clean();
}

/* Equal files are stored once, however they came to be equal. */
static void test_equal_files_once(void **state)
{
	struct cas_stats one, many;
	char name[16];

	(void)state;
	fill(1);
	fx_write(fx.tree, fx_make(TREE_ROOT, "first", S_IFREG | 0644), 0, big, 200000);
	fx_write(fx.tree, fx_make(TREE_ROOT, "small", S_IFREG | 0644), 0, big, 900);
	fx_settle();
	ok(cas_stats(fx.cas, LIVE, &one));
	for (unsigned i = 0; i < 50; i++) {
		uint32_t ino;

		snprintf(name, sizeof name, "f%u", i);
		ino = fx_make(TREE_ROOT, name, S_IFREG | 0644);
		if (i % 2) {
			fx_write(fx.tree, ino, 0, big, 900);
			continue;
		}
		for (size_t off = 200000; off > 0; off -= 20000)	/* back to front */
			fx_write(fx.tree, ino, off - 20000, big + off - 20000, 20000);
	}
	fx_settle();
	ok(cas_stats(fx.cas, LIVE, &many));
	assert_int_equal(many.chunks, one.chunks);
	fx_clean();
	fx_cas_clean();
}

/* Between begin and end of a job the head changes everything that is being sealed. */
static void test_head_goes_on(void **state)
{
	uint32_t inos[5];
	struct tree_seal *seal, *second;
	struct kv_view *snap;
	char name[8];

	(void)state;
	fill(2);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "f%u", i);
		inos[i] = fx_make(TREE_ROOT, name, S_IFREG | 0644);
		fx_write(fx.tree, inos[i], 0, big, i == 4 ? 100 : 100000 + i);
	}
	fx_cut(fx.tree);
	ok(tree_seal_begin(fx.t, 0, &seal));
	assert_int_equal(tree_seal_begin(fx.t, 0, &second), -EBUSY);
	ok(kv_publish(fx.kv));
	fx_write(fx.tree, inos[0], 5, "changed", 7);		/* before the worker has looked */
	fx_resize(fx.tree, inos[4], 3);
	ok(kv_snapshot_open(fx.kv, &snap));
	ok(tree_seal_work(seal, snap));
	kv_snapshot_close(snap);
	fx_write(fx.tree, inos[1], 5, "changed", 7);		/* before the core has heard */
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("f2")));
	fx_resize(fx.tree, inos[3], 50);
	ok(tree_seal_end(fx.t, seal));
	tree_seal_free(seal);
	for (unsigned i = 0; i < 5; i++)
		fx_is(AT(fx.tree, 1), inos[i], big, i == 4 ? 100 : 100000 + i);
	fx_is(H, inos[3], big, 50);
	fx_is(H, inos[4], big, 3);
	memcpy(big + 5, "changed", 7);
	fx_is(H, inos[0], big, 100000);
	fx_is(H, inos[1], big, 100001);
	fx_clean();
	fx_settle();
	fx_clean();
	fx_cas_clean();
}

/* A file that goes while it is sealed: its chunks do not stay. */
static void test_gone_while_sealed(void **state)
{
	struct tree_seal *seal;
	struct kv_view *snap;
	struct cas_stats stats;

	(void)state;
	fill(3);
	fx_write(fx.tree, fx_make(TREE_ROOT, "a", S_IFREG | 0644), 0, big, sizeof big);
	ok(tree_seal_begin(fx.t, 0, &seal));
	ok(kv_publish(fx.kv));
	ok(kv_snapshot_open(fx.kv, &snap));
	ok(tree_seal_work(seal, snap));
	kv_snapshot_close(snap);
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("a")));
	fx_work();
	ok(tree_seal_end(fx.t, seal));
	tree_seal_free(seal);
	fx_settle();
	ok(cas_stats(fx.cas, LIVE, &stats));
	assert_int_equal(stats.chunks, 0);
	fx_clean();
	fx_cas_clean();
}

static unsigned files_in_dirty(void)
{
	unsigned n = 0;
	char name[32];
	struct stat st;

	for (unsigned i = 1; i < 500; i++) {
		snprintf(name, sizeof name, "dirty/%08x", i);
		n += fstatat(fx.dirfd, name, &st, 0) == 0;
	}
	return n;
}

/* Layers are emptied and used again; a snapshot that shows one keeps it. */
static void test_layers_again(void **state)
{
	struct trees_stats stats;
	struct kv_view *snap;
	char name[16], *got = malloc(50000);

	(void)state;
	fill(4);
	for (unsigned round = 0; round < 10; round++) {
		uint32_t ino = 0;

		for (unsigned i = 0; i < 10; i++) {
			snprintf(name, sizeof name, "r%uf%u", round, i);
			ino = fx_make(TREE_ROOT, name, S_IFREG | 0644);
			fx_write(fx.tree, ino, 0, big + i, 50000);
		}
		ok(kv_publish(fx.kv));
		ok(kv_snapshot_open(fx.kv, &snap));
		while (fx_seal(0) == 0 && trees_pending(fx.t) > 40)
			;
		assert_int_equal(tree_read(fx.t, snap, H, ino, 0, got, 50000), 50000);
		assert_memory_equal(got, big + 9, 50000);
		kv_snapshot_close(snap);
		fx_settle();
		ok(trees_stats(fx.t, LIVE, &stats));
		assert_int_equal(stats.layers, 0);
		assert_int_equal(stats.bytes_layers, 0);
	}
	assert_true(files_in_dirty() <= 10);
	fx_clean();
	free(got);
}

/* More layers than descriptors are kept, and more dropped ones than the pool keeps. */
static void test_many_layers(void **state)
{
	uint32_t inos[400];
	char name[16];

	(void)state;
	fill(5);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(name, sizeof name, "f%u", i);
		inos[i] = fx_make(TREE_ROOT, name, S_IFREG | 0644);
		fx_write(fx.tree, inos[i], 0, big + i, 6000);
	}
	for (unsigned i = 0; i < 400; i += 7)
		fx_is(H, inos[i], big + i, 6000);
	assert_int_equal(files_in_dirty(), 400);
	fx_clean();
	fx_settle();
	for (unsigned i = 0; i < 400; i += 7)
		fx_is(H, inos[i], big + i, 6000);
	assert_true(files_in_dirty() <= LAYER_POOL);
	fx_reopen();
	assert_true(files_in_dirty() <= LAYER_POOL);
	fx_clean();
}

/* --- fsync ------------------------------------------------------------------------------------------------ */

static unsigned syncs, fail_sync;

static enum io_fault hook(void *arg, uint64_t number, const char *op)
{
	(void)arg;
	(void)number;
	if (strcmp(op, "fdatasync") && strcmp(op, "fsync"))
		return IO_FAULT_NONE;
	syncs++;
	return fail_sync && fail_sync-- ? IO_FAULT_EIO : IO_FAULT_NONE;
}

static int sync_ino(uint32_t ino, unsigned *ret_syncs)
{
	struct tree_sync *s;
	int rc;

	ok(tree_sync_begin(fx.t, fx.tree, ino, &s));
	io_set_fault_hook(hook, NULL);
	syncs = 0;
	rc = tree_sync_wait(s);
	*ret_syncs = syncs;
	io_set_fault_hook(NULL, NULL);
	tree_sync_free(s);
	return rc;
}

static void test_sync(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	unsigned n;
	uint64_t got;
	struct tree_sync *one, *two;

	(void)state;
	fill(6);
	fx_write(fx.tree, a, 0, "small", 5);
	ok(sync_ino(a, &n));
	assert_int_equal(n, 0);		/* small files are in the journal */
	fx_write(fx.tree, a, 0, big, 100000);
	ok(sync_ino(b, &n));
	assert_int_equal(n, 0);		/* another file's bytes do not matter */
	ok(sync_ino(a, &n));
	assert_int_equal(n, 2);		/* its layer, and dirty/ for its name */
	ok(sync_ino(a, &n));
	assert_int_equal(n, 0);
	fx_write(fx.tree, a, 7, "x", 1);
	ok(sync_ino(a, &n));
	assert_int_equal(n, 1);
	ok(sync_ino(TREE_ROOT, &n));
	assert_int_equal(n, 0);
	fx_write(fx.tree, a, 7, "y", 1);
	in_batch(tree_copy_range(fx.t, H, a, 10000, fx.tree, b, 0, 50000, false, &got));
	ok(sync_ino(b, &n));
	assert_int_equal(n, 1);		/* the bytes of a copy are in the layer of the original */
	fx_write(fx.tree, a, 7, "z", 1);
	fx_write(fx.tree, b, 7, "z", 1);
	ok(sync_ino(0, &n));
	assert_int_equal(n, 3);
	fx_write(fx.tree, a, 7, "w", 1);
	ok(tree_sync_begin(fx.t, fx.tree, a, &one));	/* two at once: each waits for the bytes itself */
	ok(tree_sync_begin(fx.t, fx.tree, a, &two));
	io_set_fault_hook(hook, NULL);
	syncs = 0;
	ok(tree_sync_wait(two));
	assert_int_equal(syncs, 1);
	io_set_fault_hook(NULL, NULL);
	tree_sync_free(two);
	ok(tree_sync_wait(one));
	tree_sync_free(one);
	fx_clean();
}

static void test_sync_errors(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	unsigned n;

	(void)state;
	fill(7);
	fx_write(fx.tree, a, 0, big, 100000);
	fail_sync = 1;
	assert_int_equal(sync_ino(a, &n), -EIO);
	ok(sync_ino(a, &n));		/* told once; and it is still to be synced */
	assert_int_equal(n, 2);
	ok(sync_ino(a, &n));
	assert_int_equal(n, 0);
}

/* What cannot be read is left alone; the rest is sealed. */
static void test_unreadable_layer(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	struct blob_sums sums;
	int fd;

	(void)state;
	fill(8);
	fx_write(fx.tree, a, 0, big, 100000);
	fx_write(fx.tree, b, 0, big, 90000);
	fd = openat(fx.dirfd, "dirty/00000001", O_RDWR);
	assert_true(fd >= 0);
	ok(ftruncate(fd, 500));
	close(fd);
	fx_settle();
	ok(tree_sums(LIVE, H, b, &sums));
	assert_int_equal(tree_sums(LIVE, H, a, &sums), -ENODATA);
	assert_int_equal(tree_read(fx.t, LIVE, H, a, 0, big, 1000), -EIO);
	assert_int_equal(trees_pending(fx.t), 0);
	assert_true(fx_faults() > 0);
}

/* The worker on a thread of its own while the core writes. */
struct job {
	struct tree_seal *seal;
	struct kv_view *snap;
	int rc;
};

static void *work(void *arg)
{
	struct job *job = arg;

	job->rc = tree_seal_work(job->seal, job->snap);
	return NULL;
}

static void test_threads(void **state)
{
	uint32_t inos[20];
	char name[16];

	(void)state;
	fill(9);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "f%u", i);
		inos[i] = fx_make(TREE_ROOT, name, S_IFREG | 0644);
		fx_write(fx.tree, inos[i], 0, big, sizeof big);
	}
	for (unsigned round = 0; round < 6; round++) {
		struct job job = { .rc = -1 };
		pthread_t thread;

		if (tree_seal_begin(fx.t, 0, &job.seal))
			continue;
		ok(kv_publish(fx.kv));
		ok(kv_snapshot_open(fx.kv, &job.snap));
		ok(pthread_create(&thread, NULL, work, &job));
		for (unsigned i = 0; i < 200; i++) {
			uint32_t ino = inos[fx_random(20)], off = fx_random(sizeof big - 10);

			if (i % 50 == 0)
				fx_cut(fx.tree);
			fx_write(fx.tree, ino, off, big + off, 10);
		}
		ok(pthread_join(thread, NULL));
		kv_snapshot_close(job.snap);
		ok(job.rc);
		ok(tree_seal_end(fx.t, job.seal));
		tree_seal_free(job.seal);
	}
	for (unsigned i = 0; i < 20; i++)
		fx_is(H, inos[i], big, sizeof big);
	fx_clean();
	fx_settle();
	fx_clean();
	fx_cas_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sums, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_equal_files_once, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_head_goes_on, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_sealed, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_layers_again, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_many_layers, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_sync, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_sync_errors, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_layer, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_threads, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
