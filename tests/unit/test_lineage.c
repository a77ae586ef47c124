/* SPDX-License-Identifier: Apache-2.0 */
/* lineage: which run read or made which version, both ways, whatever happens to names. */
#include "tests/unit/entry_fixture.h"

struct list {
	struct fixture *f;
	char text[512];
};

static int add_link(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms)
{
	struct list *list = arg;
	SCOPED_BUF struct buf name = BUF_INIT;
	size_t len = strlen(list->text);
	struct entry e;

	assert_true(at_ms > 0);
	assert_int_equal(entry_get(kv_live(list->f->kv), v->entry, &e), 0);
	entry_name_version(e.name, v->is_dir, v->n, &name);
	(void)snprintf(list->text + len, sizeof(list->text) - len, "%s/%d ", name.data, (int)how);
	return 0;
}

static const char *links(struct fixture *f, uint32_t run, enum lineage_direction direction, enum entry_space space)
{
	static struct list list;

	list = (struct list){ .f = f };
	assert_int_equal(lineage_each(kv_live(f->kv), run, direction, space, add_link, &list), 0);
	return list.text;
}

static const char *inputs(struct fixture *f, uint32_t run)
{
	return links(f, run, LINEAGE_INPUT, ENTRY_DATA);
}

static const char *outputs(struct fixture *f, uint32_t run)
{
	return links(f, run, LINEAGE_OUTPUT, ENTRY_DATA);
}

static int count_run(void *arg, uint32_t run)
{
	(void)run;
	++*(int *)arg;
	return 0;
}

static int readers(struct fixture *f, uint32_t serial)
{
	int count = 0;

	assert_int_equal(lineage_runs(kv_live(f->kv), serial, LINEAGE_INPUT, count_run, &count), 0);
	return count;
}

static void both_ways(void **state)
{
	struct fixture *f = *state;
	uint32_t a = new_run(f), b = new_run(f), v1, v2, serial;

	put(f, "a.csv", "1");
	put(f, "a.csv", "2");
	OK(f, write_as(f, ENTRY_MODELS, "m.bin", S("x"), false, &me));
	v1 = serial_of(f, "a@v1.csv");
	v2 = serial_of(f, "a@v2.csv");
	OK(f, lineage_add(f->m, a, LINEAGE_INPUT, v1, LINEAGE_BY_HAND));
	OK(f, lineage_add(f->m, a, LINEAGE_INPUT, v1, LINEAGE_BY_OPEN)); /* known: as it was */
	OK(f, lineage_add(f->m, b, LINEAGE_INPUT, v1, LINEAGE_BY_OPEN));
	OK(f, lineage_add(f->m, b, LINEAGE_OUTPUT, v2, LINEAGE_BY_API));
	OK(f, lineage_add_head(f->m, a, LINEAGE_OUTPUT, head_of(f, ENTRY_MODELS, "m.bin"), LINEAGE_BY_HAND, &me, &serial));
	assert_string_equal(inputs(f, a), "a@v1.csv/1 ");
	assert_string_equal(inputs(f, b), "a@v1.csv/2 ");
	assert_string_equal(outputs(f, b), "a@v2.csv/4 ");
	assert_string_equal(outputs(f, a), "");
	assert_string_equal(links(f, a, LINEAGE_OUTPUT, ENTRY_MODELS), "m@v1.bin/3 ");
	assert_int_equal(readers(f, v1), 2);
	assert_int_equal(readers(f, v2), 0);
	OK(f, lineage_remove(f->m, b, LINEAGE_INPUT, v1));
	assert_int_equal(IN_BATCH(f, lineage_remove(f->m, b, LINEAGE_INPUT, v1)), -ENOENT);
	assert_int_equal(readers(f, v1), 1);
	assert_int_equal(IN_BATCH(f, lineage_add(f->m, a, LINEAGE_INPUT, 999, LINEAGE_BY_HAND)), -EINVAL);
	assert_int_equal(IN_BATCH(f, lineage_add(f->m, 999, LINEAGE_INPUT, v1, LINEAGE_BY_HAND)), -ENOENT);
	OK(f, run_set_status(f->m, a, RUN_FINISHED, 0));
	assert_int_equal(IN_BATCH(f, lineage_add(f->m, a, LINEAGE_INPUT, v2, LINEAGE_BY_HAND)), -EPERM);
	assert_int_equal(IN_BATCH(f, lineage_remove(f->m, a, LINEAGE_INPUT, v1)), -EPERM);
	assert_string_equal(inputs(f, a), "a@v1.csv/1 ");
}

static void reading_a_head_cuts_it(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), serial, dir;
	const struct meta_actor who = { .uid = 1000, .gid = 1000, .run = run };
	struct version v;
	struct entry e;

	append(f, "a.csv", "1"); /* pending */
	OK(f, lineage_add_head(f->m, run, LINEAGE_INPUT, head_of(f, ENTRY_DATA, "a.csv"), LINEAGE_BY_OPEN, &who, &serial));
	assert_string_equal(inputs(f, run), "a@v1.csv/2 ");
	assert_string_equal(outputs(f, run), ""); /* who reads did not make it */
	assert_int_equal(version_by_serial(kv_live(f->kv), serial, &v), 0);
	assert_int_equal(v.run, 0);
	OK(f, lineage_add_head(f->m, run, LINEAGE_INPUT, head_of(f, ENTRY_DATA, "a.csv"), LINEAGE_BY_OPEN, &who, &serial));
	assert_string_equal(inputs(f, run), "a@v1.csv/2 ");
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("raw"), S_IFDIR | 0755, &me, &dir));
	assert_int_equal(entry_get(kv_live(f->kv), dir, &e), 0);
	OK(f, tree_put(f, e.tree, "x", S("1")));
	OK(f, lineage_add_head(f->m, run, LINEAGE_INPUT, dir, LINEAGE_BY_OPEN, &who, &serial));
	assert_string_equal(inputs(f, run), "a@v1.csv/2 raw@v1/2 ");
	/* without a head the newest version counts */
	OK(f, entry_remove_head(f->m, head_of(f, ENTRY_DATA, "a.csv"), &me, NULL));
	OK(f, lineage_add_head(f->m, run, LINEAGE_OUTPUT, head_of(f, ENTRY_DATA, "a.csv"), LINEAGE_BY_HAND, &me, &serial));
	assert_string_equal(outputs(f, run), "a@v1.csv/1 ");
}

static void what_runs_write(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), dir, quiet;
	const struct meta_actor who = { .uid = 1000, .gid = 1000, .run = run };
	struct version v;
	struct entry e;

	OK(f, write_as(f, ENTRY_DATA, "out.csv", S("1"), false, &who));
	assert_string_equal(outputs(f, run), "out@v1.csv/3 ");
	assert_int_equal(version_by_serial(kv_live(f->kv), serial_of(f, "out@v1.csv"), &v), 0);
	assert_int_equal(v.run, run);
	OK(f, write_as(f, ENTRY_DATA, "log.txt", S("1"), true, &who));
	append(f, "foreign.txt", "x");
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("raw"), S_IFDIR | 0755, &who, &dir));
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("empty"), S_IFDIR | 0755, &who, &quiet));
	assert_int_equal(entry_get(kv_live(f->kv), dir, &e), 0);
	OK(f, tree_put(f, e.tree, "x", S("1")));
	OK(f, entry_mark_written(f->m, dir, run));
	OK(f, entry_mark_written(f->m, dir, run));
	OK(f, entry_mark_written(f->m, quiet, run));
	assert_string_equal(outputs(f, run), "out@v1.csv/3 ");
	fx_reopen(f); /* what was marked is not forgotten; what waited was cut */
	assert_string_equal(ls(f, "log.txt"), "v1");
	assert_string_equal(ls(f, "raw"), "");
	append(f, "foreign.txt", "y");
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_string_equal(ls(f, "raw"), "v1");
	assert_string_equal(ls(f, "empty"), "");
	assert_string_equal(ls(f, "foreign.txt"), "v1 v2");
	assert_string_equal(outputs(f, run), "out@v1.csv/3 log@v1.txt/3 raw@v1/3 ");
}

static void links_follow(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), id;

	put(f, "a.csv", "1");
	id = head_of(f, ENTRY_DATA, "a.csv");
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, serial_of(f, "a@v1.csv"), LINEAGE_BY_HAND));
	OK(f, entry_rename(f->m, id, S("b.csv")));
	assert_string_equal(inputs(f, run), "b@v1.csv/1 ");
	OK(f, entry_remove_head(f->m, id, &me, NULL));
	assert_int_equal(entry_make_head(f->m, ENTRY_DATA, S("b.csv"), S_IFLNK, &me, &id), -EPERM);
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("b.csv"), S_IFDIR | 0755, &me, &id)); /* is a tree now: v1 stays a file */
	assert_string_equal(inputs(f, run), "b@v1.csv/1 ");
	OK(f, entry_trash(f->m, id));
	assert_string_equal(inputs(f, run), "b@v1.csv/1 ");
	OK(f, trash_destroy(f->m, TRASH_DATA, S("b.csv")));
	assert_string_equal(inputs(f, run), "b@v1.csv/1 "); /* its bytes are gone, its name is not */
	fx_clean(f);
	put(f, "b.csv", "other");
	assert_string_equal(ls(f, "b.csv"), "v2"); /* so that b@v1.csv never means another */
	OK(f, run_trash(f->m, run));
	OK(f, run_destroy(f->m, run));
	for (bool more = true; more;)
		assert_int_equal(meta_work_step(f->m, &more), 0);
	assert_int_equal(IN_BATCH(f, entry_get(kv_live(f->kv), id, &(struct entry){ 0 })), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(reading_a_head_cuts_it, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(what_runs_write, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(links_follow, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
