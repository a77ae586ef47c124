/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - replies and deferral of requests.  Every request ends in exactly one fuse_reply_*() of this file or of ops.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/call_internal.h"
#include "fs/fs.h"
#include "fs/loop.h"
#include "fs/procs.h"
#include "fs/view.h"

static void on_interrupt(fuse_req_t req, void *arg)
{
	struct call *c = arg;

	(void)req;
	if (c->answered)
		return;
	if (c->interrupted) {
		c->interrupted(c, c->interrupted_arg);
		return;
	}
	c->answered = true;
	fuse_reply_err(c->req, EINTR);
}

struct call *call_defer(struct call *c)
{
	struct call *d;

	if (c->deferred)
		return c;
	if (c->name.len >= sizeof(d->name_copy) || c->to_name.len >= sizeof(d->to_name_copy))
		return NULL;
	d = malloc(sizeof(*d));
	if (!d)
		return NULL;
	*d = *c;
	d->deferred = true;
	memcpy(d->name_copy, c->name.data ? c->name.data : "", c->name.len);
	d->name.data = d->name_copy;
	memcpy(d->to_name_copy, c->to_name.data ? c->to_name.data : "", c->to_name.len);
	d->to_name.data = d->to_name_copy;
	d->fs->deferred++;
	fuse_req_interrupt_func(d->req, on_interrupt, d);
	return d;
}

static void interrupt_ignored(struct call *c, void *arg)
{
	(void)c;
	(void)arg;
}

void call_on_interrupt(struct call *deferred, void (*fn)(struct call *c, void *arg), void *arg)
{
	deferred->interrupted = fn ? fn : interrupt_ignored;
	deferred->interrupted_arg = arg;
}

void call_retry(struct call *c)
{
	if (c->answered)
		call_reply_err(c, -EINTR); /* frees */
	else
		c->again(c);
}

/* --- the end of a call ------------------------------------------------------------------------ */

static void call_end(struct call *c)
{
	if (!c->deferred)
		return;
	c->fs->deferred--;
	view_unref(c->view);
	free(c);
}

/* Is the kernel still waiting?  (The interrupt function stays: taking it away from within it would deadlock in libfuse.) */
static bool call_take_reply(struct call *c)
{
	if (c->answered)
		return false;
	c->answered = true;
	return true;
}

/* Everyday answers that nobody asks the reason of. */
static bool is_everyday(int rc)
{
	switch (-rc) {
	case ENOENT:
	case ENODATA:
	case EINTR:
	case EAGAIN:
	case ENOSYS:
	case ERANGE:
	case ENXIO:
	case EEXIST:
	case EOPNOTSUPP: return true;
	default: return false;
	}
}

void call_note(struct call *c, int rc)
{
	SCOPED_BUF struct buf path = BUF_INIT;
	SCOPED_BUF struct buf text = BUF_INIT; /* a copy: looking for the path may say why it finds none */
	bool reason;

	if (rc == -ENOENT || rc == -ENODATA)
		return;
	buf_add_str(&text, err_text(rc));
	reason = text.len && strcmp(err_reason(), text.data) == 0;
	if ((is_everyday(rc) || rc == -EXDEV) && !reason)
		return;
	node_path(c->fs, c->node, &path);
	if (c->name.len) {
		if (path.len > 1)
			buf_add_ch(&path, '/');
		buf_add_slice(&path, c->name);
	}
	fs_refused(c->fs, c->op, path.data ? path.data : "?", rc, text.data ? text.data : "?");
}

void call_drop_handle(struct call *c, bool opened)
{
	struct handle *h = c->handle;

	if (!h || !c->opening)
		return;
	c->handle = NULL;
	if (opened && h->ops->release)
		h->ops->release(c, h->node, h);
	handle_free(c->fs, h);
}

void call_reply_err(struct call *c, int rc)
{
	if (rc < 0)
		call_note(c, rc);
	if (rc < 0)
		call_drop_handle(c, false);
	if (call_take_reply(c))
		fuse_reply_err(c->req, rc < 0 ? -rc : 0);
	call_end(c);
}

void call_reply_data(struct call *c, struct slice bytes)
{
	if (call_take_reply(c))
		fuse_reply_buf(c->req, bytes.data, bytes.len);
	call_end(c);
}

void call_reply_link(struct call *c, struct buf *target)
{
	buf_add_ch(target, '\0');
	if (buf_err(target)) {
		call_reply_err(c, -ENOMEM);
		return;
	}
	if (call_take_reply(c))
		fuse_reply_readlink(c->req, target->data);
	call_end(c);
}

void call_reply_written(struct call *c, size_t count)
{
	if (call_take_reply(c))
		fuse_reply_write(c->req, count);
	call_end(c);
}

void call_reply_number(struct call *c, int64_t offset)
{
	if (call_take_reply(c))
		fuse_reply_lseek(c->req, offset);
	call_end(c);
}

static struct fuse_entry_param entry_param(const struct node_entry *entry)
{
	struct fuse_entry_param e = {
		.ino = entry->node,
		.attr = entry->attr.st,
		.attr_timeout = entry->attr.timeout,
		.entry_timeout = entry->entry_timeout,
	};

	e.attr.st_ino = entry->node;
	return e;
}

void call_reply_entry(struct call *c, const struct node_entry *entry)
{
	struct fuse_entry_param e = entry_param(entry);

	if (call_take_reply(c))
		fuse_reply_entry(c->req, &e);
	call_end(c);
}

void call_reply_attr(struct call *c, uint64_t node, const struct node_attr *attr)
{
	struct stat st = attr->st;

	st.st_ino = node;
	if (call_take_reply(c))
		fuse_reply_attr(c->req, &st, attr->timeout);
	call_end(c);
}

static struct fuse_file_info file_info(struct handle *h)
{
	struct fuse_file_info fi;

	memset(&fi, 0, sizeof(fi));
	fi.fh = (uint64_t)(uintptr_t)h;
	fi.direct_io = h->direct_io;
	fi.keep_cache = h->keep_cache;
	fi.noflush = h->noflush;
	fi.nonseekable = h->nonseekable;
	return fi;
}

/* An open that its caller no longer wants is followed by no RELEASE. */
void call_reply_open(struct call *c)
{
	struct fuse_file_info fi = file_info(c->handle);

	if (!call_take_reply(c) || fuse_reply_open(c->req, &fi) == -ENOENT)
		call_drop_handle(c, true);
	call_end(c);
}

void call_reply_create(struct call *c, const struct node_entry *entry)
{
	struct fuse_file_info fi = file_info(c->handle);
	struct fuse_entry_param e = entry_param(entry);

	if (!call_take_reply(c) || fuse_reply_create(c->req, &e, &fi) == -ENOENT)
		call_drop_handle(c, true);
	call_end(c);
}

/* --- payloads ---------------------------------------------------------------------------------- */

void *call_take_payload(struct call *c)
{
	return loop_take_buffer(c->fs->loop);
}

void call_payload_free(struct fs *fs, void *payload)
{
	loop_give_buffer(fs->loop, payload);
}

/* --- who asks ------------------------------------------------------------------------------------ */

int call_may_change(const struct call *c, uint32_t owner)
{
	if (c->uid == owner || c->uid == 0 || c->uid == c->fs->owner_uid)
		return 0;
	return err_set(-EACCES,
		       "it belongs to uid %u: only that user and the store's owner may change it",
		       owner);
}

struct meta_actor call_actor(const struct call *c)
{
	struct meta_actor who = { .uid = c->uid, .gid = c->gid, .run = 0 };

	if (procs_known(c->fs, c->pid, &who.run) < 0)
		who.run = 0;
	return who;
}

int call_run(const struct call *c, uint32_t *ret_run)
{
	return procs_known(c->fs, c->pid, ret_run);
}
