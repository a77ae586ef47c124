/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/pack.h"

#include <errno.h>

#define SIGN_BIT (UINT64_C(1) << 63)

static void add_be(struct buf *b, uint64_t v, unsigned width)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < width; i++)
		bytes[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	buf_add(b, bytes, width);
}

static void add_le(struct buf *b, uint64_t v, unsigned width)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < width; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_add(b, bytes, width);
}

void key_u8(struct buf *b, uint8_t v)
{
	add_be(b, v, 1);
}

void key_u16(struct buf *b, uint16_t v)
{
	add_be(b, v, 2);
}

void key_u32(struct buf *b, uint32_t v)
{
	add_be(b, v, 4);
}

void key_u64(struct buf *b, uint64_t v)
{
	add_be(b, v, 8);
}

void key_i64(struct buf *b, int64_t v)
{
	add_be(b, (uint64_t)v ^ SIGN_BIT, 8);
}

void key_u64_desc(struct buf *b, uint64_t v)
{
	add_be(b, ~v, 8);
}

void key_bytes(struct buf *b, struct slice s)
{
	buf_add_slice(b, s);
}

void pack_u8(struct buf *b, uint8_t v)
{
	add_le(b, v, 1);
}

void pack_u16(struct buf *b, uint16_t v)
{
	add_le(b, v, 2);
}

void pack_u32(struct buf *b, uint32_t v)
{
	add_le(b, v, 4);
}

void pack_u64(struct buf *b, uint64_t v)
{
	add_le(b, v, 8);
}

void pack_i64(struct buf *b, int64_t v)
{
	add_le(b, (uint64_t)v, 8);
}

void pack_f64(struct buf *b, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	add_le(b, bits, 8);
}

void pack_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	unsigned n = 0;

	while (v >= 0x80) {
		bytes[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	bytes[n++] = (uint8_t)v;
	buf_add(b, bytes, n);
}

void pack_svarint(struct buf *b, int64_t v)
{
	pack_varint(b, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void pack_str(struct buf *b, struct slice s)
{
	pack_varint(b, s.len);
	buf_add_slice(b, s);
}

struct unpack unpack_init(struct slice s)
{
	return (struct unpack){ s.data, s.len, false };
}

static const uint8_t *take(struct unpack *u, size_t len)
{
	const uint8_t *at = u->at;

	if (u->bad || u->left < len) {
		u->bad = true;
		return NULL;
	}
	if (len) {
		u->at += len;
		u->left -= len;
	}
	return at;
}

static uint64_t take_le(struct unpack *u, unsigned width)
{
	const uint8_t *at = take(u, width);
	uint64_t v = 0;

	for (unsigned i = 0; at && i < width; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static uint64_t take_be(struct unpack *u, unsigned width)
{
	const uint8_t *at = take(u, width);
	uint64_t v = 0;

	for (unsigned i = 0; at && i < width; i++)
		v = v << 8 | at[i];
	return v;
}

uint8_t unpack_u8(struct unpack *u)
{
	return (uint8_t)take_le(u, 1);
}

uint16_t unpack_u16(struct unpack *u)
{
	return (uint16_t)take_le(u, 2);
}

uint32_t unpack_u32(struct unpack *u)
{
	return (uint32_t)take_le(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
	return take_le(u, 8);
}

int64_t unpack_i64(struct unpack *u)
{
	return (int64_t)take_le(u, 8);
}

double unpack_f64(struct unpack *u)
{
	uint64_t bits = take_le(u, 8);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

uint64_t unpack_varint(struct unpack *u)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *at = take(u, 1);

		if (!at)
			return 0;
		if (shift == 63 && *at > 1)
			break; /* over 64 bits */
		v |= (uint64_t)(*at & 0x7f) << shift;
		if (!(*at & 0x80))
			return v;
	}
	u->bad = true;
	return 0;
}

int64_t unpack_svarint(struct unpack *u)
{
	uint64_t v = unpack_varint(u);

	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

struct slice unpack_str(struct unpack *u)
{
	uint64_t len = unpack_varint(u);

	if (len > u->left) {
		u->bad = true;
		len = 0;
	}
	return unpack_bytes(u, (size_t)len);
}

struct slice unpack_bytes(struct unpack *u, size_t len)
{
	const uint8_t *at = take(u, len);

	return u->bad ? slice_of(NULL, 0) : slice_of(at, len);
}

struct slice unpack_rest(struct unpack *u)
{
	return unpack_bytes(u, u->left);
}

uint8_t unkey_u8(struct unpack *u)
{
	return (uint8_t)take_be(u, 1);
}

uint16_t unkey_u16(struct unpack *u)
{
	return (uint16_t)take_be(u, 2);
}

uint32_t unkey_u32(struct unpack *u)
{
	return (uint32_t)take_be(u, 4);
}

uint64_t unkey_u64(struct unpack *u)
{
	return take_be(u, 8);
}

int64_t unkey_i64(struct unpack *u)
{
	uint64_t v = take_be(u, 8);

	return u->bad ? 0 : (int64_t)(v ^ SIGN_BIT);
}

uint64_t unkey_u64_desc(struct unpack *u)
{
	uint64_t v = take_be(u, 8);

	return u->bad ? 0 : ~v;
}

int unpack_done(const struct unpack *u)
{
	return u->bad || u->left ? -EBADMSG : 0;
}

int unpack_more(const struct unpack *u)
{
	return u->bad ? -EBADMSG : 0;
}
