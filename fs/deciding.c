/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deciding - see deciding.h.  What is being compared is also among the pending cuts of store/meta, so that a crash, a rename or the
 * end of a run does not miss it.
 */
#include "fs/deciding.h"

#include <errno.h>
#include <stdlib.h>

#include "store/meta/entry.h"

struct waiter {
	struct call *call;
	struct waiter *next;
};

struct deciding {
	struct job job;
	struct fs *fs;
	uint32_t entry;
	struct meta_actor who;
	struct kv_view *snapshot;
	struct tree_attr before;	/* of the head, when the comparison began */
	bool differs;
	int rc;
	struct waiter *waiters;
	struct deciding *next;
};

static int head_attr(struct fs *fs, uint32_t id, struct tree_attr *ret)
{
	struct entry e;
	int rc = entry_get(fs_view(fs), id, &e);

	if (rc == 0 && !e.has_head)
		rc = -ENOENT;
	return rc ? rc : tree_getattr(fs->trees, fs_view(fs), (struct tree_place){ e.tree, TREE_HEAD }, TREE_ROOT, ret);
}

static void work(struct job *job)
{
	struct deciding *d = (struct deciding *)job;

	d->rc = entry_differs(d->fs->meta, d->snapshot, d->entry, 0, &d->differs);
}

static bool is_unchanged(const struct deciding *d)
{
	struct tree_attr now;

	return head_attr(d->fs, d->entry, &now) == 0 && now.size == d->before.size && now.mtime_ns == d->before.mtime_ns &&
	       now.ctime_ns == d->before.ctime_ns;
}

/* What cannot be decided this way stays pending: the next who asks for versions has it settled. */
static void decide(struct deciding *d)
{
	struct fs *fs = d->fs;
	int rc;

	if (d->rc || !entry_is_pending(fs->meta, d->entry) || !is_unchanged(d))
		return;
	rc = fs_begin(fs);
	if (rc == 0)
		rc = fs_end(fs, entry_cut_known(fs->meta, d->entry, d->differs, slice_of(NULL, 0), 0, &d->who, NULL));
	if (rc < 0)
		fs_refused(fs, "cut", "/data", rc, err_reason());
	else
		entry_decided(fs->meta, d->entry);
}

static void leave_list(struct deciding *d)
{
	struct deciding **at = &d->fs->deciding;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
}

static void done(struct job *job)
{
	struct deciding *d = (struct deciding *)job;
	struct waiter *w = d->waiters;

	kv_snapshot_close(d->snapshot);
	decide(d);
	leave_list(d);
	free(d);
	while (w) {
		struct waiter *next = w->next;

		call_retry(w->call);
		free(w);
		w = next;
	}
}

void deciding_start(struct fs *fs, uint32_t entry, const struct meta_actor *who)
{
	struct deciding *d = calloc(1, sizeof(*d));
	int rc = d ? head_attr(fs, entry, &d->before) : -ENOMEM;

	if (rc == 0)
		rc = kv_publish(fs->kv);
	if (rc == 0)
		rc = kv_snapshot_open(fs->kv, &d->snapshot);
	if (rc) {
		free(d);	/* it stays pending */
		return;
	}
	d->job = (struct job){ .work = work, .done = done };
	d->fs = fs;
	d->entry = entry;
	d->who = *who;
	d->next = fs->deciding;
	fs->deciding = d;
	job_submit(fs, JOB_BYTES, node_id(NODE_SPACE, 0, entry), &d->job);
}

bool deciding_wait(struct call *c, uint32_t entry)
{
	struct deciding *d = c->fs->deciding;
	struct waiter *w;

	while (d && entry && d->entry != entry)
		d = d->next;
	if (!d || !c->again)
		return false;
	w = calloc(1, sizeof(*w));
	if (!w)
		return false;
	w->call = call_defer(c);
	if (!w->call) {
		free(w);
		return false;
	}
	w->next = d->waiters;
	d->waiters = w;
	return true;
}
