/* SPDX-License-Identifier: Apache-2.0 */
/* Node ids, rows of fixed names, and the ring of refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "fs/node.h"
#include "fs/refusal.h"

static void test_ids_come_apart(void **state)
{
	static const uint32_t objects[] = { 0, 1, 42, NODE_OBJECT_MAX }, inners[] = { 0, 1, 0x80000000u, UINT32_MAX };

	(void)state;
	assert_int_equal(node_id(NODE_ROOT, 0, 1), NODE_ROOT_ID);
	assert_true(NODE_KIND_END <= 64);
	for (unsigned kind = 0; kind < NODE_KIND_END; kind++)
		for (size_t o = 0; o < 4; o++)
			for (size_t i = 0; i < 4; i++) {
				uint64_t node = node_id((enum node_kind)kind, objects[o], inners[i]);

				assert_int_equal(node_kind(node), kind);
				assert_int_equal(node_object(node), objects[o]);
				assert_int_equal(node_inner(node), inners[i]);
			}
}

static void test_every_kind_has_a_table(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < NODE_KIND_END; kind++) {
		const struct node_ops *ops = node_ops_of(node_id((enum node_kind)kind, 1, 1));

		assert_non_null(ops);
		assert_non_null(ops->getattr);
		assert_non_null(ops->path);
	}
	assert_null(node_ops_of(UINT64_MAX));
}

static void test_rows_are_found_whole(void **state)
{
	static const struct node_row rows[] = {
		{ "name", NODE_RUN_FIELD, 1, false },
		{ "new", NODE_EXPERIMENT_NEW, 0, true },
		{ NULL, NODE_ROOT, 0, false },
	};

	(void)state;
	assert_ptr_equal(node_row_find(rows, slice_str("new")), &rows[1]);
	assert_null(node_row_find(rows, slice_str("nam")));
	assert_null(node_row_find(rows, slice_str("names")));
	assert_null(node_row_find(rows, slice_str("")));
}

static void test_hash_is_never_zero(void **state)
{
	char text[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "word%d", i);
		assert_int_not_equal(node_hash(slice_str(text)), 0);
		assert_int_equal(node_hash(slice_str(text)), node_hash(slice_str(text)));
	}
}

static void test_refusals_are_kept_in_order(void **state)
{
	SCOPED_BUF struct buf out = BUF_INIT;
	struct refusals *r;
	size_t lines = 0;
	char path[32];

	(void)state;
	assert_int_equal(refusals_new(&r), 0);
	refusals_add(r, "write", "/a\nb", -EPERM, "why\tnot");
	refusals_text(r, &out);
	assert_non_null(strstr(out.data, " write /a\\nb EPERM: why\\tnot\n"));
	for (unsigned i = 0; i < REFUSALS_KEPT + 10; i++) {
		snprintf(path, sizeof(path), "/n%u", i);
		refusals_add(r, "open", path, -EACCES, "x");
	}
	buf_reset(&out);
	refusals_text(r, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, REFUSALS_KEPT);
	assert_int_equal(refusals_count(r), REFUSALS_KEPT + 11);
	assert_null(strstr(out.data, " /n9 "));
	assert_non_null(strstr(out.data, " /n10 "));
	snprintf(path, sizeof(path), " /n%u ", REFUSALS_KEPT + 9);
	assert_non_null(strstr(out.data, path));
	refusals_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_come_apart),
		cmocka_unit_test(test_every_kind_has_a_table),
		cmocka_unit_test(test_rows_are_found_whole),
		cmocka_unit_test(test_hash_is_never_zero),
		cmocka_unit_test(test_refusals_are_kept_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
