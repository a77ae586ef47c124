/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/text.h"

static void well_formed_utf8(void **state)
{
	static const char *const good[] = {
		"",
		"plain",
		"\xc3\xa9",
		"\xe2\x82\xac",
		"\xf0\x9f\x98\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xf4\x8f\xbf\xbf",
	};
	static const char *const bad[] = {
		"\x80",
		"\xc3",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x80\x80",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xf0\x80\x80\x80",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"a\xc3(",
		"\xe2\x28\xa1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_valid(slice_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_valid(slice_str(bad[i])));
	assert_false(text_valid(slice_of("a\0b", 3)));
}

typedef void adder(struct buf *out, struct slice s);

static void assert_adds(adder *add, struct slice s, const char *want)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	buf_add_str(&b, "");
	add(&b, s);
	assert_string_equal(b.data, want);
	assert_int_equal(b.len, strlen(want));
}

static void quoting(void **state)
{
	(void)state;
	assert_adds(text_add_json, slice_str(""), "\"\"");
	assert_adds(text_add_json, slice_str("a \"b\" \\ /"), "\"a \\\"b\\\" \\\\ /\"");
	assert_adds(text_add_json, slice_str("\b\f\n\r\t\x01\x1f\x7f"),
		    "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"");
	assert_adds(text_add_json, slice_of("\0", 1), "\"\\u0000\"");
	assert_adds(text_add_json, slice_str("\xc3\xa9\xff\xe2\x82"),
		    "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_adds(text_add_csv, slice_str("plain text"), "plain text");
	assert_adds(text_add_csv, slice_str("a,b"), "\"a,b\"");
	assert_adds(text_add_csv, slice_str("say \"x\""), "\"say \"\"x\"\"\"");
	assert_adds(text_add_csv, slice_str("two\nlines"), "\"two\nlines\"");
	assert_adds(text_add_csv, slice_str(""), "");
	assert_adds(text_add_tsv, slice_str("a\tb\nc\\d,\"e\""), "a\\tb\\nc\\\\d,\"e\"");
}

static void keys_become_paths_and_come_back(void **state)
{
	static const struct {
		const char *key, *path;
	} cases[] = {
		{ "loss", "loss" },
		{ "val/loss", "val/loss" },
		{ "a b_-.:c", "a b_-.:c" },
		{ "100%", "100%25" },
		{ "/a", "%2Fa" },
		{ "a/", "a%2F" },
		{ "a//b", "a/%2Fb" },
		{ "/", "%2F" },
		{ "//", "%2F%2F" },
		{ ".", "%2E" },
		{ "..", "%2E." },
		{ "a/../b", "a/%2E./b" },
		{ ".hidden", "%2Ehidden" },
		{ "x/.y", "x/%2Ey" },
		{ "tab\there", "tab%09here" },
		{ "del\x7f", "del%7F" },
		{ "back~", "back%7E" },
		{ "~", "%7E" },
		{ ".~", "%2E%7E" },
		{ "4913", "%34913" },
		{ "#a#", "%23a#" },
		{ "#a", "#a" },
		{ "\xc3\xa9", "\xc3\xa9" },
		{ "%2F", "%252F" },
		{ "44913", "44913" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SCOPED_BUF struct buf path = BUF_INIT, key = BUF_INIT;

		text_key_to_path(&path, slice_str(cases[i].key));
		assert_string_equal(path.data, cases[i].path);
		assert_int_equal(text_path_to_key(&key, buf_slice(&path)), 0);
		assert_string_equal(key.data, cases[i].key);
	}
}

/* Whatever the key: a path that a file system takes, which leads back to it and to no other. */
static void any_key_is_a_good_path(void **state)
{
	static const char alphabet[] = "ab./%#~49\x01\x7f 13";
	unsigned rnd = 9;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		SCOPED_BUF struct buf path = BUF_INIT, back = BUF_INIT;
		char key[12];
		size_t len = 1 + (unsigned)rand_r(&rnd) % (sizeof(key) - 1), from = 0;

		for (size_t k = 0; k < len; k++)
			key[k] = alphabet[(unsigned)rand_r(&rnd) % (sizeof(alphabet) - 1)];
		text_key_to_path(&path, slice_of(key, len));
		for (size_t k = 0; k <= path.len; k++) {
			if (k < path.len && path.data[k] != '/')
				continue;
			if (k == from || text_is_scratch(slice_of(path.data + from, k - from)))
				fail_msg("\"%.*s\" became \"%s\"", (int)len, key, path.data);
			from = k + 1;
		}
		assert_int_equal(text_path_to_key(&back, buf_slice(&path)), 0);
		assert_true(slice_eq(buf_slice(&back), slice_of(key, len)));
	}
}

static void malformed_escapes_are_refused(void **state)
{
	static const char *const bad[] = { "%", "a%", "%2", "%zz", "%2g", "%%", "x%4" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SCOPED_BUF struct buf key = BUF_INIT;

		err_clear();
		assert_int_equal(text_path_to_key(&key, slice_str(bad[i])), -EINVAL);
		assert_true(strlen(err_reason()) > 0);
	}
	{
		SCOPED_BUF struct buf key = BUF_INIT;

		assert_int_equal(text_path_to_key(&key, slice_str("%2f%41%7e")), 0);
		assert_string_equal(key.data, "/A~");
	}
}

static void scratch_names(void **state)
{
	static const char *const scratch[] = { ".x.swp", ".swp", ".DS_Store", "a~", "~",   "4913",
					       "#a#",    "##",   ".",         "..", ".git" };
	static const char *const real[] = { "",  "a",   "4914",  "#a",   "a#",
					    "#", "a~b", "x.swp", "49130" };

	(void)state;
	for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++)
		assert_true(text_is_scratch(slice_str(scratch[i])));
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
		assert_false(text_is_scratch(slice_str(real[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed_utf8),
		cmocka_unit_test(quoting),
		cmocka_unit_test(keys_become_paths_and_come_back),
		cmocka_unit_test(any_key_is_a_good_path),
		cmocka_unit_test(malformed_escapes_are_refused),
		cmocka_unit_test(scratch_names),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
