/* SPDX-License-Identifier: Apache-2.0 */
/* version: when a head becomes one, and what never changes about it. */
#include "tests/unit/entry_fixture.h"

static void closing_cuts(void **state)
{
	struct fixture *f = *state;
	struct version v;

	put(f, "iris.csv", "one\n");
	assert_string_equal(ls(f, "iris.csv"), "v1");
	put(f, "iris.csv", "two\n");
	put(f, "iris.csv", "two\n"); /* equal bytes cut nothing */
	assert_string_equal(ls(f, "iris.csv"), "v1 v2");
	assert_string_equal(cat(f, "iris@v1.csv"), "one\n");
	assert_string_equal(cat(f, "iris@v2.csv"), "two\n");
	assert_string_equal(cat(f, "iris@latest.csv"), "two\n");
	assert_string_equal(cat(f, "iris@v3.csv"), "!ENOENT");
	assert_string_equal(cat(f, "iris.csv@v1"), "!ENOENT"); /* a file's is not spelt so */
	put(f, "iris.csv", "one\n"); /* equal to an older one is a new one */
	assert_string_equal(ls(f, "iris.csv"), "v1 v2 v3");
	assert_int_equal(version_by_serial(kv_live(f->kv), serial_of(f, "iris@v3.csv"), &v), 0);
	assert_int_equal(v.n, 3);
	assert_int_equal(v.bytes, 4);
	assert_int_equal(v.uid, 1000);
	assert_int_equal(v.run, 0);
	assert_true(v.created_ms > 0);
	fx_reopen(f);
	assert_string_equal(ls(f, "iris.csv"), "v1 v2 v3");
	assert_string_equal(cat(f, "iris@v1.csv"), "one\n");
}

static void large_files(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(300000);
	uint32_t id;
	bool differs;

	assert_non_null(big);
	for (size_t i = 0; i < 300000; i++)
		big[i] = (char)('a' + (i * i / 7) % 26);
	OK(f, write_as(f, ENTRY_DATA, "big.bin", slice_of(big, 300000), false, &me));
	OK(f, write_as(f, ENTRY_DATA, "big.bin", slice_of(big, 300000), false, &me));
	assert_string_equal(ls(f, "big.bin"), "v1");
	big[299999] = '!';
	OK(f, write_as(f, ENTRY_DATA, "big.bin", slice_of(big, 300000), false, &me));
	assert_string_equal(ls(f, "big.bin"), "v1 v2");
	id = head_of(f, ENTRY_DATA, "big.bin");
	assert_int_equal(entry_differs(f->m, kv_live(f->kv), id, 100, &differs), 0);
	assert_false(differs);
	free(big);
}

static void touch_and_chmod_cut_nothing(void **state)
{
	struct fixture *f = *state;
	struct tree_attr attr = { .mode = S_IFREG | 0755, .mtime_ns = 5 }, now;
	struct entry e;
	bool differs;

	put(f, "a.csv", "x");
	assert_int_equal(entry_get(kv_live(f->kv), head_of(f, ENTRY_DATA, "a.csv"), &e), 0);
	OK(f, tree_setattr(f->trees, e.tree, TREE_ROOT, TREE_SET_MODE | TREE_SET_MTIME, &attr, &now));
	OK(f, entry_written(f->m, e.id, false, &me));
	assert_string_equal(ls(f, "a.csv"), "v1");
	assert_int_equal(entry_differs(f->m, kv_live(f->kv), e.id, 0, &differs), 0);
	assert_false(differs);
	fx_reopen(f); /* and recovery sees no change in it */
	assert_string_equal(ls(f, "a.csv"), "v1");
}

static void appending_waits(void **state)
{
	struct fixture *f = *state;
	int64_t next;

	append(f, "log.txt", "a\n");
	append(f, "log.txt", "b\n");
	assert_string_equal(ls(f, "log.txt"), "");
	assert_true(entry_is_pending(f->m, 0));
	assert_int_equal(entry_settle_due(f->m, clock_mono_ms(), &next), 0);
	assert_true(next > clock_mono_ms() + 1000);
	assert_string_equal(ls(f, "log.txt"), "");
	assert_int_equal(entry_settle_due(f->m, next, &next), 0);
	assert_int_equal(next, -1);
	assert_string_equal(ls(f, "log.txt"), "v1");
	append(f, "log.txt", "c\n");
	append(f, "other.txt", "x");
	assert_int_equal(entry_settle(f->m, head_of(f, ENTRY_DATA, "other.txt")), 0);
	assert_string_equal(ls(f, "other.txt"), "v1");
	assert_string_equal(ls(f, "log.txt"), "v1");
	assert_int_equal(entry_settle(f->m, 0), 0);
	assert_string_equal(cat(f, "log@v2.txt"), "a\nb\nc\n");
	assert_false(entry_is_pending(f->m, 0));
	assert_int_equal(entry_settle(f->m, 0), 0);
	assert_string_equal(ls(f, "log.txt"), "v1 v2");
}

static void a_crash_loses_no_version(void **state)
{
	struct fixture *f = *state;

	append(f, "log.txt", "a\n");
	put(f, "b.csv", "x");
	fx_reopen(f); /* the list of what waits is gone */
	assert_string_equal(ls(f, "log.txt"), "v1");
	assert_string_equal(ls(f, "b.csv"), "v1");
	fx_reopen(f);
	assert_string_equal(ls(f, "log.txt"), "v1");
}

static void trees(void **state)
{
	struct fixture *f = *state;
	uint32_t id, n, empty;
	struct entry e;
	struct version v;

	OK(f, entry_make_head(f->m, ENTRY_DATA, S("raw"), S_IFDIR | 0755, &me, &id));
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("none"), S_IFDIR | 0755, &me, &empty));
	assert_int_equal(entry_get(kv_live(f->kv), id, &e), 0);
	OK(f, tree_put(f, e.tree, "x.csv", S("12345")));
	OK(f, entry_written(f->m, id, false, &me));
	assert_string_equal(ls(f, "raw"), ""); /* a tree is cut on request */
	OK(f, entry_cut(f->m, id, S("first"), 0, &me, &n));
	assert_int_equal(n, 1);
	OK(f, entry_cut(f->m, id, S(""), 0, &me, &n));
	assert_int_equal(n, 1); /* nothing changed */
	OK(f, entry_cut(f->m, id, S("said better"), 0, &me, &n));
	assert_int_equal(n, 1);
	assert_int_equal(version_get(kv_live(f->kv), id, 1, &v), 0);
	assert_true(slice_eq(v.message, S("said better")));
	assert_true(v.is_dir);
	assert_int_equal(v.bytes, 5);
	OK(f, tree_put(f, e.tree, "y.csv", S("1")));
	OK(f, tree_unlink(f->trees, e.tree, TREE_ROOT, S("y.csv")));
	OK(f, entry_cut(f->m, id, S(""), 0, &me, &n));
	assert_int_equal(n, 1); /* there and gone again */
	OK(f, tree_put(f, e.tree, "x.csv", S("12346")));
	OK(f, entry_cut(f->m, id, S(""), 0, &me, &n));
	assert_int_equal(n, 2);
	assert_string_equal(ls(f, "raw"), "v1 v2");
	OK(f, entry_cut(f->m, empty, S(""), 0, &me, &n));
	assert_int_equal(n, 1);
}

static void fields(void **state)
{
	struct fixture *f = *state;
	char text[META_TAG_MAX + 1];
	uint32_t serial, key;
	struct version v;
	struct slice value;
	int64_t ms;

	memset(text, 'x', sizeof(text));
	put(f, "a.csv", "1");
	serial = serial_of(f, "a@v1.csv");
	OK(f, version_set_message(f->m, serial, S("why")));
	OK(f, version_set_description(f->m, serial, S("what")));
	OK(f, version_set_stage(f->m, serial, STAGE_PRODUCTION));
	OK(f, version_set_origin(f->m, serial, S("runs:/1/model"), S("http://x/1"), S("m-0")));
	OK(f, tag_set(f->m, TAG_VERSION, serial, S("k"), S("v")));
	assert_int_equal(IN_BATCH(f, version_set_message(f->m, serial, slice_of(text, sizeof(text)))), -EFBIG);
	assert_int_equal(IN_BATCH(f, version_set_message(f->m, serial, S("\xff"))), -EILSEQ);
	assert_int_equal(IN_BATCH(f, version_set_stage(f->m, serial, (enum version_stage)9)), -EINVAL);
	assert_int_equal(IN_BATCH(f, version_set_message(f->m, 99, S("x"))), -ENOENT);
	put(f, "a.csv", "2");
	fx_reopen(f);
	assert_int_equal(version_by_serial(kv_live(f->kv), serial, &v), 0);
	assert_true(slice_eq(v.message, S("why")) && slice_eq(v.description, S("what")));
	assert_true(slice_eq(v.source, S("runs:/1/model")) && slice_eq(v.run_link, S("http://x/1")));
	assert_true(slice_eq(v.logged_model, S("m-0")));
	assert_int_equal(v.stage, STAGE_PRODUCTION);
	assert_int_equal(key_find(kv_live(f->kv), S("k"), &key), 0);
	assert_int_equal(tag_get(kv_live(f->kv), TAG_VERSION, serial, key, &value, &ms), 0);
	assert_true(slice_eq(value, S("v")));
}

static void numbers_are_used_once(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	put(f, "a.csv", "1");
	put(f, "a.csv", "2");
	put(f, "a.csv", "3");
	id = head_of(f, ENTRY_DATA, "a.csv");
	OK(f, version_trash(f->m, serial_of(f, "a@v3.csv")));
	assert_string_equal(ls(f, "a.csv"), "v1 v2");
	assert_string_equal(cat(f, "a@latest.csv"), "2");
	assert_string_equal(cat(f, "a.csv"), "3");
	fx_reopen(f); /* the head is as it was cut: nothing comes back */
	assert_string_equal(ls(f, "a.csv"), "v1 v2");
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a@v3.csv")));
	put(f, "a.csv", "4");
	assert_string_equal(ls(f, "a.csv"), "v1 v2 v4");
	OK(f, entry_remove_head(f->m, id, &me, NULL));
	assert_string_equal(cat(f, "a.csv"), "!ENOENT");
	assert_string_equal(cat(f, "a@v4.csv"), "4");
	put(f, "a.csv", "4"); /* equal to the newest, in another tree */
	assert_string_equal(ls(f, "a.csv"), "v1 v2 v4");
	put(f, "a.csv", "5");
	assert_string_equal(ls(f, "a.csv"), "v1 v2 v4 v5");
	assert_int_equal(head_of(f, ENTRY_DATA, "a.csv"), id);
	OK(f, entry_trash(f->m, id));
	put(f, "a.csv", "6"); /* another dataset, the same name: its numbers go on too */
	assert_string_equal(ls(f, "a.csv"), "v6");
	assert_int_equal(IN_BATCH(f, entry_restore(f->m, id, S("a.csv"))), -EEXIST);
	OK(f, entry_restore(f->m, id, S("old.csv")));
	assert_string_equal(ls(f, "old.csv"), "v1 v2 v4 v5");
	OK(f, entry_trash(f->m, head_of(f, ENTRY_DATA, "a.csv")));
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a.csv")));
	put(f, "a.csv", "7");
	assert_string_equal(ls(f, "a.csv"), "v7");
}

static void trashing(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), serial;
	char text[32];

	for (int i = 1; i <= 4; i++) {
		(void)snprintf(text, sizeof(text), "%d", i);
		put(f, "a.csv", text);
	}
	OK(f, alias_set(f->m, head_of(f, ENTRY_DATA, "a.csv"), S("best"), 2, &me));
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, serial_of(f, "a@v1.csv"), LINEAGE_BY_HAND));
	OK(f, lineage_add(f->m, run, LINEAGE_OUTPUT, serial_of(f, "a@v3.csv"), LINEAGE_BY_HAND));
	assert_int_equal(IN_BATCH(f, version_trash(f->m, serial_of(f, "a@v1.csv"))), -EBUSY);
	assert_non_null(strstr(err_reason(), "run"));
	assert_int_equal(IN_BATCH(f, version_trash(f->m, serial_of(f, "a@v2.csv"))), -EBUSY);
	assert_non_null(strstr(err_reason(), "best"));
	serial = serial_of(f, "a@v3.csv");
	OK(f, version_trash(f->m, serial)); /* that a run made it does not hold it */
	assert_int_equal(IN_BATCH(f, version_trash(f->m, serial)), -ENOENT);
	assert_string_equal(cat(f, "a@v3.csv"), "!ENOENT");
	OK(f, version_restore(f->m, serial));
	assert_string_equal(cat(f, "a@v3.csv"), "3");
	assert_int_equal(IN_BATCH(f, version_destroy(f->m, serial)), -EPERM);
	OK(f, version_trash(f->m, serial));
	OK(f, version_destroy(f->m, serial));
	assert_int_equal(IN_BATCH(f, version_restore(f->m, serial)), -EPERM);
	assert_string_equal(ls(f, "a.csv"), "v1 v2 v4");
	/* a version whose dataset lies in the trash too */
	serial = serial_of(f, "a@v4.csv");
	OK(f, version_trash(f->m, serial));
	OK(f, entry_trash(f->m, head_of(f, ENTRY_DATA, "a.csv")));
	assert_int_equal(IN_BATCH(f, version_restore(f->m, serial)), -EBUSY);
	fx_clean(f);
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a.csv")));
	assert_int_equal(IN_BATCH(f, trash_destroy(f->m, TRASH_DATA, S("a@v4.csv"))), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(closing_cuts, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(large_files, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(touch_and_chmod_cut_nothing, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(appending_waits, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(a_crash_loses_no_version, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(trees, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(fields, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(numbers_are_used_once, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(trashing, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
