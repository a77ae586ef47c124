/* SPDX-License-Identifier: Apache-2.0 */
/* model: logged models and dataset inputs, as MLflow has them. */
#include "tests/unit/entry_fixture.h"

static int add_param(void *arg, struct slice key, struct slice value)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 512 - len, "%.*s=%.*s ", (int)key.len, (const char *)key.data, (int)value.len,
		       (const char *)value.data);
	return 0;
}

static int add_link(void *arg, uint32_t number, int64_t step)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 512 - len, "%u@%lld ", number, (long long)step);
	return 0;
}

static int add_model(void *arg, const struct logged_model *lm)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 512 - len, "%u:%.*s ", lm->number, (int)lm->name.len, (const char *)lm->name.data);
	return 0;
}

static void logged_models(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), a, b, other, found;
	struct logged_model lm;
	char text[512] = "", id[40];

	OK(f, experiment_make(f->m, S("E"), &me, &other));
	OK(f, logged_model_make(f->m, EXPERIMENT_DEFAULT, run, S("forest"), S("Agent"), &me, &a));
	OK(f, logged_model_make(f->m, other, 0, S("tree"), S(""), &me, &b));
	assert_int_equal(logged_model_get(kv_live(f->kv), a, &lm), 0);
	assert_int_equal(lm.id.len, 34);
	assert_memory_equal(lm.id.data, "m-", 2);
	assert_true(slice_eq(lm.name, S("forest")) && slice_eq(lm.model_type, S("Agent")));
	assert_int_equal(lm.status, LOGGED_MODEL_PENDING);
	assert_int_equal(lm.run, run);
	assert_true(lm.created_ms > 0 && lm.deleted_ms == 0);
	memcpy(id, lm.id.data, 34);
	id[34] = '\0';
	assert_int_equal(tree_lookup(kv_live(f->kv), (struct tree_place){ lm.tree, TREE_HEAD }, TREE_ROOT, S("MLmodel"),
				     &found), -ENOENT);
	OK(f, tree_put(f, lm.tree, "MLmodel", S("flavors: {}\n")));
	OK(f, logged_model_set_status(f->m, a, LOGGED_MODEL_READY));
	assert_int_equal(IN_BATCH(f, logged_model_set_status(f->m, a, (enum logged_model_status)9)), -EINVAL);
	OK(f, logged_model_set_param(f->m, a, S("lr"), S("0.1")));
	OK(f, logged_model_set_param(f->m, a, S("lr"), S("0.1")));
	OK(f, logged_model_set_param(f->m, a, S("depth"), S("")));
	assert_int_equal(IN_BATCH(f, logged_model_set_param(f->m, a, S("lr"), S("0.2"))), -EPERM);
	assert_int_equal(IN_BATCH(f, logged_model_set_param(f->m, a, S("a\n"), S("0.2"))), -EINVAL);
	assert_int_equal(IN_BATCH(f, logged_model_set_param(f->m, 99, S("a"), S("0.2"))), -ENOENT);
	OK(f, tag_set(f->m, TAG_LOGGED_MODEL, a, S("k"), S("v")));
	fx_reopen(f);
	assert_int_equal(logged_model_find(kv_live(f->kv), S(id), &found), 0);
	assert_int_equal(found, a);
	assert_int_equal(logged_model_find(kv_live(f->kv), S("m-x"), &found), -ENOENT);
	assert_int_equal(logged_model_each_param(kv_live(f->kv), a, add_param, text), 0);
	assert_string_equal(text, "depth= lr=0.1 ");
	text[0] = '\0';
	assert_int_equal(logged_model_each(kv_live(f->kv), EXPERIMENT_DEFAULT, 0, add_model, text), 0);
	assert_int_equal(logged_model_each(kv_live(f->kv), other, 0, add_model, text), 0);
	assert_string_equal(text, "1:forest 2:tree ");
	OK(f, logged_model_link(f->m, run, true, a, 7));
	OK(f, logged_model_link(f->m, run, false, b, 0));
	text[0] = '\0';
	assert_int_equal(logged_model_each_link(kv_live(f->kv), run, true, add_link, text), 0);
	assert_int_equal(logged_model_each_link(kv_live(f->kv), run, false, add_link, text), 0);
	assert_string_equal(text, "1@7 2@0 ");
	OK(f, logged_model_delete(f->m, a));
	assert_int_equal(IN_BATCH(f, logged_model_delete(f->m, a)), -ENOENT);
	assert_int_equal(logged_model_get(kv_live(f->kv), a, &lm), 0);
	assert_true(lm.deleted_ms > 0);
	text[0] = '\0';
	assert_int_equal(logged_model_each(kv_live(f->kv), EXPERIMENT_DEFAULT, 0, add_model, text), 0);
	assert_string_equal(text, "");
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_int_equal(IN_BATCH(f, logged_model_link(f->m, run, true, b, 0)), -EPERM);
}

static void names_and_owners(void **state)
{
	static const char *const bad[] = { "", "a/b", "a:b", "a.b", "a%b", "a\"b", "a'b" };
	struct fixture *f = *state;
	uint32_t number, other;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(IN_BATCH(f, logged_model_make(f->m, EXPERIMENT_DEFAULT, 0, S(bad[i]), S(""), &me, &number)),
				 -EINVAL);
	assert_int_equal(IN_BATCH(f, logged_model_make(f->m, 9, 0, S("m"), S(""), &me, &number)), -ENOENT);
	assert_int_equal(IN_BATCH(f, logged_model_make(f->m, EXPERIMENT_DEFAULT, 9, S("m"), S(""), &me, &number)), -ENOENT);
	/* models go with their experiment */
	OK(f, experiment_make(f->m, S("E"), &me, &other));
	OK(f, logged_model_make(f->m, other, 0, S("m"), S(""), &me, &number));
	OK(f, logged_model_set_param(f->m, number, S("lr"), S("0.1")));
	OK(f, experiment_trash(f->m, other));
	OK(f, experiment_destroy(f->m, other));
	for (bool more = true; more;)
		assert_int_equal(meta_work_step(f->m, &more), 0);
	assert_int_equal(logged_model_get(kv_live(f->kv), number, &(struct logged_model){ 0 }), -ENOENT);
}

static int add_input(void *arg, const struct input *in)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 2048 - len, "%u %.*s %.*s %.*s %.*s %zu %zu [%.*s] %.*s\n", in->n, (int)in->name.len,
		       (const char *)in->name.data, (int)in->digest.len, (const char *)in->digest.data,
		       (int)in->source_type.len, (const char *)in->source_type.data, (int)in->source.len,
		       (const char *)in->source.data, in->schema.len, in->profile.len, (int)in->context.len,
		       (const char *)in->context.data, (int)in->tags_json.len, (const char *)in->tags_json.data);
	return 0;
}

static void inputs(void **state)
{
	struct fixture *f = *state;
	uint32_t run = new_run(f), empty = new_run(f);
	char *big = malloc(3u << 20);
	char text[2048] = "";
	struct input in = { .name = S("iris"), .digest = S("abc"), .source_type = S("local"), .source = S("{\"uri\":\"x\"}") };

	assert_non_null(big);
	memset(big, 's', 3u << 20);
	in.schema = slice_of(big, 1048575);
	in.profile = slice_of(big, 3u << 20);
	in.context = S("training");
	OK(f, input_add(f->m, run, &in));
	in.digest = S("def");
	in.schema = in.profile = in.context = slice_of(NULL, 0);
	in.tags_json = S("{\"a\":\"1\",\"b\":\"2\"}");
	OK(f, input_add(f->m, run, &in));
	in.tags_json = S("{\"b\":\"3\",\"mlflow.data.context\":\"test\"}");
	OK(f, input_add(f->m, run, &in)); /* the same again: tags are merged */
	fx_reopen(f);
	assert_int_equal(input_each(kv_live(f->kv), run, add_input, text), 0);
	assert_string_equal(text, "1 iris abc local {\"uri\":\"x\"} 1048575 3145728 [training] {\"mlflow.data.context\":\"training\"}\n"
				  "2 iris def local {\"uri\":\"x\"} 0 0 [test] {\"a\":\"1\",\"b\":\"3\",\"mlflow.data.context\":\"test\"}\n");
	text[0] = '\0';
	assert_int_equal(input_each(kv_live(f->kv), empty, add_input, text), 0);
	assert_string_equal(text, "");
	in.tags_json = S("[1]");
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EINVAL);
	in.tags_json = S("{");
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EINVAL);
	in.tags_json = slice_of(NULL, 0);
	in.schema = slice_of(big, 1048576);
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EFBIG);
	in.schema = slice_of(NULL, 0);
	in.digest = S("");
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EINVAL);
	in.digest = slice_of(big, 37);
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EFBIG);
	in.digest = S("x");
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_int_equal(IN_BATCH(f, input_add(f->m, run, &in)), -EPERM);
	free(big);
}

static void registered_models(void **state)
{
	struct fixture *f = *state;
	uint32_t id, again;
	struct entry e;

	OK(f, entry_register(f->m, ENTRY_MODELS, S("iris"), &me, &id));
	assert_int_equal(IN_BATCH(f, entry_register(f->m, ENTRY_MODELS, S("iris"), &me, &again)), -EEXIST);
	OK(f, entry_set_description(f->m, id, S("flowers")));
	OK(f, tag_set(f->m, TAG_ENTRY, id, S("team"), S("x")));
	assert_int_equal(entry_get(kv_live(f->kv), id, &e), 0);
	assert_false(e.has_head);
	OK(f, write_as(f, ENTRY_MODELS, "iris", S("m"), false, &me));
	assert_int_equal(head_of(f, ENTRY_MODELS, "iris"), id);
	assert_int_equal(entry_get(kv_live(f->kv), id, &e), 0);
	assert_true(e.has_head && e.newest == 1 && slice_eq(e.description, S("flowers")));
	OK(f, entry_trash(f->m, id));
	OK(f, trash_destroy(f->m, TRASH_MODELS, S("iris")));
	fx_clean(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(logged_models, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(names_and_owners, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(inputs, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(registered_models, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
