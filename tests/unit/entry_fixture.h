/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_fixture - a whole store below meta/ in a directory of its own, and short ways to write heads and to read versions by their
 * visible names.  For the unit tests of datasets, models, versions, lineage and trash.  Every test ends with meta_check and trees_check
 * clean, unless it says that it broke the store.
 */
#ifndef TESTS_UNIT_ENTRY_FIXTURE_H
#define TESTS_UNIT_ENTRY_FIXTURE_H

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

#include "store/base/clock.h"
#include "store/kv/tables.h"
#include "store/meta/entry.h"
#include "store/meta/entry_internal.h"
#include "store/meta/experiment.h"
#include "store/meta/lineage.h"
#include "store/meta/meta.h"
#include "store/meta/model.h"
#include "store/meta/run.h"
#include "store/meta/tag.h"
#include "store/meta/trash.h"

struct fixture {
	char path[64];
	int dirfd;
	struct kv *kv;
	struct cas *cas;
	struct trees *trees;
	struct meta *m;
	bool broken;		/* faults are expected: the end does not check */
	char faults[16384];	/* what the last check said */
};

static const struct meta_actor me = { .uid = 1000, .gid = 1000, .run = 0 };

static inline struct slice S(const char *text)
{
	return slice_str(text);
}

static inline void fx_open(struct fixture *f)
{
	static const struct kv_options options = { .read_only = false };

	assert_int_equal(kv_open(f->dirfd, &options, &f->kv), 0);
	assert_int_equal(cas_open(f->kv, f->dirfd, &f->cas), 0);
	assert_int_equal(trees_open(f->kv, f->cas, f->dirfd, &f->trees), 0);
	assert_int_equal(meta_open(f->kv, f->cas, f->trees, &f->m), 0);
}

static inline void fx_close(struct fixture *f)
{
	if (kv_in_batch(f->kv)) /* a test failed in the middle of one */
		kv_abort(f->kv);
	meta_close(f->m);
	trees_close(f->trees);
	cas_close(f->cas);
	assert_int_equal(kv_close(f->kv), 0);
}

static inline void fx_reopen(struct fixture *f)
{
	fx_close(f);
	fx_open(f);
}

static inline void fx_begin(struct fixture *f)
{
	assert_int_equal(kv_begin(f->kv), 0);
}

/* End the batch: RC is what the calls in it answered. */
static inline int fx_end(struct fixture *f, int rc)
{
	if (rc < 0) {
		kv_abort(f->kv);
		return rc;
	}
	assert_int_equal(kv_commit(f->kv, NULL), 0);
	return rc;
}

/* One call in a batch of its own. */
#define IN_BATCH(f, call) (fx_begin(f), fx_end((f), (call)))
#define OK(f, call) assert_int_equal(IN_BATCH(f, call), 0)

static inline int fx_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("LABFS_TEST_WORK");

	assert_non_null(f);
	(void)snprintf(f->path, sizeof(f->path), "%.40s/entry-XXXXXX", tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->path));
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dirfd >= 0);
	assert_int_equal(kv_create(f->dirfd), 0);
	assert_int_equal(cas_create(f->dirfd), 0);
	assert_int_equal(trees_create(f->dirfd), 0);
	{
		static const struct kv_options options = { .read_only = false };

		assert_int_equal(kv_open(f->dirfd, &options, &f->kv), 0);
		OK(f, meta_create(f->kv));
		assert_int_equal(kv_close(f->kv), 0);
	}
	fx_open(f);
	*state = f;
	return 0;
}

static inline void fx_fault(void *arg, const char *fault)
{
	struct fixture *f = arg;
	size_t len = strlen(f->faults);

	(void)snprintf(f->faults + len, sizeof(f->faults) - len, "%s\n", fault);
}

static inline int fx_check(struct fixture *f)
{
	int rc, meta_rc;

	f->faults[0] = '\0';
	meta_rc = meta_check(f->m, kv_live(f->kv), fx_fault, f);
	assert_true(meta_rc >= 0);
	rc = trees_check(f->trees, kv_live(f->kv), fx_fault, f);
	assert_true(rc >= 0);
	return rc != 0 || meta_rc != 0;
}

static inline void fx_clean(struct fixture *f)
{
	bool more = true;

	for (int i = 0; more && i < 100000; i++)
		assert_int_equal(trees_work_step(f->trees, &more), 0);
	if (fx_check(f))
		fail_msg("faults:\n%s", f->faults);
}

static inline int fx_teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	if (kv_in_batch(f->kv))
		kv_abort(f->kv);
	if (!f->broken)
		fx_clean(f);
	fx_close(f);
	close(f->dirfd);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* --- heads ------------------------------------------------------------------------------------------------ */

static inline uint32_t head_of(struct fixture *f, enum entry_space space, const char *name)
{
	uint32_t id;

	assert_int_equal(entry_find(kv_live(f->kv), space, S(name), &id), 0);
	return id;
}

/* open(O_CREAT|O_TRUNC), write, close: what `cp` and `>` do. */
static inline int write_as(struct fixture *f, enum entry_space space, const char *name, struct slice bytes, bool append,
			   const struct meta_actor *who)
{
	struct tree_attr attr = { .size = 0 }, now;
	struct entry e;
	uint32_t id;
	int rc = entry_find(kv_live(f->kv), space, S(name), &id);

	if (rc == 0)
		rc = entry_get(kv_live(f->kv), id, &e);
	if (rc == -ENOENT || (rc == 0 && !e.has_head))
		rc = entry_make_head(f->m, space, S(name), S_IFREG | 0644, who, &id);
	if (rc == 0)
		rc = entry_get(kv_live(f->kv), id, &e);
	if (rc == 0 && !append)
		rc = tree_setattr(f->trees, e.tree, TREE_ROOT, TREE_SET_SIZE, &attr, &now);
	if (rc == 0 && append)
		rc = tree_getattr(f->trees, kv_live(f->kv), (struct tree_place){ e.tree, TREE_HEAD }, TREE_ROOT, &attr);
	if (rc == 0 && bytes.len > 0)
		rc = tree_write(f->trees, e.tree, TREE_ROOT, append ? attr.size : 0, bytes, false);
	return rc < 0 ? rc : entry_written(f->m, id, append, who);
}

static inline void put(struct fixture *f, const char *name, const char *text)
{
	OK(f, write_as(f, ENTRY_DATA, name, S(text), false, &me));
}

static inline void append(struct fixture *f, const char *name, const char *text)
{
	OK(f, write_as(f, ENTRY_DATA, name, S(text), true, &me));
}

/* A file in a tree head, replaced whole. */
static inline int tree_put(struct fixture *f, uint32_t tree, const char *name, struct slice bytes)
{
	struct tree_make make = { .mode = S_IFREG | 0644, .uid = 1000, .gid = 1000 };
	struct tree_attr attr = { .size = 0 }, now;
	uint32_t ino;
	int rc = tree_lookup(kv_live(f->kv), (struct tree_place){ tree, TREE_HEAD }, TREE_ROOT, S(name), &ino);

	if (rc == -ENOENT) {
		rc = tree_make(f->trees, tree, TREE_ROOT, S(name), &make, &now);
		ino = now.ino;
	} else if (rc == 0) {
		rc = tree_setattr(f->trees, tree, ino, TREE_SET_SIZE, &attr, &now);
	}
	return rc < 0 || bytes.len == 0 ? rc : tree_write(f->trees, tree, ino, 0, bytes, false);
}

/* What a visible name holds (a file): its text, or "!" and the error.  Static. */
static inline const char *cat(struct fixture *f, const char *name)
{
	static char out[20000];
	struct entry_found found;
	struct tree_place place;
	struct version v;
	struct entry e;
	ssize_t len;
	int rc = entry_lookup(kv_live(f->kv), ENTRY_DATA, S(name), &found);

	if (rc == 0 && found.kind == ENTRY_NAME_HEAD) {
		rc = entry_get(kv_live(f->kv), found.entry, &e);
		place = (struct tree_place){ e.tree, TREE_HEAD };
	} else if (rc == 0) {
		rc = version_by_serial(kv_live(f->kv), found.serial, &v);
		place = v.place;
	}
	if (rc < 0) {
		(void)snprintf(out, sizeof(out), "!%s", strerrorname_np(-rc));
		return out;
	}
	len = tree_read(f->trees, kv_live(f->kv), place, TREE_ROOT, 0, out, sizeof(out) - 1);
	assert_true(len >= 0);
	out[len] = '\0';
	return out;
}

static inline int ls_version(void *arg, const struct version *v)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 256 - len, "%sv%u", len > 0 ? " " : "", v->n);
	return 0;
}

/* The living versions of a dataset: "v1 v3". */
static inline const char *ls(struct fixture *f, const char *name)
{
	static char out[256];
	uint32_t id;
	int rc = entry_find(kv_live(f->kv), ENTRY_DATA, S(name), &id);

	out[0] = '\0';
	if (rc == -ENOENT)
		return "!";
	assert_int_equal(rc, 0);
	assert_int_equal(version_each(kv_live(f->kv), id, 0, ls_version, out), 0);
	return out;
}

static inline uint32_t serial_of(struct fixture *f, const char *name)
{
	struct entry_found found;

	assert_int_equal(entry_lookup(kv_live(f->kv), ENTRY_DATA, S(name), &found), 0);
	assert_int_not_equal(found.serial, 0);
	return found.serial;
}

static inline uint32_t new_run(struct fixture *f)
{
	uint32_t run;

	OK(f, run_make(f->m, EXPERIMENT_DEFAULT, &me, &run));
	return run;
}

#endif
