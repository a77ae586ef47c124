/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer - see layer.h.
 *
 * The table in memory knows a layer while it has a descriptor, a pin, unsynced writes or an unreported error.
 * Its lock is held for look-ups and for open(2), never for reads, writes or syncs.
 *
 * A batch that took a layer may be aborted after bytes went into the file.  Such a layer is `taken` here and yet not USED in
 * the table: a number given out once in this process is never given out again before the file was emptied.
 */
#include <pthread.h>
#include <stdio.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/tree/layer.h"

#define BUCKETS 512u

struct layer {				/* protected by layers.lk */
	struct layer *next;
	uint32_t id;
	int fd;				/* -1: not open */
	unsigned pins, syncing;
	bool dirty, taken;
	int error;			/* of a sync, until somebody was told */
	uint64_t used;			/* for the eviction of the least recently used descriptor */
};

struct layers {
	pthread_mutex_t lk;
	int dirfd;			/* immutable */
	bool dir_dirty;			/* protected by lk, as all below */
	unsigned dir_syncing, open;
	uint64_t clock;
	struct layer *bucket[BUCKETS];
};

int layers_new(int dirfd, struct layers **ret)
{
	struct layers *ls = calloc(1, sizeof *ls);

	if (!ls)
		return -ENOMEM;
	ls->dirfd = dirfd;
	ls->dir_dirty = true;		/* perhaps, by a process before this one */
	pthread_mutex_init(&ls->lk, NULL);
	*ret = ls;
	return 0;
}

void layers_free(struct layers *ls)
{
	if (!ls)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (ls->bucket[i]) {
			struct layer *l = ls->bucket[i];

			ls->bucket[i] = l->next;
			if (l->fd >= 0)
				(void)io_close(l->fd);
			free(l);
		}
	}
	pthread_mutex_destroy(&ls->lk);
	free(ls);
}

void layer_name(uint32_t id, char out[16])
{
	snprintf(out, 16, "%08x", id);
}

struct tkey layer_key(enum layer_state state, uint32_t id)
{
	struct tkey k;

	k.len = 0;
	tkey_u8(&k, (uint8_t)state);
	tkey_u32(&k, id);
	return k;
}

static struct layer *find_locked(struct layers *ls, uint32_t id)
{
	struct layer *l = ls->bucket[id % BUCKETS];

	while (l && l->id != id)
		l = l->next;
	return l;
}

static struct layer *obtain_locked(struct layers *ls, uint32_t id)
{
	struct layer *l = find_locked(ls, id);

	if (l)
		return l;
	l = calloc(1, sizeof *l);
	if (l) {
		l->id = id;
		l->fd = -1;
		l->next = ls->bucket[id % BUCKETS];
		ls->bucket[id % BUCKETS] = l;
	}
	return l;
}

static void forget_locked(struct layers *ls, struct layer *l)
{
	struct layer **at = &ls->bucket[l->id % BUCKETS];

	if (l->fd >= 0 || l->pins || l->dirty || l->syncing || l->taken || l->error)
		return;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	free(l);
}

static void close_locked(struct layers *ls, struct layer *l)
{
	if (l->fd >= 0) {
		(void)io_close(l->fd);
		l->fd = -1;
		ls->open--;
	}
}

/* Close the descriptor that was used least recently; false: all are in use. */
static bool evict_locked(struct layers *ls)
{
	struct layer *oldest = NULL;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct layer *l = ls->bucket[i]; l; l = l->next)
			if (l->fd >= 0 && !l->pins && (!oldest || l->used < oldest->used))
				oldest = l;
	if (oldest) {
		close_locked(ls, oldest);
		forget_locked(ls, oldest);
	}
	return oldest != NULL;
}

static int open_locked(struct layers *ls, struct layer *l, int flags)
{
	char name[16];
	int fd;

	l->used = ++ls->clock;
	if (l->fd >= 0)
		return 0;
	layer_name(l->id, name);
	l->pins++;			/* against eviction of this very entry */
	if (ls->open >= LAYER_FDS_MAX)
		(void)evict_locked(ls);
	do {
		fd = io_openat(ls->dirfd, name, O_RDWR | O_NOFOLLOW | flags, 0600);
	} while ((fd == -EMFILE || fd == -ENFILE) && evict_locked(ls));
	if (fd == -EROFS || fd == -EACCES)
		fd = io_openat(ls->dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	l->pins--;
	if (fd < 0)
		return fd;
	l->fd = fd;
	ls->open++;
	return 0;
}

static int pin(struct layers *ls, uint32_t id, int flags, int *ret_fd)
{
	struct layer *l;
	int rc = -ENOMEM;

	pthread_mutex_lock(&ls->lk);
	l = obtain_locked(ls, id);
	if (l) {
		rc = open_locked(ls, l, flags);
		if (!rc) {
			l->pins++;
			*ret_fd = l->fd;
		} else {
			forget_locked(ls, l);
		}
	}
	pthread_mutex_unlock(&ls->lk);
	return rc;
}

int layer_pin(struct layers *ls, uint32_t id, int *ret_fd)
{
	return pin(ls, id, 0, ret_fd);
}

void layer_unpin(struct layers *ls, uint32_t id)
{
	struct layer *l;

	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	if (l && l->pins) {
		l->pins--;
		if (ls->open > LAYER_FDS_MAX && !l->pins)
			close_locked(ls, l);
		forget_locked(ls, l);
	}
	pthread_mutex_unlock(&ls->lk);
}

bool layer_is_pinned(struct layers *ls, uint32_t id)
{
	struct layer *l;
	bool pinned;

	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	pinned = l && (l->pins || l->syncing);
	pthread_mutex_unlock(&ls->lk);
	return pinned;
}

/* Was it given out before in this process and not emptied since?  If not: it is now. */
static int take_in_memory(struct layers *ls, uint32_t id, bool create, bool *ret_soiled)
{
	struct layer *l;
	int rc = -ENOMEM;

	*ret_soiled = false;
	pthread_mutex_lock(&ls->lk);
	l = obtain_locked(ls, id);
	if (l && l->taken) {
		*ret_soiled = true;
		rc = 0;
	} else if (l) {
		rc = open_locked(ls, l, create ? O_CREAT | O_TRUNC : 0);
		if (!rc) {
			l->taken = true;
			l->dirty |= create;
			ls->dir_dirty |= create;
		} else {
			forget_locked(ls, l);
		}
	}
	pthread_mutex_unlock(&ls->lk);
	return rc;
}

static int first_free(struct trees *t, uint32_t *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey k = layer_key(LAYER_FREE, 0);
	struct slice key;
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_LAYER, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&k));
	if (rc)
		return rc;
	key = kv_cursor_key(cur);
	if (key.len != 5 || *(const uint8_t *)key.data != LAYER_FREE)
		return -ENOENT;
	*ret = tkey_get_u32((const uint8_t *)key.data + 1);
	return 0;
}

static int state_change(struct trees *t, uint32_t id, enum layer_state from, enum layer_state to, uint64_t content)
{
	struct tkey was = layer_key(from, id), k = layer_key(to, id);
	SCOPED_BUF struct buf v = BUF_INIT;
	int rc = kv_del(t->kv, TABLE_LAYER, tkey_slice(&was));

	pack_u64(&v, content);
	if (!rc)
		rc = buf_err(&v);
	return rc ? rc : kv_put(t->kv, TABLE_LAYER, tkey_slice(&k), buf_slice(&v));
}

static int totals_add(struct trees *t, int delta)
{
	struct tree_totals totals;
	int rc = tree_totals_get(kv_live(t->kv), &totals);

	if (rc)
		return rc;
	totals.layers += (uint64_t)(int64_t)delta;
	return tree_totals_put(t, &totals);
}

static int take_new(struct trees *t, uint64_t content, uint32_t *ret)
{
	struct tree_totals totals;
	SCOPED_BUF struct buf v = BUF_INIT;
	struct tkey k;
	bool soiled;
	int rc = tree_totals_get(kv_live(t->kv), &totals);

	if (rc)
		return rc;
	*ret = totals.next_layer > t->layer_next ? totals.next_layer : t->layer_next;
	if (*ret == UINT32_MAX)
		return err_set(-ENOSPC, "no numbers left for files in dirty/");
	rc = take_in_memory(t->layers, *ret, true, &soiled);
	if (rc)
		return rc;
	t->layer_next = totals.next_layer = *ret + 1;
	totals.layers++;
	k = layer_key(LAYER_USED, *ret);
	pack_u64(&v, content);
	rc = buf_err(&v);
	if (!rc)
		rc = kv_put(t->kv, TABLE_LAYER, tkey_slice(&k), buf_slice(&v));
	return rc ? rc : tree_totals_put(t, &totals);
}

int layer_take(struct trees *t, uint64_t content, uint32_t *ret)
{
	for (unsigned tries = 0; tries < LAYER_POOL; tries++) {
		bool soiled = false;
		int rc = first_free(t, ret);

		if (rc == -ENOENT)
			break;
		if (!rc)
			rc = take_in_memory(t->layers, *ret, false, &soiled);
		if (!rc && !soiled) {
			rc = state_change(t, *ret, LAYER_FREE, LAYER_USED, content);
			return rc ? rc : totals_add(t, 1);
		}
		if (!rc || rc == -ENOENT)	/* not empty for sure, or its file is gone */
			rc = state_change(t, *ret, LAYER_FREE, LAYER_DROPPED, 0);
		if (rc)
			return rc;
	}
	return take_new(t, content, ret);
}

int layer_drop(struct trees *t, uint32_t id)
{
	int rc = state_change(t, id, LAYER_USED, LAYER_DROPPED, 0);

	if (rc == -ENOENT)
		return err_set(-EBADMSG, "layer %08x: no row", id);
	return rc ? rc : totals_add(t, -1);
}

int layer_recreate(struct layers *ls, uint32_t id)
{
	bool soiled;

	return take_in_memory(ls, id, true, &soiled);
}

int layer_pwritev(struct layers *ls, uint32_t id, struct iovec *iov, int count, uint64_t off)
{
	int fd, rc = layer_pin(ls, id, &fd);

	if (rc)
		return rc;
	layer_mark_dirty(ls, id);
	rc = io_pwritev_full(fd, iov, count, (off_t)off);
	layer_unpin(ls, id);
	return rc;
}

int layer_pread(struct layers *ls, uint32_t id, uint64_t off, void *out, size_t len)
{
	ssize_t got;
	int fd, rc = layer_pin(ls, id, &fd);

	if (rc)
		return rc == -ENOENT ? err_set(-EIO, "dirty/%08x is missing", id) : rc;
	got = io_pread_full(fd, out, len, (off_t)off);
	layer_unpin(ls, id);
	if (got >= 0 && (size_t)got < len)
		return err_set(-EIO, "dirty/%08x is shorter than it should be", id);
	return got < 0 ? (int)got : 0;
}

void layer_mark_dirty(struct layers *ls, uint32_t id)
{
	struct layer *l;

	pthread_mutex_lock(&ls->lk);
	l = obtain_locked(ls, id);
	if (l)
		l->dirty = true;
	pthread_mutex_unlock(&ls->lk);
}

int layer_empty(struct layers *ls, uint32_t id, bool keep)
{
	struct layer *l;
	char name[16];
	int fd = -1, rc = 0;

	layer_name(id, name);
	if (keep) {
		rc = layer_pin(ls, id, &fd);
		if (!rc) {
			rc = io_ftruncate(fd, 0);
			if (!rc)
				rc = io_fsync(fd);
			layer_unpin(ls, id);
		}
	} else {
		rc = io_unlinkat(ls->dirfd, name, 0);
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (rc)
		return rc;
	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	if (l) {
		l->dirty = l->taken = false;
		l->error = 0;
		if (!keep && !l->pins)
			close_locked(ls, l);
		forget_locked(ls, l);
	}
	pthread_mutex_unlock(&ls->lk);
	return 0;
}

bool layer_sync_begin(struct layers *ls, uint32_t id)
{
	struct layer *l;
	bool todo;

	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	todo = l && (l->dirty || l->syncing || l->error);
	if (todo) {
		l->syncing++;
		l->dirty = false;
	}
	pthread_mutex_unlock(&ls->lk);
	return todo;
}

int layer_each_dirty(struct layers *ls, int (*each)(void *arg, uint32_t id), void *arg)
{
	SCOPED_BUF struct buf ids = BUF_INIT;
	int rc;

	pthread_mutex_lock(&ls->lk);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct layer *l = ls->bucket[i]; l; l = l->next)
			if (l->dirty || l->syncing || l->error)
				buf_add(&ids, &l->id, sizeof l->id);
	pthread_mutex_unlock(&ls->lk);
	rc = buf_err(&ids);
	for (size_t at = 0; !rc && at < ids.len; at += sizeof(uint32_t)) {
		uint32_t id;

		memcpy(&id, ids.data + at, sizeof id);
		rc = each(arg, id);
	}
	return rc;
}

int layer_sync(struct layers *ls, uint32_t id)
{
	struct layer *l;
	int fd, rc = layer_pin(ls, id, &fd);

	if (rc == -ENOENT)		/* dropped and removed meanwhile: nobody wants its bytes */
		return 0;
	if (!rc) {
		rc = io_fdatasync(fd);
		layer_unpin(ls, id);
	}
	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	if (l && rc)
		l->error = rc;		/* others who wait for the same layer must hear of it, too */
	else if (l && l->error)
		rc = l->error;
	pthread_mutex_unlock(&ls->lk);
	return rc;
}

void layer_sync_end(struct layers *ls, uint32_t id, bool ok)
{
	struct layer *l;

	pthread_mutex_lock(&ls->lk);
	l = find_locked(ls, id);
	if (l && l->syncing) {
		l->syncing--;
		l->dirty |= !ok;
		if (!l->syncing)
			l->error = 0;	/* everybody who waited was told */
		forget_locked(ls, l);
	}
	pthread_mutex_unlock(&ls->lk);
}

bool layer_dir_sync_begin(struct layers *ls)
{
	bool todo;

	pthread_mutex_lock(&ls->lk);
	todo = ls->dir_dirty || ls->dir_syncing;
	if (todo) {
		ls->dir_dirty = false;
		ls->dir_syncing++;
	}
	pthread_mutex_unlock(&ls->lk);
	return todo;
}

void layer_dir_sync_end(struct layers *ls, bool ok)
{
	pthread_mutex_lock(&ls->lk);
	ls->dir_syncing--;
	ls->dir_dirty |= !ok;
	pthread_mutex_unlock(&ls->lk);
}

int layer_dir_sync(struct layers *ls)
{
	return io_fsync(ls->dirfd);
}
