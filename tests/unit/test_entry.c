/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: heads made, removed, renamed, replaced, exchanged, trashed, restored, destroyed.  First the cases that the manual names, then
 * thousands of random steps against a model in memory of names, numbers and bytes.
 */
#include "tests/unit/entry_fixture.h"

static bool exists(struct fixture *f, const char *name)
{
	uint32_t id;
	int rc = entry_find(kv_live(f->kv), ENTRY_DATA, S(name), &id);

	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0;
}

static uint32_t make(struct fixture *f, const char *name, uint32_t mode)
{
	uint32_t id;

	OK(f, entry_make_head(f->m, ENTRY_DATA, S(name), mode, &me, &id));
	return id;
}

static uint32_t tree_of(struct fixture *f, uint32_t id)
{
	struct entry e;

	assert_int_equal(entry_get(kv_live(f->kv), id, &e), 0);
	return e.tree;
}

/* --- cases ------------------------------------------------------------------------------------------------ */

static void making(void **state)
{
	struct fixture *f = *state;
	uint32_t a = make(f, "a.csv", S_IFREG | 0600), id;
	struct tree_attr attr;
	struct entry e;

	assert_int_equal(IN_BATCH(f, entry_make_head(f->m, ENTRY_DATA, S("a.csv"), S_IFDIR | 0755, &me, &id)), -EEXIST);
	assert_int_equal(IN_BATCH(f, entry_make_head(f->m, ENTRY_DATA, S("a@b"), S_IFDIR | 0755, &me, &id)), -EINVAL);
	assert_int_equal(IN_BATCH(f, entry_make_head(f->m, ENTRY_DATA, S(".a"), S_IFREG | 0755, &me, &id)), -EINVAL);
	assert_int_equal(IN_BATCH(f, entry_make_head(f->m, ENTRY_DATA, S("fifo"), S_IFIFO | 0644, &me, &id)), -EPERM);
	OK(f, entry_make_head(f->m, ENTRY_MODELS, S("a.csv"), S_IFDIR | 0755, &me, &id)); /* another space */
	assert_int_not_equal(id, a);
	assert_int_equal(entry_get(kv_live(f->kv), a, &e), 0);
	assert_true(e.has_head && !e.is_dir && e.newest == 0 && e.next_version == 1);
	assert_int_equal(e.uid, 1000);
	assert_int_equal(tree_getattr(f->trees, kv_live(f->kv), (struct tree_place){ e.tree, TREE_HEAD }, TREE_ROOT, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0600);
	/* a file that nobody ever closed goes whole */
	OK(f, entry_remove_head(f->m, a, &me, NULL));
	assert_false(exists(f, "a.csv"));
	assert_int_equal(entry_get(kv_live(f->kv), a, &e), -ENOENT);
}

static void removing_cuts(void **state)
{
	struct fixture *f = *state;
	uint32_t id;
	bool gone;

	append(f, "log.txt", "a\n"); /* closed, and waiting for quiet */
	id = head_of(f, ENTRY_DATA, "log.txt");
	OK(f, entry_remove_head(f->m, id, &me, &gone));
	assert_false(gone);
	assert_string_equal(cat(f, "log@v1.txt"), "a\n");
	assert_int_equal(entry_settle(f->m, 0), 0);
	assert_int_equal(IN_BATCH(f, entry_remove_head(f->m, id, &me, NULL)), -ENOENT);
	put(f, "log.txt", "b\n");
	assert_string_equal(ls(f, "log.txt"), "v1 v2");
	/* from a file to a directory and back: each version remembers what it was */
	OK(f, entry_remove_head(f->m, id, &me, NULL));
	assert_int_equal(make(f, "log.txt", S_IFDIR | 0755), id);
	OK(f, tree_put(f, tree_of(f, id), "x", S("1")));
	OK(f, entry_cut(f->m, id, S(""), 0, &me, NULL));
	assert_string_equal(ls(f, "log.txt"), "v1 v2 v3");
	assert_string_equal(cat(f, "log@v2.txt"), "b\n");
	assert_string_equal(cat(f, "log@v3.txt"), "!ENOENT"); /* is a tree's: log.txt@v3 */
	assert_int_not_equal(serial_of(f, "log.txt@v3"), 0);
	assert_int_not_equal(serial_of(f, "log.txt@latest"), 0);
	OK(f, tree_unlink(f->trees, tree_of(f, id), TREE_ROOT, S("x")));
	OK(f, entry_remove_head(f->m, id, &me, NULL)); /* rmdir of an empty one cuts nothing */
	assert_string_equal(ls(f, "log.txt"), "v1 v2 v3");
	put(f, "log.txt", "b\n");
	assert_string_equal(ls(f, "log.txt"), "v1 v2 v3 v4"); /* the newest is a tree: a file differs */
	/* an empty directory without versions leaves nothing */
	id = make(f, "d", S_IFDIR | 0755);
	OK(f, entry_remove_head(f->m, id, &me, &gone));
	assert_true(gone);
	assert_false(exists(f, "d"));
}

static void renaming(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	put(f, "a.csv", "1");
	put(f, "b.csv", "2");
	id = head_of(f, ENTRY_DATA, "a.csv");
	assert_int_equal(IN_BATCH(f, entry_rename(f->m, id, S("b.csv"))), -EEXIST);
	assert_int_equal(IN_BATCH(f, entry_rename(f->m, id, S("b@v1.csv"))), -EINVAL);
	OK(f, entry_rename(f->m, id, S("a.csv")));
	OK(f, entry_rename(f->m, id, S("c.tar.gz")));
	assert_false(exists(f, "a.csv"));
	assert_string_equal(cat(f, "c@v1.tar.gz"), "1");
	put(f, "c.tar.gz", "2");
	assert_string_equal(ls(f, "c.tar.gz"), "v1 v2");
	put(f, "a.csv", "x");
	assert_string_equal(ls(f, "a.csv"), "v1"); /* another dataset */
	/* a name that only has versions is taken, too: mv over it replaces */
	OK(f, entry_remove_head(f->m, head_of(f, ENTRY_DATA, "b.csv"), &me, NULL));
	assert_int_equal(IN_BATCH(f, entry_rename(f->m, id, S("b.csv"))), -EEXIST);
	OK(f, entry_replace(f->m, id, head_of(f, ENTRY_DATA, "b.csv"), &me));
	assert_string_equal(ls(f, "b.csv"), "v1"); /* the same bytes as its newest */
	assert_string_equal(cat(f, "b.csv"), "2");
	assert_false(exists(f, "c.tar.gz"));
}

/* sed -i, os.replace, torch.save: a temporary in the same directory. */
static void replacing_by_a_temporary(void **state)
{
	struct fixture *f = *state;
	uint32_t b;

	put(f, "b.csv", "1");
	b = head_of(f, ENTRY_DATA, "b.csv");
	for (int i = 0; i < 3; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "new %d", i);
		put(f, "sedAbC", text); /* is cut as sedAbC@v1 when closed */
		assert_string_equal(ls(f, "sedAbC"), "v1");
		OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "sedAbC"), b, &me));
		assert_false(exists(f, "sedAbC"));
	}
	assert_string_equal(ls(f, "b.csv"), "v1 v2 v3 v4");
	assert_string_equal(cat(f, "b@v3.csv"), "new 1");
	assert_string_equal(cat(f, "b.csv"), "new 2");
	put(f, "sedAbC", "new 2");
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "sedAbC"), b, &me));
	assert_string_equal(ls(f, "b.csv"), "v1 v2 v3 v4"); /* equal bytes */
	/* the name of the temporary begins at 1 again: it left nothing */
	put(f, "sedAbC", "x");
	assert_string_equal(ls(f, "sedAbC"), "v1");
	/* what B had uncut is cut before it goes */
	append(f, "b.csv", "!");
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "sedAbC"), b, &me));
	assert_string_equal(ls(f, "b.csv"), "v1 v2 v3 v4 v5 v6");
	assert_string_equal(cat(f, "b@v5.csv"), "new 2!");
	assert_string_equal(cat(f, "b@v6.csv"), "x");
}

static void replacing_by_what_is_known(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), ended = new_run(f), a, b;
	const struct meta_actor who = { .uid = 1000, .gid = 1000, .run = run };
	const struct meta_actor other = { .uid = 1000, .gid = 1000, .run = ended };
	struct version v;

	put(f, "b.csv", "b");
	b = head_of(f, ENTRY_DATA, "b.csv");
	/* an alias knows it */
	put(f, "a.csv", "1");
	a = head_of(f, ENTRY_DATA, "a.csv");
	OK(f, alias_set(f->m, a, S("best"), 1, &me));
	OK(f, entry_replace(f->m, a, b, &me));
	assert_string_equal(cat(f, "a.csv"), "!ENOENT");
	assert_string_equal(cat(f, "a@best.csv"), "1");
	assert_string_equal(cat(f, "b@v2.csv"), "1");
	put(f, "a.csv", "2");
	assert_string_equal(ls(f, "a.csv"), "v1 v2");
	/* a run read it */
	put(f, "r.csv", "3");
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, serial_of(f, "r@v1.csv"), LINEAGE_BY_OPEN));
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "r.csv"), b, &who));
	assert_string_equal(cat(f, "r@v1.csv"), "3");
	/* a run that still runs wrote it: its temporary leaves nothing, the output is B's new version */
	OK(f, write_as(f, ENTRY_DATA, "tmp", S("4"), false, &who));
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "tmp"), b, &who));
	assert_false(exists(f, "tmp"));
	assert_int_equal(version_by_serial(kv_live(f->kv), serial_of(f, "b@latest.csv"), &v), 0);
	assert_int_equal(v.run, run);
	/* the same, but moved by somebody else */
	OK(f, write_as(f, ENTRY_DATA, "tmp", S("5"), false, &who));
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "tmp"), b, &me));
	assert_false(exists(f, "tmp"));
	assert_int_equal(version_by_serial(kv_live(f->kv), serial_of(f, "b@latest.csv"), &v), 0);
	assert_int_equal(v.run, run);
	/* a run that has ended never changes: it goes on knowing what it made */
	OK(f, write_as(f, ENTRY_DATA, "tmp", S("6"), false, &other));
	OK(f, run_set_status(f->m, ended, RUN_FINISHED, 0));
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "tmp"), b, &me));
	assert_string_equal(cat(f, "tmp@v1"), "6");
	assert_string_equal(cat(f, "b.csv"), "6");
}

static void replacing_trees(void **state)
{
	struct fixture *f = *state;
	uint32_t a = make(f, "a", S_IFDIR | 0755), b = make(f, "b", S_IFDIR | 0755), file;

	put(f, "file", "1");
	file = head_of(f, ENTRY_DATA, "file");
	OK(f, tree_put(f, tree_of(f, a), "x", S("1")));
	OK(f, tree_put(f, tree_of(f, b), "y", S("2")));
	assert_int_equal(IN_BATCH(f, entry_replace(f->m, file, a, &me)), -EISDIR);
	assert_int_equal(IN_BATCH(f, entry_replace(f->m, a, file, &me)), -ENOTDIR);
	assert_int_equal(IN_BATCH(f, entry_replace(f->m, a, b, &me)), -ENOTEMPTY);
	OK(f, entry_replace(f->m, a, a, &me));
	OK(f, tree_unlink(f->trees, tree_of(f, b), TREE_ROOT, S("y")));
	OK(f, entry_replace(f->m, a, b, &me));
	assert_false(exists(f, "a"));
	assert_string_equal(ls(f, "b"), "v1");
}

static void exchanging(void **state)
{
	struct fixture *f = *state;
	uint32_t a, b, d = make(f, "d", S_IFDIR | 0755);

	put(f, "a.csv", "1");
	put(f, "b.csv", "2");
	a = head_of(f, ENTRY_DATA, "a.csv");
	b = head_of(f, ENTRY_DATA, "b.csv");
	OK(f, entry_exchange(f->m, a, b, &me));
	assert_string_equal(cat(f, "a.csv"), "2");
	assert_string_equal(cat(f, "b.csv"), "1");
	assert_string_equal(cat(f, "a@v1.csv"), "1");
	assert_string_equal(cat(f, "a@v2.csv"), "2");
	assert_string_equal(cat(f, "b@v2.csv"), "1");
	OK(f, entry_exchange(f->m, a, d, &me));
	assert_string_equal(cat(f, "d@v1"), "2");
	assert_int_not_equal(serial_of(f, "a.csv@v3"), 0);
	OK(f, entry_exchange(f->m, b, b, &me));
	fx_clean(f);
	/* the trees of versions went to others: everything may go in any order */
	OK(f, entry_trash(f->m, a));
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a.csv")));
	assert_string_equal(cat(f, "b@v1.csv"), "2");
	assert_string_equal(cat(f, "d@v1"), "2");
}

static uint32_t scratch(struct fixture *f)
{
	uint32_t tree = 0;

	fx_begin(f);
	assert_int_equal(fx_end(f, tree_new(f->trees, TREE_OWNER_SCRATCH, 0, S_IFDIR | 0755, 1000, 1000, &tree)), 0);
	return tree;
}

/* rsync writes .a.csv.X and renames it; vim moves a.csv to a.csv~ and writes a new one. */
static void scratch_names(void **state)
{
	struct fixture *f = *state;
	uint32_t tree = scratch(f), id, ino;
	char out[16];

	OK(f, tree_put(f, tree, ".a.csv.x", S("1")));
	OK(f, entry_adopt(f->m, ENTRY_DATA, S("a.csv"), tree, TREE_ROOT, S(".a.csv.x"), &me, &id));
	assert_string_equal(cat(f, "a@v1.csv"), "1");
	assert_int_equal(tree_lookup(kv_live(f->kv), (struct tree_place){ tree, TREE_HEAD }, TREE_ROOT, S(".a.csv.x"), &ino),
			 -ENOENT);
	OK(f, tree_put(f, tree, ".a.csv.y", S("22")));
	OK(f, entry_adopt(f->m, ENTRY_DATA, S("a.csv"), tree, TREE_ROOT, S(".a.csv.y"), &me, &id));
	assert_string_equal(ls(f, "a.csv"), "v1 v2");
	OK(f, entry_surrender(f->m, id, tree, TREE_ROOT, S("a.csv~"), &me));
	assert_string_equal(cat(f, "a.csv"), "!ENOENT");
	assert_string_equal(cat(f, "a@v2.csv"), "22");
	put(f, "a.csv", "333");
	assert_string_equal(ls(f, "a.csv"), "v1 v2 v3");
	OK(f, entry_surrender(f->m, id, tree, TREE_ROOT, S("a.csv~"), &me)); /* over the old backup */
	assert_int_equal(tree_lookup(kv_live(f->kv), (struct tree_place){ tree, TREE_HEAD }, TREE_ROOT, S("a.csv~"), &ino), 0);
	assert_int_equal(tree_read(f->trees, kv_live(f->kv), (struct tree_place){ tree, TREE_HEAD }, ino, 0, out, 16), 3);
	assert_memory_equal(out, "333", 3);
	(void)make(f, "d", S_IFDIR | 0755);
	assert_int_equal(IN_BATCH(f, entry_adopt(f->m, ENTRY_DATA, S("d"), tree, TREE_ROOT, S("a.csv~"), &me, &id)), -EISDIR);
	assert_int_equal(IN_BATCH(f, entry_adopt(f->m, ENTRY_DATA, S(".x"), tree, TREE_ROOT, S("a.csv~"), &me, &id)), -EINVAL);
	assert_int_equal(IN_BATCH(f, entry_adopt(f->m, ENTRY_DATA, S("x"), tree, TREE_ROOT, S("none"), &me, &id)), -ENOENT);
	OK(f, tree_unlink(f->trees, tree, TREE_ROOT, S("a.csv~")));
	OK(f, tree_delete(f->trees, tree));
}

static void trash_and_restore(void **state)
{
	struct fixture *f = *state;
	uint32_t id, run = new_run(f), key;
	struct slice value;
	struct entry e;
	int64_t ms;

	put(f, "a.csv", "1");
	id = head_of(f, ENTRY_DATA, "a.csv");
	append(f, "a.csv", "2");
	OK(f, entry_set_description(f->m, id, S("flowers")));
	OK(f, tag_set(f->m, TAG_ENTRY, id, S("k"), S("v")));
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, serial_of(f, "a@v1.csv"), LINEAGE_BY_HAND));
	OK(f, entry_trash(f->m, id)); /* although a run read it: nothing is lost yet */
	assert_int_equal(IN_BATCH(f, entry_trash(f->m, id)), -ENOENT);
	assert_string_equal(cat(f, "a.csv"), "!ENOENT");
	assert_string_equal(cat(f, "a@v1.csv"), "!ENOENT");
	assert_int_equal(entry_settle(f->m, 0), 0);
	fx_reopen(f);
	OK(f, entry_restore(f->m, id, S("b.csv")));
	assert_string_equal(cat(f, "b.csv"), "12");
	assert_string_equal(ls(f, "b.csv"), "v1 v2"); /* what was uncut when it was deleted */
	assert_int_equal(entry_get(kv_live(f->kv), id, &e), 0);
	assert_true(slice_eq(e.description, S("flowers")));
	assert_int_equal(key_find(kv_live(f->kv), S("k"), &key), 0);
	assert_int_equal(tag_get(kv_live(f->kv), TAG_ENTRY, id, key, &value, &ms), 0);
	assert_int_equal(IN_BATCH(f, entry_restore(f->m, id, S("c.csv"))), -ENOENT);
	assert_int_equal(IN_BATCH(f, entry_destroy(f->m, id)), -EPERM);
	OK(f, entry_trash(f->m, id));
	OK(f, entry_destroy(f->m, id));
	assert_int_equal(tag_get(kv_live(f->kv), TAG_ENTRY, id, key, &value, &ms), -ENOENT);
}

/* mkstemp, unlink, and on with the descriptor; rm of what somebody reads. */
static void open_while_it_goes(void **state)
{
	struct fixture *f = *state;
	uint32_t id = make(f, "tmp", S_IFREG | 0600), tree = tree_of(f, id);
	struct tree_place place = { tree, TREE_HEAD };
	struct tree_info info;
	char out[8];

	for (int again = 0; again < 2; again++) {
		OK(f, tree_hold(f->trees, tree, TREE_ROOT));
		OK(f, entry_remove_head(f->m, id, &me, NULL));
		assert_false(exists(f, "tmp"));
		OK(f, tree_write(f->trees, tree, TREE_ROOT, 0, S("still"), false));
		assert_int_equal(tree_read(f->trees, kv_live(f->kv), place, TREE_ROOT, 0, out, sizeof(out)), 5);
		OK(f, entry_written(f->m, id, false, &me)); /* the close: there is nothing to cut */
		fx_clean(f);
		if (again == 0)
			OK(f, tree_unhold(f->trees, tree, TREE_ROOT));
		else
			fx_reopen(f); /* a crash lets go, too */
		assert_int_equal(tree_info(kv_live(f->kv), tree, &info), -ENOENT);
		fx_clean(f);
		id = make(f, "tmp", S_IFREG | 0600);
		tree = place.tree = tree_of(f, id);
	}
	/* what was B goes on being read by who has it open */
	put(f, "a.csv", "new");
	OK(f, tree_write(f->trees, tree, TREE_ROOT, 0, S("old"), false));
	OK(f, tree_hold(f->trees, tree, TREE_ROOT));
	OK(f, entry_replace(f->m, head_of(f, ENTRY_DATA, "a.csv"), id, &me));
	assert_string_equal(cat(f, "tmp"), "new");
	assert_int_equal(tree_read(f->trees, kv_live(f->kv), place, TREE_ROOT, 0, out, sizeof(out)), 3);
	assert_memory_equal(out, "old", 3);
	OK(f, tree_unhold(f->trees, tree, TREE_ROOT));
}

/* --- against a model ------------------------------------------------------------------------------------------ */

#define NAMES 6
#define ENTRIES 400
#define VERSIONS 40

static const char *const names[NAMES] = { "a.csv", "b.csv", "c.tar.gz", "plain", "t.zarr", "u" };

struct content {
	bool is_dir;
	int p, q;		/* seeds of the file, or of the files p and q of a tree (0: not there) */
};
enum version_state { LIVING, TRASHED, DESTROYED };
struct model_version {
	uint32_t n, serial;
	struct content content;
	enum version_state state;
	bool read;		/* by the run */
};
struct model_entry {
	uint32_t id;
	int name;		/* index of names; of a trashed one its last */
	bool trashed, gone;
	bool has_head;
	bool written;		/* something touched the head since its last cut in this tree */
	bool pending;
	struct content head;
	struct model_version versions[VERSIONS];
	int count;
	uint32_t next;
	uint32_t alias;		/* the version that "best" names, 0 none */
};
struct model {
	struct fixture *f;
	struct model_entry entries[ENTRIES];
	int count;
	uint32_t floors[NAMES];
	uint32_t run;
	unsigned seed;
};

static unsigned rnd(struct model *md, unsigned below)
{
	md->seed = md->seed * 1103515245u + 12345u;
	return (md->seed >> 16) % below;
}

/* The bytes of a seed: some small, some beyond what lies in the engine. */
static size_t bytes_of(int seed, char out[10000])
{
	size_t len = seed % 5 == 0 ? 9000 + (size_t)seed % 10 : 10 + (size_t)seed % 7;

	for (size_t i = 0; i < len; i++)
		out[i] = (char)('a' + (i * 7 + (size_t)seed * 13) % 26);
	return len;
}

static bool same_content(struct content a, struct content b)
{
	return a.is_dir == b.is_dir && a.p == b.p && a.q == b.q;
}

static struct model_version *model_newest(struct model_entry *e)
{
	for (int i = e->count; i > 0; i--) {
		if (e->versions[i - 1].state == LIVING)
			return &e->versions[i - 1];
	}
	return NULL;
}

static struct model_entry *model_find(struct model *md, int name)
{
	for (int i = 0; i < md->count; i++) {
		struct model_entry *e = &md->entries[i];

		if (e->name == name && !e->trashed && !e->gone)
			return e;
	}
	return NULL;
}

static struct model_entry *model_new(struct model *md, int name)
{
	struct model_entry *e = &md->entries[md->count++];

	assert_true(md->count < ENTRIES);
	*e = (struct model_entry){ .name = name, .next = md->floors[name] };
	return e;
}

/* The head is cut if it differs from the newest living version. */
static void model_cut(struct model *md, struct model_entry *e)
{
	struct model_version *newest = model_newest(e);
	struct version v;

	if (newest == NULL || !same_content(newest->content, e->head)) {
		assert_true(e->count < VERSIONS);
		assert_int_equal(version_get(kv_live(md->f->kv), e->id, e->next, &v), 0);
		e->versions[e->count++] = (struct model_version){ .n = e->next++, .serial = v.serial, .content = e->head };
		e->written = false;
	}
	e->pending = false;
}

/* The rule of rm: cut what is uncut of a head that goes. */
static void model_cut_last(struct model *md, struct model_entry *e)
{
	bool keep = e->head.is_dir ? e->head.p != 0 || e->head.q != 0 : e->count > 0 || e->pending;

	if (e->has_head && keep && e->written)
		model_cut(md, e);
}

static bool model_has_record(const struct model_entry *e)
{
	for (int i = 0; i < e->count; i++) {
		if (e->versions[i].state != DESTROYED || e->versions[i].read)
			return true;
	}
	return false;
}

static bool model_known(const struct model_entry *e)
{
	if (e->alias != 0)
		return true;
	for (int i = 0; i < e->count; i++) {
		if (e->versions[i].read)
			return true;
	}
	return false;
}

static void step_write(struct model *md, int name, bool as_append)
{
	struct model_entry *e = model_find(md, name);
	int seed = 1 + (int)rnd(md, 12);
	char bytes[10000];
	size_t len = bytes_of(seed, bytes);

	if (e != NULL && e->has_head && e->head.is_dir)
		return;
	if (as_append && e != NULL && e->has_head)
		return; /* the model knows whole contents: only a new file is appended to */
	fx_begin(md->f);
	assert_int_equal(fx_end(md->f, write_as(md->f, ENTRY_DATA, names[name], slice_of(bytes, len), as_append, &me)), 0);
	if (e == NULL)
		e = model_new(md, name);
	e->id = head_of(md->f, ENTRY_DATA, names[name]);
	e->has_head = true;
	e->head = (struct content){ .p = seed };
	e->written = true;
	e->pending = as_append;
	if (!as_append)
		model_cut(md, e);
}

static void step_tree_write(struct model *md, int name)
{
	struct model_entry *e = model_find(md, name);
	int seed = (int)rnd(md, 6); /* 0: unlink */
	bool q = rnd(md, 2) == 1;
	char bytes[10000];
	int *slot;

	if (e != NULL && e->has_head && !e->head.is_dir)
		return;
	if (e == NULL || !e->has_head) {
		uint32_t id = make(md->f, names[name], S_IFDIR | 0755);

		if (e == NULL)
			e = model_new(md, name);
		e->id = id;
		e->has_head = true;
		e->written = true;
		e->pending = false;
		e->head = (struct content){ .is_dir = true };
	}
	slot = q ? &e->head.q : &e->head.p;
	if (seed == 0 && *slot == 0)
		return;
	if (seed == 0) {
		OK(md->f, tree_unlink(md->f->trees, tree_of(md->f, e->id), TREE_ROOT, S(q ? "q" : "p")));
	} else {
		size_t len = bytes_of(seed, bytes);

		OK(md->f, tree_put(md->f, tree_of(md->f, e->id), q ? "q" : "p", slice_of(bytes, len)));
	}
	*slot = seed;
	e->written = true;
}

static void step_cut(struct model *md, int name)
{
	struct model_entry *e = model_find(md, name);
	struct model_version *newest;
	uint32_t n;

	if (e == NULL || !e->has_head)
		return;
	OK(md->f, entry_cut(md->f->m, e->id, S(""), 0, &me, &n));
	model_cut(md, e);
	newest = model_newest(e);
	assert_int_equal(n, newest != NULL ? newest->n : 0);
}

static void step_remove(struct model *md, int name)
{
	struct model_entry *e = model_find(md, name);
	bool gone;

	if (e == NULL || !e->has_head)
		return;
	OK(md->f, entry_remove_head(md->f->m, e->id, &me, &gone));
	model_cut_last(md, e);
	e->has_head = false;
	e->pending = false;
	assert_int_equal(gone, !model_has_record(e));
	if (gone) {
		e->gone = true;
		if (e->next > md->floors[name])
			md->floors[name] = e->next;
	}
}

static void step_rename(struct model *md, int name, int to)
{
	struct model_entry *e = model_find(md, name);
	int rc;

	if (e == NULL || name == to)
		return;
	rc = IN_BATCH(md->f, entry_rename(md->f->m, e->id, S(names[to])));
	if (model_find(md, to) != NULL) {
		assert_int_equal(rc, -EEXIST);
		return;
	}
	assert_int_equal(rc, 0);
	e->name = to;
	if (e->next < md->floors[to])
		e->next = md->floors[to];
}

static void step_replace(struct model *md, int name, int to)
{
	struct model_entry *a = model_find(md, name), *b = model_find(md, to);
	int rc;

	if (a == NULL || b == NULL || a == b || !a->has_head)
		return;
	rc = IN_BATCH(md->f, entry_replace(md->f->m, a->id, b->id, &me));
	if (b->has_head && a->head.is_dir != b->head.is_dir) {
		assert_int_equal(rc, b->head.is_dir ? -EISDIR : -ENOTDIR);
		return;
	}
	if (b->has_head && b->head.is_dir && (b->head.p != 0 || b->head.q != 0)) {
		assert_int_equal(rc, -ENOTEMPTY);
		return;
	}
	assert_int_equal(rc, 0);
	model_cut_last(md, b);
	b->head = a->head;
	b->has_head = true;
	b->written = true;
	model_cut(md, b);
	a->has_head = false;
	a->pending = false;
	a->gone = !model_known(a);
}

static void step_exchange(struct model *md, int name, int to)
{
	struct model_entry *a = model_find(md, name), *b = model_find(md, to);
	struct content old;

	if (a == NULL || b == NULL || a == b || !a->has_head || !b->has_head)
		return;
	OK(md->f, entry_exchange(md->f->m, a->id, b->id, &me));
	old = a->head;
	a->head = b->head;
	b->head = old;
	a->written = b->written = true;
	model_cut(md, a);
	model_cut(md, b);
}

static void step_trash(struct model *md, int name)
{
	struct model_entry *e = model_find(md, name);

	if (e == NULL)
		return;
	OK(md->f, entry_trash(md->f->m, e->id));
	e->trashed = true;
	e->pending = false;
	if (e->next > md->floors[name])
		md->floors[name] = e->next;
}

static struct model_entry *model_trashed(struct model *md)
{
	int from = (int)rnd(md, (unsigned)md->count + 1);

	for (int i = 0; i < md->count; i++) {
		struct model_entry *e = &md->entries[(from + i) % md->count];

		if (e->trashed && !e->gone)
			return e;
	}
	return NULL;
}

static void step_restore(struct model *md, int name)
{
	struct model_entry *e = model_trashed(md);
	int rc;

	if (e == NULL)
		return;
	rc = IN_BATCH(md->f, entry_restore(md->f->m, e->id, S(names[name])));
	if (model_find(md, name) != NULL) {
		assert_int_equal(rc, -EEXIST);
		return;
	}
	assert_int_equal(rc, 0);
	e->trashed = false;
	e->name = name;
	if (e->next < md->floors[name])
		e->next = md->floors[name];
	if (e->has_head && !e->head.is_dir)
		model_cut(md, e);
}

static void step_destroy(struct model *md)
{
	struct model_entry *e = model_trashed(md);

	if (e == NULL)
		return;
	OK(md->f, entry_destroy(md->f->m, e->id));
	e->gone = true;
}

static void step_version(struct model *md, int name, unsigned what)
{
	struct model_entry *e = model_find(md, name);
	struct model_version *v;
	int rc;

	if (e == NULL || e->count == 0)
		return;
	v = &e->versions[rnd(md, (unsigned)e->count)];
	if (v->state == DESTROYED)
		return;
	switch (what) {
	case 0:
		rc = IN_BATCH(md->f, version_trash(md->f->m, v->serial));
		if (v->state == TRASHED)
			assert_int_equal(rc, -ENOENT);
		else
			assert_int_equal(rc, v->read || e->alias == v->n ? -EBUSY : 0);
		if (rc == 0)
			v->state = TRASHED;
		break;
	case 1:
		rc = IN_BATCH(md->f, version_restore(md->f->m, v->serial));
		assert_int_equal(rc, v->state == TRASHED ? 0 : -EPERM);
		v->state = LIVING;
		break;
	case 2:
		rc = IN_BATCH(md->f, version_destroy(md->f->m, v->serial));
		assert_int_equal(rc, v->state == TRASHED ? 0 : -EPERM);
		if (rc == 0)
			v->state = DESTROYED;
		break;
	case 3:
		rc = IN_BATCH(md->f, alias_set(md->f->m, e->id, S("best"), v->n, &me));
		assert_int_equal(rc, v->state == LIVING ? 0 : -ENOENT);
		if (rc == 0)
			e->alias = v->n;
		break;
	case 4:
		rc = IN_BATCH(md->f, alias_remove(md->f->m, e->id, S("best"), &me));
		assert_int_equal(rc, e->alias != 0 ? 0 : -ENOENT);
		e->alias = 0;
		break;
	default:
		if (rnd(md, 6) != 0)
			break;
		rc = IN_BATCH(md->f, lineage_add(md->f->m, md->run, LINEAGE_INPUT, v->serial, LINEAGE_BY_HAND));
		assert_int_equal(rc, v->state == LIVING || v->read ? 0 : -EINVAL);
		v->read = v->read || rc == 0;
		break;
	}
}

/* What waits for quiet is cut; or the machine stops, and at the next open every file head is. */
static void step_settle(struct model *md, bool crash)
{
	if (crash)
		fx_reopen(md->f);
	else
		assert_int_equal(entry_settle(md->f->m, 0), 0);
	for (int i = 0; i < md->count; i++) {
		struct model_entry *e = &md->entries[i];

		if (e->gone || e->trashed || !e->has_head || e->head.is_dir)
			continue;
		if (e->pending || (crash && e->written))
			model_cut(md, e);
	}
}

/* --- comparing -------------------------------------------------------------------------------------------------- */

static void compare_file(struct fixture *f, struct tree_place place, uint32_t ino, int seed)
{
	char want[10000], got[10000];
	size_t len = bytes_of(seed, want);

	assert_int_equal(tree_read(f->trees, kv_live(f->kv), place, ino, 0, got, sizeof(got)), (ssize_t)len);
	assert_memory_equal(got, want, len);
}

static void compare_place(struct fixture *f, struct tree_place place, struct content c)
{
	uint32_t ino;

	if (!c.is_dir) {
		compare_file(f, place, TREE_ROOT, c.p);
		return;
	}
	for (int q = 0; q < 2; q++) {
		int seed = q ? c.q : c.p;
		int rc = tree_lookup(kv_live(f->kv), place, TREE_ROOT, S(q ? "q" : "p"), &ino);

		assert_int_equal(rc, seed == 0 ? -ENOENT : 0);
		if (seed != 0)
			compare_file(f, place, ino, seed);
	}
}

static int count_version(void *arg, const struct version *v)
{
	(void)v;
	++*(int *)arg;
	return 0;
}

static void compare_versions(struct model *md, struct model_entry *e)
{
	int living = 0, seen = 0;

	for (int i = 0; i < e->count; i++) {
		struct model_version *want = &e->versions[i];
		struct version v;
		int rc = version_get(kv_live(md->f->kv), e->id, want->n, &v);

		if (want->state == DESTROYED && !want->read) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(v.serial, want->serial);
		assert_int_equal(v.is_dir, want->content.is_dir);
		assert_int_equal(v.trashed, want->state == TRASHED);
		assert_int_equal(v.destroyed, want->state == DESTROYED);
		if (want->state != DESTROYED)
			compare_place(md->f, v.place, want->content);
		living += want->state == LIVING;
	}
	assert_int_equal(version_each(kv_live(md->f->kv), e->id, 0, count_version, &seen), 0);
	assert_int_equal(seen, living);
}

static void compare_entry(struct model *md, struct model_entry *e)
{
	struct kv_view *view = kv_live(md->f->kv);
	struct model_version *newest = model_newest(e);
	uint32_t n = 0;
	struct entry got;
	int rc = entry_get(view, e->id, &got);

	if (e->gone) {
		assert_true(rc == -ENOENT || got.destroyed);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(got.trashed, e->trashed);
	assert_int_equal(got.has_head, e->has_head);
	assert_int_equal(got.next_version, e->next);
	assert_int_equal(got.newest, newest != NULL ? newest->n : 0);
	if (!e->trashed)
		assert_true(slice_eq(got.name, S(names[e->name])));
	if (e->has_head)
		compare_place(md->f, (struct tree_place){ got.tree, TREE_HEAD }, e->head);
	rc = alias_get(view, e->id, S("best"), &n);
	assert_int_equal(rc, e->alias != 0 ? 0 : -ENOENT);
	if (rc == 0)
		assert_int_equal(n, e->alias);
	compare_versions(md, e);
}

static int count_entry(void *arg, const struct entry *e)
{
	(void)e;
	++*(int *)arg;
	return 0;
}

static int count_item(void *arg, const struct trash_item *item)
{
	(void)item;
	++*(int *)arg;
	return 0;
}

static void compare(struct model *md)
{
	int living = 0, trashed = 0, seen = 0;

	for (int i = 0; i < md->count; i++) {
		struct model_entry *e = &md->entries[i];

		compare_entry(md, e);
		living += !e->gone && !e->trashed;
		trashed += !e->gone && e->trashed;
		for (int j = 0; !e->gone && j < e->count; j++)
			trashed += e->versions[j].state == TRASHED;
	}
	assert_int_equal(entry_each(kv_live(md->f->kv), ENTRY_DATA, slice_of(NULL, 0), count_entry, &seen), 0);
	assert_int_equal(seen, living);
	seen = 0;
	assert_int_equal(trash_each(kv_live(md->f->kv), TRASH_DATA, slice_of(NULL, 0), count_item, &seen), 0);
	assert_int_equal(seen, trashed);
}

static bool is_full(struct model *md)
{
	for (int i = 0; i < md->count; i++) {
		if (md->entries[i].count > VERSIONS - 4)
			return true;
	}
	return md->count > ENTRIES - 3;
}

static void random_step(struct model *md)
{
	int name = (int)rnd(md, NAMES), to = (int)rnd(md, NAMES);
	unsigned what = rnd(md, 100);

	if (what < 20)
		step_write(md, name, false);
	else if (what < 25)
		step_write(md, name, true);
	else if (what < 38)
		step_tree_write(md, name);
	else if (what < 45)
		step_cut(md, name);
	else if (what < 52)
		step_remove(md, name);
	else if (what < 58)
		step_rename(md, name, to);
	else if (what < 66)
		step_replace(md, name, to);
	else if (what < 70)
		step_exchange(md, name, to);
	else if (what < 74)
		step_trash(md, name);
	else if (what < 78)
		step_restore(md, name);
	else if (what < 80)
		step_destroy(md);
	else if (what < 97)
		step_version(md, name, rnd(md, 6));
	else
		step_settle(md, what == 99);
}

static void against_a_model(void **state)
{
	struct fixture *f = *state;
	const char *seeds = getenv("ENTRY_SEEDS");
	struct model *md = malloc(sizeof(*md));
	int rounds = seeds != NULL ? (int)strtol(seeds, NULL, 10) : 6;

	assert_non_null(md);
	for (int round = 1; round <= rounds; round++) {
		memset(md, 0, sizeof(*md));
		md->f = f;
		md->seed = (unsigned)round;
		md->run = new_run(f);
		for (int i = 0; i < NAMES; i++)
			md->floors[i] = 1;
		for (int i = 0; i < 600 && !is_full(md); i++) {
			random_step(md);
			if (i % 20 == 0)
				compare(md);
			if (i % 100 == 99)
				fx_clean(f);
		}
		compare(md);
		fx_clean(f);
		/* the next round begins with an empty store */
		fx_teardown(state);
		assert_int_equal(fx_setup(state), 0);
		f = *state;
	}
	free(md);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(making, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(removing_cuts, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(renaming, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(replacing_by_a_temporary, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(replacing_by_what_is_known, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(replacing_trees, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(exchanging, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(scratch_names, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(trash_and_restore, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(open_while_it_goes, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(against_a_model, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
