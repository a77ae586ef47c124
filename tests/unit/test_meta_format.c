/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of FORMAT.md section 4: a known store is written again and must give tests/golden/meta-rows.hex, row for row; and
 * those rows, put into an empty engine, must read as what they were written from.  Clock and randomness stand still here.
 * With LABFS_GOLDEN_WRITE=1 the file is written anew.
 */
#define clock_now_ms real_clock_now_ms
#include "store/base/clock.c"
#undef clock_now_ms

#include "tests/unit/run_fixture.h"

#include <sys/random.h>

#define GOLDEN "tests/golden/meta-rows.hex"
#define NOW    1700000000000

int64_t clock_now_ms(void);

int64_t clock_now_ms(void)
{
	return NOW;
}

static uint8_t randomness;

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	(void)flags;
	memset(out, ++randomness, len);
	return (ssize_t)len;
}

static const uint8_t tables[] = {
	TABLE_KEY_TEXT,    TABLE_KEY_ID,   TABLE_EXPERIMENT,     TABLE_EXPERIMENT_NAME,
	TABLE_RUN,         TABLE_RUN_NAME, TABLE_RUN_EXPERIMENT, TABLE_RUN_CHILD,
	TABLE_RUN_SESSION, TABLE_RUN_PROC, TABLE_PARAM,          TABLE_METRIC,
	TABLE_POINT,       TABLE_TAG,      TABLE_RUN_NOTE,       TABLE_KEY_DIR,
	TABLE_META_WORK,   TABLE_RUN_STAT,
};

static void make_known(struct fixture *f)
{
	uint32_t e = 0, run = 0, chosen = 0;
	struct metric_point few[3] = {
		{ 0, 0.5, NOW, { 0 }, { 0 }, { 0 } },
		{ 1, 1.0 / 3, NOW + 100, { 0 }, { 0 }, { 0 } },
		{ 2, 0.25, NOW + 200, S("m-1"), S("iris"), S("d1") },
	};
	struct run_proc proc = { 4242, 77, 0x0102030405060708 };

	randomness = 0x10;
	OK(f, experiment_make(f->m, S("iris"), &me, &e));
	OK(f, run_make(f->m, e, &me, &run));
	OK(f, run_make_chosen(f->m, e, S("base"), &me, &chosen));
	OK(f, run_set_name(f->m, run, S("first")));
	OK(f, run_set_user(f->m, run, S("ann")));
	OK(f, run_set_user(f->m, chosen, S("bo")));
	OK(f, run_set_parent(f->m, chosen, run));
	OK(f, param_log(f->m, run, S("lr"), S("0.1")));
	OK(f, metric_log(f->m, run, S("loss/train"), few, 3));
	for (int i = 0; i < 101; i++) {
		struct metric_point p = { i / 50, i, NOW, { 0 }, { 0 }, { 0 } };

		OK(f, metric_log(f->m, run, S("m"), &p, 1));
	}
	OK(f, param_log(f->m, run, S("wrong"), S("x")));
	OK(f, param_remove(f->m, run, rx_key(f, "wrong")));
	OK(f, run_proc_add(f->m, run, &proc));
	OK(f, run_set_status(f->m, chosen, RUN_FINISHED, NOW + 1500));
	OK(f, tag_set(f->m, TAG_EXPERIMENT, e, S("team"), S("blue")));
}

static void add_hex(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_addf(out, "%02x", ((const uint8_t *)s.data)[i]);
	if (s.len == 0)
		buf_add_ch(out, '-');
}

/* A row a line: table, key, value. */
static void dump(struct fixture *f, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < sizeof(tables); i++) {
		struct kv_cursor *cur = NULL;
		int rc = kv_cursor_open(live(f), tables[i], &cur);

		if (rc == 0)
			rc = kv_cursor_seek(cur, slice_of(NULL, 0));
		for (; rc == 0; rc = kv_cursor_next(cur)) {
			buf_addf(out, "%u ", tables[i]);
			add_hex(out, kv_cursor_key(cur));
			buf_add_ch(out, ' ');
			add_hex(out, kv_cursor_value(cur));
			buf_add_ch(out, '\n');
		}
		assert_int_equal(rc, -ENOENT);
		kv_cursor_close(cur);
	}
}

static void read_golden(struct buf *out)
{
	FILE *file = fopen(GOLDEN, "r");
	int c;

	if (!file)
		fail_msg("%s: %s", GOLDEN, strerror(errno));
	while ((c = fgetc(file)) != EOF)
		buf_add_ch(out, (char)c);
	fclose(file);
}

static void test_write(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf got = BUF_INIT, want = BUF_INIT;

	fx_begin(f); /* Default was made by another clock */
	assert_int_equal(experiment_touch(f->m, EXPERIMENT_DEFAULT), 0);
	fx_end(f, 0);
	make_known(f);
	dump(f, &got);
	if (getenv("LABFS_GOLDEN_WRITE")) {
		FILE *file = fopen(GOLDEN, "w");

		assert_non_null(file);
		fwrite(got.data, 1, got.len, file);
		fclose(file);
	}
	read_golden(&want);
	assert_string_equal(got.data, want.data);
}

static size_t unhex(const char *text, size_t len, uint8_t *out)
{
	if (len == 1)
		return 0;
	for (size_t i = 0; i < len / 2; i++) {
		char two[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return len / 2;
}

static void load(struct fixture *f, const struct buf *rows)
{
	static uint8_t key[1024], value[65536];

	fx_begin(f);
	for (const char *at = rows->data; *at;) {
		const char *k = strchr(at, ' ') + 1, *v = strchr(k, ' ') + 1,
			   *end = strchr(v, '\n');
		size_t key_len = unhex(k, (size_t)(v - k - 1), key),
		       value_len = unhex(v, (size_t)(end - v), value);

		assert_int_equal(kv_put(f->kv, (uint8_t)strtoul(at, NULL, 10),
					slice_of(key, key_len), slice_of(value, value_len)),
				 0);
		at = end + 1;
	}
	fx_end(f, 0);
}

static int add_note(void *arg, const struct run_note *note)
{
	buf_addf(arg, "%d %.*s=%.*s", (int)note->kind, (int)note->key.len,
		 (const char *)note->key.data, (int)note->value.len,
		 (const char *)note->value.data);
	return 0;
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	SCOPED_BUF struct buf rows = BUF_INIT, again = BUF_INIT, note = BUF_INIT;
	struct run_row row;
	struct metric m;
	uint32_t run, chosen;

	f->broken = true; /* the trees of these runs are not there */
	read_golden(&rows);
	load(f, &rows);
	assert_int_equal(run_find(live(f), S("11111111111141119111111111111111"), &run), 0);
	assert_int_equal(run_find(live(f), S("base"), &chosen), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_NAME, 1, NULL), "first\n");
	assert_string_equal(rx_read(f, VALUE_RUN_USER, 1, NULL), "ann\n");
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, 1, NULL), "iris\n");
	assert_string_equal(rx_read(f, VALUE_RUN_PARENT, chosen, NULL), "1\n");
	assert_string_equal(rx_read(f, VALUE_RUN_STATUS, chosen, NULL), "finished\n");
	assert_string_equal(rx_read(f, VALUE_RUN_DURATION, chosen, NULL), "1.5\n");
	assert_string_equal(rx_read(f, VALUE_RUN_START, chosen, NULL),
			    "2023-11-14T22:13:20.000Z\n");
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, 1, "lr"), "0.1\n");
	assert_string_equal(
		rx_read(f, VALUE_RUN_HISTORY, 1, "loss/train"),
		"0\t0.5\t1700000000000\n1\t0.3333333333333333\t1700000000100\n2\t0.25\t1700000000200\n");
	assert_int_equal(metric_get(live(f), 1, rx_key(f, "loss/train"), &m), 0);
	assert_true(slice_eq(m.latest.model_id, S("m-1")) &&
		    slice_eq(m.latest.dataset_name, S("iris")) &&
		    slice_eq(m.latest.dataset_digest, S("d1")));
	assert_int_equal(metric_get(live(f), 1, rx_key(f, "m"), &m), 0);
	assert_int_equal(m.points, 101);
	assert_string_equal(rx_read(f, VALUE_EXPERIMENT_TAG, 1, "team"), "blue\n");
	assert_int_equal(run_note_each(live(f), 1, add_note, &note), 0);
	assert_string_equal(note.data, "1 wrong=x");
	/* Writing what was read changes no byte. */
	assert_int_equal(run_row_get(live(f), 1, &row), 0);
	OK(f, run_row_put(f->m, &row));
	dump(f, &again);
	assert_string_equal(again.data, rows.data);
}

/* Every record with a byte less or a byte more is refused; nothing reads past its end. */
static void test_damaged(void **state)
{
	static const uint8_t records[] = { TABLE_EXPERIMENT,  TABLE_RUN,      TABLE_RUN_STAT,
					   TABLE_RUN_SESSION, TABLE_RUN_PROC, TABLE_METRIC,
					   TABLE_POINT,       TABLE_RUN_NOTE, TABLE_KEY_DIR };
	struct fixture *f = *state;
	SCOPED_BUF struct buf rows = BUF_INIT;

	f->broken = true;
	read_golden(&rows);
	load(f, &rows);
	for (size_t i = 0; i < sizeof(records); i++) {
		SCOPED_BUF struct buf key = BUF_INIT, value = BUF_INIT;
		struct kv_cursor *cur = NULL;

		assert_int_equal(kv_cursor_open(live(f), records[i], &cur), 0);
		assert_int_equal(kv_cursor_seek(cur, slice_of(NULL, 0)), 0);
		buf_add_slice(&key, kv_cursor_key(cur));
		buf_add_slice(&value, kv_cursor_value(cur));
		kv_cursor_close(cur);
		for (size_t len = 0; len<value.len; len += value.len> 100 ? 7 : 1) {
			fx_begin(f);
			assert_int_equal(kv_put(f->kv, records[i], buf_slice(&key),
						slice_of(value.data, len)),
					 0);
			f->faults[0] = '\0';
			assert_int_equal(meta_check(f->m, live(f), fx_fault, f), 1);
			(void)rx_read(f, VALUE_RUN_JSON, 1, NULL);
			(void)rx_read(f, VALUE_RUN_HISTORY, 1, "m");
			fx_end(f, -EIO);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_read, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_damaged, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
