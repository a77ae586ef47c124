/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - a small cache of rendered texts, each with the number of the batch that it shows.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/view.h"
#include "store/base/io.h"
#include "store/meta/run.h"

#define CACHE           8u
#define CORE_VALUES_MAX 2000u        /* a view over more values than this is a worker's */
#define MEMORY_MAX      (256u << 10) /* longer texts are spooled */

struct view {
	unsigned refs;
	uint64_t node, seq;
	struct buf text; /* or, when spooled: */
	int fd;          /* -1 */
	uint64_t size;
};

struct views {
	struct view *slot[CACHE];
	unsigned next;
	struct render *renders; /* under way */
};

/* --- one view ------------------------------------------------------------------------------------- */

void view_unref(struct view *v)
{
	if (!v || --v->refs > 0)
		return;
	buf_release(&v->text);
	if (v->fd >= 0)
		io_close(v->fd);
	free(v);
}

static struct view *view_new(uint64_t node)
{
	struct view *v = calloc(1, sizeof(*v));

	if (v) {
		v->refs = 1;
		v->node = node;
		v->fd = -1;
	}
	return v;
}

uint64_t view_size(const struct view *v)
{
	return v->size;
}

int view_read(const struct view *v, uint64_t off, size_t size, struct buf *out)
{
	ssize_t n;
	void *to;

	if (off >= v->size)
		return 0;
	if (size > v->size - off)
		size = (size_t)(v->size - off);
	if (v->fd < 0) {
		buf_add(out, v->text.data + off, size);
		return 0;
	}
	to = buf_reserve(out, size);
	if (!to)
		return -ENOMEM;
	n = io_pread_full(v->fd, to, size, (off_t)off);
	if (n < 0)
		return (int)n;
	out->len += (size_t)n;
	return 0;
}

static int spool(struct view *v, int dirfd)
{
	int rc;

	v->fd = io_openat(dirfd, ".", O_TMPFILE | O_RDWR, 0600);
	if (v->fd < 0)
		return v->fd;
	rc = io_pwrite_full(v->fd, v->text.data, v->text.len, 0);
	buf_release(&v->text);
	return rc;
}

static int render(struct kv_view *kv, const struct value_target *target, struct view *v, int dirfd)
{
	int rc = value_render(kv, target, &v->text);

	if (rc == 0)
		rc = buf_err(&v->text);
	v->size = v->text.len;
	v->seq = kv_view_seq(kv);
	if (rc == 0 && v->text.len > MEMORY_MAX)
		rc = spool(v, dirfd);
	return rc;
}

/* --- how much is it? --------------------------------------------------------------------------------- */

static int count_run(void *arg, const struct run *run)
{
	uint64_t *values = arg;

	*values += 10 + run->params + run->metrics + run->tags;
	return *values > CORE_VALUES_MAX;
}

static bool is_big(struct kv_view *kv, const struct value_target *target)
{
	uint64_t values = 0;
	struct run run;
	int rc = 0;

	switch ((int)target->kind) {
	case VALUE_ALL_RUNS_CSV:
	case VALUE_ALL_RUNS_TSV: rc = run_each(kv, 0, count_run, &values); break;
	case VALUE_EXPERIMENT_RUNS_CSV:
	case VALUE_EXPERIMENT_RUNS_TSV:
		rc = run_each_in(kv, target->owner, 0, count_run, &values);
		break;
	default:
		rc = run_get(kv, target->owner, &run);
		if (rc == 0)
			count_run(&values, &run);
	}
	return rc >= 0 && values > CORE_VALUES_MAX;
}

/* --- the cache ------------------------------------------------------------------------------------------ */

static struct views *views_of(struct fs *fs)
{
	if (!fs->views)
		fs->views = calloc(1, sizeof(*fs->views));
	return fs->views;
}

static struct view *cached(struct fs *fs, uint64_t node)
{
	for (size_t i = 0; fs->views && i < CACHE; i++) {
		struct view *v = fs->views->slot[i];

		if (v && v->node == node && v->seq == kv_seq(fs->kv))
			return v;
	}
	return NULL;
}

static void remember(struct fs *fs, struct view *v)
{
	struct view **slot = NULL;

	if (!views_of(fs))
		return;
	for (size_t i = 0; i < CACHE && !slot; i++)
		if (fs->views->slot[i] && fs->views->slot[i]->node == v->node)
			slot = &fs->views->slot[i];
	if (!slot)
		slot = &fs->views->slot[fs->views->next++ % CACHE];
	view_unref(*slot);
	v->refs++;
	*slot = v;
}

void views_free(struct fs *fs)
{
	for (size_t i = 0; fs->views && i < CACHE; i++)
		view_unref(fs->views->slot[i]);
	free(fs->views);
	fs->views = NULL;
}

/* --- by a worker ------------------------------------------------------------------------------------------ */

struct waiter {
	struct call *call;
	struct waiter *next;
};

/* One rendering a node at a time; who comes while it runs and something has changed waits for the next. */
struct render {
	struct job job;
	struct fs *fs;
	struct kv_view *snapshot;
	uint64_t node, seq;
	struct value_target target;
	struct view *view;
	struct waiter *waiters, *late;
	struct render *next; /* of fs->views->renders */
	int rc;
};

static void render_work(struct job *job)
{
	struct render *r = (struct render *)job;

	r->rc = render(r->snapshot, &r->target, r->view, store_dirfd(r->fs->store));
}

static void render_done(struct job *job);

/* Begin rendering what is there now.  The waiters are R's already. */
static int render_start(struct render *r)
{
	int rc;

	r->job.work = render_work;
	r->job.done = render_done;
	r->view = view_new(r->node);
	if (!r->view)
		return -ENOMEM;
	rc = kv_publish(r->fs->kv);
	if (rc == 0)
		rc = kv_snapshot_open(r->fs->kv, &r->snapshot);
	if (rc < 0) {
		view_unref(r->view);
		r->view = NULL;
		return rc;
	}
	r->seq = kv_seq(r->fs->kv);
	job_submit(r->fs, JOB_VIEWS, r->node, &r->job);
	return 0;
}

static void answer(struct waiter *waiters, struct view *v)
{
	while (waiters) {
		struct waiter *w = waiters;

		waiters = w->next;
		v->refs++;
		w->call->view = v;
		call_retry(w->call);
		free(w);
	}
}

static void refuse(struct waiter *waiters, int rc)
{
	while (waiters) {
		struct waiter *w = waiters;

		waiters = w->next;
		call_reply_err(w->call, rc);
		free(w);
	}
}

/* Those whose callers are gone need no rendering. */
static void drop_answered(struct waiter **at)
{
	while (*at) {
		struct waiter *w = *at;

		if (!w->call->answered) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		call_reply_err(w->call, -EINTR);
		free(w);
	}
}

static void render_unlink(struct render *r)
{
	struct render **at = &r->fs->views->renders;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
}

static void render_done(struct job *job)
{
	struct render *r = (struct render *)job;
	struct waiter *waiters = r->waiters;
	struct view *v = r->view;
	struct fs *fs = r->fs;
	int rc = r->rc;

	kv_snapshot_close(r->snapshot);
	r->snapshot = NULL;
	r->view = NULL;
	drop_answered(&r->late);
	r->waiters = r->late;
	r->late = NULL;
	if (!r->waiters || render_start(r) < 0) {
		render_unlink(r);
		refuse(r->waiters, -EIO);
		free(r);
	}
	if (rc == 0) {
		remember(fs, v);
		answer(waiters, v);
	} else {
		refuse(waiters, rc);
	}
	view_unref(v);
}

static int add_waiter(struct call *c, struct waiter **list)
{
	struct waiter *w = malloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->call = call_defer(c);
	if (!w->call) {
		free(w);
		return -ENOMEM;
	}
	w->next = *list;
	*list = w;
	return FS_DEFERRED;
}

static int render_later(struct call *c, uint64_t node, const struct value_target *target)
{
	struct views *views = views_of(c->fs);
	struct render *r;
	int rc;

	if (!views)
		return -ENOMEM;
	for (r = views->renders; r; r = r->next)
		if (r->node == node)
			return add_waiter(c, r->seq == kv_seq(c->fs->kv) ? &r->waiters : &r->late);
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->fs = c->fs;
	r->node = node;
	r->target = *target;
	rc = render_start(r);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->next = views->renders;
	views->renders = r;
	return add_waiter(c, &r->waiters);
}

int view_get(struct call *c, uint64_t node, const struct value_target *target, struct view **ret)
{
	struct view *v = c->view ? c->view : cached(c->fs, node);
	int rc;

	if (v) {
		if (c->view)
			c->view = NULL; /* its reference becomes the caller's */
		else
			v->refs++;
		*ret = v;
		return 0;
	}
	rc = value_exists(fs_view(c->fs), target);
	if (rc < 0)
		return rc;
	if (c->again && is_big(fs_view(c->fs), target))
		return render_later(c, node, target);
	v = view_new(node);
	if (!v)
		return -ENOMEM;
	rc = render(fs_view(c->fs), target, v, store_dirfd(c->fs->store));
	if (rc < 0) {
		view_unref(v);
		return rc;
	}
	v->seq = kv_seq(c->fs->kv);
	remember(c->fs, v);
	*ret = v;
	return 0;
}
