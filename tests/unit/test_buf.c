/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/buf.h"

static void appends_add_up_and_stay_terminated(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	assert_null(b.data);
	buf_add_str(&b, "one ");
	buf_add_ch(&b, 't');
	buf_add(&b, "wo", 2);
	buf_addf(&b, " %d", 3);
	buf_add_slice(&b, slice_str(" four"));
	buf_add(&b, NULL, 0);
	assert_string_equal(b.data, "one two 3 four");
	assert_int_equal(b.len, strlen(b.data));
	assert_true(slice_eq(buf_slice(&b), slice_str("one two 3 four")));
	assert_int_equal(buf_err(&b), 0);
}

static void it_grows_to_any_size(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		buf_addf(&b, "%05u", i);
		assert_int_equal(b.data[b.len], 0);
	}
	assert_int_equal(b.len, 500000);
	assert_memory_equal(b.data + 5 * 77777, "77777", 5);
}

static void a_long_format_fits(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	for (int len = 0; len < 300; len++) {
		buf_reset(&b);
		buf_addf(&b, "%*s|", len, "");
		assert_int_equal(b.len, len + 1);
		assert_int_equal(b.data[len], '|');
	}
}

static void reserve_gives_room_behind_what_is_there(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;
	char *at;

	(void)state;
	buf_add_str(&b, "head");
	at = buf_reserve(&b, 5000);
	assert_non_null(at);
	memset(at, 'x', 5000);
	assert_int_equal(b.len, 4);
	b.len += 5000;
	buf_add_str(&b, "tail");
	assert_int_equal(b.len, 5008);
	assert_memory_equal(b.data + 5000, "xxxxtail", 8);
}

static void running_out_of_memory_is_sticky(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	buf_add_str(&b, "kept");
	assert_null(buf_reserve(&b, SIZE_MAX / 2));
	assert_true(b.failed);
	buf_add_str(&b, "ignored");
	assert_string_equal(b.data, "kept");
	assert_int_equal(buf_err(&b), -ENOMEM);
	buf_reset(&b);
	buf_add_str(&b, "again");
	assert_string_equal(b.data, "again");
	assert_int_equal(buf_err(&b), 0);
}

static void detach_hands_over(void **state)
{
	struct buf b = BUF_INIT;
	char *text;

	(void)state;
	buf_add_str(&b, "mine now");
	text = buf_detach(&b);
	assert_string_equal(text, "mine now");
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	free(text);
	assert_null(buf_detach(&b));
}

static void slices_compare_by_bytes(void **state)
{
	(void)state;
	assert_true(slice_eq(slice_of(NULL, 0), slice_str("")));
	assert_false(slice_eq(slice_str("a"), slice_str("ab")));
	assert_true(slice_has_prefix(slice_str("abc"), slice_str("ab")));
	assert_true(slice_has_prefix(slice_str("abc"), slice_of(NULL, 0)));
	assert_false(slice_has_prefix(slice_str("ab"), slice_str("abc")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_add_up_and_stay_terminated),
		cmocka_unit_test(it_grows_to_any_size),
		cmocka_unit_test(a_long_format_fits),
		cmocka_unit_test(reserve_gives_room_behind_what_is_there),
		cmocka_unit_test(running_out_of_memory_is_sticky),
		cmocka_unit_test(detach_hands_over),
		cmocka_unit_test(slices_compare_by_bytes),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
