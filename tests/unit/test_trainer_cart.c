/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trainer_cart - trees on data small enough to know the answer.
 */
#include "trainer/cart.h"
#include "trainer/mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct cart_limits free_limits = { SIZE_MAX, 2, 1, 2 };

/* Two features; the first tells the classes apart at 2.5, the second not at all. */
static struct dataset small_data(void)
{
	static double x[] = { 1, 7, 2, 7, 3, 7, 4, 7 };
	static uint32_t y[] = { 0, 0, 1, 1 };
	struct dataset d = { .rows = 4, .x = x, .y = y };

	(void)labels_add(&d.features, "a");
	(void)labels_add(&d.features, "b");
	(void)labels_add(&d.classes, "no");
	(void)labels_add(&d.classes, "yes");
	return d;
}

static struct cart grow(const uint32_t *weight, const struct cart_limits *limits)
{
	struct dataset d = small_data();
	struct cart c;
	struct rng rng;

	rng_init(&rng, 0, 0);
	cart_grow(&d, weight, limits, &rng, &c);
	return c;
}

static void test_finds_the_split(void **state)
{
	static const uint32_t weight[] = { 1, 1, 1, 1 };
	struct cart c = grow(weight, &free_limits);
	double importance[2], proba[2] = { 0 };

	(void)state;
	assert_int_equal(c.count, 3);
	assert_int_equal(c.node[0].feature, 0);
	assert_float_equal(c.node[0].threshold, 2.5, 0);
	assert_int_equal(cart_depth(&c), 1);
	cart_importance(&c, importance);
	assert_float_equal(importance[0], 1, 1e-12);
	assert_float_equal(importance[1], 0, 1e-12);
	cart_add_proba(&c, (const double[]){ 2.5, 0 }, SIZE_MAX, proba);
	assert_float_equal(proba[0], 1, 0);
	proba[0] = proba[1] = 0;
	cart_add_proba(&c, (const double[]){ 2.5, 0 }, 0, proba);
	assert_float_equal(proba[0], 0.5, 0);
	cart_release(&c);
}

static void test_weights_and_limits(void **state)
{
	static const uint32_t one_class[] = { 3, 1, 0, 0 }, all[] = { 1, 1, 1, 1 };
	static const struct cart_limits no_depth = { 0, 2, 1, 2 }, big_leaf = { SIZE_MAX, 2, 3, 2 },
					big_split = { SIZE_MAX, 5, 1, 2 };
	struct cart c = grow(one_class, &free_limits);

	(void)state;
	assert_int_equal(c.count, 1);
	assert_float_equal(c.weight[0], 4, 0);
	cart_release(&c);
	for (size_t i = 0; i < 3; i++) {
		c = grow(all,
			 (const struct cart_limits *[]){ &no_depth, &big_leaf, &big_split }[i]);
		assert_int_equal(c.count, 1);
		cart_release(&c);
	}
}

static void test_text_round_trip(void **state)
{
	static const uint32_t weight[] = { 2, 0, 1, 5 };
	struct cart c = grow(weight, &free_limits), back;
	struct text a = { 0 }, b = { 0 };
	struct lines in;

	(void)state;
	cart_write(&c, 0, &a);
	SCOPED_FREE char *bytes = mem_dup(a.bytes, a.len);

	lines_init(&in, "x", bytes);
	assert_int_equal(cart_read(&in, 0, 2, 2, &back), 0);
	assert_int_equal(lines_end(&in), 0);
	assert_int_equal(memcmp(back.weight, c.weight, c.count * 2 * sizeof(double)), 0);
	cart_write(&back, 0, &b);
	assert_string_equal(a.bytes, b.bytes);
	text_release(&a);
	text_release(&b);
	cart_release(&c);
	cart_release(&back);
}

static void test_refuses_what_is_no_tree(void **state)
{
	static const char *const bad[] = {
		"tree 0 nodes 1\nsplit 0 1 0 0\n",                          /* its own child */
		"tree 0 nodes 3\nsplit 0 1 1 1\nleaf 1 0\nleaf 1 0\n",      /* one child twice */
		"tree 0 nodes 3\nsplit 0 1 1 2\nsplit 0 1 0 2\nleaf 1 0\n", /* a cycle */
		"tree 0 nodes 3\nsplit 0 1 1 3\nleaf 1 0\nleaf 1 0\n",      /* no such child */
		"tree 0 nodes 2\nleaf 1 0\nleaf 1 0\n",                     /* nobody's child */
		"tree 0 nodes 3\nsplit 2 1 1 2\nleaf 1 0\nleaf 1 0\n",      /* no such feature */
		"tree 0 nodes 3\nsplit 0 nan 1 2\nleaf 1 0\nleaf 1 0\n",
		"tree 0 nodes 1\nleaf 0 0\n",
		"tree 0 nodes 1\nleaf -1 3\n",
		"tree 0 nodes 1\nleaf 1\n",
		"tree 0 nodes 1\nleaf 1 inf\n",
		"tree 0 nodes 1\nleaf 1 1e300\n",
		"tree 0 nodes 0\n",
		"tree 1 nodes 1\nleaf 1 0\n",
		"tree 0 nodes 99999999999\nleaf 1 0\n",
		"tree 0 nodes 1\n",
		"tree 0 nodes 1\nleaf 1 0",
		"tree 0 nodes 1\nleaf  1 0\n",
		"tree 0 knots 1\nleaf 1 0\n",
		"tree 0 nodes 3\nsplit 0 1 1\nleaf 1 0\nleaf 1 0\n",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SCOPED_FREE char *bytes = mem_dup(bad[i], strlen(bad[i]));
		struct lines in;
		struct cart c;

		lines_init(&in, "x", bytes);
		assert_true(cart_read(&in, 0, 2, 2, &c) < 0);
		assert_true(strncmp(fail_text(), "x:", 2) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_the_split),
		cmocka_unit_test(test_weights_and_limits),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_refuses_what_is_no_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
