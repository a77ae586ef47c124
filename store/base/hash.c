/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/hash.h"

#include <pthread.h>
#include <stdbool.h>
#include <xxhash.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define CASTAGNOLI_REFLECTED 0x82f63b78u

struct digest hash_xxh3(struct slice s, uint64_t seed)
{
	XXH128_canonical_t canonical;
	struct digest d;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(s.data, s.len, seed));
	memcpy(d.bytes, canonical.digest, sizeof(d.bytes));
	return d;
}

static uint32_t crc_table[8][256]; /* immutable after crc_init */
static uint32_t (*crc_update)(uint32_t crc, const uint8_t *at, size_t len); /* same */
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

/* Eight bytes a step: "slicing by 8" (Kounavis and Berry, 2005). */
static uint32_t crc_by_table(uint32_t crc, const uint8_t *at, size_t len)
{
	for (; len >= 8; at += 8, len -= 8) {
		uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 |
				      (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);

		crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^
		      crc_table[5][low >> 16 & 255] ^ crc_table[4][low >> 24] ^
		      crc_table[3][at[4]] ^ crc_table[2][at[5]] ^ crc_table[1][at[6]] ^
		      crc_table[0][at[7]];
	}
	for (; len; at++, len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *at) & 255];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_sse42(uint32_t crc, const uint8_t *at,
							       size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; at += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len; at++, len--)
		crc = _mm_crc32_u8(crc, *at);
	return crc;
}
#endif

static void crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CASTAGNOLI_REFLECTED : 0);
		crc_table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] =
				crc_table[k - 1][i] >> 8 ^ crc_table[0][crc_table[k - 1][i] & 255];
	crc_update = crc_by_table;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		crc_update = crc_by_sse42;
#endif
}

uint32_t hash_crc32c(uint32_t crc, struct slice s)
{
	pthread_once(&crc_once, crc_init);
	return ~crc_update(~crc, s.data, s.len);
}

uint32_t hash_crc32c_portable(uint32_t crc, struct slice s)
{
	pthread_once(&crc_once, crc_init);
	return ~crc_by_table(~crc, s.data, s.len);
}

void hash_hex(const uint8_t *bytes, size_t len, char *out)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex[bytes[i] >> 4];
		out[2 * i + 1] = hex[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}
