/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob_writer - bytes in, tree out.  What the tree looks like depends on the bytes alone:
 *
 *	bytes -> runs of at least HOLE_MIN zeros are holes, what lies between is cut by cas/chunker.h
 *	      -> entries, gathered into nodes of height 1 that end where a digest says (cas/node.h)
 *	      -> entries for those, gathered into nodes of height 2, ... until there is only one: the root
 *
 * so the number and size of the calls, and whether zeros came as bytes or as a hole, leave no trace.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>

#include "store/cas/blob.h"
#include "store/cas/blob_internal.h"
#include "store/cas/chunker.h"
#include "store/cas/node.h"

static const uint8_t zeros[BLOB_HOLE_MIN];

struct level {			/* the node of its height that is being gathered */
	struct buf node;
	struct node_entry only;		/* the entry, while there is one */
	unsigned entries;
	uint64_t len, holes;
	bool flushed;			/* there were nodes before this one */
};

struct blob_writer {
	struct cas_stage *stage;	/* borrowed */
	int error;			/* sticky */
	uint64_t size;			/* added so far */
	uint64_t offset;		/* where the current chunk begins */
	uint64_t zero_run;		/* zeros at the end of what was added, not given to the chunker yet */
	struct chunker chunker;
	struct buf chunk;		/* bytes of the current chunk from earlier calls */
	struct level levels[NODE_HEIGHT_MAX];
	XXH3_state_t *xxh3;
	EVP_MD_CTX *md5;
};

/* --- life ------------------------------------------------------------------------------------------- */

int blob_writer_new(struct cas_stage *stage, struct blob_writer **ret)
{
	struct blob_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->stage = stage;
	w->xxh3 = XXH3_createState();
	w->md5 = EVP_MD_CTX_new();
	if (!w->xxh3 || !w->md5 || XXH3_128bits_reset(w->xxh3) != XXH_OK ||
	    EVP_DigestInit_ex(w->md5, EVP_md5(), NULL) != 1) {
		blob_writer_free(w);
		return -ENOMEM;
	}
	chunker_begin(&w->chunker, 0);
	*ret = w;
	return 0;
}

void blob_writer_free(struct blob_writer *w)
{
	if (!w)
		return;
	for (int i = 0; i < NODE_HEIGHT_MAX; i++)
		buf_release(&w->levels[i].node);
	buf_release(&w->chunk);
	XXH3_freeState(w->xxh3);
	EVP_MD_CTX_free(w->md5);
	free(w);
}

/* --- nodes ------------------------------------------------------------------------------------------ */

/* End the node of HEIGHT; RET is the entry that names it one higher. */
static int node_flush(struct blob_writer *w, uint8_t height, struct node_entry *ret)
{
	struct level *l = &w->levels[height - 1];
	int rc = buf_err(&l->node);

	*ret = (struct node_entry){ .len = l->len, .holes = l->holes };
	if (rc == 0)
		rc = cas_stage_put(w->stage, CAS_NODE, buf_slice(&l->node), &ret->id);
	l->entries = 0;
	l->len = 0;
	l->holes = 0;
	l->flushed = true;
	return rc;
}

/* Append E to the node of HEIGHT, and what ends by that to the nodes above. */
static int entry_add(struct blob_writer *w, uint8_t height, struct node_entry e)
{
	int rc = 0;

	for (;; height++) {
		struct level *l;
		bool ends;

		if (height > NODE_HEIGHT_MAX)
			return err_set(-EFBIG, "a file of too many pieces");
		l = &w->levels[height - 1];
		if (l->entries == 0)
			node_begin(&l->node, height);
		node_add(&l->node, height, &e);
		l->only = e;
		l->entries++;
		l->len += e.len;
		l->holes += e.holes;
		ends = l->entries == NODE_ENTRIES_MAX || (l->entries >= NODE_ENTRIES_MIN && node_ends_at(&e));
		if (!ends)
			return 0;
		rc = node_flush(w, height, &e);
		if (rc < 0)
			return rc;
	}
}

/* --- chunks ----------------------------------------------------------------------------------------- */

static int chunk_done(struct blob_writer *w, struct slice bytes)
{
	struct node_entry e = { .len = bytes.len };
	int rc = cas_stage_put(w->stage, CAS_DATA, bytes, &e.id);

	if (rc == 0)
		rc = entry_add(w, 1, e);
	w->offset += bytes.len;
	buf_reset(&w->chunk);
	chunker_begin(&w->chunker, w->offset);
	return rc;
}

static int data_add(struct blob_writer *w, struct slice bytes)
{
	const uint8_t *p = bytes.data;
	size_t left = bytes.len;
	int rc = 0;

	while (left > 0 && rc == 0) {
		bool cut;
		size_t n = chunker_scan(&w->chunker, slice_of(p, left), &cut);

		if (cut && w->chunk.len == 0) {
			rc = chunk_done(w, slice_of(p, n));	/* no copy */
		} else {
			buf_add(&w->chunk, p, n);
			rc = buf_err(&w->chunk);
			if (cut && rc == 0)
				rc = chunk_done(w, buf_slice(&w->chunk));
		}
		p += n;
		left -= n;
	}
	return rc;
}

/* What is left of a chunk before a hole or the end. */
static int data_end(struct blob_writer *w)
{
	return w->chunk.len > 0 ? chunk_done(w, buf_slice(&w->chunk)) : 0;
}

/* The run of zeros that was held back has ended: now it is known what it is. */
static int zeros_end(struct blob_writer *w)
{
	struct node_entry hole = { .len = w->zero_run, .holes = w->zero_run, .is_hole = true };
	size_t run = (size_t)w->zero_run;
	int rc;

	w->zero_run = 0;
	if (run == 0)
		return 0;
	if (hole.len < BLOB_HOLE_MIN)
		return data_add(w, slice_of(zeros, run));
	rc = data_end(w);
	if (rc == 0)
		rc = entry_add(w, 1, hole);
	w->offset += hole.len;
	chunker_begin(&w->chunker, w->offset);
	return rc;
}

/* --- zeros ------------------------------------------------------------------------------------------ */

/* How many bytes at P are zero, up to LEN. */
static size_t zeros_at(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (len - n >= sizeof(zeros) && memcmp(p + n, zeros, sizeof(zeros)) == 0)
		n += sizeof(zeros);
	while (n < len && p[n] == 0)
		n++;
	return n;
}

/* How many bytes before END, back to START, are zero. */
static size_t zeros_before(const uint8_t *p, size_t start, size_t end)
{
	size_t at = end;

	while (at > start && p[at - 1] == 0)
		at--;
	return end - at;
}

/*
 * Split off the bytes before the next run of zeros that is long enough, or may become so at the end.  A run of
 * BLOB_HOLE_MIN bytes that starts at AT or later covers the byte at AT + BLOB_HOLE_MIN - 1, unless it starts behind
 * that byte: one look skips as many bytes.
 */
static size_t data_before_zeros(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (len - at >= BLOB_HOLE_MIN) {
		size_t probe = at + BLOB_HOLE_MIN - 1;
		size_t start, run;

		if (p[probe] != 0) {
			at = probe + 1;
			continue;
		}
		start = probe - zeros_before(p, at, probe);
		run = zeros_at(p + start, len - start);
		if (run >= BLOB_HOLE_MIN || start + run == len)
			return start;
		at = start + run;
	}
	return len - zeros_before(p, at, len);
}

static int add_bytes(struct blob_writer *w, const uint8_t *p, size_t len)
{
	int rc = 0;

	while (len > 0 && rc == 0) {
		size_t run = zeros_at(p, len);
		size_t data;

		w->zero_run += run;
		if (run == len)
			return 0;
		rc = zeros_end(w);
		data = data_before_zeros(p + run, len - run);
		if (rc == 0)
			rc = data_add(w, slice_of(p + run, data));
		p += run + data;
		len -= run + data;
	}
	return rc;
}

/* --- adding ----------------------------------------------------------------------------------------- */

static int account(struct blob_writer *w, uint64_t len)
{
	if (w->error == 0 && len > INT64_MAX - w->size)
		w->error = err_set(-EFBIG, "a file of more than 2^63-1 bytes");
	if (w->error == 0)
		w->size += len;
	return w->error;
}

static int hash_add(struct blob_writer *w, const void *p, size_t len)
{
	if (XXH3_128bits_update(w->xxh3, p, len) != XXH_OK || EVP_DigestUpdate(w->md5, p, len) != 1)
		return -EIO;
	return 0;
}

int blob_writer_add(struct blob_writer *w, struct slice bytes)
{
	if (bytes.len == 0 || account(w, bytes.len) < 0)
		return w->error;
	w->error = hash_add(w, bytes.data, bytes.len);
	if (w->error == 0)
		w->error = add_bytes(w, bytes.data, bytes.len);
	return w->error;
}

int blob_writer_add_zeros(struct blob_writer *w, uint64_t len)
{
	if (account(w, len) < 0)
		return w->error;
	w->zero_run += len;
	for (uint64_t left = len; left > 0 && w->error == 0;) {
		size_t n = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);

		w->error = hash_add(w, zeros, n);
		left -= n;
	}
	return w->error;
}

/* --- the end ---------------------------------------------------------------------------------------- */

/* Close the nodes from the lowest up; the first height that had only one entry needs no node for it. */
static int close_tree(struct blob_writer *w, struct blob_ref *ret)
{
	for (uint8_t height = 1; height <= NODE_HEIGHT_MAX; height++) {
		struct level *l = &w->levels[height - 1];
		struct node_entry e;
		int rc;

		if (!l->flushed && l->entries == 1 && (height > 1 || !l->only.is_hole)) {
			ret->root = l->only.id;
			ret->height = (uint8_t)(height - 1);
			return 0;
		}
		if (l->entries == 0)
			continue;
		rc = node_flush(w, height, &e);
		if (rc == 0 && height < NODE_HEIGHT_MAX && w->levels[height].entries == 0 &&
		    !w->levels[height].flushed) {
			ret->root = e.id;
			ret->height = height;
			return 0;
		}
		if (rc == 0)
			rc = entry_add(w, (uint8_t)(height + 1), e);
		if (rc < 0)
			return rc;
	}
	return err_set(-EFBIG, "a file of too many pieces");
}

static int finish_sums(struct blob_writer *w, struct blob_sums *ret)
{
	XXH128_canonical_t canonical;
	unsigned len = 0;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(w->xxh3));
	memcpy(ret->xxh3.bytes, canonical.digest, sizeof(ret->xxh3.bytes));
	return EVP_DigestFinal_ex(w->md5, ret->md5, &len) == 1 && len == sizeof(ret->md5) ? 0 : -EIO;
}

int blob_writer_finish(struct blob_writer *w, struct blob_ref *ret, struct blob_sums *ret_sums)
{
	struct blob_ref ref = { .size = w->size };
	bool all_hole;

	if (w->error == 0) {
		all_hole = w->offset == 0 && w->chunk.len == 0 && w->zero_run == w->size &&
			   (w->size == 0 || w->size >= BLOB_HOLE_MIN);
		if (!all_hole)
			w->error = zeros_end(w);
		if (w->error == 0)
			w->error = data_end(w);
		if (w->error == 0 && !all_hole)
			w->error = close_tree(w, &ref);
	}
	if (w->error == 0)
		w->error = finish_sums(w, ret_sums);
	if (w->error == 0)
		*ret = ref;
	return w->error;
}
