/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - is the content store what its rows say?  One pass over the chunks reads and re-hashes each and counts, in a
 * hash table of 24 bytes a chunk, who is named how often; a second compares the counts; a third adds up the
 * segments.  A fault is reported and the check goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/io.h"
#include "store/base/pack.h"
#include "store/cas/cas_internal.h"
#include "store/cas/node.h"
#include "store/kv/tables.h"

struct mark {
	struct digest id;
	uint32_t refs;			/* seen so far */
	uint8_t used, present, reported;
};

struct checker {
	struct cas *cas;
	struct kv_view *view;
	const struct cas_check *how;
	bool faults;

	struct mark *marks;		/* open addressing */
	size_t size, count;
	struct segment_row *sums;	/* by segment: what the chunks add up to */
	size_t sums_count;
	struct segment_row dead;	/* .chunks .raw .stored of chunks without references */
	struct buf bytes;
};

static void fault(struct checker *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fault(struct checker *c, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->faults = true;
	if (c->how->report)
		c->how->report(c->how->arg, text);
}

struct hex {
	char text[33];
};

static struct hex hex_of(const struct digest *id)
{
	struct hex h;

	hash_hex(id->bytes, sizeof(id->bytes), h.text);
	return h;
}

/* --- marks ------------------------------------------------------------------------------------------ */

static struct mark *mark_slot(struct mark *marks, size_t size, const struct digest *id)
{
	uint64_t h;

	memcpy(&h, id->bytes, sizeof(h));
	h *= 0x9e3779b97f4a7c15ull;
	for (size_t at = (size_t)(h >> 20) & (size - 1);; at = (at + 1) & (size - 1)) {
		if (!marks[at].used || memcmp(&marks[at].id, id, sizeof(*id)) == 0)
			return &marks[at];
	}
}

static int marks_grow(struct checker *c)
{
	size_t size = c->size ? c->size * 2 : 4096;
	struct mark *marks = calloc(size, sizeof(*marks));

	if (!marks)
		return -ENOMEM;
	for (size_t i = 0; i < c->size; i++) {
		if (c->marks[i].used)
			*mark_slot(marks, size, &c->marks[i].id) = c->marks[i];
	}
	free(c->marks);
	c->marks = marks;
	c->size = size;
	return 0;
}

static int mark_of(struct checker *c, const struct digest *id, struct mark **ret)
{
	int rc = c->count * 4 >= c->size * 3 ? marks_grow(c) : 0;

	if (rc < 0)
		return rc;
	*ret = mark_slot(c->marks, c->size, id);
	if (!(*ret)->used) {
		**ret = (struct mark){ .id = *id, .used = 1 };
		c->count++;
	}
	return 0;
}

static int mark_ref(struct checker *c, const struct digest *id)
{
	struct mark *m;
	int rc = mark_of(c, id, &m);

	if (rc == 0 && m->refs < UINT32_MAX)
		m->refs++;
	return rc;
}

/* --- chunks ----------------------------------------------------------------------------------------- */

/* What a node says of a child against the child itself. */
static int check_kid(struct checker *c, const struct digest *id, uint8_t height, const struct node_entry *e)
{
	SCOPED_BUF struct buf bytes = BUF_INIT;
	struct chunk_row row;
	struct node_facts facts;
	int rc = chunk_row_get(c->view, &e->id, &row);

	if (rc == -ENOENT) {
		fault(c, "node %s: names chunk %s, which is not there", hex_of(id).text, hex_of(&e->id).text);
		return 0;
	}
	if (rc == -EBADMSG)			/* reported with that row */
		return 0;
	if (rc < 0)
		return rc;
	if (height == 1) {
		if (row.kind != CAS_DATA || row.raw != e->len)
			fault(c, "node %s: takes chunk %s for %" PRIu64 " bytes of data", hex_of(id).text,
			      hex_of(&e->id).text, e->len);
		return 0;
	}
	rc = chunk_read_node(c->cas, c->view, &e->id, &bytes);
	if (rc == 0)
		rc = node_check(buf_slice(&bytes), &facts);
	if (rc == -EBADMSG)
		fault(c, "node %s: its child is damaged: %s", hex_of(id).text, err_reason());
	else if (rc == 0 && (facts.height != height - 1 || facts.len != e->len || facts.holes != e->holes))
		fault(c, "node %s: is wrong about its child %s", hex_of(id).text, hex_of(&e->id).text);
	return rc == -EBADMSG || rc == -EIO ? 0 : rc;
}

static int check_node(struct checker *c, const struct digest *id, struct slice bytes)
{
	struct node_facts facts;
	struct node_reader r;
	struct node_entry e;
	int rc = 0;

	if (node_check(bytes, &facts) < 0) {
		fault(c, "node %s: %s", hex_of(id).text, err_reason());
		return 0;
	}
	r = node_open(bytes);
	while (rc == 0 && node_next(&r, &e)) {
		if (e.is_hole)
			continue;
		rc = mark_ref(c, &e.id);
		if (rc == 0)
			rc = check_kid(c, id, facts.height, &e);
	}
	return rc;
}

static int sum_of(struct checker *c, uint32_t segment, struct segment_row **ret)
{
	if (segment >= c->sums_count) {
		size_t count = (size_t)segment + 16;
		struct segment_row *sums = realloc(c->sums, count * sizeof(*sums));

		if (!sums)
			return -ENOMEM;
		memset(sums + c->sums_count, 0, (count - c->sums_count) * sizeof(*sums));
		c->sums = sums;
		c->sums_count = count;
	}
	*ret = &c->sums[segment];
	return 0;
}

/* Does the chunk lie within the recorded end of its segment, and in no free range? */
static int check_place(struct checker *c, const struct digest *id, const struct chunk_row *row,
		       const struct segment_row *segment)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf key = BUF_INIT;
	uint64_t end = (uint64_t)row->offset + row->stored;
	struct free_row range;
	int rc;

	if (end > segment->end)
		fault(c, "chunk %s: lies behind the end of segment %08x", hex_of(id).text, row->segment);
	free_row_key(&key, row->segment, end);
	rc = buf_err(&key) < 0 ? -ENOMEM : kv_cursor_open(c->view, TABLE_SEGMENT_FREE, &cur);
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, buf_slice(&key));
	if (rc == 0)
		rc = free_row_decode(kv_cursor_key(cur), kv_cursor_value(cur), &range);
	if (rc == 0 && range.segment == row->segment && range.offset + range.len > row->offset)
		fault(c, "chunk %s: lies in a free range of segment %08x", hex_of(id).text, row->segment);
	return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
}

static int check_figures(struct checker *c, const struct digest *id, const struct chunk_row *row)
{
	uint32_t number = row->is_inline ? 0 : row->segment;
	struct segment_row segment, *sum;
	bool found;
	int rc = segment_row_get(c->view, number, &segment, &found);

	if (rc == -EBADMSG)			/* reported with that row */
		return 0;
	if (rc < 0)
		return rc;
	if (!found) {
		fault(c, "chunk %s: lies in segment %08x, which has no row", hex_of(id).text, number);
		return 0;
	}
	rc = row->is_inline ? 0 : check_place(c, id, row, &segment);
	if (rc == 0)
		rc = sum_of(c, number, &sum);
	if (rc < 0)
		return rc;
	sum->chunks++;
	sum->raw += row->raw;
	sum->stored += row->stored;
	return 0;
}

static int check_chunk(struct checker *c, struct slice key, struct slice value)
{
	struct chunk_row row;
	struct digest id;
	struct mark *mark;
	void *dst;
	int rc;

	if (key.len != sizeof(id.bytes)) {
		fault(c, "a chunk has a name of %zu bytes", key.len);
		return 0;
	}
	memcpy(id.bytes, key.data, key.len);
	rc = mark_of(c, &id, &mark);
	if (rc < 0)
		return rc;
	mark->present = 1;
	if (chunk_row_decode(value, &row) < 0) {
		mark->reported = 1;
		fault(c, "chunk %s: %s", hex_of(&id).text, err_reason());
		return 0;
	}
	rc = check_figures(c, &id, &row);
	buf_reset(&c->bytes);
	dst = buf_reserve(&c->bytes, row.raw);
	if (rc < 0 || !dst)
		return rc < 0 ? rc : -ENOMEM;
	rc = chunk_load(c->cas, &id, &row, dst);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		fault(c, "%s", err_text(rc));
	else if (row.kind == CAS_NODE)
		return check_node(c, &id, slice_of(dst, row.raw));
	return 0;
}

static int each_row(struct checker *c, uint8_t table,
		    int (*each)(struct checker *c, struct slice key, struct slice value))
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(c->view, table, &cur);

	if (rc < 0)
		return rc;
	for (rc = kv_cursor_seek(cur, slice_of("", 0)); rc == 0; rc = kv_cursor_next(cur)) {
		rc = each(c, kv_cursor_key(cur), kv_cursor_value(cur));
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* --- counts ----------------------------------------------------------------------------------------- */

static int add_root(void *arg, const struct digest *root)
{
	return mark_ref(arg, root);
}

static int check_count(struct checker *c, struct slice key, struct slice value)
{
	struct chunk_row row;
	struct digest id;
	struct mark *mark;
	struct slice ignored;
	int rc;

	if (key.len != sizeof(id.bytes) || chunk_row_decode(value, &row) < 0)
		return 0;			/* reported by check_chunk() */
	memcpy(id.bytes, key.data, key.len);
	rc = mark_of(c, &id, &mark);
	if (rc < 0)
		return rc;
	if (row.refs != mark->refs)
		fault(c, "chunk %s: counts %" PRIu64 " references, but %" PRIu32 " are there",
		      hex_of(&id).text, row.refs, mark->refs);
	rc = kv_get(c->view, TABLE_CHUNK_DEAD, chunk_key(&id), &ignored);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if ((rc == 0) != (row.refs == 0))
		fault(c, "chunk %s: has %" PRIu64 " references and is %squeued for collection",
		      hex_of(&id).text, row.refs, rc == 0 ? "" : "not ");
	if (row.refs == 0) {
		c->dead.chunks++;
		c->dead.raw += row.raw;
		c->dead.stored += row.stored;
	}
	return 0;
}

static int check_dead(struct checker *c, struct slice key, struct slice value)
{
	struct slice ignored;
	struct digest id;
	int rc;

	(void)value;
	if (key.len != sizeof(id.bytes)) {
		fault(c, "the queue of dead chunks holds a name of %zu bytes", key.len);
		return 0;
	}
	memcpy(id.bytes, key.data, key.len);
	rc = kv_get(c->view, TABLE_CHUNK, key, &ignored);
	if (rc == -ENOENT) {
		fault(c, "chunk %s: is queued for collection, but not there", hex_of(&id).text);
		return 0;
	}
	return rc;
}

static void check_missing(struct checker *c)
{
	for (size_t i = 0; i < c->size; i++) {
		const struct mark *m = &c->marks[i];

		if (m->used && !m->present)
			fault(c, "chunk %s: is referred to %" PRIu32 " times, but not there",
			      hex_of(&m->id).text, m->refs);
	}
}

/* --- segments --------------------------------------------------------------------------------------- */

static int sum_free(struct checker *c, struct slice key, struct slice value)
{
	struct segment_row segment, *sum;
	struct free_row range;
	bool found;
	int rc;

	if (free_row_decode(key, value, &range) < 0) {
		fault(c, "%s", err_reason());
		return 0;
	}
	rc = segment_row_get(c->view, range.segment, &segment, &found);
	if (rc == -EBADMSG)			/* reported with that row */
		return 0;
	if (rc == 0 && !found) {
		fault(c, "segment %08x: has a free range, but no row", range.segment);
		return 0;
	}
	if (rc == 0)
		rc = sum_of(c, range.segment, &sum);
	if (rc < 0)
		return rc;
	if (range.offset < sum->end)		/* the end of the range before */
		fault(c, "segment %08x: two free ranges overlap at %" PRIu64, range.segment, range.offset);
	sum->end = range.offset + range.len;
	sum->given += range.len;
	return 0;
}

static int check_file(struct checker *c, uint32_t segment, const struct segment_row *row)
{
	struct stat st;
	char name[9];
	int rc;

	segment_name(segment, name);
	rc = io_fstatat(c->cas->dirfd, name, &st, 0);
	if (rc == -ENOENT && row->chunks > 0)
		fault(c, "segment %08x: its file is not there", segment);
	else if (rc == 0 && (uint64_t)st.st_size < row->end)
		fault(c, "segment %08x: its file ends at %lld, before %" PRIu64, segment, (long long)st.st_size,
		      row->end);
	return rc == -ENOENT ? 0 : rc;
}

static int check_segment(struct checker *c, struct slice key, struct slice value)
{
	struct unpack k = unpack_init(key);
	uint32_t segment = unkey_u32(&k);
	struct segment_row row, *sum;
	int rc;

	if (unpack_done(&k) < 0 || segment > SEGMENT_NUMBER_MAX || segment_row_decode(value, &row) < 0) {
		fault(c, "segment %08x: its row is damaged", segment);
		return 0;
	}
	rc = sum_of(c, segment, &sum);
	if (rc < 0)
		return rc;
	if (row.chunks != sum->chunks || row.raw != sum->raw || row.stored != sum->stored)
		fault(c, "segment %08x: records %" PRIu64 " chunks of %" PRIu64 " bytes, but holds %" PRIu64
		      " of %" PRIu64, segment, row.chunks, row.stored, sum->chunks, sum->stored);
	if (segment == 0) {
		if (row.dead_chunks != c->dead.chunks || row.dead_raw != c->dead.raw ||
		    row.dead_stored != c->dead.stored)
			fault(c, "%" PRIu64 " chunks are recorded as dead, but %" PRIu64 " are", row.dead_chunks,
			      c->dead.chunks);
		return 0;
	}
	if (row.chunks > 0 && row.stored + sum->given != row.end)
		fault(c, "segment %08x: %" PRIu64 " bytes are neither chunks nor free", segment,
		      row.end - row.stored - sum->given);
	if (sum->end > row.end)
		fault(c, "segment %08x: a free range lies behind its end", segment);
	return check_file(c, segment, &row);
}

int cas_check(struct cas *cas, struct kv_view *view, const struct cas_check *how)
{
	struct checker c = { .cas = cas, .view = view, .how = how };
	int rc = each_row(&c, TABLE_CHUNK, check_chunk);

	if (rc == 0 && how->roots)
		rc = how->roots(how->arg, add_root, &c);
	if (rc == 0)
		rc = each_row(&c, TABLE_CHUNK, check_count);
	if (rc == 0)
		rc = each_row(&c, TABLE_CHUNK_DEAD, check_dead);
	if (rc == 0)
		check_missing(&c);
	if (rc == 0)
		rc = each_row(&c, TABLE_SEGMENT_FREE, sum_free);
	if (rc == 0)
		rc = each_row(&c, TABLE_SEGMENT, check_segment);
	free(c.marks);
	free(c.sums);
	buf_release(&c.bytes);
	return rc < 0 ? rc : c.faults;
}
