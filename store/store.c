/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - opening, closing and the space of a store; see store.h.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/lock.h"
#include "store/store_internal.h"

#define SYS_SCRATCH "scratch.tree"
#define SPACE_MEASURE_MS 1000	/* the files are looked at again after this long */

/* --- opening --------------------------------------------------------------------------------------- */

int store_open_layers(struct store *s)
{
	int rc = kv_open(s->kv_dirfd, &s->kv_options, &s->kv);

	if (rc)
		return rc;
	kv_use_reserve(s->kv, true);	/* a store on a full disk must open, or nothing could be removed */
	rc = cas_open(s->kv, s->dirfd, &s->cas);
	if (rc == 0)
		rc = trees_open(s->kv, s->cas, s->dirfd, &s->trees);
	if (rc == 0)
		rc = meta_open(s->kv, s->cas, s->trees, &s->meta);
	kv_use_reserve(s->kv, false);
	if (rc)
		store_close_layers(s);
	return rc;
}

int store_close_layers(struct store *s)
{
	int rc;

	meta_close(s->meta);
	trees_close(s->trees);
	cas_close(s->cas);
	rc = kv_close(s->kv);
	s->meta = NULL;
	s->trees = NULL;
	s->cas = NULL;
	s->kv = NULL;
	return rc;
}

static void store_free(struct store *s)
{
	if (s->kv_dirfd >= 0)
		io_close(s->kv_dirfd);
	if (s->lock_fd >= 0)
		io_close(s->lock_fd);
	if (s->dirfd >= 0)
		io_close(s->dirfd);
	free(s->path);
	free(s);
}

static int open_directories(struct store *s, const char *path, const struct store_options *options)
{
	bool read_only = false;
	int rc;

	s->path = realpath(path, NULL);
	if (!s->path)
		return err_set(-errno, "%s: no store there (labfs init makes one)", path);
	s->dirfd = io_openat(AT_FDCWD, s->path, O_RDONLY | O_DIRECTORY, 0);
	if (s->dirfd < 0)
		return err_set(s->dirfd, "%s: cannot be opened: %s", path, strerror(-s->dirfd));
	rc = store_version_check(s->dirfd, path, &read_only);
	if (rc)
		return rc;
	s->read_only = options->read_only || read_only;
	rc = lock_take(s->dirfd, options->wait_ms, options->what, options->mountpoint, options->ret_owner, &s->lock_fd);
	if (rc == -EROFS && options->read_only)
		rc = 0;		/* nobody can own what nobody can write */
	if (rc)
		return rc;
	s->kv_dirfd = io_openat(s->dirfd, STORE_KV_DIR, O_RDONLY | O_DIRECTORY, 0);
	if (s->kv_dirfd == -ENOENT)
		return err_set(-EBADMSG, "%s: damaged: its directory %s is missing", path, STORE_KV_DIR);
	return s->kv_dirfd < 0 ? s->kv_dirfd : 0;
}

/* What a crash left of a backup or a compaction; the lock is ours. */
static int remove_leftover(void *arg, const char *name)
{
	struct store *s = arg;
	bool ours = strcmp(name, STORE_KV_NEW) == 0 || strncmp(name, STORE_BACKUP_PREFIX, strlen(STORE_BACKUP_PREFIX)) == 0;
	int rc = ours ? store_remove_engine(s->dirfd, name) : 0;

	if (rc)
		log_warn("%s/%s, left by a crash, cannot be removed: %s", s->path, name, strerror(-rc));
	return 0;
}

int store_open(const char *path, const struct store_options *options, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->dirfd = s->kv_dirfd = s->lock_fd = -1;
	rc = open_directories(s, path, options);
	s->kv_options = (struct kv_options){
		.read_only = s->read_only,
		.wake = options->wake,
		.wake_arg = options->wake_arg,
	};
	if (rc == 0 && !s->read_only)
		rc = io_each_name(s->dirfd, remove_leftover, s);
	if (rc == 0)
		rc = store_open_layers(s);
	if (rc) {
		store_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* The bytes of layers: what the last checkpoint speaks of must be there. */
static int sync_layers(struct store *s)
{
	struct tree_sync *sync;
	int rc = tree_sync_begin(s->trees, 0, 0, &sync);

	if (rc == 0) {
		rc = tree_sync_wait(sync);
		tree_sync_free(sync);
	}
	return rc;
}

int store_close(struct store *s)
{
	int rc = 0, close_rc;

	if (!s)
		return 0;
	if (!s->read_only && s->kv) {	/* not open: a compaction failed */
		rc = entry_settle(s->meta, 0);
		close_rc = sync_layers(s);
		rc = rc ? rc : close_rc;
	}
	close_rc = store_close_layers(s);
	store_free(s);
	return rc ? rc : close_rc;
}

int store_owner(const char *path, struct store_owner *ret)
{
	SCOPED_FD int dirfd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);

	return dirfd < 0 ? dirfd : lock_owner(dirfd, ret);
}

/* --- what it consists of ------------------------------------------------------------------------------ */

struct kv *store_kv(struct store *s)
{
	return s->kv;
}

struct cas *store_cas(struct store *s)
{
	return s->cas;
}

struct trees *store_trees(struct store *s)
{
	return s->trees;
}

struct meta *store_meta(struct store *s)
{
	return s->meta;
}

const char *store_path(const struct store *s)
{
	return s->path;
}

int store_dirfd(const struct store *s)
{
	return s->dirfd;
}

int store_scratch_tree(struct store *s, bool make, uint32_t *ret_tree)
{
	SCOPED_BUF struct buf row = BUF_INIT;
	struct slice value;
	struct unpack u;
	int rc = kv_get(kv_live(s->kv), TABLE_SYS, slice_str(SYS_SCRATCH), &value);

	if (rc == 0) {
		u = unpack_init(value);
		*ret_tree = unpack_u32(&u);
		return unpack_done(&u);
	}
	if (rc != -ENOENT || !make)
		return rc;
	rc = tree_new(s->trees, TREE_OWNER_SCRATCH, 0, S_IFDIR | 0700, geteuid(), getegid(), ret_tree);
	if (rc)
		return rc;
	pack_u32(&row, *ret_tree);
	rc = buf_err(&row);
	return rc ? rc : kv_put(s->kv, TABLE_SYS, slice_str(SYS_SCRATCH), buf_slice(&row));
}

/* --- space ----------------------------------------------------------------------------------------------- */

struct blocks {
	int dirfd;
	uint64_t bytes;
};

static int add_blocks(void *arg, const char *name)
{
	struct blocks *b = arg;
	struct stat st;

	if (io_fstatat(b->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		b->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static int measure(struct store *s, uint64_t *ret)
{
	static const char *const dirs[] = { ".", STORE_KV_DIR, STORE_SEGMENTS_DIR, STORE_DIRTY_DIR };
	struct blocks b = { .bytes = 0 };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		SCOPED_FD int fd = io_openat(s->dirfd, dirs[i], O_RDONLY | O_DIRECTORY, 0);
		int rc;

		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		b.dirfd = fd;
		rc = io_each_name(fd, add_blocks, &b);
		if (rc)
			return rc;
	}
	*ret = b.bytes;
	return 0;
}

static int used_bytes(struct store *s)
{
	int64_t now = clock_mono_ms();
	int rc;

	if (s->used_at_ms && now - s->used_at_ms < SPACE_MEASURE_MS)
		return 0;
	rc = measure(s, &s->used_bytes);
	if (rc == 0)
		s->used_at_ms = now;
	return rc;
}

static int space_of(struct store *s, uint64_t used, struct store_space *ret)
{
	struct statvfs vfs;
	int rc = io_fstatvfs(s->dirfd, &vfs);

	if (rc)
		return rc;
	*ret = (struct store_space){
		.used = used,
		.limit = s->limit,
		.disk_total = (uint64_t)vfs.f_blocks * vfs.f_frsize,
		.disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize,
	};
	return 0;
}

int store_space(struct store *s, struct store_space *ret)
{
	int rc = used_bytes(s);

	return rc ? rc : space_of(s, s->used_bytes, ret);
}

int store_space_now(struct store *s, struct store_space *ret)
{
	s->used_at_ms = 0;
	return store_space(s, ret);
}

void store_set_limit(struct store *s, uint64_t bytes)
{
	s->limit = bytes;
}

int store_admit(struct store *s, uint64_t bytes)
{
	int rc;

	if (s->limit == 0)
		return 0;
	rc = used_bytes(s);
	if (rc)
		return rc;
	if (s->used_bytes + bytes > s->limit)
		return err_set(-EDQUOT, "the store has reached its limit of %llu bytes (mount option size=)",
			       (unsigned long long)s->limit);
	s->used_bytes += bytes;
	return 0;
}
