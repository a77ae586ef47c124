/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of FORMAT.md 5 as files (tests/golden): what the store writes is these bytes, but for times and random ids, and what it reads
 * from them is what they say.  A file has the key, a line "=", the value.
 */
#include "store/meta/model_internal.h"
#include "store/meta/rows.h"
#include "tests/unit/entry_fixture.h"

#define GOLDEN_MS 1700000000000
#define GOLDEN_ID "m-00112233445566778899aabbccddeeff"

static const struct golden {
	const char *name;
	uint8_t table;
	struct {
		uint8_t at, len;
	} free[3];		/* times and ids in the value: not the same twice */
	bool any_key;		/* the key holds a random id */
} goldens[] = {
	{ "entry-row", TABLE_ENTRY, { { 18, 16 } }, false },
	{ "entry-name", TABLE_ENTRY_NAME, { { 0, 0 } }, false },
	{ "entry-name-floor", TABLE_ENTRY_NAME, { { 0, 0 } }, false },
	{ "version-row", TABLE_VERSION, { { 22, 16 } }, false },
	{ "version-serial", TABLE_VERSION_SERIAL, { { 0, 0 } }, false },
	{ "version-tree", TABLE_VERSION_TREE, { { 0, 0 } }, false },
	{ "alias-row", TABLE_ALIAS, { { 4, 8 } }, false },
	{ "alias-move", TABLE_ALIAS_LOG, { { 0, 8 } }, false },
	{ "lineage-row", TABLE_LINEAGE, { { 1, 8 } }, false },
	{ "lineage-by", TABLE_LINEAGE_BY, { { 0, 0 } }, false },
	{ "entry-mark", TABLE_ENTRY_MARK, { { 0, 8 } }, false },
	{ "trash-row", TABLE_TRASH, { { 5, 8 } }, false },
	{ "trash-back", TABLE_TRASH, { { 0, 0 } }, false },
	{ "logged-model-row", TABLE_LOGGED_MODEL, { { 13, 16 }, { 40, 32 } }, false },
	{ "logged-model-id", TABLE_LOGGED_MODEL_ID, { { 0, 0 } }, true },
	{ "logged-model-in", TABLE_LOGGED_MODEL_IN, { { 0, 0 } }, false },
	{ "logged-model-param", TABLE_LOGGED_MODEL_PARAM, { { 0, 0 } }, false },
	{ "logged-model-link", TABLE_LOGGED_MODEL_RUN, { { 0, 0 } }, false },
	{ "input-row", TABLE_INPUT, { { 0, 0 } }, false },
	{ "input-part", TABLE_INPUT, { { 0, 0 } }, false },
};
#define GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static void add_hex(struct buf *out, const char *line)
{
	for (const char *p = line; *p != '\0' && *p != '#';) {
		unsigned v;

		if (*p == ' ' || *p == '\n') {
			p++;
			continue;
		}
		assert_int_equal(sscanf(p, "%2x", &v), 1);
		buf_add_ch(out, (char)v);
		p += 2;
	}
}

static void load(const char *name, struct buf *key, struct buf *value)
{
	char path[128], line[512];
	struct buf *to = key;
	FILE *file;

	(void)snprintf(path, sizeof(path), "tests/golden/%s", name);
	file = fopen(path, "r");
	if (file == NULL)
		fail_msg("%s: %s (run from the top of the sources)", path, strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strcmp(line, "=\n") == 0)
			to = value;
		else
			add_hex(to, line);
	}
	fclose(file);
}

/* The store that the golden records are from. */
static void furnish(struct fixture *f)
{
	uint32_t run = new_run(f), model;
	const struct meta_actor who = { .uid = 1000, .gid = 1000, .run = run };
	const struct input in = { .name = S("iris"), .digest = S("d41d8c"), .source_type = S("local"), .source = S("iris.csv"),
				  .schema = S("{}"), .context = S("train") };

	OK(f, write_as(f, ENTRY_DATA, "iris.csv", S("one\n"), false, &who));
	OK(f, version_set_message(f->m, serial_of(f, "iris@v1.csv"), S("first")));
	OK(f, alias_set(f->m, head_of(f, ENTRY_DATA, "iris.csv"), S("best"), 1, &me));
	put(f, "old.csv", "x");
	OK(f, entry_trash(f->m, head_of(f, ENTRY_DATA, "old.csv")));
	OK(f, entry_mark_written(f->m, 1, run));
	OK(f, logged_model_make(f->m, EXPERIMENT_DEFAULT, run, S("forest"), S(""), &me, &model));
	OK(f, logged_model_set_param(f->m, model, S("lr"), S("0.1")));
	OK(f, logged_model_link(f->m, run, true, model, 7));
	OK(f, input_add(f->m, run, &in));
}

static int first_row(void *arg, struct slice rest, struct slice value)
{
	(void)rest;
	buf_add_slice(arg, value);
	return 1;
}

static void written_as_described(void **state)
{
	struct fixture *f = *state;

	furnish(f);
	for (size_t i = 0; i < GOLDENS; i++) {
		const struct golden *g = &goldens[i];
		SCOPED_BUF struct buf key = BUF_INIT;
		SCOPED_BUF struct buf want = BUF_INIT;
		SCOPED_BUF struct buf got = BUF_INIT;
		struct slice row = { NULL, 0 };

		load(g->name, &key, &want);
		if (g->any_key)
			assert_int_equal(rows_each(kv_live(f->kv), g->table, S(""), S(""), first_row, &got), 0);
		else if (kv_get(kv_live(f->kv), g->table, buf_slice(&key), &row) < 0)
			fail_msg("%s: there is no row of that key", g->name);
		else
			buf_add_slice(&got, row);
		if (got.len != want.len)
			fail_msg("%s: %zu bytes, not %zu", g->name, got.len, want.len);
		for (size_t j = 0; j < 3; j++) {
			if (g->free[j].len > 0)
				memcpy(got.data + g->free[j].at, want.data + g->free[j].at, g->free[j].len);
		}
		if (got.len > 0 && memcmp(got.data, want.data, got.len) != 0)
			fail_msg("%s: other bytes are written", g->name);
	}
}

static int take_alias(void *arg, const struct alias *a)
{
	assert_true(slice_eq(a->word, S("best")) && a->n == 1 && a->changed_ms == GOLDEN_MS);
	++*(int *)arg;
	return 0;
}

static int take_move(void *arg, const struct alias_move *mv)
{
	assert_true(slice_eq(mv->word, S("best")) && mv->seq == 1 && mv->from == 0 && mv->to == 1);
	assert_true(mv->at_ms == GOLDEN_MS && mv->uid == 1000 && mv->run == 0);
	++*(int *)arg;
	return 0;
}

static int take_link(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms)
{
	assert_true(v->serial == 1 && how == LINEAGE_BY_CUT && at_ms == GOLDEN_MS);
	++*(int *)arg;
	return 0;
}

static int take_model_link(void *arg, uint32_t number, int64_t step)
{
	assert_true(number == 1 && step == 7);
	++*(int *)arg;
	return 0;
}

static int take_param(void *arg, struct slice key, struct slice value)
{
	assert_true(slice_eq(key, S("lr")) && slice_eq(value, S("0.1")));
	++*(int *)arg;
	return 0;
}

static int take_input(void *arg, const struct input *in)
{
	assert_true(in->n == 1 && slice_eq(in->name, S("iris")) && slice_eq(in->digest, S("d41d8c")));
	assert_true(slice_eq(in->source_type, S("local")) && slice_eq(in->source, S("iris.csv")));
	assert_true(slice_eq(in->schema, S("{}")) && in->profile.len == 0 && slice_eq(in->context, S("train")));
	++*(int *)arg;
	return 0;
}

static void check_entry_and_version(struct kv_view *view)
{
	struct entry e;
	struct version v;
	uint32_t id, floor;

	assert_int_equal(entry_find(view, ENTRY_DATA, S("iris.csv"), &id), 0);
	assert_int_equal(entry_get(view, id, &e), 0);
	assert_true(e.id == 1 && e.space == ENTRY_DATA && slice_eq(e.name, S("iris.csv")) && e.description.len == 0);
	assert_true(e.has_head && !e.is_dir && !e.trashed && !e.destroyed);
	assert_true(e.tree == 2 && e.cut_epoch == 1 && e.next_version == 2 && e.newest == 1);
	assert_true(e.created_ms == GOLDEN_MS && e.changed_ms == GOLDEN_MS && e.deleted_ms == 0);
	assert_true(e.uid == 1000 && e.gid == 1000);
	assert_int_equal(entry_name_row(view, ENTRY_DATA, S("old.csv"), &id, &floor), 0);
	assert_true(id == 0 && floor == 2);
	assert_int_equal(version_by_serial(view, 1, &v), 0);
	assert_true(v.entry == 1 && v.n == 1 && v.serial == 1 && v.place.tree == 2 && v.place.epoch == 1);
	assert_true(!v.is_dir && !v.trashed && !v.destroyed && v.bytes == 4 && v.stage == STAGE_NONE);
	assert_true(v.created_ms == GOLDEN_MS && v.changed_ms == GOLDEN_MS && v.deleted_ms == 0);
	assert_true(v.uid == 1000 && v.run == 1 && slice_eq(v.message, S("first")));
}

static void read_as_described(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf trash = BUF_INIT;
	struct kv_view *view = kv_live(f->kv);
	struct logged_model lm;
	struct trash_item item;
	uint32_t number;
	int seen = 0;

	f->broken = true; /* records alone, without what they refer to */
	fx_begin(f);
	for (size_t i = 0; i < GOLDENS; i++) {
		SCOPED_BUF struct buf key = BUF_INIT;
		SCOPED_BUF struct buf value = BUF_INIT;

		load(goldens[i].name, &key, &value);
		assert_int_equal(kv_put(f->kv, goldens[i].table, buf_slice(&key), buf_slice(&value)), 0);
	}
	check_entry_and_version(view);
	assert_int_equal(alias_each(view, 1, take_alias, &seen), 0);
	assert_int_equal(alias_log_each(view, 1, take_move, &seen), 0);
	assert_int_equal(lineage_each(view, 1, LINEAGE_OUTPUT, ENTRY_DATA, take_link, &seen), 0);
	assert_int_equal(logged_model_each_link(view, 1, true, take_model_link, &seen), 0);
	assert_int_equal(logged_model_each_param(view, 1, take_param, &seen), 0);
	assert_int_equal(input_each(view, 1, take_input, &seen), 0);
	assert_int_equal(seen, 6);
	assert_int_equal(trash_find(view, TRASH_DATA, S("old.csv"), &item), 0);
	assert_true(item.kind == TRASH_ENTRY && item.id == 2 && item.deleted_ms == GOLDEN_MS);
	assert_int_equal(trash_name(view, TRASH_ENTRY, 2, &trash), 0);
	assert_string_equal(trash.data, "old.csv");
	assert_int_equal(logged_model_find(view, S(GOLDEN_ID), &number), 0);
	assert_int_equal(logged_model_get(view, number, &lm), 0);
	assert_true(slice_eq(lm.id, S(GOLDEN_ID)) && slice_eq(lm.name, S("forest")) && lm.status == LOGGED_MODEL_PENDING);
	assert_true(lm.experiment == 0 && lm.run == 1 && lm.tree == 4 && lm.created_ms == GOLDEN_MS && lm.deleted_ms == 0);
	kv_abort(f->kv);
}

/* Records cut anywhere, or with values that no enumeration has, are damaged; entries, versions and logged models may grow. */
static void what_is_refused(void **state)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf e = BUF_INIT;
	SCOPED_BUF struct buf v = BUF_INIT;
	SCOPED_BUF struct buf lm = BUF_INIT;
	struct logged_model model;
	struct version version;
	struct entry entry;

	(void)state;
	load("entry-row", &key, &e);
	load("version-row", &key, &v);
	load("logged-model-row", &key, &lm);
	for (size_t i = 0; i < e.len; i++)
		assert_int_equal(entry_decode(slice_of(e.data, i), 1, &entry), -EBADMSG);
	for (size_t i = 0; i < v.len; i++)
		assert_int_equal(version_decode(slice_of(v.data, i), 1, 1, &version), -EBADMSG);
	for (size_t i = 0; i < lm.len; i++)
		assert_int_equal(logged_model_decode(slice_of(lm.data, i), 1, &model), -EBADMSG);
	e.data[0] = 3;
	assert_int_equal(entry_decode(buf_slice(&e), 1, &entry), -EBADMSG);
	e.data[0] = 1;
	v.data[5] = 9;
	assert_int_equal(version_decode(buf_slice(&v), 1, 1, &version), -EBADMSG);
	v.data[5] = 0;
	lm.data[0] = 0;
	assert_int_equal(logged_model_decode(buf_slice(&lm), 1, &model), -EBADMSG);
	lm.data[0] = 1;
	buf_add_str(&e, "more");
	buf_add_str(&v, "more");
	buf_add_str(&lm, "more");
	assert_int_equal(entry_decode(buf_slice(&e), 1, &entry), 0);
	assert_int_equal(version_decode(buf_slice(&v), 1, 1, &version), 0);
	assert_int_equal(logged_model_decode(buf_slice(&lm), 1, &model), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(written_as_described, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(read_as_described, fx_setup, fx_teardown),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
