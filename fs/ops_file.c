/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_file - open files: open, create, read, write, close, fsync, ranges.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/head_write.h"
#include "fs/ops_internal.h"
#include "fs/handle_internal.h"
#include "fs/procs.h"

#define COPY_MAX (1u << 31)	/* bytes of one copy_file_range: its answer has 32 bits */

static void resolved(struct call *c, uint32_t run, void *arg)
{
	(void)run;
	(void)arg;
	call_retry(c);
}

/*
 * What a run writes into datasets and models is its output: before such a file is opened for writing while any process is attached,
 * find out whether the caller belongs to a run.  FS_DEFERRED: the call is handed to its operation again.
 */
static int know_run(struct call *c)
{
	struct call *d;
	uint32_t run;
	int rc;

	if (!handle_writes(c->handle) || !procs_any(c->fs) || call_run(c, &run) != -EAGAIN)
		return 0;
	if (node_kind(c->node) != NODE_SPACE &&
	    !(node_kind(c->node) == NODE_TREE_HEAD && head_entry_id(c->fs, node_object(c->node))))
		return 0;
	d = call_defer(c);
	if (!d)
		return -ENOMEM;
	rc = procs_resolve(d, resolved, NULL);
	if (rc < 0)
		call_reply_err(d, rc);
	return FS_DEFERRED;
}

static void do_open(struct call *c)
{
	const struct node_ops *ops = node_ops_of(c->node);
	int rc = 0;

	if (handle_writes(c->handle))
		rc = ops_check_change(c);
	if (rc == 0)
		rc = know_run(c);
	if (rc == 0)
		rc = ops && ops->open ? ops->open(c, c->node, c->handle) : -EINVAL;
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_open(c);
}

/* A new handle for the call to carry; answers -ENOMEM itself. */
static bool attach_handle(struct call *c, int flags)
{
	c->handle = handle_new(c->fs, c->node, flags);
	if (!c->handle) {
		call_reply_err(c, -ENOMEM);
		return false;
	}
	c->opening = true;
	return true;
}

void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "open", node);

	c.again = do_open;
	if (attach_handle(&c, fi->flags))
		do_open(&c);
}

static int ask_create(const struct node_ops *ops, struct call *c, void *arg)
{
	return ops->create ? ops->create(c, c->node, c->name, c->mode, c->handle, arg) : FS_NOT_MINE;
}

static void do_create(struct call *c)
{
	struct node_entry e = { 0 };
	int rc = know_run(c);

	if (rc == 0)
		rc = ops_change_name(c, ask_create, &e);
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0) {
		call_reply_err(c, rc);
		return;
	}
	handle_set_node(c->fs, c->handle, e.node);
	call_reply_create(c, &e);
}

void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "create", dir);

	c.name = slice_str(name);
	c.mode = (mode & 07777) | S_IFREG;
	c.again = do_create;
	if (attach_handle(&c, fi->flags))
		do_create(&c);
}

static void do_read(struct call *c)
{
	struct handle *h = c->handle;
	SCOPED_BUF struct buf out = BUF_INIT;
	int rc = h && h->ops->read ? h->ops->read(c, c->node, h, c->off, c->size, &out) : -EINVAL;

	if (rc == FS_DEFERRED)
		return;
	if (rc == 0)
		rc = buf_err(&out);
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_data(c, slice_of(out.data, out.len < c->size ? out.len : c->size));
}

void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "read", node);

	c.handle = ops_handle(fi);
	c.off = (uint64_t)off;
	c.size = size;
	c.again = do_read;
	do_read(&c);
}

void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call call = ops_call(req, "write", node), *c = &call;
	struct handle *h = ops_handle(fi);
	bool tried = false;
	size_t done = 0;
	int rc = h && h->ops->write ? 0 : -EBADF;

	c->handle = h;
	if (rc == 0) {
		do {
			rc = store_admit(c->fs->store, size);
			if (rc == 0)
				rc = h->ops->write(c, node, h, (uint64_t)off, slice_of(data, size), &done);
		} while (ops_try_again(c, rc, &tried));
	}
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_written(c, done);
}

void op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "close", node);
	struct handle *h = ops_handle(fi);

	c.handle = h;
	ops_reply_status(&c, h && h->ops->flush ? h->ops->flush(&c, node, h) : 0);
}

void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "close", node);
	struct handle *h = ops_handle(fi);
	bool was = kv_use_reserve(c.fs->kv, true);	/* what was accepted is brought to its end */

	if (h && h->ops->release)
		h->ops->release(&c, node, h);
	kv_use_reserve(c.fs->kv, was);
	handle_free(c.fs, h);
	fuse_reply_err(req, 0);
}

/* --- durability ---------------------------------------------------------------------------------------------- */

struct sync_job {
	struct job job;
	struct call *call;
	struct kv *kv;
	uint64_t seq;
	int rc;
};

static void sync_work(struct job *job)
{
	struct sync_job *s = (struct sync_job *)job;

	s->rc = kv_sync(s->kv, s->seq);
}

static void sync_done(struct job *job)
{
	struct sync_job *s = (struct sync_job *)job;

	call_reply_err(s->call, s->rc);
	free(s);
}

static int sync_newest(struct call *c)
{
	struct sync_job *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->call = call_defer(c);
	if (!s->call) {
		free(s);
		return -ENOMEM;
	}
	s->job.work = sync_work;
	s->job.done = sync_done;
	s->kv = c->fs->kv;
	s->seq = kv_seq(c->fs->kv);
	job_submit(c->fs, JOB_SYNC, c->node, &s->job);
	return FS_DEFERRED;
}

static void do_fsync(struct call *c, bool datasync)
{
	const struct node_ops *ops = node_ops_of(c->node);
	int rc;

	if (c->fs->read_only)
		rc = 0;
	else
		rc = ops && ops->fsync ? ops->fsync(c, c->node, c->handle, datasync) : sync_newest(c);
	ops_reply_status(c, rc);
}

void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "fsync", node);

	c.handle = ops_handle(fi);
	do_fsync(&c, datasync != 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "fsync", node);

	(void)fi;
	do_fsync(&c, datasync != 0);
}

/* --- ranges ---------------------------------------------------------------------------------------------------- */

void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct call call = ops_call(req, "fallocate", node), *c = &call;
	struct handle *h = ops_handle(fi);
	bool tried = false;
	int rc = h && h->ops->fallocate ? 0 : -EOPNOTSUPP;

	c->handle = h;
	if (rc == 0) {
		do {
			rc = h->ops->fallocate(c, node, h, mode, (uint64_t)off, (uint64_t)len);
		} while (ops_try_again(c, rc, &tried));
	}
	ops_reply_status(c, rc);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t node,
			       off_t off, struct fuse_file_info *fi, size_t len, int flags)
{
	struct call call = ops_call(req, "copy_file_range", node), *c = &call;
	struct handle *h = ops_handle(fi), *from_h = ops_handle(from_fi);
	uint64_t done = 0;
	bool tried = false;
	int rc = flags ? -EINVAL : h && from_h && h->ops->copy_range ? 0 : -EXDEV;

	c->handle = h;
	if (rc == 0) {
		do {
			rc = h->ops->copy_range(c, from, from_h, (uint64_t)from_off, node, h, (uint64_t)off,
						len < COPY_MAX ? len : COPY_MAX, &done);
		} while (ops_try_again(c, rc, &tried));
	}
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_written(c, done);
}

static void do_lseek(struct call *c)
{
	struct handle *h = c->handle;
	int64_t off = (int64_t)c->off, at = 0;
	int whence = (int)c->flags, rc;
	struct node_attr a;

	if (h && h->ops->lseek) {
		rc = h->ops->lseek(c, c->node, h, off, whence, &at);
	} else {				/* no holes: data up to the end */
		rc = h && h->ops->getattr ? h->ops->getattr(c, c->node, h, &a) : -EINVAL;
		if (rc == 0 && (off < 0 || off >= a.st.st_size))
			rc = -ENXIO;
		if (rc == 0)
			at = whence == SEEK_HOLE ? a.st.st_size : off;
	}
	if (rc == FS_DEFERRED)
		return;
	if (rc < 0)
		call_reply_err(c, rc);
	else
		call_reply_number(c, at);
}

void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi)
{
	struct call c = ops_call(req, "lseek", node);

	c.handle = ops_handle(fi);
	c.off = (uint64_t)off;
	c.flags = (unsigned)whence;
	c.again = do_lseek;
	do_lseek(&c);
}
