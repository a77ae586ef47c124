/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cas_internal - what the files of store/cas share.  Nobody else includes this, but for its unit tests.
 *
 * Lock: cas.lock, held for moments only, never across a file system call that may wait for the disk (but open(2) of
 * a segment), and never together with another lock.
 */
#ifndef STORE_CAS_CAS_INTERNAL_H
#define STORE_CAS_CAS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store/cas/cas.h"

#define SEGMENT_DIR "segments"
#define SEGMENT_BYTES_MAX (256u << 20)	/* a segment file is closed when the next chunk would not fit */
#define SEGMENT_NUMBER_MAX (1u << 20)	/* 256 TiB */
#define CHUNK_INLINE 256u		/* so few stored bytes go into the row itself */
#define CHUNK_INLINE_MAX 1024u		/* the format allows more */
#define CHUNK_COMPRESS_MIN 64u		/* shorter ones are stored raw */
#define CHUNK_ZSTD_LEVEL 1
#define CHUNK_SEED_MAX 65535u		/* collisions of one digest; beyond: -EIO */

enum chunk_codec {
	CHUNK_RAW = 0,
	CHUNK_ZSTD = 1,
};

/* --- chunk.c: the row of a chunk, and its bytes ---------------------------------------------------- */

struct chunk_row {
	enum cas_kind kind;
	enum chunk_codec codec;
	bool is_inline;
	uint32_t seed;			/* how many other contents had this name before */
	uint64_t refs;
	uint32_t raw, stored;		/* lengths */
	uint32_t segment, offset;	/* unless inline */
	struct slice bytes;		/* if inline: the stored bytes, borrowed from where the row was read */
};

void chunk_row_encode(struct buf *out, const struct chunk_row *row);
MUST_CHECK int chunk_row_decode(struct slice value, struct chunk_row *ret);
/* -ENOENT, -EBADMSG. */
MUST_CHECK int chunk_row_get(struct kv_view *view, const struct digest *id, struct chunk_row *ret);
MUST_CHECK int chunk_row_put(struct kv *kv, const struct digest *id, const struct chunk_row *row);

static inline struct slice chunk_key(const struct digest *id)
{
	return slice_of(id->bytes, sizeof(id->bytes));
}

struct digest chunk_name(const struct cas *cas, enum cas_kind kind, uint32_t seed, struct slice bytes);

/* Compress RAW into OUT when that pays; *RET is OUT's bytes or RAW itself.  CCTX is a ZSTD_CCtx. */
enum chunk_codec chunk_pack(void *cctx, struct slice raw, struct buf *out, struct slice *ret);

/* ROW->raw bytes from its stored ones into DST, re-hashed.  -EBADMSG. */
MUST_CHECK int chunk_unpack(struct cas *cas, const struct digest *id, const struct chunk_row *row,
			    struct slice stored, void *dst);
/* The same, the stored bytes read from where ROW says. */
MUST_CHECK int chunk_load(struct cas *cas, const struct digest *id, const struct chunk_row *row, void *dst);

/* LEN bytes at FROM of the chunk ID, which must be of KIND and RAW long, else -EBADMSG (so is one that is absent). */
MUST_CHECK int chunk_read(struct cas *cas, struct kv_view *view, const struct digest *id, enum cas_kind kind,
			  uint64_t raw, uint64_t from, void *dst, size_t len);
/* All of a node, into OUT (reset before).  -EBADMSG too when it is absent or no node. */
MUST_CHECK int chunk_read_node(struct cas *cas, struct kv_view *view, const struct digest *id, struct buf *out);

/* --- cache.c: decoded chunks that were read in part ------------------------------------------------ */

struct cache;
MUST_CHECK int cache_new(size_t bytes_max, struct cache **ret);
void cache_free(struct cache *cache);
/* A chunk is known by its name and place: a name alone may be given to another content one day. */
bool cache_copy(struct cache *cache, const struct digest *id, const struct chunk_row *row, uint64_t from,
		void *dst, size_t len);
/* Takes BYTES (malloc, ROW->raw long) over, whatever happens. */
void cache_add(struct cache *cache, const struct digest *id, const struct chunk_row *row, void *bytes);

/* --- segment.c: the files, their rows, and sums to be added to those -------------------------------- */

struct segment_row {
	uint64_t end;			/* bytes of the file that are part of the store */
	uint64_t chunks, raw, stored;	/* of chunks that have a row, dead ones included */
	uint64_t given;			/* bytes given back to the host */
	uint64_t seq;			/* of the newest batch that freed something here */
	/* only in row 0, which stands for chunks inside rows (and has no file): chunks that wait to be collected */
	uint64_t dead_chunks, dead_raw, dead_stored;
};

void segment_key(struct buf *out, uint32_t segment);
MUST_CHECK int segment_row_decode(struct slice value, struct segment_row *ret);
/* A row that is not there reads as zeros; *RET_FOUND (may be NULL) says so. */
MUST_CHECK int segment_row_get(struct kv_view *view, uint32_t segment, struct segment_row *ret, bool *ret_found);
MUST_CHECK int segment_row_put(struct kv *kv, uint32_t segment, const struct segment_row *row);

struct free_row {			/* a range of a segment that holds no chunk */
	uint32_t segment;
	uint64_t offset, len;
	uint64_t seq;			/* of the batch that freed it; 0: its whole blocks are given back */
};
MUST_CHECK int free_row_decode(struct slice key, struct slice value, struct free_row *ret);
void free_row_key(struct buf *out, uint32_t segment, uint64_t offset);
MUST_CHECK int free_row_put(struct kv *kv, const struct free_row *row);

/* Changes to segment rows, collected so that each row is written once. */
struct segment_delta {
	uint32_t segment;
	uint64_t end;			/* at least this */
	int64_t chunks, raw, stored, dead_chunks, dead_raw, dead_stored;
	bool freed;
};
struct ledger {
	struct segment_delta *items;
	size_t count, cap;
};
#define LEDGER_INIT { NULL, 0, 0 }
void ledger_release(struct ledger *l);
#define SCOPED_LEDGER __attribute__((cleanup(ledger_release)))
MUST_CHECK int ledger_at(struct ledger *l, uint32_t segment, struct segment_delta **ret);
MUST_CHECK int ledger_chunk(struct ledger *l, const struct chunk_row *row, int sign);
MUST_CHECK int ledger_dead(struct ledger *l, const struct chunk_row *row, int sign);
MUST_CHECK int ledger_write(struct ledger *l, struct cas *cas);

#define SEGMENT_FDS 64
struct segment_fd {
	uint32_t segment;
	int fd;				/* -1: the slot is empty */
	unsigned users;
	uint64_t used_at;
};
struct segment_use {
	int fd;
	int slot;			/* -1: opened for this use alone */
};

struct cas {
	struct kv *kv;			/* immutable, borrowed */
	int dirfd;			/* immutable: the segment directory */
	bool read_only;			/* immutable */
	unsigned name_bits;		/* immutable; tests name chunks with fewer bits than 128 */
	struct cache *cache;		/* has its own lock */

	pthread_mutex_t lock;
	struct segment_fd fds[SEGMENT_FDS];	/* protected by lock */
	uint64_t fd_clock;			/* protected by lock */
	void *dctx[4];				/* protected by lock: idle decompressors */
	unsigned dctx_count;			/* protected by lock */
	uint32_t tail_segment;			/* protected by lock: where the next stage begins to write */
	uint64_t tail_offset;			/* protected by lock */
	struct cas_stage *stage;		/* protected by lock: the one that is open */

	atomic_bool committing;		/* a stage is committed in part: nothing is collected until it is done */
	bool free_dirty;		/* core thread: there may be rows to reclaim */
	bool no_punch;			/* core thread: the file system cannot; then only whole segments go */
	bool free_postponed;		/* core thread: this round met rows that are not ripe yet */
	uint32_t reclaim_segment;	/* core thread: where the next reclaim step goes on */
	uint64_t reclaim_offset;	/* core thread */
	uint64_t freed_seq;		/* core thread: the newest batch that freed something, committed or not */
	atomic_ullong freed_committed;	/* the newest that freed something and is surely committed */
	atomic_ullong durable;		/* batches up to here are on stable storage */
};

void segment_name(uint32_t segment, char out[9]);
MUST_CHECK int segment_open(struct cas *cas, uint32_t segment, struct segment_use *ret);
void segment_release(struct cas *cas, struct segment_use use);
/* Close what is kept open of a segment that is going away. */
void segment_forget(struct cas *cas, uint32_t segment);
/* Exactly LEN bytes; -EBADMSG when the file ends before. */
MUST_CHECK int segment_read(struct cas *cas, uint32_t segment, uint64_t offset, void *dst, size_t len);

/* --- cas.c ----------------------------------------------------------------------------------------- */

/* Change ROW's count by DELTA and write the row, the queue of the dead and the ledger. */
MUST_CHECK int cas_count(struct cas *cas, const struct digest *id, struct chunk_row *row, int64_t delta,
			 struct ledger *ledger);
/* Record that the current batch frees this range. */
MUST_CHECK int cas_free_range(struct cas *cas, uint32_t segment, uint64_t offset, uint64_t len,
			      struct ledger *ledger);
/* Core, at the start of every call: the batches of earlier calls are committed by now. */
void cas_note_committed(struct cas *cas);

/* Tests: name chunks by the first BITS bits of their digests, so that they collide. */
void cas_test_name_bits(struct cas *cas, unsigned bits);
/* Tests: segments end at BYTES (0: as usual). */
void cas_test_segment_max(uint64_t bytes);
uint64_t cas_segment_max(void);

#endif
