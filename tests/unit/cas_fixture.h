/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas_fixture - a content store in a directory of its own, bytes to put into it, and short ways to do so.  For the unit
 * tests of store/cas.
 */
#ifndef TESTS_UNIT_CAS_FIXTURE_H
#define TESTS_UNIT_CAS_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/io.h"
#include "store/cas/blob.h"
#include "store/cas/blob_internal.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"
#include "store/kv/tables.h"

struct fixture {
	char path[64];
	int dirfd;
	struct kv *kv;
	struct cas *cas;
	struct digest roots[64];	/* references that the test holds */
	size_t roots_count;
	char faults[8192];		/* what the last check said */
};

static inline void fx_open(struct fixture *f)
{
	static const struct kv_options options = { .read_only = false };

	assert_int_equal(kv_open(f->dirfd, &options, &f->kv), 0);
	assert_int_equal(cas_open(f->kv, f->dirfd, &f->cas), 0);
}

static inline void fx_close(struct fixture *f)
{
	cas_close(f->cas);
	if (kv_in_batch(f->kv))		/* a test failed in the middle of one */
		kv_abort(f->kv);
	assert_int_equal(kv_close(f->kv), 0);
	f->cas = NULL;
	f->kv = NULL;
}

static inline void fx_reopen(struct fixture *f)
{
	fx_close(f);
	fx_open(f);
}

static inline int fx_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("LABFS_TEST_WORK");

	assert_non_null(f);
	(void)snprintf(f->path, sizeof(f->path), "%.40s/cas-test-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->path));
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY);
	assert_true(f->dirfd >= 0);
	assert_int_equal(kv_create(f->dirfd), 0);
	assert_int_equal(cas_create(f->dirfd), 0);
	fx_open(f);
	*state = f;
	return 0;
}

static inline int fx_unlink_one(void *arg, const char *name)
{
	return unlinkat(*(int *)arg, name, 0) == 0 || errno == EISDIR ? 0 : -errno;
}

static inline int fx_teardown(void **state)
{
	struct fixture *f = *state;
	int segments = openat(f->dirfd, SEGMENT_DIR, O_RDONLY | O_DIRECTORY);

	if (f->cas)
		fx_close(f);
	assert_int_equal(io_each_name(segments, fx_unlink_one, &segments), 0);
	close(segments);
	assert_int_equal(unlinkat(f->dirfd, SEGMENT_DIR, AT_REMOVEDIR), 0);
	assert_int_equal(io_each_name(f->dirfd, fx_unlink_one, &f->dirfd), 0);
	close(f->dirfd);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------ */

static inline uint64_t fx_next(uint64_t *state)		/* SplitMix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void fx_random(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = fx_next(&seed);

		for (size_t j = 0; j < 8 && i + j < len; j++)
			p[i + j] = (uint8_t)(v >> (8 * j));
	}
}

/* Lines of a CSV: they compress to about a third. */
static inline void fx_text(uint8_t *p, size_t len, uint64_t seed)
{
	static const char *const names[] = { "setosa", "versicolor", "virginica" };
	char line[96];
	size_t at = 0;

	for (unsigned row = 0; at < len; row++) {
		uint64_t v = fx_next(&seed);
		size_t n = (size_t)snprintf(line, sizeof(line), "%u,%u.%03u,%u.%u,%s\n", row, (unsigned)(v % 97),
					    (unsigned)(v >> 8) % 1000, (unsigned)(v >> 20) % 9,
					    (unsigned)(v >> 24) % 10, names[(v >> 40) % 3]);

		n = n < len - at ? n : len - at;
		memcpy(p + at, line, n);
		at += n;
	}
}

static inline uint8_t *fx_bytes(size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	return p;
}

/* --- storing ---------------------------------------------------------------------------------------- */

static inline struct cas_stage *fx_stage(struct fixture *f)
{
	struct cas_stage *stage = NULL;

	assert_int_equal(cas_stage_new(f->cas, kv_live(f->kv), &stage), 0);
	return stage;
}

static inline struct digest fx_stage_put(struct cas_stage *stage, const void *p, size_t len)
{
	struct digest id;

	assert_int_equal(cas_stage_put(stage, CAS_DATA, slice_of(p, len), &id), 0);
	return id;
}

/* Sync, commit in as many batches as it takes, a reference for ROOT (may be NULL) in the last; free. */
static inline void fx_commit(struct fixture *f, struct cas_stage *stage, const struct digest *root)
{
	bool more = true;

	assert_int_equal(cas_stage_sync(stage), 0);
	while (more) {
		assert_int_equal(kv_begin(f->kv), 0);
		assert_int_equal(cas_stage_commit(stage, &more), 0);
		if (!more && root)
			assert_int_equal(cas_ref(f->cas, root), 0);
		assert_int_equal(kv_commit(f->kv, NULL), 0);
	}
	cas_stage_free(stage);
	if (root) {
		assert_true(f->roots_count < 64);
		f->roots[f->roots_count++] = *root;
	}
}

static inline struct digest fx_put(struct fixture *f, const void *p, size_t len)
{
	struct cas_stage *stage = fx_stage(f);
	struct digest id = fx_stage_put(stage, p, len);

	fx_commit(f, stage, &id);
	return id;
}

/* Write P in pieces of STEP bytes (0: all at once). */
static inline struct blob_ref fx_stage_blob(struct cas_stage *stage, const uint8_t *p, size_t len, size_t step,
					    struct blob_sums *sums)
{
	struct blob_writer *w;
	struct blob_ref ref;
	struct blob_sums ignored;

	assert_int_equal(blob_writer_new(stage, &w), 0);
	for (size_t at = 0; at < len;) {
		size_t n = step && step < len - at ? step : len - at;

		assert_int_equal(blob_writer_add(w, slice_of(p + at, n)), 0);
		at += n;
	}
	assert_int_equal(blob_writer_finish(w, &ref, sums ? sums : &ignored), 0);
	blob_writer_free(w);
	return ref;
}

static inline struct blob_ref fx_blob(struct fixture *f, const uint8_t *p, size_t len)
{
	struct cas_stage *stage = fx_stage(f);
	struct blob_ref ref = fx_stage_blob(stage, p, len, 0, NULL);

	fx_commit(f, stage, blob_has_root(&ref) ? &ref.root : NULL);
	return ref;
}

/* Drop reference number I of the test. */
static inline void fx_unref(struct fixture *f, size_t i)
{
	assert_int_equal(kv_begin(f->kv), 0);
	assert_int_equal(cas_unref(f->cas, &f->roots[i]), 0);
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	f->roots[i] = f->roots[--f->roots_count];
}

static inline void fx_collect(struct fixture *f)
{
	bool more = true;

	while (more) {
		assert_int_equal(kv_begin(f->kv), 0);
		assert_int_equal(cas_collect_step(f->cas, 100, &more), 0);
		assert_int_equal(kv_commit(f->kv, NULL), 0);
	}
}

/* All that can be given back now. */
static inline uint64_t fx_reclaim(struct fixture *f, unsigned budget)
{
	uint64_t total = 0, bytes;
	bool more = true;

	while (more) {
		assert_int_equal(cas_reclaim_step(f->cas, budget, &bytes, &more), 0);
		total += bytes;
	}
	return total;
}

/* Make the past durable and visible. */
static inline void fx_settle(struct fixture *f)
{
	assert_int_equal(kv_publish(f->kv), 0);
	assert_int_equal(kv_sync(f->kv, kv_seq(f->kv)), 0);
	cas_durable(f->cas, kv_seq(f->kv));
}

static inline struct cas_stats fx_stats(struct fixture *f)
{
	struct cas_stats stats;

	assert_int_equal(cas_stats(f->cas, kv_live(f->kv), &stats), 0);
	return stats;
}

/* --- checking --------------------------------------------------------------------------------------- */

static inline int fx_roots(void *arg, int (*add)(void *add_arg, const struct digest *root), void *add_arg)
{
	const struct fixture *f = arg;
	int rc = 0;

	for (size_t i = 0; i < f->roots_count && rc == 0; i++)
		rc = add(add_arg, &f->roots[i]);
	return rc;
}

static inline void fx_report(void *arg, const char *fault)
{
	struct fixture *f = arg;
	size_t at = strlen(f->faults);

	(void)snprintf(f->faults + at, sizeof(f->faults) - at, "%s\n", fault);
}

static inline int fx_check(struct fixture *f)
{
	struct cas_check check = { fx_roots, fx_report, f };

	f->faults[0] = '\0';
	return cas_check(f->cas, kv_live(f->kv), &check);
}

static inline void fx_check_clean(struct fixture *f)
{
	int rc = fx_check(f);

	if (f->faults[0])
		print_error("%s", f->faults);
	assert_int_equal(rc, 0);
}

static inline void fx_assert_chunk(struct fixture *f, const struct digest *id, const void *p, size_t len)
{
	struct buf got = BUF_INIT;

	assert_int_equal(cas_get(f->cas, kv_live(f->kv), id, &got), 0);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, p, len);
	buf_release(&got);
}

/* How many files and bytes (of blocks) there are below segments/. */
static inline int fx_count_file(void *arg, const char *name)
{
	uint64_t *sums = arg;
	struct stat st;

	if (fstatat((int)sums[0], name, &st, 0) == 0) {
		sums[1]++;
		sums[2] += (uint64_t)st.st_blocks * 512;
		sums[3] += (uint64_t)st.st_size;
	}
	return 0;
}

struct fx_files {
	uint64_t files, blocks, size;
};

static inline struct fx_files fx_files(struct fixture *f)
{
	uint64_t sums[4] = { 0 };

	sums[0] = (uint64_t)f->cas->dirfd;
	assert_int_equal(io_fsync(f->cas->dirfd), 0);
	assert_int_equal(io_each_name(f->cas->dirfd, fx_count_file, sums), 0);
	return (struct fx_files){ sums[1], sums[2], sums[3] };
}

/* Run CHILD in a process of its own that ends like a killed one; the store must be closed here. */
static inline int fx_fork(struct fixture *f, void (*child)(struct fixture *f, uint64_t arg), uint64_t arg)
{
	int status;
	pid_t pid;

	assert_null(f->cas);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fx_open(f);
		child(f, arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- golden files: "# ..." and blank lines ignored, hex with blanks anywhere ------------------------- */

static inline struct slice fx_golden(const char *name, uint8_t *out, size_t size)
{
	char path[128], line[512];
	size_t len = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "tests/golden/%s", name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s: %s (run from the top of the source)", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		for (char *p = line; *p && *p != '#';) {
			unsigned v;

			if (*p == ' ' || *p == '\n' || *p == '\t') {
				p++;
				continue;
			}
			assert_int_equal(sscanf(p, "%2x", &v), 1);
			assert_true(len < size);
			out[len++] = (uint8_t)v;
			p += 2;
		}
	}
	fclose(file);
	return slice_of(out, len);
}

#endif
