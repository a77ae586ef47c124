/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage - new chunks on their way in.  A worker names, compares, compresses and writes them behind the recorded end of
 * the last segment, where a crash leaves nothing but bytes that the next open truncates; then the core adopts
 * them in one batch or several.  Items stand in the order of the puts, so children come before the nodes that name
 * them, and every prefix of the list is a store in order: what nothing refers to yet waits in TABLE_CHUNK_DEAD.
 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "store/base/io.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"
#include "store/kv/tables.h"

#define OUT_BYTES (1u << 20)	/* one write to the segment */
#define HOPELESS_AFTER 8u
#define HOPELESS_EVERY 4u
#define PART_ROWS 192u		/* a batch ends behind the first node after so many rows ... */
#define PART_ROWS_MAX 320u	/* ... or here */

struct item {
	struct digest id;
	uint64_t pending;		/* references to be added by the part that is being committed */
	size_t inline_at;		/* in stage.inlined */
	size_t kids_at;			/* in stage.kids: items that this node names, with repetition */
	uint32_t kids;
	uint32_t segment, offset, raw, stored, seed;
	uint8_t kind, codec;
	bool is_inline;
	bool is_new;			/* the snapshot did not have it */
	bool adopted;			/* has a row by now */
	bool touched;			/* in stage.touched */
};

struct cas_stage {
	struct cas *cas;		/* borrowed */
	struct kv_view *snapshot;	/* borrowed */
	ZSTD_CCtx *cctx;
	int error;			/* sticky: the first failure to write */
	unsigned hopeless;		/* chunks in a row that did not compress */

	struct item *items;
	size_t count, cap;
	uint32_t *map;			/* digest -> index + 1; open addressing */
	size_t map_size;
	uint32_t *kids;
	size_t kids_count, kids_cap;
	struct buf inlined, packed, compared, other;

	struct buf out;			/* bytes for SEGMENT at OUT_AT, not written yet */
	uint32_t segment;
	uint64_t out_at;
	int fd;				/* of SEGMENT; -1 before the first chunk */
	bool created;			/* a segment file may be new: the directory wants a sync */
	bool unsynced;

	size_t next;			/* the first item not committed */
	uint32_t *touched;		/* indices of items that the current part writes */
	size_t touched_count, touched_cap;
};

/* --- life ------------------------------------------------------------------------------------------- */

int cas_stage_new(struct cas *cas, struct kv_view *snapshot, struct cas_stage **ret)
{
	struct cas_stage *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return -ENOMEM;
	s->cas = cas;
	s->snapshot = snapshot;
	s->fd = -1;
	s->map_size = 1024;
	s->map = calloc(s->map_size, sizeof(*s->map));
	s->cctx = ZSTD_createCCtx();
	if (!s->map || !s->cctx ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(s->cctx, ZSTD_c_compressionLevel, CHUNK_ZSTD_LEVEL)))
		rc = -ENOMEM;
	pthread_mutex_lock(&cas->lock);
	if (rc == 0 && cas->read_only)
		rc = err_set(-EROFS, "the store is open for reading only");
	if (rc == 0 && cas->stage)
		rc = err_set(-EBUSY, "chunks are being added already");
	if (rc == 0) {
		cas->stage = s;
		s->segment = cas->tail_segment;
		s->out_at = cas->tail_offset;
	}
	pthread_mutex_unlock(&cas->lock);
	if (rc < 0) {
		cas_stage_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* Give back what was written behind the tail and will never be recorded.  Best effort: the next open does it, too. */
static void drop_unrecorded(struct cas_stage *s, uint32_t tail_segment, uint64_t tail_offset)
{
	int rc = 0;

	for (uint32_t segment = s->segment; segment > tail_segment && rc == 0; segment--) {
		char name[9];

		segment_name(segment, name);
		segment_forget(s->cas, segment);
		rc = io_unlinkat(s->cas->dirfd, name, 0);
	}
	if (rc == 0 && s->segment == tail_segment)
		rc = io_ftruncate(s->fd, (off_t)tail_offset);
	(void)rc;
}

void cas_stage_free(struct cas_stage *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->cas->lock);
	bool open = s->cas->stage == s;
	uint32_t tail_segment = s->cas->tail_segment;
	uint64_t tail_offset = s->cas->tail_offset;
	pthread_mutex_unlock(&s->cas->lock);

	if (open && s->fd >= 0 && (s->error < 0 || s->next < s->count))
		drop_unrecorded(s, tail_segment, tail_offset);
	if (s->fd >= 0)
		(void)io_close(s->fd);
	if (open) {
		atomic_store(&s->cas->committing, false);
		pthread_mutex_lock(&s->cas->lock);
		s->cas->stage = NULL;
		pthread_mutex_unlock(&s->cas->lock);
	}
	ZSTD_freeCCtx(s->cctx);
	buf_release(&s->inlined);
	buf_release(&s->packed);
	buf_release(&s->compared);
	buf_release(&s->other);
	buf_release(&s->out);
	free(s->items);
	free(s->map);
	free(s->kids);
	free(s->touched);
	free(s);
}

/* --- items ------------------------------------------------------------------------------------------ */

/* Room for one more of SIZE bytes in the vector V. */
static int grow(void *vector, size_t count, size_t *cap, size_t size)
{
	union { void *in; void **out; } v = { vector };
	size_t want = *cap ? *cap * 2 : 256;
	void *bigger;

	if (count < *cap)
		return 0;
	bigger = realloc(*v.out, want * size);
	if (!bigger)
		return -ENOMEM;
	*v.out = bigger;
	*cap = want;
	return 0;
}

static size_t map_slot(const struct cas_stage *s, const struct digest *id)
{
	uint64_t h;

	memcpy(&h, id->bytes, sizeof(h));
	h *= 0x9e3779b97f4a7c15ull;		/* names cut short by a test still spread */
	for (size_t at = (size_t)(h >> 32) & (s->map_size - 1);; at = (at + 1) & (s->map_size - 1)) {
		if (s->map[at] == 0 || memcmp(&s->items[s->map[at] - 1].id, id, sizeof(*id)) == 0)
			return at;
	}
}

static int map_grow(struct cas_stage *s)
{
	uint32_t *old = s->map;
	uint32_t *map = calloc(s->map_size * 2, sizeof(*map));

	if (!map)
		return -ENOMEM;
	s->map = map;
	s->map_size *= 2;
	for (size_t i = 0; i < s->count; i++)
		s->map[map_slot(s, &s->items[i].id)] = (uint32_t)i + 1;
	free(old);
	return 0;
}

static struct item *item_find(struct cas_stage *s, const struct digest *id)
{
	uint32_t index = s->map[map_slot(s, id)];

	return index ? &s->items[index - 1] : NULL;
}

static int item_add(struct cas_stage *s, const struct item *item)
{
	int rc = grow(&s->items, s->count, &s->cap, sizeof(*s->items));

	if (rc == 0 && s->count >= UINT32_MAX - 1)
		rc = -EFBIG;
	if (rc == 0 && s->count * 2 >= s->map_size)
		rc = map_grow(s);
	if (rc < 0)
		return rc;
	s->map[map_slot(s, &item->id)] = (uint32_t)s->count + 1;
	s->items[s->count++] = *item;
	return 0;
}

static int item_add_known(struct cas_stage *s, const struct digest *id, const struct chunk_row *row)
{
	struct item item = { .id = *id, .kind = (uint8_t)row->kind, .raw = row->raw, .adopted = true };

	return item_add(s, &item);
}

static struct chunk_row item_row(const struct cas_stage *s, const struct item *item)
{
	struct chunk_row row = { .kind = (enum cas_kind)item->kind, .codec = (enum chunk_codec)item->codec,
				 .is_inline = item->is_inline, .seed = item->seed, .raw = item->raw,
				 .stored = item->stored, .segment = item->segment, .offset = item->offset };

	if (item->is_inline)
		row.bytes = slice_of(s->inlined.data + item->inline_at, item->stored);
	return row;
}

/* --- are they the same bytes? ------------------------------------------------------------------------ */

/* Load a chunk into OUT, be it in the store, staged, or still in memory. */
static int load_any(struct cas_stage *s, const struct digest *id, const struct chunk_row *row, struct buf *out)
{
	void *dst;
	int rc;

	buf_reset(out);
	dst = buf_reserve(out, row->raw);
	if (!dst)
		return -ENOMEM;
	if (!row->is_inline && row->segment == s->segment && row->offset >= s->out_at)
		rc = chunk_unpack(s->cas, id, row,
				  slice_of(s->out.data + (row->offset - s->out_at), row->stored), dst);
	else
		rc = chunk_load(s->cas, id, row, dst);
	if (rc == 0)
		out->len = row->raw;
	return rc;
}

/* 1 the chunk ROW is BYTES; 0 it is not, or too damaged to tell (then the newcomer had better be kept); or -errno. */
static int is_same(struct cas_stage *s, const struct digest *id, const struct chunk_row *row, enum cas_kind kind,
		   struct slice bytes)
{
	int rc;

	if (row->kind != kind || row->raw != bytes.len)
		return 0;
	rc = load_any(s, id, row, &s->compared);
	if (rc == -EBADMSG || rc == -EIO)
		return 0;
	return rc < 0 ? rc : slice_eq(buf_slice(&s->compared), bytes);
}

/* --- the segment ------------------------------------------------------------------------------------ */

static int out_flush(struct cas_stage *s)
{
	int rc;

	if (s->out.len == 0)
		return 0;
	rc = io_pwrite_full(s->fd, s->out.data, s->out.len, (off_t)s->out_at);
	if (rc < 0)
		return rc;
	s->out_at += s->out.len;
	s->out.len = 0;
	return 0;
}

static int segment_start(struct cas_stage *s)
{
	char name[9];

	segment_name(s->segment, name);
	s->fd = io_openat(s->cas->dirfd, name, O_RDWR, 0);
	if (s->fd == -ENOENT || s->out_at == 0)	/* a stage that failed may have made it, and nobody synced that */
		s->created = true;
	if (s->fd == -ENOENT)
		s->fd = io_openat(s->cas->dirfd, name, O_RDWR | O_CREAT, 0600);
	return s->fd < 0 ? s->fd : 0;
}

static int segment_finish(struct cas_stage *s)
{
	int rc = out_flush(s);

	return rc < 0 ? rc : io_fdatasync(s->fd);
}

static int segment_append(struct cas_stage *s, struct item *item, struct slice stored)
{
	int rc = 0;

	if (s->out_at + s->out.len + stored.len > cas_segment_max()) {
		if (s->fd >= 0) {
			rc = segment_finish(s);
			(void)io_close(s->fd);
			s->fd = -1;
		}
		if (rc == 0 && s->segment == SEGMENT_NUMBER_MAX)
			rc = err_set(-ENOSPC, "the store has no more segments");
		s->segment++;
		s->out_at = 0;
	}
	if (rc == 0 && s->fd < 0)
		rc = segment_start(s);
	if (rc == 0 && s->out.len + stored.len > OUT_BYTES)
		rc = out_flush(s);
	if (rc < 0)
		return rc;
	item->segment = s->segment;
	item->offset = (uint32_t)(s->out_at + s->out.len);
	buf_add_slice(&s->out, stored);
	s->unsynced = true;
	return buf_err(&s->out);
}

/* Weights, images, archives: where nothing has compressed lately only every fourth chunk is tried. */
static bool is_worth_packing(struct cas_stage *s)
{
	if (s->hopeless < HOPELESS_AFTER || s->hopeless % HOPELESS_EVERY == 0)
		return true;
	s->hopeless++;
	return false;
}

static int item_store(struct cas_stage *s, struct item *item, struct slice bytes)
{
	struct slice stored = bytes;

	if (item->kind == CAS_DATA && is_worth_packing(s)) {	/* nodes are digests for the most part */
		item->codec = (uint8_t)chunk_pack(s->cctx, bytes, &s->packed, &stored);
		s->hopeless = item->codec == CHUNK_RAW ? s->hopeless + 1 : 0;
	}
	item->stored = (uint32_t)stored.len;
	item->is_inline = stored.len <= CHUNK_INLINE;
	if (!item->is_inline)
		return segment_append(s, item, stored);
	item->inline_at = s->inlined.len;
	buf_add_slice(&s->inlined, stored);
	return buf_err(&s->inlined);
}

/* --- putting ---------------------------------------------------------------------------------------- */

/* The index of a child, which must be known. */
static int find_kid(struct cas_stage *s, uint8_t height, const struct node_entry *e, uint32_t *ret)
{
	enum cas_kind kind = height == 1 ? CAS_DATA : CAS_NODE;
	struct item *kid = item_find(s, &e->id);
	struct chunk_row row;
	int rc;

	if (!kid) {
		rc = chunk_row_get(s->snapshot, &e->id, &row);
		if (rc == 0)
			rc = item_add_known(s, &e->id, &row);
		if (rc < 0)
			return rc == -ENOENT ? err_set(rc, "a node names a chunk that is not there") : rc;
		kid = &s->items[s->count - 1];
	}
	if (kid->kind != kind || (kind == CAS_DATA && kid->raw != e->len))
		return err_set(-EINVAL, "a node names a chunk of another kind or length");
	*ret = (uint32_t)(kid - s->items);
	return 0;
}

static int gather_kids(struct cas_stage *s, struct item *item, struct slice bytes)
{
	struct node_reader r = node_open(bytes);
	struct node_entry e;
	int rc = 0;

	item->kids_at = s->kids_count;
	while (rc == 0 && node_next(&r, &e)) {
		if (e.is_hole)
			continue;
		rc = grow(&s->kids, s->kids_count, &s->kids_cap, sizeof(*s->kids));
		if (rc == 0)
			rc = find_kid(s, r.height, &e, &s->kids[s->kids_count]);
		if (rc == 0)
			s->kids_count++;
	}
	item->kids = (uint32_t)(s->kids_count - item->kids_at);
	return rc;
}

static int put_new(struct cas_stage *s, struct item *item, struct slice bytes)
{
	int rc = 0;

	item->is_new = true;
	if (item->kind == CAS_NODE)
		rc = gather_kids(s, item, bytes);
	if (rc < 0)
		return rc;
	rc = item_store(s, item, bytes);
	if (rc == 0)
		rc = item_add(s, item);
	if (rc < 0)
		s->error = rc;		/* the segment may hold half a chunk, or one that no item knows */
	return rc;
}

/* 1 BYTES are known under the name ITEM->id, 0 the name is taken by others, -ENOENT it is free. */
static int probe(struct cas_stage *s, const struct item *item, struct slice bytes)
{
	const struct item *staged = item_find(s, &item->id);
	struct chunk_row row;
	int rc;

	if (staged && staged->is_new) {
		row = item_row(s, staged);
		return is_same(s, &item->id, &row, (enum cas_kind)item->kind, bytes);
	}
	rc = chunk_row_get(s->snapshot, &item->id, &row);
	if (rc == -EBADMSG)
		return 0;
	if (rc < 0)
		return rc;
	rc = is_same(s, &item->id, &row, (enum cas_kind)item->kind, bytes);
	if (rc == 1 && !staged) {
		int added = item_add_known(s, &item->id, &row);

		return added < 0 ? added : 1;
	}
	return rc;
}

int cas_stage_put(struct cas_stage *s, enum cas_kind kind, struct slice bytes, struct digest *ret)
{
	struct item item = { .kind = (uint8_t)kind, .raw = (uint32_t)bytes.len };
	struct node_facts facts;
	int rc;

	if (s->error < 0)
		return s->error;
	if (bytes.len > CAS_CHUNK_MAX)
		return err_set(-EFBIG, "a chunk of %zu bytes is too long", bytes.len);
	if (bytes.len == 0 || (kind == CAS_NODE && node_check(bytes, &facts) < 0))
		return err_set(-EINVAL, "a chunk must hold something, and a node be well-formed");
	for (item.seed = 0; item.seed <= CHUNK_SEED_MAX; item.seed++) {
		item.id = chunk_name(s->cas, kind, item.seed, bytes);
		rc = probe(s, &item, bytes);
		if (rc == -ENOENT)
			rc = put_new(s, &item, bytes);
		else if (rc == 0)
			continue;
		if (rc >= 0)
			*ret = item.id;
		return rc < 0 ? rc : 0;
	}
	return err_set(-EIO, "too many contents have the same digest");
}

int cas_stage_sync(struct cas_stage *s)
{
	unsigned long long freed = atomic_load(&s->cas->freed_committed);
	int rc = s->error;

	if (rc == 0 && s->fd >= 0)
		rc = segment_finish(s);
	if (rc == 0 && s->created)
		rc = io_fsync(s->cas->dirfd);
	if (rc == 0) {
		s->unsynced = false;
		s->created = false;
		if (freed > atomic_load(&s->cas->durable) && kv_sync(s->cas->kv, freed) == 0)
			cas_durable(s->cas, freed);	/* a favour to cas_reclaim_step() */
	}
	s->error = rc;
	return rc;
}

/* --- committing ------------------------------------------------------------------------------------- */

static int touch(struct cas_stage *s, uint32_t index, uint64_t refs)
{
	struct item *item = &s->items[index];
	int rc;

	item->pending += refs;
	if (item->touched)
		return 0;
	rc = grow(&s->touched, s->touched_count, &s->touched_cap, sizeof(*s->touched));
	if (rc < 0)
		return rc;
	item->touched = true;
	s->touched[s->touched_count++] = index;
	return 0;
}

/* The part records the bytes of ITEM; what lies between the recorded end and them (an aborted batch's) is free. */
static int record_place(struct cas_stage *s, const struct item *item, struct ledger *ledger)
{
	struct segment_delta *d;
	struct segment_row row = { 0 };
	uint64_t end;
	int rc = ledger_at(ledger, item->segment, &d);

	if (rc < 0)
		return rc;
	end = d->end;
	d->end = (uint64_t)item->offset + item->stored;
	if (end > 0)				/* this part has been here: what follows lies close */
		return 0;
	rc = segment_row_get(kv_live(s->cas->kv), item->segment, &row, NULL);
	if (rc < 0 || row.end >= item->offset)
		return rc;
	return cas_free_range(s->cas, item->segment, row.end, item->offset - row.end, ledger);
}

/*
 * Another stage was faster, and our snapshot too old to see it.  If it is the same content, ours becomes a reference
 * to it and its own bytes are free; if not (a collision), the stage must begin again and take another seed.
 */
static int meet_twin(struct cas_stage *s, struct item *item, const struct chunk_row *twin, struct ledger *ledger)
{
	struct chunk_row row = item_row(s, item);
	int rc = load_any(s, &item->id, &row, &s->other);

	if (rc == 0)
		rc = is_same(s, &item->id, twin, (enum cas_kind)item->kind, buf_slice(&s->other));
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(-ESTALE, "another content took the same digest meanwhile");
	item->is_new = false;
	item->adopted = true;
	item->kids = 0;
	return item->is_inline ? 0 : cas_free_range(s->cas, item->segment, item->offset, item->stored, ledger);
}

static int commit_item(struct cas_stage *s, uint32_t index, struct ledger *ledger)
{
	struct item *item = &s->items[index];
	struct chunk_row twin;
	int rc = touch(s, index, 0);

	if (rc < 0 || !item->is_new)
		return rc;
	if (!item->is_inline)
		rc = record_place(s, item, ledger);
	if (rc < 0)
		return rc;
	rc = chunk_row_get(kv_live(s->cas->kv), &item->id, &twin);
	if (rc == 0)
		return meet_twin(s, item, &twin, ledger);
	if (rc != -ENOENT)
		return rc;
	rc = 0;
	for (uint32_t i = 0; i < item->kids && rc == 0; i++)
		rc = touch(s, s->kids[item->kids_at + i], 1);
	return rc;
}

static int write_new(struct cas_stage *s, struct item *item, struct ledger *ledger)
{
	struct chunk_row row = item_row(s, item);
	int rc;

	row.refs = item->pending;
	rc = chunk_row_put(s->cas->kv, &item->id, &row);
	if (rc == 0)
		rc = ledger_chunk(ledger, &row, 1);
	if (rc == 0 && row.refs == 0) {
		rc = kv_put(s->cas->kv, TABLE_CHUNK_DEAD, chunk_key(&item->id), slice_of("", 0));
		if (rc == 0)
			rc = ledger_dead(ledger, &row, 1);
	}
	item->adopted = true;
	return rc;
}

static int write_touched(struct cas_stage *s, struct item *item, struct ledger *ledger)
{
	struct chunk_row row;
	int rc;

	if (!item->adopted)
		return write_new(s, item, ledger);
	rc = chunk_row_get(kv_live(s->cas->kv), &item->id, &row);
	if (rc == -ENOENT)
		return err_set(-ESTALE, "a chunk that was found known has been collected meanwhile");
	if (rc < 0 || item->pending == 0)
		return rc;
	return cas_count(s->cas, &item->id, &row, (int64_t)item->pending, ledger);
}

static int commit_part(struct cas_stage *s, struct ledger *ledger)
{
	int rc = 0;

	s->touched_count = 0;
	while (rc == 0 && s->next < s->count) {
		const struct item *item = &s->items[s->next];

		rc = commit_item(s, (uint32_t)s->next++, ledger);
		if (s->touched_count >= PART_ROWS_MAX ||
		    (s->touched_count >= PART_ROWS && item->kind == CAS_NODE))
			break;
	}
	for (size_t i = 0; i < s->touched_count; i++) {
		struct item *item = &s->items[s->touched[i]];

		if (rc == 0)
			rc = write_touched(s, item, ledger);
		item->touched = false;
		item->pending = 0;
	}
	return rc;
}

int cas_stage_commit(struct cas_stage *s, bool *ret_more)
{
	SCOPED_LEDGER struct ledger ledger = LEDGER_INIT;
	struct cas *cas = s->cas;
	uint32_t segment = 0;
	uint64_t end = 0;
	int rc = s->error;

	cas_note_committed(cas);
	if (rc == 0 && s->unsynced)
		rc = err_set(-EINVAL, "chunks must be synced before they are committed");
	if (rc == 0)
		rc = commit_part(s, &ledger);
	for (size_t i = 0; i < ledger.count; i++) {
		if (ledger.items[i].segment >= segment && ledger.items[i].end > 0) {
			segment = ledger.items[i].segment;
			end = ledger.items[i].end;
		}
	}
	if (rc == 0)
		rc = ledger_write(&ledger, cas);
	if (rc < 0) {
		s->error = rc;			/* the batch is aborted, and the stage with it */
		return rc;
	}
	if (segment > 0) {
		pthread_mutex_lock(&cas->lock);
		cas->tail_segment = segment;
		cas->tail_offset = end;
		pthread_mutex_unlock(&cas->lock);
	}
	*ret_more = s->next < s->count;
	atomic_store(&cas->committing, *ret_more);
	return 0;
}
