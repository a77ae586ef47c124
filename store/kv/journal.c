/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv/journal.h"

#include <errno.h>
#include <string.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/pack.h"

#define GROW_MIN     (128u << 10)
#define GROW_MAX     (4u << 20)
#define KEEP_MAX     (1u << 20) /* an idle file above this is cut back to JOURNAL_FILE_FIRST */
#define WINDOW_BYTES (1u << 20) /* read at a time in a replay */

static const char *const names[2] = { "journal.0", "journal.1" };

int journal_create(int dirfd)
{
	for (int i = 0; i < 2; i++) {
		SCOPED_FD int fd = io_openat(dirfd, names[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
		int rc = fd < 0 ? fd : io_fallocate(fd, 0, 0, JOURNAL_FILE_FIRST);

		if (rc == -EOPNOTSUPP)
			rc = io_ftruncate(fd, JOURNAL_FILE_FIRST);
		if (rc == 0)
			rc = io_fsync(fd);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int journal_open(struct journal *j, int dirfd, const uint8_t id[SLOT_ID_BYTES], int flags)
{
	memset(j, 0, sizeof(*j));
	j->crc_seed = hash_crc32c(0, slice_of(id, SLOT_ID_BYTES));
	j->file[0].fd = j->file[1].fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->synced_more, NULL);
	for (int i = 0; i < 2; i++) {
		struct stat st;
		int rc = io_openat(dirfd, names[i], flags, 0);

		j->file[i].fd = rc < 0 ? -1 : rc;
		if (rc >= 0)
			rc = io_fstat(rc, &st);
		if (rc < 0) {
			journal_close(j);
			return rc == -ENOENT ? err_set(-EBADMSG, "%s is missing", names[i]) : rc;
		}
		j->file[i].size = (uint64_t)st.st_size;
	}
	return 0;
}

void journal_close(struct journal *j)
{
	for (int i = 0; i < 2; i++)
		if (j->file[i].fd >= 0)
			(void)io_close(j->file[i].fd);
	pthread_cond_destroy(&j->synced_more);
	pthread_mutex_destroy(&j->lock);
}

void journal_start(struct journal *j, uint64_t seq)
{
	for (int i = 0; i < 2; i++) {
		struct journal_file *f = &j->file[i];

		f->dirty = false;
		if (f->size > KEEP_MAX && io_ftruncate(f->fd, JOURNAL_FILE_FIRST) == 0)
			f->size = JOURNAL_FILE_FIRST;
	}
	pthread_mutex_lock(&j->lock);
	j->current = 0;
	j->at = 0;
	j->other_bytes = 0;
	j->written = j->synced = seq;
	j->dirty_since_ms = 0;
	pthread_mutex_unlock(&j->lock);
}

void journal_record_begin(struct buf *record)
{
	static const uint8_t head[JOURNAL_HEAD_BYTES];

	buf_reset(record);
	buf_add(record, head, sizeof(head));
}

static uint32_t record_crc(const struct journal *j, const uint8_t *record, size_t len)
{
	uint32_t crc = hash_crc32c(j->crc_seed, slice_of(record, 4));

	return hash_crc32c(crc, slice_of(record + 8, len - 8));
}

static void put_le(uint8_t *at, uint64_t v, int width)
{
	for (int i = 0; i < width; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

void journal_seal(const struct journal *j, struct buf *record, uint64_t epoch, uint64_t seq)
{
	uint8_t *head = (uint8_t *)record->data;

	put_le(head, record->len, 4);
	put_le(head + 8, epoch, 8);
	put_le(head + 16, seq, 8);
	put_le(head + 4, record_crc(j, head, record->len), 4);
}

int journal_reserve(struct journal *j, uint64_t len)
{
	struct journal_file *f = &j->file[j->current];
	uint64_t need = j->at + len, grow;
	int rc;

	if (need <= f->size)
		return 0;
	grow = f->size < GROW_MIN ? GROW_MIN : f->size > GROW_MAX ? GROW_MAX : f->size;
	if (need < f->size + grow)
		need = f->size + grow;
	rc = io_fallocate(f->fd, 0, (off_t)f->size, (off_t)(need - f->size));
	if (rc == -EOPNOTSUPP)
		rc = io_ftruncate(f->fd, (off_t)need);
	if (rc < 0)
		return rc;
	f->size = need;
	return 0;
}

static int fail(struct journal *j, int rc)
{
	pthread_mutex_lock(&j->lock);
	if (!j->failed) {
		j->failed = -EIO;
		log_error("journal: %s; the store is read-only until it is opened again",
			  err_text(rc));
	}
	pthread_cond_broadcast(&j->synced_more);
	pthread_mutex_unlock(&j->lock);
	return rc;
}

int journal_append(struct journal *j, struct buf *record, uint64_t epoch, uint64_t seq,
		   bool *ret_first)
{
	static const uint8_t nothing[JOURNAL_HEAD_BYTES];
	int rc = journal_reserve(j, record->len), fd = j->file[j->current].fd;

	if (rc < 0)
		return rc;
	journal_seal(j, record, epoch, seq);
	rc = io_pwrite_full(fd, record->data, record->len, (off_t)j->at);
	if (rc < 0) {
		/* The kernel may have taken all of it and failed later: it must not be found by a replay. */
		return io_pwrite_full(fd, nothing, sizeof(nothing), (off_t)j->at) < 0 ? fail(j, rc)
										      : rc;
	}
	j->at += record->len;
	pthread_mutex_lock(&j->lock);
	j->written = seq;
	j->file[j->current].dirty = true;
	*ret_first = j->dirty_since_ms == 0;
	if (*ret_first)
		j->dirty_since_ms = clock_mono_ms();
	pthread_mutex_unlock(&j->lock);
	return 0;
}

void journal_switch(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->current ^= 1;
	j->other_bytes = j->at;
	j->at = 0;
	pthread_mutex_unlock(&j->lock);
}

bool journal_shrink_other(struct journal *j)
{
	struct journal_file *f = &j->file[j->current ^ 1];

	if (f->size <= JOURNAL_FILE_FIRST || io_ftruncate(f->fd, JOURNAL_FILE_FIRST) < 0)
		return false;
	f->size = JOURNAL_FILE_FIRST;
	return true;
}

void journal_covered(struct journal *j, uint64_t seq)
{
	pthread_mutex_lock(&j->lock);
	j->file[j->current ^ 1].dirty = false;
	if (j->synced < seq)
		j->synced = seq;
	if (!j->file[j->current].dirty)
		j->dirty_since_ms = 0;
	pthread_cond_broadcast(&j->synced_more);
	pthread_mutex_unlock(&j->lock);
}

/* Called with the lock held, which is let go meanwhile: one fdatasync of all that is dirty, for everybody. */
static void sync_locked(struct journal *j)
{
	uint64_t target = j->written;
	int order[2] = { j->current ^ 1, j->current }, rc = 0;
	bool dirty[2];

	j->syncing = true;
	j->dirty_since_ms = 0;
	for (int i = 0; i < 2; i++) {
		dirty[i] = j->file[order[i]].dirty;
		j->file[order[i]].dirty = false;
	}
	pthread_mutex_unlock(&j->lock);
	for (int i = 0; rc == 0 && i < 2; i++)
		if (dirty[i])
			rc = io_fdatasync(j->file[order[i]].fd);
	if (rc < 0)
		fail(j, rc);
	pthread_mutex_lock(&j->lock);
	j->syncing = false;
	if (rc == 0 && j->synced < target)
		j->synced = target;
	pthread_cond_broadcast(&j->synced_more);
}

int journal_sync(struct journal *j, uint64_t seq)
{
	int rc;

	pthread_mutex_lock(&j->lock);
	if (seq > j->written)
		seq = j->written;
	while (j->synced < seq && !j->failed) {
		if (j->syncing)
			pthread_cond_wait(&j->synced_more, &j->lock);
		else
			sync_locked(j);
	}
	rc = j->synced >= seq ? 0 : j->failed;
	pthread_mutex_unlock(&j->lock);
	return rc < 0 ? err_set(rc, "the journal could not be written to stable storage") : 0;
}

int64_t journal_dirty_since(struct journal *j)
{
	int64_t since;

	pthread_mutex_lock(&j->lock);
	since = j->failed ? 0 : j->dirty_since_ms;
	pthread_mutex_unlock(&j->lock);
	return since;
}

int journal_failed(struct journal *j)
{
	int rc;

	pthread_mutex_lock(&j->lock);
	rc = j->failed;
	pthread_mutex_unlock(&j->lock);
	return rc;
}

/* A window on the file that moves forward. */
struct window {
	int fd;
	uint64_t start; /* offset in the file of bytes.data[0] */
	struct buf bytes;
};

/* LEN bytes at AT, borrowed until the next call; fewer at the end of the file. */
static int window_get(struct window *w, uint64_t at, size_t len, struct slice *ret)
{
	size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
	ssize_t n;

	if (at < w->start || at - w->start > w->bytes.len || w->bytes.len - (at - w->start) < len) {
		buf_reset(&w->bytes);
		if (!buf_reserve(&w->bytes, want))
			return -ENOMEM;
		n = io_pread_full(w->fd, w->bytes.data, want, (off_t)at);
		if (n < 0)
			return (int)n;
		w->bytes.len = (size_t)n;
		w->start = at;
	}
	*ret = buf_slice(&w->bytes);
	ret->data = (const char *)ret->data + (at - w->start);
	ret->len -= (size_t)(at - w->start);
	if (ret->len > len)
		ret->len = len;
	return 0;
}

/* The record at AT into *RET, empty when there is no good one. */
static int read_record(const struct journal *j, struct window *w, uint64_t at, uint64_t epoch,
		       uint64_t seq, struct slice *ret)
{
	struct slice s;
	struct unpack u;
	uint32_t len, crc;
	int rc = window_get(w, at, JOURNAL_HEAD_BYTES, &s);

	*ret = slice_of(NULL, 0);
	if (rc < 0)
		return rc;
	u = unpack_init(s);
	len = unpack_u32(&u);
	crc = unpack_u32(&u);
	if (unpack_u64(&u) != epoch || unpack_u64(&u) != seq || u.bad || len < JOURNAL_HEAD_BYTES ||
	    len > JOURNAL_RECORD_MAX)
		return 0;
	rc = window_get(w, at, len, &s);
	if (rc < 0)
		return rc;
	if (s.len == len && record_crc(j, s.data, len) == crc)
		*ret = s;
	return 0;
}

int journal_replay(const struct journal *j, int file, uint64_t from, uint64_t epoch,
		   uint64_t *next_seq, uint64_t last_seq, journal_apply *apply, void *arg,
		   uint64_t *ret_end)
{
	struct window w = { j->file[file].fd, 0, BUF_INIT };
	uint64_t at = from;
	int rc = 0;

	while (rc == 0 && *next_seq <= last_seq) {
		struct slice record;

		rc = read_record(j, &w, at, epoch, *next_seq, &record);
		if (rc < 0 || record.len == 0)
			break;
		rc = apply(arg, slice_of((const char *)record.data + JOURNAL_HEAD_BYTES,
					 record.len - JOURNAL_HEAD_BYTES));
		at += record.len;
		(*next_seq)++;
	}
	if (ret_end)
		*ret_end = at;
	buf_release(&w.bytes);
	return rc;
}
