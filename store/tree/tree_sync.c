/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_sync - what has to reach the disk beside the journal when something is fsynced: layers with unsynced writes.
 */
#include "store/tree/content.h"
#include "store/tree/extent.h"
#include "store/tree/inode.h"
#include "store/tree/layer.h"

#define CHAIN_MAX 4096u			/* contents looked at for one file; beyond: every unsynced layer */

struct tree_sync {
	struct layers *layers;
	struct buf ids;			/* uint32_t each */
	bool dir;
	bool ok;			/* set by the worker */
};

static int want(void *arg, uint32_t layer)
{
	struct tree_sync *s = arg;

	if (!layer_sync_begin(s->layers, layer))
		return 0;
	buf_add(&s->ids, &layer, sizeof layer);
	if (s->ids.failed) {
		layer_sync_end(s->layers, layer, false);
		return -ENOMEM;
	}
	return 0;
}

static int add_sources(struct kv_view *view, const struct content *c, struct buf *todo)
{
	struct extent e = { .off = 0 };
	int rc = 0;

	for (uint64_t off = 0; !rc && todo->len < CHAIN_MAX * sizeof e.src; off = e.off + e.len) {
		rc = extent_find(view, c->id, off, &e);
		if (!rc && e.kind == EXTENT_COPY)
			buf_add(todo, &e.src, sizeof e.src);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* The layers that the bytes of CONTENT come from. */
static int want_chain(struct trees *t, struct tree_sync *s, uint64_t content)
{
	SCOPED_BUF struct buf todo = BUF_INIT;
	struct kv_view *view = kv_live(t->kv);
	int rc = 0;

	buf_add(&todo, &content, sizeof content);
	for (size_t at = 0; !rc && at < todo.len; at += sizeof content) {
		struct content c;

		if (todo.len >= CHAIN_MAX * sizeof content)
			return layer_each_dirty(t->layers, want, s);
		memcpy(&content, todo.data + at, sizeof content);
		rc = content_get(view, content, &c);
		if (rc || c.state == CONTENT_SEALED || (c.flags & CONTENT_INLINE))
			continue;
		if (c.layer)
			rc = want(s, c.layer);
		if (c.base)
			buf_add(&todo, &c.base, sizeof c.base);
		if (!rc && (c.flags & CONTENT_MIXED))
			rc = add_sources(view, &c, &todo);
		if (!rc)
			rc = buf_err(&todo);
	}
	return rc;
}

int tree_sync_begin(struct trees *t, uint32_t tree, uint32_t ino, struct tree_sync **ret)
{
	struct tree_sync *s = calloc(1, sizeof *s);
	struct inode n;
	int rc = 0;

	if (!s)
		return -ENOMEM;
	s->layers = t->layers;
	if (ino == 0) {
		rc = layer_each_dirty(t->layers, want, s);
	} else {
		rc = inode_get(kv_live(t->kv), inode_head(tree), ino, &n);
		if (!rc && n.content)
			rc = want_chain(t, s, n.content);
	}
	if (rc) {
		tree_sync_free(s);
		return rc;
	}
	if (s->ids.len || ino == 0)
		s->dir = layer_dir_sync_begin(t->layers);
	*ret = s;
	return 0;
}

bool tree_sync_is_empty(const struct tree_sync *s)
{
	return s->ids.len == 0 && !s->dir;
}

int tree_sync_wait(struct tree_sync *s)
{
	int rc = 0;

	for (size_t at = 0; at < s->ids.len; at += sizeof(uint32_t)) {
		uint32_t id;
		int err;

		memcpy(&id, s->ids.data + at, sizeof id);
		err = layer_sync(s->layers, id);
		rc = rc ? rc : err;
	}
	if (s->dir) {
		int err = layer_dir_sync(s->layers);

		rc = rc ? rc : err;
	}
	s->ok = !rc;
	return rc;
}

void tree_sync_free(struct tree_sync *s)
{
	if (!s)
		return;
	for (size_t at = 0; at < s->ids.len; at += sizeof(uint32_t)) {
		uint32_t id;

		memcpy(&id, s->ids.data + at, sizeof id);
		layer_sync_end(s->layers, id, s->ok);
	}
	if (s->dir)
		layer_dir_sync_end(s->layers, s->ok);
	buf_release(&s->ids);
	free(s);
}
