/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as paths: directories, what collides, encoded names, directories made by hand; and a random walk against a model.
 */
#include "tests/unit/run_fixture.h"

#include "store/base/text.h"

static int add_entry(void *arg, const struct key_entry *e, uint64_t cookie)
{
	assert_true(cookie > 0);
	buf_add_slice(arg, e->component);
	buf_add_str(arg, e->is_dir ? "/ " : " ");
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What lies in a directory, sorted. */
static const char *list(struct fixture *f, uint32_t run, const char *dir)
{
	static struct buf out, sorted;
	char *words[200], *save = NULL;
	size_t n = 0;

	buf_reset(&out);
	buf_reset(&sorted);
	buf_add_str(&out, "");
	buf_add_str(&sorted, "");
	assert_int_equal(key_dir_each(live(f), TAG_RUN, KEYS_PARAM, run, *dir ? rx_key(f, dir) : 0,
				      0, add_entry, &out),
			 0);
	for (char *w = strtok_r(out.data, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	qsort(words, n, sizeof(*words), compare_words);
	for (size_t i = 0; i < n; i++)
		buf_addf(&sorted, "%s%s", i ? " " : "", words[i]);
	return sorted.data;
}

static void log_key(struct fixture *f, uint32_t run, const char *key)
{
	OK(f, param_log(f->m, run, S(key), S("1")));
}

static void drop_key(struct fixture *f, uint32_t run, const char *key)
{
	OK(f, param_remove(f->m, run, rx_key(f, key)));
}

/* The key that COMPONENT in DIR opens: its text, "DIR" for a directory, "" for nothing. */
static const char *look(struct fixture *f, uint32_t run, const char *dir, const char *component)
{
	static char out[600];
	struct key_entry e;
	struct slice text;

	if (key_dir_lookup(live(f), TAG_RUN, KEYS_PARAM, run, *dir ? rx_key(f, dir) : 0,
			   S(component), &e) < 0)
		return "";
	if (e.is_dir)
		return "DIR";
	assert_int_equal(key_text(live(f), e.key, &text), 0);
	snprintf(out, sizeof(out), "%.*s", (int)text.len, (const char *)text.data);
	return out;
}

static void test_collisions(void **state)
{
	struct fixture *f = *state;
	uint32_t a = rx_run(f), b = rx_run(f);

	log_key(f, a, "loss");
	log_key(f, a, "loss/train");
	log_key(f, a, "loss/val/x");
	assert_string_equal(list(f, a, ""), "loss loss%2Ftrain loss%2Fval%2Fx");
	assert_string_equal(look(f, a, "", "loss"), "loss");
	assert_string_equal(look(f, a, "", "loss%2Ftrain"), "loss/train");
	assert_string_equal(look(f, a, "", "loss%2f"), "loss");
	log_key(f, b, "loss/train");
	log_key(f, b, "loss");
	assert_string_equal(list(f, b, ""), "loss%2F loss/");
	assert_string_equal(list(f, b, "loss"), "train");
	assert_string_equal(look(f, b, "", "loss"), "DIR");
	assert_string_equal(look(f, b, "", "loss%2F"), "loss");
	assert_string_equal(look(f, b, "loss", "train"), "loss/train");
	assert_string_equal(look(f, b, "", "loss%2Ftrain"), "loss/train");
	/* Who was first goes: the plain path is free. */
	drop_key(f, a, "loss");
	assert_string_equal(list(f, a, ""), "loss/");
	assert_string_equal(list(f, a, "loss"), "train val/");
	log_key(f, a, "loss");
	assert_string_equal(list(f, a, ""), "loss%2F loss/");
	drop_key(f, b, "loss/train");
	assert_string_equal(list(f, b, ""), "loss");
	/* Deeper down. */
	log_key(f, b, "m/a");
	log_key(f, b, "m/a/b");
	assert_string_equal(list(f, b, ""), "loss m/");
	assert_string_equal(list(f, b, "m"), "a a%2Fb");
	assert_string_equal(look(f, b, "m", "a%2Fb"), "m/a/b");
	assert_string_equal(look(f, b, "", "m%2Fa%2Fb"), "m/a/b");
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f), key = 0;
	char longest[META_KEY_MAX + 1];

	log_key(f, run, ".hidden");
	log_key(f, run, "a b:c");
	log_key(f, run, "4913");
	log_key(f, run, "d/.e");
	assert_string_equal(list(f, run, "d"), "%2Ee");
	assert_string_equal(look(f, run, "", "%2Ehidden"), ".hidden");
	assert_string_equal(look(f, run, "", "a b:c"), "a b:c");
	assert_string_equal(look(f, run, "", "%34913"), "4913");
	assert_string_equal(look(f, run, "", "a%20b:c"), "a b:c");
	assert_string_equal(look(f, run, "", "%zz"), "");
	assert_string_equal(look(f, run, "", "unknown"), "");
	memset(longest, 'k', sizeof(longest));
	longest[META_KEY_MAX] = '\0';
	log_key(f, run, longest);
	assert_string_equal(look(f, run, "", longest), longest);
	OK(f, key_dir_new_key(f->m, 0, S("x%2Fy"), &key));
	assert_int_equal(key, rx_key(f, "x/y"));
	OK(f, key_dir_new_key(f->m, rx_key(f, "x"), S("z"), &key));
	assert_int_equal(key, rx_key(f, "x/z"));
	assert_int_equal(IN_BATCH(f, key_dir_new_key(f->m, 0, S("a%25"), &key)), -EINVAL);
	assert_int_equal(IN_BATCH(f, key_dir_new_key(f->m, 0, S("%2E%2E"), &key)), -EINVAL);
	assert_int_equal(IN_BATCH(f, key_dir_new_key(f->m, 0, S("a%"), &key)), -EINVAL);
	assert_int_equal(IN_BATCH(f, key_dir_new_key(f->m, 0, S("a%00b"), &key)), -EILSEQ);
	assert_int_equal(IN_BATCH(f, key_dir_new_key(f->m, rx_key(f, longest), S("z"), &key)),
			 -ENAMETOOLONG);
}

static void test_mkdir(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f), a = 0, b = 0, again;

	OK(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, 0, S("a"), &a));
	assert_int_equal(
		IN_BATCH(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, 0, S("a"), &again)),
		-EEXIST);
	OK(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, a, S("b"), &b));
	assert_string_equal(list(f, run, ""), "a/");
	assert_string_equal(list(f, run, "a"), "b/");
	assert_int_equal(IN_BATCH(f, key_dir_remove(f->m, TAG_RUN, KEYS_PARAM, run, a)),
			 -ENOTEMPTY);
	log_key(f, run, "a/b/c");
	assert_int_equal(IN_BATCH(f, key_dir_remove(f->m, TAG_RUN, KEYS_PARAM, run, b)),
			 -ENOTEMPTY);
	drop_key(f, run, "a/b/c");
	assert_string_equal(list(f, run, "a"), "b/"); /* made by hand: stays */
	OK(f, key_dir_remove(f->m, TAG_RUN, KEYS_PARAM, run, b));
	OK(f, key_dir_remove(f->m, TAG_RUN, KEYS_PARAM, run, a));
	assert_string_equal(list(f, run, ""), "");
	assert_int_equal(IN_BATCH(f, key_dir_remove(f->m, TAG_RUN, KEYS_PARAM, run, a)), -ENOENT);
	log_key(f, run, "v");
	assert_int_equal(
		IN_BATCH(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, 0, S("v"), &again)),
		-EEXIST);
	assert_int_equal(
		IN_BATCH(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, 0, S("%"), &again)),
		-EINVAL);
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_int_equal(
		IN_BATCH(f, key_dir_make(f->m, TAG_RUN, KEYS_PARAM, run, 0, S("late"), &again)),
		-EPERM);
	OK(f, key_dir_make(f->m, TAG_EXPERIMENT, KEYS_TAG, EXPERIMENT_DEFAULT, 0, S("t"), &a));
}

/* Walk the whole directory from DIR; every file must open the key it stands for, each key once. */
static size_t walk(struct fixture *f, uint32_t run, uint32_t dir);

struct walk {
	struct fixture *f;
	uint32_t run, dir;
	size_t files;
	uint64_t last;
};

static int walk_entry(void *arg, const struct key_entry *e, uint64_t cookie)
{
	struct walk *w = arg;
	struct key_entry found;

	assert_true(cookie > w->last);
	w->last = cookie;
	assert_int_equal(key_dir_lookup(live(w->f), TAG_RUN, KEYS_PARAM, w->run, w->dir,
					e->component, &found),
			 0);
	assert_int_equal(found.key, e->key);
	assert_int_equal(found.is_dir, e->is_dir);
	w->files += e->is_dir ? walk(w->f, w->run, e->key) : 1;
	return 0;
}

static size_t walk(struct fixture *f, uint32_t run, uint32_t dir)
{
	struct walk w = { .f = f, .run = run, .dir = dir };

	assert_int_equal(key_dir_each(live(f), TAG_RUN, KEYS_PARAM, run, dir, 0, walk_entry, &w),
			 0);
	return w.files;
}

static void test_random(void **state)
{
	static const char *const keys[] = { "a",     "b",     "a/a",   "a/b",     "b/a",
					    "a/a/a", "a/a/b", "a/b/a", "b/a/a/a", "a/a/a/a",
					    "c",     ".c",    "c/.d" };
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
	struct fixture *f = *state;
	uint32_t run = rx_run(f);
	bool there[KEYS] = { false };
	uint64_t x = 12345;
	size_t count = 0;

	for (int i = 0; i < 600; i++) {
		size_t k;

		x = x * 6364136223846793005u + 1442695040888963407u;
		k = (size_t)(x >> 33) % KEYS;
		if (there[k])
			drop_key(f, run, keys[k]);
		else
			log_key(f, run, keys[k]);
		there[k] = !there[k];
		count += there[k] ? 1 : (size_t)-1;
		assert_int_equal(walk(f, run, 0), count);
		if (i % 50 == 0)
			assert_int_equal(fx_check(f), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_collisions, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_names, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_mkdir, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_random, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
