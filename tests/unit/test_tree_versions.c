/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of trees: a random test of names against a model, all versions compared; differences; restoring; moving between trees.
 */
#include "tests/unit/tree_fixture.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* --- the model: a map from paths to what is there --------------------------------------------------------- */

#define NODES 160u
#define VERSIONS 8u

struct node {				/* one name; files are told apart by `id`, so that links can be compared */
	bool used;
	unsigned dir;			/* index of the directory's node; 0 is the root */
	char name[8];
	bool is_dir;
	unsigned id;
	uint32_t ino;
};

struct model {
	struct node nodes[NODES];
	char text[4000][8];		/* bytes of file ID */
};

static struct model head, *saved[VERSIONS];
static uint32_t epochs[VERSIONS];
static unsigned next_id;

static unsigned some_node(bool dir)
{
	for (unsigned tries = 0; tries < 400; tries++) {
		unsigned i = fx_random(NODES);

		if (head.nodes[i].used && (!dir || head.nodes[i].is_dir))
			return i;
	}
	return 0;
}

static unsigned find(unsigned dir, const char *name)
{
	for (unsigned i = 1; i < NODES; i++)
		if (head.nodes[i].used && head.nodes[i].dir == dir && strcmp(head.nodes[i].name, name) == 0)
			return i;
	return 0;
}

static unsigned count_in(unsigned dir)
{
	unsigned n = 0;

	for (unsigned i = 1; i < NODES; i++)
		n += head.nodes[i].used && head.nodes[i].dir == dir;
	return n;
}

static bool is_above(unsigned above, unsigned node)
{
	while (node && node != above)
		node = head.nodes[node].dir;
	return node == above;
}

static const char *some_name(void)
{
	static char name[8];

	snprintf(name, sizeof name, "%c%c", 'a' + (int)fx_random(6), 'a' + (int)fx_random(3));
	return name;
}

static unsigned add_node(unsigned dir, const char *name, bool is_dir, unsigned id, uint32_t ino)
{
	for (unsigned i = 1; i < NODES; i++) {
		struct node *n = &head.nodes[i];

		if (n->used)
			continue;
		*n = (struct node){ .used = true, .dir = dir, .is_dir = is_dir, .id = id, .ino = ino };
		snprintf(n->name, sizeof n->name, "%s", name);
		return i;
	}
	return 0;
}

static void do_make(void)
{
	unsigned dir = some_node(true);
	const char *name = some_name();
	bool is_dir = fx_random(3) == 0;
	struct tree_make make = { .mode = is_dir ? S_IFDIR | 0755 : S_IFREG | 0644 };
	struct tree_attr attr;

	if (next_id >= 3990 || count_in(dir) > 20)
		return;
	if (find(dir, name)) {
		refused(tree_make(fx.t, fx.tree, head.nodes[dir].ino, slice_str(name), &make, &attr), -EEXIST);
		return;
	}
	in_batch(tree_make(fx.t, fx.tree, head.nodes[dir].ino, slice_str(name), &make, &attr));
	next_id++;
	if (!add_node(dir, name, is_dir, next_id, attr.ino))
		in_batch(is_dir ? tree_rmdir(fx.t, fx.tree, head.nodes[dir].ino, slice_str(name)) :
				  tree_unlink(fx.t, fx.tree, head.nodes[dir].ino, slice_str(name)));
	head.text[next_id][0] = 0;
}

static void do_write(void)
{
	unsigned i = some_node(false);
	struct node *n = &head.nodes[i];

	if (n->is_dir)
		return;
	snprintf(head.text[n->id], sizeof head.text[n->id], "%u", fx_random(100000));
	fx_resize(fx.tree, n->ino, 0);
	fx_write(fx.tree, n->ino, 0, head.text[n->id], strlen(head.text[n->id]));
}

static void do_link(void)
{
	unsigned i = some_node(false), dir = some_node(true);
	const char *name = some_name();
	struct tree_attr attr;

	if (head.nodes[i].is_dir || find(dir, name) || !add_node(dir, name, false, head.nodes[i].id, head.nodes[i].ino))
		return;
	in_batch(tree_link(fx.t, fx.tree, head.nodes[i].ino, head.nodes[dir].ino, slice_str(name), &attr));
}

static void do_remove(void)
{
	unsigned i = some_node(false);
	struct node *n = &head.nodes[i];
	uint32_t dir = head.nodes[n->dir].ino;

	if (i == 0)
		return;
	if (n->is_dir && count_in(i)) {
		refused(tree_rmdir(fx.t, fx.tree, dir, slice_str(n->name)), -ENOTEMPTY);
		return;
	}
	in_batch(n->is_dir ? tree_rmdir(fx.t, fx.tree, dir, slice_str(n->name)) :
			     tree_unlink(fx.t, fx.tree, dir, slice_str(n->name)));
	n->used = false;
}

static void do_rename(void)
{
	unsigned i = some_node(false), dir = some_node(true), j;
	struct node *n = &head.nodes[i];
	bool exchange = fx_random(4) == 0;
	const char *name = some_name();
	int rc = 0;

	if (i == 0)
		return;
	j = find(dir, name);
	if (exchange && !j)
		rc = -ENOENT;
	else if ((n->is_dir && is_above(i, dir)) || (exchange && head.nodes[j].is_dir && is_above(j, n->dir)))
		rc = -EINVAL;
	else if (j && !exchange && head.nodes[j].ino != n->ino && n->is_dir != head.nodes[j].is_dir)
		rc = n->is_dir ? -ENOTDIR : -EISDIR;
	else if (j && !exchange && j != i && head.nodes[j].is_dir && count_in(j))
		rc = -ENOTEMPTY;
	if (rc) {
		refused(tree_rename(fx.t, fx.tree, head.nodes[n->dir].ino, slice_str(n->name), head.nodes[dir].ino,
				    slice_str(name), exchange ? RENAME_EXCHANGE : 0), rc);
		return;
	}
	in_batch(tree_rename(fx.t, fx.tree, head.nodes[n->dir].ino, slice_str(n->name), head.nodes[dir].ino,
			     slice_str(name), exchange ? RENAME_EXCHANGE : 0));
	if (j && head.nodes[j].ino == n->ino)
		return;
	if (exchange) {
		struct node was = *n;

		n->dir = dir;
		snprintf(n->name, sizeof n->name, "%s", name);
		head.nodes[j].dir = was.dir;
		snprintf(head.nodes[j].name, sizeof was.name, "%s", was.name);
		return;
	}
	if (j)
		head.nodes[j].used = false;
	n->dir = dir;
	snprintf(n->name, sizeof n->name, "%s", name);
}

/* --- comparing -------------------------------------------------------------------------------------------- */

struct listed {
	const struct model *m;
	unsigned dir, count;
};

static int note(void *arg, const struct tree_entry *entry)
{
	struct listed *l = arg;

	l->count++;
	for (unsigned i = 1; i < NODES; i++) {
		const struct node *n = &l->m->nodes[i];

		if (n->used && n->dir == l->dir && slice_eq(slice_str(n->name), entry->name)) {
			assert_int_equal(entry->ino, n->ino);
			assert_int_equal(entry->mode, n->is_dir ? S_IFDIR : S_IFREG);
			return 0;
		}
	}
	fail();
	return -1;
}

static void compare(struct tree_place at, const struct model *m)
{
	for (unsigned i = 0; i < NODES; i++) {
		const struct node *n = &m->nodes[i];
		struct listed l = { m, i, 0 };
		unsigned links = 0, names = 0, dirs = 2;
		uint32_t found;

		if (!n->used)
			continue;
		for (unsigned j = 1; j < NODES; j++) {
			names += m->nodes[j].used && m->nodes[j].dir == i;
			dirs += m->nodes[j].used && m->nodes[j].dir == i && m->nodes[j].is_dir;
			links += m->nodes[j].used && m->nodes[j].ino == n->ino;
		}
		if (i) {
			ok(fx_find(at, m->nodes[n->dir].ino, n->name, &found));
			assert_int_equal(found, n->ino);
		}
		if (n->is_dir) {
			ok(tree_readdir(LIVE, at, n->ino, 0, note, &l));
			assert_int_equal(l.count, names);
			assert_int_equal(fx_attr(at, n->ino).nlink, dirs);
		} else {
			assert_int_equal(fx_attr(at, n->ino).nlink, links);
			fx_is(at, n->ino, m->text[n->id], strlen(m->text[n->id]));
		}
	}
}

static void do_cut(void)
{
	unsigned v = fx_random(VERSIONS);

	if (saved[v]) {
		in_batch(tree_drop_version(fx.t, fx.tree, epochs[v]));
		free(saved[v]);
		saved[v] = NULL;
		if (fx_random(2))
			return;
	}
	saved[v] = malloc(sizeof head);
	assert_non_null(saved[v]);
	*saved[v] = head;
	epochs[v] = fx_cut(fx.tree);
}

static void compare_all(void)
{
	compare(HEAD_OF(fx.tree), &head);
	for (unsigned v = 0; v < VERSIONS; v++)
		if (saved[v])
			compare(AT(fx.tree, epochs[v]), saved[v]);
	fx_clean();
}

static void test_random(void **state)
{
	const char *env = getenv("TREE_SEED");

	(void)state;
	fx.seed = env ? strtoull(env, NULL, 10) : 4711;
	memset(&head, 0, sizeof head);
	head.nodes[0] = (struct node){ .used = true, .is_dir = true, .ino = TREE_ROOT };
	for (unsigned i = 1; i <= 4000; i++) {
		unsigned what = fx_random(100);
		bool more;

		if (what < 35)
			do_make();
		else if (what < 50)
			do_write();
		else if (what < 57)
			do_link();
		else if (what < 72)
			do_remove();
		else if (what < 88)
			do_rename();
		else if (what < 91)
			do_cut();
		else if (what < 93)
			assert_true(fx_seal(0) <= 0);
		else
			ok(trees_work_step(fx.t, &more));
		if (i % 100 == 0)
			compare_all();
		if (i % 1000 == 0)
			fx_reopen();
	}
	fx_settle();
	compare_all();
	fx_cas_clean();
	for (unsigned v = 0; v < VERSIONS; v++) {
		if (saved[v])
			in_batch(tree_drop_version(fx.t, fx.tree, epochs[v]));
		free(saved[v]);
		saved[v] = NULL;
	}
	fx_settle();
	compare_all();
}

/* --- by hand ---------------------------------------------------------------------------------------------- */

static void test_cut_is_cheap(void **state)
{
	uint64_t before;
	uint32_t epoch;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "f%u", i);
		fx_write(fx.tree, fx_make(TREE_ROOT, name, S_IFREG | 0644), 0, name, strlen(name));
	}
	ok(kv_begin(fx.kv));
	before = kv_seq(fx.kv);
	ok(tree_cut(fx.t, fx.tree, &epoch));
	ok(kv_commit(fx.kv, NULL));
	assert_int_equal(kv_seq(fx.kv), before + 1);
	refused(tree_drop_version(fx.t, fx.tree, epoch + 1), -ENOENT);
	in_batch(tree_drop_version(fx.t, fx.tree, epoch));
	refused(tree_drop_version(fx.t, fx.tree, epoch), -ENOENT);
	fx_settle();
	fx_clean();
}

static bool differs(uint32_t epoch)
{
	bool yes, costly;

	ok(tree_differs(fx.t, LIVE, fx.tree, epoch, &yes, &costly));
	assert_false(costly);
	return yes;
}

static void test_differs(void **state)
{
	uint32_t a, d, e1, e2;
	struct tree_attr attr = { .mode = 0755, .mtime_ns = 5 };
	char *big = malloc(3 << 20);
	bool yes, costly;

	(void)state;
	assert_false(differs(0));
	a = fx_make(TREE_ROOT, "a", S_IFREG | 0644);
	assert_true(differs(0));
	d = fx_make(TREE_ROOT, "d", S_IFDIR | 0755);
	fx_write(fx.tree, a, 0, "one", 3);
	e1 = fx_cut(fx.tree);
	assert_false(differs(e1));
	in_batch(tree_setattr(fx.t, fx.tree, a, TREE_SET_MTIME, &attr, &attr));
	assert_false(differs(e1));		/* touch cuts nothing */
	fx_write(fx.tree, a, 0, "one", 3);
	assert_false(differs(e1));		/* nor do equal bytes */
	attr.mode = 0755;
	in_batch(tree_setattr(fx.t, fx.tree, a, TREE_SET_MODE, &attr, &attr));
	assert_true(differs(e1));
	attr.mode = 0600;
	in_batch(tree_setattr(fx.t, fx.tree, a, TREE_SET_MODE, &attr, &attr));
	assert_false(differs(e1));
	fx_write(fx.tree, a, 0, "two", 3);
	assert_true(differs(e1));
	e2 = fx_cut(fx.tree);
	assert_false(differs(e2));
	fx_make(d, "deep", S_IFREG | 0644);
	assert_true(differs(e2));
	in_batch(tree_unlink(fx.t, fx.tree, d, fx_name("deep")));
	assert_false(differs(e2));
	memset(big, 'x', 3 << 20);
	fx_write(fx.tree, a, 0, big, 3 << 20);
	e2 = fx_cut(fx.tree);
	fx_write(fx.tree, a, 0, big, 3 << 20);
	ok(tree_differs(fx.t, LIVE, fx.tree, e2, &yes, &costly));
	assert_true(costly && !yes);
	ok(tree_differs(fx.t, LIVE, fx.tree, e2, &yes, NULL));
	assert_false(yes);
	fx_settle();
	assert_false(differs(e2));
	free(big);
}

static int add_line(void *arg, enum tree_change what, struct slice path)
{
	struct buf *out = arg;

	buf_addf(out, "%c %.*s\n", "?+-~"[what], (int)path.len, (const char *)path.data);
	return 0;
}

static void diff_is(struct tree_place a, struct tree_place b, const char *want)
{
	SCOPED_BUF struct buf out = BUF_INIT;

	ok(tree_diff(fx.t, LIVE, a, b, add_line, &out));
	assert_string_equal(out.data ? out.data : "", want);
}

static void test_diff(void **state)
{
	uint32_t d = fx_make(TREE_ROOT, "d", S_IFDIR | 0755), x = fx_make(d, "x", S_IFREG | 0644), e;
	uint32_t y = fx_make(TREE_ROOT, "y", S_IFREG | 0644), other;

	(void)state;
	fx_write(fx.tree, x, 0, "x", 1);
	fx_write(fx.tree, y, 0, "y", 1);
	fx_make(TREE_ROOT, "z", S_IFLNK | 0777);
	e = fx_cut(fx.tree);
	diff_is(AT(fx.tree, e), HEAD_OF(fx.tree), "");
	fx_write(fx.tree, x, 0, "X", 1);
	in_batch(tree_rename(fx.t, fx.tree, TREE_ROOT, fx_name("y"), d, fx_name("y2"), 0));
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("z")));
	fx_make(fx_make(TREE_ROOT, "z", S_IFDIR | 0755), "in", S_IFREG | 0644);
	diff_is(AT(fx.tree, e), HEAD_OF(fx.tree), "~ d/x\n+ d/y2\n- y\n- z\n+ z\n+ z/in\n");
	diff_is(HEAD_OF(fx.tree), AT(fx.tree, e), "~ d/x\n- d/y2\n+ y\n- z\n- z/in\n+ z\n");
	in_batch(tree_new(fx.t, TREE_OWNER_ENTRY, 1, S_IFDIR | 0755, 0, 0, &other));
	diff_is(HEAD_OF(other), AT(fx.tree, e), "+ d\n+ d/x\n+ y\n+ z\n");
	fx_clean();
}

/* A head lets go of all that it holds, of what versions show too; they go on showing it. */
static void test_empty(void **state)
{
	uint32_t d = fx_make(TREE_ROOT, "d", S_IFDIR | 0750), x = fx_make(d, "x", S_IFREG | 0640), v, file, y;
	struct tree_attr attr;
	struct tree_info info;

	(void)state;
	fx_write(fx.tree, x, 0, "bytes", 5);
	in_batch(tree_setxattr(fx.t, fx.tree, x, fx_name("user.k"), slice_str("v"), 0));
	in_batch(tree_link(fx.t, fx.tree, x, TREE_ROOT, fx_name("hard"), &attr));
	fx_make(TREE_ROOT, "fifo", S_IFIFO | 0600);
	v = fx_cut(fx.tree);
	y = fx_make(fx_make(d, "deeper", S_IFDIR | 0755), "y", S_IFREG | 0644);
	fx_write(fx.tree, y, 0, "new", 3);
	ok(tree_hold(fx.t, fx.tree, y));
	in_batch(tree_empty(fx.t, fx.tree));
	fx_is(HEAD_OF(fx.tree), y, "new", 3);
	fx_clean();
	in_batch(tree_unhold(fx.t, fx.tree, y));
	ok(tree_info(LIVE, fx.tree, &info));
	assert_int_equal(info.inodes, 1);
	assert_int_equal(info.bytes, 0);
	assert_int_equal(fx_attr(HEAD_OF(fx.tree), TREE_ROOT).nlink, 2);
	fx_is(AT(fx.tree, v), x, "bytes", 5);
	diff_is(HEAD_OF(fx.tree), AT(fx.tree, v), "+ d\n+ d/x\n+ fifo\n+ hard\n");
	in_batch(tree_empty(fx.t, fx.tree));
	in_batch(tree_new(fx.t, TREE_OWNER_ENTRY, 1, S_IFREG | 0600, 0, 0, &file));
	fx_write(file, TREE_ROOT, 0, "a file", 6);
	v = fx_cut(file);
	in_batch(tree_empty(fx.t, file));
	fx_is(HEAD_OF(file), TREE_ROOT, "", 0);
	fx_is(AT(file, v), TREE_ROOT, "a file", 6);
	in_batch(tree_freeze(fx.t, file));
	refused(tree_empty(fx.t, file), -EROFS);
	fx_settle();
	fx_clean();
	fx_cas_clean();
}

/* The most that fits, at its most expensive; one more is refused before anything is done. */
static void test_empty_limit(void **state)
{
	static char bytes[TREE_INLINE_MAX], name[TREE_NAME_MAX + 1];
	struct tree_make make = { .mode = S_IFREG | 0644 };
	struct tree_attr attr;

	(void)state;
	memset(name, 'n', sizeof name - 1);
	for (unsigned i = 1; i < TREE_EMPTY_MAX; i++) {
		snprintf(name + 250, 6, "%05u", i);
		memcpy(bytes, &i, sizeof i);
		ok(kv_begin(fx.kv));
		ok(tree_make(fx.t, fx.tree, TREE_ROOT, fx_name(name), &make, &attr));
		ok(tree_write(fx.t, fx.tree, attr.ino, 0, slice_of(bytes, sizeof bytes), false));
		ok(kv_commit(fx.kv, NULL));
	}
	fx_cut(fx.tree);
	fx_make(TREE_ROOT, "more", S_IFREG | 0644);
	refused(tree_empty(fx.t, fx.tree), -EFBIG);
	in_batch(tree_unlink(fx.t, fx.tree, TREE_ROOT, fx_name("more")));
	in_batch(tree_empty(fx.t, fx.tree));
	fx_clean();
}

/* Keys that no program writes are faults; nothing stops, ends or goes round in circles because of them. */
static void test_impossible_keys(void **state)
{
	static const uint8_t tables[] = { TABLE_INODE, TABLE_DIRENT, TABLE_XATTR };
	uint8_t key[KV_KEY_MAX] = { 0 }, last[8] = { 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	uint32_t v;

	(void)state;
	key[3] = last[3] = (uint8_t)fx.tree;
	memset(key + 8, 'x', sizeof key - 8);
	key[7] = TREE_ROOT;
	key[sizeof key - 5] = 0;
	ok(kv_begin(fx.kv));
	for (size_t i = 0; i < sizeof tables; i++)
		ok(kv_put(fx.kv, tables[i], slice_of(key, sizeof key), slice_str("")));
	ok(kv_put(fx.kv, TABLE_TREE_EPOCH, slice_of(last, sizeof last), slice_str("12345678")));
	ok(kv_commit(fx.kv, NULL));
	assert_true(fx_faults() > 0);
	v = fx_cut(fx.tree);
	in_batch(tree_drop_version(fx.t, fx.tree, v));
	fx_work();
	assert_true(fx_faults() > 0);
	in_batch(tree_delete(fx.t, fx.tree));
	fx_settle();
	fx_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cut_is_cheap, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_differs, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_diff, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_empty, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_impossible_keys, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_empty_limit, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_random, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
