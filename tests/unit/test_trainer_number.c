/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trainer_number - numbers to text and back.
 */
#include "trainer/number.h"
#include "trainer/rng.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void test_format_is_shortest(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "-0" },
		{ 40, "40" },
		{ 120, "120" },
		{ 0.1, "0.1" },
		{ 1.7000000000000002, "1.7000000000000002" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 0.00001, "0.00001" },
		{ 1e-6, "1e-06" },
		{ 9.5e-6, "9.5e-06" },
		{ 1e16, "10000000000000000" },
		{ 1e17, "1e+17" },
		{ 9007199254740993.0, "9007199254740992" },
		{ -2.5, "-2.5" },
		{ 5e-324, "5e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ 123456.789, "123456.789" },
	};
	char buf[NUMBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(number_format(rows[i].value, buf), rows[i].text);
}

static void test_format_reads_back(void **state)
{
	struct rng rng;
	char buf[NUMBER_SIZE];

	(void)state;
	rng_init(&rng, 1, 1);
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = (uint64_t)rng_next(&rng) << 32 | rng_next(&rng);
		double value, back;

		memcpy(&value, &bits, sizeof(value));
		if (!isfinite(value))
			continue;
		assert_true(strlen(number_format(value, buf)) < NUMBER_SIZE);
		assert_true(number_parse(buf, &back) && memcmp(&back, &value, sizeof(value)) == 0);
		value = (double)rng_below(&rng, 1000000) / 1000;
		assert_true(number_parse(number_format(value, buf), &back) &&
			    memcmp(&back, &value, sizeof(value)) == 0);
	}
}

static void test_parse_takes_decimals_only(void **state)
{
	static const char *const bad[] = { "",       " 1",  "1 ",    "nan",  "inf",
					   "-inf",   "NaN", "0x1p3", "0x10", "1e400",
					   "-1e400", "1,5", "1.2.3", "--1",  "e5",
					   ".",      "+",   "1e",    "1\n",  "١" };
	double value;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(number_parse(bad[i], &value));
	assert_true(number_parse("+.5e1", &value));
	assert_float_equal(value, 5, 0);
	assert_true(number_parse("1e-400", &value));
}

static void test_parse_int_holds_its_range(void **state)
{
	int64_t value;

	(void)state;
	assert_true(number_parse_int("7", 1, 7, &value));
	assert_int_equal(value, 7);
	assert_false(number_parse_int("8", 1, 7, &value));
	assert_false(number_parse_int("0", 1, 7, &value));
	assert_false(number_parse_int("7.0", 1, 7, &value));
	assert_false(number_parse_int("+7", 1, 7, &value));
	assert_false(number_parse_int(" 7", 1, 7, &value));
	assert_false(number_parse_int("", 1, 7, &value));
	assert_false(number_parse_int("99999999999999999999", 1, INT64_MAX, &value));
	assert_true(number_parse_int("-3", -3, 0, &value));
	assert_int_equal(value, -3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_is_shortest),
		cmocka_unit_test(test_format_reads_back),
		cmocka_unit_test(test_parse_takes_decimals_only),
		cmocka_unit_test(test_parse_int_holds_its_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
