/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experiments: names, renaming, trash with their runs, destruction in steps.
 */
#include "tests/unit/run_fixture.h"

static uint32_t make(struct fixture *f, const char *name)
{
	uint32_t id = 0;

	OK(f, experiment_make(f->m, S(name), &me, &id));
	return id;
}

static uint32_t make_run(struct fixture *f, uint32_t experiment)
{
	uint32_t run = 0;

	OK(f, run_make(f->m, experiment, &me, &run));
	return run;
}

static int count_run(void *arg, const struct run *run)
{
	(void)run;
	++*(unsigned *)arg;
	return 0;
}

static int add_name(void *arg, const struct experiment *e)
{
	buf_add_slice(arg, e->name);
	buf_add_ch(arg, ' ');
	return 0;
}

static const char *names(struct fixture *f)
{
	static struct buf out;

	buf_reset(&out);
	buf_add_str(&out, "");
	assert_int_equal(experiment_each(live(f), UINT32_MAX, add_name, &out), 0);
	return out.data;
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", ".x", "a/b", "a\nb", "\xff", "x~", "#x#"
	};
	struct fixture *f = *state;
	uint32_t a, b, found;
	char longest[META_NAME_MAX + 2];
	struct experiment e;

	assert_string_equal(names(f), "Default ");
	a = make(f, "iris");
	b = make(f, "grün @2");
	assert_int_equal(a, 1);
	assert_int_equal(IN_BATCH(f, experiment_make(f->m, S("iris"), &me, &found)), -EEXIST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (IN_BATCH(f, experiment_make(f->m, S(bad[i]), &me, &found)) >= 0)
			fail_msg("\"%s\" passed for a name", bad[i]);
	memset(longest, 'n', sizeof(longest));
	assert_int_equal(IN_BATCH(f, experiment_make(f->m, slice_of(longest, META_NAME_MAX + 1),
						     &me, &found)),
			 -ENAMETOOLONG);
	OK(f, experiment_make(f->m, slice_of(longest, META_NAME_MAX), &me, &found));
	OK(f, experiment_rename(f->m, a, S("flowers")));
	assert_int_equal(experiment_find(live(f), S("iris"), &found), -ENOENT);
	assert_int_equal(experiment_find(live(f), S("flowers"), &found), 0);
	assert_int_equal(found, a);
	assert_int_equal(IN_BATCH(f, experiment_rename(f->m, b, S("flowers"))), -EEXIST);
	assert_int_equal(IN_BATCH(f, experiment_rename(f->m, EXPERIMENT_DEFAULT, S("x"))), -EPERM);
	assert_int_equal(IN_BATCH(f, experiment_remove(f->m, EXPERIMENT_DEFAULT)), -EPERM);
	assert_int_equal(IN_BATCH(f, experiment_trash(f->m, EXPERIMENT_DEFAULT)), -EPERM);
	OK(f, experiment_set_description(f->m, a, S("about flowers")));
	fx_reopen(f);
	assert_int_equal(experiment_get(live(f), a, &e), 0);
	assert_true(slice_eq(e.name, S("flowers")) && slice_eq(e.description, S("about flowers")));
}

static void test_trash(void **state)
{
	struct fixture *f = *state;
	uint32_t e = make(f, "iris"), one = make_run(f, e), two = make_run(f, e), found;
	unsigned n = 0;

	assert_int_equal(IN_BATCH(f, experiment_remove(f->m, e)), -ENOTEMPTY);
	OK(f, run_trash(f->m, two));
	assert_int_equal(IN_BATCH(f, experiment_remove(f->m, e)), -ENOTEMPTY);
	OK(f, experiment_trash(f->m, e));
	assert_string_equal(names(f), "Default ");
	assert_int_equal(run_find(live(f), S("1"), &found), -ENOENT);
	assert_int_equal(run_each(live(f), 0, count_run, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(run_each_in(live(f), e, 0, count_run, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, one, "p", "1\n"), -EPERM);
	assert_int_equal(rx_write(f, VALUE_EXPERIMENT_DESCRIPTION, e, NULL, "x\n"), -EPERM);
	assert_int_equal(IN_BATCH(f, run_make(f->m, e, &me, &found)), -ENOENT);
	assert_int_equal(IN_BATCH(f, experiment_trash(f->m, e)), -EPERM);
	(void)make(f, "iris");
	assert_int_equal(IN_BATCH(f, experiment_restore(f->m, e, S("iris"))), -EEXIST);
	OK(f, experiment_restore(f->m, e, S("iris again")));
	assert_int_equal(run_find(live(f), S("1"), &found), 0);
	assert_int_equal(run_find(live(f), S("2"), &found), -ENOENT); /* it went by itself */
	OK(f, run_restore(f->m, two));
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, two, NULL), "iris again\n");
}

static void test_destroy(void **state)
{
	struct fixture *f = *state;
	uint32_t e = make(f, "big"), alone = make_run(f, e), found;
	unsigned n = 0, steps = 0;
	bool more = true;
	struct run run;

	for (int i = 0; i < 100; i++) {
		uint32_t r = make_run(f, e);

		assert_int_equal(rx_write(f, VALUE_RUN_PARAM, r, "a/b", "1\n"), 0);
		assert_int_equal(rx_write(f, VALUE_RUN_METRIC, r, "m", "1\n"), 0);
	}
	assert_int_equal(rx_write(f, VALUE_EXPERIMENT_TAG, e, "x/y", "1\n"), 0);
	OK(f, run_trash(f->m, alone));
	assert_int_equal(IN_BATCH(f, experiment_destroy(f->m, e)), -EPERM);
	OK(f, experiment_trash(f->m, e));
	OK(f, experiment_destroy(f->m, e));
	assert_int_equal(experiment_get(live(f), e, &(struct experiment){ 0 }), -ENOENT);
	assert_int_equal(run_get(live(f), alone + 1, &run), -ENOENT);
	for (; more; steps++) {
		assert_true(steps < 1000);
		assert_int_equal(meta_work_step(f->m, &more), 0);
		assert_int_equal(fx_check(f), 0);
		if (steps == 1)
			fx_reopen(f);
	}
	assert_true(steps > 2); /* bounded steps */
	assert_int_equal(run_each(live(f), 0, count_run, &n), 0);
	assert_int_equal(n, 0);
	/* A run that was trashed by itself is still there, and comes back to Default. */
	OK(f, run_restore(f->m, alone));
	assert_int_equal(run_find(live(f), S("1"), &found), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, alone, NULL), "Default\n");
}

static void test_restore_to_default(void **state)
{
	struct fixture *f = *state;
	uint32_t e = make(f, "gone"), r = make_run(f, e);

	OK(f, run_trash(f->m, r));
	OK(f, experiment_remove(f->m, e));
	OK(f, run_restore(f->m, r));
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, r, NULL), "Default\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_trash, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_destroy, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_restore_to_default, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
