/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs gc - chunk what layers still hold, collect what nothing refers to, give the blocks back to the host.
 */
#include <errno.h>
#include <time.h>

#include "store/base/clock.h"
#include "tools/cli/command.h"

#define QUIET_MS 10000	/* for layers that are being synced or read */

struct gc {
	struct command_env *env;
	struct tree_seal *seal;
	uint64_t freed;
	uint64_t collectable;
	struct store_space space;
	bool more;
};

static int seal_drop(void *arg)
{
	struct gc *gc = arg;

	tree_seal_free(gc->seal);
	gc->seal = NULL;
	return 0;
}

static int seal_begin(void *arg)
{
	struct gc *gc = arg;
	int rc = tree_seal_begin(store_trees(gc->env->store), 0, &gc->seal);

	if (rc)
		return rc;
	rc = kv_publish(store_kv(gc->env->store));
	if (rc)
		(void)seal_drop(gc);	/* else nobody could ever seal again */
	return rc;
}

/* One step of the end; gc->seal is NULL after the last. */
static int seal_end_step(void *arg)
{
	struct gc *gc = arg;
	bool more = false;
	int rc = tree_seal_end_step(store_trees(gc->env->store), gc->seal, &more);

	if (rc || !more)
		(void)seal_drop(gc);
	return rc;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

/* One group of contents; -ENOENT when there is nothing left to seal. -EBUSY, -ESTALE: the daemon's own sealer is at it; again. */
static int seal_one(struct gc *gc)
{
	struct kv_view *snapshot = NULL;
	int rc = env_core(gc->env, seal_begin, gc);

	if (rc)
		return rc;
	rc = kv_snapshot_open(store_kv(gc->env->store), &snapshot);
	if (rc) {
		(void)!env_core(gc->env, seal_drop, gc);
		return rc;
	}
	(void)!tree_seal_work(gc->seal, snapshot);	/* its error is the end's, too */
	kv_snapshot_close(snapshot);
	while (rc == 0 && gc->seal)
		rc = env_core(gc->env, seal_end_step, gc);
	return rc;
}

static int seal_all(struct gc *gc)
{
	for (unsigned busy = 0; busy < 1000;) {
		int rc = seal_one(gc);

		if (rc == -ENOENT || rc == -ENOSPC)	/* a full disk must be collected first */
			return 0;
		if (rc == -EBUSY || rc == -ESTALE) {
			busy++;
			pause_ms(20);
		} else if (rc) {
			return rc;
		}
	}
	return err_set(-EBUSY, "files are being written all the time; try again later");
}

static int collect_step(void *arg)
{
	struct gc *gc = arg;

	return store_collect_step(gc->env->store, &gc->freed, &gc->more);
}

/* Deletions count for the disk only once they are durable and no snapshot sees them: make them so, and go round again. */
static int collect_all(struct gc *gc)
{
	struct kv *kv = store_kv(gc->env->store);
	uint64_t before;
	unsigned idle = 0;

	do {
		int rc;

		before = gc->freed;
		do {
			rc = env_core(gc->env, collect_step, gc);
		} while (rc == 0 && gc->more);
		if (rc)
			return rc;
		rc = kv_sync(kv, kv_seq(kv));
		if (rc)
			return rc;
		idle = gc->freed == before ? idle + 1 : 0;
	} while (idle < 2);
	return 0;
}

static int pending(void *arg)
{
	struct gc *gc = arg;

	gc->more = trees_pending(store_trees(gc->env->store)) > 0;
	return 0;
}

/*
 * What collecting lets go of, the layers of dropped files, sealing empties, once nobody syncs or reads them: round and round until there is
 * nothing left, but not for ever beside programs that write.
 */
static int seal_and_collect(struct gc *gc)
{
	int64_t until = clock_mono_ms() + QUIET_MS;
	int rc;

	for (;;) {
		rc = seal_all(gc);
		if (rc == 0)
			rc = collect_all(gc);
		if (rc == 0)
			rc = env_core(gc->env, pending, gc);
		if (rc || !gc->more || clock_mono_ms() >= until)
			return rc;
		pause_ms(20);
	}
}

static int space(void *arg)
{
	struct gc *gc = arg;

	return store_space_now(gc->env->store, &gc->space);
}

static int measure(void *arg)
{
	struct gc *gc = arg;
	int rc = store_collectable(gc->env->store, kv_live(store_kv(gc->env->store)), &gc->collectable);

	return rc ? rc : space(gc);
}

static int settle(void *arg)
{
	struct gc *gc = arg;

	return entry_settle(store_meta(gc->env->store), 0);
}

int cmd_gc(struct command_env *env)
{
	struct gc gc = { .env = env };
	uint64_t before;
	int rc = env_core(env, measure, &gc);

	if (rc)
		return env_fail(env, rc);
	before = gc.space.used;
	if (options_has(env->options, "dry-run")) {
		env_out(env, "before %llu\nfreeable %llu\n", (unsigned long long)before, (unsigned long long)gc.collectable);
		return EXIT_OK;
	}
	rc = env_core(env, settle, &gc);
	if (rc == 0)
		rc = seal_and_collect(&gc);
	if (rc == 0 && !env->served)
		rc = store_compact(env->store, &gc.freed);
	if (rc == 0)
		rc = env_core(env, space, &gc);
	if (rc)
		return env_fail(env, rc);
	env_out(env, "before %llu\nafter %llu\nfreed %llu\n", (unsigned long long)before, (unsigned long long)gc.space.used,
		(unsigned long long)(before > gc.space.used ? before - gc.space.used : 0));
	return EXIT_OK;
}
