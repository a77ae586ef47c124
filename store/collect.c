/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect - giving space back, in steps that are each a bounded piece of work, and checking the whole store.
 */
#include <errno.h>
#include <stdio.h>

#include "store/base/io.h"
#include "store/store_internal.h"

#define COLLECT_CHUNKS 64u	/* chunks collected in one step */
#define RECLAIM_RANGES 256u	/* ranges punched in one step */
#define COMPACT_SHARE 4u	/* rewriting pays when 1/COMPACT_SHARE of the main file is free */
#define COMPACT_MIN (1u << 20)	/* … and at least so many bytes */

/* --- collecting ------------------------------------------------------------------------------------ */

static int collect_chunks(struct store *s, bool *ret_more)
{
	int rc = kv_begin(s->kv);

	if (rc)
		return rc;
	rc = cas_collect_step(s->cas, COLLECT_CHUNKS, ret_more);
	if (rc) {
		kv_abort(s->kv);
		return rc;
	}
	return kv_commit(s->kv, NULL);
}

int store_collect_step(struct store *s, uint64_t *freed, bool *ret_more)
{
	bool more = false, was = kv_use_reserve(s->kv, true);
	uint64_t bytes = 0;
	int rc = meta_work_step(s->meta, &more);

	if (rc == 0 && !more)
		rc = trees_work_step(s->trees, &more);
	if (rc == 0 && !more)
		rc = collect_chunks(s, &more);
	if (rc == 0 && !more)
		rc = cas_reclaim_step(s->cas, RECLAIM_RANGES, &bytes, &more);
	kv_use_reserve(s->kv, was);
	*freed += bytes;
	*ret_more = more;
	return rc;
}

int store_collectable(struct store *s, struct kv_view *view, uint64_t *ret_bytes)
{
	struct cas_stats stats;
	int rc = cas_stats(s->cas, view, &stats);

	*ret_bytes = rc ? 0 : stats.bytes_dead;
	return rc;
}

/* --- compacting ------------------------------------------------------------------------------------- */

struct unlinking {
	int dirfd;
};

static int unlink_name(void *arg, const char *name)
{
	struct unlinking *u = arg;

	return io_unlinkat(u->dirfd, name, 0);
}

int store_remove_engine(int dirfd, const char *name)
{
	SCOPED_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	struct unlinking u = { fd };
	int rc;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = io_each_name(fd, unlink_name, &u);
	return rc ? rc : io_unlinkat(dirfd, name, AT_REMOVEDIR);
}

static int write_copy(struct store *s)
{
	SCOPED_FD int fd = -1;
	int rc = store_remove_engine(s->dirfd, STORE_KV_NEW);

	if (rc == 0)
		rc = kv_checkpoint(s->kv);
	if (rc == 0)
		rc = io_mkdirat(s->dirfd, STORE_KV_NEW, 0700);
	if (rc)
		return rc;
	fd = io_openat(s->dirfd, STORE_KV_NEW, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	rc = kv_copy(s->kv, fd);
	return rc ? rc : io_fsync(fd);
}

static int exchange_engines(struct store *s)
{
	int fd, rc = io_renameat(s->dirfd, STORE_KV_NEW, s->dirfd, STORE_KV_DIR, RENAME_EXCHANGE);

	if (rc == 0)
		rc = io_fsync(s->dirfd);
	if (rc)
		return rc;
	fd = io_openat(s->dirfd, STORE_KV_DIR, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	io_close(s->kv_dirfd);
	s->kv_dirfd = fd;
	return 0;
}

/* The copy takes the engine's place in one rename; what a crash or a failure leaves goes at the next open.  The store is open again afterwards. */
static int swap_engine(struct store *s)
{
	int rc = store_close_layers(s), open_rc;

	if (rc == 0)
		rc = exchange_engines(s);
	open_rc = store_open_layers(s);
	if (rc == 0)
		rc = open_rc;
	return rc ? rc : store_remove_engine(s->dirfd, STORE_KV_NEW);
}

int store_compact(struct store *s, uint64_t *freed)
{
	struct kv_stats before, after;
	int rc;

	kv_stats(s->kv, &before);
	if (before.bytes_free < COMPACT_MIN || before.bytes_free < before.bytes_main / COMPACT_SHARE)
		return 0;
	rc = write_copy(s);
	if (rc == 0)
		rc = swap_engine(s);
	if (rc)
		return rc;
	kv_stats(s->kv, &after);
	if (after.bytes_main < before.bytes_main)
		*freed += before.bytes_main - after.bytes_main;
	return 0;
}

/* --- checking ------------------------------------------------------------------------------------------ */

struct check_reporter {
	void (*report)(void *arg, const char *fault);
	void *arg;
	struct kv_view *view;
};

static void report_fault(void *arg, const char *fault)
{
	struct check_reporter *r = arg;

	r->report(r->arg, fault);
}

static int roots_of(void *arg, int (*add)(void *add_arg, const struct digest *root), void *add_arg)
{
	struct check_reporter *r = arg;

	return trees_roots(r->view, add, add_arg);
}

int store_check(struct store *s, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	struct check_reporter reporter = { report, arg, view };
	struct cas_check cas = { .roots = roots_of, .report = report_fault, .arg = &reporter };
	int faults = 0;
	int rc = kv_check(view, report, arg);

	if (rc >= 0) {
		faults |= rc;
		rc = cas_check(s->cas, view, &cas);
	}
	if (rc >= 0) {
		faults |= rc;
		rc = trees_check(s->trees, view, report, arg);
	}
	if (rc >= 0) {
		faults |= rc;
		rc = meta_check(s->meta, view, report, arg);
	}
	return rc < 0 ? rc : faults | rc;
}
