/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry - records and names of datasets and models; making, renaming, trash.  Bytes: FORMAT.md 5.
 */
#include "store/meta/entry.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"
#include "store/meta/tag.h"

enum { FLAG_DIR = 1, FLAG_HEAD = 2, FLAG_TRASHED = 4, FLAG_DESTROYED = 8 };

const char *entry_space_name(enum entry_space space)
{
	return space == ENTRY_DATA ? "data" : "models";
}

enum trash_dir entry_trash_dir(enum entry_space space)
{
	return space == ENTRY_DATA ? TRASH_DATA : TRASH_MODELS;
}

/* --- records ---------------------------------------------------------------------------------------- */

static void entry_encode(const struct entry *e, struct buf *out)
{
	unsigned flags = (e->is_dir ? FLAG_DIR : 0u) | (e->has_head ? FLAG_HEAD : 0u) |
			 (e->trashed ? FLAG_TRASHED : 0u) | (e->destroyed ? FLAG_DESTROYED : 0u);

	pack_u8(out, (uint8_t)e->space);
	pack_u8(out, (uint8_t)flags);
	pack_u32(out, e->tree);
	pack_u32(out, e->cut_epoch);
	pack_u32(out, e->next_version);
	pack_u32(out, e->newest);
	pack_i64(out, e->created_ms);
	pack_i64(out, e->changed_ms);
	pack_i64(out, e->deleted_ms);
	pack_u32(out, e->uid);
	pack_u32(out, e->gid);
	pack_str(out, e->name);
	pack_str(out, e->description);
}

int entry_decode(struct slice record, uint32_t id, struct entry *ret)
{
	struct unpack u = unpack_init(record);
	uint8_t space = unpack_u8(&u);
	uint8_t flags = unpack_u8(&u);
	int rc;

	*ret = (struct entry){ .id = id, .space = (enum entry_space)space };
	ret->is_dir = (flags & FLAG_DIR) != 0;
	ret->has_head = (flags & FLAG_HEAD) != 0;
	ret->trashed = (flags & FLAG_TRASHED) != 0;
	ret->destroyed = (flags & FLAG_DESTROYED) != 0;
	ret->tree = unpack_u32(&u);
	ret->cut_epoch = unpack_u32(&u);
	ret->next_version = unpack_u32(&u);
	ret->newest = unpack_u32(&u);
	ret->created_ms = unpack_i64(&u);
	ret->changed_ms = unpack_i64(&u);
	ret->deleted_ms = unpack_i64(&u);
	ret->uid = unpack_u32(&u);
	ret->gid = unpack_u32(&u);
	ret->name = unpack_str(&u);
	ret->description = unpack_str(&u);
	rc = unpack_more(&u);
	if (rc == 0 && (space < ENTRY_DATA || space > ENTRY_MODELS))
		rc = -EBADMSG;
	return rc < 0 ? err_set(rc, "the record of dataset or model %u is damaged", id) : 0;
}

static void entry_key(struct buf *key, uint32_t id)
{
	key_u32(key, id);
}

int entry_get(struct kv_view *view, uint32_t id, struct entry *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice record;
	int rc;

	entry_key(&key, id);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_get(view, TABLE_ENTRY, buf_slice(&key), &record);
	return rc < 0 ? rc : entry_decode(record, id, ret);
}

int entry_save(struct meta *m, const struct entry *e)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	entry_key(&key, e->id);
	entry_encode(e, &value);
	rc = buf_err(&key);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_ENTRY, buf_slice(&key), buf_slice(&value));
}

void entry_own_release(struct entry_own *o)
{
	buf_release(&o->text);
}

int entry_load(struct kv_view *view, uint32_t id, struct entry_own *ret)
{
	struct entry *e = &ret->e;
	int rc = entry_get(view, id, e);

	if (rc < 0)
		return rc;
	buf_reset(&ret->text);
	buf_add_slice(&ret->text, e->name);
	buf_add_slice(&ret->text, e->description);
	rc = buf_err(&ret->text);
	if (rc < 0)
		return rc;
	e->name.data = ret->text.data;
	e->description.data = ret->text.data + e->name.len;
	return 0;
}

int entry_load_living(struct kv_view *view, uint32_t id, struct entry_own *ret)
{
	int rc = entry_load(view, id, ret);

	return rc == 0 && (ret->e.trashed || ret->e.destroyed) ? -ENOENT : rc;
}

/* --- names ------------------------------------------------------------------------------------------- */

static int name_key(enum entry_space space, struct slice name, struct buf *key)
{
	key_u8(key, (uint8_t)space);
	key_bytes(key, name);
	return buf_err(key);
}

static int name_decode(struct slice value, uint32_t *ret_id, uint32_t *ret_floor)
{
	struct unpack u = unpack_init(value);

	*ret_id = unpack_u32(&u);
	*ret_floor = unpack_u32(&u);
	return unpack_done(&u);
}

int entry_name_row(struct kv_view *view, enum entry_space space, struct slice name, uint32_t *ret_id,
		   uint32_t *ret_floor)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	int rc;

	*ret_id = 0;
	*ret_floor = 1;
	if (name.len > META_NAME_MAX)
		return 0;
	rc = name_key(space, name, &key);
	if (rc == 0)
		rc = kv_get(view, TABLE_ENTRY_NAME, buf_slice(&key), &value);
	if (rc == 0)
		rc = name_decode(value, ret_id, ret_floor);
	return rc == -ENOENT ? 0 : rc;
}

int entry_name_put(struct meta *m, enum entry_space space, struct slice name, uint32_t id, uint32_t floor)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc = name_key(space, name, &key);

	if (rc == 0 && id == 0 && floor <= 1) {
		rc = kv_del(m->kv, TABLE_ENTRY_NAME, buf_slice(&key));
		return rc == -ENOENT ? 0 : rc;
	}
	pack_u32(&value, id);
	pack_u32(&value, floor);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_ENTRY_NAME, buf_slice(&key), buf_slice(&value));
}

/* E's name is free again, its numbers are not: under that name counting goes on behind them. */
static int name_leave(struct meta *m, const struct entry *e, bool keep_floor)
{
	uint32_t id, floor;
	int rc = entry_name_row(kv_live(m->kv), e->space, e->name, &id, &floor);

	if (rc == 0 && keep_floor && e->next_version > floor)
		floor = e->next_version;
	return rc < 0 ? rc : entry_name_put(m, e->space, e->name, id == e->id ? 0 : id, floor);
}

/* E gets the name NAME, which no living entry has: -EEXIST.  E is changed, not saved; NAME must live as long as E. */
static int name_take(struct meta *m, struct entry *e, struct slice name)
{
	uint32_t id, floor;
	int rc = entry_name_row(kv_live(m->kv), e->space, name, &id, &floor);

	if (rc < 0)
		return rc;
	if (id != 0)
		return err_set(-EEXIST, "/%s has '%.*s' already", entry_space_name(e->space), (int)name.len,
			       (const char *)name.data);
	e->name = name;
	if (e->next_version < floor)
		e->next_version = floor;
	return entry_name_put(m, e->space, name, e->id, floor);
}

int entry_find(struct kv_view *view, enum entry_space space, struct slice name, uint32_t *ret_id)
{
	uint32_t floor;
	int rc = entry_name_row(view, space, name, ret_id, &floor);

	return rc == 0 && *ret_id == 0 ? -ENOENT : rc;
}

int entry_lookup(struct kv_view *view, enum entry_space space, struct slice text, struct entry_found *ret)
{
	struct entry_name name;
	struct entry e;
	struct version v;
	uint32_t n;
	int rc = entry_name_parse(text, &name);

	memset(ret, 0, sizeof(*ret));
	if (rc < 0)
		return -ENOENT;
	ret->kind = name.kind;
	rc = entry_find(view, space, slice_str(name.head), &ret->entry);
	if (rc < 0)
		return rc;
	if (name.kind == ENTRY_NAME_HEAD) {
		rc = entry_get(view, ret->entry, &e);
		ret->is_dir = rc == 0 && e.is_dir;
		return rc == 0 && !e.has_head ? -ENOENT : rc;
	}
	n = name.n;
	if (name.kind == ENTRY_NAME_ALIAS)
		rc = alias_get(view, ret->entry, slice_str(name.word), &n);
	if (rc == 0)
		rc = version_get(view, ret->entry, n, &v);
	if (rc < 0)
		return rc;
	if (v.trashed || v.destroyed || !(v.is_dir ? name.fits_dir : name.fits_file))
		return -ENOENT;
	ret->serial = v.serial;
	ret->n = n;
	ret->is_dir = v.is_dir;
	return 0;
}

struct each {
	struct kv_view *view;
	int (*emit)(void *arg, const struct entry *e);
	void *arg;
};

static int each_name(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	uint32_t id, floor;
	struct entry e;
	int rc = name_decode(value, &id, &floor);

	(void)rest;
	if (rc < 0 || id == 0)
		return rc;
	rc = entry_get(each->view, id, &e);
	return rc < 0 ? rc : each->emit(each->arg, &e);
}

int entry_each(struct kv_view *view, enum entry_space space, struct slice after,
	       int (*emit)(void *arg, const struct entry *e), void *arg)
{
	struct each each = { view, emit, arg };
	uint8_t prefix = (uint8_t)space;

	return rows_each(view, TABLE_ENTRY_NAME, slice_of(&prefix, 1), after, each_name, &each);
}

struct each_id {
	struct kv_view *view;
	enum entry_space space;
	int (*emit)(void *arg, const struct entry *e);
	void *arg;
};

static int each_id(void *arg, struct slice rest, struct slice value)
{
	const struct each_id *each = arg;
	struct unpack u = unpack_init(rest);
	uint32_t id = unkey_u32(&u);
	struct entry e;
	int rc = unpack_done(&u);

	if (rc == 0)
		rc = entry_decode(value, id, &e);
	if (rc < 0 || e.space != each->space || e.trashed || e.destroyed)
		return rc < 0 ? rc : 0;
	return each->emit(each->arg, &e);
}

int entry_each_from(struct kv_view *view, enum entry_space space, uint32_t from,
		    int (*emit)(void *arg, const struct entry *e), void *arg)
{
	struct each_id each = { view, space, emit, arg };
	uint8_t after[4] = { 0 };

	if (from > 0)
		from--;
	after[0] = (uint8_t)(from >> 24);
	after[1] = (uint8_t)(from >> 16);
	after[2] = (uint8_t)(from >> 8);
	after[3] = (uint8_t)from;
	return rows_each(view, TABLE_ENTRY, slice_of(NULL, 0), slice_of(after, sizeof(after)), each_id, &each);
}

/* --- making ------------------------------------------------------------------------------------------- */

static int head_give(struct meta *m, struct entry *e, uint32_t mode, const struct meta_actor *who)
{
	int rc = tree_new(m->trees, TREE_OWNER_ENTRY, e->id, mode, who->uid, who->gid, &e->tree);

	if (rc < 0)
		return rc;
	e->has_head = true;
	e->is_dir = S_ISDIR(mode);
	e->cut_epoch = 0;
	e->uid = who->uid;
	e->gid = who->gid;
	e->changed_ms = clock_now_ms();
	return 0;
}

static int entry_new(struct meta *m, enum entry_space space, struct slice name, const struct meta_actor *who,
		     struct entry *ret)
{
	*ret = (struct entry){ .space = space, .next_version = 1, .uid = who->uid, .gid = who->gid };
	ret->created_ms = ret->changed_ms = clock_now_ms();
	int rc = entry_name_check(name);

	if (rc == 0)
		rc = meta_counter_next(m, "entry", 1, ENTRY_ID_MAX, &ret->id);
	return rc < 0 ? rc : name_take(m, ret, name);
}

int entry_make_head(struct meta *m, enum entry_space space, struct slice name, uint32_t mode,
		    const struct meta_actor *who, uint32_t *ret_id)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc;

	if (!S_ISDIR(mode) && !S_ISREG(mode))
		return err_set(-EPERM, "a dataset or model is a file or a directory");
	rc = entry_find(kv_live(m->kv), space, name, ret_id);
	if (rc == 0)
		rc = entry_load(kv_live(m->kv), *ret_id, &o);
	else if (rc == -ENOENT)
		rc = entry_new(m, space, name, who, &o.e);
	if (rc < 0)
		return rc;
	if (o.e.has_head)
		return err_set(-EEXIST, "/%s/%.*s is there already", entry_space_name(space), (int)name.len,
			       (const char *)name.data);
	rc = head_give(m, &o.e, mode, who);
	if (rc == 0)
		rc = entry_save(m, &o.e);
	*ret_id = o.e.id;
	return rc;
}

int entry_register(struct meta *m, enum entry_space space, struct slice name, const struct meta_actor *who,
		   uint32_t *ret_id)
{
	struct entry e;
	int rc = entry_new(m, space, name, who, &e);

	if (rc < 0)
		return rc;
	*ret_id = e.id;
	return entry_save(m, &e);
}

int entry_rename(struct meta *m, uint32_t id, struct slice name)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	struct entry old;
	int rc = entry_name_check(name);

	if (rc == 0)
		rc = entry_load_living(kv_live(m->kv), id, &o);
	if (rc < 0 || slice_eq(o.e.name, name))
		return rc;
	old = o.e;
	rc = name_take(m, &o.e, name);
	if (rc == 0)
		rc = name_leave(m, &old, false);
	if (rc < 0)
		return rc;
	o.e.changed_ms = clock_now_ms();
	return entry_save(m, &o.e);
}

int entry_set_description(struct meta *m, uint32_t id, struct slice text)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = version_text_check(text, "description");

	if (rc == 0)
		rc = entry_load_living(kv_live(m->kv), id, &o);
	if (rc < 0)
		return rc;
	o.e.description = text;
	o.e.changed_ms = clock_now_ms();
	return entry_save(m, &o.e);
}

/* --- trash ---------------------------------------------------------------------------------------------- */

static void emit_entry(struct meta *m, const char *what, const struct entry *e)
{
	char name[META_NAME_MAX + 1];

	memcpy(name, e->name.data, e->name.len);
	name[e->name.len] = '\0';
	event_emit(m, what, "space", entry_space_name(e->space), "name", name, NULL);
}

int entry_trash(struct meta *m, uint32_t id)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = entry_load_living(kv_live(m->kv), id, &o);

	if (rc == 0)
		rc = name_leave(m, &o.e, true);
	if (rc == 0)
		rc = trash_add(m, entry_trash_dir(o.e.space), o.e.name, TRASH_ENTRY, id);
	if (rc < 0)
		return rc;
	o.e.trashed = true;
	o.e.deleted_ms = clock_now_ms();
	rc = entry_save(m, &o.e);
	if (rc == 0)
		emit_entry(m, "entry.trash", &o.e);
	return rc;
}

int entry_restore(struct meta *m, uint32_t id, struct slice name)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = entry_name_check(name);

	if (rc == 0)
		rc = entry_load(kv_live(m->kv), id, &o);
	if (rc == 0 && !o.e.trashed)
		rc = -ENOENT;
	if (rc == 0)
		rc = name_take(m, &o.e, name);
	if (rc == 0)
		rc = trash_remove(m, entry_trash_dir(o.e.space), TRASH_ENTRY, id);
	if (rc < 0)
		return rc;
	o.e.trashed = false;
	o.e.deleted_ms = 0;
	o.e.changed_ms = clock_now_ms();
	rc = entry_save(m, &o.e);
	if (rc == 0)
		emit_entry(m, "entry.restore", &o.e);
	if (rc == 0 && o.e.has_head && !o.e.is_dir) {
		struct meta_actor who = { .uid = o.e.uid, .gid = o.e.gid };

		rc = entry_cut(m, id, slice_of(NULL, 0), 0, &who, NULL); /* what it had uncut */
	}
	return rc;
}

int entry_destroy(struct meta *m, uint32_t id)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	int rc = entry_load(kv_live(m->kv), id, &o);

	if (rc == 0 && !o.e.trashed)
		rc = err_set(-EPERM, "only what lies in the trash can be destroyed");
	if (rc == 0)
		rc = trash_remove(m, entry_trash_dir(o.e.space), TRASH_ENTRY, id);
	return rc < 0 ? rc : entry_erase(m, &o, true);
}

/* --- the end of an entry ------------------------------------------------------------------------------------ */

static int add_key(void *arg, uint32_t key, struct slice text, struct slice value)
{
	struct buf *keys = arg;

	(void)text;
	(void)value;
	buf_add(keys, &key, sizeof(key));
	return buf_err(keys);
}

int entry_tags_delete(struct meta *m, bool of_version, uint32_t owner)
{
	enum tag_owner kind = of_version ? TAG_VERSION : TAG_ENTRY;
	SCOPED_BUF struct buf keys = BUF_INIT;
	int rc = tags_each(kv_live(m->kv), kind, owner, 0, add_key, &keys);

	for (size_t i = 0; rc == 0 && i < rows_count(&keys); i++)
		rc = tag_remove(m, kind, owner, rows_number(&keys, i));
	return rc;
}

static int erase_versions(struct meta *m, const struct entry *e)
{
	SCOPED_BUF struct buf prefix = BUF_INIT;
	SCOPED_BUF struct buf numbers = BUF_INIT;
	int rc;

	key_u32(&prefix, e->id);
	rc = buf_err(&prefix);
	if (rc == 0)
		rc = rows_numbers(kv_live(m->kv), TABLE_VERSION, buf_slice(&prefix), &numbers);
	for (size_t i = 0; rc == 0 && i < rows_count(&numbers); i++) {
		SCOPED_VERSION struct version_own v = OWN_INIT;

		rc = version_load_n(kv_live(m->kv), e->id, rows_number(&numbers, i), &v);
		if (rc == 0 && v.v.trashed)
			rc = trash_remove(m, entry_trash_dir(e->space), TRASH_VERSION, v.v.serial);
		if (rc == 0 && !v.v.destroyed)
			rc = version_erase(m, &v);
	}
	return rc;
}

int entry_erase(struct meta *m, struct entry_own *o, bool keep_floor)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	bool known = false;
	int rc;

	entry_key(&key, o->e.id);
	rc = buf_err(&key);
	if (rc == 0)
		rc = entry_drop_head(m, o);
	if (rc == 0)
		rc = erase_versions(m, &o->e);
	if (rc == 0)
		rc = rows_delete(m, TABLE_ALIAS, buf_slice(&key));
	if (rc == 0)
		rc = rows_delete(m, TABLE_ALIAS_LOG, buf_slice(&key));
	if (rc == 0)
		rc = entry_tags_delete(m, false, o->e.id);
	if (rc == 0 && !o->e.trashed)
		rc = name_leave(m, &o->e, keep_floor);
	if (rc == 0)
		rc = rows_any(kv_live(m->kv), TABLE_VERSION, buf_slice(&key), &known);
	if (rc < 0)
		return rc;
	if (!known)
		return kv_del(m->kv, TABLE_ENTRY, buf_slice(&key));
	o->e.trashed = false;
	o->e.destroyed = true;
	o->e.newest = 0;
	o->e.deleted_ms = clock_now_ms();
	return entry_save(m, &o->e);
}
