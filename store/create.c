/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create - a new store: built under a temporary name beside its place and renamed, so that no half-made one is ever seen;
 * and finding the store that a command means.
 */
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/base/io.h"
#include "store/store_internal.h"

#define CIFS_SUPER 0xFF534D42u
#define SMB2_SUPER 0xFE534D42u
#define FUSE_SUPER 0x65735546u

/* --- the version file ------------------------------------------------------------------------------- */

int store_version_write(int dirfd)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	SCOPED_FD int fd = io_openat(dirfd, STORE_VERSION_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int rc;

	if (fd < 0)
		return fd;
	buf_addf(&text, "labfs-store %u\ncompat %08x\nro_compat %08x\nincompat %08x\n", STORE_FORMAT, STORE_COMPAT, STORE_RO_COMPAT,
		 STORE_INCOMPAT);
	rc = buf_err(&text);
	if (rc == 0)
		rc = io_write_full(fd, text.data, text.len);
	return rc ? rc : io_fsync(fd);
}

int store_version_check(int dirfd, const char *path, bool *ret_read_only)
{
	unsigned format, compat, ro_compat, incompat;
	char text[256];
	ssize_t len;
	SCOPED_FD int fd = io_openat(dirfd, STORE_VERSION_FILE, O_RDONLY, 0);

	*ret_read_only = false;
	if (fd == -ENOENT)
		return err_set(-ENOENT, "%s: not a labfs store (it has no file '%s'; labfs init makes a store)", path,
			       STORE_VERSION_FILE);
	if (fd < 0)
		return err_set(fd, "%s/%s: %s", path, STORE_VERSION_FILE, strerror(-fd));
	len = io_read_full(fd, text, sizeof(text) - 1);
	if (len < 0)
		return (int)len;
	text[len] = '\0';
	if (sscanf(text, "labfs-store %u", &format) != 1)
		return err_set(-EBADMSG, "%s/%s: not the version file of a labfs store", path, STORE_VERSION_FILE);
	if (format > STORE_FORMAT)
		return err_set(-ENOTSUP, "%s: made by a newer labfs: it has format %u, this program knows up to %u; use a newer labfs",
			       path, format, STORE_FORMAT);
	if (sscanf(text, "labfs-store %u\ncompat %x\nro_compat %x\nincompat %x\n", &format, &compat, &ro_compat, &incompat) != 4)
		return err_set(-EBADMSG, "%s/%s: damaged", path, STORE_VERSION_FILE);
	if (incompat & ~STORE_INCOMPAT)
		return err_set(-ENOTSUP, "%s: uses features of a newer labfs (incompat %08x); use a newer labfs", path,
			       incompat & ~STORE_INCOMPAT);
	*ret_read_only = (ro_compat & ~STORE_RO_COMPAT) != 0;
	return 0;
}

/* --- where ------------------------------------------------------------------------------------------- */

static const char *remote_type(unsigned long type)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} types[] = {
		{ FUSE_SUPER, "FUSE" }, { NFS_SUPER_MAGIC, "NFS" }, { CIFS_SUPER, "CIFS" },
		{ SMB2_SUPER, "CIFS" }, { SMB_SUPER_MAGIC, "CIFS" }, { V9FS_MAGIC, "9p" },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((types[i].magic & 0xffffffffu) == (type & 0xffffffffu))
			return types[i].name;
	return NULL;
}

/* The directory that PATH shall be made in, and its last component. */
static int split(const char *path, char **ret_dir, char **ret_name)
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	*ret_name = slash ? strndup(slash + 1, len - (size_t)(slash + 1 - path)) : strndup(path, len);
	if (!slash)
		*ret_dir = strdup(".");
	else
		*ret_dir = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	return *ret_dir && *ret_name ? 0 : -ENOMEM;
}

static int any_name(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

/* Is there something at NAME that a new store must not replace? */
static int check_place(int parent, const char *name, const char *path)
{
	struct stat st;
	SCOPED_FD int fd = -1;
	int rc = io_fstatat(parent, name, &st, 0);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return err_set(rc, "%s: %s", path, strerror(-rc));
	if (!S_ISDIR(st.st_mode))
		return err_set(-ENOTDIR, "%s: exists and is not a directory", path);
	fd = io_openat(parent, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(fd, "%s: %s", path, strerror(-fd));
	if (io_fstatat(fd, STORE_VERSION_FILE, &st, 0) == 0)
		return err_set(-EEXIST, "%s: is a store already", path);
	rc = io_each_name(fd, any_name, NULL);
	if (rc > 0)
		return err_set(-ENOTEMPTY, "%s: not empty and no labfs store; choose another directory", path);
	return rc;
}

static int check_disk(int parent, const char *path, bool allow_remote, char ret_remote[32])
{
	struct statfs fs;
	const char *type;

	ret_remote[0] = '\0';
	if (fstatfs(parent, &fs) != 0)
		return -errno;
	type = remote_type((unsigned long)fs.f_type);
	if (!type)
		return 0;
	snprintf(ret_remote, 32, "%s", type);
	if (allow_remote)
		return 0;
	return err_set(-EOPNOTSUPP,
		       "%s: on a %s filesystem, where a store can be damaged; choose a directory on a local disk (or --allow-remote)",
		       path, type);
}

/* --- building ------------------------------------------------------------------------------------------ */

struct doomed {
	int dirfd;
	int depth;
};

static int remove_tree_at(int dirfd, const char *name, int depth);

static int remove_name(void *arg, const char *name)
{
	struct doomed *d = arg;

	return remove_tree_at(d->dirfd, name, d->depth);
}

/* Ours are at most two directories deep. */
static int remove_tree_at(int dirfd, const char *name, int depth)
{
	int rc = io_unlinkat(dirfd, name, 0);

	if (rc == -EISDIR && depth > 0) {
		SCOPED_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
		struct doomed d = { fd, depth - 1 };

		if (fd >= 0 && io_each_name(fd, remove_name, &d) == 0)
			rc = io_unlinkat(dirfd, name, AT_REMOVEDIR);
	}
	return rc;
}

int store_gitignore_write(int dirfd)
{
	SCOPED_FD int fd = io_openat(dirfd, ".gitignore", O_WRONLY | O_CREAT | O_EXCL, 0600);
	int rc = fd < 0 ? fd : io_write_full(fd, "*\n", 2);

	return rc ? rc : io_fsync(fd);
}

static int build_in(int parent, const char *temp, int (*fill)(void *arg, int dirfd), void *arg)
{
	SCOPED_FD int dirfd = -1;
	int rc = io_mkdirat(parent, temp, 0700);

	if (rc)
		return rc;
	dirfd = io_openat(parent, temp, O_RDONLY | O_DIRECTORY, 0);
	if (dirfd < 0)
		return dirfd;
	rc = io_fchmod(dirfd, 0700);
	if (rc == 0)
		rc = fill(arg, dirfd);
	return rc ? rc : io_fsync(dirfd);
}

int store_build(const char *path, bool allow_remote, char ret_remote[32], int (*fill)(void *arg, int dirfd), void *arg)
{
	char *dir = NULL, *name = NULL, temp[64];
	SCOPED_FD int parent = -1;
	int rc = split(path, &dir, &name);

	if (rc)
		goto out;
	parent = io_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0) {
		rc = err_set(parent, "%s: %s: %s", path, dir, strerror(-parent));
		goto out;
	}
	rc = check_place(parent, name, path);
	if (rc == 0)
		rc = check_disk(parent, path, allow_remote, ret_remote);
	if (rc)
		goto out;
	snprintf(temp, sizeof(temp), ".labfs-new.%ld", (long)getpid());
	rc = build_in(parent, temp, fill, arg);
	if (rc == 0) {
		rc = io_unlinkat(parent, name, AT_REMOVEDIR);	/* an empty directory of that name */
		if (rc == 0 || rc == -ENOENT)
			rc = io_renameat(parent, temp, parent, name, RENAME_NOREPLACE);
	}
	if (rc == 0)
		rc = io_fsync(parent);
	else
		(void)!remove_tree_at(parent, temp, 2);
	if (rc && err_reason()[0] == '\0')
		rc = err_set(rc, "%s: cannot make a store: %s", path, strerror(-rc));
out:
	free(dir);
	free(name);
	return rc;
}

static int make_engine(int dirfd)
{
	SCOPED_FD int kv_dirfd = -1;
	struct kv *kv = NULL;
	int rc = io_mkdirat(dirfd, STORE_KV_DIR, 0700);

	if (rc)
		return rc;
	kv_dirfd = io_openat(dirfd, STORE_KV_DIR, O_RDONLY | O_DIRECTORY, 0);
	if (kv_dirfd < 0)
		return kv_dirfd;
	rc = kv_create(kv_dirfd);
	if (rc == 0)
		rc = kv_open(kv_dirfd, &(struct kv_options){ .read_only = false }, &kv);
	if (rc)
		return rc;
	rc = kv_begin(kv);
	if (rc == 0) {
		rc = meta_create(kv);
		if (rc)
			kv_abort(kv);
		else
			rc = kv_commit(kv, NULL);
	}
	if (rc) {
		kv_close(kv);
		return rc;
	}
	return kv_close(kv);
}

static int fill_new(void *arg, int dirfd)
{
	int rc;

	(void)arg;
	rc = make_engine(dirfd);
	if (rc == 0)
		rc = cas_create(dirfd);
	if (rc == 0)
		rc = trees_create(dirfd);
	if (rc == 0)
		rc = store_gitignore_write(dirfd);
	return rc ? rc : store_version_write(dirfd);
}

int store_create(const char *path, bool allow_remote, char ret_remote[32])
{
	err_clear();
	return store_build(path, allow_remote, ret_remote, fill_new, NULL);
}

/* --- finding --------------------------------------------------------------------------------------------- */

/* The path that the file `store` of a mount's own /.labfs gives. */
static int read_served(const char *dir, char **ret)
{
	char path[PATH_MAX], text[PATH_MAX];
	ssize_t len;
	SCOPED_FD int fd = -1;

	if (snprintf(path, sizeof(path), "%s/.labfs/store", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	len = io_read_full(fd, text, sizeof(text) - 1);
	if (len <= 1 || text[0] != '/')
		return -ENOENT;
	text[len - (text[len - 1] == '\n')] = '\0';
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int store_find(const char *start, char **ret_path)
{
	char *dir = realpath(start ? start : ".", NULL);
	int rc = dir ? -ENOENT : -errno;

	while (dir && rc == -ENOENT) {
		SCOPED_BUF struct buf path = BUF_INIT;
		struct statfs fs;
		struct stat st;
		char *slash;

		buf_addf(&path, "%s/.labfs/" STORE_VERSION_FILE, strcmp(dir, "/") == 0 ? "" : dir);
		if (buf_err(&path))
			rc = -ENOMEM;
		else if (statfs(dir, &fs) == 0 && (unsigned long)fs.f_type == FUSE_SUPER && read_served(dir, ret_path) == 0)
			rc = 0;
		else if (io_fstatat(AT_FDCWD, path.data, &st, 0) == 0) {
			path.data[path.len - strlen("/" STORE_VERSION_FILE)] = '\0';
			*ret_path = strdup(path.data);
			rc = *ret_path ? 0 : -ENOMEM;
		}
		slash = strrchr(dir, '/');
		if (rc != -ENOENT || strcmp(dir, "/") == 0)
			break;
		slash[slash == dir] = '\0';
	}
	free(dir);
	if (rc == -ENOENT)
		err_set(rc, "no .labfs here or in any directory above (labfs init makes one; or --store, or LABFS_STORE)");
	return rc;
}
