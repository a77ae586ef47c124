/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal - the redo log of the batches since the last checkpoint: two preallocated files that take turns.  Knows
 * nothing of what a record says.  Private to store/kv.  Bytes: store/FORMAT.md 1.
 *
 * 1. Records of one file follow each other without a gap and with consecutive numbers; what comes first and is not the
 *    expected number, epoch and checksum is the end.
 * 2. A file is begun again only after a checkpoint that covers all of it is saved (the caller's duty).
 * 3. `synced` is only raised after an fdatasync that began when the record had been written.
 * 4. After a failed fdatasync nothing is promised any more: the failure is kept and never retried (Linux reports it once).
 *
 * The core appends and switches; any thread may sync.
 */
#ifndef STORE_KV_JOURNAL_H
#define STORE_KV_JOURNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/kv/slot.h"

#define JOURNAL_HEAD_BYTES 24u
#define JOURNAL_RECORD_MAX (24u << 20)  /* KV_BATCH_MAX and what surrounds it */
#define JOURNAL_FILE_FIRST (128u << 10) /* size of a new or idle file */

struct journal_file {
	int fd;        /* immutable */
	uint64_t size; /* core: bytes that are allocated */
	bool dirty;    /* protected by lock: has records that no fdatasync covers */
};

struct journal {
	uint32_t crc_seed; /* immutable: a foreign journal's records never fit */
	struct journal_file file[2];
	int current;          /* protected by lock; only the core changes it */
	uint64_t at;          /* core: where the next record goes */
	uint64_t other_bytes; /* core: records in the other file, 0 once a checkpoint covers them */
	pthread_mutex_t lock;
	pthread_cond_t synced_more;
	uint64_t written;       /* protected by lock: number of the last record */
	uint64_t synced;        /* protected by lock */
	bool syncing;           /* protected by lock: a thread is in fdatasync for all */
	int failed;             /* protected by lock: 0, or the errno that ended it */
	int64_t dirty_since_ms; /* protected by lock: 0 when nothing is dirty */
};

/* Make both files in DIRFD, durably. */
MUST_CHECK int journal_create(int dirfd);
/* Open both; positions and numbers are set by journal_start().  FLAGS O_RDWR or O_RDONLY. */
MUST_CHECK int journal_open(struct journal *j, int dirfd, const uint8_t id[SLOT_ID_BYTES],
			    int flags);
void journal_close(struct journal *j);
/* Both files are free; the next record has a number above SEQ, and all up to SEQ are durable.  Shrinks big files. */
void journal_start(struct journal *j, uint64_t seq);

/* Begin a record: RECORD is reset to a header that journal_append() fills in.  The caller adds the body. */
void journal_record_begin(struct buf *record);
/* Allocate room for LEN more bytes in the current file.  -ENOSPC. */
MUST_CHECK int journal_reserve(struct journal *j, uint64_t len);
/*
 * Write RECORD as number SEQ.  On an error nothing is in the journal, or, when even that cannot be had, the journal has
 * failed.  *RET_FIRST: it is the first since the last sync.
 */
MUST_CHECK int journal_append(struct journal *j, struct buf *record, uint64_t epoch, uint64_t seq,
			      bool *ret_first);
/* The header of RECORD for these numbers; exposed for the golden files. */
void journal_seal(const struct journal *j, struct buf *record, uint64_t epoch, uint64_t seq);

/* Go on in the other file, from its start.  Only when it is free. */
void journal_switch(struct journal *j);
/* Cut the other file, which must be free, back to its first size.  True: that gave blocks back.  Core. */
bool journal_shrink_other(struct journal *j);
/* A checkpoint that holds everything up to SEQ is saved: the other file is free.  Any thread. */
void journal_covered(struct journal *j, uint64_t seq);

/* Any thread: make all records up to SEQ durable.  One fdatasync serves all that wait.  -EIO. */
MUST_CHECK int journal_sync(struct journal *j, uint64_t seq);
/* Any thread: since when something is unsynced (clock_mono_ms), or 0. */
int64_t journal_dirty_since(struct journal *j);
/* Any thread: 0, or -EIO after a failure. */
MUST_CHECK int journal_failed(struct journal *j);

typedef int journal_apply(void *arg, struct slice body);
/*
 * Hand the bodies of the records in FILE from FROM on to APPLY, as long as they are good, of EPOCH, and numbered
 * *NEXT_SEQ, *NEXT_SEQ + 1 ... up to LAST_SEQ; *NEXT_SEQ counts on.  *RET_END (may be NULL): where it stopped.
 * A bad record is an end, not an error; -EIO, -ENOMEM and what APPLY refuses are errors.
 */
MUST_CHECK int journal_replay(const struct journal *j, int file, uint64_t from, uint64_t epoch,
			      uint64_t *next_seq, uint64_t last_seq, journal_apply *apply,
			      void *arg, uint64_t *ret_end);

#endif
