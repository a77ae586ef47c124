/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Params: written once, taken back, limits; and what a key may be.
 */
#include "tests/unit/run_fixture.h"

static void test_write_once(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f);
	struct slice value;
	int64_t at;

	OK(f, param_log(f->m, run, S("lr"), S("0.1")));
	OK(f, param_log(f->m, run, S("lr"), S("0.1")));
	assert_int_equal(IN_BATCH(f, param_log(f->m, run, S("lr"), S("0.2"))), -EPERM);
	assert_non_null(strstr(err_reason(), "0.1"));
	assert_int_equal(param_get(live(f), run, rx_key(f, "lr"), &value, &at), 0);
	assert_true(slice_eq(value, S("0.1")));
	assert_true(at > 0);
	OK(f, param_remove(f->m, run, rx_key(f, "lr")));
	assert_int_equal(param_get(live(f), run, rx_key(f, "lr"), &value, NULL), -ENOENT);
	assert_int_equal(IN_BATCH(f, param_remove(f->m, run, rx_key(f, "lr"))), -ENOENT);
	OK(f, param_log(f->m, run, S("lr"), S("0.2")));
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_int_equal(IN_BATCH(f, param_log(f->m, run, S("lr"), S("0.2"))), -EPERM);
	assert_int_equal(IN_BATCH(f, param_remove(f->m, run, rx_key(f, "lr"))), -EPERM);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f);
	static char big[META_PARAM_MAX + 1];

	memset(big, 'v', sizeof(big));
	OK(f, param_log(f->m, run, S("max"), slice_of(big, META_PARAM_MAX)));
	assert_int_equal(
		IN_BATCH(f, param_log(f->m, run, S("over"), slice_of(big, META_PARAM_MAX + 1))),
		-EFBIG);
	assert_int_equal(IN_BATCH(f, param_log(f->m, run, S("bytes"), S("\xc3("))), -EILSEQ);
	assert_int_equal(IN_BATCH(f, param_log(f->m, run, S("nul"), slice_of("a\0b", 3))), -EILSEQ);
	assert_int_equal(IN_BATCH(f, param_log(f->m, run + 1, S("none"), S("1"))), -ENOENT);
}

static void test_keys(void **state)
{
	static const struct {
		const char *key;
		int rc;
	} all[] = {
		{ "lr", 0 },         { "a b", 0 },        { "a.b-c_d:e", 0 },
		{ "a/b/c", 0 },      { ".hidden", 0 },    { "größe", 0 },
		{ "学習率", 0 },     { "4913", 0 },       { "", -EINVAL },
		{ "/a", -EINVAL },   { "a/", -EINVAL },   { "a//b", -EINVAL },
		{ ".", -EINVAL },    { "..", -EINVAL },   { "a/../b", -EINVAL },
		{ "a/.", -EINVAL },  { "..x", -EINVAL },  { "a%b", -EINVAL },
		{ "a\nb", -EINVAL }, { "a\tb", -EINVAL }, { "a\x7f", -EINVAL },
		{ "a+b", -EINVAL },  { "a\"b", -EINVAL }, { "\xe2\x82\xac", -EINVAL },
		{ "\xff", -EILSEQ },
	};
	char longest[META_KEY_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (key_check(S(all[i].key)) != all[i].rc)
			fail_msg("key \"%s\" answered %d, not %d", all[i].key,
				 key_check(S(all[i].key)), all[i].rc);
	memset(longest, 'k', sizeof(longest));
	assert_int_equal(key_check(slice_of(longest, META_KEY_MAX)), 0);
	assert_int_equal(key_check(slice_of(longest, META_KEY_MAX + 1)), -ENAMETOOLONG);
}

static void test_dictionary(void **state)
{
	struct fixture *f = *state;
	uint32_t abc = rx_key(f, "a/b/c"), ab, a, again;
	struct slice text;

	assert_int_equal(key_find(live(f), S("a/b"), &ab), 0);
	assert_int_equal(key_find(live(f), S("a"), &a), 0);
	assert_true(a < ab && ab < abc);
	OK(f, key_intern(f->m, S("a/b/c"), &again));
	assert_int_equal(again, abc);
	assert_int_equal(key_text(live(f), abc, &text), 0);
	assert_true(slice_eq(text, S("a/b/c")));
	assert_int_equal(key_find(live(f), S("nobody"), &again), -ENOENT);
	assert_int_equal(key_text(live(f), 999, &text), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_once, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_limits, fx_setup, fx_teardown),
		cmocka_unit_test(test_keys),
		cmocka_unit_test_setup_teardown(test_dictionary, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
