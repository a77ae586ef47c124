/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash - the digests that name things: XXH3-128 (canonical big-endian bytes, as the xxHash specification prints it).  Any thread.
 */
#ifndef STORE_BASE_HASH_H
#define STORE_BASE_HASH_H

#include <stdint.h>

#include "store/base/slice.h"

struct digest {
	uint8_t bytes[16];
};

struct digest hash_xxh3(struct slice s, uint64_t seed);
uint32_t hash_crc32c(uint32_t crc, struct slice s); /* Castagnoli; start with 0 */
uint32_t hash_crc32c_portable(uint32_t crc,
			      struct slice s); /* the same without the CPU's help; for the tests */
void hash_hex(const uint8_t *bytes, size_t len, char *out); /* 2*len characters and a NUL */

#endif
