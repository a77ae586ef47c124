/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/clock.h"
#include "store/base/num.h"

static void doubles_print_in_their_shortest_form(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{ 0.0, "0" },
		{ -0.0, "-0" },
		{ 1, "1" },
		{ 5.0, "5" },
		{ -5, "-5" },
		{ 0.1, "0.1" },
		{ 0.5, "0.5" },
		{ 1e-4, "0.0001" },
		{ 1e-5, "1e-05" },
		{ 1.5e-7, "1.5e-07" },
		{ 100, "100" },
		{ 1e15, "1000000000000000" },
		{ 1e16, "1e+16" },
		{ 1e22, "1e+22" },
		{ 1e23, "1e+23" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ 5e-324, "5e-324" },
		{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 2.0 / 3, "0.6666666666666666" },
		{ 9007199254740993.0, "9007199254740992" },
		{ 123456.789, "123456.789" },
		{ 1700000000123, "1700000000123" },
		{ 3.141592653589793, "3.141592653589793" },
		{ 1234567890123456789.0, "1.2345678901234568e+18" },
		{ NAN, "nan" },
		{ -NAN, "nan" },
		{ INFINITY, "inf" },
		{ -INFINITY, "-inf" },
		{ 9.5367431640625e-07, "9.5367431640625e-07" },
		{ 4.35, "4.35" },
		{ 0.000123, "0.000123" },
	};
	char out[NUM_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(num_format_double(cases[i].v, out), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
}

/* RFC 8259: -? int frac? exp? */
static void assert_json_number(const char *s)
{
	const char *at = s;

	at += *at == '-';
	assert_true(*at >= '0' && *at <= '9');
	if (*at == '0')
		at++;
	else
		at += strspn(at, "0123456789");
	if (*at == '.') {
		at++;
		assert_true(strspn(at, "0123456789") > 0);
		at += strspn(at, "0123456789");
	}
	if (*at == 'e') {
		at++;
		at += *at == '+' || *at == '-';
		assert_true(strspn(at, "0123456789") > 0);
		at += strspn(at, "0123456789");
	}
	if (*at)
		fail_msg("%s is not a JSON number", s);
}

static void assert_round_trip(double v)
{
	char out[NUM_TEXT_MAX];
	size_t len = num_format_double(v, out);
	double back, strtod_back = strtod(out, NULL);

	assert_in_range(len, 1, NUM_TEXT_MAX - 1);
	assert_int_equal(len, strlen(out));
	assert_int_equal(num_parse_double(slice_of(out, len), &back), 0);
	if (memcmp(&back, &v, sizeof(v)) != 0 || memcmp(&strtod_back, &v, sizeof(v)) != 0)
		fail_msg("%.17g was printed as %s", v, out);
	assert_json_number(out);
}

static void any_double_reads_back_the_same(void **state)
{
	uint64_t bits = 88172645463325252u;
	char text[NUM_TEXT_MAX], out[NUM_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 300000; i++) {
		double v;

		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		assert_round_trip(v);
		/* What people log: few digits.  It prints as it was written, so it is the shortest. */
		snprintf(text, sizeof(text), "%.*g", 1 + i % 15, (double)(bits % 2000000000) / 1e5);
		v = strtod(text, NULL);
		assert_round_trip(v);
		num_format_double(v, out);
		if (strlen(out) > strlen(text) && !strchr(text, 'e'))
			fail_msg("%s was printed as %s", text, out);
	}
}

static void parsing_agrees_with_strtod(void **state)
{
	uint64_t bits = 12345;
	char text[64];

	(void)state;
	for (int i = 0; i < 300000; i++) {
		double v, want;

		bits = bits * 6364136223846793005u + 1442695040888963407u;
		snprintf(text, sizeof(text), "%s%llu.%0*llue%d", bits & 1 ? "-" : "",
			 (unsigned long long)(bits >> 20) % 100000, i % 12,
			 (unsigned long long)(bits >> 30) % 1000, (int)(bits >> 50) % 60 - 30);
		want = strtod(text, NULL);
		assert_int_equal(num_parse_double(slice_str(text), &v), 0);
		if (memcmp(&v, &want, sizeof(v)) != 0)
			fail_msg("%s was read as %.17g", text, v);
	}
}

static void what_strtod_takes_is_taken(void **state)
{
	static const struct {
		const char *text;
		double v;
	} cases[] = {
		{ "1", 1 },
		{ " 1.5\r\n", 1.5 },
		{ "\t-2", -2 },
		{ "+3", 3 },
		{ ".5", 0.5 },
		{ "5.", 5 },
		{ "1e3", 1000 },
		{ "1E+3", 1000 },
		{ "0x1p4", 16 },
		{ "1e-400", 0 },
		{ "5e-324", 5e-324 },
		{ "-0", -0.0 },
		{ "inf", INFINITY },
		{ "-Infinity", -INFINITY },
		{ "INF", INFINITY },
		{ "9007199254740993", 9007199254740992.0 },
		{ "0.1000000000000000055511151231257827", 0.1 },
		{ "123456789012345678901234567890", 123456789012345678901234567890.0 },
		{ "00012", 12 },
		{ "1e0000000001", 10 },
	};
	double v;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(num_parse_double(slice_str(cases[i].text), &v), 0);
		if (memcmp(&v, &cases[i].v, sizeof(v)) != 0)
			fail_msg("%s was read as %.17g", cases[i].text, v);
	}
	assert_int_equal(num_parse_double(slice_str("nan"), &v), 0);
	assert_true(isnan(v));
	assert_int_equal(num_parse_double(slice_str(" -NaN "), &v), 0);
	assert_true(isnan(v));
	assert_int_equal(num_parse_double(slice_of("12345", 2), &v), 0);
	assert_true(v == 12);
}

static void what_is_no_number_is_refused_with_a_reason(void **state)
{
	static const char *const cases[] = {
		"",    " ",     "abc",   "1,5",    "1 2",    "1e", "1e+",   ".",     "-",
		"+-1", "1.2.3", "1e400", "-1e400", "0.5abc", "e5", "1e5.5", "1_000",
	};
	double v = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear();
		if (num_parse_double(slice_str(cases[i]), &v) != -EINVAL)
			fail_msg("\"%s\" was taken", cases[i]);
		assert_true(strlen(err_reason()) > 0);
	}
	assert_int_equal(num_parse_double(slice_of("1\0002", 3), &v), -EINVAL);
	assert_true(v == 42);
	assert_int_equal(num_parse_double(slice_str("1,5"), &v), -EINVAL);
	assert_non_null(strstr(err_reason(), "point"));
	assert_int_equal(num_parse_double(slice_str("1e999"), &v), -EINVAL);
	assert_non_null(strstr(err_reason(), "range"));
}

static void a_locale_with_commas_changes_nothing(void **state)
{
	static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8" };
	char out[NUM_TEXT_MAX];
	double v;
	bool set = false;

	(void)state;
	for (size_t i = 0; i < 3 && !set; i++)
		set = setlocale(LC_ALL, locales[i]) != NULL;
	if (!set)
		skip();
	assert_int_equal(num_parse_double(slice_str("0.12345678901234567"), &v), 0);
	assert_true(v == 0.12345678901234567);
	num_format_double(1.0 / 3, out);
	assert_string_equal(out, "0.3333333333333333");
	setlocale(LC_ALL, "C");
}

static void integers(void **state)
{
	static const char *const bad[] = { "",
					   "-",
					   "1.0",
					   "1e3",
					   "x",
					   "9223372036854775808",
					   "-9223372036854775809",
					   "99999999999999999999",
					   "1 1" };
	char out[NUM_TEXT_MAX];
	int64_t v = 0;

	(void)state;
	assert_int_equal(num_parse_i64(slice_str(" 42\n"), &v), 0);
	assert_int_equal(v, 42);
	assert_int_equal(num_parse_i64(slice_str("-9223372036854775808"), &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(num_format_i64(v, out), 20);
	assert_string_equal(out, "-9223372036854775808");
	assert_int_equal(num_parse_i64(slice_str("+9223372036854775807"), &v), 0);
	assert_true(v == INT64_MAX);
	num_format_i64(v, out);
	assert_string_equal(out, "9223372036854775807");
	num_format_i64(0, out);
	assert_string_equal(out, "0");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(num_parse_i64(slice_str(bad[i]), &v), -EINVAL);
	assert_true(v == INT64_MAX);
}

static void json_has_words_for_what_it_cannot_write(void **state)
{
	char out[NUM_TEXT_MAX];

	(void)state;
	num_format_json(NAN, out);
	assert_string_equal(out, "\"NaN\"");
	num_format_json(INFINITY, out);
	assert_string_equal(out, "\"Infinity\"");
	assert_int_equal(num_format_json(-INFINITY, out), 11);
	assert_string_equal(out, "\"-Infinity\"");
	num_format_json(0.25, out);
	assert_string_equal(out, "0.25");
}

static void print_figures(void **state)
{
	enum { ROUNDS = 1000000 };
	char out[NUM_TEXT_MAX];
	double sum = 0, v;
	int64_t start = clock_now_ns();

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = num_format_double((double)(i % 100000) / 1e5, out);

		if (num_parse_double(slice_of(out, len), &v) == 0)
			sum += v;
	}
	print_message("%.0f ns to print and read a number of five digits (sum %g)\n",
		      (double)(clock_now_ns() - start) / ROUNDS, sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_print_in_their_shortest_form),
		cmocka_unit_test(any_double_reads_back_the_same),
		cmocka_unit_test(parsing_agrees_with_strtod),
		cmocka_unit_test(what_strtod_takes_is_taken),
		cmocka_unit_test(what_is_no_number_is_refused_with_a_reason),
		cmocka_unit_test(a_locale_with_commas_changes_nothing),
		cmocka_unit_test(integers),
		cmocka_unit_test(json_has_words_for_what_it_cannot_write),
		cmocka_unit_test(print_figures),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
