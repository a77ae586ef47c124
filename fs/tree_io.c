/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_io - open files of trees: reading, writing, fsync.
 *
 * Small reads and writes are answered by the core; what would wait for a disk or takes long is a worker's.  An inode is held in the
 * store while a descriptor is open on it, so that it outlives its last name.  A descriptor opened for writing before its run ended may
 * go on writing; a new one is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/background.h"
#include "fs/head_write.h"
#include "fs/tab_tree.h"
#include "store/meta/entry.h"

#define WRITE_ON_CORE 65536u	/* longer writes go to a worker */

struct tree_handle {
	uint32_t tree, ino;
	bool writes;
	bool held;
	struct head_write *head;	/* NULL: no head of a file dataset, or only reading */
};

static int check_open_to_writing(struct fs *fs, uint32_t tree)
{
	struct tree_info info;
	int rc = tree_info(fs_view(fs), tree, &info);

	if (rc == 0 && info.frozen)
		rc = err_set(-EROFS, "the run has ended: its artifacts never change (write 'running' to its status to re-open it)");
	return rc;
}

int tree_front_opened(struct call *c, uint32_t tree, uint32_t ino, struct handle *h)
{
	struct tree_handle *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->tree = tree;
	s->ino = ino;
	s->writes = handle_writes(h);
	rc = tree_hold(c->fs->trees, tree, ino);
	if (rc) {
		free(s);
		return rc;
	}
	s->held = true;
	if (s->writes && ino == TREE_ROOT && head_entry_id(c->fs, tree)) {
		s->head = head_write_join(c, tree);
		if (!s->head) {
			(void)!tree_unhold(c->fs->trees, tree, ino);
			free(s);
			return -ENOMEM;
		}
	}
	h->state = s;
	h->noflush = true;
	h->keep_cache = true;
	return 0;
}

/* --- open files ------------------------------------------------------------------------------------------------------ */

static int open_in_batch(struct call *c, uint32_t tree, uint32_t ino, struct handle *h)
{
	struct tree_attr zero = { .size = 0 }, a;
	int rc = tree_front_opened(c, tree, ino, h);
	struct tree_handle *s = h->state;

	if (rc || !(h->flags & O_TRUNC) || !handle_writes(h))
		return rc;
	rc = tree_setattr(c->fs->trees, tree, ino, TREE_SET_SIZE, &zero, &a);
	if (rc == 0 && s->head)
		s->head->wrote = s->head->rewrote = true;
	return rc;
}

void tree_front_drop(struct fs *fs, struct handle *h)
{
	struct tree_handle *s = h->state;

	if (!s)
		return;
	h->state = NULL;
	if (s->head)
		head_write_leave(fs, s->head);
	if (s->held && fs_begin(fs) == 0)
		(void)!fs_end(fs, tree_unhold(fs->trees, s->tree, s->ino));
	free(s);
}

int tree_op_open(struct call *c, uint64_t node, struct handle *h)
{
	uint32_t tree = node_object(node), ino = node_inner(node);
	bool was;
	int rc = 0;

	h->state = NULL;
	if (handle_writes(h))
		rc = check_open_to_writing(c->fs, tree);
	if (rc == 0 && c->fs->read_only) {
		h->keep_cache = h->noflush = true;
		return 0;
	}
	if (rc)
		return rc;
	was = kv_use_reserve(c->fs->kv, !handle_writes(h));	/* reading goes on with the disk full */
	rc = fs_begin(c->fs);
	if (rc == 0)
		rc = fs_end(c->fs, open_in_batch(c, tree, ino, h));
	kv_use_reserve(c->fs->kv, was);
	if (rc)
		tree_front_drop(c->fs, h);
	return rc;
}

int tree_version_open(struct call *c, uint64_t node, struct handle *h)
{
	struct tree_place place;
	uint32_t ino;

	if (handle_writes(h) || (h->flags & O_TRUNC))
		return err_set(-EROFS, "a version never changes; write to the head, which makes the next version");
	h->keep_cache = h->noflush = true;
	return tree_node_place(c->fs, node, &place, &ino);
}

void tree_op_release(struct call *c, uint64_t node, struct handle *h)
{
	(void)node;
	tree_front_drop(c->fs, h);
}

/* --- reading: by a worker where it may wait ---------------------------------------------------------------------------- */

struct read_job {
	struct job job;
	struct fs *fs;
	struct call *call;
	struct kv_view *snapshot;
	struct tree_place place;
	uint32_t ino;
	uint64_t off;
	size_t size;
	struct buf out;
	int rc;
};

static int read_into(struct fs *fs, struct kv_view *view, struct tree_place place, uint32_t ino, uint64_t off, size_t size,
		     struct buf *out)
{
	void *at = buf_reserve(out, size);
	ssize_t got = at ? tree_read(fs->trees, view, place, ino, off, at, size) : -ENOMEM;

	if (got < 0)
		return (int)got;
	out->len += (size_t)got;
	return 0;
}

static void read_work(struct job *job)
{
	struct read_job *r = (struct read_job *)job;

	r->rc = read_into(r->fs, r->snapshot, r->place, r->ino, r->off, r->size, &r->out);
}

static void read_done(struct job *job)
{
	struct read_job *r = (struct read_job *)job;

	kv_snapshot_close(r->snapshot);
	if (r->rc == -EBADMSG)
		r->rc = -EIO;
	if (r->rc < 0)
		call_reply_err(r->call, r->rc);
	else
		call_reply_data(r->call, buf_slice(&r->out));
	buf_release(&r->out);
	free(r);
}

static int read_later(struct call *c, struct tree_place place, uint32_t ino, uint64_t off, size_t size)
{
	struct read_job *r = calloc(1, sizeof(*r));
	int rc = r ? kv_publish(c->fs->kv) : -ENOMEM;

	if (rc == 0)
		rc = kv_snapshot_open(c->fs->kv, &r->snapshot);
	if (rc == 0) {
		r->call = call_defer(c);
		rc = r->call ? 0 : -ENOMEM;
	}
	if (rc) {
		if (r)
			kv_snapshot_close(r->snapshot);
		free(r);
		return rc;
	}
	call_on_interrupt(r->call, NULL, NULL);	/* as from a disk: a signal's handler does not end a read */
	r->job = (struct job){ .work = read_work, .done = read_done };
	r->fs = c->fs;
	r->place = place;
	r->ino = ino;
	r->off = off;
	r->size = size;
	job_submit(c->fs, JOB_BYTES, off / (1u << 20) + ino, &r->job);
	return FS_DEFERRED;
}

int tree_op_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size, struct buf *out)
{
	struct tree_place place;
	uint32_t ino;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	(void)h;
	if (rc)
		return rc;
	if (!c->fs->read_only && !tree_read_is_cheap(c->fs->trees, fs_view(c->fs), place, ino, off, size))
		return read_later(c, place, ino, off, size);
	rc = read_into(c->fs, fs_view(c->fs), place, ino, off, size, out);
	return rc == -EBADMSG ? -EIO : rc;
}

/* --- writing -------------------------------------------------------------------------------------------------------------- */

struct write_job {
	struct job job;
	struct fs *fs;
	struct call *call;
	struct tree_write write;
	void *payload;
	struct slice bytes;
	bool tried;			/* once more, after room was made */
	int rc;
};

static void write_work(struct job *job)
{
	struct write_job *w = (struct write_job *)job;

	w->rc = tree_write_bytes(&w->write, w->bytes);
}

static void write_done(struct job *job)
{
	struct write_job *w = (struct write_job *)job;
	bool was;
	int rc;

	if (w->rc == -ENOSPC && !w->tried && background_make_room(w->fs)) {
		w->tried = true;
		job_submit(w->fs, JOB_BYTES, w->call->node, &w->job);
		return;
	}
	was = kv_use_reserve(w->fs->kv, true);	/* the end of a write must be noted, come what may */
	rc = fs_begin(w->fs);
	if (rc == 0)
		rc = fs_end(w->fs, tree_write_end(w->fs->trees, &w->write, w->bytes.len, w->rc));
	else
		tree_write_cancel(w->fs->trees, &w->write);
	kv_use_reserve(w->fs->kv, was);
	call_payload_free(w->fs, w->payload);
	if (rc < 0)
		call_reply_err(w->call, rc);
	else
		call_reply_written(w->call, w->bytes.len);
	free(w);
}

static int write_later(struct call *c, uint64_t node, struct write_job *w, uint64_t off, bool held)
{
	struct fs *fs = c->fs;
	int rc = fs_begin(fs), begun;

	if (rc)
		return rc;
	begun = tree_write_begin(fs->trees, node_object(node), node_inner(node), off, w->bytes.len, held, &w->write);
	rc = fs_end(fs, begun);
	if (rc) {
		if (begun == 0)
			tree_write_cancel(fs->trees, &w->write);
		return rc;
	}
	w->payload = call_take_payload(c);
	w->call = w->payload ? call_defer(c) : NULL;
	if (!w->call) {
		call_payload_free(fs, w->payload);
		tree_write_cancel(fs->trees, &w->write);
		return -ENOMEM;
	}
	call_on_interrupt(w->call, NULL, NULL);	/* nor a write, which takes effect anyway */
	w->job = (struct job){ .work = write_work, .done = write_done };
	w->fs = fs;
	job_submit(fs, JOB_BYTES, node, &w->job);
	return FS_DEFERRED;
}

static int write_now(struct call *c, uint64_t node, uint64_t off, struct slice bytes, bool held, size_t *ret)
{
	int rc = fs_begin(c->fs);

	if (rc)
		return rc;
	rc = tree_write(c->fs->trees, node_object(node), node_inner(node), off, bytes, held);
	if (rc == 0 && node_inner(node) != TREE_ROOT)
		rc = head_write_note(c, node_object(node));
	rc = fs_end(c->fs, rc);
	if (rc == 0)
		*ret = bytes.len;
	return rc;
}

int tree_op_write(struct call *c, uint64_t node, struct handle *h, uint64_t off, struct slice bytes, size_t *ret)
{
	struct tree_handle *s = h->state;
	struct write_job *w;
	int rc;

	if (s && s->head) {
		struct tree_attr a;

		rc = tree_getattr(c->fs->trees, fs_view(c->fs), (struct tree_place){ s->tree, TREE_HEAD }, s->ino, &a);
		if (rc)
			return rc;
		s->head->wrote = true;
		s->head->rewrote |= off < a.size;
	}
	if (bytes.len <= WRITE_ON_CORE)
		return write_now(c, node, off, bytes, true, ret);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->bytes = bytes;
	rc = write_later(c, node, w, off, true);
	if (rc != FS_DEFERRED)
		free(w);
	return rc;
}

int tree_op_fallocate(struct call *c, uint64_t node, struct handle *h, int mode, uint64_t off, uint64_t len)
{
	int rc = mode & FALLOC_FL_PUNCH_HOLE ? 0 : store_admit(c->fs->store, len);

	(void)h;
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_fallocate(c->fs->trees, node_object(node), node_inner(node), mode, off, len, true);
	if (rc == 0)
		rc = head_write_note_rewrite(c, node_object(node), node_inner(node));
	return fs_end(c->fs, rc);
}

int tree_op_copy_range(struct call *c, uint64_t from, struct handle *from_h, uint64_t from_off, uint64_t node, struct handle *h,
			 uint64_t off, uint64_t len, uint64_t *ret)
{
	struct tree_place place;
	uint32_t ino;
	int rc;

	(void)from_h;
	(void)h;
	if (node_kind(from) != NODE_TREE_HEAD && node_kind(from) != NODE_TREE_VERSION)
		return -EXDEV;
	rc = tree_node_place(c->fs, from, &place, &ino);
	if (rc == 0)
		rc = fs_begin(c->fs);
	if (rc)
		return rc;
	rc = tree_copy_range(c->fs->trees, place, ino, from_off, node_object(node), node_inner(node), off, len, true, ret);
	if (rc == 0)
		rc = head_write_note_rewrite(c, node_object(node), node_inner(node));
	return fs_end(c->fs, rc);
}

int tree_op_lseek(struct call *c, uint64_t node, struct handle *h, int64_t off, int whence, int64_t *ret)
{
	struct tree_place place;
	uint32_t ino;
	int64_t at;
	int rc = tree_node_place(c->fs, node, &place, &ino);

	(void)h;
	if (rc)
		return rc;
	if (off < 0)
		return -ENXIO;
	at = tree_seek(c->fs->trees, fs_view(c->fs), place, ino, (uint64_t)off, whence == SEEK_HOLE);
	if (at < 0)
		return (int)at;
	*ret = at;
	return 0;
}

/* --- durability -------------------------------------------------------------------------------------------------------------- */

struct tree_sync_job {
	struct job job;
	struct call *call;
	struct kv *kv;
	struct tree_sync *sync;
	uint64_t seq;
	int rc;
};

static void sync_work(struct job *job)
{
	struct tree_sync_job *s = (struct tree_sync_job *)job;

	s->rc = tree_sync_wait(s->sync);	/* the bytes first, then the journal that speaks of them */
	if (s->rc == 0)
		s->rc = kv_sync(s->kv, s->seq);
}

static void sync_done(struct job *job)
{
	struct tree_sync_job *s = (struct tree_sync_job *)job;

	tree_sync_free(s->sync);
	call_reply_err(s->call, s->rc);
	free(s);
}

/* Of a head the file's own bytes; of a version or a .commit, whose bytes may lie anywhere, all that is not on disk yet. */
int tree_op_fsync(struct call *c, uint64_t node, struct handle *h, bool datasync)
{
	struct tree_sync_job *s = calloc(1, sizeof(*s));
	bool head = node_kind(node) == NODE_TREE_HEAD;
	int rc = s ? tree_sync_begin(c->fs->trees, head ? node_object(node) : 0, head ? node_inner(node) : 0, &s->sync) : -ENOMEM;

	(void)h;
	(void)datasync;
	if (rc == 0) {
		s->call = call_defer(c);
		rc = s->call ? 0 : -ENOMEM;
		if (rc)
			tree_sync_free(s->sync);
	}
	if (rc) {
		free(s);
		return rc;
	}
	s->job = (struct job){ .work = sync_work, .done = sync_done };
	s->kv = c->fs->kv;
	s->seq = kv_seq(c->fs->kv);
	job_submit(c->fs, JOB_SYNC, node, &s->job);
	return FS_DEFERRED;
}
