/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release - see release.h.
 */
#include "trainer/release.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/file.h"
#include "trainer/folder.h"
#include "trainer/mem.h"
#include "trainer/number.h"
#include "trainer/text.h"

/* The number of "NAME@vN", or of "vN" alone; 0 for anything else. */
static int64_t version_number(const char *name, const char *text)
{
	size_t len = strlen(name);
	int64_t number;

	if (strncmp(text, name, len) == 0 && text[len] == '@')
		text += len + 1;
	if (text[0] != 'v' || text[1] == '0' ||
	    !number_parse_int(text + 1, 1, INT64_MAX / 2, &number))
		return 0;
	return number;
}

static int64_t newest_version(const char *models, const char *name)
{
	size_t len = strlen(name);
	int64_t newest = 0;
	DIR *d = opendir(models);
	const struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (strncmp(entry->d_name, name, len) != 0 || entry->d_name[len] != '@')
			continue;
		int64_t number = version_number(name, entry->d_name);

		newest = number > newest ? number : newest;
	}
	if (d != NULL)
		(void)closedir(d);
	return newest;
}

static void set_version(const char *name, int64_t number, char *ret)
{
	(void)snprintf(ret, RELEASE_NAME_SIZE, "%s@v%lld", name, (long long)number);
}

/* An ordinary folder: the next version is a copy of the head, made aside and renamed. */
static int copy_version(const char *models, const char *name, const char *head,
			char ret_version[RELEASE_NAME_SIZE])
{
	int64_t newest = newest_version(models, name);
	SCOPED_FREE char *last = text_format("%s/%s@v%lld", models, name, (long long)newest);
	SCOPED_FREE char *aside = text_format("%s/.%s.%ld.tmp", models, name, (long)getpid());

	set_version(name, newest, ret_version);
	if (newest > 0 && folder_equal(head, last))
		return 0;
	int rc = folder_mirror(head, aside);

	for (int64_t number = newest + 1; rc == 0; number++) {
		SCOPED_FREE char *path =
			text_format("%s/%s@v%lld", models, name, (long long)number);

		set_version(name, number, ret_version);
		if (access(path, F_OK) != 0 && rename(aside, path) == 0)
			return 0;
		if (access(path, F_OK) != 0)
			rc = fail(errno, "%s: cannot make: %s", path, strerror(errno));
	}
	folder_remove(aside);
	return rc;
}

int release_cut(const char *models, const char *name, const char *from, const char *message,
		char ret_version[RELEASE_NAME_SIZE])
{
	SCOPED_FREE char *head = text_format("%s/%s", models, name);
	SCOPED_FREE char *commit = text_format("%s/.commit", head);
	SCOPED_FREE char *line = text_format("%s\n", message);
	SCOPED_FREE char *told = NULL;
	size_t len;
	int rc = file_make_dirs(models);

	if (rc == 0)
		rc = folder_mirror(from, head);
	if (rc == 0)
		rc = file_put(commit, O_TRUNC, line, strlen(line));
	if (rc == 0)
		rc = file_read(commit, 64 * 1024, &told, &len);
	if (rc < 0)
		return rc;
	if (strcmp(told, line) == 0) {
		(void)unlink(commit);
		return copy_version(models, name, head, ret_version);
	}
	told[strcspn(told, "/\n")] = '\0';
	int64_t number = version_number(name, told);

	if (number == 0)
		return fail(EIO, "%s:1: '%.80s' is no version of %s", commit, told, name);
	set_version(name, number, ret_version);
	return 0;
}

int release_point(const char *models, const char *name, const char *word, const char *version)
{
	SCOPED_FREE char *alias = text_format("%s/%s@%s", models, name, word);
	SCOPED_FREE char *temporary =
		text_format("%s/%s-%s-%ld", models, name, word, (long)getpid());
	int rc = 0;

	(void)unlink(temporary);
	if (symlink(version, temporary) != 0)
		return fail(errno, "%s: cannot make: %s", temporary, strerror(errno));
	if (rename(temporary, alias) != 0) {
		rc = fail(errno, "%s: cannot move: %s", alias, strerror(errno));
		(void)unlink(temporary);
	}
	return rc;
}

int release_pointed(const char *models, const char *name, const char *word,
		    char ret_version[RELEASE_NAME_SIZE])
{
	SCOPED_FREE char *alias = text_format("%s/%s@%s", models, name, word);
	ssize_t len = readlink(alias, ret_version, RELEASE_NAME_SIZE - 1);

	if (len < 0 && errno == ENOENT)
		return 0;
	if (len < 0)
		return fail(errno, "%s: cannot read the link: %s", alias, strerror(errno));
	ret_version[len] = '\0';
	return 1;
}
