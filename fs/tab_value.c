/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_value - every value and view: one open file is one reading and one writer of store/meta/value.h.
 *
 * What a handle reads is rendered at its first read and again at offset 0, so that reads at offsets agree.  A history goes on with what
 * was appended; a long one is rendered piece by piece.  The kernel caches nothing of values (direct_io, timeouts 0).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/value_node.h"
#include "fs/view.h"
#include "store/meta/experiment.h"
#include "store/meta/run.h"

#define HISTORY_HELD_MAX (256u << 10)

struct value_handle {
	struct value_target target;
	struct value_writer *writer; /* NULL until the first write */
	struct buf text;             /* of values and histories, while RENDERED */
	struct view *view;           /* of views */
	bool rendered;
	bool created;
};

bool value_target_of(uint64_t node, struct value_target *ret)
{
	uint32_t inner = node_inner(node);

	*ret = (struct value_target){ .owner = node_object(node), .key = inner };
	switch ((int)node_kind(node)) {
	case NODE_EXPERIMENT_FIELD:
	case NODE_RUN_FIELD:
		if (inner == 0 || inner >= VALUE_KIND_END)
			return false;
		ret->kind = (enum value_kind)inner;
		ret->key = 0;
		return true;
	case NODE_EXPERIMENT_TAG: ret->kind = VALUE_EXPERIMENT_TAG; return true;
	case NODE_PARAM: ret->kind = VALUE_RUN_PARAM; return true;
	case NODE_METRIC: ret->kind = VALUE_RUN_METRIC; return true;
	case NODE_HISTORY: ret->kind = VALUE_RUN_HISTORY; return true;
	case NODE_TAG: ret->kind = VALUE_RUN_TAG; return true;
	default: return false;
	}
}

static bool is_read_only(enum value_kind kind)
{
	switch ((int)kind) {
	case VALUE_RUN_START:
	case VALUE_RUN_END:
	case VALUE_RUN_DURATION:
	case VALUE_RUN_JSON:
	case VALUE_EXPERIMENT_RUNS_CSV:
	case VALUE_EXPERIMENT_RUNS_TSV:
	case VALUE_ALL_RUNS_CSV:
	case VALUE_ALL_RUNS_TSV: return true;
	default: return false;
	}
}

/* Who owns the run or experiment of a value. */
static int owner_of(struct fs *fs, const struct value_target *t, uint32_t *ret_uid,
		    uint32_t *ret_gid)
{
	struct experiment e;
	struct run run;
	int rc;

	*ret_uid = fs->owner_uid;
	*ret_gid = fs->owner_gid;
	switch ((int)t->kind) {
	case VALUE_ALL_RUNS_CSV:
	case VALUE_ALL_RUNS_TSV: return 0;
	case VALUE_EXPERIMENT_DESCRIPTION:
	case VALUE_EXPERIMENT_TAG:
	case VALUE_EXPERIMENT_RUNS_CSV:
	case VALUE_EXPERIMENT_RUNS_TSV:
		rc = experiment_get(fs_view(fs), t->owner, &e);
		if (rc == 0)
			*ret_uid = e.uid;
		return rc;
	default:
		rc = run_get(fs_view(fs), t->owner, &run);
		if (rc == 0) {
			*ret_uid = run.uid;
			*ret_gid = run.gid;
		}
		return rc;
	}
}

int value_may_change(struct call *c, const struct value_target *t)
{
	uint32_t uid, gid;
	int rc = owner_of(c->fs, t, &uid, &gid);

	return rc < 0 ? rc : call_may_change(c, uid);
}

/* --- attributes ------------------------------------------------------------------------------------ */

static int value_stat(struct call *c, uint64_t node, const struct value_target *t,
		      struct node_attr *ret)
{
	uint32_t mode = S_IFREG | (is_read_only(t->kind) ? 0444 : 0644), uid, gid;
	struct view *view = NULL;
	int64_t mtime_ms = 0;
	uint64_t size = 0;
	int rc = owner_of(c->fs, t, &uid, &gid);

	if (rc == 0 && value_size_is_cheap(t->kind)) {
		rc = value_size(fs_view(c->fs), t, &size);
	} else if (rc == 0) {
		rc = view_get(c, node, t, &view);
		if (rc == 0)
			size = view_size(view);
		view_unref(view);
	}
	if (rc != 0)
		return rc;
	rc = value_mtime_ms(fs_view(c->fs), t, &mtime_ms);
	if (rc == 0)
		node_fill_attr(c->fs, ret, mode, uid, gid, size, mtime_ms);
	return rc;
}

static int value_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct value_target t;
	uint32_t uid, gid;
	int rc;

	if (!value_target_of(node, &t))
		return -ENOENT;
	rc = value_stat(c, node, &t, ret);
	if (rc != -ENOENT || (!h && !handle_next(c->fs, node, NULL)))
		return rc;
	rc = owner_of(c->fs, &t, &uid,
		      &gid); /* created and not yet written, or removed while open */
	if (rc == 0)
		node_fill_attr(c->fs, ret, S_IFREG | 0644, uid, gid, 0, 0);
	return rc;
}

/* Truncation by itself, chmod, chown and utimens change nothing; what is frozen refuses them. */
static int value_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st,
			 int to_set, struct node_attr *ret)
{
	struct value_target t;
	int rc;

	(void)st;
	if (!value_target_of(node, &t))
		return -ENOENT;
	rc = value_may_change(c, &t);
	if (rc == 0)
		rc = value_check_writable(fs_view(c->fs), &t);
	if (rc == -EACCES && !(to_set & NODE_SET_SIZE))
		rc = 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	err_clear();
	return value_getattr(c, node, h, ret);
}

/* --- opening ------------------------------------------------------------------------------------------ */

int value_open_target(struct call *c, const struct value_target *t, struct handle *h, bool created)
{
	struct value_handle *vh;
	int rc = 0;

	if (handle_writes(h)) {
		rc = value_may_change(c, t);
		if (rc == 0)
			rc = value_check_writable(fs_view(c->fs), t);
	} else if (!created) {
		rc = value_exists(fs_view(c->fs), t);
	}
	if (rc < 0)
		return rc;
	vh = calloc(1, sizeof(*vh));
	if (!vh)
		return -ENOMEM;
	vh->target = *t;
	vh->created = created;
	h->state = vh;
	h->direct_io = true;
	h->noflush = !handle_writes(h) || !value_open_needs_flush(fs_view(c->fs), t);
	return 0;
}

static int value_open(struct call *c, uint64_t node, struct handle *h)
{
	struct value_target t;

	if (!value_target_of(node, &t))
		return -ENOENT;
	return value_open_target(c, &t, h, false);
}

static void value_release(struct call *c, uint64_t node, struct handle *h)
{
	struct value_handle *vh = h->state;

	(void)c;
	(void)node;
	if (!vh)
		return;
	value_writer_free(vh->writer);
	buf_release(&vh->text);
	view_unref(vh->view);
	free(vh);
	h->state = NULL;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int read_text(const struct buf *text, uint64_t off, size_t size, struct buf *out)
{
	if (off < text->len)
		buf_add(out, text->data + off,
			size < text->len - off ? size : text->len - (size_t)off);
	return 0;
}

static int read_history(struct fs *fs, struct value_handle *vh, uint64_t off, size_t size,
			struct buf *out)
{
	uint64_t total;
	int rc;

	if (off == 0 || !vh->rendered) {
		buf_reset(&vh->text);
		vh->rendered = false;
		rc = value_size(fs_view(fs), &vh->target, &total);
		if (rc < 0)
			return rc;
		if (total > HISTORY_HELD_MAX)
			return value_render_range(fs_view(fs), &vh->target, off, size, out);
		rc = value_render(fs_view(fs), &vh->target, &vh->text);
		if (rc < 0)
			return rc;
		vh->rendered = true;
	} else if (off >= vh->text.len) { /* what was appended since */
		rc = value_render_range(fs_view(fs), &vh->target, vh->text.len, size, &vh->text);
		if (rc < 0)
			return rc;
	}
	return read_text(&vh->text, off, size, out);
}

static int read_view(struct call *c, uint64_t node, struct value_handle *vh, uint64_t off,
		     size_t size, struct buf *out)
{
	struct view *view;
	int rc;

	if (off == 0 || !vh->view) {
		rc = view_get(c, node, &vh->target, &view);
		if (rc != 0)
			return rc;
		view_unref(vh->view);
		vh->view = view;
	}
	return view_read(vh->view, off, size, out);
}

static int read_plain(struct fs *fs, struct value_handle *vh, uint64_t off, size_t size,
		      struct buf *out)
{
	int rc;

	if (off == 0 || !vh->rendered) {
		buf_reset(&vh->text);
		rc = value_render(fs_view(fs), &vh->target, &vh->text);
		if (rc < 0)
			return rc;
		vh->rendered = true;
	}
	return read_text(&vh->text, off, size, out);
}

static int value_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size,
		      struct buf *out)
{
	struct value_handle *vh = h->state;
	int rc;

	if (vh->target.kind == VALUE_RUN_HISTORY)
		rc = read_history(c->fs, vh, off, size, out);
	else if (value_size_is_cheap(vh->target.kind))
		rc = read_plain(c->fs, vh, off, size, out);
	else
		rc = read_view(c, node, vh, off, size, out);
	return rc == -ENOENT ? 0 : rc; /* not written yet, or removed meanwhile: nothing to read */
}

/* --- writing --------------------------------------------------------------------------------------------- */

static int value_write_handle(struct call *c, uint64_t node, struct handle *h, uint64_t off,
			      struct slice bytes, size_t *ret)
{
	struct value_handle *vh = h->state;
	struct meta_actor who;
	ssize_t n;
	int rc;

	(void)node;
	(void)off;
	if (!vh->writer) {
		who = call_actor(c);
		rc = value_writer_new(c->fs->meta, &vh->target, (h->flags & O_APPEND) != 0, &who,
				      &vh->writer);
		if (rc < 0)
			return rc;
	}
	n = value_write(vh->writer, bytes);
	if (n < 0)
		return (int)n;
	if (vh->target.kind == VALUE_RUN_EXPERIMENT)
		fs_names_changed(c->fs); /* its link in the old experiment's directory */
	*ret = (size_t)n;
	return 0;
}

static int value_flush_handle(struct call *c, uint64_t node, struct handle *h)
{
	struct value_handle *vh = h->state;

	(void)c;
	(void)node;
	return vh->writer ? value_flush(vh->writer) : 0;
}

/* --- where ------------------------------------------------------------------------------------------------- */

const struct node_ops value_ops = {
	.getattr = value_getattr,
	.setattr = value_setattr,
	.open = value_open,
	.read = value_read,
	.write = value_write_handle,
	.flush = value_flush_handle,
	.release = value_release,
	.path = value_path,
};
