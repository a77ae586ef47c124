/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder - see folder.h.
 */
#include "trainer/folder.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/text.h"

enum { FOLDER_FILE_MAX = 512 * 1024 * 1024 };

static void scoped_fts(FTS **fts)
{
	if (*fts != NULL)
		(void)fts_close(*fts);
}

#define SCOPED_FTS __attribute__((cleanup(scoped_fts)))

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *walk(const char *path)
{
	SCOPED_FREE char *root = mem_dup(path, strlen(path));
	char *const roots[] = { root, NULL };

	return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
}

static int copy_file(const char *from, const char *to)
{
	SCOPED_BATCH struct file_batch batch = { 0 };
	SCOPED_FREE char *bytes = NULL;
	size_t len;
	int rc = file_read(from, FOLDER_FILE_MAX, &bytes, &len);

	if (rc == 0)
		rc = file_batch_add(&batch, to, bytes, len);
	if (rc == 0)
		rc = file_batch_commit(&batch);
	return rc;
}

static int copy_all(const char *from, const char *to)
{
	SCOPED_FTS FTS *fts = walk(from);
	size_t prefix = strlen(from);
	const FTSENT *e;
	int rc = 0;

	if (fts == NULL)
		return fail(errno, "%s: cannot walk: %s", from, strerror(errno));
	while (rc == 0 && (e = fts_read(fts)) != NULL) {
		SCOPED_FREE char *target = text_format("%s%s", to, e->fts_path + prefix);

		switch (e->fts_info) {
		case FTS_D: rc = file_make_dirs(target); break;
		case FTS_DP: break;
		case FTS_F: rc = copy_file(e->fts_path, target); break;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			rc = fail(e->fts_errno, "%s: cannot read: %s", e->fts_path,
				  strerror(e->fts_errno));
			break;
		default: rc = fail(EINVAL, "%s: neither a file nor a directory", e->fts_path);
		}
	}
	return rc;
}

static bool is_kept(const FTSENT *e)
{
	return e->fts_level == 0 || (e->fts_level == 1 && e->fts_name[0] == '.');
}

/* What TO has and FROM has not. */
static int remove_strays(const char *from, const char *to)
{
	SCOPED_FTS FTS *fts = walk(to);
	size_t prefix = strlen(to);
	struct stat st;
	FTSENT *e;

	if (fts == NULL)
		return fail(errno, "%s: cannot walk: %s", to, strerror(errno));
	while ((e = fts_read(fts)) != NULL) {
		SCOPED_FREE char *origin = text_format("%s%s", from, e->fts_path + prefix);
		bool dir = e->fts_info == FTS_DP;

		if (e->fts_info == FTS_D && e->fts_level > 0 && is_kept(e))
			(void)fts_set(fts, e, FTS_SKIP);
		if (e->fts_info == FTS_D || is_kept(e) || lstat(origin, &st) == 0)
			continue;
		if ((dir ? rmdir(e->fts_path) : unlink(e->fts_path)) != 0)
			return fail(errno, "%s: cannot remove: %s", e->fts_path, strerror(errno));
	}
	return 0;
}

int folder_mirror(const char *from, const char *to)
{
	int rc = copy_all(from, to);

	return rc == 0 ? remove_strays(from, to) : rc;
}

static bool same_file(const char *a, const char *b)
{
	SCOPED_FREE char *x = NULL, *y = NULL;
	size_t x_len, y_len;

	return file_read(a, FOLDER_FILE_MAX, &x, &x_len) == 0 &&
	       file_read(b, FOLDER_FILE_MAX, &y, &y_len) == 0 && x_len == y_len &&
	       memcmp(x, y, x_len) == 0;
}

/* Is every file of A in B, with the same bytes? Counts them. */
static bool contains(const char *a, const char *b, size_t *ret_count)
{
	SCOPED_FTS FTS *fts = walk(a);
	size_t prefix = strlen(a);
	const FTSENT *e;

	*ret_count = 0;
	if (fts == NULL)
		return false;
	while ((e = fts_read(fts)) != NULL) {
		SCOPED_FREE char *other = text_format("%s%s", b, e->fts_path + prefix);

		if (e->fts_info == FTS_DP)
			continue;
		++*ret_count;
		if (e->fts_info == FTS_D ? !file_is_dir(other)
					 : e->fts_info != FTS_F || !same_file(e->fts_path, other))
			return false;
	}
	return true;
}

bool folder_equal(const char *a, const char *b)
{
	size_t in_a, in_b;

	return contains(a, b, &in_a) && contains(b, a, &in_b) && in_a == in_b;
}

void folder_remove(const char *path)
{
	SCOPED_FTS FTS *fts = walk(path);
	const FTSENT *e;

	while (fts != NULL && (e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_D)
			continue;
		(void)(e->fts_info == FTS_DP ? rmdir(e->fts_path) : unlink(e->fts_path));
	}
}
