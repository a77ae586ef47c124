/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_diff - what differs between two files, two places, a head and its newest version.
 *
 * Two places are walked side by side, name by name, with a stack of listings (no recursion).  Of one tree, inodes that have no
 * row between the two epochs are equal unread, and places without any such row are equal without a walk.
 */
#include "store/tree/content.h"
#include "store/tree/dirent.h"
#include "store/tree/listing.h"

#define COMPARE_BUFFER (64u << 10)
#define COSTLY_BYTES (1u << 20)
#define FRAMES_MAX 65536u

/* --- two files ----------------------------------------------------------------------------------------- */

static bool is_same_piece(const struct piece *a, const struct piece *b)
{
	if (a->kind == PIECE_ZERO && b->kind == PIECE_ZERO)
		return true;
	if (a->kind != b->kind || a->off != b->off || a->kind == PIECE_ZERO)
		return false;
	return a->leaf == b->leaf || (a->kind == PIECE_BLOB && blob_same(&a->blob, &b->blob));
}

/* *BUDGET counts down; -E2BIG when it does not suffice. */
static int same_content(struct trees *t, struct kv_view *view, uint64_t a, uint64_t b, uint64_t size, uint64_t *budget, bool *ret)
{
	SCOPED_BUF struct buf mem = BUF_INIT;
	char *p = buf_reserve(&mem, 2 * COMPARE_BUFFER);
	int rc = p ? 0 : -ENOMEM;

	*ret = true;
	for (uint64_t off = 0; !rc && *ret && off < size;) {
		struct piece pa, pb;
		uint64_t len = size - off;

		rc = content_map(view, a, off, len, &pa);
		if (!rc)
			rc = content_map(view, b, off, len, &pb);
		if (rc)
			break;
		len = pa.len < pb.len ? pa.len : pb.len;
		if (is_same_piece(&pa, &pb)) {
			off += len;
			continue;
		}
		if (len > COMPARE_BUFFER)
			len = COMPARE_BUFFER;
		if (len > *budget)
			return -E2BIG;
		*budget -= len;
		rc = content_read(t, view, a, off, p, (size_t)len);
		if (!rc)
			rc = content_read(t, view, b, off, p + COMPARE_BUFFER, (size_t)len);
		*ret = !rc && memcmp(p, p + COMPARE_BUFFER, (size_t)len) == 0;
		off += len;
	}
	return rc;
}

static int same_files(struct trees *t, struct kv_view *view, const struct inode *a, const struct inode *b, uint64_t *budget, bool *ret)
{
	struct content ca, cb;
	int rc;

	*ret = a->content == b->content;
	if (*ret || a->size != b->size)
		return 0;
	if (a->content == 0 || b->content == 0) {
		*ret = a->size == 0;
		return 0;
	}
	rc = content_get(view, a->content, &ca);
	if (!rc)
		rc = content_get(view, b->content, &cb);
	if (!rc && ca.state == CONTENT_SEALED && cb.state == CONTENT_SEALED) {
		*ret = blob_same(&ca.blob, &cb.blob);
		return 0;
	}
	return rc ? rc : same_content(t, view, a->content, b->content, a->size, budget, ret);
}

int tree_same_bytes(struct trees *t, struct kv_view *view, struct tree_place a, uint32_t ino_a, struct tree_place b,
		    uint32_t ino_b, uint64_t max_bytes, bool *ret_same)
{
	uint64_t budget = max_bytes ? max_bytes : UINT64_MAX;
	struct inode na, nb;
	int rc = inode_get_file(view, a, ino_a, &na);

	*ret_same = false;
	if (!rc)
		rc = inode_get_file(view, b, ino_b, &nb);
	return rc ? rc : same_files(t, view, &na, &nb, &budget, ret_same);
}

/* --- two places ---------------------------------------------------------------------------------------- */

struct frame {
	struct listing a, b;
	size_t path_len;
};

struct walk {
	struct trees *t;
	struct kv_view *view;
	struct tree_place a, b;
	int (*emit)(void *arg, enum tree_change what, struct slice path);
	void *arg;
	uint64_t budget;
	bool costly;			/* something was left out because of the budget */
	bool may_cost;			/* is leaving out allowed? */
	bool one_tree;
	struct buf touched;		/* of one tree: inodes (uint32_t, rising) with rows between the epochs */
	bool names_touched;
	struct buf path;
	struct frame *frames;
	size_t depth, cap;
};

static int by_ino(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool is_touched(const struct walk *w, uint32_t ino)
{
	return w->touched.len &&
	       bsearch(&ino, w->touched.data, w->touched.len / sizeof ino, sizeof ino, by_ino) != NULL;
}

/* Of one tree: what has rows newer than the older of both epochs, and not newer than the other. */
static int find_touched(struct walk *w, uint8_t table)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint32_t low = w->a.epoch < w->b.epoch ? w->a.epoch : w->b.epoch;
	uint32_t high = w->a.epoch < w->b.epoch ? w->b.epoch : w->a.epoch;
	struct tkey first = { .len = 0 };
	uint32_t last = 0;
	int rc = kv_cursor_open(w->view, table, &cur);

	tkey_u32(&first, w->a.tree);
	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&first));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		const uint8_t *k = key.data;
		uint32_t epoch, ino;

		if (key.len < 12 || tkey_get_u32(k) != w->a.tree)
			break;
		epoch = ~tkey_get_u32(k + key.len - 4);
		if (epoch <= low || epoch > high)
			continue;
		ino = tkey_get_u32(k + 4);
		if (table == TABLE_DIRENT) {
			w->names_touched = true;
			return 0;
		}
		if (ino != last)
			buf_add(&w->touched, &ino, sizeof ino);
		last = ino;
	}
	return rc && rc != -ENOENT ? rc : buf_err(&w->touched);
}

static int tell(struct walk *w, enum tree_change what)
{
	return w->emit(w->arg, what, buf_slice(&w->path));
}

/* 0 equal, 1 not, -errno. */
static int compare_inodes(struct walk *w, const struct inode *a, const struct inode *b)
{
	bool same = false;
	int rc;

	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		return 1;
	if (S_ISDIR(a->mode))
		return 0;
	if (S_ISLNK(a->mode))
		return !slice_eq(slice_of(a->target, a->target_len), slice_of(b->target, b->target_len));
	if (!S_ISREG(a->mode))
		return a->rdev != b->rdev;
	if ((a->mode ^ b->mode) & 0111)
		return 1;
	rc = same_files(w->t, w->view, a, b, &w->budget, &same);
	if (rc == -E2BIG && w->may_cost) {
		w->costly = true;
		return 0;
	}
	return rc ? rc : !same;
}

/* Regular files with their size, others without. */
static int load(struct kv_view *view, struct tree_place at, uint32_t ino, struct inode *ret)
{
	int rc = inode_get_file(view, at, ino, ret);

	return rc == -EISDIR || rc == -EINVAL ? 0 : rc;
}

static int push(struct walk *w, uint32_t dir_a, uint32_t dir_b)
{
	struct frame *f;
	int rc = 0;

	if (w->depth == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct frame *bigger = w->depth < FRAMES_MAX ? realloc(w->frames, cap * sizeof *bigger) : NULL;

		if (!bigger)
			return w->depth < FRAMES_MAX ? -ENOMEM : -EBADMSG;
		w->frames = bigger;
		w->cap = cap;
	}
	f = &w->frames[w->depth++];
	*f = (struct frame){ LISTING_INIT, LISTING_INIT, w->path.len };
	if (dir_a)
		rc = listing_load(&f->a, w->view, w->a, dir_a);
	if (!rc && dir_b)
		rc = listing_load(&f->b, w->view, w->b, dir_b);
	return rc;
}

static void pop(struct walk *w)
{
	struct frame *f = &w->frames[--w->depth];

	listing_release(&f->a);
	listing_release(&f->b);
}

static int one_side(struct walk *w, const struct listing_entry *e, bool removed)
{
	int rc = tell(w, removed ? TREE_REMOVED : TREE_ADDED);

	if (rc || e->type != S_IFDIR)
		return rc;
	return push(w, removed ? e->ino : 0, removed ? 0 : e->ino);
}

/* Two entries of one name and one type. */
static int both_sides(struct walk *w, const struct listing_entry *ea, const struct listing_entry *eb)
{
	struct inode a, b;
	int rc;

	if (ea->type == S_IFDIR)
		return push(w, ea->ino, eb->ino);
	if (w->one_tree && ea->ino == eb->ino && !is_touched(w, ea->ino))
		return 0;
	rc = load(w->view, w->a, ea->ino, &a);
	if (!rc)
		rc = load(w->view, w->b, eb->ino, &b);
	if (!rc)
		rc = compare_inodes(w, &a, &b);
	return rc > 0 ? tell(w, TREE_CHANGED) : rc;
}

static int order(const struct listing_entry *a, const struct listing_entry *b)
{
	size_t n = a->name.len < b->name.len ? a->name.len : b->name.len;
	int c = memcmp(a->name.data, b->name.data, n);

	return c ? c : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

static int step(struct walk *w)
{
	struct frame *f = &w->frames[w->depth - 1];
	struct listing_entry a, b;
	bool has_a = listing_peek(&f->a, &a), has_b = listing_peek(&f->b, &b);
	int c;

	w->path.len = f->path_len;
	if (!has_a && !has_b) {
		pop(w);
		return 0;
	}
	c = !has_a ? 1 : !has_b ? -1 : order(&a, &b);
	if (w->path.len)
		buf_add_ch(&w->path, '/');
	buf_add_slice(&w->path, c <= 0 ? a.name : b.name);
	if (buf_err(&w->path))
		return -ENOMEM;
	if (c <= 0)
		(void)listing_next(&f->a, &a);
	if (c < 0)
		return one_side(w, &a, true);
	if (c == 0 && a.type != b.type)	/* B's entry comes again as an addition */
		return one_side(w, &a, true);
	(void)listing_next(&f->b, &b);
	return c > 0 ? one_side(w, &b, false) : both_sides(w, &a, &b);
}

static int walk_roots(struct walk *w)
{
	struct inode a, b;
	int rc = load(w->view, w->a, TREE_ROOT, &a);

	if (!rc)
		rc = load(w->view, w->b, TREE_ROOT, &b);
	if (rc)
		return rc;
	if (S_ISDIR(a.mode) && S_ISDIR(b.mode))
		return push(w, TREE_ROOT, TREE_ROOT);
	rc = compare_inodes(w, &a, &b);
	if (rc > 0)
		rc = tell(w, TREE_CHANGED);
	if (!rc && S_ISDIR(a.mode))
		rc = push(w, TREE_ROOT, 0);
	if (!rc && S_ISDIR(b.mode))
		rc = push(w, 0, TREE_ROOT);
	return rc;
}

/* Until the end, or until EMIT answers non-zero, which is returned. */
static int walk(struct walk *w)
{
	int rc = 0;

	w->one_tree = w->a.tree == w->b.tree;
	if (w->one_tree) {
		rc = find_touched(w, TABLE_INODE);
		if (!rc)
			rc = find_touched(w, TABLE_DIRENT);
		if (rc || (w->touched.len == 0 && !w->names_touched))
			return rc;
	}
	rc = walk_roots(w);
	while (!rc && w->depth)
		rc = step(w);
	return rc;
}

static void walk_release(struct walk *w)
{
	while (w->depth)
		pop(w);
	free(w->frames);
	buf_release(&w->touched);
	buf_release(&w->path);
}

int tree_diff(struct trees *t, struct kv_view *view, struct tree_place a, struct tree_place b,
	      int (*emit)(void *arg, enum tree_change what, struct slice path), void *arg)
{
	struct walk w = { .t = t, .view = view, .a = a, .b = b, .emit = emit, .arg = arg, .budget = UINT64_MAX,
			  .touched = BUF_INIT, .path = BUF_INIT };
	int rc = walk(&w);

	walk_release(&w);
	return rc;
}

static int stop_at_first(void *arg, enum tree_change what, struct slice path)
{
	(void)what;
	(void)path;
	*(bool *)arg = true;
	return 1;
}

int tree_differs(struct trees *t, struct kv_view *view, uint32_t tree, uint32_t epoch, bool *ret_differs, bool *ret_costly)
{
	struct walk w = { .t = t, .view = view, .a = { tree, epoch }, .b = { tree, TREE_HEAD }, .emit = stop_at_first,
			  .arg = ret_differs, .budget = ret_costly ? COSTLY_BYTES : UINT64_MAX, .may_cost = ret_costly,
			  .touched = BUF_INIT, .path = BUF_INIT };
	struct tree_row row;
	struct inode root;
	int rc = tree_row_get(view, tree, &row);

	*ret_differs = false;
	if (ret_costly)
		*ret_costly = false;
	if (rc)
		return rc;
	if (epoch == 0) {
		bool empty = false;

		rc = inode_get(view, w.b, TREE_ROOT, &root);
		if (!rc && S_ISDIR(root.mode))
			rc = dirent_is_empty(view, w.b, TREE_ROOT, &empty);
		*ret_differs = !rc && !empty;
		return rc;
	}
	if (row.changed_epoch <= epoch)
		return 0;
	rc = walk(&w);
	if (ret_costly)
		*ret_costly = w.costly && !*ret_differs;
	walk_release(&w);
	return rc < 0 ? rc : 0;
}
