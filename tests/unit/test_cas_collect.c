/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas_collect - what nobody refers to goes, what somebody may still see stays, and the host gets its blocks back.
 */
#include "tests/unit/cas_fixture.h"

#define MIB (1u << 20)

static void check_blob(struct fixture *f, struct kv_view *view, const struct blob_ref *ref, const uint8_t *p)
{
	uint8_t *q = fx_bytes(ref->size);

	assert_int_equal(blob_read(f->cas, view, ref, 0, q, ref->size), ref->size);
	assert_memory_equal(p, q, ref->size);
	free(q);
}

static void test_references(void **state)
{
	struct fixture *f = *state;
	uint8_t a[3000];
	struct digest id;
	bool more;

	fx_random(a, sizeof(a), 1);
	id = fx_put(f, a, sizeof(a));
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_ref(f->cas, &id), 0);
	assert_int_equal(cas_unref(f->cas, &id), 0);
	assert_int_equal(cas_unref(f->cas, &id), 0);
	assert_int_equal(cas_unref(f->cas, &id), -EBADMSG);	/* more than there were */
	assert_int_equal(cas_ref(f->cas, &id), 0);		/* from the dead */
	assert_int_equal(cas_unref(f->cas, &id), 0);
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	f->roots_count = 0;
	fx_check_clean(f);
	assert_int_equal(fx_stats(f).chunks, 0);
	assert_int_equal(fx_stats(f).dead, 1);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_collect_step(f->cas, 1, &more), 0);
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	assert_false(more);
	assert_int_equal(fx_stats(f).dead, 0);
	assert_int_equal(fx_stats(f).bytes_dead, sizeof(a));	/* to be given back */
	assert_int_equal(fx_stats(f).bytes_stored, 0);
	fx_check_clean(f);
}

/* Two files that share most of their chunks: each goes with its own reference, what is shared with the last. */
static void test_shared(void **state)
{
	struct fixture *f = *state;
	size_t len = 4 * MIB;
	uint8_t *p = fx_bytes(len);
	struct blob_ref a, b;
	uint64_t chunks_a, chunks_both;

	fx_text(p, len, 1);
	a = fx_blob(f, p, len);
	chunks_a = fx_stats(f).chunks;
	memcpy(p + len / 2, "changed!", 8);
	b = fx_blob(f, p, len);
	chunks_both = fx_stats(f).chunks;
	assert_false(blob_same(&a, &b));
	assert_true(chunks_both - chunks_a < 10);
	fx_unref(f, 0);
	fx_collect(f);
	assert_in_range(fx_stats(f).chunks, chunks_a - 5, chunks_a + 5);
	fx_check_clean(f);
	check_blob(f, kv_live(f->kv), &b, p);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(fx_stats(f).chunks, 0);
	assert_int_equal(fx_stats(f).bytes_raw, 0);
	fx_check_clean(f);
	free(p);
}

/* A small budget is kept to, and all is collected in the end. */
static void test_budget(void **state)
{
	struct fixture *f = *state;
	size_t len = MIB;
	uint8_t *p = fx_bytes(len);
	uint64_t before;
	bool more = true;

	fx_random(p, len, 1);
	(void)fx_blob(f, p, len);
	before = fx_stats(f).chunks;
	fx_unref(f, 0);
	for (uint64_t steps = 0; more; steps++) {
		assert_true(steps <= before);
		assert_int_equal(kv_begin(f->kv), 0);
		assert_int_equal(cas_collect_step(f->cas, 3, &more), 0);
		assert_int_equal(kv_commit(f->kv, NULL), 0);
		assert_true(fx_stats(f).chunks + fx_stats(f).dead + 3 * (steps + 1) >= before);
		fx_check_clean(f);
	}
	assert_int_equal(fx_stats(f).chunks + fx_stats(f).dead, 0);
	free(p);
}

/* Blocks come back: all those that hold nothing but dead chunks, however small the chunks were. */
static void test_blocks(void **state)
{
	struct fixture *f = *state;
	size_t len = 16 * MIB;
	uint8_t *p = fx_bytes(len), *q = fx_bytes(MIB);
	struct blob_ref keep;
	struct fx_files before, after;
	uint64_t bytes;

	fx_random(p, len, 1);
	fx_random(q, MIB, 2);
	(void)fx_blob(f, p, len);
	keep = fx_blob(f, q, MIB);
	before = fx_files(f);
	assert_true(before.blocks >= 17 * MIB);
	fx_unref(f, 0);
	fx_collect(f);
	fx_settle(f);
	bytes = fx_reclaim(f, 20);
	after = fx_files(f);
	assert_true(bytes >= 16 * MIB - 8192 && bytes <= 16 * MIB + 65536);
	assert_int_equal(before.blocks - after.blocks, bytes);
	assert_int_equal(after.size, before.size);
	assert_true(fx_stats(f).bytes_dead < 8192);
	assert_int_equal(fx_reclaim(f, 20), 0);
	fx_check_clean(f);
	check_blob(f, kv_live(f->kv), &keep, q);
	fx_reopen(f);
	fx_check_clean(f);
	check_blob(f, kv_live(f->kv), &keep, q);
	free(p);
	free(q);
}

/* Chunks of 2 KiB that die one after the other, in any order: no single one frees a block, together they do. */
static void test_neighbours(void **state)
{
	enum { N = 64, LEN = 2048 };
	struct fixture *f = *state;
	uint8_t p[LEN];
	uint64_t total = 0;

	for (uint64_t i = 0; i < N; i++) {
		fx_random(p, LEN, i);
		(void)fx_put(f, p, LEN);
	}
	for (uint64_t i = 0, seed = 1; f->roots_count > 0; i++) {
		fx_unref(f, fx_next(&seed) % f->roots_count);
		fx_collect(f);
		fx_settle(f);
		total += fx_reclaim(f, 0);
		fx_check_clean(f);
	}
	assert_int_equal(total, N * LEN);
}

/* Nothing is punched that a snapshot shows, or that a power cut could bring back. */
static void test_snapshots(void **state)
{
	struct fixture *f = *state;
	size_t len = 2 * MIB;
	uint8_t *p = fx_bytes(len);
	struct kv_view *snapshot;
	struct blob_ref ref;

	fx_random(p, len, 1);
	ref = fx_blob(f, p, len);
	fx_settle(f);
	assert_int_equal(kv_snapshot_open(f->kv, &snapshot), 0);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(fx_stats(f).chunks, 0);
	fx_settle(f);
	assert_int_equal(fx_reclaim(f, 100), 0);		/* the snapshot is older */
	check_blob(f, snapshot, &ref, p);
	kv_snapshot_close(snapshot);
	assert_true(fx_reclaim(f, 100) >= len - 8192);

	fx_random(p, len, 2);
	ref = fx_blob(f, p, len);
	fx_settle(f);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(kv_sync(f->kv, kv_seq(f->kv)), 0);
	cas_durable(f->cas, kv_seq(f->kv));
	assert_int_equal(fx_reclaim(f, 100), 0);		/* a snapshot opened now would still show it */
	assert_int_equal(kv_snapshot_open(f->kv, &snapshot), 0);
	check_blob(f, snapshot, &ref, p);
	kv_snapshot_close(snapshot);
	assert_int_equal(kv_publish(f->kv), 0);
	assert_true(fx_reclaim(f, 100) >= len - 8192);

	fx_random(p, len, 3);
	(void)fx_blob(f, p, len);
	fx_settle(f);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(kv_publish(f->kv), 0);
	assert_int_equal(fx_reclaim(f, 100), 0);		/* not known to be durable */
	assert_int_equal(kv_checkpoint(f->kv), 0);
	assert_true(fx_reclaim(f, 100) >= len - 8192);		/* now it is */
	fx_check_clean(f);
	free(p);
}

/* A stage that is synced tells cas that earlier deletions are durable. */
static void test_stage_tells(void **state)
{
	struct fixture *f = *state;
	size_t len = MIB;
	uint8_t *p = fx_bytes(len);

	fx_random(p, len, 1);
	(void)fx_blob(f, p, len);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(kv_publish(f->kv), 0);
	assert_int_equal(fx_reclaim(f, 100), 0);
	(void)fx_put(f, "small", 5);
	assert_true(fx_reclaim(f, 100) >= len - 8192);
	fx_check_clean(f);
	free(p);
}

/* Closed segments without a live chunk are removed; the last one stays, and numbers are not used again. */
static void test_segments(void **state)
{
	struct fixture *f = *state;
	size_t len = 3 * MIB + 1000;
	uint8_t *p = fx_bytes(len);
	struct blob_ref ref;
	uint32_t tail;

	cas_test_segment_max(MIB);
	fx_random(p, len, 1);
	ref = fx_blob(f, p, len);
	assert_true(fx_files(f).files >= 4);
	tail = f->cas->tail_segment;
	fx_check_clean(f);
	check_blob(f, kv_live(f->kv), &ref, p);
	fx_unref(f, 0);
	fx_collect(f);
	fx_settle(f);
	assert_true(fx_reclaim(f, 16) >= len - 16384);
	assert_int_equal(fx_files(f).files, 1);
	assert_int_equal(fx_stats(f).segments, 1);
	assert_int_equal(f->cas->tail_segment, tail);
	fx_check_clean(f);
	ref = fx_blob(f, p, len);
	check_blob(f, kv_live(f->kv), &ref, p);
	fx_reopen(f);
	fx_check_clean(f);
	check_blob(f, kv_live(f->kv), &ref, p);
	cas_test_segment_max(0);
	free(p);
}

/* A dead segment goes, also when its rows are just as many as one step looks at and those of the next one follow. */
static void test_segments_by_steps(void **state)
{
	struct fixture *f = *state;
	enum { EACH = 16, SEGMENTS = 4, LEN = 5000 };
	uint8_t *p = fx_bytes(LEN);

	cas_test_segment_max(EACH * LEN);
	for (unsigned i = 0; i < EACH * SEGMENTS + 1; i++) {
		fx_random(p, LEN, 100 + i);
		fx_put(f, p, LEN);
		while (i % EACH == EACH - 1 && f->roots_count > 0)
			fx_unref(f, 0);
	}
	assert_int_equal(fx_stats(f).segments, SEGMENTS + 1);
	fx_collect(f);
	fx_settle(f);
	fx_reclaim(f, EACH);
	assert_int_equal(fx_files(f).files, 1);
	assert_int_equal(fx_stats(f).segments, 1);
	fx_check_clean(f);
	cas_test_segment_max(0);
	free(p);
}

static enum io_fault count_punches(void *arg, uint64_t number, const char *op)
{
	(void)number;
	*(int *)arg += strstr(op, "allocate") || strstr(op, "punch");
	return IO_FAULT_NONE;
}

/* Segments of more than one step's worth are punched bit by bit, then removed. */
static void test_large_segments(void **state)
{
	struct fixture *f = *state;
	size_t len = 30 * MIB;
	uint8_t *p = fx_bytes(len);
	uint64_t bytes, total = 0;
	bool more = true;
	int steps = 0, punches = 0;

	cas_test_segment_max(11 * MIB);
	fx_random(p, len, 1);
	(void)fx_blob(f, p, len);
	assert_int_equal(fx_files(f).files, 3);
	fx_unref(f, 0);
	fx_collect(f);
	fx_settle(f);
	io_set_fault_hook(count_punches, &punches);
	while (more) {
		assert_int_equal(cas_reclaim_step(f->cas, 100, &bytes, &more), 0);
		assert_true(bytes <= 5 * MIB);
		total += bytes;
		steps++;
		fx_check_clean(f);
	}
	io_set_fault_hook(NULL, NULL);
	assert_true(steps > 6 && punches > 6);
	total += fx_reclaim(f, 100);
	assert_int_equal(fx_files(f).files, 1);
	assert_in_range(total, len - 65536, len + 65536);
	fx_check_clean(f);
	cas_test_segment_max(0);
	free(p);
}

/* --- crashes ---------------------------------------------------------------------------------------- */

static enum io_fault crash_at(void *arg, uint64_t number, const char *op)
{
	atomic_ullong *left = arg;

	(void)number;
	(void)op;
	return atomic_fetch_sub(left, 1) == 1 ? IO_FAULT_CRASH : IO_FAULT_NONE;
}

static void fill(uint8_t *p, size_t len, uint64_t i)
{
	fx_random(p, len, i / 2);	/* every second one is known already */
}

/* Put, drop, collect, give back, over and over; stop at the N-th change of a file. */
static void child_churns(struct fixture *f, uint64_t n)
{
	atomic_ullong left = n;
	size_t len = 300000;
	uint8_t *p = fx_bytes(len);

	cas_test_segment_max(MIB / 2);
	io_set_fault_hook(crash_at, &left);
	for (uint64_t i = 0; i < 8; i++) {
		fill(p, len, i);
		(void)fx_blob(f, p, len);
		if (i >= 4)
			fx_unref(f, 0);
		fx_collect(f);
		fx_settle(f);
		(void)fx_reclaim(f, 16);
	}
	free(p);
}

/* After a crash the references of the child are not known here: what the rows count beyond the nodes' must be they. */
static int adopt_roots(struct fixture *f)
{
	size_t len = 300000;
	uint8_t *p = fx_bytes(len);
	int found = 0;

	f->roots_count = 0;
	for (uint64_t i = 0; i < 8; i += 2) {
		struct cas_stage *stage = fx_stage(f);
		struct blob_ref ref;
		struct chunk_row row;

		fill(p, len, i);
		ref = fx_stage_blob(stage, p, len, 0, NULL);
		cas_stage_free(stage);
		if (chunk_row_get(kv_live(f->kv), &ref.root, &row) < 0)
			continue;
		for (uint64_t refs = 0; refs < row.refs; refs++)
			f->roots[f->roots_count++] = ref.root;
		if (row.refs > 0)
			check_blob(f, kv_live(f->kv), &ref, p);
		found++;
	}
	free(p);
	return found;
}

static void test_crash_everywhere(void **state)
{
	struct fixture *f = *state;
	int status = IO_CRASH_STATUS;
	uint64_t n;

	cas_test_segment_max(MIB / 2);
	for (n = 1; status == IO_CRASH_STATUS; n += 1 + n / 12) {
		fx_close(f);
		status = fx_fork(f, child_churns, n);
		fx_open(f);
		(void)adopt_roots(f);
		fx_check_clean(f);
		while (f->roots_count > 0)
			fx_unref(f, 0);
		fx_collect(f);
		fx_settle(f);
		(void)fx_reclaim(f, 100);
		assert_int_equal(fx_stats(f).chunks + fx_stats(f).dead, 0);
		fx_check_clean(f);
		assert_int_equal(fx_files(f).files <= 1, 1);
	}
	assert_int_equal(status, 0);
	assert_true(n > 30);
	cas_test_segment_max(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_references), TEST(test_shared),   TEST(test_budget),	      TEST(test_blocks),
		TEST(test_neighbours), TEST(test_snapshots), TEST(test_stage_tells), TEST(test_segments),
		TEST(test_segments_by_steps), TEST(test_large_segments),
		TEST(test_crash_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
