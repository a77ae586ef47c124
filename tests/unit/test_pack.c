/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/pack.h"

static const uint64_t numbers[] = {
	0,
	1,
	127,
	128,
	255,
	256,
	16383,
	16384,
	65535,
	65536,
	UINT32_MAX,
	UINT64_C(1) << 32,
	INT64_MAX,
	UINT64_C(1) << 63,
	UINT64_MAX - 1,
	UINT64_MAX,
};

#define COUNT (sizeof(numbers) / sizeof(numbers[0]))

static void values_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		SCOPED_BUF struct buf b = BUF_INIT;
		uint64_t n = numbers[i];
		struct unpack u;

		pack_u8(&b, (uint8_t)n);
		pack_u16(&b, (uint16_t)n);
		pack_u32(&b, (uint32_t)n);
		pack_u64(&b, n);
		pack_i64(&b, (int64_t)n);
		pack_varint(&b, n);
		pack_svarint(&b, (int64_t)n);
		pack_f64(&b, (double)n);
		pack_str(&b, slice_str("some text"));
		buf_add_str(&b, "rest");
		u = unpack_init(buf_slice(&b));
		assert_int_equal(unpack_u8(&u), (uint8_t)n);
		assert_int_equal(unpack_u16(&u), (uint16_t)n);
		assert_int_equal(unpack_u32(&u), (uint32_t)n);
		assert_true(unpack_u64(&u) == n);
		assert_true(unpack_i64(&u) == (int64_t)n);
		assert_true(unpack_varint(&u) == n);
		assert_true(unpack_svarint(&u) == (int64_t)n);
		assert_true(unpack_f64(&u) == (double)n);
		assert_true(slice_eq(unpack_str(&u), slice_str("some text")));
		assert_int_equal(unpack_done(&u), -EBADMSG);
		assert_int_equal(unpack_more(&u), 0);
		assert_true(slice_eq(unpack_rest(&u), slice_str("rest")));
		assert_int_equal(unpack_done(&u), 0);
	}
}

static void values_are_little_endian_and_keys_big(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	pack_u32(&b, 0x01020304);
	key_u32(&b, 0x01020304);
	pack_varint(&b, 300);
	pack_svarint(&b, -2);
	key_i64(&b, -1);
	assert_int_equal(b.len, 19);
	assert_memory_equal(b.data, "\4\3\2\1\1\2\3\4\xac\2\3\x7f\xff\xff\xff\xff\xff\xff\xff", 19);
}

static void nan_keeps_its_bits(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;
	struct unpack u;
	double back;

	(void)state;
	pack_f64(&b, -NAN);
	pack_f64(&b, -0.0);
	u = unpack_init(buf_slice(&b));
	back = unpack_f64(&u);
	assert_true(isnan(back) && signbit(back));
	back = unpack_f64(&u);
	assert_true(back == 0 && signbit(back));
}

static void keys_sort_as_their_numbers(void **state)
{
	static const int64_t signs[] = { INT64_MIN, INT64_MIN + 1, -65536, -1,       0,
					 1,         255,           256,    INT64_MAX };
	SCOPED_BUF struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	for (size_t i = 1; i < COUNT; i++) {
		buf_reset(&a);
		buf_reset(&b);
		key_u64(&a, numbers[i - 1]);
		key_u64(&b, numbers[i]);
		assert_true(memcmp(a.data, b.data, 8) < 0);
		buf_reset(&a);
		buf_reset(&b);
		key_u64_desc(&a, numbers[i - 1]);
		key_u64_desc(&b, numbers[i]);
		assert_true(memcmp(a.data, b.data, 8) > 0);
	}
	for (size_t i = 1; i < sizeof(signs) / sizeof(signs[0]); i++) {
		buf_reset(&a);
		buf_reset(&b);
		key_i64(&a, signs[i - 1]);
		key_i64(&b, signs[i]);
		assert_true(memcmp(a.data, b.data, 8) < 0);
	}
}

static void keys_come_back(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;
	struct unpack u;

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t n = numbers[i];

		buf_reset(&b);
		key_u8(&b, (uint8_t)n);
		key_u16(&b, (uint16_t)n);
		key_u32(&b, (uint32_t)n);
		key_u64(&b, n);
		key_i64(&b, (int64_t)n);
		key_u64_desc(&b, n);
		key_bytes(&b, slice_str("name"));
		u = unpack_init(buf_slice(&b));
		assert_int_equal(unkey_u8(&u), (uint8_t)n);
		assert_int_equal(unkey_u16(&u), (uint16_t)n);
		assert_int_equal(unkey_u32(&u), (uint32_t)n);
		assert_true(unkey_u64(&u) == n);
		assert_true(unkey_i64(&u) == (int64_t)n);
		assert_true(unkey_u64_desc(&u) == n);
		assert_true(slice_eq(unpack_bytes(&u, 4), slice_str("name")));
		assert_int_equal(unpack_done(&u), 0);
	}
}

/* Every prefix of a record turns the reader bad, and it never gives anything but zeros from then on. */
static void a_short_record_is_noticed(void **state)
{
	SCOPED_BUF struct buf b = BUF_INIT;

	(void)state;
	pack_u16(&b, 7);
	pack_varint(&b, UINT64_MAX);
	pack_str(&b, slice_str("abc"));
	for (size_t len = 0; len < b.len; len++) {
		struct unpack u = unpack_init(slice_of(b.data, len));

		(void)unpack_u16(&u);
		(void)unpack_varint(&u);
		(void)unpack_str(&u);
		assert_true(u.bad);
		assert_int_equal(unpack_done(&u), -EBADMSG);
		assert_int_equal(unpack_more(&u), -EBADMSG);
		assert_int_equal(unpack_u64(&u), 0);
		assert_int_equal(unkey_i64(&u), 0);
		assert_int_equal(unkey_u64_desc(&u), 0);
		assert_int_equal(unpack_str(&u).len, 0);
	}
}

static void nonsense_is_noticed(void **state)
{
	static const char *const bad[] = {
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",     /* over 64 bits */
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* eleven bytes */
	};
	struct unpack u;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		u = unpack_init(slice_str(bad[i]));
		(void)unpack_varint(&u);
		assert_true(u.bad);
	}
	u = unpack_init(slice_str("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
				  "short"));
	assert_int_equal(unpack_str(&u).len, 0); /* a length of 2^64 - 1 */
	assert_true(u.bad);
	u = unpack_init(slice_of(NULL, 0));
	assert_int_equal(unpack_done(&u), 0);
	assert_int_equal(unpack_rest(&u).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_back),
		cmocka_unit_test(values_are_little_endian_and_keys_big),
		cmocka_unit_test(nan_keeps_its_bits),
		cmocka_unit_test(keys_sort_as_their_numbers),
		cmocka_unit_test(keys_come_back),
		cmocka_unit_test(a_short_record_is_noticed),
		cmocka_unit_test(nonsense_is_noticed),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
