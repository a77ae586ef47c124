/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/clock.h"

static void known_instants(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1767323045678, "2026-01-02T03:04:05.678Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -86400000, "1969-12-31T00:00:00.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ -62135596800000, "0001-01-01T00:00:00.000Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
	};
	char out[CLOCK_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(clock_format_ms(cases[i].ms, out), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
}

static void every_day_agrees_with_the_c_library(void **state)
{
	char out[CLOCK_TEXT_MAX], want[64];

	(void)state;
	for (int64_t day = -200000; day < 200000; day += 13) {
		time_t t = (time_t)(day * 86400 + 3661);
		struct tm tm;

		gmtime_r(&t, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.007Z",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
		clock_format_ms((int64_t)t * 1000 + 7, out);
		assert_string_equal(out, want);
	}
}

static void any_number_fits(void **state)
{
	char out[CLOCK_TEXT_MAX];

	(void)state;
	assert_in_range(clock_format_ms(INT64_MAX, out), 24, CLOCK_TEXT_MAX - 1);
	assert_in_range(clock_format_ms(INT64_MIN, out), 24, CLOCK_TEXT_MAX - 1);
}

static void time_goes_on(void **state)
{
	int64_t ns = clock_now_ns(), ms = clock_now_ms(), mono = clock_mono_ms();

	(void)state;
	assert_true(ms - ns / 1000000 >= 0 && ms - ns / 1000000 < 1000);
	assert_true(ns / 1000000000 - time(NULL) <= 1);
	usleep(20000);
	assert_true(clock_mono_ms() - mono >= 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_instants),
		cmocka_unit_test(every_day_agrees_with_the_c_library),
		cmocka_unit_test(any_number_fits),
		cmocka_unit_test(time_goes_on),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
