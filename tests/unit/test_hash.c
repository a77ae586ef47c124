/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/base/hash.h"

/* RFC 3720 B.4 and the usual check value. */
static void crc32c_of_known_strings(void **state)
{
	uint8_t bytes[32];

	(void)state;
	assert_int_equal(hash_crc32c(0, slice_str("123456789")), 0xe3069283);
	assert_int_equal(hash_crc32c(0, slice_of(NULL, 0)), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(hash_crc32c(0, slice_of(bytes, sizeof(bytes))), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(hash_crc32c(0, slice_of(bytes, sizeof(bytes))), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(hash_crc32c(0, slice_of(bytes, sizeof(bytes))), 0x46dd794e);
}

static void both_ways_to_crc32c_agree_and_go_on(void **state)
{
	uint8_t bytes[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + i / 7);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		uint32_t whole = hash_crc32c(0, slice_of(bytes, len));
		size_t half = len / 3;

		assert_int_equal(hash_crc32c_portable(0, slice_of(bytes, len)), whole);
		assert_int_equal(hash_crc32c(hash_crc32c(0, slice_of(bytes, half)),
					     slice_of(bytes + half, len - half)),
				 whole);
	}
}

/* The values of xxHash's own sanity checks: canonical form, big-endian. */
static void xxh3_of_known_strings(void **state)
{
	struct digest d = hash_xxh3(slice_of("", 0), 0), seeded;
	char hex[33];

	(void)state;
	hash_hex(d.bytes, sizeof(d.bytes), hex);
	assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
	seeded = hash_xxh3(slice_of("", 0), 1);
	assert_memory_not_equal(seeded.bytes, d.bytes, sizeof(d.bytes));
	d = hash_xxh3(slice_str("abc"), 0);
	hash_hex(d.bytes, sizeof(d.bytes), hex);
	assert_string_equal(hex, "06b05ab6733a618578af5f94892f3950");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_of_known_strings),
		cmocka_unit_test(both_ways_to_crc32c_agree_and_go_on),
		cmocka_unit_test(xxh3_of_known_strings),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
