/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version - the frozen states of datasets and models: records, trash, the end.  Bytes: FORMAT.md 5.
 *
 * A version's bytes are an epoch of a tree, mostly of the tree that is or was its entry's head; after `mv A B` it may be a tree whose
 * head is another entry's.  TABLE_VERSION_TREE says which versions need an epoch; who erases the last one drops the epoch, and
 * with the last of a tree that is no head any more the tree.
 */
#include "store/meta/entry.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/base/pack.h"
#include "store/base/text.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"

enum { FLAG_DIR = 1, FLAG_TRASHED = 2, FLAG_DESTROYED = 4 };

static const struct slice nothing;

/* --- records ---------------------------------------------------------------------------------------- */

static void version_encode(const struct version *v, struct buf *out)
{
	unsigned flags = (v->is_dir ? FLAG_DIR : 0u) | (v->trashed ? FLAG_TRASHED : 0u) |
			 (v->destroyed ? FLAG_DESTROYED : 0u);

	pack_u32(out, v->serial);
	pack_u8(out, (uint8_t)flags);
	pack_u8(out, (uint8_t)v->stage);
	pack_u32(out, v->place.tree);
	pack_u32(out, v->place.epoch);
	pack_u64(out, v->bytes);
	pack_i64(out, v->created_ms);
	pack_i64(out, v->changed_ms);
	pack_i64(out, v->deleted_ms);
	pack_u32(out, v->uid);
	pack_u32(out, v->run);
	pack_str(out, v->message);
	pack_str(out, v->description);
	pack_str(out, v->source);
	pack_str(out, v->run_link);
	pack_str(out, v->logged_model);
}

int version_decode(struct slice record, uint32_t entry, uint32_t n, struct version *ret)
{
	struct unpack u = unpack_init(record);
	uint8_t flags, stage;
	int rc;

	*ret = (struct version){ .entry = entry, .n = n };
	ret->serial = unpack_u32(&u);
	flags = unpack_u8(&u);
	stage = unpack_u8(&u);
	ret->is_dir = (flags & FLAG_DIR) != 0;
	ret->trashed = (flags & FLAG_TRASHED) != 0;
	ret->destroyed = (flags & FLAG_DESTROYED) != 0;
	ret->stage = (enum version_stage)stage;
	ret->place.tree = unpack_u32(&u);
	ret->place.epoch = unpack_u32(&u);
	ret->bytes = unpack_u64(&u);
	ret->created_ms = unpack_i64(&u);
	ret->changed_ms = unpack_i64(&u);
	ret->deleted_ms = unpack_i64(&u);
	ret->uid = unpack_u32(&u);
	ret->run = unpack_u32(&u);
	ret->message = unpack_str(&u);
	ret->description = unpack_str(&u);
	ret->source = unpack_str(&u);
	ret->run_link = unpack_str(&u);
	ret->logged_model = unpack_str(&u);
	rc = unpack_more(&u);
	if (rc == 0 && stage > STAGE_ARCHIVED)
		rc = -EBADMSG;
	return rc < 0 ? err_set(rc, "the record of version %u of dataset or model %u is damaged", n, entry) : 0;
}

static int version_key(uint32_t entry, uint32_t n, struct buf *key)
{
	key_u32(key, entry);
	key_u32(key, n);
	return buf_err(key);
}

int version_get(struct kv_view *view, uint32_t entry, uint32_t n, struct version *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice record;
	int rc = version_key(entry, n, &key);

	if (rc == 0)
		rc = kv_get(view, TABLE_VERSION, buf_slice(&key), &record);
	return rc < 0 ? rc : version_decode(record, entry, n, ret);
}

int version_by_serial(struct kv_view *view, uint32_t serial, struct version *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	struct unpack u;
	uint32_t entry, n;
	int rc;

	key_u32(&key, serial);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_get(view, TABLE_VERSION_SERIAL, buf_slice(&key), &value);
	if (rc < 0)
		return rc;
	u = unpack_init(value);
	entry = unpack_u32(&u);
	n = unpack_u32(&u);
	rc = unpack_done(&u);
	return rc < 0 ? rc : version_get(view, entry, n, ret);
}

int version_save(struct meta *m, const struct version *v)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc = version_key(v->entry, v->n, &key);

	version_encode(v, &value);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_VERSION, buf_slice(&key), buf_slice(&value));
}

void version_own_release(struct version_own *o)
{
	buf_release(&o->text);
}

/* Copy the texts that O->v borrows. */
static int own_texts(struct version_own *o)
{
	struct slice *const texts[] = { &o->v.message, &o->v.description, &o->v.source, &o->v.run_link,
					&o->v.logged_model };
	size_t at = 0;
	int rc;

	buf_reset(&o->text);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		buf_add_slice(&o->text, *texts[i]);
	rc = buf_err(&o->text);
	for (size_t i = 0; rc == 0 && i < sizeof(texts) / sizeof(texts[0]); i++) {
		texts[i]->data = o->text.data + at;
		at += texts[i]->len;
	}
	return rc;
}

int version_load_n(struct kv_view *view, uint32_t entry, uint32_t n, struct version_own *ret)
{
	int rc = version_get(view, entry, n, &ret->v);

	return rc < 0 ? rc : own_texts(ret);
}

int version_load(struct kv_view *view, uint32_t serial, struct version_own *ret)
{
	int rc = version_by_serial(view, serial, &ret->v);

	return rc < 0 ? rc : own_texts(ret);
}

struct each {
	uint32_t entry;
	int (*emit)(void *arg, const struct version *v);
	void *arg;
};

static int each_version(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	struct unpack u = unpack_init(rest);
	struct version v;
	int rc = version_decode(value, each->entry, unkey_u32(&u), &v);

	return rc < 0 || v.trashed || v.destroyed ? rc : each->emit(each->arg, &v);
}

int version_each(struct kv_view *view, uint32_t entry, uint32_t after,
		 int (*emit)(void *arg, const struct version *v), void *arg)
{
	struct each each = { entry, emit, arg };
	SCOPED_BUF struct buf prefix = BUF_INIT;
	SCOPED_BUF struct buf from = BUF_INIT;
	int rc;

	key_u32(&prefix, entry);
	key_u32(&from, after);
	rc = buf_err(&prefix);
	if (rc == 0)
		rc = buf_err(&from);
	return rc < 0 ? rc :
			rows_each(view, TABLE_VERSION, buf_slice(&prefix),
				  after == 0 ? nothing : buf_slice(&from), each_version, &each);
}

int version_newest(struct kv_view *view, uint32_t entry, uint32_t *ret_n)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf key = BUF_INIT;
	int rc = kv_cursor_open(view, TABLE_VERSION, &cur);

	*ret_n = 0;
	if (rc == 0)
		rc = version_key(entry, UINT32_MAX, &key);
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, buf_slice(&key));
	for (; rc == 0; rc = kv_cursor_prev(cur)) {
		struct unpack u = unpack_init(kv_cursor_key(cur));
		uint32_t of = unkey_u32(&u);
		uint32_t n = unkey_u32(&u);
		struct version v;

		if (of != entry)
			return 0;
		rc = version_decode(kv_cursor_value(cur), entry, n, &v);
		if (rc < 0)
			return rc;
		if (!v.trashed && !v.destroyed) {
			*ret_n = n;
			return 0;
		}
	}
	return rc == -ENOENT ? 0 : rc;
}

/* --- texts ---------------------------------------------------------------------------------------------- */

int version_text_check(struct slice text, const char *what)
{
	if (text.len > META_TAG_MAX)
		return err_set(-EFBIG, "a %s has at most %u bytes, this one has %zu", what, META_TAG_MAX, text.len);
	if (!text_valid(text))
		return err_set(-EILSEQ, "a %s is UTF-8 without NUL", what);
	return 0;
}

static int load_living(struct meta *m, uint32_t serial, struct version_own *o)
{
	int rc = version_load(kv_live(m->kv), serial, o);

	return rc == 0 && (o->v.trashed || o->v.destroyed) ? -ENOENT : rc;
}

static int save_changed(struct meta *m, struct version *v)
{
	v->changed_ms = clock_now_ms();
	return version_save(m, v);
}

int version_set_message(struct meta *m, uint32_t serial, struct slice text)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	int rc = version_text_check(text, "message");

	if (rc == 0)
		rc = load_living(m, serial, &o);
	if (rc < 0)
		return rc;
	o.v.message = text;
	return save_changed(m, &o.v);
}

int version_set_description(struct meta *m, uint32_t serial, struct slice text)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	int rc = version_text_check(text, "description");

	if (rc == 0)
		rc = load_living(m, serial, &o);
	if (rc < 0)
		return rc;
	o.v.description = text;
	return save_changed(m, &o.v);
}

int version_set_stage(struct meta *m, uint32_t serial, enum version_stage stage)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	int rc = stage > STAGE_ARCHIVED ? err_set(-EINVAL, "no such stage") : load_living(m, serial, &o);

	if (rc < 0)
		return rc;
	o.v.stage = stage;
	return save_changed(m, &o.v);
}

int version_set_origin(struct meta *m, uint32_t serial, struct slice source, struct slice run_link,
		       struct slice logged_model)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	int rc = version_text_check(source, "source");

	if (rc == 0)
		rc = version_text_check(run_link, "run link");
	if (rc == 0)
		rc = version_text_check(logged_model, "logged model");
	if (rc == 0)
		rc = load_living(m, serial, &o);
	if (rc < 0)
		return rc;
	o.v.source = source;
	o.v.run_link = run_link;
	o.v.logged_model = logged_model;
	return save_changed(m, &o.v);
}

/* --- rows beside the record --------------------------------------------------------------------------------- */

static int tree_row_key(const struct version *v, struct buf *key)
{
	key_u32(key, v->place.tree);
	key_u32(key, v->place.epoch);
	key_u32(key, v->serial);
	return buf_err(key);
}

int version_add(struct meta *m, struct version *v)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf serial_key = BUF_INIT;
	SCOPED_BUF struct buf number = BUF_INIT;
	int rc = meta_counter_next(m, "version", 1, VERSION_SERIAL_MAX, &v->serial);

	if (rc == 0)
		rc = version_save(m, v);
	if (rc == 0)
		rc = tree_row_key(v, &key);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_VERSION_TREE, buf_slice(&key), nothing);
	key_u32(&serial_key, v->serial);
	pack_u32(&number, v->entry);
	pack_u32(&number, v->n);
	if (rc == 0)
		rc = buf_err(&serial_key);
	if (rc == 0)
		rc = buf_err(&number);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_VERSION_SERIAL, buf_slice(&serial_key), buf_slice(&number));
}

int version_tree_used(struct kv_view *view, uint32_t tree, bool *ret)
{
	SCOPED_BUF struct buf prefix = BUF_INIT;
	int rc;

	key_u32(&prefix, tree);
	rc = buf_err(&prefix);
	return rc < 0 ? rc : rows_any(view, TABLE_VERSION_TREE, buf_slice(&prefix), ret);
}

/* Is TREE some entry's head? */
static int tree_is_head(struct kv_view *view, uint32_t tree, bool *ret)
{
	struct tree_info info;
	struct entry e;
	int rc = tree_info(view, tree, &info);

	*ret = false;
	if (rc == 0)
		rc = entry_get(view, info.owner_id, &e);
	if (rc == 0)
		*ret = e.has_head && e.tree == tree;
	return rc == -ENOENT ? 0 : rc;
}

/* The newest epoch of TREE that a version needs. */
static int last_epoch(struct kv_view *view, uint32_t tree, uint32_t *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf key = BUF_INIT;
	struct unpack u;
	int rc;

	key_u32(&key, tree + 1);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_cursor_open(view, TABLE_VERSION_TREE, &cur);
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, buf_slice(&key));
	if (rc < 0)
		return rc;
	u = unpack_init(kv_cursor_key(cur));
	if (unkey_u32(&u) != tree)
		return -ENOENT;
	*ret = unkey_u32(&u);
	return 0;
}

/* Let go of V's bytes, its tree row being gone: the epoch if nobody else needs it, the tree if nobody needs that. */
static int drop_bytes(struct meta *m, const struct version *v)
{
	struct kv_view *view = kv_live(m->kv);
	SCOPED_BUF struct buf prefix = BUF_INIT;
	bool shared, used, head;
	uint32_t last;
	int rc;

	key_u32(&prefix, v->place.tree);
	key_u32(&prefix, v->place.epoch);
	rc = buf_err(&prefix);
	if (rc == 0)
		rc = rows_any(view, TABLE_VERSION_TREE, buf_slice(&prefix), &shared);
	if (rc < 0 || shared)
		return rc;
	rc = version_tree_used(view, v->place.tree, &used);
	if (rc == 0)
		rc = tree_is_head(view, v->place.tree, &head);
	if (rc < 0)
		return rc;
	if (!used && !head)
		return tree_delete(m->trees, v->place.tree);
	rc = tree_drop_version(m->trees, v->place.tree, v->place.epoch);
	if (rc < 0 || head)
		return rc;
	/* The former head, which nobody sees any more, would hold the bytes of this version. */
	rc = last_epoch(view, v->place.tree, &last);
	if (rc == 0 && last < v->place.epoch)
		rc = tree_empty(m->trees, v->place.tree);
	return rc == -EFBIG ? 0 : rc;	/* a large one goes with the last version of its tree */
}

/* --- trash and end --------------------------------------------------------------------------------------------- */

int version_delete_record(struct meta *m, const struct version *v)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf serial_key = BUF_INIT;
	int rc = version_key(v->entry, v->n, &key);

	key_u32(&serial_key, v->serial);
	if (rc == 0)
		rc = buf_err(&serial_key);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_VERSION, buf_slice(&key));
	return rc < 0 ? rc : kv_del(m->kv, TABLE_VERSION_SERIAL, buf_slice(&serial_key));
}

int version_erase(struct meta *m, struct version_own *o)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct version *v = &o->v;
	bool known;
	int rc = entry_tags_delete(m, true, v->serial);

	if (rc == 0)
		rc = tree_row_key(v, &key);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_VERSION_TREE, buf_slice(&key));
	if (rc == 0)
		rc = drop_bytes(m, v);
	if (rc == 0)
		rc = lineage_known(kv_live(m->kv), v->entry, v->n, 0, &known);
	if (rc < 0)
		return rc;
	if (known) {
		v->trashed = false;
		v->destroyed = true;
		v->deleted_ms = clock_now_ms();
		return save_changed(m, v);
	}
	return version_delete_record(m, v);
}

static int describe(struct kv_view *view, const struct version *v, struct entry *ret_e, struct buf *name)
{
	int rc = entry_get(view, v->entry, ret_e);

	if (rc == 0)
		entry_name_version(ret_e->name, v->is_dir, v->n, name);
	return rc < 0 ? rc : buf_err(name);
}

static int find_alias(void *arg, const struct alias *a)
{
	struct alias *found = arg;

	if (a->n != found->n)
		return 0;
	*found = *a;
	return 1;
}

static int find_run(void *arg, uint32_t run)
{
	*(uint32_t *)arg = run;
	return 1;
}

/* -EBUSY when a run read it or an alias names it. */
static int check_unneeded(struct kv_view *view, const struct version *v, const char *name)
{
	struct alias alias = { .n = v->n };
	uint32_t run = 0;
	int rc = alias_each(view, v->entry, find_alias, &alias);

	if (rc == 0 && alias.word.len > 0)
		return err_set(-EBUSY, "%s: the alias '%.*s' names it", name, (int)alias.word.len,
			       (const char *)alias.word.data);
	if (rc == 0)
		rc = lineage_runs(view, v->serial, LINEAGE_INPUT, find_run, &run);
	if (rc == 0 && run != 0)
		return err_set(-EBUSY, "%s: a run read it (run number %u), and lineage never loses what it names", name,
			       run);
	return rc;
}

/* E.newest is looked up again; NAME for the event. */
static int entry_follow(struct meta *m, uint32_t id, const char *what, const char *name)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = entry_load(kv_live(m->kv), id, &o);

	if (rc == 0)
		rc = version_newest(kv_live(m->kv), id, &o.e.newest);
	if (rc == 0) {
		o.e.changed_ms = clock_now_ms();
		rc = entry_save(m, &o.e);
	}
	if (rc == 0)
		event_emit(m, what, "space", entry_space_name(o.e.space), "name", name, NULL);
	return rc;
}

int version_trash(struct meta *m, uint32_t serial)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	SCOPED_BUF struct buf name = BUF_INIT;
	struct entry e;
	int rc = load_living(m, serial, &o);

	if (rc == 0)
		rc = describe(kv_live(m->kv), &o.v, &e, &name);
	if (rc == 0)
		rc = check_unneeded(kv_live(m->kv), &o.v, name.data);
	if (rc == 0)
		rc = trash_add(m, entry_trash_dir(e.space), buf_slice(&name), TRASH_VERSION, serial);
	if (rc < 0)
		return rc;
	o.v.trashed = true;
	o.v.deleted_ms = clock_now_ms();
	rc = save_changed(m, &o.v);
	return rc < 0 ? rc : entry_follow(m, o.v.entry, "version.trash", name.data);
}

static int load_trashed(struct meta *m, uint32_t serial, struct version_own *o)
{
	int rc = version_load(kv_live(m->kv), serial, o);

	return rc == 0 && !o->v.trashed ? err_set(-EPERM, "only what lies in the trash can be taken from it") : rc;
}

int version_restore(struct meta *m, uint32_t serial)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	SCOPED_BUF struct buf name = BUF_INIT;
	struct entry e;
	int rc = load_trashed(m, serial, &o);

	if (rc == 0)
		rc = describe(kv_live(m->kv), &o.v, &e, &name);
	if (rc == 0 && e.trashed)
		rc = err_set(-EBUSY, "%s: restore '%.*s' first, which it is a version of", name.data, (int)e.name.len,
			     (const char *)e.name.data);
	if (rc == 0)
		rc = trash_remove(m, entry_trash_dir(e.space), TRASH_VERSION, serial);
	if (rc < 0)
		return rc;
	o.v.trashed = false;
	o.v.deleted_ms = 0;
	rc = save_changed(m, &o.v);
	return rc < 0 ? rc : entry_follow(m, o.v.entry, "version.restore", name.data);
}

int version_destroy(struct meta *m, uint32_t serial)
{
	SCOPED_VERSION struct version_own o = OWN_INIT;
	struct entry e;
	int rc = load_trashed(m, serial, &o);

	if (rc == 0)
		rc = entry_get(kv_live(m->kv), o.v.entry, &e);
	if (rc == 0)
		rc = trash_remove(m, entry_trash_dir(e.space), TRASH_VERSION, serial);
	return rc < 0 ? rc : version_erase(m, &o);
}
