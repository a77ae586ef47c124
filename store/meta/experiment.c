/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/experiment.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"
#include "store/meta/model_internal.h"
#include "store/meta/trash.h"

#define RECORD_FORMAT     1
#define EXPERIMENT_ID_MAX ((1u << 26) - 1)
#define DESTROY_COST      16 /* of a work step's budget, for one run */

static int experiment_unpack(struct slice value, uint32_t id, struct experiment *ret)
{
	struct unpack u = unpack_init(value);

	*ret = (struct experiment){ .id = id };
	if (unpack_u8(&u) != RECORD_FORMAT)
		u.bad = true;
	ret->created_ms = unpack_i64(&u);
	ret->changed_ms = unpack_i64(&u);
	ret->deleted_ms = unpack_i64(&u);
	ret->uid = unpack_u32(&u);
	ret->mode = unpack_u32(&u);
	ret->name = unpack_str(&u);
	ret->description = unpack_str(&u);
	ret->artifact_location = unpack_str(&u);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "the record of experiment %u is damaged", id)
				   : 0;
}

static int experiment_put(struct meta *m, const struct experiment *e)
{
	struct meta_key k = meta_key_1(e->id);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_u8(&value, RECORD_FORMAT);
	pack_i64(&value, e->created_ms);
	pack_i64(&value, e->changed_ms);
	pack_i64(&value, e->deleted_ms);
	pack_u32(&value, e->uid);
	pack_u32(&value, e->mode);
	pack_str(&value, e->name);
	pack_str(&value, e->description);
	pack_str(&value, e->artifact_location);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_EXPERIMENT, meta_key_slice(&k), buf_slice(&value));
}

int experiment_get(struct kv_view *view, uint32_t id, struct experiment *ret)
{
	struct meta_key k = meta_key_1(id);
	struct slice value;
	int rc = kv_get(view, TABLE_EXPERIMENT, meta_key_slice(&k), &value);

	return rc < 0 ? rc : experiment_unpack(value, id, ret);
}

bool experiment_alive(struct kv_view *view, uint32_t id)
{
	struct experiment e;

	return experiment_get(view, id, &e) == 0 && e.deleted_ms == 0;
}

int experiment_find(struct kv_view *view, struct slice name, uint32_t *ret_id)
{
	struct slice value;
	struct unpack u;
	int rc = name.len && name.len <= META_NAME_MAX
			 ? kv_get(view, TABLE_EXPERIMENT_NAME, name, &value)
			 : -ENOENT;

	if (rc < 0)
		return rc;
	u = unpack_init(value);
	*ret_id = unpack_u32(&u);
	return unpack_done(&u);
}

static int name_put(struct meta *m, struct slice name, uint32_t id)
{
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_u32(&value, id);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_EXPERIMENT_NAME, name, buf_slice(&value));
}

static int check_free(struct meta *m, struct slice name)
{
	uint32_t other;
	int rc = meta_name_check(name, META_NAME_MAX, "an experiment");

	if (rc == 0)
		rc = experiment_find(kv_live(m->kv), name, &other);
	if (rc == 0)
		return err_set(-EEXIST, "there is an experiment \"%.*s\" already", (int)name.len,
			       (const char *)name.data);
	return rc == -ENOENT ? 0 : rc;
}

int experiment_make(struct meta *m, struct slice name, const struct meta_actor *who,
		    uint32_t *ret_id)
{
	char copy[META_NAME_MAX + 1];
	struct experiment e = { .uid = who->uid, .mode = 0755 };
	int rc = check_free(m, name);

	if (rc == 0)
		rc = meta_counter_next(m, "experiment", EXPERIMENT_DEFAULT, EXPERIMENT_ID_MAX,
				       &e.id);
	if (rc < 0)
		return rc;
	e.name = name;
	e.created_ms = e.changed_ms = clock_now_ms();
	snprintf(copy, sizeof(copy), "%.*s", (int)name.len, (const char *)name.data);
	rc = experiment_put(m, &e);
	if (rc == 0)
		rc = name_put(m, slice_str(copy), e.id);
	if (rc < 0)
		return rc;
	*ret_id = e.id;
	event_emit(m, "experiment.new", "experiment", copy, NULL);
	return 0;
}

int experiment_each(struct kv_view *view, uint32_t after,
		    int (*emit)(void *arg, const struct experiment *e), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key from = meta_key_1(after + 1); /* UINT32_MAX: 0 */
	int rc = kv_cursor_open(view, TABLE_EXPERIMENT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&from));
	while (rc == 0) {
		struct experiment e;

		rc = experiment_unpack(kv_cursor_value(cur),
				       meta_key_read_u32(kv_cursor_key(cur), 0), &e);
		if (rc == 0 && e.deleted_ms == 0)
			rc = emit(arg, &e);
		if (rc != 0)
			return rc > 0 ? 0 : rc;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Load E for a change; its texts go to TEXT, so that puts do not take them away. */
static int experiment_load(struct meta *m, uint32_t id, struct buf *text, struct experiment *ret)
{
	struct slice *const all[] = { &ret->name, &ret->description, &ret->artifact_location };
	size_t off = 0;
	int rc = experiment_get(kv_live(m->kv), id, ret);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 3; i++)
		buf_add_slice(text, *all[i]);
	rc = buf_err(text);
	for (size_t i = 0; i < 3 && rc == 0; i++) {
		all[i]->data = text->data + off;
		off += all[i]->len;
	}
	return rc;
}

static int load_living(struct meta *m, uint32_t id, struct buf *text, struct experiment *ret)
{
	int rc = experiment_load(m, id, text, ret);

	if (rc == 0 && ret->deleted_ms)
		rc = err_set(-EPERM, "experiment \"%.*s\" is in the trash", (int)ret->name.len,
			     (const char *)ret->name.data);
	return rc;
}

static int refuse_default(uint32_t id, const char *what)
{
	return id == EXPERIMENT_DEFAULT
		       ? err_set(-EPERM,
				 "the experiment \"Default\" always exists: it cannot be %s", what)
		       : 0;
}

int experiment_touch(struct meta *m, uint32_t id)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	int rc = experiment_load(m, id, &text, &e);

	e.changed_ms = clock_now_ms();
	return rc < 0 ? rc : experiment_put(m, &e);
}

int experiment_rename(struct meta *m, uint32_t id, struct slice name)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	int rc = refuse_default(id, "renamed");

	if (rc == 0)
		rc = load_living(m, id, &text, &e);
	if (rc < 0 || slice_eq(e.name, name))
		return rc;
	rc = check_free(m, name);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_EXPERIMENT_NAME, e.name);
	if (rc == 0)
		rc = name_put(m, name, id);
	e.name = name;
	e.changed_ms = clock_now_ms();
	return rc < 0 ? rc : experiment_put(m, &e);
}

int experiment_set_description(struct meta *m, uint32_t id, struct slice description)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	int rc = load_living(m, id, &text, &e);

	if (rc == 0)
		rc = meta_text_check(description, META_TAG_MAX, "a description");
	if (rc < 0)
		return rc;
	e.description = description;
	e.changed_ms = clock_now_ms();
	return experiment_put(m, &e);
}

static int stop_at_first(void *arg, const struct run *run)
{
	(void)run;
	*(bool *)arg = true;
	return 1;
}

int experiment_remove(struct meta *m, uint32_t id)
{
	bool has_runs = false;
	int rc = refuse_default(id, "removed");

	if (rc == 0)
		rc = run_each_in(kv_live(m->kv), id, 0, stop_at_first, &has_runs);
	if (rc == 0 && has_runs)
		rc = err_set(
			-ENOTEMPTY,
			"the experiment has runs: move it to /trash/experiments/ to remove it with them");
	return rc < 0 ? rc : experiment_trash(m, id);
}

int experiment_trash(struct meta *m, uint32_t id)
{
	char name[META_NAME_MAX + 1];
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	int rc = refuse_default(id, "removed");

	if (rc == 0)
		rc = load_living(m, id, &text, &e);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_EXPERIMENT_NAME, e.name);
	if (rc < 0)
		return rc;
	e.deleted_ms = e.changed_ms = clock_now_ms();
	rc = experiment_put(m, &e);
	if (rc == 0)
		rc = trash_add(m, TRASH_EXPERIMENTS, e.name, TRASH_EXPERIMENT, id);
	snprintf(name, sizeof(name), "%.*s", (int)e.name.len, (const char *)e.name.data);
	if (rc == 0)
		event_emit(m, "experiment.trash", "experiment", name, NULL);
	return rc;
}

int experiment_restore(struct meta *m, uint32_t id, struct slice name)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct experiment e;
	int rc = experiment_load(m, id, &text, &e);

	if (rc == 0 && e.deleted_ms == 0)
		rc = err_set(-EINVAL, "the experiment is not in the trash");
	if (rc == 0)
		rc = check_free(m, name);
	if (rc == 0)
		rc = trash_remove(m, TRASH_EXPERIMENTS, TRASH_EXPERIMENT, id);
	if (rc == 0)
		rc = name_put(m, name, id);
	if (rc < 0)
		return rc;
	e.name = name;
	e.deleted_ms = 0;
	e.changed_ms = clock_now_ms();
	return experiment_put(m, &e);
}

int experiment_destroy(struct meta *m, uint32_t id)
{
	struct meta_key k = meta_key_1(id);
	struct experiment e;
	int rc = experiment_get(kv_live(m->kv), id, &e);

	if (rc == 0 && e.deleted_ms == 0)
		rc = err_set(-EPERM, "only what lies in the trash can be destroyed");
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_EXPERIMENT, meta_key_slice(&k));
	if (rc == 0)
		rc = trash_remove(m, TRASH_EXPERIMENTS, TRASH_EXPERIMENT, id);
	return rc < 0 ? rc : meta_work_add(m, META_WORK_EXPERIMENT, id);
}

/* The first run of ID, 0 when there is none left. */
static int first_run(struct meta *m, uint32_t id, uint32_t *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key k = meta_key_1(id);
	int rc = kv_cursor_open(kv_live(m->kv), TABLE_RUN_EXPERIMENT, &cur);

	*ret = 0;
	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&k));
	if (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&k)))
		*ret = meta_key_read_u32(kv_cursor_key(cur), 4);
	return rc == -ENOENT ? 0 : rc;
}

int experiment_work_step(struct meta *m, uint32_t id, unsigned *budget)
{
	struct meta_key tags = { .len = 0 }, dirs = { .len = 0 };
	int rc = 0;

	while (rc == 0 && *budget > DESTROY_COST) {
		uint32_t run;

		rc = first_run(m, id, &run);
		if (rc < 0 || run == 0)
			break;
		rc = run_orphaned(m, run);
		*budget -= DESTROY_COST;
	}
	if (rc < 0 || *budget <= DESTROY_COST) {
		*budget = 0;
		return rc;
	}
	rc = logged_model_forget_experiment(m, id, budget);
	if (rc < 0 || *budget == 0)
		return rc;
	meta_key_u8(&tags, TAG_EXPERIMENT);
	meta_key_u32(&tags, id);
	rc = meta_delete_prefix(m, TABLE_TAG, meta_key_slice(&tags), budget);
	meta_key_u8(&dirs, keyspace_code(KEYS_TAG, TAG_EXPERIMENT));
	meta_key_u32(&dirs, id);
	return rc < 0 ? rc : meta_delete_prefix(m, TABLE_KEY_DIR, meta_key_slice(&dirs), budget);
}

/* --- checking ------------------------------------------------------------------------------------------- */

static const char *check_one(struct kv_view *view, struct slice value, uint32_t id)
{
	struct experiment e;
	uint32_t other;
	int rc;

	if (experiment_unpack(value, id, &e) < 0)
		return "has a damaged record";
	rc = experiment_find(view, e.name, &other);
	if (e.deleted_ms == 0 && (rc < 0 || other != id))
		return "is not found by its name";
	if (id == EXPERIMENT_DEFAULT && (e.deleted_ms || !slice_eq(e.name, slice_str("Default"))))
		return "is not \"Default\"";
	return NULL;
}

int experiment_check(struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL, *names = NULL;
	int faults = 0, rc = kv_cursor_open(view, TABLE_EXPERIMENT, &cur);
	uint64_t alive = 0;
	char line[160];

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		uint32_t id = meta_key_read_u32(kv_cursor_key(cur), 0);
		const char *fault = check_one(view, kv_cursor_value(cur), id);

		alive += experiment_alive(view, id);
		if (!fault)
			continue;
		snprintf(line, sizeof(line), "experiment %u %s", id, fault);
		report(arg, line);
		faults = 1;
	}
	if (rc != -ENOENT)
		return rc;
	rc = kv_cursor_open(view, TABLE_EXPERIMENT_NAME, &names);
	if (rc == 0)
		rc = kv_cursor_seek(names, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(names))
		alive--;
	if (rc == -ENOENT && alive != 0) {
		report(arg, "names of experiments and experiments do not agree");
		faults = 1;
	}
	return rc == -ENOENT ? faults : rc;
}
