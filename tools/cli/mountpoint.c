/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint - see mountpoint.h.
 */
#include "tools/cli/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSE_SUPER 0x65735546u
#define OURS "fuse.labfs"

/* --- what is there --------------------------------------------------------------------------------- */

bool mountpoint_is_ours(const char *path, char **ret_store)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	char buffer[2 * PATH_MAX + 256];
	struct mntent entry;
	bool found = false;

	if (!mounts)
		return false;
	while (getmntent_r(mounts, &entry, buffer, sizeof(buffer))) {
		if (strcmp(entry.mnt_dir, path) != 0)
			continue;
		found = strcmp(entry.mnt_type, OURS) == 0;	/* the last one is on top */
		if (ret_store) {
			free(*ret_store);
			*ret_store = found ? strdup(entry.mnt_fsname) : NULL;
		}
	}
	endmntent(mounts);
	return found;
}

char *mountpoint_real(const char *path)
{
	char *copy = strdup(path), *slash, *dir, *real = NULL;
	size_t len;

	if (!copy)
		return NULL;
	for (len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	slash = strrchr(copy, '/');
	if (!slash)
		dir = realpath(".", NULL);
	else if (slash == copy)
		dir = strdup("");
	else {
		*slash = '\0';
		dir = realpath(copy, NULL);
	}
	if (dir && asprintf(&real, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, slash ? slash + 1 : copy) < 0)
		real = NULL;
	free(dir);
	free(copy);
	return real;
}

static bool inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int count = 0;

	while (d && (e = readdir(d)))
		count++;
	if (d)
		closedir(d);
	return count <= 2;
}

static int check_disk(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) != 0)
		return err_set(-errno, "%s: %s", path, strerror(errno));
	if ((unsigned long)fs.f_type == FUSE_SUPER)
		return err_set(-EOPNOTSUPP, "%s: lies on a FUSE filesystem; mount on a directory of a local disk", path);
	if (fs.f_type == NFS_SUPER_MAGIC)
		return err_set(-EOPNOTSUPP, "%s: lies on NFS; mount on a directory of a local disk", path);
	return 0;
}

/* --- unmounting ---------------------------------------------------------------------------------------- */

static int run_fusermount(const char *path, bool lazy)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		if (null >= 0)
			dup2(null, 2);
		execlp("fusermount3", "fusermount3", "-u", lazy ? "-qz" : "-q", "--", path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(-ENOENT, "fusermount3 is missing: install the package fuse3");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mountpoint_detach(const char *path, bool lazy)
{
	if (umount2(path, lazy ? MNT_DETACH : 0) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	return run_fusermount(path, lazy);
}

bool mountpoint_is_dead(const char *path)
{
	struct statfs fs;	/* not stat(2): the kernel may still know its attributes */

	return statfs(path, &fs) != 0 && (errno == ENOTCONN || errno == ECONNABORTED /* while this call waited */);
}

/* --- preparing ------------------------------------------------------------------------------------------- */

static int make_or_revive(const char *path)
{
	struct stat st;

	while (mountpoint_is_dead(path)) {
		int rc = mountpoint_detach(path, true);	/* lazily: a shell may stand in it */

		if (rc)
			return err_set(rc, "%s: a dead mount is there and cannot be detached: %s", path, strerror(-rc));
	}
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : err_set(-ENOTDIR, "%s: not a directory", path);
	if (errno != ENOENT)
		return err_set(-errno, "%s: %s", path, strerror(errno));
	if (mkdir(path, 0755) != 0)
		return err_set(-errno, "%s: cannot be made: %s", path, strerror(errno));
	return 0;
}

static int check_place(const char *path, const char *store)
{
	int rc;

	if (inside(path, store))
		return err_set(-EINVAL, "%s: lies inside the store %s; choose a place outside it", path, store);
	if (inside(store, path))
		return err_set(-EINVAL, "%s: would hide the store %s below itself; choose another place", path, store);
	if (mountpoint_is_ours(path, NULL))
		return err_set(-EBUSY, "%s: a labfs store is mounted there already (labfs umount %s)", path, path);
	rc = check_disk(path);
	if (rc)
		return rc;
	if (!is_empty(path))
		return err_set(-ENOTEMPTY, "%s: not empty; mount on an empty directory", path);
	if (access(path, W_OK) != 0)
		return err_set(-EACCES, "%s: no permission to mount there", path);
	return 0;
}

int mountpoint_prepare(const char *path, const char *store, char **ret)
{
	char *place = mountpoint_real(path);
	int rc;

	if (!place)
		return err_set(-ENOENT, "%s: the directory above it does not exist", path);
	rc = make_or_revive(place);
	if (rc == 0) {
		char *real = realpath(place, NULL);

		if (real) {
			free(place);
			place = real;
		}
		rc = check_place(place, store);
	}
	if (rc) {
		free(place);
		return rc;
	}
	*ret = place;
	return 0;
}

/* --- who uses it ------------------------------------------------------------------------------------------- */

static bool link_is_inside(const char *link, const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	if (len <= 0)
		return false;
	target[len] = '\0';
	return inside(target, path);
}

static bool any_fd_inside(const char *pid, const char *path)
{
	char dir[64], link[400];
	DIR *d;
	struct dirent *e;
	bool found = false;

	snprintf(dir, sizeof(dir), "/proc/%.20s/fd", pid);
	d = opendir(dir);
	while (d && !found && (e = readdir(d))) {
		snprintf(link, sizeof(link), "%s/%s", dir, e->d_name);
		found = e->d_name[0] != '.' && link_is_inside(link, path);
	}
	if (d)
		closedir(d);
	return found;
}

static bool maps_inside(const char *pid, const char *path)
{
	char name[64], line[PATH_MAX + 200];
	bool found = false;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%.20s/maps", pid);
	f = fopen(name, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		char *at = strchr(line, '/');

		if (at) {
			at[strcspn(at, "\n")] = '\0';
			found = inside(at, path);
		}
	}
	if (f)
		fclose(f);
	return found;
}

static bool process_uses(const char *pid, const char *path)
{
	static const char *const links[] = { "cwd", "root", "exe" };

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		char link[64];

		snprintf(link, sizeof(link), "/proc/%.20s/%s", pid, links[i]);
		if (link_is_inside(link, path))
			return true;
	}
	return any_fd_inside(pid, path) || maps_inside(pid, path);
}

static void add_process(const char *pid, struct buf *out)
{
	char name[64], comm[64] = "?";
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%.20s/comm", pid);
	f = fopen(name, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
	buf_addf(out, "%s%s (%s)", out->len ? ", " : "", comm, pid);
}

void mountpoint_users(const char *path, struct buf *out)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && process_uses(e->d_name, path))
			add_process(e->d_name, out);
	if (proc)
		closedir(proc);
}
