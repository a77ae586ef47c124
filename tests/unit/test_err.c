/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/err.h"

static void a_reason_is_kept_until_cleared(void **state)
{
	(void)state;
	err_clear();
	assert_string_equal(err_reason(), "");
	assert_int_equal(err_set(-EPERM, "run %d is frozen", 7), -EPERM);
	assert_string_equal(err_reason(), "run 7 is frozen");
	assert_string_equal(err_text(-EPERM), "run 7 is frozen");
	err_clear();
	assert_string_equal(err_reason(), "");
}

static void a_reason_may_contain_the_last_one(void **state)
{
	(void)state;
	(void)err_set(-EIO, "inner");
	(void)err_set(-EIO, "outer: %s", err_reason());
	assert_string_equal(err_reason(), "outer: inner");
}

static void a_reason_for_another_error_is_not_shown(void **state)
{
	(void)state;
	(void)err_set(-ENOENT, "tried and done without");
	assert_string_equal(err_text(-EINVAL), strerror(EINVAL));
	err_clear();
	assert_string_equal(err_text(-ENOSPC), strerror(ENOSPC));
}

static void a_long_reason_is_cut(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)err_set(-EIO, "%s", text);
	assert_in_range(strlen(err_reason()), 400, 600);
}

static void *other_thread(void *arg)
{
	*(size_t *)arg = strlen(err_reason());
	(void)err_set(-EIO, "theirs");
	return NULL;
}

static void a_reason_belongs_to_its_thread(void **state)
{
	pthread_t thread;
	size_t seen = 1;

	(void)state;
	(void)err_set(-EIO, "mine");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
	pthread_join(thread, NULL);
	assert_int_equal(seen, 0);
	assert_string_equal(err_reason(), "mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reason_is_kept_until_cleared),
		cmocka_unit_test(a_reason_may_contain_the_last_one),
		cmocka_unit_test(a_reason_for_another_error_is_not_shown),
		cmocka_unit_test(a_long_reason_is_cut),
		cmocka_unit_test(a_reason_belongs_to_its_thread),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
