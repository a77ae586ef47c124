/* SPDX-License-Identifier: Apache-2.0 */
/* alias: words, what they name, and the log of their moves. */
#include "tests/unit/entry_fixture.h"

static void words(void **state)
{
	static const char *const good[] = { "best", "prod-2", "A_b", "v", "version", "v1a", "été", "0", "-" };
	static const char *const bad[] = { "", "latest", "Latest", "v1", "V12", "a.b", "a b", "a@b", "a/b", "a\n" };
	char text[META_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(alias_word_check(S(good[i])), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(alias_word_check(S(bad[i])), -EINVAL);
	assert_int_equal(alias_word_check(S("\xc3")), -EILSEQ);
	memset(text, 'a', sizeof(text));
	assert_int_equal(alias_word_check(slice_of(text, sizeof(text))), -ENAMETOOLONG);
}

static int add_move(void *arg, const struct alias_move *mv)
{
	char *out = arg;
	size_t len = strlen(out);

	assert_true(mv->at_ms > 0);
	(void)snprintf(out + len, 512 - len, "%u:%.*s %u>%u by %u/%u\n", mv->seq, (int)mv->word.len,
		       (const char *)mv->word.data, mv->from, mv->to, mv->uid, mv->run);
	return 0;
}

static int add_alias(void *arg, const struct alias *a)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 512 - len, "%.*s=%u ", (int)a->word.len, (const char *)a->word.data, a->n);
	return 0;
}

static void setting_and_log(void **state)
{
	struct fixture *f = *state;
	const struct meta_actor run = { .uid = 7, .gid = 7, .run = 42 };
	char text[512] = "";
	uint32_t id, n;

	put(f, "a.csv", "1");
	put(f, "a.csv", "2");
	put(f, "b.csv", "2");
	id = head_of(f, ENTRY_DATA, "a.csv");
	assert_int_equal(alias_get(kv_live(f->kv), id, S("best"), &n), -ENOENT);
	OK(f, alias_set(f->m, id, S("best"), 1, &me));
	OK(f, alias_set(f->m, id, S("best"), 1, &me)); /* no move */
	OK(f, alias_set(f->m, id, S("best"), 2, &run));
	OK(f, alias_set(f->m, id, S("ok"), 1, &me));
	assert_int_equal(IN_BATCH(f, alias_set(f->m, id, S("best"), 3, &me)), -ENOENT);
	assert_int_equal(IN_BATCH(f, alias_set(f->m, id, S("latest"), 1, &me)), -EINVAL);
	assert_int_equal(IN_BATCH(f, alias_set(f->m, id, S("v2"), 1, &me)), -EINVAL);
	assert_int_equal(IN_BATCH(f, alias_remove(f->m, id, S("latest"), &me)), -EPERM);
	assert_int_equal(IN_BATCH(f, alias_remove(f->m, id, S("none"), &me)), -ENOENT);
	assert_int_equal(alias_each(kv_live(f->kv), id, add_alias, text), 0);
	assert_string_equal(text, "best=2 ok=1 ");
	assert_string_equal(cat(f, "a@best.csv"), "2");
	OK(f, alias_remove(f->m, id, S("best"), &me));
	assert_string_equal(cat(f, "a@best.csv"), "!ENOENT");
	text[0] = '\0';
	assert_int_equal(alias_log_each(kv_live(f->kv), id, add_move, text), 0);
	assert_string_equal(text, "1:best 0>1 by 1000/0\n2:best 1>2 by 7/42\n3:ok 0>1 by 1000/0\n4:best 2>0 by 1000/0\n");
	text[0] = '\0';
	assert_int_equal(alias_log_each(kv_live(f->kv), head_of(f, ENTRY_DATA, "b.csv"), add_move, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(alias_get(kv_live(f->kv), id, S("latest"), &n), 0);
	assert_int_equal(n, 2);
}

static void they_follow(void **state)
{
	struct fixture *f = *state;
	char name[META_NAME_MAX], word[20];
	uint32_t id;

	put(f, "a.csv", "1");
	id = head_of(f, ENTRY_DATA, "a.csv");
	OK(f, alias_set(f->m, id, S("best"), 1, &me));
	OK(f, entry_rename(f->m, id, S("b.csv")));
	assert_string_equal(cat(f, "b@best.csv"), "1");
	OK(f, entry_remove_head(f->m, id, &me, NULL));
	assert_string_equal(cat(f, "b@best.csv"), "1");
	OK(f, entry_trash(f->m, id));
	assert_string_equal(cat(f, "b@best.csv"), "!ENOENT");
	assert_int_equal(IN_BATCH(f, alias_set(f->m, id, S("x"), 1, &me)), -ENOENT);
	OK(f, entry_restore(f->m, id, S("b.csv")));
	assert_string_equal(cat(f, "b@best.csv"), "1");
	/* a name and an alias that are too long together */
	memset(name, 'n', sizeof(name));
	memset(word, 'w', sizeof(word));
	OK(f, entry_rename(f->m, id, slice_of(name, sizeof(name))));
	assert_int_equal(IN_BATCH(f, alias_set(f->m, id, slice_of(word, 15), 1, &me)), -ENAMETOOLONG);
	OK(f, alias_set(f->m, id, slice_of(word, 14), 1, &me));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test_setup_teardown(setting_and_log, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(they_follow, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
