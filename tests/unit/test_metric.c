/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics against an oracle: points in every order, blocks, taking back, counters, sizes, speed.
 */
#include "tests/unit/run_fixture.h"
#include "store/base/clock.h"
#include "store/meta/point.h"

#define ORACLE_MAX 4000

/* All points in the order of history: by step, of equal steps as logged. */
struct oracle {
	size_t count;
	struct metric_point at[ORACLE_MAX];
};

static uint64_t rnd_state = 7;

static uint64_t rnd(uint64_t below)
{
	uint64_t z = rnd_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

static void oracle_add(struct oracle *o, const struct metric_point *p)
{
	size_t i = o->count;

	assert_true(o->count < ORACLE_MAX);
	while (i > 0 && o->at[i - 1].step > p->step) {
		o->at[i] = o->at[i - 1];
		i--;
	}
	o->at[i] = *p;
	o->count++;
}

static void oracle_text(const struct oracle *o, struct buf *out)
{
	char text[POINT_TEXT_MAX];

	buf_reset(out);
	buf_add_str(out, "");
	for (size_t i = 0; i < o->count; i++)
		buf_add(out, text, point_text(&o->at[i], text));
}

static void compare(struct fixture *f, uint32_t run, uint32_t key, const struct oracle *o)
{
	struct value_target t = { VALUE_RUN_HISTORY, run, key };
	SCOPED_BUF struct buf want = BUF_INIT, got = BUF_INIT, part = BUF_INIT;
	const struct metric_point *latest = &o->at[0];
	double min = NAN, max = NAN;
	struct metric m;
	int64_t next = -1;

	oracle_text(o, &want);
	assert_int_equal(value_render(live(f), &t, &got), 0);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	assert_int_equal(metric_get(live(f), run, key, &m), 0);
	assert_int_equal(m.points, o->count);
	assert_int_equal(m.text_bytes, want.len);
	for (size_t i = 0; i < o->count; i++) {
		const struct metric_point *p = &o->at[i];

		if (p->step > latest->step ||
		    (p->step == latest->step && p->time_ms >= latest->time_ms))
			latest = p;
		min = isnan(p->value) || p->value >= min ? min : p->value;
		max = isnan(p->value) || p->value <= max ? max : p->value;
	}
	assert_true(point_eq(latest, &m.latest));
	assert_true((isnan(min) && isnan(m.min)) || min == m.min);
	assert_true((isnan(max) && isnan(m.max)) || max == m.max);
	assert_int_equal(metric_next_step(live(f), run, key, &next), 0);
	assert_int_equal(next, o->at[o->count - 1].step < 0 ? 0 : o->at[o->count - 1].step + 1);
	for (int i = 0; i < 4; i++) {
		uint64_t off = rnd(want.len + 1);
		size_t len = rnd(500) + 1, left = want.len - off;

		buf_reset(&part);
		assert_int_equal(value_render_range(live(f), &t, off, len, &part), 0);
		assert_true(part.len >= (left < len ? left : len));
		assert_true(part.len <= left);
		assert_memory_equal(part.data ? part.data : "", want.data + off, part.len);
	}
}

static double random_value(void)
{
	static const double odd[] = { 0.0, -0.0, 1e300, -1e-300,           5e-324,
				      0.1, 1e22, 1e23,  123456789012345.0, 1234567890123456.0 };
	uint64_t bits;

	switch (rnd(5)) {
	case 0: return odd[rnd(sizeof(odd) / sizeof(odd[0]))];
	case 1:
		bits = rnd(UINT64_MAX);
		double v;

		memcpy(&v, &bits, sizeof(v));
		return isnan(v) ? (double)NAN : v;
	case 2: return rnd(2) ? (double)INFINITY : -(double)INFINITY;
	default: return (double)rnd(100000) / 1000 - 50;
	}
}

static void log_points(struct fixture *f, uint32_t run, const char *key, struct oracle *o,
		       const struct metric_point *p, size_t n)
{
	OK(f, metric_log(f->m, run, S(key), p, n));
	for (size_t i = 0; i < n; i++)
		oracle_add(o, &p[i]);
}

/* A walk of steps: mostly forward, with repeats, jumps back, and jumps far away. */
static int64_t random_step(int64_t *at, unsigned disorder)
{
	if (rnd(100) >= disorder)
		return (*at)++;
	switch (rnd(4)) {
	case 0: return *at - 1;
	case 1: return (int64_t)rnd((uint64_t)(*at < 1 ? 1 : *at));
	case 2: return -(int64_t)rnd(50);
	default: return *at + (int64_t)rnd(30);
	}
}

static void test_random(void **state)
{
	static const unsigned disorders[] = { 0, 1, 10, 50, 100 };
	struct fixture *f = *state;

	for (size_t round = 0; round < sizeof(disorders) / sizeof(disorders[0]); round++) {
		struct oracle *o = calloc(1, sizeof(*o));
		uint32_t run = rx_run(f), key = rx_key(f, "loss");
		int64_t at = 0;

		assert_non_null(o);
		while (o->count < 1500) {
			struct metric_point p[40];
			size_t n = rnd(5) ? 1 : rnd(40) + 1;

			for (size_t i = 0; i < n; i++)
				p[i] = (struct metric_point){ random_step(&at, disorders[round]),
							      random_value(),
							      1700000000000 + (int64_t)rnd(1000),
							      { 0 },
							      { 0 },
							      { 0 } };
			log_points(f, run, "loss", o, p, n);
			if (rnd(40) == 0)
				compare(f, run, key, o);
		}
		compare(f, run, key, o);
		fx_reopen(f);
		compare(f, run, key, o);
		free(o);
	}
}

/* Blocks whose points all have one step, in the middle of others. */
static void test_equal_steps(void **state)
{
	struct fixture *f = *state;
	struct oracle *o = calloc(1, sizeof(*o));
	uint32_t run = rx_run(f), key = rx_key(f, "same");

	assert_non_null(o);
	for (int i = 0; i < 3000; i++) {
		static const int64_t steps[] = { 5, 5, 5, 5, 5, 4, 6, 5, 3, 5 };
		struct metric_point p = {
			steps[rnd(10)], i, 1700000000000 + i, { 0 }, { 0 }, { 0 }
		};

		log_points(f, run, "same", o, &p, 1);
	}
	compare(f, run, key, o);
	free(o);
}

static void test_strings(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f), key = rx_key(f, "acc");
	struct metric_point with = { 5, 0.5, 1700000000000, S("m-0123"), S("iris"), S("abc") },
			    plain = { 1, 0.25, 1700000000001, { 0 }, { 0 }, { 0 } };
	struct metric m;
	bool has;

	OK(f, metric_log(f->m, run, S("acc"), &with, 1));
	for (int i = 0; i < 300; i++) {
		plain.step = i % 4;
		OK(f, metric_log(f->m, run, S("acc"), &plain, 1));
	}
	assert_int_equal(metric_get(live(f), run, key, &m), 0);
	assert_true(point_eq(&m.latest, &with));
	assert_int_equal(metric_has_point(live(f), run, key, &with, &has), 0);
	assert_true(has);
	with.dataset_name = S("other");
	assert_int_equal(metric_has_point(live(f), run, key, &with, &has), 0);
	assert_false(has);
	assert_int_equal(metric_has_point(live(f), run, rx_key(f, "none"), &with, &has), 0);
	assert_false(has);
}

static void test_edges(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f), key = rx_key(f, "x");
	struct metric_point p[] = {
		{ INT64_MAX, 1, 0, { 0 }, { 0 }, { 0 } },
		{ INT64_MIN, 2, INT64_MAX, { 0 }, { 0 }, { 0 } },
		{ 0, 3, 1, { 0 }, { 0 }, { 0 } },
	};
	int64_t next;

	OK(f, metric_log(f->m, run, S("x"), p, 3));
	assert_string_equal(
		rx_read(f, VALUE_RUN_HISTORY, run, "x"),
		"-9223372036854775808\t2\t9223372036854775807\n0\t3\t1\n9223372036854775807\t1\t0\n");
	assert_int_equal(metric_next_step(live(f), run, key, &next), -EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_METRIC, run, "x", "5\n"), -EINVAL);
	assert_int_equal(IN_BATCH(f, metric_log(f->m, run, S("bad key!"), p, 1)), -EINVAL);
	assert_int_equal(IN_BATCH(f, metric_log(f->m, run + 7, S("x"), p, 1)), -ENOENT);
	OK(f, metric_remove(f->m, run, key));
	assert_int_equal(metric_next_step(live(f), run, key, &next), 0);
	assert_int_equal(next, 0);
	assert_string_equal(rx_read(f, VALUE_RUN_HISTORY, run, "x"), "");
}

/* Provisional points, taken back at once, after others logged, and after blocks were made. */
static void test_take_back(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 168; round++) {
		int before = round % 84 / 2 * 10 + (round % 2 ? 3 : 0);
		struct oracle *o = calloc(1, sizeof(*o));
		uint32_t run = rx_run(f), key = rx_key(f, "loss");
		struct metric_undo undo = { .had_before = false };
		struct metric_appender *a = NULL;
		struct metric_point p = { round % 8 ? before : (int64_t)rnd(500),
					  1e9,
					  1700000000000,
					  { 0 },
					  { 0 },
					  { 0 } };
		unsigned after = round < 84 ? 0 : (unsigned)(round % 3) * 150;

		assert_non_null(o);
		for (int i = 0; i < before; i++) {
			struct metric_point q = {
				i, i * 0.5, 1700000000000 + i, { 0 }, { 0 }, { 0 }
			};

			log_points(f, run, "loss", o, &q, 1);
		}
		fx_begin(f);
		assert_int_equal(metric_append_open(f->m, run, key, &a), 0);
		assert_int_equal(metric_undo_before(a, &undo), 0);
		assert_int_equal(metric_append_add(a, &p), 0);
		assert_int_equal(metric_append_close_undo(a, &p, &undo), 0);
		fx_end(f, 0);
		for (unsigned i = 0; i < after; i++) {
			struct metric_point q = {
				(int64_t)rnd(600), -1.5 * i, 1700000000000 + i, { 0 }, { 0 }, { 0 }
			};

			log_points(f, run, "loss", o, &q, 1);
		}
		OK(f, metric_take_back(f->m, run, key, &undo));
		metric_undo_release(&undo);
		if (o->count)
			compare(f, run, key, o);
		else
			assert_false(rx_has(f, VALUE_RUN_METRIC, run, "loss"));
		free(o);
	}
}

/* What is taken back was the first of a block, and the block after it begins with the same step. */
static void test_take_back_first(void **state)
{
	struct fixture *f = *state;
	struct oracle *o = calloc(1, sizeof(*o));
	uint32_t run = rx_run(f), key = rx_key(f, "loss");
	struct metric_undo undo = { .had_before = false };
	struct metric_appender *a = NULL;
	struct metric_point low = { 4, 1e9, 1700000000000, { 0 }, { 0 }, { 0 } };

	assert_non_null(o);
	fx_begin(f);
	assert_int_equal(metric_append_open(f->m, run, key, &a), 0);
	assert_int_equal(metric_undo_before(a, &undo), 0);
	assert_int_equal(metric_append_add(a, &low), 0);
	assert_int_equal(metric_append_close_undo(a, &low, &undo), 0);
	fx_end(f, 0);
	for (int i = 0; i < 350; i++) {
		struct metric_point q = { 5, i, 1700000000000 + i, { 0 }, { 0 }, { 0 } };

		log_points(f, run, "loss", o, &q, 1);
	}
	assert_int_equal(fx_check(f), 0);
	OK(f, metric_take_back(f->m, run, key, &undo));
	metric_undo_release(&undo);
	compare(f, run, key, o);
	free(o);
}

/* Of equal step and time the one logged later is the latest. */
static void test_latest(void **state)
{
	static const struct metric_point p[] = {
		{ 3, 1, 50, { 0 }, { 0 }, { 0 } },
		{ 3, 2, 50, { 0 }, { 0 }, { 0 } },
		{ 3, 9, 40, { 0 }, { 0 }, { 0 } },
		{ 2, 8, 99, { 0 }, { 0 }, { 0 } },
	};
	struct fixture *f = *state;
	uint32_t run = rx_run(f);

	OK(f, metric_log(f->m, run, S("m"), p, 4));
	assert_string_equal(rx_read(f, VALUE_RUN_METRIC, run, "m"), "2\n");
}

/* Printed, not judged: machines differ. */
static void test_speed(void **state)
{
	struct fixture *f = *state;
	uint32_t run = rx_run(f);
	struct metric_point *p = calloc(100000, sizeof(*p));
	int64_t begin = clock_mono_ms(), took;
	SCOPED_BUF struct buf text = BUF_INIT;
	struct value_writer *w;

	assert_non_null(p);
	for (int i = 0; i < 100000; i++)
		p[i] = (struct metric_point){ i,     (double)i / 7, 1700000000000 + i,
					      { 0 }, { 0 },         { 0 } };
	for (int i = 0; i < 100000; i += 1000)
		OK(f, metric_log(f->m, run, S("bulk"), p + i, 1000));
	took = clock_mono_ms() - begin;
	print_message("100,000 points, 1,000 a batch: %lld ms\n", (long long)took);
	begin = clock_mono_ms();
	for (int i = 0; i < 20000; i++)
		OK(f, metric_log(f->m, run, S("single"), p + i, 1));
	took = clock_mono_ms() - begin;
	print_message("20,000 points, one a batch: %lld ms\n", (long long)took);
	for (int i = 0; i < 100000; i++)
		buf_addf(&text, "%d %d.%03d\n", i, i % 100, i % 1000);
	w = rx_open(f, VALUE_RUN_HISTORY, run, "text", false);
	begin = clock_mono_ms();
	for (size_t off = 0; off < text.len; off += 131072) {
		size_t n = text.len - off < 131072 ? text.len - off : 131072;

		assert_int_equal(value_write(w, slice_of(text.data + off, n)), n);
	}
	took = clock_mono_ms() - begin;
	assert_int_equal(value_flush(w), 0);
	value_writer_free(w);
	print_message("100,000 lines of text, 128 KiB a write: %lld ms\n", (long long)took);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_equal_steps, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_strings, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_edges, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_take_back, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_take_back_first, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_latest, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_speed, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
