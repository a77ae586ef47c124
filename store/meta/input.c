/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input - the datasets that a run says it used, as MLflow has them (declared in model.h).  Bytes: FORMAT.md 5.
 *
 * Schema and profile may be large: they lie in rows of their own behind the record, in parts.
 */
#include <errno.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/meta_internal.h"
#include "store/meta/model.h"
#include "store/meta/rows.h"
#include "store/meta/run.h"

#define INPUTS_MAX 100000u
#define INPUT_TAGS_MAX (512u << 10)
#define INPUT_PART (512u << 10)
#define INPUT_CONTEXT "mlflow.data.context"

enum { PART_SCHEMA = 1, PART_PROFILE = 2 };

static const struct slice nothing;

/* --- checks --------------------------------------------------------------------------------------------- */

static int check_texts(const struct input *in)
{
	const struct {
		struct slice text;
		size_t max;
		const char *what;
	} rules[] = {
		{ in->name, 500, "the name of an input" },
		{ in->digest, 36, "the digest of an input" },
		{ in->source_type, 500, "the source type of an input" },
		{ in->source, 65535, "the source of an input" },
		{ in->schema, 1048575, "the schema of an input" },
		{ in->profile, 12u << 20, "the profile of an input" },
		{ in->context, 500, "the context of an input" },
		{ in->tags_json, INPUT_TAGS_MAX, "the tags of an input" },
	};

	if (in->name.len == 0 || in->digest.len == 0)
		return err_set(-EINVAL, "an input has a name and a digest");
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		int rc = meta_text_check(rules[i].text, rules[i].max, rules[i].what);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static void json_free(cJSON **json)
{
	cJSON_Delete(*json);
}
#define SCOPED_JSON __attribute__((cleanup(json_free)))

static int parse_tags(struct slice text, cJSON **ret)
{
	*ret = text.len == 0 ? cJSON_CreateObject() : cJSON_ParseWithLength(text.data, text.len);
	if (*ret == NULL || !cJSON_IsObject(*ret))
		return err_set(-EINVAL, "the tags of an input are one JSON object");
	return 0;
}

static int set_tag(cJSON *tags, const char *key, cJSON *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(tags, key);
	return value != NULL && cJSON_AddItemToObject(tags, key, value) ? 0 : -ENOMEM;
}

/* OLD, over it ADDED, over it the context; *RET_TEXT is malloc'ed. */
static int merge_tags(struct slice old, struct slice added, struct slice context, char **ret_text)
{
	SCOPED_JSON cJSON *tags = NULL;
	SCOPED_JSON cJSON *more = NULL;
	const cJSON *item;
	int rc = parse_tags(old, &tags);

	if (rc == 0)
		rc = parse_tags(added, &more);
	cJSON_ArrayForEach(item, more) {
		if (rc == 0)
			rc = set_tag(tags, item->string, cJSON_Duplicate(item, true));
	}
	if (rc == 0 && context.len > 0) {
		SCOPED_BUF struct buf text = BUF_INIT;

		buf_add_slice(&text, context);
		rc = buf_err(&text);
		if (rc == 0)
			rc = set_tag(tags, INPUT_CONTEXT, cJSON_CreateString(text.data));
	}
	*ret_text = rc == 0 ? cJSON_PrintUnformatted(tags) : NULL;
	return rc == 0 && *ret_text == NULL ? -ENOMEM : rc;
}

static int context_of(struct slice tags_json, struct buf *out)
{
	SCOPED_JSON cJSON *tags = NULL;
	int rc = parse_tags(tags_json, &tags);
	const char *text = rc == 0 ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tags, INPUT_CONTEXT)) : NULL;

	if (text != NULL)
		buf_add_str(out, text);
	return rc < 0 ? rc : buf_err(out);
}

/* --- rows ------------------------------------------------------------------------------------------------- */

static int input_decode(struct slice record, struct input *ret)
{
	struct unpack u = unpack_init(record);

	ret->name = unpack_str(&u);
	ret->digest = unpack_str(&u);
	ret->source_type = unpack_str(&u);
	ret->source = unpack_str(&u);
	ret->tags_json = unpack_str(&u);
	return unpack_more(&u);
}

static int record_put(struct meta *m, uint32_t run, const struct input *in)
{
	struct meta_key k = meta_key_2(run, in->n);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_str(&value, in->name);
	pack_str(&value, in->digest);
	pack_str(&value, in->source_type);
	pack_str(&value, in->source);
	pack_str(&value, in->tags_json);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_INPUT, meta_key_slice(&k), buf_slice(&value));
}

static struct meta_key part_prefix(uint32_t run, uint32_t n, uint8_t what)
{
	struct meta_key k = meta_key_2(run, n);

	meta_key_u8(&k, what);
	return k;
}

static int parts_put(struct meta *m, uint32_t run, uint32_t n, uint8_t what, struct slice text)
{
	const char *s = text.data;
	uint8_t part = 0;
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < text.len; at += INPUT_PART, part++) {
		struct meta_key k = part_prefix(run, n, what);
		size_t len = text.len - at < INPUT_PART ? text.len - at : INPUT_PART;

		meta_key_u8(&k, part);
		rc = kv_put(m->kv, TABLE_INPUT, meta_key_slice(&k), slice_of(s + at, len));
	}
	return rc;
}

static int add_part(void *arg, struct slice rest, struct slice value)
{
	(void)rest;
	buf_add_slice(arg, value);
	return buf_err(arg);
}

static int parts_get(struct kv_view *view, uint32_t run, uint32_t n, uint8_t what, struct buf *out)
{
	struct meta_key k = part_prefix(run, n, what);

	buf_reset(out);
	return rows_each(view, TABLE_INPUT, meta_key_slice(&k), nothing, add_part, out);
}

/* --- adding ------------------------------------------------------------------------------------------------ */

struct find {
	const struct input *wanted;
	uint32_t last, found;	/* numbers from 1 */
	struct buf record;
};

static int find_input(void *arg, struct slice rest, struct slice value)
{
	struct find *f = arg;
	struct input in;
	int rc;

	if (rest.len != 4)
		return 0;
	f->last = meta_key_read_u32(rest, 0);
	rc = input_decode(value, &in);
	if (rc < 0 || !slice_eq(in.name, f->wanted->name) || !slice_eq(in.digest, f->wanted->digest))
		return rc;
	f->found = f->last;
	buf_add_slice(&f->record, value);
	rc = buf_err(&f->record);
	return rc < 0 ? rc : 1;
}

static int input_merge(struct meta *m, uint32_t run, const struct find *f, const struct input *input)
{
	struct input old = { .n = f->found };
	char *tags = NULL;
	int rc = input_decode(buf_slice(&f->record), &old);

	if (rc == 0)
		rc = merge_tags(old.tags_json, input->tags_json, input->context, &tags);
	if (rc == 0) {
		old.tags_json = slice_str(tags);
		rc = record_put(m, run, &old);
	}
	free(tags);
	return rc;
}

static int input_new(struct meta *m, uint32_t run, uint32_t n, const struct input *input)
{
	struct input in = *input;
	char *tags = NULL;
	int rc = n > INPUTS_MAX ? err_set(-ENOSPC, "a run has at most %u inputs", INPUTS_MAX) : 0;

	if (rc == 0)
		rc = merge_tags(nothing, input->tags_json, input->context, &tags);
	if (rc == 0) {
		in.n = n;
		in.tags_json = slice_str(tags);
		rc = record_put(m, run, &in);
	}
	free(tags);
	if (rc == 0)
		rc = parts_put(m, run, n, PART_SCHEMA, input->schema);
	return rc < 0 ? rc : parts_put(m, run, n, PART_PROFILE, input->profile);
}

int input_add(struct meta *m, uint32_t run, const struct input *input)
{
	struct find f = { .wanted = input, .record = BUF_INIT };
	struct meta_key k = meta_key_1(run);
	int rc = check_texts(input);

	if (rc == 0)
		rc = run_check_writable(kv_live(m->kv), run);
	if (rc == 0)
		rc = rows_each(kv_live(m->kv), TABLE_INPUT, meta_key_slice(&k), nothing, find_input, &f);
	if (rc == 0)
		rc = f.found != 0 ? input_merge(m, run, &f, input) : input_new(m, run, f.last + 1, input);
	buf_release(&f.record);
	return rc;
}

/* --- listing ------------------------------------------------------------------------------------------------- */

struct each {
	struct kv_view *view;
	uint32_t run;
	int (*emit)(void *arg, const struct input *input);
	void *arg;
	struct buf schema, profile, context;
};

static int each_input(void *arg, struct slice rest, struct slice value)
{
	struct each *each = arg;
	struct input in = { .n = meta_key_read_u32(rest, 0) };
	int rc;

	if (rest.len != 4)
		return 0;
	rc = input_decode(value, &in);
	buf_reset(&each->context);
	if (rc == 0)
		rc = context_of(in.tags_json, &each->context);
	if (rc == 0)
		rc = parts_get(each->view, each->run, in.n, PART_SCHEMA, &each->schema);
	if (rc == 0)
		rc = parts_get(each->view, each->run, in.n, PART_PROFILE, &each->profile);
	if (rc < 0)
		return rc;
	in.context = buf_slice(&each->context);
	in.schema = buf_slice(&each->schema);
	in.profile = buf_slice(&each->profile);
	return each->emit(each->arg, &in);
}

int input_each(struct kv_view *view, uint32_t run, int (*emit)(void *arg, const struct input *input), void *arg)
{
	struct each each = { .view = view, .run = run, .emit = emit, .arg = arg };
	struct meta_key k = meta_key_1(run);
	int rc = rows_each(view, TABLE_INPUT, meta_key_slice(&k), nothing, each_input, &each);

	buf_release(&each.schema);
	buf_release(&each.profile);
	buf_release(&each.context);
	return rc;
}
