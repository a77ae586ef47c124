/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON of a run: params.json, metrics.json, tags.json and run.json.  Names in byte order, two blanks a level, a newline at the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/base/num.h"
#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/lineage.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/model.h"
#include "store/meta/param.h"
#include "store/meta/value_internal.h"

struct json_out {
	struct kv_view *view;
	struct buf *out;
	unsigned level;
	bool first; /* nothing yet at this level */
};

/* --- writing ---------------------------------------------------------------------------------------------- */

static void indent(struct json_out *j)
{
	if (!j->first)
		buf_add_ch(j->out, ',');
	buf_add_ch(j->out, '\n');
	for (unsigned i = 0; i < j->level; i++)
		buf_add_str(j->out, "  ");
	j->first = false;
}

static void json_key(struct json_out *j, struct slice key)
{
	indent(j);
	text_add_json(j->out, key);
	buf_add_str(j->out, ": ");
}

static void json_open(struct json_out *j, const char *key, char bracket)
{
	if (key)
		json_key(j, slice_str(key));
	else if (j->level)
		indent(j);
	buf_add_ch(j->out, bracket);
	j->level++;
	j->first = true;
}

static void json_close(struct json_out *j, char bracket)
{
	bool empty = j->first;

	j->level--;
	j->first = true;
	if (!empty) {
		buf_add_ch(j->out, '\n');
		for (unsigned i = 0; i < j->level; i++)
			buf_add_str(j->out, "  ");
	}
	j->first = false;
	buf_add_ch(j->out, bracket);
}

static void json_text(struct json_out *j, const char *key, struct slice text)
{
	json_key(j, slice_str(key));
	text_add_json(j->out, text);
}

static void json_int(struct json_out *j, const char *key, int64_t v)
{
	char text[NUM_TEXT_MAX];

	json_key(j, slice_str(key));
	buf_add(j->out, text, num_format_i64(v, text));
}

static void json_double(struct json_out *j, const char *key, double v)
{
	char text[NUM_TEXT_MAX];

	json_key(j, slice_str(key));
	buf_add(j->out, text, num_format_json(v, text));
}

/* A time, or null. */
static void json_time(struct json_out *j, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	json_key(j, slice_str(key));
	if (ms)
		text_add_json(j->out, slice_of(text, clock_format_ms(ms, text)));
	else
		buf_add_str(j->out, "null");
}

/* --- keys in order ------------------------------------------------------------------------------------------ */

struct sorted_key {
	struct slice text;
	uint32_t key;
};
struct sorted_keys {
	struct sorted_key *at;
	size_t count, max;
};

static int collect_key(void *arg, uint32_t key, struct slice text)
{
	struct sorted_keys *s = arg;

	if (s->count == s->max) {
		size_t want = s->max ? s->max * 2 : 32;
		struct sorted_key *more = realloc(s->at, want * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->at = more;
		s->max = want;
	}
	s->at[s->count++] = (struct sorted_key){ text, key };
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct sorted_key *x = a, *y = b;
	int c = memcmp(x->text.data, y->text.data,
		       x->text.len < y->text.len ? x->text.len : y->text.len);

	return c ? c : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static void metric_record(struct json_out *j, const struct metric *m)
{
	buf_add_ch(j->out, '{');
	j->level++;
	j->first = true;
	json_double(j, "value", m->latest.value);
	json_int(j, "step", m->latest.step);
	json_time(j, "time", m->latest.time_ms);
	json_int(j, "points", (int64_t)m->points);
	json_double(j, "min", m->min);
	json_double(j, "max", m->max);
	json_close(j, '}');
}

/* The value of one key; WHOLE: what run.json says of a metric. */
static int json_value(struct json_out *j, enum key_space space, uint32_t run, uint32_t key,
		      bool whole)
{
	char number[NUM_TEXT_MAX];
	struct metric m;
	struct slice text;
	int rc;

	if (space == KEYS_METRIC) {
		rc = metric_get(j->view, run, key, &m);
		if (rc < 0)
			return rc;
		if (whole)
			metric_record(j, &m);
		else
			buf_add(j->out, number, num_format_json(m.latest.value, number));
		return 0;
	}
	rc = space == KEYS_PARAM ? param_get(j->view, run, key, &text, NULL)
				 : tag_get(j->view, TAG_RUN, run, key, &text, NULL);
	if (rc == 0)
		text_add_json(j->out, text);
	return rc;
}

static int json_keys(struct json_out *j, const char *name, enum key_space space, uint32_t run,
		     bool whole)
{
	struct sorted_keys s = { 0 };
	int rc = keys_each(j->view, space, run, 0, collect_key, &s);

	if (s.count)
		qsort(s.at, s.count, sizeof(*s.at), compare_keys);
	json_open(j, name, '{');
	for (size_t i = 0; i < s.count && rc == 0; i++) {
		json_key(j, s.at[i].text);
		rc = json_value(j, space, run, s.at[i].key, whole);
	}
	json_close(j, '}');
	free(s.at);
	return rc;
}

/* --- run.json ----------------------------------------------------------------------------------------------- */

static int session(void *arg, const struct run_session *s)
{
	struct json_out *j = arg;

	json_open(j, NULL, '{');
	json_time(j, "start", s->start_ms);
	json_time(j, "end", s->end_ms);
	json_text(j, "status", slice_str(run_status_name(s->status)));
	json_close(j, '}');
	return 0;
}

static int note(void *arg, const struct run_note *n)
{
	static const char *const kinds[] = {
		[RUN_NOTE_PARAM_REMOVED] = "param",
		[RUN_NOTE_METRIC_REMOVED] = "metric",
		[RUN_NOTE_TAG_REMOVED] = "tag",
	};
	struct json_out *j = arg;

	json_open(j, NULL, '{');
	json_text(j, "kind",
		  slice_str(n->kind >= RUN_NOTE_PARAM_REMOVED && n->kind <= RUN_NOTE_TAG_REMOVED
				    ? kinds[n->kind]
				    : "?"));
	json_text(j, "key", n->key);
	json_text(j, "value", n->value);
	json_time(j, "time", n->at_ms);
	json_close(j, '}');
	return 0;
}

static int lineage_link(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms)
{
	static const char *const words[] = {
		[LINEAGE_BY_HAND] = "hand",
		[LINEAGE_BY_OPEN] = "open",
		[LINEAGE_BY_CUT] = "cut",
		[LINEAGE_BY_API] = "api",
	};
	struct json_out *j = arg;
	SCOPED_BUF struct buf name = BUF_INIT;
	struct entry e;
	int rc = entry_get(j->view, v->entry, &e);

	if (rc == 0)
		entry_name_version(e.name, v->is_dir, v->n, &name);
	json_open(j, NULL, '{');
	json_text(j, "version", buf_slice(&name));
	json_text(j, "how",
		  slice_str(how >= LINEAGE_BY_HAND && how <= LINEAGE_BY_API ? words[how] : "?"));
	json_time(j, "time", at_ms);
	json_close(j, '}');
	return rc == -ENOENT ? 0 : rc;
}

static int dataset_input(void *arg, const struct input *in)
{
	struct json_out *j = arg;

	json_open(j, NULL, '{');
	json_text(j, "name", in->name);
	json_text(j, "digest", in->digest);
	json_text(j, "source_type", in->source_type);
	json_text(j, "source", in->source);
	json_text(j, "schema", in->schema);
	json_text(j, "profile", in->profile);
	json_text(j, "context", in->context);
	json_close(j, '}');
	return 0;
}

static int logged_model(void *arg, uint32_t number, int64_t step)
{
	struct json_out *j = arg;
	struct logged_model lm;
	int rc = logged_model_get(j->view, number, &lm);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	json_open(j, NULL, '{');
	json_text(j, "id", lm.id);
	json_text(j, "name", lm.name);
	json_int(j, "step", step);
	json_close(j, '}');
	return 0;
}

static int json_lineage(struct json_out *j, uint32_t run, enum lineage_direction direction)
{
	static const struct {
		const char *name;
		enum entry_space space;
	} both[] = { { "data", ENTRY_DATA }, { "models", ENTRY_MODELS } };
	int rc = 0;

	json_open(j, direction == LINEAGE_INPUT ? "inputs" : "outputs", '{');
	for (size_t i = 0; i < 2 && rc == 0; i++) {
		json_open(j, both[i].name, '[');
		rc = lineage_each(j->view, run, direction, both[i].space, lineage_link, j);
		json_close(j, ']');
	}
	if (rc == 0 && direction == LINEAGE_INPUT) {
		json_open(j, "datasets", '[');
		rc = input_each(j->view, run, dataset_input, j);
		json_close(j, ']');
	}
	json_open(j, "logged_models", '[');
	if (rc == 0)
		rc = logged_model_each_link(j->view, run, direction == LINEAGE_OUTPUT, logged_model,
					    j);
	json_close(j, ']');
	json_close(j, '}');
	return rc;
}

static int json_fields(struct json_out *j, const struct run *r)
{
	char uuid[33];
	struct experiment e;
	struct run parent;
	int rc = experiment_get(j->view, r->experiment, &e);

	hash_hex(r->uuid, sizeof(r->uuid), uuid);
	json_text(j, "id", r->id);
	json_text(j, "uuid", slice_str(uuid));
	json_text(j, "name", r->name);
	json_text(j, "experiment", rc == 0 ? e.name : slice_of(NULL, 0));
	json_int(j, "experiment_id", r->experiment);
	json_text(j, "user", r->user);
	json_text(j, "description", r->description);
	json_key(j, slice_str("parent"));
	if (r->parent && run_get(j->view, r->parent, &parent) == 0)
		text_add_json(j->out, parent.id);
	else
		buf_add_str(j->out, "null");
	json_text(j, "status", slice_str(run_status_name(r->status)));
	json_time(j, "start_time", r->start_ms);
	json_time(j, "end_time", r->end_ms);
	if (r->end_ms) {
		json_double(j, "duration", (double)r->duration_ms / 1000);
	} else {
		json_key(j, slice_str("duration"));
		buf_add_str(j->out, "null");
	}
	json_time(j, "changed", r->changed_ms);
	json_time(j, "deleted", r->deleted_ms);
	return rc == -ENOENT ? 0 : rc;
}

static int run_json(struct json_out *j, const struct run *r)
{
	int rc;

	json_open(j, NULL, '{');
	rc = json_fields(j, r);
	if (rc == 0)
		rc = json_keys(j, "params", KEYS_PARAM, r->number, false);
	if (rc == 0)
		rc = json_keys(j, "metrics", KEYS_METRIC, r->number, true);
	if (rc == 0)
		rc = json_keys(j, "tags", KEYS_TAG, r->number, false);
	json_open(j, "sessions", '[');
	if (rc == 0)
		rc = run_each_session(j->view, r->number, session, j);
	json_close(j, ']');
	json_open(j, "taken_back", '[');
	if (rc == 0)
		rc = run_note_each(j->view, r->number, note, j);
	json_close(j, ']');
	if (rc == 0)
		rc = json_lineage(j, r->number, LINEAGE_INPUT);
	if (rc == 0)
		rc = json_lineage(j, r->number, LINEAGE_OUTPUT);
	json_close(j, '}');
	return rc;
}

int view_json(struct kv_view *view, const struct value_target *target, struct view_out *out)
{
	struct json_out j = { .view = view, .out = &out->buf, .first = true };
	struct run run;
	int rc = run_get(view, target->owner, &run);

	if (rc < 0)
		return rc;
	if (target->kind == VALUE_RUN_JSON)
		rc = run_json(&j, &run);
	else
		rc = json_keys(&j, NULL,
			       target->kind == VALUE_RUN_PARAMS_JSON    ? KEYS_PARAM
			       : target->kind == VALUE_RUN_METRICS_JSON ? KEYS_METRIC
									: KEYS_TAG,
			       target->owner, false);
	buf_add_ch(&out->buf, '\n');
	return rc < 0 ? rc : buf_err(&out->buf);
}
