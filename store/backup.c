/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup - a store as one tar stream, and back.  The stream is an ordinary pax archive (libarchive writes and reads it):
 *
 *	version		as in the store
 *	kv/...		a compact copy of the engine, complete by itself
 *	segments/...	the chunks; the newest segment may be longer than the engine's copy knows: opening cuts it
 *	dirty/...	layers of files not yet sealed
 *	end		empty; an archive without it was cut short
 *
 * Consistency: the engine is copied first, from SNAPSHOT's time or later; while the snapshot is open nothing that
 * it names is punched or re-used (cas.h, tree.h).
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/io.h"
#include "store/store_internal.h"

#define PIECE 65536u
#define END "end"		/* the last member */

struct backup {
	struct archive *out;
	int (*write)(void *arg, struct slice bytes);
	void *arg;
	int rc;				/* what WRITE answered */
	int dirfd;			/* of the directory that is being added */
	const char *prefix;
};

static la_ssize_t pass_on(struct archive *a, void *arg, const void *data, size_t len)
{
	struct backup *b = arg;

	b->rc = b->write(b->arg, slice_of(data, len));
	if (b->rc < 0) {
		archive_set_error(a, -b->rc, "writing");
		return -1;
	}
	return (la_ssize_t)len;
}

static int archive_rc(struct backup *b)
{
	if (b->rc < 0)
		return b->rc;
	return err_set(-EIO, "backup: %s", archive_error_string(b->out));
}

static int copy_bytes(struct backup *b, int fd, uint64_t size)
{
	static _Thread_local char piece[PIECE];

	for (uint64_t off = 0; off < size;) {
		size_t want = size - off < PIECE ? (size_t)(size - off) : PIECE;
		ssize_t got = io_pread_full(fd, piece, want, (off_t)off);

		if (got < 0)
			return (int)got;
		memset(piece + got, 0, want - (size_t)got);	/* it became shorter meanwhile */
		if (archive_write_data(b->out, piece, want) < 0)
			return archive_rc(b);
		off += want;
	}
	return 0;
}

static int add_header(struct backup *b, const char *name, const struct stat *st)
{
	struct archive_entry *entry = archive_entry_new();
	char path[300];
	int rc;

	if (!entry)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s%s", b->prefix, name);
	archive_entry_set_pathname(entry, path);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_mtime(entry, st->st_mtime, 0);
	archive_entry_set_size(entry, st->st_size);
	rc = archive_write_header(b->out, entry) == ARCHIVE_OK ? 0 : archive_rc(b);
	archive_entry_free(entry);
	return rc;
}

static int add_file(struct backup *b, const char *name)
{
	SCOPED_FD int fd = io_openat(b->dirfd, name, O_RDONLY, 0);
	struct stat st;
	int rc;

	if (fd == -ENOENT)
		return 0;		/* a layer that went meanwhile: the copy does not name it */
	rc = fd < 0 ? fd : io_fstat(fd, &st);
	if (rc || !S_ISREG(st.st_mode))
		return rc;
	rc = add_header(b, name, &st);
	return rc ? rc : copy_bytes(b, fd, (uint64_t)st.st_size);
}

static int add_name(void *arg, const char *name)
{
	struct backup *b = arg;

	return strcmp(name, "meta.mdb-lock") == 0 ? 0 : add_file(b, name);
}

static int add_directory(struct backup *b, int parent, const char *name, const char *prefix)
{
	SCOPED_FD int fd = io_openat(parent, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	b->dirfd = fd;
	b->prefix = prefix;
	return io_each_name(fd, add_name, b);
}

static int add_engine(struct backup *b, struct store *s)
{
	char temp[64];
	SCOPED_FD int fd = -1;
	int rc;

	snprintf(temp, sizeof(temp), STORE_BACKUP_PREFIX "%ld", (long)gettid());
	rc = io_mkdirat(s->dirfd, temp, 0700);
	if (rc)
		return rc;
	fd = io_openat(s->dirfd, temp, O_RDONLY | O_DIRECTORY, 0);
	rc = fd < 0 ? fd : kv_copy(s->kv, fd);
	if (rc == 0)
		rc = add_directory(b, s->dirfd, temp, STORE_KV_DIR "/");
	(void)!store_remove_engine(s->dirfd, temp);
	return rc;
}

static int add_all(struct backup *b, struct store *s)
{
	int rc;

	b->dirfd = s->dirfd;
	b->prefix = "";
	rc = add_file(b, STORE_VERSION_FILE);
	if (rc == 0)
		rc = add_engine(b, s);
	if (rc == 0)
		rc = add_directory(b, s->dirfd, STORE_SEGMENTS_DIR, STORE_SEGMENTS_DIR "/");
	if (rc == 0)
		rc = add_directory(b, s->dirfd, STORE_DIRTY_DIR, STORE_DIRTY_DIR "/");
	b->prefix = "";
	return rc ? rc : add_header(b, END, &(struct stat){ .st_size = 0 });
}

int store_backup(struct store *s, struct kv_view *snapshot, int (*write)(void *arg, struct slice bytes), void *arg)
{
	struct backup b = { .write = write, .arg = arg };
	int rc = 0;

	(void)snapshot;			/* held open by the caller */
	b.out = archive_write_new();
	if (!b.out)
		return -ENOMEM;
	if (archive_write_set_format_pax_restricted(b.out) != ARCHIVE_OK ||
	    archive_write_open(b.out, &b, NULL, pass_on, NULL) != ARCHIVE_OK)
		rc = archive_rc(&b);
	if (rc == 0)
		rc = add_all(&b, s);
	if (rc == 0 && archive_write_close(b.out) != ARCHIVE_OK)
		rc = archive_rc(&b);
	archive_write_free(b.out);
	return rc;
}

/* --- restoring ------------------------------------------------------------------------------------------- */

/* Only what a backup of ours holds: "version", or one of three directories and a plain name in it. */
static bool name_is_ours(const char *path)
{
	static const char *const dirs[] = { STORE_KV_DIR "/", STORE_SEGMENTS_DIR "/", STORE_DIRTY_DIR "/" };

	if (strcmp(path, STORE_VERSION_FILE) == 0)
		return true;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		size_t len = strlen(dirs[i]);

		if (strncmp(path, dirs[i], len) == 0)
			return path[len] != '\0' && path[len] != '.' && !strchr(path + len, '/');
	}
	return false;
}

static int extract_file(struct archive *in, int dirfd, const char *path)
{
	SCOPED_FD int fd = io_openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	const void *data;
	size_t len;
	la_int64_t off;
	int rc;

	if (fd < 0)
		return fd;
	while ((rc = archive_read_data_block(in, &data, &len, &off)) == ARCHIVE_OK) {
		rc = io_pwrite_full(fd, data, len, off);
		if (rc)
			return rc;
	}
	if (rc != ARCHIVE_EOF)
		return err_set(-EBADMSG, "the backup is damaged: %s", archive_error_string(in));
	return io_fsync(fd);
}

static int extract_all(struct archive *in, int dirfd)
{
	struct archive_entry *entry;
	bool whole = false;
	int rc;

	while ((rc = archive_read_next_header(in, &entry)) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(entry);

		whole = path && strcmp(path, END) == 0;
		if (whole)
			continue;
		if (!path || !name_is_ours(path) || archive_entry_filetype(entry) != AE_IFREG)
			return err_set(-EBADMSG, "not a backup of a labfs store (it holds '%s')", path ? path : "?");
		rc = extract_file(in, dirfd, path);
		if (rc)
			return rc;
	}
	if (rc != ARCHIVE_EOF)
		return err_set(-EBADMSG, "not a backup of a labfs store: %s", archive_error_string(in));
	return whole ? 0 : err_set(-EBADMSG, "the backup is cut short: it does not end in '%s'", END);
}

struct restore {
	struct archive *in;
};

static int fill_restored(void *arg, int dirfd)
{
	static const char *const dirs[] = { STORE_KV_DIR, STORE_SEGMENTS_DIR, STORE_DIRTY_DIR };
	struct restore *r = arg;
	struct stat st;
	bool read_only;
	int rc = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && rc == 0; i++)
		rc = io_mkdirat(dirfd, dirs[i], 0700);
	if (rc == 0)
		rc = extract_all(r->in, dirfd);
	if (rc == 0 && io_fstatat(dirfd, STORE_VERSION_FILE, &st, 0) != 0)
		rc = err_set(-EBADMSG, "not a backup of a labfs store: it has no file '%s'", STORE_VERSION_FILE);
	if (rc == 0)
		rc = store_version_check(dirfd, "the backup", &read_only);
	if (rc == 0)
		rc = store_gitignore_write(dirfd);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && rc == 0; i++) {
		SCOPED_FD int fd = io_openat(dirfd, dirs[i], O_RDONLY | O_DIRECTORY, 0);

		rc = fd < 0 ? fd : io_fsync(fd);
	}
	return rc;
}

int store_restore(const char *path, int fd, bool allow_remote, char ret_remote[32])
{
	struct restore r = { .in = archive_read_new() };
	int rc;

	err_clear();
	if (!r.in)
		return -ENOMEM;
	archive_read_support_format_tar(r.in);
	if (archive_read_open_fd(r.in, fd, PIECE) != ARCHIVE_OK)
		rc = err_set(-EBADMSG, "not a backup of a labfs store: %s", archive_error_string(r.in));
	else
		rc = store_build(path, allow_remote, ret_remote, fill_restored, &r);
	archive_read_free(r.in);
	return rc;
}
