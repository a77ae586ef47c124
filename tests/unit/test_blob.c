/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob - files as trees: any bytes come back from any offset, equal bytes have equal trees however they came, holes are
 * holes, an edit costs little, and no node that lies is believed.  The last test prints how fast it all is.
 */
#include <openssl/evp.h>
#include <time.h>

#include "tests/unit/cas_fixture.h"

#include "store/cas/chunker.h"

#define MIB (1u << 20)

/* --- contents: data and holes, made by a rule -------------------------------------------------------- */

enum shape { RANDOM, TEXT, SPARSE, ISLANDS, SHAPES };

static void make(uint8_t *p, size_t len, enum shape shape, uint64_t seed)
{
	(shape == TEXT ? fx_text : fx_random)(p, len, seed);
	if (shape != SPARSE && shape != ISLANDS)
		return;
	for (size_t at = 0; at < len;) {	/* zeros of any length, some just below and above a hole's */
		uint64_t v = fx_next(&seed);
		size_t data = shape == SPARSE ? v % 30000 : v % 3000;
		size_t hole = v >> 32 & 1 ? BLOB_HOLE_MIN - 2 + (v >> 34) % 5 : (v >> 34) % 20000;

		at += data;
		if (at >= len)
			break;
		hole = hole < len - at ? hole : len - at;
		memset(p + at, 0, hole);
		at += hole;
	}
}

/* By definition: is the byte at AT in a run of BLOB_HOLE_MIN zeros?  Fills MAP with 1 for holes. */
static void hole_map(const uint8_t *p, size_t len, uint8_t *map)
{
	for (size_t at = 0; at < len;) {
		size_t end = at;

		while (end < len && p[end] == 0)
			end++;
		if (end == at) {
			map[at++] = 0;
			continue;
		}
		memset(map + at, end - at >= BLOB_HOLE_MIN, end - at);
		at = end;
	}
}

static int64_t seek_by_map(const uint8_t *map, size_t len, size_t off, bool hole)
{
	for (size_t at = off; at < len; at++) {
		if (map[at] == hole)
			return (int64_t)at;
	}
	return hole ? (int64_t)len : -ENXIO;
}

/* Everything that can be asked of a blob, against the bytes themselves. */
static void check_against(struct fixture *f, const struct blob_ref *ref, const uint8_t *p, size_t len)
{
	uint8_t *map = fx_bytes(len), *out = fx_bytes(len + 1);
	uint64_t seed = len, data = 0, found;

	assert_int_equal(ref->size, len);
	hole_map(p, len, map);
	for (size_t i = 0; i < len; i++)
		data += !map[i];
	assert_int_equal(blob_data_bytes(f->cas, kv_live(f->kv), ref, &found), 0);
	assert_int_equal(found, data);
	assert_int_equal(blob_has_root(ref), data > 0);
	assert_int_equal(blob_read(f->cas, kv_live(f->kv), ref, 0, out, len + 1), len);
	assert_memory_equal(out, p, len);
	assert_int_equal(blob_read(f->cas, kv_live(f->kv), ref, len, out, 1), 0);
	assert_int_equal(blob_read(f->cas, kv_live(f->kv), ref, UINT64_MAX, out, 1), 0);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), ref, len, true), -ENXIO);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), ref, len, false), -ENXIO);
	for (int i = 0; i < 300 && len > 0; i++) {
		size_t at = fx_next(&seed) % len;
		size_t want = fx_next(&seed) % (i % 2 ? 300 : 100000);
		size_t got = want < len - at ? want : len - at;
		bool hole = i % 3 == 0;

		assert_int_equal(blob_read(f->cas, kv_live(f->kv), ref, at, out, want), got);
		assert_memory_equal(out, p + at, got);
		assert_int_equal(blob_seek(f->cas, kv_live(f->kv), ref, at, hole),
				 seek_by_map(map, len, at, hole));
	}
	free(map);
	free(out);
}

static void test_oracle(void **state)
{
	static const size_t sizes[] = { 0,     1,     2047,  2048,	   4095,	  4096,	      4097,
					65536, 65537, 200000, 3 * MIB + 17 };
	struct fixture *f = *state;
	uint8_t *p = fx_bytes(4 * MIB);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
			struct blob_ref ref;

			make(p, sizes[i], shape, i);
			ref = fx_blob(f, p, sizes[i]);
			check_against(f, &ref, p, sizes[i]);
		}
	}
	fx_check_clean(f);
	fx_reopen(f);
	fx_check_clean(f);
	while (f->roots_count > 0)
		fx_unref(f, 0);
	fx_collect(f);
	assert_int_equal(fx_stats(f).chunks, 0);
	fx_check_clean(f);
	free(p);
}

/* --- one content, one tree --------------------------------------------------------------------------- */

/* Add P with zeros given as holes wherever MASK says so and there are some. */
static struct blob_ref add_with_holes(struct cas_stage *stage, const uint8_t *p, size_t len, uint64_t mask)
{
	struct blob_writer *w;
	struct blob_ref ref;
	struct blob_sums sums;

	assert_int_equal(blob_writer_new(stage, &w), 0);
	for (size_t at = 0; at < len;) {
		uint64_t v = fx_next(&mask);
		size_t n = v % 9000 + 1, zeros = 0;

		n = n < len - at ? n : len - at;
		while (zeros < n && p[at + zeros] == 0)
			zeros++;
		if (zeros > 0 && v >> 60 & 1)
			assert_int_equal(blob_writer_add_zeros(w, n = zeros), 0);
		else
			assert_int_equal(blob_writer_add(w, slice_of(p + at, n)), 0);
		at += n;
	}
	assert_int_equal(blob_writer_finish(w, &ref, &sums), 0);
	blob_writer_free(w);
	return ref;
}

static void test_equal_content(void **state)
{
	static const size_t steps[] = { 1, 13, 512, 4095, 4096, 4097, 65536, 1000000 };
	struct fixture *f = *state;
	size_t len = 2 * MIB + 5;
	uint8_t *p = fx_bytes(len);

	for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
		struct cas_stage *stage = fx_stage(f);
		struct blob_sums sums, again;
		struct blob_ref ref, other;

		make(p, len, shape, 77);
		ref = fx_stage_blob(stage, p, len, 0, &sums);
		for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
			other = fx_stage_blob(stage, p, len, steps[i], &again);
			assert_true(blob_same(&ref, &other));
			assert_memory_equal(&sums, &again, sizeof(sums));
		}
		for (uint64_t i = 0; i < 4; i++) {
			other = add_with_holes(stage, p, len, i);
			assert_true(blob_same(&ref, &other));
		}
		p[len / 2] ^= 1;
		other = fx_stage_blob(stage, p, len, 0, &again);
		assert_false(blob_same(&ref, &other));
		assert_memory_not_equal(&sums, &again, sizeof(sums));
		cas_stage_free(stage);
	}
	free(p);
}

static void test_sums(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	size_t len = 300000;
	uint8_t *p = fx_bytes(len), md5[16];
	struct blob_sums sums;
	struct digest want;
	unsigned n;

	make(p, len, SPARSE, 3);
	(void)add_with_holes(stage, p, len, 1);
	(void)fx_stage_blob(stage, p, len, 1000, &sums);
	want = hash_xxh3(slice_of(p, len), 0);
	assert_memory_equal(&sums.xxh3, &want, sizeof(want));
	assert_int_equal(EVP_Digest(p, len, md5, &n, EVP_md5(), NULL), 1);
	assert_memory_equal(sums.md5, md5, sizeof(md5));
	cas_stage_free(stage);
	free(p);
}

static void test_great_holes(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	struct blob_writer *w;
	struct blob_sums sums;
	struct blob_ref ref;
	uint64_t half = 96ull << 20, data;
	uint8_t byte = 0;

	assert_int_equal(blob_writer_new(stage, &w), 0);	/* nothing but a hole */
	assert_int_equal(blob_writer_add_zeros(w, half), 0);
	assert_int_equal(blob_writer_add_zeros(w, half), 0);
	assert_int_equal(blob_writer_finish(w, &ref, &sums), 0);
	blob_writer_free(w);
	assert_false(blob_has_root(&ref));
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), &ref, 5, true), 5);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), &ref, 5, false), -ENXIO);
	assert_int_equal(blob_data_bytes(f->cas, kv_live(f->kv), &ref, &data), 0);
	assert_int_equal(data, 0);

	assert_int_equal(blob_writer_new(stage, &w), 0);
	assert_int_equal(blob_writer_add_zeros(w, half), 0);
	assert_int_equal(blob_writer_add(w, slice_of("x", 1)), 0);
	assert_int_equal(blob_writer_add_zeros(w, half), 0);
	assert_int_equal(blob_writer_finish(w, &ref, &sums), 0);
	blob_writer_free(w);
	assert_int_equal(ref.height, 1);
	fx_commit(f, stage, &ref.root);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), &ref, 5, false), half);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), &ref, half, true), half + 1);
	assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, half, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(blob_data_bytes(f->cas, kv_live(f->kv), &ref, &data), 0);
	assert_int_equal(data, 1);
	fx_check_clean(f);

	stage = fx_stage(f);
	assert_int_equal(blob_writer_new(stage, &w), 0);	/* more than a file can have; sticky */
	assert_int_equal(blob_writer_add(w, slice_of("x", 1)), 0);
	assert_int_equal(blob_writer_add_zeros(w, INT64_MAX), -EFBIG);
	assert_int_equal(blob_writer_add(w, slice_of("x", 1)), -EFBIG);
	assert_int_equal(blob_writer_finish(w, &ref, &sums), -EFBIG);
	blob_writer_free(w);
	cas_stage_free(stage);
}

/* --- sharing ----------------------------------------------------------------------------------------- */

static void test_insertion(void **state)
{
	struct fixture *f = *state;
	size_t len = 64 * MIB, at = 20 * MIB + 777;
	uint8_t *p = fx_bytes(len + 1);
	struct cas_stats before, after;

	fx_random(p, len, 1);
	(void)fx_blob(f, p, len);
	before = fx_stats(f);
	memmove(p + at + 1, p + at, len - at);
	p[at] = 'x';
	(void)fx_blob(f, p, len + 1);
	after = fx_stats(f);
	print_message("# one byte inserted into 64 MiB: %llu of %llu chunks are new, %llu bytes\n",
		      (unsigned long long)(after.chunks - before.chunks), (unsigned long long)before.chunks,
		      (unsigned long long)(after.bytes_stored - before.bytes_stored));
	assert_true((after.chunks - before.chunks) * 100 < before.chunks);
	assert_true(after.bytes_stored - before.bytes_stored < 256 * 1024);
	free(p);
}

/* --- nodes that lie ---------------------------------------------------------------------------------- */

static void test_reject_nodes(void **state)
{
	static const char *const names[] = {
		"cas-reject-node-version",	"cas-reject-node-height-0", "cas-reject-node-height-13",
		"cas-reject-node-empty",	"cas-reject-node-cut",	    "cas-reject-node-length-0",
		"cas-reject-node-holes",	"cas-reject-node-two-holes", "cas-reject-node-high-hole",
		"cas-reject-node-overflow",	"cas-reject-node-varint",
	};
	uint8_t bytes[256];
	struct node_facts facts;
	struct buf node = BUF_INIT;
	struct node_entry e = { .len = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (node_check(fx_golden(names[i], bytes, sizeof(bytes)), &facts) != -EBADMSG)
			fail_msg("%s was taken", names[i]);
	}
	node_begin(&node, 1);
	for (int i = 0; i < NODE_ENTRIES_MAX; i++)
		node_add(&node, 1, &e);
	assert_int_equal(node_check(buf_slice(&node), &facts), 0);
	node_add(&node, 1, &e);
	assert_int_equal(node_check(buf_slice(&node), &facts), -EBADMSG);
	buf_release(&node);
}

/* Store NODE unasked, as a damaged or hostile store may hold it: under its right name, and with any children. */
static struct digest plant(struct fixture *f, const struct buf *node)
{
	struct chunk_row row = { .kind = CAS_NODE, .is_inline = true, .refs = 1, .raw = (uint32_t)node->len,
				 .stored = (uint32_t)node->len, .bytes = buf_slice(node) };
	struct digest id = chunk_name(f->cas, CAS_NODE, 0, buf_slice(node));

	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(chunk_row_put(f->kv, &id, &row), 0);
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	return id;
}

static struct digest plant_one(struct fixture *f, uint8_t height, struct digest child, uint64_t len, uint64_t holes)
{
	struct node_entry e = { .len = len, .holes = holes, .id = child };
	struct buf node = BUF_INIT;
	struct digest id;

	node_begin(&node, height);
	node_add(&node, height, &e);
	id = plant(f, &node);
	buf_release(&node);
	return id;
}

static void assert_refused(struct fixture *f, const struct blob_ref *ref)
{
	uint8_t out[64];

	assert_int_equal(blob_read(f->cas, kv_live(f->kv), ref, 0, out, sizeof(out)), -EBADMSG);
	assert_true(err_reason()[0] != '\0');
}

static void test_hostile(void **state)
{
	struct fixture *f = *state;
	struct digest data = fx_put(f, "0123456789", 10);
	struct digest leaf = plant_one(f, 1, data, 10, 0);
	struct digest absent = { .bytes = { 1, 2, 3 } };
	struct blob_ref ref = { leaf, 1, 10 };
	uint8_t out[64];
	uint64_t sum;

	assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, 0, out, sizeof(out)), 10);
	ref.size = 11;				/* the file says more than the node */
	assert_refused(f, &ref);
	assert_int_equal(blob_data_bytes(f->cas, kv_live(f->kv), &ref, &sum), -EBADMSG);
	assert_int_equal(blob_seek(f->cas, kv_live(f->kv), &ref, 0, true), -EBADMSG);
	ref = (struct blob_ref){ leaf, 2, 10 };		/* another height */
	assert_refused(f, &ref);
	ref = (struct blob_ref){ leaf, 0, 10 };		/* a node taken for data */
	assert_refused(f, &ref);
	ref = (struct blob_ref){ data, 1, 10 };		/* data taken for a node */
	assert_refused(f, &ref);
	ref = (struct blob_ref){ data, 0, 11 };
	assert_refused(f, &ref);
	ref = (struct blob_ref){ leaf, 13, 10 };
	assert_refused(f, &ref);
	ref = (struct blob_ref){ leaf, 1, (uint64_t)INT64_MAX + 1 };
	assert_refused(f, &ref);
	ref = (struct blob_ref){ plant_one(f, 1, data, 11, 0), 1, 11 };	/* a chunk said to be longer */
	assert_refused(f, &ref);
	ref = (struct blob_ref){ plant_one(f, 1, absent, 10, 0), 1, 10 };
	assert_refused(f, &ref);
	ref = (struct blob_ref){ plant_one(f, 2, leaf, 10, 3), 2, 10 };	/* wrong about holes */
	assert_refused(f, &ref);
	ref = (struct blob_ref){ plant_one(f, 2, leaf, 9, 0), 2, 9 };
	assert_refused(f, &ref);
	ref = (struct blob_ref){ plant_one(f, 3, leaf, 10, 0), 3, 10 };	/* a height left out */
	assert_refused(f, &ref);
	assert_int_equal(fx_check(f), 1);
	assert_non_null(strstr(f->faults, "is wrong about its child"));
	assert_non_null(strstr(f->faults, "takes chunk"));
	assert_non_null(strstr(f->faults, "which is not there"));
}

/* A tree that is as high as one may be is read; nothing recurses. */
static void test_height(void **state)
{
	struct fixture *f = *state;
	struct blob_ref ref = { fx_put(f, "0123456789", 10), 0, 10 };
	uint8_t out[64];

	for (uint8_t height = 1; height <= NODE_HEIGHT_MAX; height++) {
		ref.root = plant_one(f, height, ref.root, 10, 0);
		ref.height = height;
		assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, 3, out, sizeof(out)), 7);
		assert_memory_equal(out, "3456789", 7);
	}
}

/* A chunk that is damaged costs its own bytes, not the rest of the file. */
static void test_damaged_chunk(void **state)
{
	struct fixture *f = *state;
	size_t len = MIB;
	uint8_t *p = fx_bytes(len), *q = fx_bytes(len);
	struct segment_use use;
	struct blob_ref ref;
	int bad = 0;

	fx_random(p, len, 1);
	ref = fx_blob(f, p, len);
	fx_reopen(f);
	assert_int_equal(segment_open(f->cas, 1, &use), 0);
	assert_int_equal(pwrite(use.fd, "?", 1, 500000), 1);
	segment_release(f->cas, use);
	for (size_t at = 0; at < len; at += 4096) {
		ssize_t got = blob_read(f->cas, kv_live(f->kv), &ref, at, q, 4096);

		if (got == -EBADMSG)
			bad++;
		else
			assert_memory_equal(p + at, q, (size_t)got);
	}
	assert_in_range(bad, 1, 2 + CHUNKER_MAX / 4096);
	free(p);
	free(q);
}

/* --- the format -------------------------------------------------------------------------------------- */

/* A node as FORMAT.md shows it, and the root and sums of a file that anyone can generate. */
static void test_golden(void **state)
{
	struct fixture *f = *state;
	struct cas_stage *stage = fx_stage(f);
	struct digest a = fx_stage_put(stage, "hello\n", 6), b = fx_stage_put(stage, "world\n", 6);
	struct node_entry entries[] = {
		{ .len = 6, .id = a }, { .len = 8192, .holes = 8192, .is_hole = true }, { .len = 6, .id = b },
	};
	size_t len = 3 * MIB;
	uint8_t bytes[256], *p = fx_bytes(len);
	struct slice golden;
	struct blob_sums sums;
	struct blob_ref ref;
	struct buf node = BUF_INIT;

	node_begin(&node, 1);
	for (int i = 0; i < 3; i++)
		node_add(&node, 1, &entries[i]);
	golden = fx_golden("cas-node", bytes, sizeof(bytes));
	assert_int_equal(golden.len, node.len);
	assert_memory_equal(golden.data, node.data, node.len);

	fx_random(p, len, 42);
	memset(p + MIB, 0, 100000);
	ref = fx_stage_blob(stage, p, len, 0, &sums);
	golden = fx_golden("cas-blob-root", bytes, sizeof(bytes));	/* digest, height, size: as in a record */
	assert_int_equal(golden.len, 25);
	if (memcmp(ref.root.bytes, bytes, 16) != 0) {
		char hex[33];

		hash_hex(ref.root.bytes, 16, hex);
		fail_msg("the root of the golden file is %s, height %u", hex, ref.height);
	}
	assert_int_equal(ref.height, bytes[16]);
	cas_stage_free(stage);
	buf_release(&node);
	free(p);
}

/* --- figures ----------------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_speed(const char *what, const char *shape, size_t len, double since)
{
	print_message("# %-28s %-6s %7.0f MB/s a core\n", what, shape, (double)len / (cpu_seconds() - since) / 1e6);
}

static void measure(struct fixture *f, enum shape shape, const char *name)
{
	size_t len = 48 * MIB;
	uint8_t *p = fx_bytes(len), *q = fx_bytes(MIB);
	struct blob_ref ref, again;
	double since;

	make(p, len, shape, 5);
	since = cpu_seconds();
	ref = fx_blob(f, p, len);
	print_speed("new bytes, to the commit", name, len, since);
	since = cpu_seconds();
	again = fx_blob(f, p, len);
	print_speed("known bytes", name, len, since);
	assert_true(blob_same(&ref, &again));
	since = cpu_seconds();
	for (size_t at = 0; at < len; at += MIB)
		assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, at, q, MIB), MIB);
	print_speed("read, 1 MiB at a time", name, len, since);
	since = cpu_seconds();
	for (size_t at = 0; at < len; at += 4096)
		assert_int_equal(blob_read(f->cas, kv_live(f->kv), &ref, at, q, 4096), 4096);
	print_speed("read, 4 KiB at a time", name, len, since);
	print_message("# stored %.3f of raw\n",
		      (double)fx_stats(f).bytes_stored / (double)fx_stats(f).bytes_raw);
	free(p);
	free(q);
}

static void test_speed(void **state)
{
	measure(*state, RANDOM, "random");
	measure(*state, TEXT, "csv");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_oracle),  TEST(test_equal_content), TEST(test_sums),	 TEST(test_great_holes),
		TEST(test_insertion), TEST(test_reject_nodes), TEST(test_hostile), TEST(test_height),
		TEST(test_damaged_chunk), TEST(test_golden), TEST(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
