/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs (run.h): their records, names, states and fields.  What changes with every value that is logged (the time of the last change, the
 * counts) lies in a row of its own, so that logging rewrites a few bytes and not the record.
 *
 * Invariants (run_check):
 * 1. A run has a row under its UUID, and under its id if that was chosen; one under its experiment; one under its parent if it has one.
 * 2. Its tree exists and says that it is the run's; it is frozen when the run has ended.
 * 3. It has as many sessions as it says; the last is open (end 0) unless the run has ended.
 * 4. The counts are what counting gives.
 * 5. Rows of values, sessions, notes belong to a run that exists, or work is queued that deletes them.
 */
#include "store/meta/run.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/base/num.h"
#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"
#include "store/meta/run_internal.h"

#define RECORD_FORMAT 1

/* --- words ----------------------------------------------------------------------------------------------- */

static const char *const status_names[] = {
	[RUN_RUNNING] = "running", [RUN_SCHEDULED] = "scheduled", [RUN_FINISHED] = "finished",
	[RUN_FAILED] = "failed",   [RUN_KILLED] = "killed",
};

const char *run_status_name(enum run_status status)
{
	return status >= RUN_RUNNING && status <= RUN_KILLED ? status_names[status] : "unknown";
}

int run_status_parse(struct slice text, enum run_status *ret)
{
	const char *at = text.data;

	for (int s = RUN_RUNNING; s <= RUN_KILLED; s++) {
		size_t i = 0;

		while (i < text.len && status_names[s][i] && (at[i] | 0x20) == status_names[s][i])
			i++;
		if (text.len && i == text.len && !status_names[s][i]) {
			*ret = (enum run_status)s;
			return 0;
		}
	}
	return err_set(-EINVAL,
		       "\"%.*s\" is no status: running, scheduled, finished, failed or killed",
		       text.len > 60 ? 60 : (int)text.len, at);
}

bool run_status_ended(enum run_status status)
{
	return status != RUN_RUNNING && status != RUN_SCHEDULED;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((const char *)s.data)[i] < '0' || ((const char *)s.data)[i] > '9')
			return false;
	return s.len > 0;
}

static bool is_uuid(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_hex(((const char *)s.data)[i]))
			return false;
	return s.len == 32;
}

int run_id_check(struct slice id)
{
	static const char *const words[] = { "self",     "latest",      "new",  "runs.csv",
					     "runs.tsv", "description", "tags", "README" };
	int rc = meta_name_check(id, META_NAME_MAX, "a run");

	if (rc < 0)
		return rc;
	if (all_digits(id))
		return err_set(
			-EINVAL,
			"a chosen run id may not be a number: numbers are given out in order");
	if (is_uuid(id))
		return err_set(-EINVAL,
			       "a chosen run id may not be 32 hex digits: those are UUIDs");
	if (memchr(id.data, '@', id.len))
		return err_set(-EINVAL, "a run id may not contain \"@\"");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq(id, slice_str(words[i])))
			return err_set(
				-EINVAL,
				"\"%s\" has a meaning of its own here and cannot be a run id",
				words[i]);
	return 0;
}

/* --- records --------------------------------------------------------------------------------------------- */

int run_row_get(struct kv_view *view, uint32_t number, struct run_row *ret)
{
	struct meta_key k = meta_key_1(number);
	struct run *r = &ret->run;
	struct slice value, uuid;
	struct unpack u;
	int rc = kv_get(view, TABLE_RUN, meta_key_slice(&k), &value);

	if (rc < 0)
		return rc;
	*ret = (struct run_row){ .run.number = number };
	u = unpack_init(value);
	if (unpack_u8(&u) != RECORD_FORMAT)
		u.bad = true;
	uuid = unpack_bytes(&u, sizeof(r->uuid));
	if (uuid.len == sizeof(r->uuid))
		memcpy(r->uuid, uuid.data, uuid.len);
	ret->serial = unpack_u32(&u);
	r->experiment = unpack_u32(&u);
	r->parent = unpack_u32(&u);
	r->status = (enum run_status)unpack_u8(&u);
	r->start_ms = unpack_i64(&u);
	r->end_ms = unpack_i64(&u);
	r->duration_ms = unpack_i64(&u);
	r->session_start_ms = unpack_i64(&u);
	r->deleted_ms = unpack_i64(&u);
	r->sessions = unpack_u32(&u);
	r->uid = unpack_u32(&u);
	r->gid = unpack_u32(&u);
	r->tree = unpack_u32(&u);
	r->id = unpack_str(&u);
	r->name = unpack_str(&u);
	r->user = unpack_str(&u);
	r->description = unpack_str(&u);
	r->frozen = run_status_ended(r->status);
	if (unpack_done(&u) < 0 || r->status < RUN_RUNNING || r->status > RUN_KILLED)
		return err_set(-EBADMSG, "the record of run number %u is damaged", number);
	return 0;
}

int run_row_put(struct meta *m, const struct run_row *row)
{
	const struct run *r = &row->run;
	struct meta_key k = meta_key_1(r->number);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_u8(&value, RECORD_FORMAT);
	buf_add(&value, r->uuid, sizeof(r->uuid));
	pack_u32(&value, row->serial);
	pack_u32(&value, r->experiment);
	pack_u32(&value, r->parent);
	pack_u8(&value, (uint8_t)r->status);
	pack_i64(&value, r->start_ms);
	pack_i64(&value, r->end_ms);
	pack_i64(&value, r->duration_ms);
	pack_i64(&value, r->session_start_ms);
	pack_i64(&value, r->deleted_ms);
	pack_u32(&value, r->sessions);
	pack_u32(&value, r->uid);
	pack_u32(&value, r->gid);
	pack_u32(&value, r->tree);
	pack_str(&value, r->id);
	pack_str(&value, r->name);
	pack_str(&value, r->user);
	pack_str(&value, r->description);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_RUN, meta_key_slice(&k), buf_slice(&value));
}

static int stat_get(struct kv_view *view, struct run *r)
{
	struct meta_key k = meta_key_1(r->number);
	struct slice value;
	struct unpack u;
	int rc = kv_get(view, TABLE_RUN_STAT, meta_key_slice(&k), &value);

	if (rc < 0)
		return rc == -ENOENT
			       ? err_set(-EBADMSG, "run number %u has lost its counts", r->number)
			       : rc;
	u = unpack_init(value);
	r->changed_ms = unpack_i64(&u);
	r->params = (uint32_t)unpack_varint(&u);
	r->metrics = (uint32_t)unpack_varint(&u);
	r->tags = (uint32_t)unpack_varint(&u);
	return unpack_done(&u) < 0
		       ? err_set(-EBADMSG, "the counts of run number %u are damaged", r->number)
		       : 0;
}

static int stat_put(struct meta *m, const struct run *r)
{
	struct meta_key k = meta_key_1(r->number);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_i64(&value, r->changed_ms);
	pack_varint(&value, r->params);
	pack_varint(&value, r->metrics);
	pack_varint(&value, r->tags);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_RUN_STAT, meta_key_slice(&k), buf_slice(&value));
}

static uint32_t shifted(uint32_t count, int by)
{
	return by < 0 && count < (uint32_t)-by ? 0 : count + (uint32_t)by;
}

int run_changed(struct meta *m, uint32_t number, int params, int metrics, int tags)
{
	struct run r = { .number = number };
	int rc = stat_get(kv_live(m->kv), &r);

	if (rc < 0)
		return rc;
	r.changed_ms = clock_now_ms();
	r.params = shifted(r.params, params);
	r.metrics = shifted(r.metrics, metrics);
	r.tags = shifted(r.tags, tags);
	return stat_put(m, &r);
}

int run_get(struct kv_view *view, uint32_t number, struct run *ret)
{
	struct run_row row;
	struct experiment e;
	int rc = run_row_get(view, number, &row);

	if (rc == 0)
		rc = stat_get(view, &row.run);
	if (rc < 0)
		return rc;
	rc = experiment_get(view, row.run.experiment, &e);
	if (rc == -ENOENT && row.run.deleted_ms == 0)
		return -ENOENT; /* destroyed with it */
	if (rc < 0 && rc != -ENOENT)
		return rc;
	row.run.trashed = row.run.deleted_ms != 0 || rc < 0 || e.deleted_ms != 0;
	*ret = row.run;
	return 0;
}

int run_refuse_trashed(const struct run *run)
{
	if (!run->trashed)
		return 0;
	return err_set(-EPERM, "run %.*s is in the trash", (int)run->id.len,
		       (const char *)run->id.data);
}

int run_check_writable(struct kv_view *view, uint32_t number)
{
	struct run run;
	int rc = run_get(view, number, &run);

	if (rc == 0)
		rc = run_refuse_trashed(&run);
	if (rc == 0 && run.frozen)
		rc = err_set(
			-EPERM,
			"run %.*s has ended (%s): of an ended run only name, description, experiment, status and tags can be set",
			(int)run.id.len, (const char *)run.id.data, run_status_name(run.status));
	return rc;
}

/* A run to be changed: its texts lie in TEXT, so that puts do not take them away.  Trashed: -EPERM. */
int run_load(struct meta *m, uint32_t number, struct buf *text, struct run_row *ret)
{
	struct run *r = &ret->run;
	struct slice *const all[] = { &r->id, &r->name, &r->user, &r->description };
	struct run whole;
	size_t off = 0;
	int rc = run_get(kv_live(m->kv), number, &whole);

	if (rc == 0)
		rc = run_row_get(kv_live(m->kv), number, ret);
	if (rc < 0)
		return rc;
	*r = whole;
	for (size_t i = 0; i < 4; i++)
		buf_add_slice(text, *all[i]);
	rc = buf_err(text);
	for (size_t i = 0; i < 4 && rc == 0; i++) {
		all[i]->data = text->data + off;
		off += all[i]->len;
	}
	return rc;
}

int run_load_living(struct meta *m, uint32_t number, struct buf *text, struct run_row *ret)
{
	int rc = run_load(m, number, text, ret);

	return rc < 0 ? rc : run_refuse_trashed(&ret->run);
}

/* Write the record and the time of the change. */
int run_save(struct meta *m, const struct run_row *row)
{
	int rc = run_row_put(m, row);

	return rc < 0 ? rc : run_changed(m, row->run.number, 0, 0, 0);
}

void run_emit_event(struct meta *m, const struct run *r, const char *what, const char *name,
		    const char *value)
{
	char id[META_NAME_MAX + 1];

	snprintf(id, sizeof(id), "%.*s", (int)r->id.len, (const char *)r->id.data);
	event_emit(m, what, "run", id, name, value, NULL);
}

/* --- making ---------------------------------------------------------------------------------------------- */

static int run_name_row_put(struct meta *m, uint8_t kind, struct slice name, uint32_t number)
{
	SCOPED_BUF struct buf key = BUF_INIT, value = BUF_INIT;
	int rc;

	key_u8(&key, kind);
	key_bytes(&key, name);
	pack_u32(&value, number);
	rc = buf_err(&key);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_RUN_NAME, buf_slice(&key), buf_slice(&value));
}

static int name_row_get(struct kv_view *view, uint8_t kind, struct slice name, uint32_t *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	struct unpack u;
	int rc;

	key_u8(&key, kind);
	key_bytes(&key, name);
	rc = buf_err(&key);
	if (rc == 0)
		rc = key.len <= KV_KEY_MAX ? kv_get(view, TABLE_RUN_NAME, buf_slice(&key), &value)
					   : -ENOENT;
	if (rc < 0)
		return rc;
	u = unpack_init(value);
	*ret = unpack_u32(&u);
	return unpack_done(&u);
}

int run_name_row_del(struct meta *m, uint8_t kind, struct slice name)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	int rc;

	key_u8(&key, kind);
	key_bytes(&key, name);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_RUN_NAME, buf_slice(&key));
	return rc == -ENOENT ? 0 : rc;
}

int run_pair_put(struct meta *m, uint8_t table, uint32_t a, uint32_t b)
{
	struct meta_key k = meta_key_2(a, b);

	return kv_put(m->kv, table, meta_key_slice(&k), slice_of(NULL, 0));
}

int run_pair_del(struct meta *m, uint8_t table, uint32_t a, uint32_t b)
{
	struct meta_key k = meta_key_2(a, b);
	int rc = kv_del(m->kv, table, meta_key_slice(&k));

	return rc == -ENOENT ? 0 : rc;
}

static int uuid_new(uint8_t out[16])
{
	if (getrandom(out, 16, 0) != 16)
		return err_set(-EIO, "no random numbers");
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
	return 0;
}

/* Borrowed until the next call.  The last answer is kept: each new run asks, and asking may take a network's time.  Core thread. */
static struct slice user_name(uint32_t uid)
{
	static char name[256];
	static uint32_t name_of;
	struct passwd pw, *found = NULL;
	char text[4096];

	if (name[0] && name_of == uid)
		return slice_str(name);
	if (getpwuid_r((uid_t)uid, &pw, text, sizeof(text), &found) == 0 && found &&
	    text_valid(slice_str(pw.pw_name)))
		snprintf(name, sizeof(name), "%s", pw.pw_name);
	else
		snprintf(name, sizeof(name), "%u", uid);
	name_of = uid;
	return slice_str(name);
}

/* Rows that a new run has beside its record. */
static int put_new_rows(struct meta *m, const struct run *r)
{
	const struct run_session first = { .n = 1, .start_ms = r->start_ms, .status = r->status };
	int rc = run_name_row_put(m, RUN_NAME_UUID, slice_of(r->uuid, sizeof(r->uuid)), r->number);

	if (rc == 0 && r->number >= RUN_CHOSEN_FIRST)
		rc = run_name_row_put(m, RUN_NAME_CHOSEN, r->id, r->number);
	if (rc == 0)
		rc = run_pair_put(m, TABLE_RUN_EXPERIMENT, r->experiment, r->number);
	if (rc == 0)
		rc = stat_put(m, r);
	if (rc == 0)
		rc = run_session_put(m, r->number, &first);
	if (rc == 0)
		rc = tag_put(m, TAG_RUN, r->number, slice_str("mlflow.runName"), &r->name);
	if (rc == 0)
		rc = tag_put(m, TAG_RUN, r->number, slice_str("mlflow.user"), &r->user);
	return rc;
}

static int make(struct meta *m, uint32_t experiment, struct slice id, const struct meta_actor *who,
		uint32_t *ret_number)
{
	char name[64], digits[NUM_TEXT_MAX];
	struct run_row row = { 0 };
	struct run *r = &row.run;
	int rc = 0;

	if (!experiment_alive(kv_live(m->kv), experiment))
		return err_set(-ENOENT, "there is no such experiment, or it is in the trash");
	if (id.len)
		rc = meta_counter_next(m, "run.chosen", RUN_CHOSEN_FIRST, 2 * RUN_CHOSEN_FIRST - 1,
				       &r->number);
	else
		rc = meta_counter_next(m, "run", 1, RUN_CHOSEN_FIRST - 1, &r->number);
	if (rc == 0)
		rc = meta_counter_next(m, "run.serial", 1, UINT32_MAX - 1, &row.serial);
	if (rc == 0)
		rc = uuid_new(r->uuid);
	if (rc == 0)
		rc = tree_new(m->trees, TREE_OWNER_RUN, r->number, S_IFDIR | 0755, who->uid,
			      who->gid, &r->tree);
	if (rc < 0)
		return rc;
	r->id = id.len ? id : slice_of(digits, num_format_i64(r->number, digits));
	r->experiment = experiment;
	r->status = RUN_RUNNING;
	r->start_ms = r->session_start_ms = r->changed_ms = clock_now_ms();
	r->sessions = 1;
	r->uid = who->uid;
	r->gid = who->gid;
	run_name_random(name);
	r->name = slice_str(name);
	r->user = user_name(who->uid);
	rc = run_row_put(m, &row);
	if (rc == 0)
		rc = put_new_rows(m, r);
	if (rc < 0)
		return rc;
	*ret_number = r->number;
	run_emit_event(m, r, "run.new", "name", name);
	return 0;
}

int run_make(struct meta *m, uint32_t experiment, const struct meta_actor *who,
	     uint32_t *ret_number)
{
	return make(m, experiment, slice_of(NULL, 0), who, ret_number);
}

int run_make_chosen(struct meta *m, uint32_t experiment, struct slice id,
		    const struct meta_actor *who, uint32_t *ret_number)
{
	char copy[META_NAME_MAX];
	uint32_t other;
	int rc = run_id_check(id);

	if (rc < 0)
		return rc;
	rc = name_row_get(kv_live(m->kv), RUN_NAME_CHOSEN, id, &other);
	if (rc == 0)
		return err_set(-EEXIST, "there is a run \"%.*s\" already, maybe in the trash",
			       (int)id.len, (const char *)id.data);
	if (rc != -ENOENT)
		return rc;
	memcpy(copy, id.data, id.len);
	return make(m, experiment, slice_of(copy, id.len), who, ret_number);
}

/* --- finding --------------------------------------------------------------------------------------------- */

/* The number that ID spells, whatever its state. */
static int number_of(struct kv_view *view, struct slice id, uint32_t *ret)
{
	uint8_t uuid[16];
	const char *at = id.data;

	if (is_uuid(id)) {
		for (size_t i = 0; i < 16; i++) {
			char two[3] = { at[2 * i], at[2 * i + 1], '\0' };

			uuid[i] = (uint8_t)strtoul(two, NULL, 16);
		}
		return name_row_get(view, RUN_NAME_UUID, slice_of(uuid, sizeof(uuid)), ret);
	}
	if (!all_digits(id))
		return id.len ? name_row_get(view, RUN_NAME_CHOSEN, id, ret) : -ENOENT;
	if (id.len > 8 || at[0] == '0')
		return -ENOENT;
	*ret = 0;
	for (size_t i = 0; i < id.len; i++)
		*ret = *ret * 10 + (uint32_t)(at[i] - '0');
	return *ret < RUN_CHOSEN_FIRST ? 0 : -ENOENT;
}

int run_find(struct kv_view *view, struct slice id_or_uuid, uint32_t *ret_number)
{
	struct run run;
	int rc = number_of(view, id_or_uuid, ret_number);

	if (rc == 0)
		rc = run_get(view, *ret_number, &run);
	return rc == 0 && run.trashed ? -ENOENT : rc;
}

/* The living run with the highest number below LIMIT. */
static int last_below(struct kv_view *view, uint32_t limit, uint32_t *ret_number,
		      uint32_t *ret_serial)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key k = meta_key_1(limit);
	int rc = kv_cursor_open(view, TABLE_RUN, &cur);

	*ret_number = *ret_serial = 0;
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, meta_key_slice(&k));
	while (rc == 0) {
		uint32_t number = meta_key_read_u32(kv_cursor_key(cur), 0);
		struct run_row row;
		struct run run;

		if (limit > RUN_CHOSEN_FIRST && number < RUN_CHOSEN_FIRST)
			break;
		if (run_get(view, number, &run) == 0 && !run.trashed &&
		    run_row_get(view, number, &row) == 0) {
			*ret_number = number;
			*ret_serial = row.serial;
			return 0;
		}
		rc = kv_cursor_prev(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

int run_latest(struct kv_view *view, uint32_t *ret_number)
{
	uint32_t number, serial, chosen, chosen_serial;
	int rc = last_below(view, RUN_CHOSEN_FIRST, &number, &serial);

	if (rc == 0)
		rc = last_below(view, UINT32_MAX, &chosen, &chosen_serial);
	if (rc < 0)
		return rc;
	*ret_number = chosen_serial > serial ? chosen : number;
	return *ret_number ? 0 : -ENOENT;
}

int run_each(struct kv_view *view, uint32_t after, int (*emit)(void *arg, const struct run *run),
	     void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key from = meta_key_1(after + 1);
	int rc = kv_cursor_open(view, TABLE_RUN, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&from));
	while (rc == 0) {
		struct run run;

		rc = run_get(view, meta_key_read_u32(kv_cursor_key(cur), 0), &run);
		if (rc == 0 && !run.trashed)
			rc = emit(arg, &run);
		if (rc != 0 && rc != -ENOENT)
			return rc > 0 ? 0 : rc;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Runs listed in TABLE under (HEAD, run). */
static int each_pair(struct kv_view *view, uint8_t table, uint32_t head, uint32_t after,
		     bool of_trashed_too, int (*emit)(void *arg, const struct run *run), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key prefix = meta_key_1(head), from = meta_key_2(head, after + 1);
	int rc = after == UINT32_MAX ? -ENOENT : kv_cursor_open(view, table, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&from));
	while (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix))) {
		struct run run;

		rc = run_get(view, meta_key_read_u32(kv_cursor_key(cur), 4), &run);
		if (rc == 0 && (of_trashed_too ? run.deleted_ms == 0 : !run.trashed))
			rc = emit(arg, &run);
		if (rc != 0 && rc != -ENOENT)
			return rc > 0 ? 0 : rc;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

int run_each_in(struct kv_view *view, uint32_t experiment, uint32_t after,
		int (*emit)(void *arg, const struct run *run), void *arg)
{
	return each_pair(view, TABLE_RUN_EXPERIMENT, experiment, after, true, emit, arg);
}

int run_each_child(struct kv_view *view, uint32_t parent, uint32_t after,
		   int (*emit)(void *arg, const struct run *run), void *arg)
{
	return each_pair(view, TABLE_RUN_CHILD, parent, after, false, emit, arg);
}

int64_t run_last_change_ms(struct kv_view *view, const struct run *run)
{
	struct tree_info artifacts;
	int64_t ms;

	if (tree_info(view, run->tree, &artifacts) < 0)
		return run->changed_ms;
	ms = artifacts.mtime_ns / 1000000;
	return ms > run->changed_ms ? ms : run->changed_ms;
}
