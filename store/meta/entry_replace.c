/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_replace - heads that go, change places, or come from elsewhere.
 *
 * A head is its tree.  `mv A B` gives B the tree of A: a descriptor that is open on A's file goes on writing what is B now, and one
 * that is open on what was B goes on reading that.  The tree that B had stays for its versions, or goes with the last of them.
 */
#include "store/meta/entry.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"
#include "store/meta/run.h"

static const struct slice nothing;

static int found_entry(void *arg, const struct tree_entry *entry)
{
	(void)entry;
	*(bool *)arg = false;
	return 1;
}

int entry_dir_is_empty(struct kv_view *view, const struct entry *e, bool *ret)
{
	*ret = true;
	return tree_readdir(view, (struct tree_place){ e->tree, TREE_HEAD }, TREE_ROOT, 0, found_entry, ret);
}

/* Does E have a version, of whatever state? */
static int has_versions(struct meta *m, const struct entry *e, bool *ret)
{
	struct meta_key k = meta_key_1(e->id);

	return rows_any(kv_live(m->kv), TABLE_VERSION, meta_key_slice(&k), ret);
}

/* Is there anything in the head to cut before it goes?  Not in a directory that rmdir is about to take; and not in
 * a file that nobody ever closed after writing it, as between mkstemp and unlink. */
static int has_uncut(struct meta *m, const struct entry *e, bool *ret)
{
	bool keep = false, untouched = false;
	int rc = 0;

	*ret = false;
	if (!e->has_head)
		return 0;
	if (e->is_dir) {
		rc = entry_dir_is_empty(kv_live(m->kv), e, &keep);
		keep = !keep;
	} else {
		rc = has_versions(m, e, &keep);
		keep = keep || entry_is_pending(m, e->id);
	}
	if (rc == 0 && keep)
		rc = entry_untouched(kv_live(m->kv), e, &untouched);
	*ret = rc == 0 && keep && !untouched;
	return rc;
}

int entry_cut_last(struct meta *m, struct entry_own *o, const struct meta_actor *who)
{
	bool uncut;
	int rc = has_uncut(m, &o->e, &uncut);

	if (rc < 0 || !uncut)
		return rc;
	rc = entry_cut(m, o->e.id, nothing, 0, who, NULL);
	return rc < 0 ? rc : entry_load(kv_live(m->kv), o->e.id, o);
}

int entry_drop_head(struct meta *m, struct entry_own *o)
{
	uint32_t tree = o->e.tree;
	bool used;
	int rc;

	if (!o->e.has_head)
		return 0;
	o->e.has_head = false;
	o->e.tree = 0;
	o->e.cut_epoch = 0;
	rc = version_tree_used(kv_live(m->kv), tree, &used);
	return rc < 0 || used ? rc : tree_delete(m->trees, tree);
}

static int load_head(struct meta *m, uint32_t id, struct entry_own *o)
{
	int rc = entry_load_living(kv_live(m->kv), id, o);

	return rc == 0 && !o->e.has_head ? -ENOENT : rc;
}

int entry_remove_head(struct meta *m, uint32_t id, const struct meta_actor *who, bool *ret_gone)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = load_head(m, id, &o);
	bool kept = false;

	if (rc == 0)
		rc = entry_cut_last(m, &o, who);
	if (rc == 0)
		rc = has_versions(m, &o.e, &kept);
	if (rc < 0)
		return rc;
	kept = kept || o.e.description.len > 0;
	if (ret_gone != NULL)
		*ret_gone = !kept;
	if (!kept)
		return entry_erase(m, &o, true);
	rc = entry_drop_head(m, &o);
	o.e.changed_ms = clock_now_ms();
	return rc < 0 ? rc : entry_save(m, &o.e);
}

/* --- A over B ----------------------------------------------------------------------------------------------- */

static int found_alias(void *arg, const struct alias *a)
{
	(void)a;
	*(bool *)arg = true;
	return 1;
}

/* Who knows ID: an alias, or a run (the outputs by cut of RUN, which still runs, do not count). */
static int is_known(struct meta *m, uint32_t id, uint32_t run, bool *ret)
{
	struct kv_view *view = kv_live(m->kv);
	struct meta_key k = meta_key_1(id);
	SCOPED_BUF struct buf numbers = BUF_INIT;
	int rc;

	*ret = false;
	rc = alias_each(view, id, found_alias, ret);
	if (rc == 0)
		rc = rows_numbers(view, TABLE_VERSION, meta_key_slice(&k), &numbers);
	for (size_t i = 0; rc == 0 && !*ret && i < rows_count(&numbers); i++)
		rc = lineage_known(view, id, rows_number(&numbers, i), run, ret);
	return rc;
}

/* A leaves nothing: its head has gone to another, its versions are those of a temporary. */
static int vanish(struct meta *m, struct entry_own *a)
{
	struct meta_key k = meta_key_1(a->e.id);
	SCOPED_BUF struct buf numbers = BUF_INIT;
	int rc = rows_numbers(kv_live(m->kv), TABLE_VERSION, meta_key_slice(&k), &numbers);

	for (size_t i = 0; rc == 0 && i < rows_count(&numbers); i++)
		rc = lineage_forget_version(m, a->e.id, rows_number(&numbers, i));
	return rc < 0 ? rc : entry_erase(m, a, false);
}

/* May FROM be moved over ONTO, as rename(2) has it? */
static int check_kinds(struct meta *m, const struct entry *from, const struct entry *onto)
{
	bool empty;
	int rc;

	if (!onto->has_head)
		return 0;
	if (onto->is_dir && !from->is_dir)
		return err_set(-EISDIR, "'%.*s' is a directory", (int)onto->name.len, (const char *)onto->name.data);
	if (!onto->is_dir && from->is_dir)
		return err_set(-ENOTDIR, "'%.*s' is a file", (int)onto->name.len, (const char *)onto->name.data);
	if (!onto->is_dir)
		return 0;
	rc = entry_dir_is_empty(kv_live(m->kv), onto, &empty);
	return rc == 0 && !empty ? err_set(-ENOTEMPTY, "'%.*s' is not empty", (int)onto->name.len,
					   (const char *)onto->name.data) :
				   rc;
}

/* The run that made what E's head is: WHO's, or that of its newest version if it still runs and nothing was changed since. */
static int maker(struct meta *m, const struct entry *e, const struct meta_actor *who, uint32_t *ret)
{
	struct version v;
	bool untouched;
	int rc;

	*ret = who->run;
	if (who->run != 0 || e->newest == 0)
		return 0;
	rc = entry_untouched(kv_live(m->kv), e, &untouched);
	if (rc < 0 || !untouched)
		return rc;
	rc = version_get(kv_live(m->kv), e->id, e->newest, &v);
	if (rc < 0 || v.run == 0)
		return rc;
	rc = run_check_writable(kv_live(m->kv), v.run);
	if (rc == 0)
		*ret = v.run;
	return rc == -EPERM || rc == -ENOENT ? 0 : rc;
}

/* The head of FROM becomes that of ONTO, whose own is gone. */
static int head_move(struct meta *m, struct entry *from, struct entry *onto)
{
	onto->tree = from->tree;
	onto->has_head = true;
	onto->is_dir = from->is_dir;
	onto->uid = from->uid;
	onto->gid = from->gid;
	onto->cut_epoch = 0;
	onto->changed_ms = clock_now_ms();
	from->tree = 0;
	from->has_head = false;
	from->cut_epoch = 0;
	from->changed_ms = onto->changed_ms;
	return tree_set_owner(m->trees, onto->tree, TREE_OWNER_ENTRY, onto->id);
}

int entry_replace(struct meta *m, uint32_t from, uint32_t onto, const struct meta_actor *who)
{
	SCOPED_ENTRY struct entry_own a = OWN_INIT;
	SCOPED_ENTRY struct entry_own b = OWN_INIT;
	uint32_t run = 0;
	bool known;
	int rc = load_head(m, from, &a);

	if (rc == 0)
		rc = entry_load_living(kv_live(m->kv), onto, &b);
	if (rc < 0 || from == onto)
		return rc;
	rc = check_kinds(m, &a.e, &b.e);
	if (rc == 0)
		rc = entry_cut_last(m, &b, who);
	if (rc == 0)
		rc = entry_drop_head(m, &b);
	if (rc == 0)
		rc = maker(m, &a.e, who, &run);
	if (rc == 0)
		rc = is_known(m, from, run, &known);
	if (rc == 0)
		rc = head_move(m, &a.e, &b.e);
	if (rc == 0)
		rc = entry_save(m, &a.e);
	if (rc == 0)
		rc = entry_save(m, &b.e);
	if (rc == 0)
		rc = entry_cut(m, onto, nothing, run, who, NULL);
	return rc < 0 || known ? rc : vanish(m, &a);
}

int entry_exchange(struct meta *m, uint32_t a, uint32_t b, const struct meta_actor *who)
{
	SCOPED_ENTRY struct entry_own x = OWN_INIT;
	SCOPED_ENTRY struct entry_own y = OWN_INIT;
	struct entry old;
	int rc = load_head(m, a, &x);

	if (rc == 0)
		rc = load_head(m, b, &y);
	if (rc < 0 || a == b)
		return rc;
	old = x.e;
	rc = head_move(m, &y.e, &x.e);
	if (rc == 0)
		rc = head_move(m, &old, &y.e);
	if (rc == 0)
		rc = entry_save(m, &x.e);
	if (rc == 0)
		rc = entry_save(m, &y.e);
	if (rc == 0)
		rc = entry_cut(m, a, nothing, 0, who, NULL);
	return rc < 0 ? rc : entry_cut(m, b, nothing, 0, who, NULL);
}

/* --- from and to scratch -------------------------------------------------------------------------------------- */

static int find_head(struct meta *m, enum entry_space space, struct slice name, struct entry_own *o)
{
	uint32_t id;
	int rc = entry_find(kv_live(m->kv), space, name, &id);

	return rc < 0 ? rc : entry_load(kv_live(m->kv), id, o);
}

/* The head of E gets the content and the attributes of file INO of tree FROM. */
static int copy_file(struct meta *m, uint32_t from, uint32_t ino, uint32_t tree)
{
	struct tree_place place = { from, TREE_HEAD };
	const unsigned mask = TREE_SET_MODE | TREE_SET_UID | TREE_SET_GID | TREE_SET_MTIME | TREE_SET_ATIME;
	struct tree_attr attr, now;
	int rc = tree_getattr(m->trees, kv_live(m->kv), place, ino, &attr);

	if (rc == 0)
		rc = tree_share_content(m->trees, place, ino, tree, TREE_ROOT);
	return rc < 0 ? rc : tree_setattr(m->trees, tree, TREE_ROOT, mask, &attr, &now);
}

int entry_adopt(struct meta *m, enum entry_space space, struct slice name, uint32_t tree, uint32_t dir,
		struct slice tree_name, const struct meta_actor *who, uint32_t *ret_id)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	struct tree_place place = { tree, TREE_HEAD };
	struct entry head = { .is_dir = false };
	struct tree_attr attr;
	uint32_t ino;
	int rc = tree_lookup(kv_live(m->kv), place, dir, tree_name, &ino);

	if (rc == 0)
		rc = tree_getattr(m->trees, kv_live(m->kv), place, ino, &attr);
	if (rc == 0 && !S_ISREG(attr.mode))
		rc = err_set(-EXDEV, "only a regular file can become a dataset or model by mv");
	if (rc < 0)
		return rc;
	rc = find_head(m, space, name, &o);
	if (rc == 0)
		rc = check_kinds(m, &head, &o.e);
	if (rc == 0 && o.e.has_head) {
		rc = entry_cut_last(m, &o, who);
		if (rc == 0)
			rc = entry_drop_head(m, &o);
		if (rc == 0)
			rc = entry_save(m, &o.e);
	}
	if (rc == 0 || rc == -ENOENT)
		rc = entry_make_head(m, space, name, attr.mode, who, ret_id);
	if (rc == 0)
		rc = entry_load(kv_live(m->kv), *ret_id, &o);
	if (rc == 0)
		rc = copy_file(m, tree, ino, o.e.tree);
	if (rc == 0)
		rc = tree_unlink(m->trees, tree, dir, tree_name);
	return rc < 0 ? rc : entry_cut(m, *ret_id, nothing, 0, who, NULL);
}

int entry_surrender(struct meta *m, uint32_t id, uint32_t tree, uint32_t dir, struct slice tree_name,
		    const struct meta_actor *who)
{
	const unsigned mask = TREE_SET_MTIME | TREE_SET_ATIME;
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	struct tree_attr attr, made;
	struct tree_make make;
	int rc = load_head(m, id, &o);

	if (rc == 0 && o.e.is_dir)
		rc = err_set(-EXDEV, "a tree cannot be moved to a scratch name");
	if (rc == 0)
		rc = tree_getattr(m->trees, kv_live(m->kv), (struct tree_place){ o.e.tree, TREE_HEAD }, TREE_ROOT,
				  &attr);
	if (rc < 0)
		return rc;
	rc = tree_unlink(m->trees, tree, dir, tree_name);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	make = (struct tree_make){ .mode = attr.mode, .uid = attr.uid, .gid = attr.gid };
	rc = tree_make(m->trees, tree, dir, tree_name, &make, &made);
	if (rc == 0)
		rc = tree_share_content(m->trees, (struct tree_place){ o.e.tree, TREE_HEAD }, TREE_ROOT, tree, made.ino);
	if (rc == 0)
		rc = tree_setattr(m->trees, tree, made.ino, mask, &attr, &made);
	return rc < 0 ? rc : entry_remove_head(m, id, who, NULL);
}
