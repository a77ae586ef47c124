/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - a list of deferred reads, answered when the store's ring of events has something new.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/watch.h"
#include "fs/fs.h"

struct watch_reader {
	uint64_t cursor;
	struct buf held; /* lines that did not fit the last read */
};

struct waiter {
	struct call *call;
	struct watch_reader *reader;
	struct fs *fs;
	size_t size;
	struct waiter *next;
};

struct watch {
	struct waiter *waiters;
	bool due; /* something happened; told between requests, when its batch is done */
};

static void take(struct buf *held, size_t size, struct buf *out)
{
	size_t n = held->len < size ? held->len : size;

	buf_add(out, held->data, n);
	memmove(held->data, held->data + n, held->len - n);
	held->len -= n;
}

static void unlink_waiter(struct watch *e, struct waiter *w)
{
	struct waiter **at = &e->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

static void answer(struct waiter *w, bool even_empty)
{
	SCOPED_BUF struct buf out = BUF_INIT;
	struct watch_reader *r = w->reader;

	if (r->held.len == 0)
		event_read(w->fs->meta, &r->cursor, &r->held);
	if (r->held.len == 0 && !even_empty)
		return;
	if (r->held.len)
		take(&r->held, w->size, &out);
	unlink_waiter(w->fs->watch, w);
	call_reply_data(w->call, buf_slice(&out));
	free(w);
}

static void on_event(void *arg)
{
	struct fs *fs = arg;

	fs->watch->due = true;
}

void watch_tell(struct fs *fs)
{
	struct waiter *w, *next;

	if (!fs->watch->due)
		return;
	fs->watch->due = false;

	for (w = fs->watch->waiters; w; w = next) {
		next = w->next;
		answer(w, false);
	}
}

static void on_interrupt(struct call *c, void *arg)
{
	struct waiter *w = arg;

	unlink_waiter(w->fs->watch, w);
	free(w);
	call_reply_err(c, -EINTR);
}

int watch_new(struct fs *fs)
{
	fs->watch = calloc(1, sizeof(*fs->watch));
	if (!fs->watch)
		return -ENOMEM;
	event_set_listener(fs->meta, on_event, fs);
	return 0;
}

void watch_free(struct fs *fs)
{
	if (!fs->watch)
		return;
	event_set_listener(fs->meta, NULL, NULL);
	while (fs->watch->waiters)
		answer(fs->watch->waiters, true);
	free(fs->watch);
	fs->watch = NULL;
}

int watch_open(struct fs *fs, struct watch_reader **ret)
{
	struct watch_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	event_read(fs->meta, &r->cursor, &r->held); /* sets the cursor to the end */
	*ret = r;
	return 0;
}

int watch_read(struct call *c, struct watch_reader *r, size_t size, bool nonblock, struct buf *out)
{
	struct waiter *w;

	if (r->held.len == 0)
		event_read(c->fs->meta, &r->cursor, &r->held);
	if (buf_err(&r->held) < 0) {
		buf_reset(&r->held);
		return -ENOMEM;
	}
	if (r->held.len) {
		take(&r->held, size, out);
		return 0;
	}
	if (nonblock)
		return -EAGAIN;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->call = call_defer(c);
	if (!w->call) {
		free(w);
		return -ENOMEM;
	}
	w->reader = r;
	w->fs = c->fs;
	w->size = size;
	w->next = c->fs->watch->waiters;
	c->fs->watch->waiters = w;
	call_on_interrupt(w->call, on_interrupt, w);
	return FS_DEFERRED;
}

void watch_close(struct fs *fs, struct watch_reader *r)
{
	(void)fs;
	buf_release(&r->held);
	free(r);
}
