/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas - putting and getting chunks: one copy of equal bytes, never one name for two, damage found and named, and
 * nothing left behind by what was never committed.
 */
#include <pthread.h>

#include "tests/unit/cas_fixture.h"

#define MIB (1u << 20)

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 1,    2,    63,	   64,	  65,	 1000,	1023,	       1024,
					1025, 4095, 4096, 8192, 65536, 300000, CAS_CHUNK_MAX };
	enum { N = sizeof(sizes) / sizeof(*sizes) };
	struct fixture *f = *state;
	uint8_t *p = fx_bytes(CAS_CHUNK_MAX);
	struct digest ids[2 * N];

	for (int round = 0; round < 2; round++) {	/* then once more, out of a store that was closed */
		for (size_t i = 0; i < 2 * N; i++) {
			(i < N ? fx_random : fx_text)(p, sizes[i % N], i);
			if (round == 0)
				ids[i] = fx_put(f, p, sizes[i % N]);
			fx_assert_chunk(f, &ids[i], p, sizes[i % N]);
		}
		fx_check_clean(f);
		fx_reopen(f);
	}
	assert_int_equal(fx_stats(f).chunks, 2 * N);
	free(p);
}

/* The name of data is what `xxh128sum` prints. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	struct digest id = fx_put(f, "hello\n", 6);
	char hex[33];

	hash_hex(id.bytes, sizeof(id.bytes), hex);
	assert_string_equal(hex, "6bba86c7e069f56d5a10b435f1c8e49c");
}

static void test_bad_arguments(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f), *second;
	uint8_t *p = fx_bytes(CAS_CHUNK_MAX + 1);
	struct digest id;
	struct buf out = BUF_INIT;
	bool more;

	fx_random(p, CAS_CHUNK_MAX + 1, 1);
	assert_int_equal(cas_stage_put(stage, CAS_DATA, slice_of(p, CAS_CHUNK_MAX + 1), &id), -EFBIG);
	assert_int_equal(cas_stage_put(stage, CAS_DATA, slice_of("", 0), &id), -EINVAL);
	assert_int_equal(cas_stage_put(stage, CAS_NODE, slice_of("xyz", 3), &id), -EINVAL);
	assert_int_equal(cas_stage_new(f->cas, kv_live(f->kv), &second), -EBUSY);
	id = fx_stage_put(stage, p, 5000);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_stage_commit(stage, &more), -EINVAL);	/* not synced */
	kv_abort(f->kv);
	cas_stage_free(stage);
	assert_int_equal(cas_get(f->cas, kv_live(f->kv), &id, &out), -ENOENT);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_ref(f->cas, &id), -ENOENT);
	assert_int_equal(cas_unref(f->cas, &id), -ENOENT);
	kv_abort(f->kv);
	fx_check_clean(f);
	free(p);
}

static void test_dedup(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = fx_bytes(100000);
	struct cas_stage *stage;
	struct cas_stats before, after;
	struct digest a, b;
	uint64_t size;

	fx_text(p, 100000, 7);
	stage = fx_stage(f);
	a = fx_stage_put(stage, p, 100000);
	b = fx_stage_put(stage, p, 100000);	/* still in memory */
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(cas_stage_sync(stage), 0);
	b = fx_stage_put(stage, p, 100000);	/* in the file */
	assert_memory_equal(&a, &b, sizeof(a));
	fx_commit(f, stage, &a);
	before = fx_stats(f);
	size = fx_files(f).size;
	assert_int_equal(before.chunks, 1);
	assert_int_equal(before.bytes_raw, 100000);
	assert_true(before.bytes_stored < 50000);

	b = fx_put(f, p, 100000);		/* in the store */
	assert_memory_equal(&a, &b, sizeof(a));
	after = fx_stats(f);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(fx_files(f).size, size);
	fx_check_clean(f);
	free(p);
}

/* With names of three bits twenty contents must collide; each is found again under its own. */
static void test_collisions(void **state)
{
	enum { N = 8 };
	struct fixture *f = *state;
	uint8_t content[N][3000];
	struct digest ids[N], again;

	cas_test_name_bits(f->cas, 3);
	for (size_t i = 0; i < N; i++) {
		fx_random(content[i], sizeof(content[i]), i);
		ids[i] = fx_put(f, content[i], i % 2 ? 3000 : 300);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&ids[i], &ids[j], sizeof(ids[i]));
	}
	for (size_t i = 0; i < N; i++) {
		again = fx_put(f, content[i], i % 2 ? 3000 : 300);
		assert_memory_equal(&again, &ids[i], sizeof(again));
		fx_assert_chunk(f, &ids[i], content[i], i % 2 ? 3000 : 300);
	}
	assert_int_equal(fx_stats(f).chunks, N);
	fx_check_clean(f);
}

/* The same within one stage, and with the first of two colliding chunks collected: the second keeps its name. */
static void test_collision_outlives(void **state)
{
	struct fixture *f = *state;
	uint8_t a[5000], b[5000];
	struct cas_stage *stage;
	struct digest ida, idb, again;

	cas_test_name_bits(f->cas, 1);
	fx_random(a, sizeof(a), 1);
	fx_random(b, sizeof(b), 2);
	for (uint64_t seed = 3; chunk_name(f->cas, CAS_DATA, 0, slice_of(a, sizeof(a))).bytes[0] !=
				chunk_name(f->cas, CAS_DATA, 0, slice_of(b, sizeof(b))).bytes[0];)
		fx_random(b, sizeof(b), seed++);
	stage = fx_stage(f);
	ida = fx_stage_put(stage, a, sizeof(a));
	idb = fx_stage_put(stage, b, sizeof(b));
	assert_memory_not_equal(&ida, &idb, sizeof(ida));
	fx_commit(f, stage, &idb);
	fx_collect(f);					/* nobody has asked for A */
	assert_int_equal(fx_stats(f).chunks, 1);
	fx_assert_chunk(f, &idb, b, sizeof(b));
	again = fx_put(f, a, sizeof(a));
	assert_memory_equal(&again, &ida, sizeof(again));
	fx_assert_chunk(f, &ida, a, sizeof(a));
	fx_check_clean(f);
}

/* A file that holds the bytes of a node is not that node. */
static void test_kinds(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	struct buf node = BUF_INIT;
	struct node_entry e = { .len = 5 };
	struct digest as_node, as_data;

	e.id = fx_stage_put(stage, "abcde", 5);
	node_begin(&node, 1);
	node_add(&node, 1, &e);
	assert_int_equal(cas_stage_put(stage, CAS_NODE, buf_slice(&node), &as_node), 0);
	as_data = fx_stage_put(stage, node.data, node.len);
	assert_memory_not_equal(&as_node, &as_data, sizeof(as_node));
	fx_commit(f, stage, &as_node);
	fx_collect(f);
	fx_assert_chunk(f, &as_node, node.data, node.len);
	assert_int_equal(fx_stats(f).chunks, 2);
	fx_check_clean(f);
	buf_release(&node);
}

/* A node may not name what is not there, or as what it is not. */
static void test_node_children(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	struct buf node = BUF_INIT;
	struct node_entry e = { .len = 5 };
	struct digest id;

	memset(e.id.bytes, 7, sizeof(e.id.bytes));
	node_begin(&node, 1);
	node_add(&node, 1, &e);
	assert_int_equal(cas_stage_put(stage, CAS_NODE, buf_slice(&node), &id), -ENOENT);
	e.id = fx_stage_put(stage, "abcd", 4);
	node_begin(&node, 1);
	node_add(&node, 1, &e);
	assert_int_equal(cas_stage_put(stage, CAS_NODE, buf_slice(&node), &id), -EINVAL);
	e.len = 4;
	node_begin(&node, 2);
	node_add(&node, 2, &e);
	assert_int_equal(cas_stage_put(stage, CAS_NODE, buf_slice(&node), &id), -EINVAL);
	cas_stage_free(stage);
	buf_release(&node);
}

/* Flip a bit of the stored bytes of ID. */
static void damage(struct fixture *f, const struct digest *id)
{
	struct segment_use use;
	struct chunk_row row;
	uint8_t byte;

	assert_int_equal(chunk_row_get(kv_live(f->kv), id, &row), 0);
	assert_false(row.is_inline);
	assert_int_equal(segment_open(f->cas, row.segment, &use), 0);
	assert_int_equal(pread(use.fd, &byte, 1, (off_t)(row.offset + row.stored / 2)), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(use.fd, &byte, 1, (off_t)(row.offset + row.stored / 2)), 1);
	segment_release(f->cas, use);
}

static void test_damage(void **state)
{
	struct fixture *f = *state;
	uint8_t a[9000], b[9000], c[9000];
	struct buf out = BUF_INIT;
	struct digest ids[3], again;
	char hex[33];

	fx_random(a, sizeof(a), 1);
	fx_text(b, sizeof(b), 2);
	fx_random(c, sizeof(c), 3);
	ids[0] = fx_put(f, a, sizeof(a));
	ids[1] = fx_put(f, b, sizeof(b));
	ids[2] = fx_put(f, c, sizeof(c));
	damage(f, &ids[0]);
	damage(f, &ids[1]);
	for (int i = 0; i < 2; i++) {
		hash_hex(ids[i].bytes, sizeof(ids[i].bytes), hex);
		assert_int_equal(cas_get(f->cas, kv_live(f->kv), &ids[i], &out), -EBADMSG);
		assert_non_null(strstr(err_reason(), hex));
		assert_int_equal(fx_check(f), 1);
		assert_non_null(strstr(f->faults, hex));
	}
	fx_assert_chunk(f, &ids[2], c, sizeof(c));
	again = fx_put(f, a, sizeof(a));	/* a damaged twin is no twin */
	assert_memory_not_equal(&again, &ids[0], sizeof(again));
	fx_assert_chunk(f, &again, a, sizeof(a));
	buf_release(&out);
}

/* A segment that lost its end, or its file. */
static void test_lost_bytes(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;
	uint8_t a[9000];
	struct digest id;
	char path[32] = SEGMENT_DIR "/00000001";

	fx_random(a, sizeof(a), 1);
	id = fx_put(f, a, sizeof(a));
	fx_close(f);
	{
		int fd = openat(f->dirfd, path, O_RDWR);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, 8999), 0);
		close(fd);
	}
	fx_open(f);
	assert_int_equal(cas_get(f->cas, kv_live(f->kv), &id, &out), -EBADMSG);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "its file ends at 8999, before 9000"));
	fx_close(f);
	assert_int_equal(unlinkat(f->dirfd, path, 0), 0);
	fx_open(f);
	assert_int_equal(cas_get(f->cas, kv_live(f->kv), &id, &out), -EBADMSG);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "its file is not there"));
	buf_release(&out);
}

/* Rows that do not add up are found, each by its own fault. */
static void test_check_finds(void **state)
{
	struct fixture *f = *state;
	struct segment_row segment;
	struct free_row range = { 1, 100, 50, 0 };
	struct chunk_row row;
	uint8_t a[9000];
	struct digest id;

	fx_random(a, sizeof(a), 1);
	id = fx_put(f, a, sizeof(a));
	fx_check_clean(f);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(chunk_row_get(kv_live(f->kv), &id, &row), 0);
	row.refs = 5;
	assert_int_equal(chunk_row_put(f->kv, &id, &row), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "counts 5 references, but 1 are there"));
	kv_abort(f->kv);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(kv_put(f->kv, TABLE_CHUNK_DEAD, chunk_key(&id), slice_of("", 0)), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "has 1 references and is queued"));
	kv_abort(f->kv);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(kv_del(f->kv, TABLE_CHUNK, chunk_key(&id)), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "is referred to 1 times, but not there"));
	assert_non_null(strstr(f->faults, "records 1 chunks of 9000 bytes, but holds 0 of 0"));
	kv_abort(f->kv);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(free_row_put(f->kv, &range), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "lies in a free range"));
	kv_abort(f->kv);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(segment_row_get(kv_live(f->kv), 1, &segment, NULL), 0);
	segment.end -= 1;
	assert_int_equal(segment_row_put(f->kv, 1, &segment), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "lies behind the end of segment"));
	kv_abort(f->kv);

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(kv_put(f->kv, TABLE_CHUNK, chunk_key(&id), slice_of("\x07junk", 5)), 0);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "row of a chunk is damaged"));
	kv_abort(f->kv);
	fx_check_clean(f);
}

/* --- crashes ---------------------------------------------------------------------------------------- */

static const size_t crash_len = 5 * MIB;

static struct cas_stage *stage_blob(struct fixture *f, struct blob_ref *ret)
{
	struct cas_stage *stage = fx_stage(f);
	uint8_t *p = fx_bytes(crash_len);

	fx_random(p, crash_len, 99);
	*ret = fx_stage_blob(stage, p, crash_len, 0, NULL);
	assert_int_equal(cas_stage_sync(stage), 0);
	free(p);
	return stage;
}

/* Commit PARTS batches, then die. */
static void child_commits(struct fixture *f, uint64_t parts)
{
	struct blob_ref ref;
	struct cas_stage *stage = stage_blob(f, &ref);
	bool more = true;

	for (uint64_t i = 0; i < parts && more; i++) {
		assert_int_equal(kv_begin(f->kv), 0);
		assert_int_equal(cas_stage_commit(stage, &more), 0);
		if (!more)
			assert_int_equal(cas_ref(f->cas, &ref.root), 0);
		assert_int_equal(kv_commit(f->kv, NULL), 0);
	}
	if (!more)
		_exit(7);
}

static void test_crash_before_commit(void **state)
{
	struct fixture *f = *state;

	fx_close(f);
	assert_int_equal(fx_fork(f, child_commits, 0), 0);
	fx_open(f);
	assert_int_equal(fx_files(f).files, 0);
	fx_check_clean(f);
	assert_int_equal(fx_stats(f).chunks, 0);
}

/* Whatever number of the parts was committed: a store in order, from which the rest can be collected. */
static void test_crash_between_parts(void **state)
{
	struct fixture *f = *state;
	int status = 0;

	for (uint64_t parts = 1; status != 7; parts++) {
		fx_close(f);
		status = fx_fork(f, child_commits, parts);
		fx_open(f);
		if (status == 7)
			break;
		assert_true(parts < 20);
		fx_check_clean(f);
		assert_true(fx_stats(f).dead > 0);
		fx_collect(f);
		assert_int_equal(fx_stats(f).chunks, 0);
		assert_int_equal(fx_stats(f).dead, 0);
		fx_check_clean(f);
	}
	{
		struct blob_ref ref;
		struct cas_stage *stage = stage_blob(f, &ref);
		uint64_t chunks = fx_stats(f).chunks;
		uint8_t *p = fx_bytes(crash_len), *q = fx_bytes(crash_len);

		fx_commit(f, stage, &ref.root);			/* all of it is known */
		assert_int_equal(fx_stats(f).chunks, chunks);
		f->roots[f->roots_count++] = ref.root;		/* the child's */
		fx_check_clean(f);
		fx_random(p, crash_len, 99);
		assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, 0, q, crash_len), crash_len);
		assert_memory_equal(p, q, crash_len);
		free(p);
		free(q);
	}
}

/* A batch that is aborted after the commit of a stage leaves a gap at most, and that is accounted for. */
static void test_aborted_batch(void **state)
{
	struct fixture *f = *state;
	uint8_t a[9000];
	struct cas_stage *stage = fx_stage(f);
	struct digest id;
	bool more;

	fx_random(a, sizeof(a), 1);
	id = fx_stage_put(stage, a, sizeof(a));
	assert_int_equal(cas_stage_sync(stage), 0);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_stage_commit(stage, &more), 0);
	kv_abort(f->kv);
	cas_stage_free(stage);
	fx_check_clean(f);
	id = fx_put(f, a, sizeof(a));
	fx_assert_chunk(f, &id, a, sizeof(a));
	fx_check_clean(f);
	fx_reopen(f);
	fx_assert_chunk(f, &id, a, sizeof(a));
	fx_check_clean(f);
}

static enum io_fault full_disk(void *arg, uint64_t number, const char *op)
{
	(void)arg;
	(void)number;
	return strncmp(op, "pwrite", 6) == 0 ? IO_FAULT_ENOSPC : IO_FAULT_NONE;
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = fx_bytes(4 * MIB);
	struct cas_stage *stage = fx_stage(f);
	struct digest id;
	bool more;
	int rc = 0;

	fx_random(p, 4 * MIB, 5);
	io_set_fault_hook(full_disk, NULL);
	for (size_t at = 0; at < 4 * MIB && rc == 0; at += 65536)
		rc = cas_stage_put(stage, CAS_DATA, slice_of(p + at, 65536), &id);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(cas_stage_sync(stage), -ENOSPC);
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_stage_commit(stage, &more), -ENOSPC);
	kv_abort(f->kv);
	cas_stage_free(stage);
	assert_int_equal(fx_files(f).size, 0);
	fx_check_clean(f);
	id = fx_put(f, p, 65536);
	fx_assert_chunk(f, &id, p, 65536);
	fx_check_clean(f);
	free(p);
}

static enum io_fault count_directory_syncs(void *arg, uint64_t number, const char *op)
{
	(void)number;
	*(int *)arg += strcmp(op, "fsync") == 0;
	return IO_FAULT_NONE;
}

/* The name of a segment that a stage made and gave up is on stable storage before the next one names a place in it. */
static void test_file_of_failed_stage(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	uint8_t a[9000];
	struct digest id;
	int syncs = 0;

	fx_random(a, sizeof(a), 1);
	fx_stage_put(stage, a, sizeof(a));
	io_set_fault_hook(full_disk, NULL);
	assert_int_equal(cas_stage_sync(stage), -ENOSPC);
	io_set_fault_hook(NULL, NULL);
	cas_stage_free(stage);
	assert_int_equal(fx_files(f).files, 1);
	io_set_fault_hook(count_directory_syncs, &syncs);
	id = fx_put(f, a, sizeof(a));
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(syncs, 1);
	fx_assert_chunk(f, &id, a, sizeof(a));
}

/* One damaged row of a segment costs what it says, not the store. */
static void test_damaged_segment_row(void **state)
{
	struct fixture *f = *state;
	struct buf key = BUF_INIT;
	uint8_t a[9000], b[9000];
	struct digest id;

	fx_random(a, sizeof(a), 1);
	fx_random(b, sizeof(b), 2);
	id = fx_put(f, a, sizeof(a));
	segment_key(&key, 1);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(kv_put(f->kv, TABLE_SEGMENT, buf_slice(&key), slice_of("\xff", 1)), 0);
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	fx_reopen(f);
	fx_assert_chunk(f, &id, a, sizeof(a));
	id = fx_put(f, b, sizeof(b));
	fx_assert_chunk(f, &id, b, sizeof(b));
	fx_reopen(f);
	fx_assert_chunk(f, &id, b, sizeof(b));
	assert_int_equal(fx_check(f), 1);
	buf_release(&key);
}

/* --- time passes between staging and committing ------------------------------------------------------- */

static void test_stale(void **state)
{
	struct fixture *f = *state;
	uint8_t a[9000];
	struct cas_stage *stage;
	struct digest id;
	bool more;

	fx_random(a, sizeof(a), 1);
	id = fx_put(f, a, sizeof(a));
	stage = fx_stage(f);
	id = fx_stage_put(stage, a, sizeof(a));		/* known */
	assert_int_equal(cas_stage_sync(stage), 0);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_stage_commit(stage, &more), -ESTALE);
	kv_abort(f->kv);
	cas_stage_free(stage);
	id = fx_put(f, a, sizeof(a));
	fx_assert_chunk(f, &id, a, sizeof(a));
	fx_check_clean(f);
}

/* The snapshot of the second stage does not show what the first committed. */
static void test_old_snapshot(void **state)
{
	struct fixture *f = *state;
	size_t len = MIB;
	uint8_t *p = fx_bytes(len);
	struct kv_view *snapshot;
	struct cas_stage *stage;
	struct blob_ref ref, again;
	uint64_t chunks;

	fx_text(p, len, 1);
	assert_int_equal(kv_publish(f->kv), 0);
	assert_int_equal(kv_snapshot_open(f->kv, &snapshot), 0);
	ref = fx_blob(f, p, len);
	chunks = fx_stats(f).chunks;
	assert_int_equal(cas_stage_new(f->cas, snapshot, &stage), 0);
	again = fx_stage_blob(stage, p, len, 1000, NULL);
	assert_true(blob_same(&ref, &again));
	fx_commit(f, stage, &again.root);
	kv_snapshot_close(snapshot);
	assert_int_equal(fx_stats(f).chunks, chunks);
	fx_check_clean(f);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(fx_stats(f).chunks, chunks);
	fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(fx_stats(f).chunks, 0);
	fx_check_clean(f);
	free(p);
}

static void test_read_only(void **state)
{
	static const struct kv_options options = { .read_only = true };
	struct fixture *f = *state;
	struct cas_stage *stage;
	uint8_t a[9000];
	struct digest id;
	int fd;

	fx_random(a, sizeof(a), 1);
	id = fx_put(f, a, sizeof(a));
	fx_close(f);
	fd = openat(f->dirfd, SEGMENT_DIR "/00000009", O_CREAT | O_RDWR, 0600);
	close(fd);
	assert_int_equal(kv_open(f->dirfd, &options, &f->kv), 0);
	assert_int_equal(cas_open(f->kv, f->dirfd, &f->cas), 0);
	fx_assert_chunk(f, &id, a, sizeof(a));
	assert_int_equal(cas_stage_new(f->cas, kv_live(f->kv), &stage), -EROFS);
	assert_int_equal(fx_files(f).files, 2);			/* nothing was tidied */
	fx_check_clean(f);
	fx_reopen(f);
	assert_int_equal(fx_files(f).files, 1);
}

/* --- threads ---------------------------------------------------------------------------------------- */

struct reader {
	struct fixture *f;
	const uint8_t *bytes;
	struct blob_ref ref;
	uint64_t seed;
	int reads;
};

/* Not an assertion in sight: cmocka's jump out of a test is for the main thread only. */
static void *reader_main(void *arg)
{
	struct reader *r = arg;
	uint8_t *out = malloc(200000);
	int bad = 0;

	while (r->reads-- > 0 && out && !bad) {
		uint64_t at = fx_next(&r->seed) % r->ref.size;
		size_t len = fx_next(&r->seed) % 200000;
		struct kv_view *view;
		ssize_t got;

		if (kv_snapshot_open(r->f->kv, &view) < 0)
			break;
		got = blob_read(r->f->cas, view, &r->ref, at, out, len);
		len = len < r->ref.size - at ? len : (size_t)(r->ref.size - at);
		bad = got != (ssize_t)len || memcmp(out, r->bytes + at, len) != 0;
		kv_snapshot_close(view);
	}
	free(out);
	return bad ? arg : NULL;
}

/* Readers on snapshots while the core adds, drops, collects and gives back. */
static void test_threads(void **state)
{
	enum { READERS = 3 };
	struct fixture *f = *state;
	size_t len = 3 * MIB;
	uint8_t *p = fx_bytes(len), *q = fx_bytes(len);
	struct reader readers[READERS];
	pthread_t threads[READERS];
	void *bad;

	fx_text(p, len, 1);
	cas_test_segment_max(MIB);
	struct blob_ref ref = fx_blob(f, p, len);
	assert_int_equal(kv_publish(f->kv), 0);
	for (uint64_t i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ f, p, ref, i, 150 };
		assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
	}
	for (uint64_t i = 0; i < 12; i++) {
		fx_random(q, len / 3, i);
		(void)fx_blob(f, q, len / 3);
		fx_unref(f, 1);
		fx_collect(f);
		fx_settle(f);
		(void)fx_reclaim(f, 50);
	}
	for (int i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	cas_test_segment_max(0);
	fx_check_clean(f);
	free(p);
	free(q);
}

/* --- bytes on disk ----------------------------------------------------------------------------------- */

/* Encoding gives the golden bytes, and reading them gives the values back. */
static void check_row(const char *name, const struct chunk_row *row)
{
	uint8_t bytes[64];
	struct slice golden = fx_golden(name, bytes, sizeof(bytes));
	struct buf out = BUF_INIT;
	struct chunk_row back;

	chunk_row_encode(&out, row);
	assert_int_equal(out.len, golden.len);
	assert_memory_equal(out.data, golden.data, golden.len);
	assert_int_equal(chunk_row_decode(golden, &back), 0);
	assert_int_equal(back.kind, row->kind);
	assert_int_equal(back.codec, row->codec);
	assert_int_equal(back.is_inline, row->is_inline);
	assert_int_equal(back.seed, row->seed);
	assert_int_equal(back.refs, row->refs);
	assert_int_equal(back.raw, row->raw);
	assert_int_equal(back.stored, row->stored);
	assert_int_equal(back.segment, row->segment);
	assert_int_equal(back.offset, row->offset);
	assert_true(slice_eq(back.bytes, row->bytes));
	for (size_t len = 0; len < golden.len - row->stored * row->is_inline; len++)
		assert_int_equal(chunk_row_decode(slice_of(golden.data, len), &back), -EBADMSG);
	buf_release(&out);
}

static void test_golden_rows(void **state)
{
	struct fixture *f = *state;
	struct chunk_row in_row = { .kind = CAS_DATA, .is_inline = true, .refs = 1, .raw = 6, .stored = 6,
				    .bytes = slice_of("hello\n", 6) };
	struct chunk_row in_segment = { .kind = CAS_DATA, .codec = CHUNK_ZSTD, .refs = 300, .raw = 8192,
					.stored = 2345, .segment = 2, .offset = 1000000 };
	struct segment_row segment = { .end = 1002345, .chunks = 400, .raw = 3000000, .stored = 900000,
				       .given = 98304, .seq = 77 };
	struct free_row range = { 2, 4096, 102345, 77 }, back;
	struct slice value, golden;
	struct buf key = BUF_INIT;
	uint8_t bytes[64];

	check_row("cas-row-inline", &in_row);
	check_row("cas-row-segment", &in_segment);
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(segment_row_put(f->kv, 2, &segment), 0);
	segment_key(&key, 2);
	assert_int_equal(kv_get(kv_live(f->kv), TABLE_SEGMENT, buf_slice(&key), &value), 0);
	golden = fx_golden("cas-row-of-segment", bytes, sizeof(bytes));
	assert_int_equal(golden.len, value.len);
	assert_memory_equal(golden.data, value.data, value.len);
	assert_int_equal(free_row_put(f->kv, &range), 0);
	free_row_key(&key, 2, 4096);
	assert_int_equal(kv_get(kv_live(f->kv), TABLE_SEGMENT_FREE, buf_slice(&key), &value), 0);
	golden = fx_golden("cas-row-of-free-range", bytes, sizeof(bytes));	/* key, then value */
	assert_int_equal(golden.len, key.len + value.len);
	assert_memory_equal(golden.data, key.data, key.len);
	assert_memory_equal(bytes + key.len, value.data, value.len);
	assert_int_equal(free_row_decode(buf_slice(&key), value, &back), 0);
	assert_true(back.segment == range.segment && back.offset == range.offset && back.len == range.len &&
		    back.seq == range.seq);
	kv_abort(f->kv);
	buf_release(&key);
}

static void test_reject_rows(void **state)
{
	static const char *const names[] = {
		"cas-reject-row-kind",	 "cas-reject-row-codec",  "cas-reject-row-form",
		"cas-reject-row-raw",	 "cas-reject-row-stored", "cas-reject-row-offset",
		"cas-reject-row-longer", "cas-reject-row-empty",
	};
	uint8_t bytes[2048];
	struct chunk_row row;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_int_equal(chunk_row_decode(fx_golden(names[i], bytes, sizeof(bytes)), &row), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_round_trip),	   TEST(test_names),	       TEST(test_bad_arguments),
		TEST(test_dedup),	   TEST(test_collisions),      TEST(test_collision_outlives),
		TEST(test_kinds),	   TEST(test_node_children),   TEST(test_damage),
		TEST(test_lost_bytes),	   TEST(test_check_finds),     TEST(test_crash_before_commit),
		TEST(test_crash_between_parts), TEST(test_aborted_batch), TEST(test_full_disk),
		TEST(test_file_of_failed_stage), TEST(test_damaged_segment_row),
		TEST(test_stale),	   TEST(test_old_snapshot),    TEST(test_read_only),
		TEST(test_threads),	   TEST(test_golden_rows),     TEST(test_reject_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
