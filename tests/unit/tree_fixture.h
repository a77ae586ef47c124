/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_fixture - an engine, a content store and trees in a directory of their own, for the tests of store/tree.
 */
#ifndef TESTS_UNIT_TREE_FIXTURE_H
#define TESTS_UNIT_TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/cas/cas.h"
#include "store/kv/kv.h"
#include "store/kv/tables.h"
#include "store/tree/tree.h"

struct fix {
	char dir[64];
	int dirfd;
	struct kv *kv;
	struct cas *cas;
	struct trees *t;
	uint32_t tree;			/* a directory tree */
	uint64_t seed;
	unsigned faults;
};

static struct fix fx;

#define ok(call) assert_int_equal((call), 0)
/* One call in a batch of its own, which must succeed. */
#define in_batch(call) do { ok(kv_begin(fx.kv)); fx_must((call), #call, __LINE__); ok(kv_commit(fx.kv, NULL)); } while (0)
/* One call in a batch of its own, which must fail with RC and change nothing. */
#define refused(call, rc) do { ok(kv_begin(fx.kv)); assert_int_equal((call), (rc)); kv_abort(fx.kv); } while (0)
#define HEAD_OF(tree) ((struct tree_place){ (tree), TREE_HEAD })
#define AT(tree, epoch) ((struct tree_place){ (tree), (epoch) })
#define LIVE kv_live(fx.kv)

static inline void fx_must(int rc, const char *what, int line)
{
	if (rc) {
		fprintf(stderr, "line %d: %s: %d %s\n", line, what, rc, err_text(rc));
		fail();
	}
}

static inline uint32_t fx_random(uint32_t below)
{
	fx.seed = fx.seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(fx.seed >> 33) % below;
}

static inline void fx_open(void)
{
	struct kv_options options = { .read_only = false };

	ok(kv_open(fx.dirfd, &options, &fx.kv));
	ok(cas_open(fx.kv, fx.dirfd, &fx.cas));
	fx_must(trees_open(fx.kv, fx.cas, fx.dirfd, &fx.t), "trees_open", 0);
}

static inline void fx_close(void)
{
	trees_close(fx.t);
	cas_close(fx.cas);
	ok(kv_close(fx.kv));
	fx.t = NULL;
}

static inline void fx_reopen(void)
{
	fx_close();
	fx_open();
}

static inline int fx_setup(void **state)
{
	(void)state;
	fx = (struct fix){ .seed = 1 };
	snprintf(fx.dir, sizeof fx.dir, "/tmp/labfs-tree-XXXXXX");
	assert_non_null(mkdtemp(fx.dir));
	fx.dirfd = open(fx.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fx.dirfd >= 0);
	ok(kv_create(fx.dirfd));
	ok(cas_create(fx.dirfd));
	ok(trees_create(fx.dirfd));
	fx_open();
	in_batch(tree_new(fx.t, TREE_OWNER_RUN, 7, S_IFDIR | 0755, 1000, 1000, &fx.tree));
	return 0;
}

static inline int fx_rm(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int fx_teardown(void **state)
{
	(void)state;
	if (fx.t)
		fx_close();
	close(fx.dirfd);
	return nftw(fx.dir, fx_rm, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- checks -------------------------------------------------------------------------------------------- */

static inline void fx_report(void *arg, const char *fault)
{
	if (!arg)
		fprintf(stderr, "fault: %s\n", fault);
	fx.faults++;
}

static inline void fx_clean(void)
{
	fx.faults = 0;
	ok(trees_check(fx.t, LIVE, fx_report, NULL));
	assert_int_equal(fx.faults, 0);
}

static inline int fx_roots(void *arg, int (*add)(void *add_arg, const struct digest *root), void *add_arg)
{
	(void)arg;
	return trees_roots(LIVE, add, add_arg);
}

static inline void fx_cas_clean(void)
{
	struct cas_check check = { .roots = fx_roots, .report = fx_report, .arg = NULL };

	fx.faults = 0;
	ok(cas_check(fx.cas, LIVE, &check));
	assert_int_equal(fx.faults, 0);
}

/* How many faults the check finds, quietly. */
static inline unsigned fx_faults(void)
{
	fx.faults = 0;
	assert_true(trees_check(fx.t, LIVE, fx_report, &fx) >= 0);
	return fx.faults;
}

/* --- background ------------------------------------------------------------------------------------------ */

/* One seal job from begin to end. -ENOENT: nothing to do. */
static inline int fx_seal(unsigned quiet_ms)
{
	struct tree_seal *seal;
	struct kv_view *snap;
	int rc = tree_seal_begin(fx.t, quiet_ms, &seal);

	if (rc)
		return rc;
	ok(kv_publish(fx.kv));
	ok(kv_snapshot_open(fx.kv, &snap));
	fx_must(tree_seal_work(seal, snap), "tree_seal_work", 0);
	kv_snapshot_close(snap);
	fx_must(tree_seal_end(fx.t, seal), "tree_seal_end", 0);
	tree_seal_free(seal);
	return 0;
}

static inline void fx_work(void)
{
	bool more = true;

	while (more)
		ok(trees_work_step(fx.t, &more));
	do {
		ok(kv_begin(fx.kv));
		ok(cas_collect_step(fx.cas, 1000, &more));
		ok(kv_commit(fx.kv, NULL));
	} while (more);
}

/* Until nothing is left to do. */
static inline void fx_settle(void)
{
	for (int i = 0; i < 1000 && trees_pending(fx.t); i++) {
		fx_work();
		while (fx_seal(0) == 0)
			;
	}
	fx_work();
	assert_int_equal(trees_pending(fx.t), 0);
}

/* --- shorthands ------------------------------------------------------------------------------------------ */

static inline struct slice fx_name(const char *s)
{
	return slice_str(s);
}

static inline uint32_t fx_make_in(uint32_t tree, uint32_t dir, const char *name, uint32_t mode)
{
	struct tree_make make = { .mode = mode, .uid = 1000, .gid = 1000, .target = slice_str("target") };
	struct tree_attr attr;

	in_batch(tree_make(fx.t, tree, dir, slice_str(name), &make, &attr));
	return attr.ino;
}

static inline uint32_t fx_make(uint32_t dir, const char *name, uint32_t mode)
{
	return fx_make_in(fx.tree, dir, name, mode);
}

static inline void fx_write(uint32_t tree, uint32_t ino, uint64_t off, const void *data, size_t len)
{
	in_batch(tree_write(fx.t, tree, ino, off, slice_of(data, len), false));
}

static inline uint32_t fx_cut(uint32_t tree)
{
	uint32_t epoch;

	in_batch(tree_cut(fx.t, tree, &epoch));
	return epoch;
}

static inline struct tree_attr fx_attr(struct tree_place at, uint32_t ino)
{
	struct tree_attr attr;

	fx_must(tree_getattr(fx.t, LIVE, at, ino, &attr), "getattr", 0);
	return attr;
}

static inline void fx_resize(uint32_t tree, uint32_t ino, uint64_t size)
{
	struct tree_attr attr = { .size = size };

	in_batch(tree_setattr(fx.t, tree, ino, TREE_SET_SIZE, &attr, &attr));
}

static inline int fx_find(struct tree_place at, uint32_t dir, const char *name, uint32_t *ret)
{
	return tree_lookup(LIVE, at, dir, slice_str(name), ret);
}

/* The file at a place is exactly these bytes. */
static inline void fx_is(struct tree_place at, uint32_t ino, const void *data, size_t len)
{
	char *got = malloc(len + 16);
	ssize_t n = tree_read(fx.t, LIVE, at, ino, 0, got, len + 16);

	assert_non_null(got);
	if (n < 0)
		fprintf(stderr, "tree_read: %s\n", err_text((int)n));
	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++) {
		if (got[i] != ((const char *)data)[i]) {
			fprintf(stderr, "differs at %zu of %zu: %02x, should be %02x\n", i, len, (unsigned char)got[i],
				((const unsigned char *)data)[i]);
			fail();
		}
	}
	assert_int_equal(fx_attr(at, ino).size, len);
	free(got);
}

#endif
