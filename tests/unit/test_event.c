/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: lines, cursors, readers that fall behind.
 */
#include "tests/unit/run_fixture.h"

static void heard(void *arg)
{
	++*(int *)arg;
}

static void test_lines(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf out = BUF_INIT;
	uint64_t cursor = 0;
	int calls = 0;

	event_set_listener(f->m, heard, &calls);
	event_emit(f->m, "before", NULL);
	event_read(f->m, &cursor, &out);
	assert_int_equal(out.len, 0);
	event_emit(f->m, "test.event", "a", "1", "b", "quote \" and \n", NULL);
	event_read(f->m, &cursor, &out);
	assert_int_equal(calls, 2);
	assert_non_null(strstr(
		out.data, ",\"event\":\"test.event\",\"a\":\"1\",\"b\":\"quote \\\" and \\n\"}\n"));
	assert_int_equal(out.data[0], '{');
	buf_reset(&out);
	event_read(f->m, &cursor, &out);
	assert_int_equal(out.len, 0);
	event_set_listener(f->m, NULL, NULL);
	event_emit(f->m, "quiet", NULL);
	assert_int_equal(calls, 2);
}

static void test_behind(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf out = BUF_INIT;
	uint64_t cursor = 0;
	size_t lines = 0;

	event_read(f->m, &cursor, &out);
	for (int i = 0; i < 5000; i++)
		event_emit(f->m, "many", NULL);
	event_read(f->m, &cursor, &out);
	assert_int_equal(strncmp(out.data, "{\"event\":\"events.lost\",\"count\":904}\n", 36), 0);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, 4097);
}

static void test_runs(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf out = BUF_INIT;
	uint64_t cursor = 0;
	uint32_t run;

	event_read(f->m, &cursor, &out);
	run = rx_run(f);
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	OK(f, run_trash(f->m, run));
	event_read(f->m, &cursor, &out);
	assert_non_null(strstr(out.data, "\"event\":\"run.new\",\"run\":\"1\""));
	assert_non_null(
		strstr(out.data, "\"event\":\"run.status\",\"run\":\"1\",\"status\":\"finished\""));
	assert_non_null(strstr(out.data, "\"event\":\"run.trash\",\"run\":\"1\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_behind, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_runs, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
