/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment - the files that hold the larger chunks, one behind the other, and the rows that say how far each is valid.
 * A segment is written once, front to back; a place in it is never used again for other bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/io.h"
#include "store/base/pack.h"
#include "store/cas/cas_internal.h"
#include "store/kv/tables.h"

void segment_key(struct buf *out, uint32_t segment)
{
	buf_reset(out);
	key_u32(out, segment);
}

/* The fields of a row in the order in which they are stored. */
#define SEGMENT_FIELDS 9
static void segment_fields(struct segment_row *row, uint64_t *fields[SEGMENT_FIELDS])
{
	fields[0] = &row->end;
	fields[1] = &row->chunks;
	fields[2] = &row->raw;
	fields[3] = &row->stored;
	fields[4] = &row->given;
	fields[5] = &row->seq;
	fields[6] = &row->dead_chunks;
	fields[7] = &row->dead_raw;
	fields[8] = &row->dead_stored;
}

int segment_row_decode(struct slice value, struct segment_row *ret)
{
	struct unpack u = unpack_init(value);
	uint64_t *fields[SEGMENT_FIELDS];

	*ret = (struct segment_row){ 0 };
	segment_fields(ret, fields);
	for (int i = 0; i < SEGMENT_FIELDS; i++)
		*fields[i] = unpack_varint(&u);
	if (unpack_more(&u) < 0 || ret->end > SEGMENT_BYTES_MAX)
		return err_set(-EBADMSG, "the row of a segment is damaged");
	return 0;
}

int segment_row_get(struct kv_view *view, uint32_t segment, struct segment_row *ret, bool *ret_found)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	int rc;

	segment_key(&key, segment);
	if (buf_err(&key) < 0)
		return -ENOMEM;
	rc = kv_get(view, TABLE_SEGMENT, buf_slice(&key), &value);
	if (ret_found)
		*ret_found = rc == 0;
	if (rc == -ENOENT) {
		*ret = (struct segment_row){ 0 };
		return 0;
	}
	return rc < 0 ? rc : segment_row_decode(value, ret);
}

int segment_row_put(struct kv *kv, uint32_t segment, const struct segment_row *row)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	struct segment_row copy = *row;
	uint64_t *fields[SEGMENT_FIELDS];

	segment_key(&key, segment);
	segment_fields(&copy, fields);
	for (int i = 0; i < SEGMENT_FIELDS; i++)
		pack_varint(&value, *fields[i]);
	if (buf_err(&key) < 0 || buf_err(&value) < 0)
		return -ENOMEM;
	return kv_put(kv, TABLE_SEGMENT, buf_slice(&key), buf_slice(&value));
}

/* --- free ranges ------------------------------------------------------------------------------------ */

void free_row_key(struct buf *out, uint32_t segment, uint64_t offset)
{
	buf_reset(out);
	key_u32(out, segment);
	key_u64(out, offset);
}

int free_row_decode(struct slice key, struct slice value, struct free_row *ret)
{
	struct unpack k = unpack_init(key);
	struct unpack v = unpack_init(value);

	ret->segment = unkey_u32(&k);
	ret->offset = unkey_u64(&k);
	ret->len = unpack_varint(&v);
	ret->seq = unpack_varint(&v);
	if (unpack_done(&k) < 0 || unpack_more(&v) < 0 || ret->segment < 1 ||
	    ret->segment > SEGMENT_NUMBER_MAX || ret->len == 0 || ret->offset > SEGMENT_BYTES_MAX ||
	    ret->len > SEGMENT_BYTES_MAX - ret->offset)
		return err_set(-EBADMSG, "the row of a free range is damaged");
	return 0;
}

int free_row_put(struct kv *kv, const struct free_row *row)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;

	free_row_key(&key, row->segment, row->offset);
	pack_varint(&value, row->len);
	pack_varint(&value, row->seq);
	if (buf_err(&key) < 0 || buf_err(&value) < 0)
		return -ENOMEM;
	return kv_put(kv, TABLE_SEGMENT_FREE, buf_slice(&key), buf_slice(&value));
}

/* --- ledger ----------------------------------------------------------------------------------------- */

void ledger_release(struct ledger *l)
{
	free(l->items);
	*l = (struct ledger)LEDGER_INIT;
}

int ledger_at(struct ledger *l, uint32_t segment, struct segment_delta **ret)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->items[i].segment == segment) {
			*ret = &l->items[i];
			return 0;
		}
	}
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct segment_delta *items = realloc(l->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		l->items = items;
		l->cap = cap;
	}
	l->items[l->count] = (struct segment_delta){ .segment = segment };
	*ret = &l->items[l->count++];
	return 0;
}

int ledger_chunk(struct ledger *l, const struct chunk_row *row, int sign)
{
	struct segment_delta *d;
	int rc = ledger_at(l, row->is_inline ? 0 : row->segment, &d);

	if (rc < 0)
		return rc;
	d->chunks += sign;
	d->raw += sign * (int64_t)row->raw;
	d->stored += sign * (int64_t)row->stored;
	return 0;
}

int ledger_dead(struct ledger *l, const struct chunk_row *row, int sign)
{
	struct segment_delta *d;
	int rc = ledger_at(l, 0, &d);

	if (rc < 0)
		return rc;
	d->dead_chunks += sign;
	d->dead_raw += sign * (int64_t)row->raw;
	d->dead_stored += sign * (int64_t)row->stored;
	return 0;
}

/* Add DELTA; a sum that would go below zero is wrong already (fsck will say so) and stays zero. */
static void add_signed(uint64_t *sum, int64_t delta)
{
	if (delta < 0 && *sum < (uint64_t)-delta)
		*sum = 0;
	else
		*sum += (uint64_t)delta;
}

int ledger_write(struct ledger *l, struct cas *cas)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct segment_delta *d = &l->items[i];
		struct segment_row row;
		int rc = segment_row_get(kv_live(cas->kv), d->segment, &row, NULL);

		if (rc < 0)
			return rc;
		add_signed(&row.chunks, d->chunks);
		add_signed(&row.raw, d->raw);
		add_signed(&row.stored, d->stored);
		add_signed(&row.dead_chunks, d->dead_chunks);
		add_signed(&row.dead_raw, d->dead_raw);
		add_signed(&row.dead_stored, d->dead_stored);
		if (d->end > row.end)
			row.end = d->end;
		if (d->freed)
			row.seq = cas->freed_seq;
		rc = segment_row_put(cas->kv, d->segment, &row);
		if (rc < 0)
			return rc;
	}
	l->count = 0;
	return 0;
}

/* --- files ------------------------------------------------------------------------------------------ */

void segment_name(uint32_t segment, char out[9])
{
	(void)snprintf(out, 9, "%08x", segment);
}

/* An empty slot, or that of the file unused for longest (closed); -1 when all are in use. */
static int slot_for_locked(struct cas *cas)
{
	int best = -1;

	for (int i = 0; i < SEGMENT_FDS; i++) {
		const struct segment_fd *s = &cas->fds[i];

		if (s->fd < 0)
			return i;
		if (s->users == 0 && (best < 0 || s->used_at < cas->fds[best].used_at))
			best = i;
	}
	if (best >= 0)
		(void)io_close(cas->fds[best].fd);
	return best;
}

static int segment_open_locked(struct cas *cas, uint32_t segment, struct segment_use *ret)
{
	char name[9];
	int fd, slot;

	for (int i = 0; i < SEGMENT_FDS; i++) {
		struct segment_fd *s = &cas->fds[i];

		if (s->fd >= 0 && s->segment == segment) {
			s->users++;
			s->used_at = ++cas->fd_clock;
			*ret = (struct segment_use){ s->fd, i };
			return 0;
		}
	}
	segment_name(segment, name);
	fd = io_openat(cas->dirfd, name, cas->read_only ? O_RDONLY : O_RDWR, 0);
	if (fd < 0)
		return fd;
	slot = slot_for_locked(cas);
	if (slot >= 0)
		cas->fds[slot] = (struct segment_fd){ segment, fd, 1, ++cas->fd_clock };
	*ret = (struct segment_use){ fd, slot };
	return 0;
}

int segment_open(struct cas *cas, uint32_t segment, struct segment_use *ret)
{
	int rc;

	pthread_mutex_lock(&cas->lock);
	rc = segment_open_locked(cas, segment, ret);
	pthread_mutex_unlock(&cas->lock);
	return rc;
}

void segment_release(struct cas *cas, struct segment_use use)
{
	if (use.slot < 0) {
		(void)io_close(use.fd);
		return;
	}
	pthread_mutex_lock(&cas->lock);
	cas->fds[use.slot].users--;
	pthread_mutex_unlock(&cas->lock);
}

void segment_forget(struct cas *cas, uint32_t segment)
{
	pthread_mutex_lock(&cas->lock);
	for (int i = 0; i < SEGMENT_FDS; i++) {
		struct segment_fd *s = &cas->fds[i];

		if (s->fd >= 0 && s->segment == segment && s->users == 0) {
			(void)io_close(s->fd);
			s->fd = -1;
		}
	}
	pthread_mutex_unlock(&cas->lock);
}

int segment_read(struct cas *cas, uint32_t segment, uint64_t offset, void *dst, size_t len)
{
	struct segment_use use;
	ssize_t got;
	int rc = segment_open(cas, segment, &use);

	if (rc == -ENOENT)
		return err_set(-EBADMSG, "segment %08x is not there", segment);
	if (rc < 0)
		return rc;
	got = io_pread_full(use.fd, dst, len, (off_t)offset);
	segment_release(cas, use);
	if (got < 0)
		return (int)got;
	return (size_t)got == len ? 0 : err_set(-EBADMSG, "segment %08x is cut short", segment);
}
