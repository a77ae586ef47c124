/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - whole files: read, written as values, put in place together.
 *
 * Every failure is told with the file's name.  A struct file_batch holds files that belong
 * together: each is written out under a dot-name beside its place, and only when all are is any of
 * them renamed into it.
 */
#ifndef TRAINER_FILE_H
#define TRAINER_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/fail.h"

enum { FILE_BATCH_MAX = 8, FILE_VERSION_SIZE = 64 };

struct file_batch {
	size_t count;
	char *path[FILE_BATCH_MAX];
	char *temporary[FILE_BATCH_MAX]; /* NULL once it is in its place */
};

#define SCOPED_BATCH __attribute__((cleanup(file_batch_release)))

/* The bytes of PATH and a NUL, at most MAX of them; the caller frees *RET. */
MUST_CHECK int file_read(const char *path, size_t max, char **ret, size_t *ret_len);

/* The same of an open descriptor, NAME for messages. */
MUST_CHECK int file_read_fd(int fd, const char *name, size_t max, char **ret, size_t *ret_len);

/*
 * One open, write and close: what a value of labfs is.  FLAGS as of open(2), besides O_WRONLY |
 * O_CREAT.
 */
MUST_CHECK int file_put(const char *path, int flags, const char *bytes, size_t len);

/* Make a directory and what leads to it; one that is there is fine. */
MUST_CHECK int file_make_dirs(const char *path);

bool file_is_dir(const char *path);

/* The dataset version that labfs tells of PATH (user.labfs.version), false where there is none. */
bool file_version(const char *path, char ret[FILE_VERSION_SIZE]);

MUST_CHECK int file_batch_add(struct file_batch *b, const char *path, const char *bytes,
			      size_t len);
MUST_CHECK int file_batch_commit(struct file_batch *b);

/* Removes what was never committed. */
void file_batch_release(struct file_batch *b);

#endif
