/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunk - one chunk: its name, its row, its bytes from store to memory.
 *
 * The seed of a name is the number of other contents that came first with the same digest (nearly always 0), plus 2^32
 * for a node, so that a file which happens to hold the bytes of a node is never taken for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "store/base/pack.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"
#include "store/kv/tables.h"

/* The first byte of a row. */
#define FORM_KIND 0x03u
#define FORM_CODEC 0x0cu
#define FORM_CODEC_SHIFT 2
#define FORM_INLINE 0x10u

struct digest chunk_name(const struct cas *cas, enum cas_kind kind, uint32_t seed, struct slice bytes)
{
	uint64_t base = kind == CAS_NODE ? 1ull << 32 : 0;
	struct digest id = hash_xxh3(bytes, base + seed);

	for (unsigned bit = cas->name_bits; bit < 128; bit++)
		id.bytes[bit / 8] &= (uint8_t)~(0x80u >> (bit % 8));
	return id;
}

/* --- rows ------------------------------------------------------------------------------------------ */

void chunk_row_encode(struct buf *out, const struct chunk_row *row)
{
	unsigned form = (unsigned)row->kind | (unsigned)row->codec << FORM_CODEC_SHIFT |
			(row->is_inline ? FORM_INLINE : 0);

	pack_u8(out, (uint8_t)form);
	pack_varint(out, row->seed);
	pack_varint(out, row->refs);
	pack_varint(out, row->raw);
	if (row->is_inline) {
		buf_add_slice(out, row->bytes);
	} else {
		pack_varint(out, row->stored);
		pack_varint(out, row->segment);
		pack_varint(out, row->offset);
	}
}

/* A varint that must be in [MIN, MAX]. */
static uint32_t unpack_bounded(struct unpack *u, uint64_t min, uint64_t max)
{
	uint64_t v = unpack_varint(u);

	if (v < min || v > max)
		u->bad = true;
	return u->bad ? 0 : (uint32_t)v;
}

int chunk_row_decode(struct slice value, struct chunk_row *ret)
{
	struct unpack u = unpack_init(value);
	unsigned form = unpack_u8(&u);
	struct chunk_row row = { .kind = (enum cas_kind)(form & FORM_KIND),
				 .codec = (enum chunk_codec)((form & FORM_CODEC) >> FORM_CODEC_SHIFT),
				 .is_inline = (form & FORM_INLINE) != 0 };

	if (row.kind != CAS_DATA && row.kind != CAS_NODE)
		u.bad = true;
	if ((row.codec != CHUNK_RAW && row.codec != CHUNK_ZSTD) ||
	    (form & ~(FORM_KIND | FORM_CODEC | FORM_INLINE)) != 0)
		u.bad = true;
	row.seed = unpack_bounded(&u, 0, CHUNK_SEED_MAX);
	row.refs = unpack_varint(&u);
	row.raw = unpack_bounded(&u, 1, CAS_CHUNK_MAX);
	if (row.is_inline) {
		row.bytes = unpack_rest(&u);
		row.stored = (uint32_t)row.bytes.len;
		if (row.bytes.len < 1 || row.bytes.len > CHUNK_INLINE_MAX)
			u.bad = true;
	} else {
		row.stored = unpack_bounded(&u, 1, CAS_CHUNK_MAX);
		row.segment = unpack_bounded(&u, 1, SEGMENT_NUMBER_MAX);
		row.offset = unpack_bounded(&u, 0, SEGMENT_BYTES_MAX - row.stored);
	}
	if (row.codec == CHUNK_RAW ? row.stored != row.raw : row.stored >= row.raw)
		u.bad = true;
	if (unpack_done(&u) < 0)
		return err_set(-EBADMSG, "the row of a chunk is damaged");
	*ret = row;
	return 0;
}

int chunk_row_get(struct kv_view *view, const struct digest *id, struct chunk_row *ret)
{
	struct slice value;
	int rc = kv_get(view, TABLE_CHUNK, chunk_key(id), &value);

	return rc < 0 ? rc : chunk_row_decode(value, ret);
}

int chunk_row_put(struct kv *kv, const struct digest *id, const struct chunk_row *row)
{
	SCOPED_BUF struct buf value = BUF_INIT;

	chunk_row_encode(&value, row);
	if (buf_err(&value) < 0)
		return -ENOMEM;
	return kv_put(kv, TABLE_CHUNK, chunk_key(id), buf_slice(&value));
}

/* --- bytes ----------------------------------------------------------------------------------------- */

enum chunk_codec chunk_pack(void *cctx, struct slice raw, struct buf *out, struct slice *ret)
{
	size_t bound = ZSTD_compressBound(raw.len);
	size_t packed;
	void *dst;

	*ret = raw;
	if (raw.len < CHUNK_COMPRESS_MIN)
		return CHUNK_RAW;
	buf_reset(out);
	dst = buf_reserve(out, bound);
	if (!dst)
		return CHUNK_RAW;	/* no memory: it is merely larger */
	packed = ZSTD_compress2(cctx, dst, bound, raw.data, raw.len);
	if (ZSTD_isError(packed) || packed > raw.len - raw.len / 8)
		return CHUNK_RAW;
	*ret = slice_of(dst, packed);
	return CHUNK_ZSTD;
}

static ZSTD_DCtx *dctx_take(struct cas *cas)
{
	ZSTD_DCtx *ctx = NULL;

	pthread_mutex_lock(&cas->lock);
	if (cas->dctx_count > 0)
		ctx = cas->dctx[--cas->dctx_count];
	pthread_mutex_unlock(&cas->lock);
	return ctx ? ctx : ZSTD_createDCtx();
}

static void dctx_give(struct cas *cas, ZSTD_DCtx *ctx)
{
	pthread_mutex_lock(&cas->lock);
	if (cas->dctx_count < sizeof(cas->dctx) / sizeof(*cas->dctx)) {
		cas->dctx[cas->dctx_count++] = ctx;
		ctx = NULL;
	}
	pthread_mutex_unlock(&cas->lock);
	ZSTD_freeDCtx(ctx);
}

static int bad_chunk(const struct digest *id, const char *why)
{
	char hex[33];

	hash_hex(id->bytes, sizeof(id->bytes), hex);
	return err_set(-EBADMSG, "chunk %s: %s", hex, why);
}

/* Do these bytes have the name? */
static int check_name(const struct cas *cas, const struct digest *id, const struct chunk_row *row,
		      struct slice raw)
{
	struct digest found = chunk_name(cas, row->kind, row->seed, raw);

	if (memcmp(found.bytes, id->bytes, sizeof(id->bytes)) != 0)
		return bad_chunk(id, "its bytes do not have its digest");
	return 0;
}

int chunk_unpack(struct cas *cas, const struct digest *id, const struct chunk_row *row, struct slice stored,
		 void *dst)
{
	if (row->codec == CHUNK_ZSTD) {
		ZSTD_DCtx *ctx = dctx_take(cas);
		size_t len;

		if (!ctx)
			return -ENOMEM;
		len = ZSTD_decompressDCtx(ctx, dst, row->raw, stored.data, stored.len);
		dctx_give(cas, ctx);
		if (ZSTD_isError(len) || len != row->raw)
			return bad_chunk(id, "its stored bytes cannot be decompressed");
	} else if (dst != stored.data) {
		memcpy(dst, stored.data, stored.len);
	}
	return check_name(cas, id, row, slice_of(dst, row->raw));
}

int chunk_load(struct cas *cas, const struct digest *id, const struct chunk_row *row, void *dst)
{
	SCOPED_BUF struct buf stored = BUF_INIT;
	void *at = dst;
	int rc;

	if (row->is_inline)
		return chunk_unpack(cas, id, row, row->bytes, dst);
	if (row->codec != CHUNK_RAW)
		at = buf_reserve(&stored, row->stored);
	if (!at)
		return -ENOMEM;
	rc = segment_read(cas, row->segment, row->offset, at, row->stored);
	if (rc == -EBADMSG)
		return bad_chunk(id, "its bytes are missing from the end of its segment");
	return rc < 0 ? rc : chunk_unpack(cas, id, row, slice_of(at, row->stored), dst);
}

/* Read the part through the cache: what was read in part will be read further. */
static int read_cached(struct cas *cas, const struct digest *id, const struct chunk_row *row, uint64_t from,
		       void *dst, size_t len)
{
	uint8_t *whole;
	int rc;

	if (row->is_inline && row->codec == CHUNK_RAW) {	/* it lies in memory already */
		rc = check_name(cas, id, row, row->bytes);
		if (rc == 0)
			memcpy(dst, (const uint8_t *)row->bytes.data + from, len);
		return rc;
	}
	if (cache_copy(cas->cache, id, row, from, dst, len))
		return 0;
	whole = malloc(row->raw);
	if (!whole)
		return -ENOMEM;
	rc = chunk_load(cas, id, row, whole);
	if (rc < 0) {
		free(whole);
		return rc;
	}
	memcpy(dst, whole + from, len);
	if (from + len < row->raw || row->kind == CAS_NODE)
		cache_add(cas->cache, id, row, whole);
	else
		free(whole);
	return 0;
}

int chunk_read(struct cas *cas, struct kv_view *view, const struct digest *id, enum cas_kind kind, uint64_t raw,
	       uint64_t from, void *dst, size_t len)
{
	struct chunk_row row;
	int rc = chunk_row_get(view, id, &row);

	if (rc == -ENOENT)
		return bad_chunk(id, "is referred to, but not there");
	if (rc < 0)
		return rc;
	if (row.kind != kind || row.raw != raw || from > raw || len > raw - from)
		return bad_chunk(id, "is not what refers to it takes it for");
	if (len == row.raw && kind == CAS_DATA)
		return cache_copy(cas->cache, id, &row, from, dst, len) ? 0 : chunk_load(cas, id, &row, dst);
	return read_cached(cas, id, &row, from, dst, len);
}

int chunk_read_node(struct cas *cas, struct kv_view *view, const struct digest *id, struct buf *out)
{
	struct chunk_row row;
	int rc = chunk_row_get(view, id, &row);
	void *dst;

	if (rc == -ENOENT)
		return bad_chunk(id, "is referred to, but not there");
	if (rc < 0)
		return rc;
	if (row.kind != CAS_NODE || row.raw > NODE_BYTES_MAX)
		return bad_chunk(id, "is no node");
	buf_reset(out);
	dst = buf_reserve(out, row.raw);
	if (!dst)
		return -ENOMEM;
	rc = read_cached(cas, id, &row, 0, dst, row.raw);
	if (rc == 0)
		out->len = row.raw;
	return rc;
}

int cas_get(struct cas *cas, struct kv_view *view, const struct digest *id, struct buf *out)
{
	struct chunk_row row;
	int rc = chunk_row_get(view, id, &row);
	void *dst;

	if (rc < 0)
		return rc;
	dst = buf_reserve(out, row.raw);
	if (!dst)
		return -ENOMEM;
	if (cache_copy(cas->cache, id, &row, 0, dst, row.raw))
		rc = 0;
	else
		rc = chunk_load(cas, id, &row, dst);
	if (rc == 0)
		out->len += row.raw;
	return rc;
}
