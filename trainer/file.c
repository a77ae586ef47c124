/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - see file.h.
 */
#include "trainer/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "trainer/mem.h"
#include "trainer/text.h"

static int failed(const char *path, const char *verb)
{
	int errnum = errno;

	return fail(errnum, "%s: cannot %s: %s", path, verb, strerror(errnum));
}

int file_read_fd(int fd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	size_t cap = 0, len = 0;
	char *bytes = mem_grow(NULL, &cap, 64 * 1024, 1);

	for (;;) {
		bytes = mem_grow(bytes, &cap, len + 4096, 1);
		ssize_t got = read(fd, bytes + len, cap - len - 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(bytes);
			return failed(name, "read");
		}
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > max) {
			free(bytes);
			return fail(EFBIG, "%s: more than %zu bytes", name, max);
		}
	}
	bytes[len] = '\0';
	*ret = bytes;
	*ret_len = len;
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(path, "open");
	int rc = file_read_fd(fd, path, max, ret, ret_len);

	(void)close(fd);
	return rc;
}

int file_put(const char *path, int flags, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);

	if (fd < 0)
		return failed(path, "write");
	while (len > 0) {
		ssize_t took = write(fd, bytes, len);

		if (took < 0 && errno == EINTR)
			continue;
		if (took < 0) {
			int rc = failed(path, "write");

			(void)close(fd);
			return rc;
		}
		bytes += took;
		len -= (size_t)took;
	}
	return close(fd) == 0 ? 0 : failed(path, "write");
}

int file_make_dirs(const char *path)
{
	SCOPED_FREE char *partial = mem_dup(path, strlen(path));

	for (char *p = partial + 1;; p++) {
		char held = *p;

		if (held != '/' && held != '\0')
			continue;
		*p = '\0';
		if (mkdir(partial, 0777) != 0 && !file_is_dir(partial))
			return failed(partial, "make the directory");
		*p = held;
		if (held == '\0')
			return 0;
	}
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_version(const char *path, char ret[FILE_VERSION_SIZE])
{
	ssize_t len = getxattr(path, "user.labfs.version", ret, FILE_VERSION_SIZE - 1);

	if (len <= 0)
		return false;
	ret[len] = '\0';
	for (const char *p = ret; *p != '\0'; p++) {
		if (*p < 0x20 || *p >= 0x7f)
			return false;
	}
	return true;
}

int file_batch_add(struct file_batch *b, const char *path, const char *bytes, size_t len)
{
	const char *slash = strrchr(path, '/');
	int folder = slash != NULL ? (int)(slash + 1 - path) : 0;
	char *temporary =
		text_format("%.*s.%s.%ld.tmp", folder, path, path + folder, (long)getpid());

	b->path[b->count] = mem_dup(path, strlen(path));
	b->temporary[b->count++] = temporary;
	(void)unlink(temporary);
	return file_put(temporary, O_EXCL, bytes, len);
}

int file_batch_commit(struct file_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (file_is_dir(b->path[i]))
			return fail(EISDIR, "%s: is a directory", b->path[i]);
	}
	for (size_t i = 0; i < b->count; i++) {
		if (rename(b->temporary[i], b->path[i]) != 0)
			return failed(b->path[i], "put in place");
		free(b->temporary[i]);
		b->temporary[i] = NULL;
	}
	return 0;
}

void file_batch_release(struct file_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (b->temporary[i] != NULL)
			(void)unlink(b->temporary[i]);
		free(b->temporary[i]);
		free(b->path[i]);
	}
	b->count = 0;
}
