/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata - see metadata.h.
 */
#include "trainer/metadata.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/file.h"
#include "trainer/mem.h"

enum { METADATA_BYTES_MAX = 1024 * 1024 };

static void scoped_json(cJSON **json)
{
	cJSON_Delete(*json);
}

#define SCOPED_JSON __attribute__((cleanup(scoped_json)))

static void print(const cJSON *json, struct text *out)
{
	char *bytes = cJSON_Print(json);

	if (bytes != NULL)
		text_addf(out, "%s\n", bytes);
	cJSON_free(bytes);
}

static void add_version(cJSON *to, const char *key, const char *path)
{
	char version[FILE_VERSION_SIZE];

	if (file_version(path, version))
		cJSON_AddStringToObject(to, key, version);
	else
		cJSON_AddNullToObject(to, key);
}

static void add_labels(cJSON *to, const char *key, const struct labels *l)
{
	cJSON *list = cJSON_AddArrayToObject(to, key);

	for (size_t i = 0; i < l->count; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(l->name[i]));
}

static void add_params(cJSON *to, const struct params *p)
{
	cJSON *list = cJSON_AddObjectToObject(to, "params");

	for (size_t i = 0; i < PARAM_COUNT; i++) {
		const struct param_value *v = &p->value[i];
		const char *key = param_key((enum param_id)i);

		switch (v->form) {
		case PARAM_ABSENT: break;
		case PARAM_NONE: cJSON_AddNullToObject(list, key); break;
		case PARAM_TRUTH: cJSON_AddBoolToObject(list, key, v->whole != 0); break;
		case PARAM_WHOLE:
		case PARAM_REAL: cJSON_AddRawToObject(list, key, v->text); break;
		case PARAM_WORD: cJSON_AddStringToObject(list, key, v->text); break;
		}
	}
}

void metadata_write_split(const struct metadata_split *s, struct text *out)
{
	SCOPED_JSON cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "source", s->source);
	add_version(json, "source_version", s->source);
	cJSON_AddNumberToObject(json, "test_size", s->test_size);
	cJSON_AddNumberToObject(json, "seed", (double)s->seed);
	cJSON_AddNumberToObject(json, "train_rows", (double)s->train_rows);
	cJSON_AddNumberToObject(json, "test_rows", (double)s->test_rows);
	print(json, out);
}

/* What prepare says of the data file's own source; nothing where there is no such account. */
static void add_split(cJSON *to, const char *data_path)
{
	const char *slash = strrchr(data_path, '/');
	int folder = slash != NULL ? (int)(slash + 1 - data_path) : 0;
	SCOPED_FREE char *path = text_format("%.*s%s", folder, data_path, METADATA_SPLIT_FILE);
	SCOPED_FREE char *bytes = NULL;
	size_t len;

	if (file_read(path, METADATA_BYTES_MAX, &bytes, &len) < 0)
		return;
	cJSON *split = cJSON_ParseWithLength(bytes, len);

	if (cJSON_IsObject(split))
		cJSON_AddItemToObject(to, "split", split);
	else
		cJSON_Delete(split);
}

static void add_time(cJSON *to, const char *key, struct timespec when)
{
	struct tm tm;
	char day[32];

	gmtime_r(&when.tv_sec, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	SCOPED_FREE char *text = text_format("%s.%03ldZ", day, when.tv_nsec / 1000000);

	cJSON_AddStringToObject(to, key, text);
}

void metadata_write(const struct model *m, const struct params *p,
		    const struct metadata_training *t, struct text *out)
{
	SCOPED_JSON cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "format", MODEL_FORMAT);
	cJSON_AddStringToObject(json, "algorithm", m->algorithm->name);
	add_params(json, p);
	add_labels(json, "features", &m->features);
	add_labels(json, "classes", &m->classes);
	cJSON_AddStringToObject(json, "data", t->data_path);
	add_version(json, "data_version", t->data_path);
	cJSON_AddNumberToObject(json, "data_rows", (double)t->rows);
	add_split(json, t->data_path);
	cJSON_AddRawToObject(json, "seed", p->value[PARAM_RANDOM_STATE].text);
	add_time(json, "trained_at", t->began);
	cJSON_AddNumberToObject(json, "duration_seconds", t->seconds);
	print(json, out);
}

int metadata_check(const char *dir, const struct model *m)
{
	SCOPED_FREE char *path = text_format("%s/%s", dir, METADATA_FILE);
	SCOPED_FREE char *bytes = NULL;
	size_t len;
	int rc = file_read(path, METADATA_BYTES_MAX, &bytes, &len);

	if (rc < 0)
		return rc;
	SCOPED_JSON cJSON *json = cJSON_ParseWithLength(bytes, len);
	const cJSON *algorithm = cJSON_GetObjectItemCaseSensitive(json, "algorithm");

	if (!cJSON_IsObject(json))
		return fail(EBADMSG, "%s:1: not a JSON object", path);
	if (!cJSON_IsString(algorithm) || strcmp(algorithm->valuestring, m->algorithm->name) != 0)
		return fail(EBADMSG, "%s:1: not about the %s model beside it", path,
			    m->algorithm->name);
	return 0;
}
