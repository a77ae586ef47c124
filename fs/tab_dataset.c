/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_dataset - /data and /models: heads, versions, aliases.
 *
 * A head's file or directory is the root of its tree (tab_tree.c); a version's is the root of that tree as of an epoch.  Whoever looks
 * for a version first has pending cuts of its head decided, so that it is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/deciding.h"
#include "fs/head_write.h"
#include "fs/scratch.h"
#include "fs/tab_tree.h"
#include "store/base/clock.h"
#include "store/meta/entry.h"

/* Cookies of a listing: entry, what of it, which of these. */
enum { ITEM_HEAD = 0, ITEM_VERSION = 1, ITEM_ALIAS = 2 };
#define COOKIE(entry, item, which) ((uint64_t)(entry) << 34 | (uint64_t)(item) << 32 | (which))

static enum entry_space space_of(uint64_t dir)
{
	return (enum entry_space)node_inner(dir);
}

/* What NAME means, after pending cuts of its head are decided; FS_DEFERRED while a worker finds out about one. */
static int find(struct call *c, uint64_t dir, struct slice name, struct entry_found *ret)
{
	struct fs *fs = c->fs;
	uint32_t id;
	struct entry_name parsed;
	int rc = entry_name_parse(name, &parsed);

	if (rc)
		return rc == -ENAMETOOLONG ? rc : -ENOENT;
	if (parsed.kind != ENTRY_NAME_HEAD && !fs->read_only) {
		rc = entry_find(fs_view(fs), space_of(dir), slice_str(parsed.head), &id);
		if (rc == 0 && entry_is_pending(fs->meta, id))
			rc = deciding_wait(c, id) ? FS_DEFERRED : entry_settle(fs->meta, id);
		if (rc)
			return rc;
	}
	return entry_lookup(fs_view(fs), space_of(dir), name, ret);
}

/* --- aliases -------------------------------------------------------------------------------------------- */

struct word_search {
	uint32_t hash;
	uint32_t n;
	struct slice word;
	struct buf *copy;
};

static int match_word(void *arg, const struct alias *a)
{
	struct word_search *s = arg;

	if (node_hash(a->word) != s->hash)
		return 0;
	s->n = a->n;
	buf_add_slice(s->copy, a->word);
	return 1;
}

/* The version that the alias of ENTRY with that hash names, and how both are spelt. */
static int alias_of(struct fs *fs, uint32_t entry, uint32_t hash, struct entry *ret_e, struct version *ret_v, struct buf *word)
{
	struct word_search s = { .hash = hash, .copy = word };
	int rc = 0;

	if (hash == node_hash(slice_str("latest"))) {
		rc = alias_get(fs_view(fs), entry, slice_str("latest"), &s.n);
		buf_add_str(word, "latest");
	} else {
		rc = alias_each(fs_view(fs), entry, match_word, &s);
		if (rc >= 0)
			rc = s.n ? 0 : -ENOENT;
	}
	if (rc == 0)
		rc = version_get(fs_view(fs), entry, s.n, ret_v);
	if (rc == 0)
		rc = entry_get(fs_view(fs), entry, ret_e);
	return rc;
}

static int alias_target(struct fs *fs, uint64_t node, struct buf *out, int64_t *ret_ms)
{
	SCOPED_BUF struct buf word = BUF_INIT;
	struct entry e;
	struct version v;
	int rc = alias_of(fs, node_object(node), node_inner(node), &e, &v, &word);

	if (rc == 0) {
		entry_name_version(e.name, v.is_dir, v.n, out);
		if (ret_ms)
			*ret_ms = v.created_ms;
		rc = buf_err(out);
	}
	return rc;
}

static int alias_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	SCOPED_BUF struct buf target = BUF_INIT;
	int64_t ms = 0;
	int rc = alias_target(c->fs, node, &target, &ms);

	(void)h;
	if (rc == 0)
		node_fill_attr(c->fs, ret, S_IFLNK | 0777, c->fs->owner_uid, c->fs->owner_gid, target.len, ms);
	return rc;
}

static int alias_readlink(struct call *c, uint64_t node, struct buf *out)
{
	return alias_target(c->fs, node, out, NULL);
}

static void alias_path(struct fs *fs, uint64_t node, struct buf *out)
{
	SCOPED_BUF struct buf word = BUF_INIT;
	struct entry e;
	struct version v;

	if (alias_of(fs, node_object(node), node_inner(node), &e, &v, &word) != 0)
		return;
	buf_add_str(out, e.space == ENTRY_DATA ? "/data/" : "/models/");
	entry_name_alias(e.name, v.is_dir, buf_slice(&word), out);
}

const struct node_ops alias_ops = {
	.getattr = alias_getattr,
	.readlink = alias_readlink,
	.path = alias_path,
};

/*
 * The version that a symlink with TARGET, made in the directory DIR, names: a name of the same directory, however it is led there ("iris@v3.csv",
 * "./…", "../data/…", or absolute below the mount).  An alias is resolved to its version.  -EPERM: it points elsewhere.
 */
static int resolve_target(struct call *c, uint64_t dir, struct slice target, struct entry_found *ret)
{
	SCOPED_BUF struct buf absolute = BUF_INIT;
	struct fs *fs = c->fs;
	const char *space = space_of(dir) == ENTRY_DATA ? "data" : "models";
	const char *text = target.data, *slash = memrchr(text, '/', target.len);
	struct slice where = slice_of(text, slash ? (size_t)(slash - text) : 0);
	struct slice name = slash ? slice_of(slash + 1, target.len - where.len - 1) : target;
	bool here;
	int rc;

	buf_addf(&absolute, "%s/%s", fs->mountpoint, space);
	here = !slash || slice_eq(where, slice_str(".")) || slice_eq(where, buf_slice(&absolute));
	buf_reset(&absolute);
	buf_addf(&absolute, "../%s", space);
	here = here || slice_eq(where, buf_slice(&absolute));
	rc = buf_err(&absolute);
	if (rc)
		return rc;
	rc = here ? find(c, dir, name, ret) : -ENOENT;
	if (rc == -ENOENT || (rc == 0 && ret->kind == ENTRY_NAME_HEAD))
		return err_set(-EPERM, "a symlink in /%s is an alias and must name a version there (ln -sfn NAME@v3.csv NAME@best.csv)", space);
	return rc;
}

/* In a batch: the alias spelt NAME is set to the version FOUND. */
static int set_alias(struct call *c, const struct entry_name *name, const struct entry_found *found)
{
	struct meta_actor who = call_actor(c);
	struct entry e;
	int rc = entry_get(fs_view(c->fs), found->entry, &e);

	if (rc)
		return rc;
	if (!slice_eq(e.name, slice_str(name->head)))
		return err_set(-EPERM, "an alias of %s cannot name a version of %.*s", name->head, (int)e.name.len, (const char *)e.name.data);
	if (found->is_dir ? !name->fits_dir : !name->fits_file)
		return err_set(-EPERM, "an alias of a %s is spelt %s", found->is_dir ? "tree" : "file",
			       found->is_dir ? "NAME@WORD" : "NAME@WORD.EXT");
	rc = call_may_change(c, e.uid);
	if (rc == 0)
		rc = alias_word_check(slice_str(name->word));
	return rc ? rc : alias_set(c->fs->meta, found->entry, slice_str(name->word), found->n, &who);
}

/* --- /data and /models themselves ----------------------------------------------------------------------- */

static int head_node(struct fs *fs, const struct entry *e, struct node_entry *ret)
{
	return tree_entry(fs, (struct tree_place){ e->tree, TREE_HEAD }, TREE_ROOT, node_id(NODE_TREE_HEAD, e->tree, TREE_ROOT), ret);
}

static int version_node(struct fs *fs, const struct version *v, struct node_entry *ret)
{
	int rc = tree_entry(fs, v->place, TREE_ROOT, node_id(NODE_TREE_VERSION, v->serial, TREE_ROOT), ret);

	ret->entry_timeout = fs_entry_timeout(fs);	/* the bytes never change, but the name may go */
	return rc;
}

static int alias_node(struct call *c, uint32_t entry, struct slice word, struct node_entry *ret)
{
	ret->node = node_id(NODE_ALIAS, entry, node_hash(word));
	ret->entry_timeout = 0;
	return alias_getattr(c, ret->node, NULL, &ret->attr);
}

static int found_entry(struct call *c, const struct entry_found *found, struct slice name, struct node_entry *ret)
{
	struct entry_name parsed;
	struct version v;
	struct entry e;
	int rc = -ENOENT;

	switch (found->kind) {
	case ENTRY_NAME_HEAD:
		rc = entry_get(fs_view(c->fs), found->entry, &e);
		return rc ? rc : head_node(c->fs, &e, ret);
	case ENTRY_NAME_VERSION:
		rc = version_by_serial(fs_view(c->fs), found->serial, &v);
		return rc ? rc : version_node(c->fs, &v, ret);
	case ENTRY_NAME_ALIAS:
		rc = entry_name_parse(name, &parsed);
		return rc ? rc : alias_node(c, found->entry, slice_str(parsed.word), ret);
	}
	return rc;
}

static int space_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	struct entry_found found;
	int rc = find(c, dir, name, &found);

	if (rc == -ENOENT) {
		rc = scratch_lookup(c->fs, dir, name, ret);	/* a symlink on its way to be an alias */
		return rc == FS_NOT_MINE ? -ENOENT : rc;
	}
	return rc ? rc : found_entry(c, &found, name, ret);
}

/* Only a head's name can be made. */
static int check_new_head(struct slice name)
{
	struct entry_name parsed;
	int rc = entry_name_parse(name, &parsed);

	if (rc)
		return rc;
	if (parsed.kind == ENTRY_NAME_VERSION)
		return err_set(-EROFS, "versions are cut from the head %s when it is closed; they cannot be made or changed", parsed.head);
	if (parsed.kind == ENTRY_NAME_ALIAS)
		return err_set(-EPERM, "an alias is a symlink to a version (ln -sfn)");
	return entry_name_check(name);
}

/* In a batch. */
static int make_head(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct entry *ret)
{
	struct meta_actor who = call_actor(c);
	uint32_t id;
	int rc = check_new_head(name);

	who.uid = c->uid;
	who.gid = c->gid;
	if (rc == 0)
		rc = head_may_make(c, space_of(dir), name);
	if (rc == 0)
		rc = entry_make_head(c->fs->meta, space_of(dir), name, mode, &who, &id);
	if (rc == 0 && who.run)
		rc = entry_mark_written(c->fs->meta, id, who.run);
	return rc ? rc : entry_get(fs_view(c->fs), id, ret);
}

static int make_alias(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret)
{
	struct fs *fs = c->fs;
	struct entry_name parsed;
	struct entry_found found, old;
	int rc = resolve_target(c, dir, make->target, &found);

	if (rc == 0)
		rc = entry_name_parse(name, &parsed);
	if (rc)
		return rc;
	if (parsed.kind == ENTRY_NAME_HEAD)
		return scratch_make(c, dir, name, make, ret);
	if (parsed.kind == ENTRY_NAME_VERSION)
		return err_set(-EROFS, "versions are cut from the head; an alias is spelt NAME@WORD");
	if (find(c, dir, name, &old) == 0)
		return -EEXIST;
	rc = fs_begin(fs);
	if (rc == 0)
		rc = fs_end(fs, set_alias(c, &parsed, &found));
	return rc ? rc : alias_node(c, found.entry, slice_str(parsed.word), ret);
}

static int space_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make, struct node_entry *ret)
{
	struct entry e;
	int rc;

	if (S_ISLNK(make->mode))
		return make_alias(c, dir, name, make, ret);
	if (!S_ISDIR(make->mode) && !S_ISREG(make->mode))
		return err_set(-EPERM, "a dataset or model is a file or a directory");
	rc = fs_begin(c->fs);
	if (rc == 0)
		rc = fs_end(c->fs, make_head(c, dir, name, make->mode, &e));
	return rc ? rc : head_node(c->fs, &e, ret);	/* needs no more than the tree of E, whose name is no longer there */
}

static int space_create(struct call *c, uint64_t dir, struct slice name, uint32_t mode, struct handle *h, struct node_entry *ret)
{
	struct entry e;
	uint32_t tree = 0;
	int rc = fs_begin(c->fs);

	if (rc)
		return rc;
	rc = make_head(c, dir, name, mode, &e);
	if (rc == 0) {
		tree = e.tree;
		rc = tree_front_opened(c, tree, TREE_ROOT, h);
	}
	rc = fs_end(c->fs, rc);
	if (rc) {
		tree_front_drop(c->fs, h);
		return rc;
	}
	return tree_entry(c->fs, (struct tree_place){ tree, TREE_HEAD }, TREE_ROOT, node_id(NODE_TREE_HEAD, tree, TREE_ROOT), ret);
}

static int space_link(struct call *c, uint64_t node, uint64_t dir, struct slice name, struct node_entry *ret)
{
	(void)c;
	(void)node;
	(void)dir;
	(void)name;
	(void)ret;
	return -EXDEV;
}

/* In a batch: rm or rmdir of what FOUND is. */
static int remove_found(struct call *c, uint64_t dir, const struct entry_name *name, const struct entry_found *found, bool is_dir)
{
	struct meta_actor who = call_actor(c);
	struct entry e;
	int rc = entry_get(fs_view(c->fs), found->entry, &e);

	(void)dir;
	if (rc == 0)
		rc = call_may_change(c, e.uid);
	if (rc)
		return rc;
	if (found->kind == ENTRY_NAME_ALIAS)
		return is_dir ? -ENOTDIR : alias_remove(c->fs->meta, found->entry, slice_str(name->word), &who);
	if (is_dir && !found->is_dir)
		return -ENOTDIR;
	if (!is_dir && found->is_dir && found->kind == ENTRY_NAME_HEAD)
		return -EISDIR;
	if (found->kind == ENTRY_NAME_VERSION)
		return err_set(-EROFS, "a version is not removed by rm: mv it into /trash, or labfs rm");
	return entry_remove_head(c->fs->meta, found->entry, &who, NULL);
}

static int check_empty(struct fs *fs, uint32_t entry);

static int remove_name(struct call *c, uint64_t dir, struct slice name, bool is_dir)
{
	struct fs *fs = c->fs;
	struct entry_found found;
	struct entry_name parsed;
	int rc = deciding_wait(c, 0) ? FS_DEFERRED : find(c, dir, name, &found);

	if (rc == -ENOENT && !is_dir) {
		rc = scratch_unlink(fs, dir, name);
		return rc == FS_NOT_MINE ? -ENOENT : rc;
	}
	if (rc == 0)
		rc = entry_name_parse(name, &parsed);
	if (rc == 0 && is_dir && found.kind == ENTRY_NAME_HEAD && found.is_dir)
		rc = check_empty(fs, found.entry);
	if (rc == 0)
		rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = fs_end(fs, remove_found(c, dir, &parsed, &found, is_dir));
	if (rc == 0)
		fs_names_changed(fs);	/* aliases, "latest", a version just cut */
	return rc;
}

static int any_entry(void *arg, const struct tree_entry *e)
{
	bool *empty = arg;

	(void)e;
	*empty = false;
	return 1;
}

static int check_empty(struct fs *fs, uint32_t entry)
{
	bool empty = true;
	struct entry e;
	int rc = entry_get(fs_view(fs), entry, &e);

	if (rc == 0)
		rc = tree_readdir(fs_view(fs), (struct tree_place){ e.tree, TREE_HEAD }, TREE_ROOT, 0, any_entry, &empty);
	return rc == 0 && !empty ? -ENOTEMPTY : rc;
}

static int space_unlink(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, false);
}

static int space_rmdir(struct call *c, uint64_t dir, struct slice name)
{
	return remove_name(c, dir, name, true);
}

/* --- renaming ---------------------------------------------------------------------------------------------- */

/* A symlink kept as scratch becomes an alias, or another scratch name. */
static int rename_link(struct call *c, uint64_t dir, struct slice name, struct slice to_name, unsigned flags)
{
	SCOPED_BUF struct buf target = BUF_INIT;
	struct fs *fs = c->fs;
	struct entry_found found, old;
	struct entry_name parsed;
	int rc = scratch_target(fs, dir, name, &target);

	if (rc == 0)
		rc = entry_name_parse(to_name, &parsed);
	if (rc)
		return rc;
	if (parsed.kind == ENTRY_NAME_HEAD)
		return find(c, dir, to_name, &old) == 0 ? err_set(-EPERM, "a symlink cannot become a dataset or model")
							  : scratch_rename(fs, dir, name, dir, to_name, flags);
	if (parsed.kind == ENTRY_NAME_VERSION)
		return err_set(-EROFS, "versions are cut from the head; an alias is spelt NAME@WORD");
	if (flags && (flags != 1 || find(c, dir, to_name, &old) == 0))
		return flags == 1 ? -EEXIST : -EINVAL;
	rc = resolve_target(c, dir, buf_slice(&target), &found);
	if (rc == 0)
		rc = fs_begin(fs);
	if (rc == 0)
		rc = fs_end(fs, set_alias(c, &parsed, &found));
	if (rc == 0)
		rc = scratch_unlink(fs, dir, name);
	if (rc == 0)
		fs_names_changed(fs);
	return rc;
}

/* In a batch: an alias gets another word. */
static int rename_alias(struct call *c, const struct entry_found *from, const struct entry_name *name, const struct entry_name *to)
{
	struct meta_actor who = call_actor(c);
	int rc;

	if (to->kind != ENTRY_NAME_ALIAS)
		return err_set(-EPERM, "an alias can only get another word after its @");
	rc = set_alias(c, to, from);
	return rc ? rc : alias_remove(c->fs->meta, from->entry, slice_str(name->word), &who);
}

/* In a batch: mv of a head within its directory. */
static int rename_head(struct call *c, uint64_t dir, uint32_t from, struct slice to_name, unsigned flags)
{
	struct meta_actor who = call_actor(c);
	struct meta *m = c->fs->meta;
	struct entry e, other;
	uint32_t onto;
	int rc = check_new_head(to_name);

	if (rc == 0)
		rc = entry_get(fs_view(c->fs), from, &e);
	if (rc == 0)
		rc = call_may_change(c, e.uid);
	if (rc)
		return rc;
	rc = entry_find(fs_view(c->fs), space_of(dir), to_name, &onto);
	if (rc == -ENOENT)
		return flags & 2u ? -ENOENT : entry_rename(m, from, to_name);
	if (rc == 0)
		rc = entry_get(fs_view(c->fs), onto, &other);
	if (rc == 0)
		rc = call_may_change(c, other.uid);
	if (rc || onto == from)
		return rc;
	if (flags & 2u)
		return other.has_head ? entry_exchange(m, from, onto, &who) : -ENOENT;
	if ((flags & 1u) && other.has_head)
		return -EEXIST;
	return entry_replace(m, from, onto, &who);
}

static int space_rename(struct call *c, uint64_t dir, struct slice name, uint64_t to_dir, struct slice to_name, unsigned flags)
{
	struct fs *fs = c->fs;
	struct entry_found found;
	struct entry_name parsed, to;
	int rc;

	if (to_dir != dir || node_kind(dir) != NODE_SPACE)
		return FS_NOT_MINE;
	if (deciding_wait(c, 0))
		return FS_DEFERRED;
	rc = find(c, dir, name, &found);
	if (rc == -ENOENT)
		return rename_link(c, dir, name, to_name, flags);
	if (rc == 0 && found.kind == ENTRY_NAME_VERSION)
		rc = err_set(-EROFS, "a version keeps its name (mv it into /trash to be rid of it)");
	if (rc == 0)
		rc = entry_name_parse(name, &parsed);
	if (rc == 0)
		rc = entry_name_parse(to_name, &to);
	if (rc == 0)
		rc = entry_settle(fs->meta, 0);
	if (rc == 0)
		rc = fs_begin(fs);
	if (rc)
		return rc;
	rc = fs_end(fs, found.kind == ENTRY_NAME_ALIAS ? rename_alias(c, &found, &parsed, &to)
						       : rename_head(c, dir, found.entry, to_name, flags));
	if (rc == 0)
		fs_names_changed(fs);	/* versions and aliases follow */
	return rc;
}

/* --- listing -------------------------------------------------------------------------------------------------- */

struct listing {
	struct call *c;
	struct dir_fill *fill;
	uint64_t cookie;	/* where to go on after */
	struct entry e;
	struct buf name;	/* the head's, copied: names are borrowed */
};

static int list_version(void *arg, const struct version *v)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	struct listing *l = arg;
	struct node_entry entry = { 0 };
	uint64_t cookie = COOKIE(l->e.id, ITEM_VERSION, v->n);
	int rc;

	if (cookie <= l->cookie)
		return 0;
	rc = version_node(l->c->fs, v, &entry);
	if (rc)
		return rc == -EBADMSG ? 0 : rc;
	entry_name_version(buf_slice(&l->name), v->is_dir, v->n, &name);
	return dir_add(l->fill, buf_slice(&name), &entry, cookie);
}

struct alias_list {
	struct { uint32_t hash, n; struct buf word; } *rows;
	size_t count;
};

static int collect_alias(void *arg, const struct alias *a)
{
	struct alias_list *list = arg;
	void *grown = realloc(list->rows, (list->count + 1) * sizeof(*list->rows));

	if (!grown)
		return -ENOMEM;
	list->rows = grown;
	list->rows[list->count].hash = node_hash(a->word);
	list->rows[list->count].n = a->n;
	list->rows[list->count].word = (struct buf)BUF_INIT;
	buf_add_slice(&list->rows[list->count].word, a->word);
	list->count++;
	return 0;
}

static int by_hash(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;		/* hash is the first member */

	return *x < *y ? -1 : *x > *y;
}

static int list_alias(struct listing *l, uint32_t hash, uint32_t n, struct slice word)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	struct node_entry entry = { 0 };
	uint64_t cookie = COOKIE(l->e.id, ITEM_ALIAS, hash);
	struct version v;
	int rc = cookie <= l->cookie ? -ENOENT : version_get(fs_view(l->c->fs), l->e.id, n, &v);

	if (rc == 0)
		rc = alias_node(l->c, l->e.id, word, &entry);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	entry_name_alias(buf_slice(&l->name), v.is_dir, word, &name);
	return dir_add(l->fill, buf_slice(&name), &entry, cookie);
}

static int list_aliases(struct listing *l)
{
	struct alias_list list = { NULL, 0 };
	int rc = 0;

	if (l->e.newest) {
		rc = collect_alias(&list, &(struct alias){ .word = slice_str("latest"), .n = l->e.newest });
		if (rc == 0)
			rc = alias_each(fs_view(l->c->fs), l->e.id, collect_alias, &list);
	}
	if (rc == 0 && list.count)
		qsort(list.rows, list.count, sizeof(*list.rows), by_hash);
	for (size_t i = 0; i < list.count; i++) {
		if (rc == 0)
			rc = list_alias(l, list.rows[i].hash, list.rows[i].n, buf_slice(&list.rows[i].word));
		buf_release(&list.rows[i].word);
	}
	free(list.rows);
	return rc;
}

/* Head, versions, aliases of L->e; positive when the answer is full. */
static int list_of_entry(struct listing *l)
{
	uint64_t cookie = COOKIE(l->e.id, ITEM_HEAD, 1);
	struct node_entry entry = { 0 };
	int rc = 0;

	if (l->e.has_head && cookie > l->cookie) {
		rc = head_node(l->c->fs, &l->e, &entry);
		if (rc == 0)
			rc = dir_add(l->fill, buf_slice(&l->name), &entry, cookie);
		else if (rc == -EBADMSG)
			rc = 0;
	}
	if (rc == 0 && !l->c->fs->hide_versions) {
		uint64_t from = COOKIE(l->e.id, ITEM_VERSION, 0);
		uint64_t last = COOKIE(l->e.id, ITEM_ALIAS, 0);
		uint32_t after = l->cookie > from && l->cookie < last ? (uint32_t)l->cookie : 0;

		if (l->cookie < last)
			rc = version_each(fs_view(l->c->fs), l->e.id, after, list_version, l);
		if (rc == 0)
			rc = list_aliases(l);
	}
	return rc;
}

static int list_entry(void *arg, const struct entry *e)
{
	struct listing *l = arg;
	int rc;

	l->e = *e;
	buf_reset(&l->name);
	buf_add_slice(&l->name, e->name);
	rc = buf_err(&l->name);
	return rc ? rc : list_of_entry(l);
}

static int space_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie, struct dir_fill *fill)
{
	struct listing l = { .c = c, .fill = fill, .cookie = cookie, .name = BUF_INIT };
	uint32_t from = (uint32_t)(cookie >> 34);
	int rc = 0;

	(void)h;
	if (deciding_wait(c, 0))
		return FS_DEFERRED;
	if (entry_is_pending(c->fs->meta, 0) && !c->fs->read_only)
		rc = entry_settle(c->fs->meta, 0);
	if (rc == 0)
		rc = entry_each_from(fs_view(c->fs), space_of(dir), from, list_entry, &l);
	buf_release(&l.name);
	return rc < 0 ? rc : 0;
}

static int space_getattr(struct call *c, uint64_t dir, struct handle *h, struct node_attr *ret)
{
	(void)dir;
	(void)h;
	node_fill_attr(c->fs, ret, S_IFDIR | 0755, c->fs->owner_uid, c->fs->owner_gid, 0, 0);
	ret->st.st_nlink = 2;
	return 0;
}

static void space_path(struct fs *fs, uint64_t dir, struct buf *out)
{
	(void)fs;
	buf_add_str(out, space_of(dir) == ENTRY_DATA ? "/data" : "/models");
}

const struct node_ops space_ops = {
	.lookup = space_lookup,
	.make = space_make,
	.create = space_create,
	.link = space_link,
	.unlink = space_unlink,
	.rmdir = space_rmdir,
	.rename = space_rename,
	.readdir = space_readdir,
	.getattr = space_getattr,
	.path = space_path,
};
