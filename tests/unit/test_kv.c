/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv - batches, cursors and snapshots against a simple model: an array that is kept in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/kv/kv.h"

#define TABLES    3
#define KEYS      400
#define VALUE_MAX 9000

/* --- a store in a directory of its own ------------------------------------------------------------ */

static char dir_path[512];
static int dirfd;

static void remove_all(void)
{
	static const char *const names[] = {
		"meta.mdb", "meta.mdb-lock", "journal.0", "journal.1", "sync.meta", "sync.meta.new",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(dirfd, names[i], 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir_path, sizeof(dir_path), "%s/kv-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir_path));
	dirfd = open(dir_path, O_RDONLY | O_DIRECTORY);
	assert_true(dirfd >= 0);
	assert_int_equal(kv_create(dirfd), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_all();
	close(dirfd);
	assert_int_equal(rmdir(dir_path), 0);
	return 0;
}

static struct kv *open_kv(void)
{
	struct kv *kv = NULL;

	assert_int_equal(kv_open(dirfd, NULL, &kv), 0);
	return kv;
}

static void put_str(struct kv *kv, uint8_t table, const char *key, const char *value)
{
	assert_int_equal(kv_put(kv, table, slice_str(key), slice_str(value)), 0);
}

static void batch_put(struct kv *kv, uint8_t table, const char *key, const char *value)
{
	assert_int_equal(kv_begin(kv), 0);
	put_str(kv, table, key, value);
	assert_int_equal(kv_commit(kv, NULL), 0);
}

static void assert_value(struct kv_view *view, uint8_t table, const char *key, const char *value)
{
	struct slice s;
	int rc = kv_get(view, table, slice_str(key), &s);

	if (!value) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_true(slice_eq(s, slice_str(value)));
}

/* --- the model ------------------------------------------------------------------------------------ */

struct cell {
	bool there;
	unsigned seed; /* its value is made from this */
	size_t len;
};

struct model {
	struct cell cell[TABLES][KEYS];
};

/* Keys of several lengths whose order is that of their numbers. */
static struct slice key_of(unsigned n, char space[32])
{
	int len = snprintf(space, 32, "%04u%.*s", n / 2, n % 2 ? 9 : 0, "/longer-k");

	return slice_of(space, (size_t)len);
}

static void fill(unsigned seed, char *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		out[i] = (char)(seed >> 16);
	}
}

static void assert_cell(const struct cell *cell, struct slice value)
{
	static char want[VALUE_MAX];

	assert_true(cell->there);
	assert_int_equal(value.len, cell->len);
	fill(cell->seed, want, cell->len);
	assert_memory_equal(value.data, want, cell->len);
}

/* Everything by get, forwards and backwards, within each table. */
static void assert_model(struct kv_view *view, const struct model *m)
{
	char space[32];

	for (uint8_t t = 0; t < TABLES; t++) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		unsigned n, found = 0, there = 0;

		for (n = 0; n < KEYS; n++) {
			struct slice value;
			int rc = kv_get(view, t, key_of(n, space), &value);

			there += m->cell[t][n].there;
			if (m->cell[t][n].there) {
				assert_int_equal(rc, 0);
				assert_cell(&m->cell[t][n], value);
			} else {
				assert_int_equal(rc, -ENOENT);
			}
		}
		assert_int_equal(kv_cursor_open(view, t, &cur), 0);
		n = 0;
		while (kv_cursor_next(cur) == 0) {
			while (n < KEYS && !m->cell[t][n].there)
				n++;
			assert_true(n < KEYS);
			assert_true(slice_eq(kv_cursor_key(cur), key_of(n, space)));
			assert_cell(&m->cell[t][n], kv_cursor_value(cur));
			n++;
			found++;
		}
		assert_int_equal(found, there);
		assert_int_equal(kv_cursor_next(cur), -ENOENT);
		for (int rc = kv_cursor_seek_before(cur, slice_str("\xff")); rc == 0;
		     rc = kv_cursor_prev(cur))
			found--;
		assert_int_equal(found, 0);
	}
}

/* Seek to a key, there or not, and look at both sides. */
static void assert_seek(struct kv_view *view, const struct model *m, uint8_t t, unsigned n)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	unsigned at = n;
	char space[32], want[32];
	int rc;

	assert_int_equal(kv_cursor_open(view, t, &cur), 0);
	while (at < KEYS && !m->cell[t][at].there)
		at++;
	rc = kv_cursor_seek(cur, key_of(n, space));
	assert_int_equal(rc, at < KEYS ? 0 : -ENOENT);
	if (rc == 0)
		assert_true(slice_eq(kv_cursor_key(cur), key_of(at, want)));
	for (at = n; at > 0 && !m->cell[t][at - 1].there; at--)
		;
	rc = kv_cursor_seek_before(cur, key_of(n, space));
	assert_int_equal(rc, at > 0 ? 0 : -ENOENT);
	if (rc == 0)
		assert_true(slice_eq(kv_cursor_key(cur), key_of(at - 1, want)));
}

static void random_change(struct kv *kv, struct model *m, unsigned *rnd)
{
	static char value[VALUE_MAX];
	char space[32];
	uint8_t t = (uint8_t)((unsigned)rand_r(rnd) % TABLES);
	unsigned n = (unsigned)rand_r(rnd) % KEYS;
	struct cell *cell = &m->cell[t][n];

	if (rand_r(rnd) % 3 == 0) {
		assert_int_equal(kv_del(kv, t, key_of(n, space)), cell->there ? 0 : -ENOENT);
		cell->there = false;
		return;
	}
	cell->there = true;
	cell->seed = (unsigned)rand_r(rnd);
	cell->len = (unsigned)rand_r(rnd) % (rand_r(rnd) % 10 ? 100 : VALUE_MAX);
	fill(cell->seed, value, cell->len);
	assert_int_equal(kv_put(kv, t, key_of(n, space), slice_of(value, cell->len)), 0);
}

static void random_batches_match_the_model(void **state)
{
	static struct model m, before, snapshot_model;
	struct kv_view *snapshot = NULL;
	struct kv *kv = open_kv();
	unsigned rnd = 7;

	(void)state;
	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < 6000; i++) {
		unsigned changes = (unsigned)rand_r(&rnd) % 6;

		before = m;
		assert_int_equal(kv_begin(kv), 0);
		assert_true(kv_in_batch(kv));
		for (unsigned k = 0; k < changes; k++)
			random_change(kv, &m, &rnd);
		if (i % 100 == 0)
			assert_model(kv_live(kv), &m); /* the open batch is seen */
		if (rand_r(&rnd) % 4 == 0) {
			kv_abort(kv);
			m = before;
		} else {
			assert_int_equal(kv_commit(kv, NULL), 0);
		}
		assert_false(kv_in_batch(kv));
		assert_seek(kv_live(kv), &m, (uint8_t)(i % TABLES), (unsigned)rand_r(&rnd) % KEYS);
		kv_tick(kv);
		if (i % 500 == 250) {
			assert_model(kv_live(kv), &m);
			if (snapshot)
				assert_model(snapshot, &snapshot_model);
			kv_snapshot_close(snapshot);
			assert_int_equal(kv_publish(kv), 0);
			snapshot_model = m;
			assert_int_equal(kv_snapshot_open(kv, &snapshot), 0);
		}
		if (i % 1500 == 1499) {
			kv_snapshot_close(snapshot);
			snapshot = NULL;
			assert_int_equal(kv_close(kv), 0);
			kv = open_kv();
			assert_model(kv_live(kv), &m);
		}
	}
	kv_snapshot_close(snapshot);
	assert_int_equal(kv_close(kv), 0);
}

/* --- single properties ---------------------------------------------------------------------------- */

static void abort_restores_exactly(void **state)
{
	struct kv *kv = open_kv();

	(void)state;
	batch_put(kv, 1, "a", "old");
	batch_put(kv, 1, "b", "gone soon");
	assert_int_equal(kv_begin(kv), 0);
	put_str(kv, 1, "a", "new");
	put_str(kv, 1, "a", "newer");
	assert_int_equal(kv_del(kv, 1, slice_str("b")), 0);
	assert_int_equal(kv_del(kv, 1, slice_str("b")), -ENOENT);
	put_str(kv, 1, "c", "");
	assert_int_equal(kv_del(kv, 1, slice_str("a")), 0);
	assert_value(kv_live(kv), 1, "a", NULL);
	assert_value(kv_live(kv), 1, "c", "");
	kv_abort(kv);
	assert_value(kv_live(kv), 1, "a", "old");
	assert_value(kv_live(kv), 1, "b", "gone soon");
	assert_value(kv_live(kv), 1, "c", NULL);
	assert_int_equal(kv_close(kv), 0);
}

static void sizes_are_limited(void **state)
{
	struct kv *kv = open_kv();
	char key[KV_KEY_MAX + 1];
	char *value = calloc(1, KV_VALUE_MAX + 1);
	unsigned n;

	(void)state;
	assert_non_null(value);
	memset(key, 'k', sizeof(key));
	assert_int_equal(kv_begin(kv), 0);
	assert_int_equal(kv_put(kv, 1, slice_of(key, KV_KEY_MAX), slice_of(value, KV_VALUE_MAX)),
			 0);
	assert_int_equal(kv_put(kv, 1, slice_of(key, KV_KEY_MAX + 1), slice_str("")),
			 -ENAMETOOLONG);
	assert_int_equal(kv_put(kv, 1, slice_str("v"), slice_of(value, KV_VALUE_MAX + 1)),
			 -EOVERFLOW);
	assert_int_equal(kv_put(kv, 255, slice_str("v"), slice_str("")), -EINVAL);
	assert_int_equal(kv_commit(kv, NULL), 0);
	assert_int_equal(kv_begin(kv), 0);
	for (n = 0; n < 20; n++) {
		int rc;

		key[0] = (char)('a' + n);
		value[0] = (char)n;
		rc = kv_put(kv, 2, slice_of(key, 10), slice_of(value, KV_VALUE_MAX));
		if (rc < 0) {
			assert_int_equal(rc, -EOVERFLOW);
			break;
		}
	}
	assert_int_equal(n, KV_BATCH_MAX / KV_VALUE_MAX - 1);
	assert_int_equal(kv_commit(kv, NULL), 0);
	free(value);
	assert_int_equal(kv_close(kv), 0);
}

static void tables_do_not_leak_into_each_other(void **state)
{
	struct kv *kv = open_kv();
	struct kv_cursor *cur;

	(void)state;
	batch_put(kv, 4, "z", "4z");
	batch_put(kv, 5, "", "5 empty key");
	batch_put(kv, 5, "m", "5m");
	batch_put(kv, 6, "a", "6a");
	assert_int_equal(kv_cursor_open(kv_live(kv), 5, &cur), 0);
	assert_int_equal(kv_cursor_seek(cur, slice_str("n")), -ENOENT);
	assert_int_equal(kv_cursor_seek_before(cur, slice_str("")), -ENOENT);
	assert_int_equal(kv_cursor_seek_before(cur, slice_str("n")), 0);
	assert_true(slice_eq(kv_cursor_key(cur), slice_str("m")));
	assert_int_equal(kv_cursor_prev(cur), 0);
	assert_int_equal(kv_cursor_key(cur).len, 0);
	assert_int_equal(kv_cursor_prev(cur), -ENOENT);
	kv_cursor_close(cur);
	assert_int_equal(kv_cursor_open(kv_live(kv), 254, &cur), 0);
	assert_int_equal(kv_cursor_next(cur), -ENOENT);
	assert_int_equal(kv_cursor_prev(cur), -ENOENT);
	kv_cursor_close(cur);
	assert_int_equal(kv_close(kv), 0);
}

static void a_cursor_left_behind_is_refused(void **state)
{
	struct kv *kv = open_kv();
	struct kv_cursor *cur;

	(void)state;
	batch_put(kv, 1, "a", "1");
	batch_put(kv, 1, "b", "2");
	assert_int_equal(kv_begin(kv), 0);
	assert_int_equal(kv_cursor_open(kv_live(kv), 1, &cur), 0);
	assert_int_equal(kv_cursor_seek(cur, slice_str("")), 0);
	assert_int_equal(kv_del(kv, 1, slice_str("a")), 0);
	assert_int_equal(kv_cursor_next(cur), -ESTALE);
	assert_int_equal(kv_cursor_seek(cur, slice_str("a")), 0);
	assert_true(slice_eq(kv_cursor_key(cur), slice_str("b")));
	kv_cursor_close(cur);
	assert_int_equal(kv_commit(kv, NULL), 0);
	assert_int_equal(kv_close(kv), 0);
}

static void a_value_may_come_from_the_store_itself(void **state)
{
	struct kv *kv = open_kv();
	struct slice s;

	(void)state;
	batch_put(kv, 1, "a", "the very same bytes");
	assert_int_equal(kv_begin(kv), 0);
	for (char c = 'b'; c < 'z'; c++) {
		assert_int_equal(kv_get(kv_live(kv), 1, slice_str("a"), &s), 0);
		assert_int_equal(kv_put(kv, 1, slice_of(&c, 1), s), 0);
	}
	assert_int_equal(kv_commit(kv, NULL), 0);
	assert_value(kv_live(kv), 1, "y", "the very same bytes");
	assert_int_equal(kv_close(kv), 0);
}

static void an_empty_batch_has_no_number(void **state)
{
	struct kv *kv = open_kv();
	uint64_t first, seq;

	(void)state;
	assert_int_equal(kv_begin(kv), 0);
	put_str(kv, 1, "a", "x");
	assert_int_equal(kv_commit(kv, &first), 0);
	assert_int_equal(kv_begin(kv), 0);
	assert_int_equal(kv_commit(kv, &seq), 0);
	assert_int_equal(seq, first);
	assert_int_equal(kv_begin(kv), 0);
	put_str(kv, 1, "a", "x"); /* changes nothing */
	assert_int_equal(kv_commit(kv, &seq), 0);
	assert_int_equal(seq, first);
	assert_int_equal(kv_seq(kv), first);
	assert_int_equal(kv_close(kv), 0);
}

static void a_snapshot_sees_what_was_published(void **state)
{
	struct kv *kv = open_kv();
	struct kv_view *old, *new;

	(void)state;
	batch_put(kv, 1, "a", "1");
	assert_int_equal(kv_publish(kv), 0);
	assert_int_equal(kv_snapshot_open(kv, &old), 0);
	batch_put(kv, 1, "a", "2");
	assert_int_equal(kv_publish(kv), 0);
	assert_int_equal(kv_snapshot_open(kv, &new), 0);
	assert_value(old, 1, "a", "1");
	assert_value(new, 1, "a", "2");
	kv_snapshot_close(old);
	kv_snapshot_close(new);
	assert_int_equal(kv_close(kv), 0);
}

static void numbers_tell_what_is_shown_and_what_is_durable(void **state)
{
	struct kv *kv = open_kv();
	struct kv_view *first, *second;

	(void)state;
	assert_true(kv_snapshot_oldest(kv) == UINT64_MAX);
	batch_put(kv, 1, "a", "1");
	assert_int_equal(kv_publish(kv), 0);
	assert_int_equal(kv_snapshot_open(kv, &first), 0);
	batch_put(kv, 1, "a", "2");
	batch_put(kv, 1, "a", "3");
	assert_int_equal(kv_publish(kv), 0);
	assert_int_equal(kv_snapshot_open(kv, &second), 0);
	assert_int_equal(kv_view_seq(first), 1);
	assert_int_equal(kv_view_seq(second), 3);
	assert_int_equal(kv_snapshot_oldest(kv), 1);
	kv_snapshot_close(first);
	assert_int_equal(kv_snapshot_oldest(kv), 3);
	kv_snapshot_close(second);
	assert_true(kv_snapshot_oldest(kv) == UINT64_MAX);
	assert_true(kv_durable(kv) <= 3);
	assert_int_equal(kv_checkpoint(kv), 0);
	assert_int_equal(kv_durable(kv), 3);
	assert_int_equal(kv_close(kv), 0);
}

static void time_alone_commits_and_checkpoints(void **state)
{
	struct kv *kv = open_kv();
	struct kv_stats stats;

	(void)state;
	batch_put(kv, 1, "a", "1");
	for (int i = 0; i < 300; i++) {
		kv_tick(kv);
		kv_stats(kv, &stats);
		if (stats.checkpoints >= 2)
			break;
		usleep(10000);
	}
	assert_true(stats.commits >= 1);
	assert_true(stats.checkpoints >= 2); /* the first one ended the opening */
	assert_int_equal(stats.batches, 1);
	assert_int_equal(kv_close(kv), 0);
}

static _Atomic int wakes;

static void count_wake(void *arg)
{
	(void)arg;
	wakes++;
}

static void the_core_is_woken_until_it_ticks(void **state)
{
	struct kv_options options = { .wake = count_wake };
	struct kv *kv;
	int at_tick;

	(void)state;
	assert_int_equal(kv_open(dirfd, &options, &kv), 0);
	wakes = 0;
	usleep(300000);
	assert_int_equal(wakes, 0);
	batch_put(kv, 1, "a", "1");
	for (int i = 0; i < 200 && wakes < 3; i++)
		usleep(10000);
	assert_true(wakes >= 3);
	kv_tick(kv);
	assert_int_equal(kv_checkpoint(kv), 0);
	usleep(150000);
	at_tick = wakes;
	usleep(400000);
	assert_int_equal(wakes, at_tick);
	assert_int_equal(kv_close(kv), 0);
}

/* --- threads -------------------------------------------------------------------------------------- */

struct shared {
	struct kv *kv;
	_Atomic bool stop;
	_Atomic uint64_t syncs;
	_Atomic int wrong;
};

static void *sync_often(void *arg)
{
	struct shared *s = arg;

	while (!s->stop) {
		if (kv_sync(s->kv, kv_seq(s->kv)) < 0)
			s->wrong++;
		s->syncs++;
	}
	return NULL;
}

static void *read_snapshots(void *arg)
{
	struct shared *s = arg;

	while (!s->stop) {
		struct kv_view *view;
		struct slice a, b;

		if (kv_snapshot_open(s->kv, &view) < 0) {
			s->wrong++;
			continue;
		}
		/* Both are always written by the same batch. */
		if (kv_get(view, 1, slice_str("a"), &a) == 0 &&
		    (kv_get(view, 1, slice_str("b"), &b) < 0 || !slice_eq(a, b)))
			s->wrong++;
		kv_snapshot_close(view);
	}
	return NULL;
}

static void threads_sync_and_read_while_the_core_writes(void **state)
{
	struct shared s = { .kv = open_kv() };
	pthread_t threads[4];
	char text[32];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, i < 2 ? sync_often : read_snapshots, &s),
			0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(kv_begin(s.kv), 0);
		put_str(s.kv, 1, "a", text);
		put_str(s.kv, 1, "b", text);
		assert_int_equal(kv_commit(s.kv, NULL), 0);
		if (i % 50 == 0)
			assert_int_equal(kv_publish(s.kv), 0);
		if (i % 700 == 0)
			assert_int_equal(kv_checkpoint(s.kv), 0);
	}
	s.stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(s.wrong, 0);
	assert_true(s.syncs > 0);
	assert_int_equal(kv_close(s.kv), 0);
}

static void *core_for_a_while(void *arg)
{
	struct kv *kv = arg;

	kv_adopt(kv);
	batch_put(kv, 1, "other", "thread");
	kv_release_core(kv);
	return NULL;
}

static void the_core_may_move_to_another_thread(void **state)
{
	struct kv *kv = open_kv();
	pthread_t thread;

	(void)state;
	batch_put(kv, 1, "one", "1");
	kv_release_core(kv);
	assert_int_equal(pthread_create(&thread, NULL, core_for_a_while, kv), 0);
	pthread_join(thread, NULL);
	kv_adopt(kv);
	assert_value(kv_live(kv), 1, "one", "1");
	assert_value(kv_live(kv), 1, "other", "thread");
	assert_int_equal(kv_close(kv), 0);
}

/* --- copies and checks ---------------------------------------------------------------------------- */

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	print_message("fault: %s\n", fault);
}

static void fill_some(struct kv *kv, unsigned count)
{
	static char value[VALUE_MAX];
	char key[32];

	for (unsigned i = 0; i < count; i++) {
		unsigned len = i * 37 % VALUE_MAX;

		fill(i, value, len);
		snprintf(key, sizeof(key), "%u", i * 7919 % count);
		assert_int_equal(kv_begin(kv), 0);
		assert_int_equal(kv_put(kv, 1, slice_str(key), slice_of(value, len)), 0);
		if (i % 3 == 2) {
			snprintf(key, sizeof(key), "%u", i);
			(void)!kv_del(kv, 1, slice_str(key));
		}
		assert_int_equal(kv_commit(kv, NULL), 0);
		if (i % 300 == 0)
			assert_int_equal(kv_checkpoint(kv), 0);
	}
}

static void check_finds_nothing_in_a_sound_store(void **state)
{
	struct kv *kv = open_kv();
	struct kv_view *view;

	(void)state;
	fill_some(kv, 3000);
	assert_int_equal(kv_check(kv_live(kv), print_fault, NULL), 0);
	assert_int_equal(kv_publish(kv), 0);
	assert_int_equal(kv_snapshot_open(kv, &view), 0);
	assert_int_equal(kv_check(view, print_fault, NULL), 0);
	kv_snapshot_close(view);
	assert_int_equal(kv_close(kv), 0);
	kv = open_kv();
	assert_int_equal(kv_snapshot_open(kv, &view), 0);
	assert_int_equal(kv_check(view, print_fault, NULL), 0);
	kv_snapshot_close(view);
	assert_int_equal(kv_close(kv), 0);
}

static void count_fault(void *arg, const char *fault)
{
	(void)fault;
	++*(int *)arg;
}

static void check_finds_a_page_that_is_lost(void **state)
{
	struct kv *kv = open_kv();
	struct kv_view *view;
	struct kv_stats stats;
	uint64_t entries = 12345;
	int fd, faults = 0;

	(void)state;
	fill_some(kv, 200);
	assert_int_equal(kv_checkpoint(kv), 0);
	kv_stats(kv, &stats);
	/* The number of records in both meta pages (FORMAT.md 1): the map shows the file as it is. */
	fd = openat(dirfd, "meta.mdb", O_RDWR);
	assert_true(fd >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pwrite(fd, &entries, 8, i * 4096 + 40 + 48 + 32), 8);
	close(fd);
	assert_int_equal(kv_snapshot_open(kv, &view), 0);
	assert_int_equal(kv_check(view, count_fault, &faults), 1);
	assert_true(faults >= 1);
	kv_snapshot_close(view);
	kv_close(kv);
}

static void a_copy_is_complete_and_compact(void **state)
{
	char path[600];
	struct kv *kv = open_kv(), *copy;
	struct kv_stats big, small;
	int fd, own = dirfd;

	(void)state;
	fill_some(kv, 2000);
	batch_put(kv, 2, "mark", "copied");
	assert_int_equal(kv_publish(kv), 0);
	batch_put(kv, 2, "mark", "too late");
	snprintf(path, sizeof(path), "%s/copy", dir_path);
	assert_int_equal(mkdir(path, 0700), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(kv_copy(kv, fd), 0);
	assert_int_equal(kv_copy(kv, fd), -EEXIST);
	assert_int_equal(kv_open(fd, NULL, &copy), 0);
	assert_value(kv_live(copy), 2, "mark", "copied");
	assert_value(kv_live(kv), 2, "mark", "too late");
	assert_int_equal(kv_seq(copy), kv_seq(kv) - 1);
	kv_stats(kv, &big);
	kv_stats(copy, &small);
	assert_true(small.bytes_main < big.bytes_main);
	batch_put(copy, 2, "mark", "goes on");
	assert_int_equal(kv_close(copy), 0);
	assert_int_equal(kv_close(kv), 0);
	dirfd = fd;
	remove_all();
	dirfd = own;
	close(fd);
	assert_int_equal(rmdir(path), 0);
}

/* The core goes on while another thread copies: here it does so just before the bytes are read. */
static enum io_fault go_on(void *arg, uint64_t number, const char *op)
{
	struct kv **kv = arg, *core = *kv;

	(void)number;
	if (strcmp(op, "open") == 0 && core) {
		*kv = NULL;
		batch_put(core, 2, "mark", "in between");
		assert_int_equal(kv_publish(core), 0);
	}
	return IO_FAULT_NONE;
}

static void a_copy_knows_its_number(void **state)
{
	char path[600];
	struct kv *kv = open_kv(), *copy, *arg = kv;
	int fd, own = dirfd;

	(void)state;
	batch_put(kv, 2, "mark", "first");
	assert_int_equal(kv_publish(kv), 0);
	snprintf(path, sizeof(path), "%s/copy", dir_path);
	assert_int_equal(mkdir(path, 0700), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	io_set_fault_hook(go_on, &arg);
	assert_int_equal(kv_copy(kv, fd), 0);
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(kv_open(fd, NULL, &copy), 0);
	assert_value(kv_live(copy), 2, "mark", "in between");
	assert_int_equal(kv_seq(copy), kv_seq(kv));
	assert_int_equal(kv_close(copy), 0);
	assert_int_equal(kv_close(kv), 0);
	dirfd = fd;
	remove_all();
	dirfd = own;
	close(fd);
	assert_int_equal(rmdir(path), 0);
}

/* --- figures -------------------------------------------------------------------------------------- */

static int64_t now_us(void)
{
	return clock_now_ns() / 1000;
}

static void print_figures(void **state)
{
	enum { PUTS = 100000, GETS = 200000, KEYSPACE = 60000 };
	struct kv *kv = open_kv();
	struct kv_stats stats;
	char key[16], value[60];
	int64_t start, worst = 0;
	unsigned rnd = 3;

	(void)state;
	memset(value, 'v', sizeof(value));
	start = now_us();
	for (unsigned i = 0; i < PUTS; i++) {
		int64_t began = now_us();

		snprintf(key, sizeof(key), "%08u", (unsigned)rand_r(&rnd) % KEYSPACE);
		snprintf(value, sizeof(value), "%u", i);
		assert_int_equal(kv_begin(kv), 0);
		assert_int_equal(kv_put(kv, 1, slice_str(key), slice_of(value, sizeof(value))), 0);
		assert_int_equal(kv_commit(kv, NULL), 0);
		kv_tick(kv);
		if (now_us() - began > worst)
			worst = now_us() - began;
	}
	kv_stats(kv, &stats);
	print_message(
		"%.0f batches/s of one 60-byte put each, worst %.1f ms; %llu commits, %llu checkpoints, file %llu KiB\n",
		PUTS * 1e6 / (double)(now_us() - start), (double)worst / 1000,
		(unsigned long long)stats.commits, (unsigned long long)stats.checkpoints,
		(unsigned long long)stats.bytes_main / 1024);
	start = now_us();
	for (unsigned i = 0; i < GETS; i++) {
		struct slice s;

		snprintf(key, sizeof(key), "%08u", (unsigned)rand_r(&rnd) % KEYSPACE);
		(void)!kv_get(kv_live(kv), 1, slice_str(key), &s);
	}
	print_message("%.2f us a kv_get\n", (double)(now_us() - start) / GETS);
	start = now_us();
	for (unsigned i = 0; i < 200; i++) {
		uint64_t seq;

		snprintf(value, sizeof(value), "%u", i);
		assert_int_equal(kv_begin(kv), 0);
		assert_int_equal(kv_put(kv, 1, slice_str("sync"), slice_of(value, sizeof(value))),
				 0);
		assert_int_equal(kv_commit(kv, &seq), 0);
		assert_int_equal(kv_sync(kv, seq), 0);
	}
	print_message("%.2f ms a batch with kv_sync\n", (double)(now_us() - start) / 200 / 1000);
	assert_int_equal(kv_close(kv), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_batches_match_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(abort_restores_exactly, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_do_not_leak_into_each_other, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_cursor_left_behind_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_value_may_come_from_the_store_itself, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_empty_batch_has_no_number, setup, teardown),
		cmocka_unit_test_setup_teardown(a_snapshot_sees_what_was_published, setup,
						teardown),
		cmocka_unit_test_setup_teardown(numbers_tell_what_is_shown_and_what_is_durable,
						setup, teardown),
		cmocka_unit_test_setup_teardown(time_alone_commits_and_checkpoints, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_core_is_woken_until_it_ticks, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_sync_and_read_while_the_core_writes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_core_may_move_to_another_thread, setup,
						teardown),
		cmocka_unit_test_setup_teardown(check_finds_nothing_in_a_sound_store, setup,
						teardown),
		cmocka_unit_test_setup_teardown(check_finds_a_page_that_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_is_complete_and_compact, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_knows_its_number, setup, teardown),
		cmocka_unit_test_setup_teardown(print_figures, setup, teardown),
	};

	return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
