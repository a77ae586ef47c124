/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left after the process was killed, after it stopped at any system call, and after a power cut that took
 * bytes out of layers (done here by hand: a hole is what blocks that never reached the disk look like).
 */
#include <linux/falloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "store/base/io.h"
#include "tests/unit/tree_fixture.h"

#define H HEAD_OF(fx.tree)
#define SIZE 65536u

static uint8_t bytes[200000], want[200000];

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	fx.seed = seed;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(fx_random(255) + 1);
}

/* --- SIGKILL ---------------------------------------------------------------------------------------------- */

struct model {
	uint8_t bytes[SIZE];
	size_t size;
};

/* Step I of the story that both the child and the model tell. */
static void step(unsigned i, struct model *m, uint32_t ino)
{
	uint8_t chunk[3000];
	uint32_t len, off;

	fx.seed = i * 7919u + 5;
	len = 1 + fx_random(sizeof chunk);
	off = fx_random(SIZE - (uint32_t)sizeof chunk);
	for (uint32_t k = 0; k < len; k++)
		chunk[k] = (uint8_t)(fx_random(255) + 1);
	if (i % 11 == 10) {
		if (m) {
			if (off > m->size)
				memset(m->bytes + m->size, 0, off - m->size);
			m->size = off;
		} else {
			fx_resize(fx.tree, ino, off);
		}
		return;
	}
	if (m) {
		if (off > m->size)
			memset(m->bytes + m->size, 0, off - m->size);
		memcpy(m->bytes + off, chunk, len);
		m->size = off + len > m->size ? off + len : m->size;
		return;
	}
	fx_write(fx.tree, ino, off, chunk, len);
	if (i % 13 == 0)
		fx_cut(fx.tree);
	if (i % 17 == 0)
		(void)!fx_seal(0);
}

static void test_sigkill(void **state)
{
	atomic_uint *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct model *m = calloc(2, sizeof *m);
	uint32_t ino = fx_make(TREE_ROOT, "file", S_IFREG | 0644), tree = fx.tree;
	unsigned from = 0;

	(void)state;
	assert_true(done != MAP_FAILED);
	for (unsigned round = 0; round < 12; round++) {
		struct timespec wait = { 0, (long)(2 + 3 * round) * 1000000 };
		struct tree_attr attr;
		pid_t pid;
		int status;

		fx_close();
		atomic_store(done, from);
		pid = fork();
		if (pid == 0) {
			fx_open();
			for (unsigned i = from;; i++) {
				step(i, NULL, ino);
				atomic_store(done, i + 1);
			}
		}
		assert_true(pid > 0);
		while (atomic_load(done) == from)
			nanosleep(&wait, NULL);
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		fx_open();
		fx.tree = tree;
		for (; from < atomic_load(done); from++)
			step(from, &m[0], ino);
		m[1] = m[0];
		step(from, &m[1], ino);
		attr = fx_attr(H, ino);
		assert_true(attr.size == m[0].size || attr.size == m[1].size);
		assert_int_equal(tree_read(fx.t, LIVE, H, ino, 0, bytes, SIZE), attr.size);
		for (size_t i = 0; i < attr.size; i++)
			if (bytes[i] != m[0].bytes[i] && bytes[i] != m[1].bytes[i])
				fail();
		fx_clean();
		m[0].size = attr.size;	/* from here on both go on from what was found */
		memcpy(m[0].bytes, bytes, SIZE);
	}
	fx_settle();
	fx_clean();
	fx_cas_clean();
	munmap(done, 4096);
	free(m);
}

/* --- power cuts ------------------------------------------------------------------------------------------- */

/* The layer with number ID, with which something happens while nobody has the store open. */
static int layer_fd(unsigned id)
{
	char name[32];
	int fd;

	snprintf(name, sizeof name, "dirty/%08x", id);
	fd = openat(fx.dirfd, name, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

static void lose(unsigned id, off_t off, off_t len)
{
	int fd = layer_fd(id);

	ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len));
	close(fd);
}

static void cut_short(unsigned id, off_t len)
{
	int fd = layer_fd(id);

	ok(ftruncate(fd, len));
	close(fd);
}

static void bytes_in_tree_are(uint64_t n)
{
	struct tree_info info;

	ok(tree_info(LIVE, fx.tree, &info));
	assert_int_equal(info.bytes, n);
}

static void test_lost_over_base(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);

	(void)state;
	fill(want, 100000, 1);
	fx_write(fx.tree, a, 0, want, 100000);
	fx_settle();
	fill(bytes, 100000, 2);
	fx_write(fx.tree, a, 20000, bytes + 20000, 40001);
	fx_close();
	lose(1, 24576, 8192);
	lose(1, 57344, 4096);		/* the block that is new only in part */
	fx_open();
	memcpy(want + 20000, bytes + 20000, 24576 - 20000);
	memcpy(want + 32768, bytes + 32768, 57344 - 32768);
	fx_is(H, a, want, 100000);
	fx_clean();
	fx_settle();
	fx_is(H, a, want, 100000);
	fx_clean();
	fx_cas_clean();
}

static void test_lost_append(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);

	(void)state;
	fill(want, 100000, 1);
	for (unsigned i = 0; i < 10; i++)
		fx_write(fx.tree, a, i * 10000, want + i * 10000, 10000);
	fx_write(fx.tree, b, 0, want, 50000);
	fx_resize(fx.tree, b, 60000);
	fx_close();
	cut_short(1, 40960);
	cut_short(2, 40960);
	fx_open();
	fx_is(H, a, want, 40960);
	memset(want + 40960, 0, 19040);
	fx_is(H, b, want, 60000);	/* its end was not in the layer */
	bytes_in_tree_are(100960);
	fx_clean();
	fx_write(fx.tree, a, 41000, "x", 1);
	want[41000] = 'x';
	fx_is(H, a, want, 41001);
	fx_clean();
}

/* A small file that had grown into a layer is small again; not a byte of it is lost. */
static void test_lost_growth(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	uint32_t version;

	(void)state;
	fill(want, 9000, 1);
	fx_write(fx.tree, a, 0, want, 3000);
	version = fx_cut(fx.tree);
	fx_write(fx.tree, a, 3000, want + 3000, 6000);
	fx_close();
	cut_short(1, 0);
	fx_open();
	fx_is(H, a, want, 3000);
	fx_is(AT(fx.tree, version), a, want, 3000);
	bytes_in_tree_are(3000);
	fx_clean();
	fx_write(fx.tree, a, 3000, want + 3000, 6000);
	fx_close();
	ok(unlinkat(fx.dirfd, "dirty/00000001", 0));
	fx_open();
	fx_is(H, a, want, 3000);
	fx_clean();
	fx_write(fx.tree, a, 3000, want + 3000, 6000);
	fx_is(H, a, want, 9000);
	fx_clean();
}

/* Zeros and copies are no bytes of a layer: nothing that happens to the layer brings back what was below them. */
static void test_zeros_and_copies_stay(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644), b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
	uint64_t got;

	(void)state;
	fill(want, 100000, 1);
	fill(bytes, 100000, 2);
	fx_write(fx.tree, a, 0, want, 100000);
	fx_write(fx.tree, b, 0, bytes, 100000);
	fx_settle();
	in_batch(tree_fallocate(fx.t, fx.tree, a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10000, 20000, false));
	in_batch(tree_copy_range(fx.t, H, b, 50000, fx.tree, a, 50000, 30000, false, &got));
	fx_write(fx.tree, a, 15000, bytes, 3000);
	fx_write(fx.tree, a, 55000, bytes, 3000);
	fx_close();
	for (unsigned id = 1; id <= 4; id++) {
		char name[32];

		snprintf(name, sizeof name, "dirty/%08x", id);
		if (faccessat(fx.dirfd, name, F_OK, 0) == 0)
			cut_short(id, 0);
	}
	fx_open();
	memset(want + 10000, 0, 20000);
	memcpy(want + 50000, bytes + 50000, 30000);
	fx_is(H, a, want, 100000);
	fx_clean();
}

static void test_strays_and_free_layers(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct stat st;
	int fd;

	(void)state;
	fill(want, 50000, 1);
	fx_write(fx.tree, a, 0, want, 50000);
	fx_settle();			/* layer 1 is free now */
	fx_close();
	fd = openat(fx.dirfd, "dirty/deadbeef", O_CREAT | O_WRONLY, 0600);
	close(fd);
	fd = openat(fx.dirfd, "dirty/notes", O_CREAT | O_WRONLY, 0600);
	close(fd);
	fd = layer_fd(1);		/* as if its emptying had been lost */
	assert_int_equal(write(fd, "old bytes", 9), 9);
	close(fd);
	fx_open();
	assert_int_equal(fstatat(fx.dirfd, "dirty/deadbeef", &st, 0), -1);
	assert_int_equal(fstatat(fx.dirfd, "dirty/notes", &st, 0), -1);
	ok(fstatat(fx.dirfd, "dirty/00000001", &st, 0));
	assert_int_equal(st.st_size, 0);
	fx_write(fx.tree, a, 0, "xyz", 3);
	memcpy(want, "xyz", 3);
	fx_is(H, a, want, 50000);
	fx_clean();
}

/* What a process before this one wrote and did not sync, an fsync of this one does. */
static void test_sync_after_restart(void **state)
{
	uint32_t a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	struct tree_sync *sync;

	(void)state;
	fill(want, 50000, 1);
	fx_write(fx.tree, a, 0, want, 50000);
	fx_reopen();
	for (unsigned round = 0; round < 2; round++) {
		ok(tree_sync_begin(fx.t, fx.tree, a, &sync));
		assert_int_equal(tree_sync_is_empty(sync), round == 1);
		ok(tree_sync_wait(sync));
		tree_sync_free(sync);
	}
	fx_is(H, a, want, 50000);
}

/* --- stopping at every system call -------------------------------------------------------------------------- */

static uint64_t stop_at;
static enum io_fault stop_how;

static enum io_fault stop(void *arg, uint64_t number, const char *op)
{
	(void)arg;
	(void)op;
	return number == stop_at ? stop_how : IO_FAULT_NONE;
}

/* One call in a batch of its own, which may fail. */
#define attempt(call) do { \
		if (kv_begin(fx.kv)) \
			_exit(0); \
		if (call) \
			kv_abort(fx.kv); \
		else if (kv_commit(fx.kv, NULL)) \
			_exit(0); \
	} while (0)

static void attempt_seal(void)
{
	struct tree_seal *seal;
	struct kv_view *snap;

	if (tree_seal_begin(fx.t, 0, &seal))
		return;
	if (kv_publish(fx.kv) || kv_snapshot_open(fx.kv, &snap))
		_exit(0);
	(void)!tree_seal_work(seal, snap);
	kv_snapshot_close(snap);
	(void)!tree_seal_end(fx.t, seal);
	tree_seal_free(seal);
}

static void story(uint32_t a, uint32_t b)
{
	struct tree_sync *sync;
	uint64_t got;
	uint32_t epoch;
	bool more;

	attempt(tree_write(fx.t, fx.tree, a, 0, slice_of(bytes, 30000), false));
	attempt(tree_cut(fx.t, fx.tree, &epoch));
	attempt(tree_write(fx.t, fx.tree, a, 5000, slice_of(bytes + 100000, 9000), false));
	if (!tree_sync_begin(fx.t, fx.tree, a, &sync)) {
		(void)!tree_sync_wait(sync);
		tree_sync_free(sync);
	}
	attempt(tree_copy_range(fx.t, H, a, 4096, fx.tree, b, 0, 20000, false, &got));
	attempt_seal();
	attempt(tree_write(fx.t, fx.tree, b, 100, slice_of(bytes, 8000), false));
	attempt(tree_rename(fx.t, fx.tree, TREE_ROOT, slice_str("b"), TREE_ROOT, slice_str("a"), 0));
	attempt_seal();
	attempt_seal();
	attempt(tree_write(fx.t, fx.tree, b, 0, slice_of(bytes, 20000), false));
	(void)!trees_work_step(fx.t, &more);
}

/* Returns whether the child came to the end of the story. */
static bool stopped_story(uint32_t a, uint32_t b)
{
	uint32_t tree = fx.tree;
	int status;
	pid_t pid;

	fx_close();
	pid = fork();
	if (pid == 0) {
		fx_open();
		stop_at += io_changes();
		io_set_fault_hook(stop, NULL);
		story(a, b);
		_exit(io_changes() < stop_at ? 7 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	fx_open();
	fx.tree = tree;
	return WEXITSTATUS(status) == 7;
}

/* STRIDE > 1: not at every call, but at as many as there is time for. */
static void every_call(enum io_fault how, unsigned stride)
{
	bool end = false;

	for (uint64_t n = 1; !end && n < 300; n += stride) {
		uint32_t a, b;
		struct tree_attr attr;

		fx_setup(NULL);
		fill(bytes, sizeof bytes, 3);
		a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
		b = fx_make(TREE_ROOT, "b", S_IFREG | 0644);
		stop_at = n;
		stop_how = how;
		end = stopped_story(a, b);
		fx_clean();
		fx_cas_clean();
		if (tree_getattr(fx.t, LIVE, AT(fx.tree, 1), a, &attr) == 0 && attr.size == 30000 &&
		    fx_attr(H, TREE_ROOT).mtime_ns)
			assert_int_equal(tree_read(fx.t, LIVE, AT(fx.tree, 1), a, 0, want, sizeof want), 30000);
		fx_settle();
		fx_clean();
		fx_cas_clean();
		fx_teardown(NULL);
	}
	assert_true(end);
}

static void test_stop_at_every_call(void **state)
{
	(void)state;
	every_call(IO_FAULT_CRASH, 1);
}

static void test_torn_at_calls(void **state)
{
	(void)state;
	every_call(IO_FAULT_TORN, 2);
}

static void test_fail_at_calls(void **state)
{
	(void)state;
	every_call(IO_FAULT_EIO, 2);
}

static void test_full_at_calls(void **state)
{
	(void)state;
	every_call(IO_FAULT_ENOSPC, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lost_over_base, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_lost_append, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_lost_growth, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_zeros_and_copies_stay, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_strays_and_free_layers, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_sync_after_restart, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_sigkill, fx_setup, fx_teardown),
		cmocka_unit_test(test_stop_at_every_call),
		cmocka_unit_test(test_torn_at_calls),
		cmocka_unit_test(test_fail_at_calls),
		cmocka_unit_test(test_full_at_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
