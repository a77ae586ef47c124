/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers: what one open…close makes of the bytes it gets (value.h; CONTRACT "Values").
 *
 * Three grammars.  Text: all bytes of the writer so far, less one final newline, are the value.  Lines: every complete line is a point; what
 * follows the last newline is kept (`rest`), and if it is acceptable as it stands it is logged too, as a point that the next
 * write takes back (`provisional`).  JSON: bytes are kept until an object is complete.
 */
#include "store/meta/value.h"

#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/limits.h"
#include "store/base/num.h"
#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/json.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/param.h"
#include "store/meta/value_internal.h"

#define JSON_MAX   (1u << 20)
#define STDIO_UNIT 512u /* stdio's writes are whole multiples of this until the last */

struct value_writer {
	struct meta *m;
	struct value_target target;
	struct meta_actor who;
	bool wrote;
	bool append;
	struct buf text; /* text: all so far; lines: the rest; JSON: the object so far */
	/* text */
	bool started;   /* `text` begins with the old value where it must */
	bool mine;      /* params: this writer made the value */
	bool had_value; /* params: there was one at the start */
	/* lines */
	bool provisional; /* the rest is logged */
	struct metric_undo undo;
	/* JSON */
	struct json_scan scan;
};

static bool is_json(enum value_kind kind)
{
	return kind == VALUE_RUN_PARAMS_JSON || kind == VALUE_RUN_METRICS_JSON ||
	       kind == VALUE_RUN_TAGS_JSON;
}

static bool is_lines(enum value_kind kind)
{
	return kind == VALUE_RUN_METRIC || kind == VALUE_RUN_HISTORY;
}

int value_writer_new(struct meta *m, const struct value_target *target, bool append,
		     const struct meta_actor *who, struct value_writer **ret)
{
	struct value_writer *w;
	struct slice old;
	int rc = value_check_writable(kv_live(m->kv), target);

	if (rc < 0)
		return rc;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->m = m;
	w->target = *target;
	w->append = append;
	w->who = *who;
	w->had_value = target->kind == VALUE_RUN_PARAM &&
		       param_get(kv_live(m->kv), target->owner, target->key, &old, NULL) == 0;
	*ret = w;
	return 0;
}

void value_writer_free(struct value_writer *w)
{
	if (!w)
		return;
	buf_release(&w->text);
	metric_undo_release(&w->undo);
	free(w);
}

bool value_writer_wrote(const struct value_writer *w)
{
	return w->wrote;
}

/* --- text ------------------------------------------------------------------------------------------------- */

static size_t text_max(enum value_kind kind)
{
	return kind == VALUE_RUN_PARAM ? META_PARAM_MAX : META_TAG_MAX;
}

/* How many bytes at the end of S begin a character that the next write may complete? */
static size_t cut_character(struct slice s)
{
	const uint8_t *at = s.data;

	for (size_t n = 1; n <= 3 && n <= s.len; n++) {
		uint8_t c = at[s.len - n];

		if ((c & 0xc0) == 0x80)
			continue;
		return c >= 0xc2 && c <= 0xf4 && n < (c < 0xe0 ? 2u : c < 0xf0 ? 3u : 4u) ? n : 0;
	}
	return 0;
}

static struct slice trim_blanks(struct slice s)
{
	const char *at = s.data;

	while (s.len && strchr(" \t\r\n\v\f", at[s.len - 1]) && at[s.len - 1])
		s.len--;
	while (s.len && strchr(" \t\r\n\v\f", *at) && *at) {
		at++;
		s.len--;
	}
	return slice_of(at, s.len);
}

static int set_experiment(struct meta *m, uint32_t run, struct slice name)
{
	uint32_t experiment;
	int rc = experiment_find(kv_live(m->kv), name, &experiment);

	if (rc == -ENOENT)
		return err_set(-EINVAL, "there is no experiment \"%.*s\"",
			       name.len > META_NAME_MAX ? (int)META_NAME_MAX : (int)name.len,
			       (const char *)name.data);
	return rc < 0 ? rc : run_set_experiment(m, run, experiment);
}

static int set_parent(struct meta *m, uint32_t run, struct slice id)
{
	uint32_t parent = 0;
	int rc = 0;

	id = trim_blanks(id);
	if (id.len)
		rc = run_find(kv_live(m->kv), id, &parent);
	if (rc == -ENOENT)
		return err_set(-EINVAL, "there is no run \"%.*s\" to be the parent",
			       id.len > META_NAME_MAX ? (int)META_NAME_MAX : (int)id.len,
			       (const char *)id.data);
	return rc < 0 ? rc : run_set_parent(m, run, parent);
}

static int set_status(struct meta *m, uint32_t run, struct slice word)
{
	enum run_status status;
	int rc = run_status_parse(trim_blanks(word), &status);

	return rc < 0 ? rc : run_set_status(m, run, status, 0);
}

/* A tag or param under the key that the target names. */
static int set_keyed(struct value_writer *w, struct slice value)
{
	const struct value_target *t = &w->target;
	char copy[META_KEY_MAX];
	struct slice key;
	int rc = key_text(kv_live(w->m->kv), t->key, &key);

	if (rc == 0 && key.len > sizeof(copy))
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	memcpy(copy, key.data, key.len);
	key.data = copy;
	if (t->kind == VALUE_RUN_PARAM)
		return param_log(w->m, t->owner, key, value);
	return tag_set(w->m, t->kind == VALUE_RUN_TAG ? TAG_RUN : TAG_EXPERIMENT, t->owner, key,
		       value);
}

static int set_value(struct value_writer *w, struct slice value)
{
	const struct value_target *t = &w->target;

	if (t->kind == VALUE_RUN_NAME)
		return run_set_name(w->m, t->owner, value);
	if (t->kind == VALUE_RUN_USER)
		return run_set_user(w->m, t->owner, value);
	if (t->kind == VALUE_RUN_DESCRIPTION)
		return run_set_description(w->m, t->owner, value);
	if (t->kind == VALUE_RUN_STATUS)
		return set_status(w->m, t->owner, value);
	if (t->kind == VALUE_RUN_EXPERIMENT)
		return set_experiment(w->m, t->owner, value);
	if (t->kind == VALUE_RUN_PARENT)
		return set_parent(w->m, t->owner, value);
	if (t->kind == VALUE_EXPERIMENT_DESCRIPTION)
		return experiment_set_description(w->m, t->owner, value);
	return set_keyed(w, value);
}

/* O_APPEND: the old value with its newline comes first; an empty one adds nothing. */
static int start_text(struct value_writer *w)
{
	int rc = w->append ? value_text(kv_live(w->m->kv), &w->target, &w->text) : 0;

	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0 && w->text.len)
		buf_add_ch(&w->text, '\n');
	w->started = true;
	return rc < 0 ? rc : buf_err(&w->text);
}

/*
 * A param that somebody else's writing made: TEXT must go on as the value does.  What is only its beginning passes for now, as
 * more may follow; value_flush() judges.
 */
static int repeat_param(struct slice text, struct slice old)
{
	bool begins = text.len <= old.len && slice_has_prefix(old, text);
	bool whole = text.len == old.len + 1 && slice_has_prefix(text, old) &&
		     ((const char *)text.data)[old.len] == '\n';

	if (begins || whole)
		return 0;
	return err_set(-EPERM,
		       "the param has the value \"%.*s\" already, and params are written once",
		       old.len > 100 ? 100 : (int)old.len, (const char *)old.data);
}

static int put_text(struct value_writer *w, struct slice text, struct slice value)
{
	const struct value_target *t = &w->target;
	struct slice old;
	int rc;

	rc = value_check_writable(kv_live(w->m->kv), t); /* it may have ended since the open */
	if (rc == 0 && t->kind != VALUE_RUN_PARAM)
		return set_value(w, value);
	if (rc == 0)
		rc = param_get(kv_live(w->m->kv), t->owner, t->key, &old, NULL);
	if (rc == -ENOENT) {
		rc = set_value(w, value);
		w->mine |= rc == 0;
		return rc;
	}
	if (rc < 0)
		return rc;
	/* Ours, and nobody took it back and logged another in between. */
	if (w->mine && slice_has_prefix(text, old))
		return param_replace(w->m, t->owner, t->key, value);
	return repeat_param(text, old);
}

static ssize_t write_text(struct value_writer *w, struct slice bytes)
{
	struct slice text, value;
	size_t before, held = 0;
	int rc = w->started ? 0 : start_text(w);

	if (rc < 0)
		return rc;
	before = w->text.len;
	if (before + bytes.len > text_max(w->target.kind) + 1)
		return err_set(-EFBIG, "the value has at most %zu bytes", text_max(w->target.kind));
	buf_add_slice(&w->text, bytes);
	text = buf_slice(&w->text);
	if (bytes.len % STDIO_UNIT == 0)
		held = cut_character(text);
	value = slice_of(text.data, text.len - held);
	if (value.len && ((const char *)value.data)[value.len - 1] == '\n')
		value.len--;
	rc = buf_err(&w->text);
	if (rc == 0)
		rc = meta_text_check(value, text_max(w->target.kind), "the value");
	if (rc == 0)
		rc = kv_begin(w->m->kv);
	if (rc == 0) {
		bool mine = w->mine;

		rc = put_text(w, text, value);
		if (rc == 0)
			rc = kv_commit(w->m->kv, NULL);
		else
			kv_abort(w->m->kv);
		if (rc < 0)
			w->mine = mine;
	}
	if (rc < 0) {
		if (!w->text.failed)
			w->text.len = before;
		return rc;
	}
	w->wrote = true;
	return (ssize_t)bytes.len;
}

/* close: what is only the beginning of a param's value is another value. */
static int flush_text(struct value_writer *w)
{
	struct slice old, text = buf_slice(&w->text);
	int rc;

	if (!w->had_value || !w->wrote || w->mine)
		return 0;
	rc = param_get(kv_live(w->m->kv), w->target.owner, w->target.key, &old, NULL);
	if (rc < 0 || text.len >= old.len)
		return 0;
	return err_set(-EPERM,
		       "the param has the value \"%.*s\" already, and params are written once",
		       old.len > 100 ? 100 : (int)old.len, (const char *)old.data);
}

/* --- lines ------------------------------------------------------------------------------------------------ */

/* The next field of *S, blanks before it dropped; empty at the end. */
static struct slice next_field(struct slice *s)
{
	const char *at = s->data;
	size_t skip = 0, len = 0;

	while (skip < s->len && (at[skip] == ' ' || at[skip] == '\t' || at[skip] == '\r'))
		skip++;
	while (skip + len < s->len && at[skip + len] != ' ' && at[skip + len] != '\t' &&
	       at[skip + len] != '\r')
		len++;
	*s = slice_of(at + skip + len, s->len - skip - len);
	return slice_of(at + skip, len);
}

/* `value`, `step value` or `step value unix_ms`; *RET_HAS_STEP false in the first form. */
static int parse_history(struct slice line, struct metric_point *ret, bool *ret_has_step)
{
	struct slice field[4];
	int n = 0, rc = 0;

	for (; n < 4; n++) {
		field[n] = next_field(&line);
		if (field[n].len == 0)
			break;
	}
	if (n == 4)
		return err_set(
			-EINVAL,
			"a line of a history is \"value\", \"step value\" or \"step value unix_ms\"");
	*ret_has_step = n > 1;
	if (n > 1)
		rc = num_parse_i64(field[0], &ret->step);
	if (rc == 0)
		rc = num_parse_double(n == 0 ? slice_of("", 0) : field[n > 1], &ret->value);
	if (rc == 0 && n == 3)
		rc = num_parse_i64(field[2], &ret->time_ms);
	if (rc == 0 && n == 3 && ret->time_ms < 0)
		rc = err_set(-EINVAL,
			     "the time of a point is in milliseconds since 1970 and not negative");
	return rc;
}

/* The point that LINE says, its step if it has one; TIME is now. */
static int parse_line(const struct value_writer *w, struct slice line, int64_t now,
		      struct metric_point *ret, bool *ret_has_step)
{
	*ret = (struct metric_point){ .time_ms = now };
	*ret_has_step = false;
	if (line.len > LIMIT_LINE_MAX)
		return err_set(-EINVAL, "a line has at most %u bytes", LIMIT_LINE_MAX);
	if (w->target.kind == VALUE_RUN_HISTORY)
		return parse_history(line, ret, ret_has_step);
	return num_parse_double(line, &ret->value);
}

static int add_line(struct metric_appender *a, struct metric_point *p, bool has_step)
{
	int rc = has_step ? 0 : metric_append_next_step(a, &p->step);

	return rc < 0 ? rc : metric_append_add(a, p);
}

struct lines {
	struct slice all; /* the old rest and what came */
	size_t at;        /* taken so far */
	size_t complete;  /* end of the last complete line */
	int64_t now;
	int refused; /* why the next line is bad, 0 */
};

/* Take complete lines until one is bad.  -errno: the batch must be undone. */
static int take_lines(struct value_writer *w, struct metric_appender *a, struct lines *l)
{
	while (l->at < l->complete) {
		const char *from = (const char *)l->all.data + l->at;
		const char *end = memchr(from, '\n', l->complete - l->at);
		size_t len = (size_t)(end - from);
		struct metric_point p;
		bool has_step;
		int rc;

		l->refused = parse_line(w, slice_of(from, len), l->now, &p, &has_step);
		if (l->refused < 0)
			return 0;
		rc = add_line(a, &p, has_step);
		if (rc == -EINVAL) { /* no step is left */
			l->refused = rc;
			return 0;
		}
		if (rc < 0)
			return rc;
		l->at += len + 1;
	}
	return 0;
}

/* Log what follows the last newline if it is acceptable.  *RET_PROVISIONAL.  A stays open on an error. */
static int take_rest(struct value_writer *w, struct metric_appender *a, struct lines *l,
		     struct metric_undo *undo, bool *ret_provisional, bool *ret_closed)
{
	struct slice rest =
		slice_of((const char *)l->all.data + l->complete, l->all.len - l->complete);
	struct metric_point p;
	bool has_step;
	int rc;

	*ret_provisional = *ret_closed = false;
	if (rest.len == 0)
		return 0;
	l->refused = parse_line(w, rest, l->now, &p, &has_step);
	if (l->refused < 0)
		return 0;
	rc = metric_undo_before(a, undo);
	if (rc == 0)
		rc = add_line(a, &p, has_step);
	if (rc == -EINVAL) {
		l->refused = rc;
		return 0;
	}
	if (rc < 0)
		return rc;
	*ret_provisional = *ret_closed = true;
	return metric_append_close_undo(a, &p, undo);
}

/* The batch of one write: takes back the provisional point, logs lines, logs the new rest provisionally. */
static int log_lines(struct value_writer *w, struct lines *l, struct metric_undo *undo,
		     bool *ret_provisional)
{
	const struct value_target *t = &w->target;
	struct metric_appender *a = NULL;
	bool closed = false;
	int rc = run_check_writable(kv_live(w->m->kv), t->owner);

	if (rc == 0 && w->provisional)
		rc = metric_take_back(w->m, t->owner, t->key, &w->undo);
	if (rc == 0)
		rc = metric_append_open(w->m, t->owner, t->key, &a);
	if (rc < 0)
		return rc;
	rc = take_lines(w, a, l);
	*ret_provisional = false;
	if (rc == 0 && l->refused == 0)
		rc = take_rest(w, a, l, undo, ret_provisional, &closed);
	if (closed)
		return rc;
	if (rc == 0 && l->at > 0)
		return metric_append_close(a);
	metric_append_drop(a);
	return rc;
}

/* What of this write was taken: everything, what the complete lines before a bad one held, or nothing. */
static ssize_t lines_taken(const struct value_writer *w, const struct lines *l, size_t bytes,
			   bool provisional)
{
	size_t old_rest = w->text.len;
	bool rest_only_bad = l->at == l->complete;

	if (l->refused == 0)
		return (ssize_t)bytes;
	if (rest_only_bad && l->complete > 0 && !provisional &&
	    l->all.len - l->complete <= LIMIT_LINE_MAX)
		return (ssize_t)bytes; /* held until the next write or close */
	if (l->at <= old_rest)
		return l->refused;
	return (ssize_t)(l->at - old_rest);
}

static ssize_t write_lines(struct value_writer *w, struct slice bytes)
{
	SCOPED_BUF struct buf joined = BUF_INIT, rest = BUF_INIT;
	struct metric_undo undo = { .had_before = false };
	struct lines l = { .all = bytes, .now = clock_now_ms() };
	bool provisional = false;
	const char *newline;
	ssize_t taken = 0;
	int rc;

	if (bytes.len == 0)
		return 0;
	if (w->text.len) {
		buf_add_slice(&joined, buf_slice(&w->text));
		buf_add_slice(&joined, bytes);
		if (buf_err(&joined) < 0)
			return -ENOMEM;
		l.all = buf_slice(&joined);
	}
	newline = memrchr(l.all.data, '\n', l.all.len);
	l.complete = newline ? (size_t)(newline - (const char *)l.all.data) + 1 : 0;
	rc = kv_begin(w->m->kv);
	if (rc < 0)
		return rc;
	rc = log_lines(w, &l, &undo, &provisional);
	if (rc == 0) {
		taken = lines_taken(w, &l, bytes.len, provisional);
		rc = taken < 0 ? (int)taken : 0;
	}
	if (rc == 0 && taken == (ssize_t)bytes.len)
		buf_add(&rest, (const char *)l.all.data + l.complete, l.all.len - l.complete);
	if (rc == 0)
		rc = buf_err(&rest);
	if (rc == 0)
		rc = kv_commit(w->m->kv, NULL);
	else
		kv_abort(w->m->kv);
	if (rc < 0) {
		metric_undo_release(&undo);
		return rc;
	}
	buf_release(&w->text);
	w->text = rest;
	rest = (struct buf)BUF_INIT;
	metric_undo_release(&w->undo);
	w->undo = undo;
	w->provisional = provisional;
	w->wrote = true;
	return taken;
}

static int flush_lines(struct value_writer *w)
{
	struct metric_point p;
	bool has_step;

	if (w->text.len == 0 || w->provisional)
		return 0;
	return parse_line(w, buf_slice(&w->text), 0, &p, &has_step);
}

/* --- JSON ------------------------------------------------------------------------------------------------- */

static int metric_value(const struct json_member *member, double *ret)
{
	int rc = -EINVAL;

	if (member->type == JSON_NUMBER)
		return num_parse_double(member->text, ret);
	if (member->type == JSON_STRING) /* "NaN", "Infinity", and whatever a line of text may be */
		rc = num_parse_double(member->text, ret);
	if (rc == 0)
		return 0;
	return err_set(-EINVAL, "JSON: metric \"%.*s\" is no number",
		       member->key.len > META_KEY_MAX ? (int)META_KEY_MAX : (int)member->key.len,
		       (const char *)member->key.data);
}

static int log_metric_member(struct value_writer *w, const struct json_member *member)
{
	struct metric_point p = { .time_ms = clock_now_ms() };
	struct metric_appender *a;
	uint32_t key;
	int rc = metric_value(member, &p.value);

	if (rc == 0)
		rc = key_check(member->key);
	if (rc == 0)
		rc = key_intern(w->m, member->key, &key);
	if (rc == 0)
		rc = metric_append_open(w->m, w->target.owner, key, &a);
	if (rc < 0)
		return rc;
	rc = add_line(a, &p, false);
	if (rc == 0)
		return metric_append_close(a);
	metric_append_drop(a);
	return rc;
}

static int log_member(void *arg, const struct json_member *member)
{
	struct value_writer *w = arg;

	if (w->target.kind == VALUE_RUN_METRICS_JSON)
		return member->type == JSON_OBJECT ? 0 : log_metric_member(w, member);
	if (w->target.kind == VALUE_RUN_PARAMS_JSON)
		return param_log(w->m, w->target.owner, member->key, member->text);
	return tag_set(w->m, TAG_RUN, w->target.owner, member->key, member->text);
}

static int log_object(struct value_writer *w)
{
	int rc = kv_begin(w->m->kv);

	if (rc < 0)
		return rc;
	rc = value_check_writable(kv_live(w->m->kv), &w->target);
	if (rc == 0)
		rc = json_flatten(buf_slice(&w->text), log_member, w);
	if (rc == 0)
		return kv_commit(w->m->kv, NULL);
	kv_abort(w->m->kv);
	return rc;
}

static ssize_t write_json(struct value_writer *w, struct slice bytes)
{
	struct json_scan scan = w->scan;
	size_t before = w->text.len, off = 0;
	int rc = 0;

	if (before + bytes.len > JSON_MAX)
		return err_set(-EFBIG, "a JSON object written here has at most %u bytes", JSON_MAX);
	while (off < bytes.len && rc == 0) {
		struct slice left = slice_of((const char *)bytes.data + off, bytes.len - off);
		ssize_t n = json_scan_feed(&scan, left);

		rc = n < 0 ? (int)n : 0;
		if (rc < 0)
			break;
		buf_add(&w->text, left.data, (size_t)n);
		rc = buf_err(&w->text);
		if (rc < 0 || !scan.done)
			break;
		rc = log_object(w);
		if (rc < 0)
			break;
		/* Another object may follow; what is taken stays taken. */
		off += (size_t)n;
		before = 0;
		buf_reset(&w->text);
		scan = w->scan = (struct json_scan){ 0 };
		w->wrote = true;
	}
	if (rc < 0) {
		if (!w->text.failed)
			w->text.len = before;
		return off ? (ssize_t)off : rc;
	}
	w->scan = scan;
	w->wrote = true;
	return (ssize_t)bytes.len;
}

static int flush_json(struct value_writer *w)
{
	return w->scan.began ? err_set(-EINVAL, "JSON: the object is not complete") : 0;
}

/* --- all -------------------------------------------------------------------------------------------------- */

ssize_t value_write(struct value_writer *w, struct slice bytes)
{
	if (is_json(w->target.kind))
		return write_json(w, bytes);
	return is_lines(w->target.kind) ? write_lines(w, bytes) : write_text(w, bytes);
}

int value_flush(struct value_writer *w)
{
	if (is_json(w->target.kind))
		return flush_json(w);
	return is_lines(w->target.kind) ? flush_lines(w) : flush_text(w);
}
