/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_ctl - /.labfs: figures, settings, the last refusals, and what happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/handle_internal.h"
#include "fs/refusal.h"
#include "fs/watch.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#ifndef LABFS_VERSION
#define LABFS_VERSION "0"
#endif

enum ctl_file { CTL_STATS = 1, CTL_VERSION, CTL_STORE, CTL_CONFIG, CTL_ERRORS, CTL_EVENTS };

static const struct node_row rows[] = {
	{ "stats", NODE_CTL, CTL_STATS, false },
	{ "version", NODE_CTL, CTL_VERSION, false },
	{ "store", NODE_CTL, CTL_STORE, false },
	{ "config", NODE_CTL, CTL_CONFIG, false },
	{ "errors", NODE_CTL, CTL_ERRORS, false },
	{ "events", NODE_CTL, CTL_EVENTS, true },
	{ NULL, NODE_ROOT, 0, false },
};

struct ctl_handle {
	struct buf text;
	bool rendered;
	struct watch_reader *events;
};

/* --- texts ------------------------------------------------------------------------------------------------ */

static void add_figure(struct buf *out, const char *key, uint64_t value)
{
	buf_addf(out, "%s %llu\n", key, (unsigned long long)value);
}

static int stats_text(struct fs *fs, struct buf *out)
{
	struct store_space space;
	struct trees_stats trees;
	struct cas_stats cas;
	struct kv_stats kv;
	int rc = store_space(fs->store, &space);

	if (rc == 0)
		rc = trees_stats(fs->trees, fs_view(fs), &trees);
	if (rc == 0)
		rc = cas_stats(fs->cas, fs_view(fs), &cas);
	if (rc < 0)
		return rc;
	kv_stats(fs->kv, &kv);
	add_figure(out, "pid", (uint64_t)getpid());
	add_figure(out, "uptime_ms", (uint64_t)(clock_mono_ms() - fs->started_ms));
	add_figure(out, "requests", fs->requests);
	add_figure(out, "deferred", fs->deferred);
	add_figure(out, "handles", handles_count(fs->handles));
	add_figure(out, "refusals", refusals_count(fs->refusals));
	add_figure(out, "kernel_epoch", fs->has_epoch);
	add_figure(out, "bytes_used", space.used);
	add_figure(out, "bytes_limit", space.limit);
	add_figure(out, "disk_bytes", space.disk_total);
	add_figure(out, "disk_bytes_free", space.disk_free);
	add_figure(out, "batches", kv.batches);
	add_figure(out, "commits", kv.commits);
	add_figure(out, "checkpoints", kv.checkpoints);
	add_figure(out, "bytes_main", kv.bytes_main);
	add_figure(out, "bytes_main_free", kv.bytes_free);
	add_figure(out, "bytes_journal", kv.bytes_journal);
	add_figure(out, "chunks", cas.chunks);
	add_figure(out, "bytes_chunks", cas.bytes_raw);
	add_figure(out, "bytes_chunks_stored", cas.bytes_stored);
	add_figure(out, "segments", cas.segments);
	add_figure(out, "bytes_segments", cas.bytes_segments);
	add_figure(out, "chunks_dead", cas.dead);
	add_figure(out, "bytes_dead", cas.bytes_dead);
	add_figure(out, "trees", trees.trees);
	add_figure(out, "inodes", trees.inodes);
	add_figure(out, "contents", trees.contents);
	add_figure(out, "layers", trees.layers);
	add_figure(out, "bytes_layers", trees.bytes_layers);
	add_figure(out, "unsealed", trees.unsealed);
	add_figure(out, "pending", trees_pending(fs->trees));
	add_figure(out, "bytes_given_back", fs->freed);
	return 0;
}

static int render(struct fs *fs, uint32_t which, struct buf *out)
{
	int rc = 0;

	switch (which) {
	case CTL_STATS: rc = stats_text(fs, out); break;
	case CTL_VERSION: buf_addf(out, "%s\n", LABFS_VERSION); break;
	case CTL_STORE: buf_addf(out, "%s\n", store_path(fs->store)); break;
	case CTL_CONFIG: store_config_text(fs_view(fs), out); break;
	case CTL_ERRORS: refusals_text(fs->refusals, out); break;
	default: break;
	}
	return rc < 0 ? rc : buf_err(out);
}

/* --- names -------------------------------------------------------------------------------------------------- */

static int ctl_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	const struct node_row *row = node_row_find(rows, name);

	if (node_inner(dir))
		return -ENOTDIR;
	return row ? node_row_entry(c, row, 0, ret) : -ENOENT;
}

static int ctl_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct fs *fs = c->fs;
	uint32_t which = node_inner(node);

	(void)h;
	if (which > CTL_EVENTS)
		return -ENOENT;
	if (which == 0) {
		node_fill_attr(fs, ret, S_IFDIR | 0755, fs->owner_uid, fs->owner_gid, 0, 0);
		ret->st.st_nlink = 2;
		ret->timeout = NODE_LONG;
		return 0;
	}
	node_fill_attr(fs, ret, S_IFREG | (which == CTL_CONFIG ? 0644 : 0444), fs->owner_uid,
		       fs->owner_gid, 0, clock_now_ms());
	return 0;
}

static int ctl_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
		       struct dir_fill *fill)
{
	int rc;

	(void)h;
	if (node_inner(dir))
		return -ENOTDIR;
	rc = node_rows_list(c, rows, 0, cookie, fill);
	return rc < 0 ? rc : 0;
}

/* --- open files ------------------------------------------------------------------------------------------------ */

static int ctl_open(struct call *c, uint64_t node, struct handle *h)
{
	struct ctl_handle *ch;
	int rc = 0;

	if (handle_writes(h)) {
		if (node_inner(node) != CTL_CONFIG)
			return err_set(-EACCES, "this file can only be read");
		rc = call_may_change(c, c->fs->owner_uid);
		if (rc < 0)
			return rc;
	}
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	if (node_inner(node) == CTL_EVENTS)
		rc = watch_open(c->fs, &ch->events);
	if (rc < 0) {
		free(ch);
		return rc;
	}
	h->state = ch;
	h->direct_io = h->noflush = true;
	h->nonseekable = node_inner(node) == CTL_EVENTS;
	return 0;
}

static int ctl_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size,
		    struct buf *out)
{
	struct ctl_handle *ch = h->state;
	int rc;

	if (ch->events)
		return watch_read(c, ch->events, size, (h->flags & O_NONBLOCK) != 0, out);
	if (off == 0 || !ch->rendered) {
		buf_reset(&ch->text);
		rc = render(c->fs, node_inner(node), &ch->text);
		if (rc < 0)
			return rc;
		ch->rendered = true;
	}
	if (off < ch->text.len)
		buf_add(out, ch->text.data + off,
			size < ch->text.len - off ? size : ch->text.len - (size_t)off);
	return 0;
}

/* Each line "KEY VALUE" sets one setting; all of a write, or none. */
static int set_lines(struct fs *fs, struct slice text)
{
	const char *at = text.data, *end = at + text.len;
	int rc = 0;

	while (at < end && rc == 0) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)),
			   *stop = newline ? newline : end, *blank;

		blank = memchr(at, ' ', (size_t)(stop - at));
		if (blank)
			rc = store_config_set(fs->store, slice_of(at, (size_t)(blank - at)),
					      slice_of(blank + 1, (size_t)(stop - blank - 1)));
		else if (stop > at)
			rc = store_config_set(fs->store, slice_of(at, (size_t)(stop - at)),
					      slice_of("", 0));
		at = newline ? newline + 1 : end;
	}
	return rc;
}

static int ctl_write(struct call *c, uint64_t node, struct handle *h, uint64_t off,
		     struct slice bytes, size_t *ret)
{
	int rc = fs_begin(c->fs);

	(void)node;
	(void)h;
	(void)off;
	if (rc == 0)
		rc = fs_end(c->fs, set_lines(c->fs, bytes));
	*ret = bytes.len;
	return rc;
}

static void ctl_release(struct call *c, uint64_t node, struct handle *h)
{
	struct ctl_handle *ch = h->state;

	(void)node;
	if (ch->events)
		watch_close(c->fs, ch->events);
	buf_release(&ch->text);
	free(ch);
}

static int ctl_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st,
		       int to_set, struct node_attr *ret)
{
	(void)st;
	(void)to_set;
	if (node_inner(node) && node_inner(node) != CTL_CONFIG)
		return err_set(-EPERM, "this file can only be read");
	return ctl_getattr(c, node, h, ret);
}

static void ctl_path(struct fs *fs, uint64_t node, struct buf *out)
{
	(void)fs;
	buf_add_str(out, "/.labfs");
	for (const struct node_row *row = rows; row->name; row++)
		if (row->inner == node_inner(node))
			buf_addf(out, "/%s", row->name);
}

const struct node_ops ctl_ops = {
	.lookup = ctl_lookup,
	.getattr = ctl_getattr,
	.setattr = ctl_setattr,
	.readdir = ctl_readdir,
	.open = ctl_open,
	.read = ctl_read,
	.write = ctl_write,
	.release = ctl_release,
	.path = ctl_path,
};
