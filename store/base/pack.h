/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - fixed-width integers and strings to and from bytes.  Big-endian in keys (so that memcmp orders
 * them), little-endian in values.  A reader never runs past its end: it turns `bad`, gives zeros from then
 * on, and the caller asks once at the end with unpack_done() (-EBADMSG: the record is damaged).
 */
#ifndef STORE_BASE_PACK_H
#define STORE_BASE_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"

/* Keys: big-endian. */
void key_u8(struct buf *b, uint8_t v);
void key_u16(struct buf *b, uint16_t v);
void key_u32(struct buf *b, uint32_t v);
void key_u64(struct buf *b, uint64_t v);
void key_i64(struct buf *b, int64_t v);        /* offset by 2^63, so that negatives sort first */
void key_u64_desc(struct buf *b, uint64_t v);  /* ~v: newest first */
void key_bytes(struct buf *b, struct slice s); /* raw; only as the last or a fixed-width part */

/* Values: little-endian. */
void pack_u8(struct buf *b, uint8_t v);
void pack_u16(struct buf *b, uint16_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_i64(struct buf *b, int64_t v);
void pack_f64(struct buf *b, double v);       /* IEEE 754 bits as u64 */
void pack_varint(struct buf *b, uint64_t v);  /* LEB128 */
void pack_svarint(struct buf *b, int64_t v);  /* zigzag LEB128 */
void pack_str(struct buf *b, struct slice s); /* varint length, then the bytes */

struct unpack {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct unpack unpack_init(struct slice s);
/* Readers for values. */
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
int64_t unpack_i64(struct unpack *u);
double unpack_f64(struct unpack *u);
uint64_t unpack_varint(struct unpack *u);
int64_t unpack_svarint(struct unpack *u);
struct slice unpack_str(struct unpack *u);               /* borrowed from the record */
struct slice unpack_bytes(struct unpack *u, size_t len); /* borrowed; bad when fewer are left */
struct slice unpack_rest(struct unpack *u);
/* Readers for keys. */
uint8_t unkey_u8(struct unpack *u);
uint16_t unkey_u16(struct unpack *u);
uint32_t unkey_u32(struct unpack *u);
uint64_t unkey_u64(struct unpack *u);
int64_t unkey_i64(struct unpack *u);
uint64_t unkey_u64_desc(struct unpack *u);
/* 0 when everything was read and nothing is left; -EBADMSG else.  Records may grow at the end: _more ignores the rest. */
MUST_CHECK int unpack_done(const struct unpack *u);
MUST_CHECK int unpack_more(const struct unpack *u);

#endif
