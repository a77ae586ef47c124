/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect - chunks that nothing refers to lose their row; the ranges they leave are given back to the host, merged
 * with their free neighbours so that blocks shared by several dead chunks go, too.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/pack.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"
#include "store/kv/tables.h"

#define BLOCK 4096u		/* only whole blocks can be given back */
#define RECLAIM_ROWS_MIN 16u
#define RECLAIM_BYTES_MAX (4u << 20)	/* of one step: punching takes about a quarter of a millisecond a MiB */

/* --- rows ------------------------------------------------------------------------------------------- */

static int drop_kids(struct cas *cas, struct slice node, struct ledger *ledger)
{
	struct node_reader r = node_open(node);
	struct node_entry e;
	struct chunk_row row;
	int rc = 0;

	while (rc == 0 && node_next(&r, &e)) {
		if (e.is_hole)
			continue;
		rc = chunk_row_get(kv_live(cas->kv), &e.id, &row);
		if (rc == 0)
			rc = cas_count(cas, &e.id, &row, -1, ledger);
		if (rc == -ENOENT || rc == -EBADMSG) {
			log_error("a dead node names a chunk that is missing or damaged: %s", err_reason());
			rc = 0;
		}
	}
	return rc;
}

/* A node that cannot be read any more still goes: its children then keep a count too many, which only costs space. */
static int drop_node(struct cas *cas, const struct digest *id, struct ledger *ledger)
{
	SCOPED_BUF struct buf node = BUF_INIT;
	struct node_facts facts;
	int rc = chunk_read_node(cas, kv_live(cas->kv), id, &node);

	if (rc == 0)
		rc = node_check(buf_slice(&node), &facts);
	if (rc == -EBADMSG || rc == -EIO) {
		log_error("collecting an unreadable node: %s", err_reason());
		return 0;
	}
	return rc < 0 ? rc : drop_kids(cas, buf_slice(&node), ledger);
}

static int collect_one(struct cas *cas, const struct digest *id, struct ledger *ledger)
{
	struct chunk_row row;
	int rc = chunk_row_get(kv_live(cas->kv), id, &row);

	if (rc == -EBADMSG) {
		log_error("collecting: %s", err_reason());
		return kv_del(cas->kv, TABLE_CHUNK_DEAD, chunk_key(id));
	}
	if (rc == 0 && row.kind == CAS_NODE && row.refs == 0)
		rc = drop_node(cas, id, ledger);
	if (rc == -ENOENT || (rc == 0 && row.refs > 0))	/* queued by mistake; fsck has a word for it */
		return kv_del(cas->kv, TABLE_CHUNK_DEAD, chunk_key(id));
	if (rc == 0)
		rc = kv_del(cas->kv, TABLE_CHUNK_DEAD, chunk_key(id));
	if (rc == 0)
		rc = kv_del(cas->kv, TABLE_CHUNK, chunk_key(id));
	if (rc == 0)
		rc = ledger_chunk(ledger, &row, -1);
	if (rc == 0)
		rc = ledger_dead(ledger, &row, -1);
	if (rc == 0 && !row.is_inline)
		rc = cas_free_range(cas, row.segment, row.offset, row.stored, ledger);
	return rc;
}

/* The first digest of the queue.  -ENOENT. */
static int first_dead(struct cas *cas, struct digest *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct slice key;
	int rc = kv_cursor_open(kv_live(cas->kv), TABLE_CHUNK_DEAD, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of("", 0));
	if (rc < 0)
		return rc;
	key = kv_cursor_key(cur);
	if (key.len != sizeof(ret->bytes))
		return err_set(-EBADMSG, "the queue of dead chunks is damaged");
	memcpy(ret->bytes, key.data, key.len);
	return 0;
}

int cas_collect_step(struct cas *cas, unsigned budget, bool *ret_more)
{
	SCOPED_LEDGER struct ledger ledger = LEDGER_INIT;
	struct digest id;
	int rc = 0;

	cas_note_committed(cas);
	*ret_more = false;
	if (atomic_load(&cas->committing))
		return 0;
	for (unsigned i = 0; i < budget && rc == 0; i++) {
		rc = first_dead(cas, &id);
		if (rc == 0)
			rc = collect_one(cas, &id, &ledger);
	}
	if (rc == 0)
		rc = first_dead(cas, &id);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	*ret_more = rc == 0;
	return ledger_write(&ledger, cas);
}

/* --- space ------------------------------------------------------------------------------------------ */

struct reclaim {
	struct cas *cas;
	uint64_t limit;			/* what these batches freed may go */
	struct free_row *rows;		/* a stretch of TABLE_SEGMENT_FREE, in order */
	size_t count;
	bool at_end;			/* of the table */
	bool last_ends;			/* behind the rows comes none of the last one's segment */
	bool postponed;			/* something was not ripe */
	bool stopped;			/* enough for one step */
	uint64_t bytes_left;		/* until then */
	uint64_t bytes;
};

/* Freed for good: on stable storage, and no snapshot, open or yet to be opened, shows the state before. */
static int ripe_limit(struct cas *cas, uint64_t *ret)
{
	struct kv_view *view;
	uint64_t known = kv_durable(cas->kv), told = atomic_load(&cas->durable);
	uint64_t limit = known > told ? known : told;
	uint64_t oldest;
	int rc = kv_snapshot_open(cas->kv, &view);

	if (rc < 0)
		return rc;
	oldest = kv_snapshot_oldest(cas->kv);	/* ours included: the last published state */
	kv_snapshot_close(view);
	*ret = oldest < limit ? oldest : limit;
	return 0;
}

static bool is_ripe(const struct reclaim *r, uint64_t seq)
{
	return seq <= r->limit;
}

static int gather(struct reclaim *r, size_t max)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf key = BUF_INIT;
	int rc = kv_cursor_open(kv_live(r->cas->kv), TABLE_SEGMENT_FREE, &cur);

	free_row_key(&key, r->cas->reclaim_segment, r->cas->reclaim_offset);
	if (rc < 0 || buf_err(&key) < 0)
		return rc < 0 ? rc : -ENOMEM;
	for (rc = kv_cursor_seek(cur, buf_slice(&key)); rc == 0 && r->count < max; rc = kv_cursor_next(cur)) {
		rc = free_row_decode(kv_cursor_key(cur), kv_cursor_value(cur), &r->rows[r->count]);
		if (rc < 0)
			return rc;
		r->count++;
	}
	r->at_end = r->last_ends = rc == -ENOENT;
	if (rc == 0) {			/* more than MAX */
		struct unpack next = unpack_init(kv_cursor_key(cur));

		r->last_ends = unkey_u32(&next) != r->rows[r->count - 1].segment;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int free_row_del(struct kv *kv, const struct free_row *row)
{
	SCOPED_BUF struct buf key = BUF_INIT;

	free_row_key(&key, row->segment, row->offset);
	if (buf_err(&key) < 0)
		return -ENOMEM;
	return kv_del(kv, TABLE_SEGMENT_FREE, buf_slice(&key));
}

/* Whole blocks within a range. */
static void whole_blocks(uint64_t offset, uint64_t len, uint64_t *ret_from, uint64_t *ret_len)
{
	uint64_t from = (offset + BLOCK - 1) / BLOCK * BLOCK;
	uint64_t to = (offset + len) / BLOCK * BLOCK;

	*ret_from = from;
	*ret_len = to > from ? to - from : 0;
}

static int punch(struct cas *cas, uint32_t segment, uint64_t from, uint64_t len)
{
	struct segment_use use;
	int rc;

	if (len == 0)
		return 0;
	rc = segment_open(cas, segment, &use);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = io_punch_hole(use.fd, (off_t)from, (off_t)len);
	segment_release(cas, use);
	return rc;
}

/* Punch what is not punched yet of rows FIRST..END, neighbours; blocks that two rows share, too. */
static int punch_run(struct reclaim *r, size_t first, size_t end, uint64_t from, uint64_t len)
{
	int rc = 0;

	for (size_t i = first, next; i < end && rc == 0; i = next) {
		uint64_t at = r->rows[i].offset / BLOCK * BLOCK, to;

		for (next = i + 1; next < end && r->rows[i].seq != 0 && r->rows[next].seq != 0;)
			next++;
		if (r->rows[i].seq == 0)
			continue;
		to = (r->rows[next - 1].offset + r->rows[next - 1].len + BLOCK - 1) / BLOCK * BLOCK;
		at = at > from ? at : from;
		to = to < from + len ? to : from + len;
		rc = punch(r->cas, r->rows[i].segment, at, to > at ? to - at : 0);
	}
	return rc;
}

/* Rows FIRST..END are one ripe range: punch it and make it one row. */
static int reclaim_run(struct reclaim *r, size_t first, size_t end)
{
	struct free_row merged = r->rows[first];
	struct segment_row segment;
	uint64_t from, len, before = 0;
	int rc;

	merged.len = r->rows[end - 1].offset + r->rows[end - 1].len - merged.offset;
	merged.seq = 0;
	for (size_t i = first; i < end; i++) {
		whole_blocks(r->rows[i].offset, r->rows[i].len, &from, &len);
		before += r->rows[i].seq == 0 ? len : 0;
	}
	whole_blocks(merged.offset, merged.len, &from, &len);
	rc = punch_run(r, first, end, from, len);
	if (rc == -EOPNOTSUPP) {	/* then the space comes back when the whole segment is dead */
		r->cas->no_punch = true;
		len = before;
		rc = 0;
	}
	for (size_t i = first + 1; i < end && rc == 0; i++)
		rc = free_row_del(r->cas->kv, &r->rows[i]);
	if (rc == 0)
		rc = free_row_put(r->cas->kv, &merged);
	if (rc == 0)
		rc = segment_row_get(kv_live(r->cas->kv), merged.segment, &segment, NULL);
	if (rc < 0)
		return rc;
	segment.given += len - before;
	r->bytes += len - before;
	return segment_row_put(r->cas->kv, merged.segment, &segment);
}

/* Nothing lives in the segment of rows FIRST..END any more; WHOLE: these are all the rows that are left of it. */
static int reclaim_segment(struct reclaim *r, size_t first, size_t end, bool whole, uint64_t held)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	uint32_t number = r->rows[first].segment;
	char name[9];
	int rc = 0;

	if (whole) {
		segment_name(number, name);
		segment_forget(r->cas, number);
		rc = io_unlinkat(r->cas->dirfd, name, 0);
		if (rc == -ENOENT)		/* a crash came between this and the batch */
			rc = 0;
		r->bytes += held;
		segment_key(&key, number);
		if (rc == 0)
			rc = buf_err(&key);
		if (rc == 0)
			rc = kv_del(r->cas->kv, TABLE_SEGMENT, buf_slice(&key));
	}
	for (size_t i = first; i < end && rc == 0; i++)
		rc = free_row_del(r->cas->kv, &r->rows[i]);
	return rc;
}

/* Where the run of ripe neighbours that starts at FIRST ends, for this step. */
static size_t run_end(struct reclaim *r, size_t first, size_t end, uint64_t *ret_pending)
{
	size_t next = first;

	*ret_pending = 0;
	while (next < end && *ret_pending < r->bytes_left && is_ripe(r, r->rows[next].seq) &&
	       (next == first ||
		r->rows[next].offset == r->rows[next - 1].offset + r->rows[next - 1].len)) {
		*ret_pending += r->rows[next].seq != 0 ? r->rows[next].len : 0;
		next++;
	}
	return next;
}

/* Runs of ripe neighbours in rows FIRST..END, all of one segment; *RET_LAST_RUN is where the last run began. */
static int reclaim_runs(struct reclaim *r, size_t first, size_t end, size_t *ret_last_run)
{
	int rc = 0;

	for (size_t i = first, next; i < end && rc == 0; i = next) {
		uint64_t pending;

		if (r->bytes_left == 0) {
			r->stopped = true;
			break;
		}
		*ret_last_run = i;
		next = run_end(r, i, end, &pending);
		if (next == i) {
			r->postponed = true;
			next = i + 1;
		} else if (pending > 0 || next - i > 1) {
			rc = reclaim_run(r, i, next);
			r->bytes_left -= pending < r->bytes_left ? pending : r->bytes_left;
		}
	}
	return rc;
}

/* Where the next step begins. */
static void resume_at(struct cas *cas, uint32_t segment, uint64_t offset)
{
	cas->reclaim_segment = segment;
	cas->reclaim_offset = offset;
}

/* Rows FIRST..END, all of one segment; STARTS, ENDS: nothing of it stands before or behind them in the table. */
static int reclaim_part(struct reclaim *r, size_t first, size_t end, bool starts, bool ends, uint32_t tail)
{
	uint32_t number = r->rows[first].segment;
	size_t last_run = first;
	struct segment_row row;
	bool dead;
	int rc = segment_row_get(kv_live(r->cas->kv), number, &row, NULL);

	if (rc < 0)
		return rc;
	dead = row.chunks == 0 && number < tail && is_ripe(r, row.seq);
	if (dead && starts && (r->cas->no_punch || row.end - row.given <= RECLAIM_BYTES_MAX)) {
		resume_at(r->cas, number, 0);
		return reclaim_segment(r, first, end, ends, row.end - row.given);
	}
	r->postponed = r->postponed || dead;	/* removed in another round, when most of it is punched */
	rc = reclaim_runs(r, first, end, &last_run);
	/* The last run may go on behind what was gathered; but do go on. */
	if (last_run > 0 || r->count > 1)
		resume_at(r->cas, number, r->rows[last_run].offset);
	else
		resume_at(r->cas, number, r->rows[last_run].offset + 1);
	return rc;
}

static int reclaim_rows(struct reclaim *r)
{
	bool starts = r->cas->reclaim_offset == 0;
	uint32_t tail;
	int rc = 0;

	pthread_mutex_lock(&r->cas->lock);
	tail = r->cas->tail_segment;
	pthread_mutex_unlock(&r->cas->lock);
	for (size_t first = 0, end; first < r->count && rc == 0 && !r->stopped; first = end) {
		for (end = first + 1; end < r->count && r->rows[end].segment == r->rows[first].segment;)
			end++;
		rc = reclaim_part(r, first, end, starts || first > 0, end < r->count || r->last_ends, tail);
	}
	return rc;
}

static int reclaim_batch(struct reclaim *r)
{
	int rc = kv_begin(r->cas->kv);

	if (rc < 0)
		return rc;
	rc = reclaim_rows(r);
	if (rc < 0) {
		kv_abort(r->cas->kv);
		return rc;
	}
	return kv_commit(r->cas->kv, NULL);
}

int cas_reclaim_step(struct cas *cas, unsigned budget, uint64_t *ret_bytes, bool *ret_more)
{
	size_t max = budget > RECLAIM_ROWS_MIN ? budget : RECLAIM_ROWS_MIN;
	struct reclaim r = { .cas = cas, .bytes_left = RECLAIM_BYTES_MAX };
	int rc;

	cas_note_committed(cas);
	*ret_bytes = 0;
	*ret_more = false;
	if (!cas->free_dirty || cas->read_only)
		return 0;
	r.rows = calloc(max, sizeof(*r.rows));
	if (!r.rows)
		return -ENOMEM;
	rc = ripe_limit(cas, &r.limit);
	if (rc == 0)
		rc = gather(&r, max);
	if (rc == 0)
		rc = reclaim_batch(&r);
	free(r.rows);
	if (rc < 0)
		return rc;
	r.at_end = r.at_end && !r.stopped;
	cas->free_postponed = cas->free_postponed || r.postponed;
	if (r.at_end) {
		cas->reclaim_segment = 0;
		cas->reclaim_offset = 0;
		cas->free_dirty = cas->free_postponed;
		cas->free_postponed = false;
	}
	*ret_bytes = r.bytes;
	*ret_more = !r.at_end;
	return 0;
}
