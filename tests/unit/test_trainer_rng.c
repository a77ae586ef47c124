/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trainer_rng - the generator against the numbers its inventor published.
 */
#include "trainer/rng.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

/* The output of the reference implementation's pcg32-demo: seed 42, stream 54. */
static void test_reference_output(void **state)
{
	static const uint32_t want[] = { 0xa15c02b7, 0x7b47f409, 0xba1d3330,
					 0x83d2f293, 0xbfa4784b, 0xcbed606e };
	struct rng rng;

	(void)state;
	rng_init(&rng, 42, 54);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(rng_next(&rng), want[i]);
}

static void test_below_is_even(void **state)
{
	size_t count[7] = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 3, 1);
	for (int i = 0; i < 70000; i++)
		count[rng_below(&rng, 7)]++;
	for (size_t i = 0; i < 7; i++)
		assert_in_range(count[i], 9600, 10400);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_below(&rng, 1), 0);
}

static void test_shuffle_keeps_all(void **state)
{
	uint32_t items[100], moved = 0;
	uint8_t seen[100] = { 0 };
	struct rng rng;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		items[i] = i;
	rng_init(&rng, 5, 2);
	rng_shuffle(&rng, items, 100);
	for (uint32_t i = 0; i < 100; i++) {
		moved += items[i] != i;
		seen[items[i]]++;
	}
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
	assert_true(moved > 80);
	rng_shuffle(&rng, items, 1);
	rng_shuffle(&rng, items, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_output),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_shuffle_keeps_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
