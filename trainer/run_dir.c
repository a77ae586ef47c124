/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_dir - see run_dir.h.
 */
#include "trainer/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/number.h"

enum { RUN_VALUE_MAX = 16 * 1024 };

static const char *const parts[] = { "params", "metrics", "history", "tags", "artifacts" };

/* A value without its newline; the caller frees it. */
static int read_value(const char *path, char **ret)
{
	size_t len;
	int rc = file_read(path, RUN_VALUE_MAX, ret, &len);

	if (rc == 0 && strlen(*ret) != len) {
		free(*ret);
		*ret = NULL;
		return fail(EILSEQ, "%s:1: a NUL byte", path);
	}
	if (rc == 0 && len > 0 && (*ret)[len - 1] == '\n')
		(*ret)[len - 1] = '\0';
	return rc;
}

static int write_value(const char *path, const char *value)
{
	SCOPED_FREE char *line = text_format("%s\n", value);

	return file_put(path, O_TRUNC, line, strlen(line));
}

/* RUN/PART/KEY, with the directories that a slash in KEY asks for; the caller frees *RET. */
static int place(const char *run, const char *part, const char *key, char **ret)
{
	*ret = text_format("%s/%s/%s", run, part, key);
	const char *slash = strrchr(key, '/');

	if (slash == NULL)
		return 0;
	SCOPED_FREE char *dir = text_format("%s/%s/%.*s", run, part, (int)(slash - key), key);

	return file_make_dirs(dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * What lies in DIR directly and is no dotfile, in byte order; the caller frees the names and the
 * list.
 */
static size_t list(const char *dir, char ***ret)
{
	DIR *d = opendir(dir);
	size_t count = 0, cap = 0;
	const struct dirent *entry;

	*ret = NULL;
	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		*ret = mem_grow(*ret, &cap, count + 1, sizeof(**ret));
		(*ret)[count++] = mem_dup(entry->d_name, strlen(entry->d_name));
	}
	if (d != NULL)
		(void)closedir(d);
	if (count > 0)
		qsort(*ret, count, sizeof(**ret), by_name);
	return count;
}

int run_dir_read_params(const char *run, struct params *p)
{
	SCOPED_FREE char *dir = text_format("%s/params", run);
	SCOPED_FREE char **name = NULL;
	size_t count = list(dir, &name);
	int rc = 0;

	for (size_t i = 0; i < count; i++) {
		SCOPED_FREE char *path = text_format("%s/%s", dir, name[i]);
		SCOPED_FREE char *where = text_format("%s:1", path);
		SCOPED_FREE char *value = NULL;

		if (rc == 0 && !file_is_dir(path)) {
			rc = read_value(path, &value);
			if (rc == 0)
				rc = param_say(p, name[i], value, where, true);
		}
		free(name[i]);
	}
	return rc;
}

int run_dir_make(const char *run)
{
	int rc = file_make_dirs(run);

	for (size_t i = 0; rc == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		SCOPED_FREE char *dir = text_format("%s/%s", run, parts[i]);

		rc = file_make_dirs(dir);
	}
	return rc;
}

/* With WRITE false only look whether KEY could get VALUE. */
static int log_param(const char *run, const char *key, const char *value, bool write)
{
	SCOPED_FREE char *path = text_format("%s/params/%s", run, key);
	SCOPED_FREE char *old = NULL;

	if (access(path, F_OK) == 0) {
		int rc = read_value(path, &old);

		if (rc < 0)
			return rc;
		if (strcmp(old, value) != 0)
			return fail(EPERM, "%s:1: cannot write: %s: it is %.60s already, not %s",
				    path, strerror(EPERM), old, value);
		return 0;
	}
	return write ? write_value(path, value) : 0;
}

int run_dir_log_params(const char *run, const struct params *p)
{
	int rc = 0;

	for (int write = 0; rc == 0 && write < 2; write++) {
		if (!p->algorithm_logged)
			rc = log_param(run, "algorithm", param_algorithm_name(p->algorithm),
				       write != 0);
		for (size_t i = 0; rc == 0 && i < PARAM_COUNT; i++) {
			const struct param_value *v = &p->value[i];

			if (v->form != PARAM_ABSENT && !v->logged)
				rc = log_param(run, param_key((enum param_id)i), v->text,
					       write != 0);
		}
	}
	return rc;
}

/* In an ordinary folder nobody derives the latest value from the history. */
static int log_last(const char *run, const struct curve *c)
{
	SCOPED_FREE char *path = NULL, *old = NULL;
	char number[NUMBER_SIZE];
	double value;
	int rc = place(run, "metrics", c->key, &path);

	if (rc < 0)
		return rc;
	if (access(path, F_OK) == 0 && read_value(path, &old) == 0 && number_parse(old, &value) &&
	    memcmp(&value, &c->last, sizeof(value)) == 0)
		return 0;
	return write_value(path, number_format(c->last, number));
}

int run_dir_log_curves(const char *run, const struct curves *c)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->count; i++) {
		const struct curve *curve = &c->curve[i];
		SCOPED_FREE char *path = NULL;

		rc = place(run, "history", curve->key, &path);
		if (rc == 0)
			rc = file_put(path, O_APPEND, curve->points.bytes, curve->points.len);
		if (rc == 0)
			rc = log_last(run, curve);
	}
	return rc;
}

int run_dir_log_metrics(const char *run, const struct score *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		SCOPED_FREE char *path = NULL;
		char number[NUMBER_SIZE];

		rc = place(run, "metrics", s->metric[i].key, &path);
		if (rc == 0)
			rc = write_value(path, number_format(s->metric[i].value, number));
	}
	return rc;
}

void run_dir_fail(const char *run)
{
	static const char *const ended[] = { "finished", "failed", "killed" };
	SCOPED_FREE char *path = text_format("%s/status", run);
	SCOPED_FREE char *old = NULL;
	size_t len;

	if (!file_is_dir(run))
		return;
	if (access(path, F_OK) == 0 && file_read(path, RUN_VALUE_MAX, &old, &len) == 0) {
		old[strcspn(old, "\r\n")] = '\0';
		for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++) {
			if (strcasecmp(old, ended[i]) == 0)
				return;
		}
	}
	int rc = file_put(path, O_TRUNC, "failed\n", 7);

	(void)rc;
}
