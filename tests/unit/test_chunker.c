/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunker - cuts depend on the bytes alone, keep to their sizes, survive an insertion, and are those of the format.
 */
#include "tests/unit/cas_fixture.h"

#include "store/cas/chunker.h"

#define MIB (1u << 20)
#define CUTS_MAX 8192

struct cuts {
	size_t count;
	size_t at[CUTS_MAX];
};

/* Cut P as a file whose first byte is at OFFSET, given in pieces of up to STEP bytes. */
static void cut_all(struct cuts *c, const uint8_t *p, size_t len, uint64_t offset, size_t step)
{
	struct chunker chunker;
	size_t at = 0;

	c->count = 0;
	chunker_begin(&chunker, offset);
	while (at < len) {
		size_t n = step && step < len - at ? step : len - at;
		bool cut;

		at += chunker_scan(&chunker, slice_of(p + at, n), &cut);
		if (!cut)
			continue;
		assert_true(c->count < CUTS_MAX);
		c->at[c->count++] = at;
		chunker_begin(&chunker, offset + at);
	}
}

static void test_gear(void **state)
{
	uint64_t seed = CHUNKER_GEAR_SEED;

	(void)state;
	for (int i = 0; i < 256; i++)
		assert_true(chunker_gear((uint8_t)i) == fx_next(&seed));
}

static void test_steps(void **state)
{
	static const size_t steps[] = { 1, 7, 63, 64, 65, 2047, 2048, 4096, 65537 };
	static struct cuts whole, parts;
	size_t len = 2 * MIB;
	uint8_t *p = fx_bytes(len);

	(void)state;
	fx_random(p, len, 1);
	cut_all(&whole, p, len, 0, 0);
	assert_true(whole.count > 100);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		cut_all(&parts, p, len, 0, steps[i]);
		assert_int_equal(parts.count, whole.count);
		assert_memory_equal(parts.at, whole.at, whole.count * sizeof(*whole.at));
	}
	free(p);
}

static void check_sizes(uint64_t offset, size_t len, bool text)
{
	static struct cuts c;
	const struct chunker_sizes *s = chunker_sizes_at(offset);
	uint8_t *p = fx_bytes(len);
	size_t last = 0;

	(text ? fx_text : fx_random)(p, len, 2);
	cut_all(&c, p, len, offset, 0);
	for (size_t i = 0; i < c.count; i++) {
		assert_in_range(c.at[i] - last, s->min, s->max);
		last = c.at[i];
	}
	assert_in_range(len / c.count, s->avg * 8 / 10, s->avg * 14 / 10);
	free(p);
}

static void test_sizes(void **state)
{
	(void)state;
	check_sizes(0, 16 * MIB, false);
	check_sizes(0, 16 * MIB, true);
	check_sizes(CHUNKER_LARGE_FROM - 1 + 1, 48 * MIB, false);
	assert_ptr_not_equal(chunker_sizes_at(CHUNKER_LARGE_FROM - 1), chunker_sizes_at(CHUNKER_LARGE_FROM));
	assert_int_equal(chunker_sizes_at(UINT64_MAX)->max, CHUNKER_MAX);
}

static void test_monotone(void **state)
{
	static struct cuts c;
	size_t len = MIB;
	uint8_t *p = fx_bytes(len);

	(void)state;
	memset(p, 'x', len);		/* nothing to cut at: the maximum cuts */
	cut_all(&c, p, len, 0, 0);
	assert_int_equal(c.count, len / chunker_sizes_at(0)->max);
	free(p);
}

/* One byte more in the middle: all cuts but those beside it are the same. */
static void test_insertion(void **state)
{
	static struct cuts before, after;
	size_t len = 16 * MIB, at = 5 * MIB + 12345, shared = 0, j = 0;
	uint8_t *p = fx_bytes(len), *q = fx_bytes(len + 1);

	(void)state;
	fx_text(p, len, 3);
	memcpy(q, p, at);
	q[at] = '!';
	memcpy(q + at + 1, p + at, len - at);
	cut_all(&before, p, len, 0, 0);
	cut_all(&after, q, len + 1, 0, 0);
	for (size_t i = 0; i < before.count; i++) {
		size_t want = before.at[i] + (before.at[i] > at);

		while (j < after.count && after.at[j] < want)
			j++;
		shared += j < after.count && after.at[j] == want;
	}
	assert_true(before.count - shared <= 8);
	free(p);
	free(q);
}

/* The format: the lengths of the first chunks of a stream that anyone can generate (FORMAT.md says how). */
static void check_golden(const char *name, uint64_t offset, size_t len)
{
	static struct cuts c;
	uint8_t bytes[1024];
	struct slice golden = fx_golden(name, bytes, sizeof(bytes));
	uint8_t *p = fx_bytes(len);
	size_t last = 0;

	fx_random(p, len, 42);
	cut_all(&c, p, len, offset, 0);
	for (size_t i = 0; i < golden.len / 4; i++) {
		size_t want = (size_t)bytes[4 * i] << 24 | (size_t)bytes[4 * i + 1] << 16 |
			      (size_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];

		assert_true(i < c.count);
		assert_int_equal(c.at[i] - last, want);
		last = c.at[i];
	}
	assert_true(golden.len >= 64);
	free(p);
}

static void test_golden(void **state)
{
	(void)state;
	check_golden("cas-cuts-small", 0, MIB);
	check_golden("cas-cuts-large", CHUNKER_LARGE_FROM, 4 * MIB);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gear),	  cmocka_unit_test(test_steps),
		cmocka_unit_test(test_sizes),	  cmocka_unit_test(test_monotone),
		cmocka_unit_test(test_insertion), cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
