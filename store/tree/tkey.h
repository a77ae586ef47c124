/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tkey - keys of the tree tables, built on the stack: big-endian parts one after the other (FORMAT.md 3).
 * Only for store/tree.  A key that would not fit is cut off, which no caller can cause: a name has at most 255 bytes.
 */
#ifndef STORE_TREE_TKEY_H
#define STORE_TREE_TKEY_H

#include <stdint.h>
#include <string.h>

#include "store/base/slice.h"

struct tkey {
	size_t len;
	uint8_t bytes[288];
};

static inline struct slice tkey_slice(const struct tkey *k)
{
	return slice_of(k->bytes, k->len);
}

static inline void tkey_bytes(struct tkey *k, struct slice s)
{
	size_t n = s.len < sizeof k->bytes - k->len ? s.len : sizeof k->bytes - k->len;

	if (n)
		memcpy(k->bytes + k->len, s.data, n);
	k->len += n;
}

static inline void tkey_u8(struct tkey *k, uint8_t v)
{
	tkey_bytes(k, slice_of(&v, 1));
}

static inline void tkey_u32(struct tkey *k, uint32_t v)
{
	uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	tkey_bytes(k, slice_of(b, sizeof b));
}

static inline void tkey_u64(struct tkey *k, uint64_t v)
{
	tkey_u32(k, (uint32_t)(v >> 32));
	tkey_u32(k, (uint32_t)v);
}

static inline uint32_t tkey_get_u32(const void *data)
{
	const uint8_t *b = data;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t tkey_get_u64(const void *data)
{
	return (uint64_t)tkey_get_u32(data) << 32 | tkey_get_u32((const uint8_t *)data + 4);
}

/* The prefix (TREE, ID) of inode, dirent, cookie and xattr rows. */
static inline struct tkey tkey_pair(uint32_t tree, uint32_t id)
{
	struct tkey k;

	k.len = 0;
	tkey_u32(&k, tree);
	tkey_u32(&k, id);
	return k;
}

#endif
