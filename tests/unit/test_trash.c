/* SPDX-License-Identifier: Apache-2.0 */
/* trash: names in it, and that the check finds what was planted in any table of entries. */
#include "store/base/pack.h"
#include "tests/unit/entry_fixture.h"

static int add_item(void *arg, const struct trash_item *item)
{
	char *out = arg;
	size_t len = strlen(out);

	assert_true(item->deleted_ms > 0);
	(void)snprintf(out + len, 1024 - len, "%.*s:%d:%u ", (int)item->name.len, (const char *)item->name.data,
		       (int)item->kind, item->id);
	return 0;
}

static const char *list(struct fixture *f, enum trash_dir dir)
{
	static char out[1024];

	out[0] = '\0';
	assert_int_equal(trash_each(kv_live(f->kv), dir, slice_of(NULL, 0), add_item, out), 0);
	return out;
}

static void names_in_the_trash(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf name = BUF_INIT;
	struct trash_item item;
	uint32_t ids[3];

	for (int i = 0; i < 3; i++) {
		put(f, "a.csv", "1");
		ids[i] = head_of(f, ENTRY_DATA, "a.csv");
		OK(f, entry_trash(f->m, ids[i]));
	}
	assert_string_equal(list(f, TRASH_DATA), "a.csv:3:1 a.csv.2:3:2 a.csv.3:3:3 ");
	assert_string_equal(list(f, TRASH_MODELS), "");
	assert_int_equal(trash_find(kv_live(f->kv), TRASH_DATA, S("a.csv.2"), &item), 0);
	assert_int_equal(item.id, ids[1]);
	assert_int_equal(trash_name(kv_live(f->kv), TRASH_ENTRY, ids[2], &name), 0);
	assert_string_equal(name.data, "a.csv.3");
	OK(f, entry_restore(f->m, ids[1], S("b.csv")));
	assert_string_equal(list(f, TRASH_DATA), "a.csv:3:1 a.csv.3:3:3 ");
	OK(f, entry_trash(f->m, ids[1]));
	assert_string_equal(list(f, TRASH_DATA), "a.csv:3:1 a.csv.3:3:3 b.csv:3:2 ");
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a.csv")));
	assert_int_equal(IN_BATCH(f, trash_destroy(f->m, TRASH_DATA, S("a.csv"))), -ENOENT);
	assert_int_equal(IN_BATCH(f, trash_destroy(f->m, TRASH_MODELS, S("b.csv"))), -ENOENT);
	assert_string_equal(list(f, TRASH_DATA), "a.csv.3:3:3 b.csv:3:2 ");
	assert_int_equal(IN_BATCH(f, entry_destroy(f->m, ids[0])), -ENOENT);
}

static void long_names(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf long_name = BUF_INIT;
	struct trash_item item;

	/* 255 bytes of two each: the suffix takes the place of whole characters */
	for (int i = 0; i < 127; i++)
		buf_add_str(&long_name, "é");
	buf_add_str(&long_name, "x");
	OK(f, trash_add(f->m, TRASH_RUNS, buf_slice(&long_name), TRASH_RUN, 1));
	OK(f, trash_add(f->m, TRASH_RUNS, buf_slice(&long_name), TRASH_RUN, 2));
	long_name.len = 252;
	buf_add_str(&long_name, ".2");
	assert_int_equal(trash_find(kv_live(f->kv), TRASH_RUNS, buf_slice(&long_name), &item), 0);
	assert_int_equal(item.id, 2);
	OK(f, trash_remove(f->m, TRASH_RUNS, TRASH_RUN, 1));
	OK(f, trash_remove(f->m, TRASH_RUNS, TRASH_RUN, 2));
	assert_int_equal(IN_BATCH(f, trash_remove(f->m, TRASH_RUNS, TRASH_RUN, 2)), -ENOENT);
	assert_string_equal(list(f, TRASH_RUNS), "");
}

static void all_kinds(void **state)
{
	struct fixture *f = *state;
	uint32_t experiment, run;

	OK(f, experiment_make(f->m, S("E"), &me, &experiment));
	OK(f, run_make(f->m, EXPERIMENT_DEFAULT, &me, &run));
	OK(f, write_as(f, ENTRY_MODELS, "m", S("1"), false, &me));
	put(f, "a.csv", "1");
	put(f, "a.csv", "2");
	OK(f, experiment_trash(f->m, experiment));
	OK(f, run_trash(f->m, run));
	OK(f, entry_trash(f->m, head_of(f, ENTRY_MODELS, "m")));
	OK(f, version_trash(f->m, serial_of(f, "a@v1.csv")));
	fx_clean(f);
	fx_reopen(f);
	OK(f, trash_destroy(f->m, TRASH_EXPERIMENTS, S("E")));
	OK(f, trash_destroy(f->m, TRASH_RUNS, S("1")));
	OK(f, trash_destroy(f->m, TRASH_MODELS, S("m")));
	OK(f, trash_destroy(f->m, TRASH_DATA, S("a@v1.csv")));
	for (int dir = TRASH_EXPERIMENTS; dir <= TRASH_MODELS; dir++)
		assert_string_equal(list(f, (enum trash_dir)dir), "");
	for (bool more = true; more;)
		assert_int_equal(meta_work_step(f->m, &more), 0);
}

/* --- planted faults --------------------------------------------------------------------------------------- */

static struct slice copy_first(struct fixture *f, uint8_t table, struct buf *key, struct buf *value)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;

	assert_int_equal(kv_cursor_open(kv_live(f->kv), table, &cur), 0);
	assert_int_equal(kv_cursor_seek(cur, slice_of(NULL, 0)), 0);
	buf_reset(key);
	buf_reset(value);
	buf_add_slice(key, kv_cursor_key(cur));
	buf_add_slice(value, kv_cursor_value(cur));
	return buf_slice(value);
}

/* A dataset with everything, so that each table has rows. */
static void furnish(struct fixture *f)
{
	uint32_t run = new_run(f), model;

	put(f, "a.csv", "1");
	put(f, "a.csv", "2");
	put(f, "gone.csv", "x");
	OK(f, alias_set(f->m, head_of(f, ENTRY_DATA, "a.csv"), S("best"), 1, &me));
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, serial_of(f, "a@v1.csv"), LINEAGE_BY_HAND));
	OK(f, entry_trash(f->m, head_of(f, ENTRY_DATA, "gone.csv")));
	OK(f, logged_model_make(f->m, EXPERIMENT_DEFAULT, run, S("m"), S(""), &me, &model));
	fx_clean(f);
}

static const uint8_t tables[] = {
	TABLE_ENTRY, TABLE_ENTRY_NAME, TABLE_VERSION, TABLE_VERSION_SERIAL, TABLE_VERSION_TREE, TABLE_ALIAS, TABLE_ALIAS_LOG,
	TABLE_LINEAGE, TABLE_LINEAGE_BY, TABLE_TRASH, TABLE_LOGGED_MODEL, TABLE_LOGGED_MODEL_ID, TABLE_LOGGED_MODEL_IN,
};

/* Of each table one row is cut short, lost, or leads elsewhere. */
static void planted_faults(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;

	f->broken = true;
	furnish(f);
	for (size_t i = 0; i < sizeof(tables); i++) {
		struct slice row = copy_first(f, tables[i], &key, &value);

		if (row.len > 0) { /* cut short */
			fx_begin(f);
			assert_int_equal(kv_put(f->kv, tables[i], buf_slice(&key), slice_of(row.data, row.len - 1)), 0);
			if (!fx_check(f))
				fail_msg("table %u: a row cut short was not found", tables[i]);
			kv_abort(f->kv);
		}
		/* lost, where something else says that it should be there; a log may lose its lines */
		fx_begin(f);
		assert_int_equal(kv_del(f->kv, tables[i], buf_slice(&key)), 0);
		if (!fx_check(f) && tables[i] != TABLE_ALIAS && tables[i] != TABLE_ALIAS_LOG &&
		    tables[i] != TABLE_LOGGED_MODEL_IN)
			fail_msg("table %u: a lost row was not found", tables[i]);
		kv_abort(f->kv);
		/* one too many: the same for an object that is not there */
		fx_begin(f);
		key.data[key.len - 1] = (char)(key.data[key.len - 1] + 77);
		assert_int_equal(kv_put(f->kv, tables[i], buf_slice(&key), row), 0);
		if (!fx_check(f) && tables[i] != TABLE_ALIAS_LOG && tables[i] != TABLE_ALIAS)
			fail_msg("table %u: a row too many was not found", tables[i]);
		kv_abort(f->kv);
		assert_int_equal(fx_check(f), 0);
	}
}

static void wrong_numbers(void **state)
{
	struct fixture *f = *state;
	SCOPED_ENTRY struct entry_own e = OWN_INIT;
	SCOPED_VERSION struct version_own v = OWN_INIT;

	f->broken = true;
	furnish(f);
	assert_int_equal(entry_load(kv_live(f->kv), head_of(f, ENTRY_DATA, "a.csv"), &e), 0);
	assert_int_equal(version_load_n(kv_live(f->kv), e.e.id, 2, &v), 0);
#define FINDS(change, save)                                                                                          \
	do {                                                                                                         \
		struct entry es = e.e;                                                                               \
		struct version vs = v.v;                                                                             \
		change;                                                                                              \
		fx_begin(f);                                                                                         \
		assert_int_equal(save, 0);                                                                           \
		assert_int_equal(fx_check(f), 1);                                                                    \
		kv_abort(f->kv);                                                                                     \
		e.e = es;                                                                                            \
		v.v = vs;                                                                                            \
	} while (0)
	FINDS(e.e.newest = 1, entry_save(f->m, &e.e));
	FINDS(e.e.next_version = 2, entry_save(f->m, &e.e));
	FINDS(e.e.is_dir = true, entry_save(f->m, &e.e));
	FINDS(e.e.has_head = false, entry_save(f->m, &e.e));
	FINDS(e.e.tree = 999, entry_save(f->m, &e.e));
	FINDS(e.e.trashed = true, entry_save(f->m, &e.e));
	FINDS(e.e.destroyed = true, entry_save(f->m, &e.e));
	FINDS(e.e.cut_epoch = 77, entry_save(f->m, &e.e));
	FINDS(v.v.serial = 77, version_save(f->m, &v.v));
	FINDS(v.v.trashed = true, version_save(f->m, &v.v));
	FINDS(v.v.destroyed = true, version_save(f->m, &v.v));
	FINDS(v.v.is_dir = true, version_save(f->m, &v.v));
	FINDS(v.v.bytes = 77, version_save(f->m, &v.v));
	FINDS(v.v.place.epoch = 77, version_save(f->m, &v.v));
#undef FINDS
	/* the bytes of a version go behind its back */
	version_own_release(&v);
	v = (struct version_own)OWN_INIT;
	assert_int_equal(version_load_n(kv_live(f->kv), e.e.id, 1, &v), 0);
	OK(f, tree_drop_version(f->trees, v.v.place.tree, v.v.place.epoch));
	for (bool more = true; more;)
		assert_int_equal(trees_work_step(f->trees, &more), 0);
	assert_int_equal(fx_check(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_in_the_trash, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(long_names, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(all_kinds, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(planted_faults, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(wrong_numbers, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
