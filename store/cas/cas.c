/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas - opening and closing, counts of references, figures.
 *
 * Invariants, each checked by cas_check() unless said otherwise:
 *  1. A row's count is the number of entries of NODE chunks that name it, plus the references taken by cas_ref().
 *  2. A count is 0 exactly when the chunk stands in TABLE_CHUNK_DEAD.
 *  3. A chunk in a segment lies before the segment's recorded end, in no free range.
 *  4. end = bytes of chunks + bytes of free ranges, for a segment that still has chunks.
 *  5. Bytes of a segment are on stable storage before a batch records them (cas_stage_commit refuses otherwise).
 *  6. Bytes are punched only when the batch that freed them is on stable storage and no snapshot, open or still to be
 *     opened, is older (cas_reclaim_step; tested, not checked).
 *  7. A place in a segment never gets other bytes once a batch has named it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/pack.h"
#include "store/cas/cas_internal.h"
#include "store/kv/tables.h"

#define CACHE_BYTES_MAX (8u << 20)

static uint64_t segment_max = SEGMENT_BYTES_MAX;

void cas_test_segment_max(uint64_t bytes)
{
	segment_max = bytes ? bytes : SEGMENT_BYTES_MAX;
}

uint64_t cas_segment_max(void)
{
	return segment_max;
}

void cas_test_name_bits(struct cas *cas, unsigned bits)
{
	cas->name_bits = bits;
}

int cas_create(int dirfd)
{
	int rc = io_mkdirat(dirfd, SEGMENT_DIR, 0700);

	return rc < 0 ? rc : io_fsync(dirfd);
}

/* --- opening ---------------------------------------------------------------------------------------- */

static int read_only_of(struct kv *kv, bool *ret)
{
	int rc = kv_begin(kv);

	*ret = rc == -EROFS;
	if (rc == 0)
		kv_abort(kv);
	return rc == -EROFS ? 0 : rc;
}

/* New chunks go behind the last recorded byte of the last segment. */
static int find_tail(struct cas *cas)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct segment_row row;
	struct unpack key;
	int rc = kv_cursor_open(kv_live(cas->kv), TABLE_SEGMENT, &cur);

	cas->tail_segment = 1;
	if (rc < 0)
		return rc;
	rc = kv_cursor_seek_before(cur, slice_of("\xff\xff\xff\xff\xff", 5));
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	key = unpack_init(kv_cursor_key(cur));
	cas->tail_segment = unkey_u32(&key);
	if (unpack_done(&key) < 0 || cas->tail_segment > SEGMENT_NUMBER_MAX)
		return err_set(-EBADMSG, "the row of a segment has a damaged key");
	if (segment_row_decode(kv_cursor_value(cur), &row) < 0) {
		log_error("segment %08x: %s", cas->tail_segment, err_reason());
		cas->tail_segment++;		/* where that one ends nobody knows */
		return 0;
	}
	cas->tail_offset = row.end;
	if (cas->tail_segment == 0) {		/* only the row for chunks inside rows */
		cas->tail_segment = 1;
		cas->tail_offset = 0;
	}
	return 0;
}

/* "0000002a" -> 42; false for any other name. */
static bool parse_segment_name(const char *name, uint32_t *ret)
{
	char again[9];
	char *end;
	unsigned long v = strtoul(name, &end, 16);

	if (*end || v == 0 || v > SEGMENT_NUMBER_MAX)
		return false;
	*ret = (uint32_t)v;
	segment_name(*ret, again);
	return strncmp(name, again, sizeof(again)) == 0;
}

/* What a stage wrote and no batch recorded goes away. */
static int trim_segment(void *arg, const char *name)
{
	struct cas *cas = arg;
	SCOPED_FD int fd = -1;
	struct segment_row row;
	struct stat st;
	uint32_t segment;
	bool found;
	int rc;

	if (!parse_segment_name(name, &segment))
		return 0;
	rc = segment_row_get(kv_live(cas->kv), segment, &row, &found);
	if (rc == -EBADMSG) {			/* nobody knows how much of it counts: all of it stays */
		log_error("segment %08x: %s", segment, err_reason());
		return 0;
	}
	if (rc < 0)
		return rc;
	if (!found)
		return io_unlinkat(cas->dirfd, name, 0);
	fd = io_openat(cas->dirfd, name, O_RDWR, 0);
	if (fd < 0)
		return fd;
	rc = io_fstat(fd, &st);
	if (rc == 0 && (uint64_t)st.st_size > row.end)
		rc = io_ftruncate(fd, (off_t)row.end);
	return rc;
}

int cas_open(struct kv *kv, int dirfd, struct cas **ret)
{
	struct cas *cas = calloc(1, sizeof(*cas));
	int rc;

	if (!cas)
		return -ENOMEM;
	cas->kv = kv;
	cas->name_bits = 128;
	cas->free_dirty = true;
	pthread_mutex_init(&cas->lock, NULL);
	for (int i = 0; i < SEGMENT_FDS; i++)
		cas->fds[i].fd = -1;
	cas->dirfd = io_openat(dirfd, SEGMENT_DIR, O_RDONLY | O_DIRECTORY, 0);
	rc = cas->dirfd < 0 ? cas->dirfd : cache_new(CACHE_BYTES_MAX, &cas->cache);
	if (rc == 0)
		rc = read_only_of(kv, &cas->read_only);
	if (rc == 0)
		rc = find_tail(cas);
	if (rc == 0 && !cas->read_only)
		rc = io_each_name(cas->dirfd, trim_segment, cas);
	if (rc < 0) {
		cas_close(cas);
		return rc;
	}
	atomic_init(&cas->durable, kv_seq(kv));	/* kv_open() ends with a checkpoint */
	atomic_init(&cas->freed_committed, kv_seq(kv));
	*ret = cas;
	return 0;
}

void cas_close(struct cas *cas)
{
	if (!cas)
		return;
	for (int i = 0; i < SEGMENT_FDS; i++) {
		if (cas->fds[i].fd >= 0)
			(void)io_close(cas->fds[i].fd);
	}
	while (cas->dctx_count > 0)
		ZSTD_freeDCtx(cas->dctx[--cas->dctx_count]);
	if (cas->dirfd >= 0)
		(void)io_close(cas->dirfd);
	cache_free(cas->cache);
	pthread_mutex_destroy(&cas->lock);
	free(cas);
}

/* --- references ------------------------------------------------------------------------------------- */

int cas_count(struct cas *cas, const struct digest *id, struct chunk_row *row, int64_t delta,
	      struct ledger *ledger)
{
	uint64_t before = row->refs;
	int rc;

	if (delta < 0 && before < (uint64_t)-delta)
		return err_set(-EBADMSG, "a chunk loses more references than it has");
	row->refs = before + (uint64_t)delta;
	rc = chunk_row_put(cas->kv, id, row);
	row->bytes = slice_of(NULL, 0);		/* what it borrowed is gone with the put */
	if (rc == 0 && before == 0 && row->refs > 0) {
		rc = kv_del(cas->kv, TABLE_CHUNK_DEAD, chunk_key(id));
		if (rc == 0)
			rc = ledger_dead(ledger, row, -1);
	} else if (rc == 0 && before > 0 && row->refs == 0) {
		rc = kv_put(cas->kv, TABLE_CHUNK_DEAD, chunk_key(id), slice_of("", 0));
		if (rc == 0)
			rc = ledger_dead(ledger, row, 1);
	}
	return rc;
}

static int count_one(struct cas *cas, const struct digest *id, int64_t delta)
{
	SCOPED_LEDGER struct ledger ledger = LEDGER_INIT;
	struct chunk_row row;
	int rc;

	cas_note_committed(cas);
	rc = chunk_row_get(kv_live(cas->kv), id, &row);
	if (rc == 0)
		rc = cas_count(cas, id, &row, delta, &ledger);
	return rc < 0 ? rc : ledger_write(&ledger, cas);
}

int cas_ref(struct cas *cas, const struct digest *id)
{
	return count_one(cas, id, 1);
}

int cas_unref(struct cas *cas, const struct digest *id)
{
	return count_one(cas, id, -1);
}

int cas_free_range(struct cas *cas, uint32_t segment, uint64_t offset, uint64_t len, struct ledger *ledger)
{
	struct segment_delta *d;
	struct free_row row = { segment, offset, len, kv_seq(cas->kv) + 1 };
	int rc = ledger_at(ledger, segment, &d);

	if (rc < 0)
		return rc;
	d->freed = true;
	cas->freed_seq = row.seq;
	cas->free_dirty = true;
	return free_row_put(cas->kv, &row);
}

void cas_note_committed(struct cas *cas)
{
	if (kv_seq(cas->kv) >= cas->freed_seq && cas->freed_seq > atomic_load(&cas->freed_committed))
		atomic_store(&cas->freed_committed, cas->freed_seq);
}

void cas_durable(struct cas *cas, uint64_t seq)
{
	unsigned long long known = atomic_load(&cas->durable);

	while (known < seq && !atomic_compare_exchange_weak(&cas->durable, &known, seq))
		;
}

/* --- figures ---------------------------------------------------------------------------------------- */

int cas_stats(struct cas *cas, struct kv_view *view, struct cas_stats *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(view, TABLE_SEGMENT, &cur);

	(void)cas;
	*ret = (struct cas_stats){ 0 };
	if (rc < 0)
		return rc;
	for (rc = kv_cursor_seek(cur, slice_of("", 0)); rc == 0; rc = kv_cursor_next(cur)) {
		struct unpack key = unpack_init(kv_cursor_key(cur));
		uint32_t segment = unkey_u32(&key);
		struct segment_row row;

		rc = segment_row_decode(kv_cursor_value(cur), &row);
		if (rc < 0)
			return rc;
		ret->chunks += row.chunks - row.dead_chunks;
		ret->bytes_raw += row.raw - row.dead_raw;
		ret->bytes_stored += row.stored - row.dead_stored;
		ret->dead += row.dead_chunks;
		ret->bytes_dead += row.dead_stored;
		if (segment == 0)
			continue;
		ret->segments++;
		ret->bytes_segments += row.end - row.given;
		ret->bytes_dead += row.end - row.given - row.stored;
	}
	return rc == -ENOENT ? 0 : rc;
}
