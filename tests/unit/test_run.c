/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: ids, states and sessions, parents, experiments, processes, trash, and that the check finds what is planted.
 */
#include "tests/unit/run_fixture.h"

#include "store/base/clock.h"
#include "store/base/hash.h"

static struct run get(struct fixture *f, uint32_t number)
{
	struct run run = { 0 };

	assert_int_equal(run_get(live(f), number, &run), 0);
	return run;
}

static int count_run(void *arg, const struct run *run)
{
	(void)run;
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_runs(struct fixture *f)
{
	unsigned n = 0;

	assert_int_equal(run_each(live(f), 0, count_run, &n), 0);
	return n;
}

static void work(struct fixture *f)
{
	bool more = true;

	for (int i = 0; more; i++) {
		assert_true(i < 10000);
		assert_int_equal(meta_work_step(f->m, &more), 0);
	}
}

static uint64_t rows_of(struct fixture *f, uint8_t table)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint64_t n = 0;
	int rc = kv_cursor_open(live(f), table, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur))
		n++;
	assert_int_equal(rc, -ENOENT);
	return n;
}

static void test_ids(void **state)
{
	static const char *const bad[] = {
		"",    "12",  "00",   "self", "latest",
		"new", ".x",  "a@b",  "a/b",  "0123456789abcdef0123456789ABCDEF",
		"x~",  "#x#", "4913", "a\nb", "runs.csv",
		"\xff"
	};
	struct fixture *f = *state;
	uint32_t a = rx_run(f), b = 0, found = 0;
	char uuid[33];
	struct run run;

	assert_int_equal(a, 1);
	OK(f, run_make_chosen(f->m, EXPERIMENT_DEFAULT, S("baseline"), &me, &b));
	assert_true(b >= RUN_CHOSEN_FIRST);
	assert_int_equal(rx_run(f), 2);
	assert_int_equal(
		IN_BATCH(f, run_make_chosen(f->m, EXPERIMENT_DEFAULT, S("baseline"), &me, &b)),
		-EEXIST);
	assert_int_equal(run_find(live(f), S("baseline"), &found), 0);
	assert_int_equal(found, b);
	assert_int_equal(run_find(live(f), S("2"), &found), 0);
	assert_int_equal(run_find(live(f), S("02"), &found), -ENOENT);
	assert_int_equal(run_find(live(f), S("33554432"), &found), -ENOENT);
	assert_int_equal(run_find(live(f), S("nobody"), &found), -ENOENT);
	assert_int_equal(run_find(live(f), S(""), &found), -ENOENT);
	run = get(f, a);
	hash_hex(run.uuid, 16, uuid);
	assert_int_equal(run_find(live(f), S(uuid), &found), 0);
	assert_int_equal(found, a);
	uuid[0] = uuid[0] == 'a' ? 'b' : 'a';
	assert_int_equal(run_find(live(f), S(uuid), &found), -ENOENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (run_id_check(S(bad[i])) == 0)
			fail_msg("\"%s\" passed for a run id", bad[i]);
	assert_int_equal(run_latest(live(f), &found), 0);
	assert_int_equal(found, 2);
	OK(f, run_make_chosen(f->m, EXPERIMENT_DEFAULT, S("last"), &me, &b));
	assert_int_equal(run_latest(live(f), &found), 0);
	assert_int_equal(found, b);
	OK(f, run_trash(f->m, b));
	assert_int_equal(run_latest(live(f), &found), 0);
	assert_int_equal(found, 2);
	assert_int_equal(IN_BATCH(f, run_make_chosen(f->m, EXPERIMENT_DEFAULT, S("last"), &me, &b)),
			 -EEXIST);
}

static void test_new_run(void **state)
{
	struct fixture *f = *state;
	struct run run = get(f, rx_run(f));
	const char *dash = memchr(run.name.data, '-', run.name.len);
	struct tree_info info;

	assert_non_null(dash);
	assert_int_equal(run.status, RUN_RUNNING);
	assert_int_equal(run.sessions, 1);
	assert_int_equal(run.tags, 2);
	assert_int_equal(run.uid, me.uid);
	assert_false(run.frozen);
	assert_int_equal(run.uuid[6] >> 4, 4);
	assert_int_equal(tree_info(live(f), run.tree, &info), 0);
	assert_int_equal(info.owner_id, run.number);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run.number, "mlflow.user"),
			    rx_read(f, VALUE_RUN_USER, run.number, NULL));
}

static int sum_sessions(void *arg, const struct run_session *s)
{
	int64_t *sum = arg;

	*sum += s->end_ms ? s->end_ms - s->start_ms : 0;
	return 0;
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	uint32_t n = rx_run(f);
	int64_t start = get(f, n).start_ms, sum = 0;
	struct tree_info info;
	struct run run;

	assert_int_equal(run_check_writable(live(f), n), 0);
	OK(f, run_set_status(f->m, n, RUN_FINISHED, start + 1500));
	run = get(f, n);
	assert_true(run.frozen);
	assert_int_equal(run.end_ms, start + 1500);
	assert_string_equal(rx_read(f, VALUE_RUN_DURATION, n, NULL), "1.5\n");
	assert_int_equal(run_check_writable(live(f), n), -EPERM);
	assert_int_equal(tree_info(live(f), run.tree, &info), 0);
	assert_true(info.frozen);
	/* One end and another; the same again. */
	OK(f, run_set_status(f->m, n, RUN_FAILED, 0));
	assert_int_equal(get(f, n).end_ms, start + 1500);
	OK(f, run_set_status(f->m, n, RUN_FAILED, 0));
	OK(f, run_set_status(f->m, n, RUN_FINISHED, start + 2000));
	assert_int_equal(get(f, n).duration_ms, 2000);
	/* Opened again. */
	OK(f, run_set_status(f->m, n, RUN_RUNNING, start + 10000));
	run = get(f, n);
	assert_false(run.frozen);
	assert_int_equal(run.sessions, 2);
	assert_int_equal(run.start_ms, start);
	assert_int_equal(run.end_ms, 0);
	assert_string_equal(rx_read(f, VALUE_RUN_DURATION, n, NULL), "\n");
	assert_int_equal(tree_info(live(f), run.tree, &info), 0);
	assert_false(info.frozen);
	OK(f, run_set_status(f->m, n, RUN_SCHEDULED, 0));
	assert_int_equal(run_check_writable(live(f), n), 0);
	OK(f, run_set_status(f->m, n, RUN_KILLED, start + 10500));
	run = get(f, n);
	assert_int_equal(run.duration_ms, 2500);
	assert_int_equal(run.end_ms, start + 10500);
	assert_int_equal(run_each_session(live(f), n, sum_sessions, &sum), 0);
	assert_int_equal(sum, 2500);
	assert_int_equal(IN_BATCH(f, run_set_start(f->m, n, 5)), -EPERM);
	/* An end before its start is its start. */
	n = rx_run(f);
	OK(f, run_set_status(f->m, n, RUN_FINISHED, 5));
	assert_int_equal(get(f, n).duration_ms, 0);
	n = rx_run(f);
	OK(f, run_set_start(f->m, n, 1700000000000));
	OK(f, run_set_status(f->m, n, RUN_FINISHED, 1700000001250));
	assert_string_equal(rx_read(f, VALUE_RUN_START, n, NULL), "2023-11-14T22:13:20.000Z\n");
	assert_string_equal(rx_read(f, VALUE_RUN_END, n, NULL), "2023-11-14T22:13:21.250Z\n");
	assert_string_equal(rx_read(f, VALUE_RUN_DURATION, n, NULL), "1.25\n");
}

static void test_status_words(void **state)
{
	static const char *const bad[] = { "",       "run",       "runningx",
					   "finish", "FINISHED!", "r\xf5nning" };
	enum run_status s;

	(void)state;
	assert_int_equal(run_status_parse(S("RUNNING"), &s), 0);
	assert_int_equal(s, RUN_RUNNING);
	assert_int_equal(run_status_parse(S("Killed"), &s), 0);
	assert_int_equal(s, RUN_KILLED);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(run_status_parse(S(bad[i]), &s), -EINVAL);
	for (int i = RUN_RUNNING; i <= RUN_KILLED; i++) {
		assert_int_equal(run_status_parse(S(run_status_name((enum run_status)i)), &s), 0);
		assert_int_equal(s, i);
	}
}

static void test_parents(void **state)
{
	struct fixture *f = *state;
	uint32_t a = rx_run(f), b = rx_run(f), c = rx_run(f);
	char uuid[40];
	unsigned n = 0;
	struct run run;

	OK(f, run_set_parent(f->m, b, a));
	OK(f, run_set_parent(f->m, c, b));
	assert_int_equal(IN_BATCH(f, run_set_parent(f->m, a, c)), -EINVAL);
	assert_int_equal(IN_BATCH(f, run_set_parent(f->m, a, a)), -EINVAL);
	assert_int_equal(IN_BATCH(f, run_set_parent(f->m, a, 77)), -EINVAL);
	assert_int_equal(run_each_child(live(f), a, 0, count_run, &n), 0);
	assert_int_equal(n, 1);
	/* By MLflow's tag: a UUID, an id, or what nobody knows. */
	run = get(f, a);
	hash_hex(run.uuid, 16, uuid);
	OK(f, tag_set(f->m, TAG_RUN, c, S("mlflow.parentRunId"), S(uuid)));
	assert_int_equal(get(f, c).parent, a);
	OK(f, tag_set(f->m, TAG_RUN, c, S("mlflow.parentRunId"), S("elsewhere")));
	assert_int_equal(get(f, c).parent, 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, c, "mlflow.parentRunId"), "elsewhere\n");
	/* A destroyed parent is none. */
	OK(f, run_trash(f->m, a));
	assert_int_equal(get(f, b).parent, a);
	OK(f, run_destroy(f->m, a));
	assert_string_equal(rx_read(f, VALUE_RUN_PARENT, b, NULL), "\n");
	work(f);
	assert_int_equal(get(f, b).parent, 0);
}

static void fill(struct fixture *f, uint32_t run)
{
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "a/b", "1\n"), 0);
	for (int i = 0; i < 50; i++) {
		char key[16];

		snprintf(key, sizeof(key), "p%d", i);
		assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, key, "1\n"), 0);
	}
	for (int i = 0; i < 350; i++)
		assert_int_equal(rx_write(f, VALUE_RUN_METRIC, run, "loss/train", "0.5\n"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "t/u", "x\n"), 0);
}

static void test_trash(void **state)
{
	static const uint8_t tables[] = { TABLE_RUN,       TABLE_RUN_NAME,    TABLE_RUN_EXPERIMENT,
					  TABLE_RUN_STAT,  TABLE_RUN_SESSION, TABLE_PARAM,
					  TABLE_METRIC,    TABLE_POINT,       TABLE_TAG,
					  TABLE_KEY_DIR,   TABLE_RUN_NOTE,    TABLE_RUN_PROC,
					  TABLE_META_WORK, TABLE_RUN_CHILD };
	struct fixture *f = *state;
	uint32_t n = rx_run(f), found;
	struct trash_item item;

	fill(f, n);
	assert_int_equal(IN_BATCH(f, run_destroy(f->m, n)), -EPERM);
	assert_int_equal(IN_BATCH(f, run_restore(f->m, n)), -EINVAL);
	OK(f, run_trash(f->m, n));
	assert_int_equal(IN_BATCH(f, run_trash(f->m, n)), -EPERM);
	assert_int_equal(run_find(live(f), S("1"), &found), -ENOENT);
	assert_int_equal(count_runs(f), 0);
	assert_int_equal(trash_find(live(f), TRASH_RUNS, S("1"), &item), 0);
	assert_int_equal(item.id, n);
	assert_int_equal(run_check_writable(live(f), n), -EPERM);
	OK(f, run_restore(f->m, n));
	assert_int_equal(trash_find(live(f), TRASH_RUNS, S("1"), &item), -ENOENT);
	assert_int_equal(run_find(live(f), S("1"), &found), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, n, "a/b"), "1\n");
	OK(f, run_trash(f->m, n));
	OK(f, run_destroy(f->m, n));
	assert_int_equal(run_get(live(f), n, &(struct run){ 0 }), -ENOENT);
	assert_int_equal(fx_check(f), 0); /* in the middle of the work too */
	work(f);
	for (size_t i = 0; i < sizeof(tables); i++)
		if (rows_of(f, tables[i]) != 0)
			fail_msg("table %u still has rows", tables[i]);
	assert_int_equal(rx_run(f), n + 1); /* no number is given out twice */
}

static void test_procs(void **state)
{
	struct fixture *f = *state;
	uint32_t a = rx_run(f), b = rx_run(f);
	struct run_proc p = { 4242, 99, 7 };

	OK(f, run_proc_add(f->m, a, &p));
	OK(f, run_proc_add(f->m, b, &p));
	assert_int_equal(rows_of(f, TABLE_RUN_PROC), 1);
	p.pid = 4243;
	OK(f, run_proc_add(f->m, b, &p));
	assert_int_equal(IN_BATCH(f, run_proc_remove(f->m, a, 4242)), -ENOENT);
	OK(f, run_proc_remove(f->m, b, 4242));
	assert_int_equal(rows_of(f, TABLE_RUN_PROC), 1);
	OK(f, run_set_status(f->m, b, RUN_FAILED, 0));
	assert_int_equal(rows_of(f, TABLE_RUN_PROC), 0);
	assert_int_equal(IN_BATCH(f, run_proc_add(f->m, b, &p)), -EPERM);
}

static void test_counts(void **state)
{
	struct fixture *f = *state;
	uint32_t n = rx_run(f);
	struct run run;

	fill(f, n);
	run = get(f, n);
	assert_int_equal(run.params, 51);
	assert_int_equal(run.metrics, 1);
	assert_int_equal(run.tags, 3);
	OK(f, param_remove(f->m, n, rx_key(f, "p7")));
	OK(f, metric_remove(f->m, n, rx_key(f, "loss/train")));
	OK(f, tag_remove(f->m, TAG_RUN, n, rx_key(f, "t/u")));
	run = get(f, n);
	assert_int_equal(run.params, 50);
	assert_int_equal(run.metrics, 0);
	assert_int_equal(run.tags, 2);
}

/* A batch that is undone leaves nothing. */
static void test_abort(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;

	fx_begin(f);
	assert_int_equal(run_make(f->m, EXPERIMENT_DEFAULT, &me, &n), 0);
	fx_end(f, -EIO);
	assert_int_equal(count_runs(f), 0);
	assert_int_equal(rx_run(f), n);
}

static void expect_fault(struct fixture *f, const char *what)
{
	f->faults[0] = '\0';
	assert_int_equal(meta_check(f->m, live(f), fx_fault, f), 1);
	if (!strstr(f->faults, what))
		fail_msg("\"%s\" is not among: %s", what, f->faults);
	f->broken = true;
}

static int drop_first(struct fixture *f, uint8_t table)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint8_t key[KV_KEY_MAX];
	size_t len;

	assert_int_equal(kv_cursor_open(live(f), table, &cur), 0);
	assert_int_equal(kv_cursor_seek(cur, slice_of(NULL, 0)), 0);
	len = kv_cursor_key(cur).len;
	memcpy(key, kv_cursor_key(cur).data, len);
	return kv_del(f->kv, table, slice_of(key, len));
}

/* Each row that is lost is noticed. */
static void test_check(void **state)
{
	static const struct {
		uint8_t table;
		const char *fault;
	} all[] = {
		{ TABLE_RUN_NAME, "UUID" },
		{ TABLE_RUN_EXPERIMENT, "not listed in its experiment" },
		{ TABLE_RUN_SESSION, "other sessions" },
		{ TABLE_PARAM, "wrong count of params" },
		{ TABLE_METRIC, "wrong count of metrics" },
		{ TABLE_TAG, "wrong count of tags" },
		{ TABLE_POINT, "metric" },
		{ TABLE_RUN, "is gone, but" },
		{ TABLE_EXPERIMENT, "belongs to no experiment" },
		{ TABLE_EXPERIMENT_NAME, "not found by its name" },
		{ TABLE_KEY_ID, "not found by its text" },
		{ TABLE_RUN_CHILD, "not listed under its parent" },
	};
	struct fixture *f = *state;
	uint32_t n = rx_run(f), child = rx_run(f);

	fill(f, n);
	OK(f, run_set_parent(f->m, child, n));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		fx_begin(f);
		assert_int_equal(drop_first(f, all[i].table), 0);
		expect_fault(f, all[i].fault);
		fx_end(f, -EIO); /* put back */
	}
	f->broken = false;
	assert_int_equal(fx_check(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ids, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_new_run, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_life, fx_setup, fx_teardown),
		cmocka_unit_test(test_status_words),
		cmocka_unit_test_setup_teardown(test_parents, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_trash, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_procs, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_counts, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_abort, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_check, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
