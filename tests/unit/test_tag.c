/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags of runs and of other owners: setting, mirrored ones, listing.
 */
#include "tests/unit/run_fixture.h"

static int add_tag(void *arg, uint32_t key, struct slice text, struct slice value)
{
	(void)key;
	buf_add_slice(arg, text);
	buf_add_ch(arg, '=');
	buf_add_slice(arg, value);
	buf_add_ch(arg, ' ');
	return 0;
}

static const char *tags(struct fixture *f, enum tag_owner kind, uint32_t owner)
{
	static struct buf out;

	buf_reset(&out);
	buf_add_str(&out, "");
	assert_int_equal(tags_each(live(f), kind, owner, 0, add_tag, &out), 0);
	return out.data;
}

static void test_owners(void **state)
{
	struct fixture *f = *state;
	static const enum tag_owner kinds[] = { TAG_EXPERIMENT, TAG_ENTRY, TAG_VERSION,
						TAG_LOGGED_MODEL };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i] != TAG_EXPERIMENT)
			f->broken = true; /* owners that are not there */
		OK(f, tag_set(f->m, kinds[i], 0, S("a"), S("1")));
		OK(f, tag_set(f->m, kinds[i], 0, S("b"), S("")));
		OK(f, tag_set(f->m, kinds[i], 0, S("a"), S("2")));
		OK(f, tag_set(f->m, kinds[i], 5 * (kinds[i] != TAG_EXPERIMENT), S("c"), S("3")));
		assert_string_equal(tags(f, kinds[i], 0),
				    kinds[i] == TAG_EXPERIMENT ? "a=2 b= c=3 " : "a=2 b= ");
		OK(f, tag_remove(f->m, kinds[i], 0, rx_key(f, "a")));
		assert_int_equal(IN_BATCH(f, tag_remove(f->m, kinds[i], 0, rx_key(f, "a"))),
				 -ENOENT);
	}
	assert_int_equal(IN_BATCH(f, tag_set(f->m, TAG_RUN, 9, S("a"), S("1"))), -ENOENT);
	assert_int_equal(IN_BATCH(f, tag_set(f->m, TAG_EXPERIMENT, 9, S("a"), S("1"))), -EPERM);
	assert_int_equal(IN_BATCH(f, tag_set(f->m, TAG_EXPERIMENT, 0, S("%"), S("1"))), -EINVAL);
}

static void test_mirrors(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f);
	struct run r;

	OK(f, tag_set(f->m, TAG_RUN, run, S("mlflow.runName"), S("by tag")));
	OK(f, tag_set(f->m, TAG_RUN, run, S("mlflow.user"), S("ann")));
	OK(f, tag_set(f->m, TAG_RUN, run, S("mlflow.note.content"), S("note")));
	OK(f, tag_set(f->m, TAG_RUN, run, S("plain"), S("x")));
	assert_int_equal(run_get(live(f), run, &r), 0);
	assert_true(slice_eq(r.name, S("by tag")) && slice_eq(r.user, S("ann")) &&
		    slice_eq(r.description, S("note")));
	assert_int_equal(r.tags, 4);
	OK(f, run_set_name(f->m, run, S("by name")));
	OK(f, run_set_description(f->m, run, S("")));
	assert_string_equal(tags(f, TAG_RUN, run),
			    "mlflow.runName=by name mlflow.user=ann plain=x ");
	OK(f, tag_remove(f->m, TAG_RUN, run, rx_key(f, "mlflow.user")));
	assert_int_equal(run_get(live(f), run, &r), 0);
	assert_int_equal(r.user.len, 0);
	assert_int_equal(r.tags, 2);
	/* An ended run's tags can still be set. */
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	OK(f, tag_set(f->m, TAG_RUN, run, S("after"), S("1")));
	OK(f, run_trash(f->m, run));
	assert_int_equal(IN_BATCH(f, tag_set(f->m, TAG_RUN, run, S("after"), S("2"))), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owners, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_mirrors, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
