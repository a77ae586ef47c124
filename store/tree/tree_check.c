/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_check - every row, reference and invariant of the trees (numbers: store/DESIGN.md "tree").
 *
 * Contents first: their rows are loaded into one table, everything that refers to one counts there, then the counts are
 * compared.  Then names, once for each place: what directories name against what inodes say.
 */
#include <stdarg.h>
#include <stdio.h>

#include "store/base/io.h"
#include "store/tree/content.h"
#include "store/tree/extent.h"
#include "store/tree/layer.h"
#include "store/tree/listing.h"
#include "store/tree/tree_check.h"
#include "store/tree/xattr.h"

typedef unsigned long long ull;

struct check {
	struct trees *t;
	struct kv_view *view;
	void (*report)(void *arg, const char *fault);
	void *arg;
	bool faults;
	struct buf contents;		/* struct seen_content, rising */
	struct buf trees;		/* struct tree_row, rising */
};

struct seen_content {
	uint64_t id, base, size;
	uint32_t refs, counted, layer;
	bool sealed, is_inline;
};

static void PRINTF_LIKE(2, 3) fault(struct check *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->faults = true;
	c->report(c->arg, text);
}

/* A damaged row is a fault that the row's own parser has worded; other errors end the check. */
static int damaged(struct check *c, int rc)
{
	if (rc == -EBADMSG)
		fault(c, "%s", err_text(rc));
	return rc == -EBADMSG ? 0 : rc;
}

static int scan(struct check *c, uint8_t table, int (*each)(struct check *c, struct slice key, struct slice value))
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(c->view, table, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	for (; !rc; rc = kv_cursor_next(cur)) {
		rc = damaged(c, each(c, kv_cursor_key(cur), kv_cursor_value(cur)));
		if (rc)
			return rc == -ENOENT ? -EBADMSG : rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* --- lists of what there is --------------------------------------------------------------------------- */

int tree_check_list(struct kv_view *view, struct buf *out)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(view, TABLE_TREE, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		uint32_t tree = key.len == 4 ? tkey_get_u32(key.data) : 0;
		struct tree_row row;

		if (key.len == 4 && tree == 0)
			continue;	/* the totals */
		rc = key.len == 4 ? tree_row_parse(tree, kv_cursor_value(cur), &row) : err_set(-EBADMSG, "trees: damaged key");
		if (rc)
			return rc;
		buf_add(out, &row, sizeof row);
	}
	return rc == -ENOENT ? buf_err(out) : rc;
}

static const struct tree_row *find_tree(const struct check *c, uint32_t tree)
{
	const struct tree_row *rows = (const void *)c->trees.data;
	size_t low = 0, high = c->trees.len / sizeof *rows;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (rows[mid].tree == tree)
			return &rows[mid];
		if (rows[mid].tree < tree)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static struct seen_content *find_content(const struct check *c, uint64_t id)
{
	struct seen_content *all = (void *)c->contents.data;
	size_t low = 0, high = c->contents.len / sizeof *all;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (all[mid].id == id)
			return &all[mid];
		if (all[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void count_ref(struct check *c, uint64_t content, const char *who, ull id)
{
	struct seen_content *s = find_content(c, content);

	if (s)
		s->counted++;
	else
		fault(c, "%s %llu refers to content %llu, which is missing", who, id, (ull)content);
}

/* --- contents ------------------------------------------------------------------------------------------- */

static int list_content(struct check *c, struct slice key, struct slice value)
{
	struct content row;
	struct seen_content s;
	int rc = key.len == 8 ? content_parse(tkey_get_u64(key.data), value, &row) : err_set(-EBADMSG, "contents: damaged key");

	if (rc)
		return rc;
	s = (struct seen_content){
		.id = row.id, .base = row.base, .size = row.size, .refs = row.refs, .layer = row.layer,
		.sealed = row.state == CONTENT_SEALED, .is_inline = row.flags & CONTENT_INLINE,
	};
	buf_add(&c->contents, &s, sizeof s);
	return buf_err(&c->contents);
}

static int check_inode_row(struct check *c, struct slice key, struct slice value)
{
	struct inode n;
	const uint8_t *k = key.data;
	const struct tree_row *row;
	bool dead;
	int rc;

	if (key.len != 12)
		return err_set(-EBADMSG, "inodes: damaged key");
	rc = inode_parse(tkey_get_u32(k), tkey_get_u32(k + 4), ~tkey_get_u32(k + 8), value, &n, &dead);
	if (rc)
		return rc;
	row = find_tree(c, n.tree);
	if (!row)
		fault(c, "inode %u is of tree %u, which is missing", n.ino, n.tree);
	else if (n.epoch == 0 || n.epoch > row->epoch || n.ino == 0 || n.ino >= row->next_ino)
		fault(c, "inode %u of tree %u: a number or an epoch from the future", n.ino, n.tree);
	if (!dead && n.content)
		count_ref(c, n.content, "inode", n.ino);
	return 0;
}

static int check_extents(struct check *c)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint64_t last = 0, end = 0;
	int rc = kv_cursor_open(c->view, TABLE_EXTENT, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct seen_content *s;
		struct extent e;
		uint64_t id;

		rc = extent_parse(kv_cursor_key(cur), kv_cursor_value(cur), &id, &e);
		if (rc) {
			rc = damaged(c, rc);
			if (rc)
				return rc;
			continue;
		}
		if (e.kind == EXTENT_COPY)
			count_ref(c, e.src, "an extent of content", (ull)id);
		s = find_content(c, id);
		if (!s) {
			fault(c, "extent of content %llu, which is missing", (ull)id);
			continue;
		}
		if (id == last && e.off < end)
			fault(c, "content %llu: extents overlap at %llu", (ull)id, (ull)e.off);
		last = id;
		end = e.off + e.len;
		if (s->sealed || s->refs == 0)
			continue;	/* on their way out */
		if (s->is_inline || end > s->size || (e.kind == EXTENT_LAYER && !s->layer))
			fault(c, "content %llu: an extent where none can be, at %llu", (ull)id, (ull)e.off);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Every byte of a content must be somewhere: walks its pieces. */
static int check_pieces(struct check *c, const struct seen_content *s)
{
	struct stat st = { .st_size = 0 };
	char name[16];
	int rc = 0;

	for (uint64_t off = 0; !rc && off < s->size && !s->sealed && s->refs;) {
		struct piece p;

		rc = content_map(c->view, s->id, off, s->size - off, &p);
		if (rc)
			break;
		if (p.kind == PIECE_LAYER && p.leaf == s->id) {
			layer_name(p.layer, name);
			rc = io_fstatat(c->t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
			if (rc == -ENOENT || (!rc && (uint64_t)st.st_size < p.off + p.len))
				return err_set(-EBADMSG, "content %llu: dirty/%s is %s", (ull)s->id, name, rc ? "missing" : "too short");
		}
		off += p.len;
	}
	return rc;
}

static int check_content(struct check *c, const struct seen_content *s, uint64_t *unsealed)
{
	struct tkey k = layer_key(LAYER_USED, s->layer);
	struct slice v;
	bool queued, dropping, used = false;
	int rc = tree_work_has(c->view, TREE_WORK_SEAL, s->id, &queued);

	if (!rc)
		rc = tree_work_has(c->view, TREE_WORK_DROP, s->id, &dropping);
	if (!rc && s->layer) {
		rc = kv_get(c->view, TABLE_LAYER, tkey_slice(&k), &v);
		if (!rc) {
			struct unpack u = unpack_init(v);

			used = unpack_u64(&u) == s->id;
		}
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (rc)
		return rc;
	if (s->refs != s->counted)
		fault(c, "content %llu: %u references, should be %u", (ull)s->id, s->refs, s->counted);
	if (s->refs == 0 && !dropping)
		fault(c, "content %llu: nothing refers to it, and nobody removes it", (ull)s->id);
	if (queued == s->sealed)
		fault(c, "content %llu: %s", (ull)s->id, queued ? "sealed and yet to be sealed" : "would never be sealed");
	if (s->layer && !used)
		fault(c, "content %llu: its layer %08x is not its own", (ull)s->id, s->layer);
	*unsealed += !s->sealed;
	return damaged(c, check_pieces(c, s));
}

static int check_layer_row(struct check *c, struct slice key, struct slice value)
{
	struct unpack u = unpack_init(value);
	uint64_t id = unpack_u64(&u);
	struct seen_content *s;
	uint8_t state;
	int rc = key.len == 5 ? unpack_done(&u) : -EBADMSG;

	state = rc ? 0 : *(const uint8_t *)key.data;
	if (rc || state < LAYER_USED || state > LAYER_DROPPED)
		return err_set(-EBADMSG, "layers: damaged row");
	s = find_content(c, id);
	if (state == LAYER_USED && (!s || s->layer != tkey_get_u32((const uint8_t *)key.data + 1)))
		fault(c, "layer %08x: content %llu does not use it", tkey_get_u32((const uint8_t *)key.data + 1), (ull)id);
	return 0;
}

static uint64_t count_used_layers(struct kv_view *view)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	const uint8_t first = LAYER_USED;
	uint64_t n = 0;
	int rc = kv_cursor_open(view, TABLE_LAYER, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of(&first, 1));
	for (; !rc && *(const uint8_t *)kv_cursor_key(cur).data == LAYER_USED; rc = kv_cursor_next(cur))
		n++;
	return n;
}

static int check_contents(struct check *c)
{
	struct tree_totals totals;
	uint64_t unsealed = 0, n;
	int rc = scan(c, TABLE_CONTENT, list_content);
	struct seen_content *all = (void *)c->contents.data;

	n = c->contents.len / sizeof *all;
	for (size_t i = 0; i < n; i++)
		if (all[i].base)
			count_ref(c, all[i].base, "content", (ull)all[i].id);
	if (!rc)
		rc = scan(c, TABLE_INODE, check_inode_row);
	if (!rc)
		rc = check_extents(c);
	for (size_t i = 0; i < n && !rc; i++)
		rc = check_content(c, &all[i], &unsealed);
	if (!rc)
		rc = scan(c, TABLE_LAYER, check_layer_row);
	if (!rc)
		rc = damaged(c, tree_totals_get(c->view, &totals));
	if (rc)
		return rc;
	if (totals.contents != n || totals.unsealed != unsealed || totals.layers != count_used_layers(c->view) ||
	    totals.trees != c->trees.len / sizeof(struct tree_row))
		fault(c, "totals: %llu contents, %llu unsealed, %llu trees; should be %llu, %llu, %zu", (ull)totals.contents,
		      (ull)totals.unsealed, (ull)totals.trees, (ull)n, (ull)unsealed, c->trees.len / sizeof(struct tree_row));
	if (n && totals.next_content <= all[n - 1].id)
		fault(c, "totals: content numbers would be given out twice");
	return 0;
}

/* --- names, at one place -------------------------------------------------------------------------------- */

struct seen_inode {
	uint32_t ino, mode, nlink, parent;
	uint32_t names, subdirs;
	uint64_t size;
};

static int list_inodes(struct kv_view *view, struct tree_place at, struct buf *out)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey first = { .len = 0 };
	uint32_t decided = 0;
	int rc = kv_cursor_open(view, TABLE_INODE, &cur);

	tkey_u32(&first, at.tree);
	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&first));
	for (; !rc; rc = kv_cursor_next(cur)) {
		const uint8_t *k = kv_cursor_key(cur).data;
		struct content content = { .size = 0 };
		struct inode n;
		uint32_t epoch;
		bool dead;

		if (kv_cursor_key(cur).len != 12 || tkey_get_u32(k) != at.tree)
			break;
		epoch = ~tkey_get_u32(k + 8);
		if (epoch > at.epoch || tkey_get_u32(k + 4) == decided)
			continue;
		decided = tkey_get_u32(k + 4);
		rc = inode_parse(at.tree, decided, epoch, kv_cursor_value(cur), &n, &dead);
		if (!rc && !dead && n.content)
			rc = content_get(view, n.content, &content);
		if (rc)
			return rc;
		if (!dead) {
			struct seen_inode s = { n.ino, n.mode, n.nlink, n.parent, 0, 0, content.size };

			buf_add(out, &s, sizeof s);
		}
	}
	return rc && rc != -ENOENT ? rc : buf_err(out);
}

int tree_check_count(struct kv_view *view, uint32_t tree, uint64_t *ret_inodes, uint64_t *ret_bytes)
{
	SCOPED_BUF struct buf inodes = BUF_INIT;
	int rc = list_inodes(view, inode_head(tree), &inodes);

	*ret_inodes = inodes.len / sizeof(struct seen_inode);
	*ret_bytes = 0;
	for (size_t at = 0; at < inodes.len; at += sizeof(struct seen_inode)) {
		struct seen_inode s;

		memcpy(&s, inodes.data + at, sizeof s);
		*ret_bytes += s.size;
	}
	return rc;
}

static struct seen_inode *find_inode(const struct buf *inodes, uint32_t ino)
{
	struct seen_inode *all = (void *)inodes->data;
	size_t low = 0, high = inodes->len / sizeof *all;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (all[mid].ino == ino)
			return &all[mid];
		if (all[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int check_name(struct check *c, struct tree_place at, const struct buf *inodes, struct seen_inode *dir,
		      const struct listing_entry *e)
{
	struct seen_inode *n = find_inode(inodes, e->ino);
	struct dirent_row d;
	struct tkey k = tkey_pair(at.tree, dir->ino);
	struct slice v;
	int rc = dirent_get(c->view, at, dir->ino, e->name, &d);

	if (rc == -ENOENT || rc == -ENAMETOOLONG)
		return err_set(-EBADMSG, "tree %u, directory %u: a name that cannot be looked up", at.tree, dir->ino);
	if (rc)
		return rc;
	tkey_u64(&k, d.cookie);
	rc = kv_get(c->view, TABLE_DIRENT_COOKIE, tkey_slice(&k), &v);
	if (rc && rc != -ENOENT)
		return rc;
	if (rc || !slice_eq(v, e->name))
		fault(c, "tree %u, directory %u: a name would not be listed", at.tree, dir->ino);
	if (!n || (n->mode & S_IFMT) != e->type || tree_name_check(e->name)) {
		fault(c, "tree %u, directory %u: a name of inode %u, which is %s", at.tree, dir->ino, e->ino,
		      n ? "something else" : "missing");
		return 0;
	}
	n->names++;
	dir->subdirs += S_ISDIR(n->mode) ? 1 : 0;
	if (S_ISDIR(n->mode) && n->parent != dir->ino)
		fault(c, "tree %u: directory %u is in %u, says it is in %u", at.tree, n->ino, dir->ino, n->parent);
	return 0;
}

/* Does the way up from *N end at the root? */
static bool reaches_root(const struct buf *inodes, const struct seen_inode *n)
{
	size_t steps = inodes->len / sizeof *n + 1;

	while (n && n->ino != TREE_ROOT && steps-- > 0)
		n = find_inode(inodes, n->parent);
	return n && n->ino == TREE_ROOT;
}

static void check_links(struct check *c, struct tree_place at, const struct buf *inodes, const struct seen_inode *n)
{
	bool dir = S_ISDIR(n->mode);
	uint32_t links = n->ino == TREE_ROOT ? (dir ? 2 + n->subdirs : 1) : dir ? (n->names ? 2 + n->subdirs : 0) : n->names;
	struct tkey k = tkey_pair(at.tree, n->ino);
	struct slice v;

	if (n->nlink != links || (dir && n->names > 1))
		fault(c, "tree %u: inode %u has %u links, should have %u", at.tree, n->ino, n->nlink, links);
	if (dir && n->names && !reaches_root(inodes, n))
		fault(c, "tree %u: directory %u is not below the root", at.tree, n->ino);
	if (n->nlink == 0 && at.epoch == TREE_HEAD && kv_get(c->view, TABLE_ORPHAN, tkey_slice(&k), &v))
		fault(c, "tree %u: inode %u has no name and is no orphan", at.tree, n->ino);
}

static int check_place(struct check *c, struct tree_place at)
{
	SCOPED_BUF struct buf inodes = BUF_INIT;
	struct listing l = LISTING_INIT;
	struct seen_inode *all;
	size_t n;
	int rc = list_inodes(c->view, at, &inodes);

	all = (void *)inodes.data;
	n = inodes.len / sizeof *all;
	if (!rc && (n == 0 || all[0].ino != TREE_ROOT))
		fault(c, "tree %u has no root in epoch %u", at.tree, at.epoch);
	for (size_t i = 0; i < n && !rc; i++) {
		struct listing_entry e;

		if (!S_ISDIR(all[i].mode))
			continue;
		rc = listing_load(&l, c->view, at, all[i].ino);
		while (!rc && listing_next(&l, &e))
			rc = check_name(c, at, &inodes, &all[i], &e);
	}
	for (size_t i = 0; i < n && !rc; i++)
		check_links(c, at, &inodes, &all[i]);
	listing_release(&l);
	return damaged(c, rc);
}

static int check_versions(struct check *c, const struct tree_row *row)
{
	uint32_t epoch = 0;
	int rc = 0;

	while (!rc && epoch < TREE_HEAD) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		struct tkey k = tkey_pair(row->tree, epoch + 1);

		rc = kv_cursor_open(c->view, TABLE_TREE_EPOCH, &cur);
		if (!rc)
			rc = kv_cursor_seek(cur, tkey_slice(&k));
		if (rc || kv_cursor_key(cur).len != 8 || tkey_get_u32(kv_cursor_key(cur).data) != row->tree)
			break;
		epoch = tkey_get_u32((const uint8_t *)kv_cursor_key(cur).data + 4);
		if (epoch >= row->epoch)
			fault(c, "tree %u has a version from the future, %u", row->tree, epoch);
		rc = check_place(c, (struct tree_place){ row->tree, epoch });
	}
	return rc == -ENOENT ? 0 : rc;
}

static int check_tree(struct check *c, const struct tree_row *row)
{
	uint64_t inodes = 0, bytes = 0, garbage = 0;
	bool trimming, deleting;
	int rc = tree_work_has(c->view, TREE_WORK_TRIM, row->tree, &trimming);

	if (!rc)
		rc = tree_work_has(c->view, TREE_WORK_DELETE, row->tree, &deleting);
	if (rc)
		return rc;
	if (deleting != !!(row->flags & TREE_ROW_DELETED))
		fault(c, "tree %u: %s", row->tree, deleting ? "alive and yet to be deleted" : "deleted, but nobody removes it");
	if (deleting || (row->flags & TREE_ROW_DELETED))
		return 0;
	rc = check_place(c, inode_head(row->tree));
	if (!rc)
		rc = check_versions(c, row);
	if (!rc)
		rc = damaged(c, tree_check_count(c->view, row->tree, &inodes, &bytes));
	if (!rc && !c->faults && (inodes != row->inodes || bytes != row->bytes))
		fault(c, "tree %u: %llu inodes with %llu bytes, should be %llu with %llu", row->tree, (ull)row->inodes,
		      (ull)row->bytes, (ull)inodes, (ull)bytes);
	if (!rc && !trimming)
		rc = damaged(c, epoch_garbage(c->view, row->tree, &garbage));
	if (!rc && garbage)
		fault(c, "tree %u: %llu rows that nothing shows", row->tree, (ull)garbage);
	return rc;
}

static int check_xattr_row(struct check *c, struct slice key, struct slice value)
{
	if (key.len != 12 || xattr_check(value))
		return err_set(-EBADMSG, "extended attributes: damaged row");
	if (!find_tree(c, tkey_get_u32(key.data)))
		fault(c, "extended attributes of tree %u, which is missing", tkey_get_u32(key.data));
	return 0;
}

static int check_dirent_row(struct check *c, struct slice key, struct slice value)
{
	struct dirent_row d;

	if (key.len < 14 || ((const uint8_t *)key.data)[key.len - 5] != 0)
		return err_set(-EBADMSG, "directory entries: damaged key");
	if (!find_tree(c, tkey_get_u32(key.data)))
		fault(c, "a name in tree %u, which is missing", tkey_get_u32(key.data));
	return dirent_parse(0, value, &d);
}

int trees_check(struct trees *t, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	struct check c = { .t = t, .view = view, .report = report, .arg = arg, .contents = BUF_INIT, .trees = BUF_INIT };
	int rc = damaged(&c, tree_check_list(view, &c.trees));

	if (!rc)
		rc = check_contents(&c);
	if (!rc)
		rc = scan(&c, TABLE_XATTR, check_xattr_row);
	if (!rc)
		rc = scan(&c, TABLE_DIRENT, check_dirent_row);
	for (size_t at = 0; at < c.trees.len && !rc; at += sizeof(struct tree_row)) {
		struct tree_row row;

		memcpy(&row, c.trees.data + at, sizeof row);
		rc = check_tree(&c, &row);
	}
	buf_release(&c.contents);
	buf_release(&c.trees);
	return rc ? rc : c.faults;
}

int trees_roots(struct kv_view *view, int (*add)(void *add_arg, const struct digest *root), void *add_arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(view, TABLE_CONTENT, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		struct content c;

		if (key.len != 8 || content_parse(tkey_get_u64(key.data), kv_cursor_value(cur), &c))
			continue;	/* trees_check() names it */
		if (c.state == CONTENT_SEALED && blob_has_root(&c.blob)) {
			rc = add(add_arg, &c.blob.root);
			if (rc)
				return rc;
		}
	}
	return rc == -ENOENT ? 0 : rc;
}
