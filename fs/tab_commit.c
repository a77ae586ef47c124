/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_commit - /data/DIR/.commit: reading gives the newest version's name, each write cuts a version with what was written so far through
 * this descriptor as its message.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/tab_tree.h"
#include "store/meta/entry.h"

static int commit_text(struct fs *fs, uint64_t node, struct buf *out, struct entry *ret)
{
	struct version v;
	int rc = entry_get(fs_view(fs), node_object(node), ret);

	if (rc == 0 && ret->newest)
		rc = version_get(fs_view(fs), ret->id, ret->newest, &v);
	if (rc)
		return rc;
	if (ret->newest)
		entry_name_version(ret->name, v.is_dir, v.n, out);
	buf_add_ch(out, '\n');
	return buf_err(out);
}

static int commit_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct entry e;
	int rc = commit_text(c->fs, node, &text, &e);

	(void)h;
	if (rc == 0)
		node_fill_attr(c->fs, ret, S_IFREG | 0644, e.uid, e.gid, text.len, e.changed_ms);
	return rc;
}

struct commit_state {
	struct buf message;
};

static int commit_open(struct call *c, uint64_t node, struct handle *h)
{
	(void)c;
	(void)node;
	h->state = calloc(1, sizeof(struct commit_state));
	h->direct_io = h->noflush = true;
	return h->state ? 0 : -ENOMEM;
}

static void commit_release(struct call *c, uint64_t node, struct handle *h)
{
	struct commit_state *s = h->state;

	(void)c;
	(void)node;
	buf_release(&s->message);
	free(s);
}

static int commit_read(struct call *c, uint64_t node, struct handle *h, uint64_t off, size_t size, struct buf *out)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct entry e;
	int rc = commit_text(c->fs, node, &text, &e);

	(void)h;
	if (rc == 0 && off < text.len)
		buf_add(out, text.data + off, text.len - off < size ? text.len - (size_t)off : size);
	return rc;
}

/* In a batch. A later write through the same descriptor goes on with the message. */
static int commit_in_batch(struct call *c, uint64_t node, struct slice message)
{
	struct meta_actor who = call_actor(c);
	struct entry e;
	uint32_t n;
	int rc = entry_get(fs_view(c->fs), node_object(node), &e);

	if (rc == 0)
		rc = call_may_change(c, e.uid);
	return rc ? rc : entry_cut(c->fs->meta, e.id, message, who.run, &who, &n);
}

static int commit_write(struct call *c, uint64_t node, struct handle *h, uint64_t off, struct slice bytes, size_t *ret)
{
	struct commit_state *s = h->state;
	size_t before = s->message.len;
	struct slice message;
	int rc;

	(void)off;
	buf_add_slice(&s->message, bytes);
	rc = buf_err(&s->message);
	if (rc)
		return rc;
	message = buf_slice(&s->message);
	if (message.len && s->message.data[message.len - 1] == '\n')
		message.len--;
	rc = fs_begin(c->fs);
	if (rc == 0)
		rc = fs_end(c->fs, commit_in_batch(c, node, message));
	if (rc) {
		s->message.len = before;
		return rc;
	}
	fs_names_changed(c->fs);
	*ret = bytes.len;
	return 0;
}

static int commit_setattr(struct call *c, uint64_t node, struct handle *h, const struct stat *st, int to_set, struct node_attr *ret)
{
	(void)st;
	(void)to_set;
	return commit_getattr(c, node, h, ret);		/* truncation by itself changes nothing */
}

static void commit_path(struct fs *fs, uint64_t node, struct buf *out)
{
	struct entry e;

	if (entry_get(fs_view(fs), node_object(node), &e) == 0)
		buf_addf(out, "/%s/%.*s/.commit", e.space == ENTRY_DATA ? "data" : "models", (int)e.name.len, (const char *)e.name.data);
}

const struct node_ops commit_ops = {
	.getattr = commit_getattr,
	.setattr = commit_setattr,
	.open = commit_open,
	.read = commit_read,
	.write = commit_write,
	.fsync = tree_op_fsync,
	.release = commit_release,
	.path = commit_path,
};
