/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob - reading trees of chunks.  A walk goes down to one leaf and then from leaf to leaf, with a stack of at most
 * NODE_HEIGHT_MAX nodes; a node is checked as a whole, against what its parent says of it, before it is followed.
 */
#include <errno.h>
#include <limits.h>

#include "store/cas/blob.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"

bool blob_has_root(const struct blob_ref *ref)
{
	static const struct digest none;

	return memcmp(&ref->root, &none, sizeof(none)) != 0;
}

bool blob_same(const struct blob_ref *a, const struct blob_ref *b)
{
	return a->size == b->size && a->height == b->height && memcmp(&a->root, &b->root, sizeof(a->root)) == 0;
}

enum want {
	WANT_ALL,
	WANT_DATA,
	WANT_HOLE,
};

struct piece {			/* a chunk, or a hole, with its place in the file */
	uint64_t start, len;
	bool is_hole;
	struct digest id;
};

struct frame {
	struct buf bytes;
	struct node_reader reader;
	uint64_t at;			/* where the next entry begins in the file */
};

struct walk {
	struct cas *cas;
	struct kv_view *view;
	uint64_t from;			/* what ends at or before this is passed over */
	enum want want;			/* so is what has nothing of this */
	bool single;			/* no tree: the one piece is next */
	struct piece piece;
	unsigned depth;
	struct frame frames[NODE_HEIGHT_MAX];
};

static void walk_release(struct walk *w)
{
	for (int i = 0; i < NODE_HEIGHT_MAX; i++)
		buf_release(&w->frames[i].bytes);
}
#define SCOPED_WALK __attribute__((cleanup(walk_release)))

/* Put the node ID on the stack, which must be HEIGHT high and LEN long; HOLES too unless it is UINT64_MAX. */
static int walk_push(struct walk *w, const struct digest *id, unsigned height, uint64_t start, uint64_t len,
		     uint64_t holes)
{
	struct frame *f = &w->frames[w->depth];
	struct node_facts facts;
	int rc = chunk_read_node(w->cas, w->view, id, &f->bytes);

	if (rc == 0)
		rc = node_check(buf_slice(&f->bytes), &facts);
	if (rc < 0)
		return rc;
	if (facts.height != height || facts.len != len || (holes != UINT64_MAX && facts.holes != holes))
		return err_set(-EBADMSG, "a node is not what its parent takes it for");
	f->reader = node_open(buf_slice(&f->bytes));
	f->at = start;
	w->depth++;
	return 0;
}

static int walk_init(struct walk *w, struct cas *cas, struct kv_view *view, const struct blob_ref *ref,
		     uint64_t from, enum want want)
{
	*w = (struct walk){ .cas = cas, .view = view, .from = from, .want = want };
	if (ref->height > NODE_HEIGHT_MAX || ref->size > INT64_MAX)
		return err_set(-EBADMSG, "a file of impossible size or height");
	if (ref->height > 0)
		return walk_push(w, &ref->root, ref->height, 0, ref->size, UINT64_MAX);
	w->single = ref->size > 0;
	w->piece = (struct piece){ 0, ref->size, !blob_has_root(ref), ref->root };
	return 0;
}

static bool is_wanted(const struct walk *w, uint64_t end, uint64_t len, uint64_t holes)
{
	if (end <= w->from)
		return false;
	return !((w->want == WANT_DATA && holes == len) || (w->want == WANT_HOLE && holes == 0));
}

/* 1 and the next piece, 0 at the end, or -errno. */
static int walk_next(struct walk *w, struct piece *ret)
{
	struct node_entry e;

	if (w->single) {
		w->single = false;
		*ret = w->piece;
		return is_wanted(w, ret->len, ret->len, ret->is_hole ? ret->len : 0);
	}
	while (w->depth > 0) {
		struct frame *f = &w->frames[w->depth - 1];
		uint64_t start = f->at;
		int rc;

		if (!node_next(&f->reader, &e)) {
			w->depth--;
			continue;
		}
		f->at += e.len;
		if (!is_wanted(w, f->at, e.len, e.holes))
			continue;
		if (f->reader.height == 1) {
			*ret = (struct piece){ start, e.len, e.is_hole, e.id };
			return 1;
		}
		rc = walk_push(w, &e.id, f->reader.height - 1u, start, e.len, e.holes);
		if (rc < 0)
			return rc;
	}
	return 0;
}

ssize_t blob_read(struct cas *cas, struct kv_view *view, const struct blob_ref *ref, uint64_t off, void *out,
		  size_t len)
{
	SCOPED_WALK struct walk w = { 0 };
	struct piece p;
	size_t done = 0;
	int rc;

	if (off >= ref->size)
		return 0;
	if (len > ref->size - off)
		len = (size_t)(ref->size - off);
	if (len > SSIZE_MAX)
		return -EINVAL;
	rc = walk_init(&w, cas, view, ref, off, WANT_ALL);
	while (rc == 0 && done < len) {
		uint64_t skip;
		size_t n;

		rc = walk_next(&w, &p);
		if (rc == 0)
			rc = err_set(-EBADMSG, "a file ends before its size");
		if (rc < 0)
			break;
		skip = off + done - p.start;
		n = p.len - skip < len - done ? (size_t)(p.len - skip) : len - done;
		rc = 0;
		if (p.is_hole)
			memset((uint8_t *)out + done, 0, n);
		else
			rc = chunk_read(cas, view, &p.id, CAS_DATA, p.len, skip, (uint8_t *)out + done, n);
		done += n;
	}
	return rc < 0 ? rc : (ssize_t)done;
}

int64_t blob_seek(struct cas *cas, struct kv_view *view, const struct blob_ref *ref, uint64_t off, bool hole)
{
	SCOPED_WALK struct walk w = { 0 };
	struct piece p;
	int rc;

	if (off >= ref->size)
		return -ENXIO;
	rc = walk_init(&w, cas, view, ref, off, hole ? WANT_HOLE : WANT_DATA);
	if (rc == 0)
		rc = walk_next(&w, &p);
	while (rc == 1 && p.is_hole != hole)
		rc = walk_next(&w, &p);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return hole ? (int64_t)ref->size : -ENXIO;
	return (int64_t)(p.start > off ? p.start : off);
}

int blob_data_bytes(struct cas *cas, struct kv_view *view, const struct blob_ref *ref, uint64_t *ret)
{
	SCOPED_BUF struct buf bytes = BUF_INIT;
	struct node_facts facts;
	int rc;

	*ret = blob_has_root(ref) ? ref->size : 0;
	if (ref->height == 0)
		return 0;
	rc = chunk_read_node(cas, view, &ref->root, &bytes);
	if (rc == 0)
		rc = node_check(buf_slice(&bytes), &facts);
	if (rc < 0)
		return rc;
	if (facts.height != ref->height || facts.len != ref->size)
		return err_set(-EBADMSG, "a node is not what the file takes it for");
	*ret = facts.len - facts.holes;
	return 0;
}
