/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_check - every record, reference and invariant (entry_internal.h) of datasets, models, versions, aliases, lineage and trash.
 * One walk a table; each row is asked whether what it refers to refers back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/experiment.h"
#include "store/meta/model.h"
#include "store/meta/model_internal.h"
#include "store/meta/rows.h"

struct check {
	struct meta *m;
	struct kv_view *view;
	void (*report)(void *arg, const char *fault);
	void *arg;
	int faults;
};

static int fault(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Always 0: a fault does not end the check. */
static int fault(struct check *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->faults = 1;
	c->report(c->arg, text);
	return 0;
}

/* Errors of the engine end the check; damage and absence are faults. */
static bool is_fatal(int rc)
{
	return rc < 0 && rc != -ENOENT && rc != -EBADMSG;
}

static const char *text_of(struct slice s, char out[META_NAME_MAX + 1])
{
	size_t len = s.len < META_NAME_MAX ? s.len : META_NAME_MAX;

	if (len > 0)
		memcpy(out, s.data, len);
	out[len] = '\0';
	return out;
}

/* --- entries ----------------------------------------------------------------------------------------- */

static int check_entry_name(struct check *c, const struct entry *e, const char *name)
{
	uint32_t id, floor;
	int rc = entry_name_row(c->view, e->space, e->name, &id, &floor);

	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		return fault(c, "entry %u '%s': damaged name row", e->id, name);
	if (!e->trashed && !e->destroyed) {
		if (id != e->id)
			return fault(c, "entry %u '%s': its name leads to entry %u", e->id, name, id);
		if (e->next_version < floor)
			return fault(c, "entry %u '%s': counts from %u, but numbers below %u were used under that name",
				     e->id, name, e->next_version, floor);
		return 0;
	}
	if (id == e->id)
		return fault(c, "entry %u '%s': is deleted, but its name leads to it", e->id, name);
	return 0;
}

static int check_head(struct check *c, const struct entry *e, const char *name)
{
	struct tree_attr attr;
	struct tree_info info;
	int rc;

	if (!e->has_head)
		return e->tree != 0 ? fault(c, "entry %u '%s': has tree %u, but no head", e->id, name, e->tree) : 0;
	rc = tree_info(c->view, e->tree, &info);
	if (rc == 0)
		rc = tree_getattr(c->m->trees, c->view, (struct tree_place){ e->tree, TREE_HEAD }, TREE_ROOT, &attr);
	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		return fault(c, "entry %u '%s': its head, tree %u, cannot be read: %s", e->id, name, e->tree,
			     err_text(rc));
	if (info.owner != TREE_OWNER_ENTRY || info.owner_id != e->id)
		fault(c, "entry %u '%s': its head, tree %u, belongs to another", e->id, name, e->tree);
	if (S_ISDIR(attr.mode) != e->is_dir)
		fault(c, "entry %u '%s': its head, tree %u, is of the other type", e->id, name, e->tree);
	if (e->cut_epoch >= info.epoch)
		fault(c, "entry %u '%s': was cut in epoch %u, but its tree is in epoch %u", e->id, name, e->cut_epoch,
		      info.epoch);
	return 0;
}

static int check_trash_row(struct check *c, enum trash_kind kind, uint32_t id, bool expected, const char *what,
			   const char *name)
{
	SCOPED_BUF struct buf in_trash = BUF_INIT;
	int rc = trash_name(c->view, kind, id, &in_trash);

	if (is_fatal(rc))
		return rc;
	if ((rc == 0) != expected)
		return fault(c, "%s %u '%s': %s", what, id, name,
			     expected ? "is in the trash, but has no name there" : "has a name in the trash, but lives");
	return 0;
}

static int check_entry_versions(struct check *c, const struct entry *e, const char *name)
{
	struct meta_key k = meta_key_1(e->id);
	uint32_t newest;
	bool any;
	int rc = version_newest(c->view, e->id, &newest);

	if (rc == 0)
		rc = rows_any(c->view, TABLE_VERSION, meta_key_slice(&k), &any);
	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		return 0; /* the walk of versions says so */
	if (e->destroyed && !any)
		fault(c, "entry %u '%s': is destroyed, and no version needs its record", e->id, name);
	if (newest != e->newest)
		fault(c, "entry %u '%s': its newest version is %u, not %u", e->id, name, newest, e->newest);
	return 0;
}

static int check_entry(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t id = unkey_u32(&k);
	char name[META_NAME_MAX + 1];
	struct entry e;
	int rc = unpack_done(&k);

	if (rc == 0)
		rc = entry_decode(value, id, &e);
	if (rc < 0)
		return fault(c, "entry %u: damaged record", id);
	text_of(e.name, name);
	if (entry_name_check(e.name) < 0)
		fault(c, "entry %u '%s': that is no name for it", id, name);
	rc = check_entry_name(c, &e, name);
	if (rc == 0)
		rc = check_head(c, &e, name);
	if (rc == 0)
		rc = check_entry_versions(c, &e, name);
	return rc < 0 ? rc : check_trash_row(c, TRASH_ENTRY, id, e.trashed, "entry", name);
}

static int check_name(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	struct unpack u = unpack_init(value);
	uint8_t space = unkey_u8(&k);
	struct slice text = unpack_rest(&k);
	uint32_t id = unpack_u32(&u);
	char name[META_NAME_MAX + 1];
	struct entry e;
	int rc;

	text_of(text, name);
	(void)unpack_u32(&u);
	if (unpack_done(&u) < 0)
		return fault(c, "name '%s': damaged row", name);
	if (id == 0)
		return 0;
	rc = entry_get(c->view, id, &e);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || e.trashed || e.destroyed || (uint8_t)e.space != space || !slice_eq(e.name, text))
		return fault(c, "name '%s': leads to entry %u, which has not that name", name, id);
	return 0;
}

/* --- versions ------------------------------------------------------------------------------------------ */

static int check_version_place(struct check *c, const struct version *v)
{
	struct meta_key k = meta_key_2(v->place.tree, v->place.epoch);
	struct slice ignored;
	struct tree_attr attr;
	int rc;

	meta_key_u32(&k, v->serial);
	rc = kv_get(c->view, TABLE_VERSION_TREE, meta_key_slice(&k), &ignored);
	if (is_fatal(rc))
		return rc;
	if (v->destroyed)
		return rc == 0 ? fault(c, "version %u of entry %u: is destroyed, but has a tree row", v->n, v->entry) : 0;
	if (rc < 0)
		fault(c, "version %u of entry %u: has no tree row", v->n, v->entry);
	rc = tree_getattr(c->m->trees, c->view, v->place, TREE_ROOT, &attr);
	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		return fault(c, "version %u of entry %u: epoch %u of tree %u cannot be read: %s", v->n, v->entry,
			     v->place.epoch, v->place.tree, err_text(rc));
	if (S_ISDIR(attr.mode) != v->is_dir)
		return fault(c, "version %u of entry %u: is of the other type", v->n, v->entry);
	if (!v->is_dir && attr.size != v->bytes)
		return fault(c, "version %u of entry %u: has %llu bytes, not %llu", v->n, v->entry,
			     (unsigned long long)attr.size, (unsigned long long)v->bytes);
	return 0;
}

static int check_version(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t id = unkey_u32(&k);
	uint32_t n = unkey_u32(&k);
	struct version v, back;
	char name[32];
	struct entry e;
	bool known;
	int rc = unpack_done(&k);

	if (rc == 0)
		rc = version_decode(value, id, n, &v);
	if (rc < 0)
		return fault(c, "version %u of entry %u: damaged record", n, id);
	rc = entry_get(c->view, id, &e);
	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		return fault(c, "version %u of entry %u: there is no such entry", n, id);
	if (n >= e.next_version)
		fault(c, "version %u of entry %u: its number will be used again", n, id);
	rc = version_by_serial(c->view, v.serial, &back);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || back.entry != id || back.n != n)
		fault(c, "version %u of entry %u: its serial number %u does not lead to it", n, id, v.serial);
	rc = lineage_known(c->view, id, n, 0, &known);
	if (rc < 0)
		return rc;
	if (v.destroyed && !known)
		fault(c, "version %u of entry %u: is destroyed, and no run names it", n, id);
	rc = check_version_place(c, &v);
	(void)snprintf(name, sizeof(name), "%u of entry %u", n, id);
	return rc < 0 ? rc : check_trash_row(c, TRASH_VERSION, v.serial, v.trashed, "version", name);
}

static int check_serial(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t serial = unkey_u32(&k);
	struct version v;
	int rc = version_by_serial(c->view, serial, &v);

	(void)value;
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || v.serial != serial)
		return fault(c, "serial number %u: leads to no version of that number", serial);
	return 0;
}

static int check_tree_row(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t tree = unkey_u32(&k);
	uint32_t epoch = unkey_u32(&k);
	uint32_t serial = unkey_u32(&k);
	struct version v;
	int rc = version_by_serial(c->view, serial, &v);

	(void)value;
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || v.destroyed || v.place.tree != tree || v.place.epoch != epoch)
		return fault(c, "epoch %u of tree %u: is kept for version serial %u, which does not need it", epoch, tree,
			     serial);
	return 0;
}

/* --- aliases ---------------------------------------------------------------------------------------------- */

static int check_alias(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	struct unpack u = unpack_init(value);
	uint32_t id = unkey_u32(&k);
	struct slice word = unpack_rest(&k);
	uint32_t n = unpack_u32(&u);
	char text[META_NAME_MAX + 1];
	struct version v;
	int rc;

	text_of(word, text);
	(void)unpack_i64(&u);
	if (unpack_more(&u) < 0 || alias_word_check(word) < 0)
		return fault(c, "alias '%s' of entry %u: damaged row", text, id);
	rc = version_get(c->view, id, n, &v);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || v.trashed || v.destroyed)
		return fault(c, "alias '%s' of entry %u: names version %u, which is not there", text, id, n);
	return 0;
}

static int check_alias_log(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	struct unpack u = unpack_init(value);
	uint32_t id = unkey_u32(&k);
	uint32_t seq = unkey_u32(&k);
	struct entry e;
	int rc;

	(void)unpack_bytes(&u, 8 + 4 * 4);
	(void)unpack_str(&u);
	if (unpack_done(&k) < 0 || unpack_more(&u) < 0 || seq == 0)
		return fault(c, "alias move %u of entry %u: damaged row", seq, id);
	rc = entry_get(c->view, id, &e);
	if (is_fatal(rc))
		return rc;
	return rc < 0 ? fault(c, "alias move %u of entry %u: there is no such entry", seq, id) : 0;
}

/* --- lineage ------------------------------------------------------------------------------------------------- */

static int check_link(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	struct unpack u = unpack_init(value);
	uint32_t run = unkey_u32(&k);
	uint8_t direction = unkey_u8(&k);
	uint32_t id = unkey_u32(&k);
	uint32_t n = unkey_u32(&k);
	uint8_t how = unpack_u8(&u);
	struct meta_key back = meta_key_2(id, n);
	struct slice ignored;
	struct version v;
	int rc;

	(void)unpack_i64(&u);
	if (unpack_done(&k) < 0 || unpack_more(&u) < 0 || direction < LINEAGE_INPUT || direction > LINEAGE_OUTPUT ||
	    how < LINEAGE_BY_HAND || how > LINEAGE_BY_API)
		return fault(c, "lineage of run %u: damaged row", run);
	rc = version_get(c->view, id, n, &v);
	if (is_fatal(rc))
		return rc;
	if (rc < 0)
		fault(c, "lineage of run %u: names version %u of entry %u, which is not there", run, n, id);
	meta_key_u8(&back, direction);
	meta_key_u32(&back, run);
	rc = kv_get(c->view, TABLE_LINEAGE_BY, meta_key_slice(&back), &ignored);
	if (is_fatal(rc))
		return rc;
	return rc < 0 ? fault(c, "lineage of run %u: version %u of entry %u does not know it", run, n, id) : 0;
}

static int check_back(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t id = unkey_u32(&k);
	uint32_t n = unkey_u32(&k);
	uint8_t direction = unkey_u8(&k);
	uint32_t run = unkey_u32(&k);
	struct meta_key forth = meta_key_1(run);
	struct slice ignored;
	int rc;

	(void)value;
	meta_key_u8(&forth, direction);
	meta_key_u32(&forth, id);
	meta_key_u32(&forth, n);
	rc = unpack_done(&k);
	if (rc == 0)
		rc = kv_get(c->view, TABLE_LINEAGE, meta_key_slice(&forth), &ignored);
	if (is_fatal(rc))
		return rc;
	return rc < 0 ? fault(c, "version %u of entry %u: run %u does not know of its link", n, id, run) : 0;
}

/* --- trash ------------------------------------------------------------------------------------------------------ */

static int check_trash_object(struct check *c, enum trash_kind kind, uint32_t id, const char *name)
{
	struct experiment x;
	struct version v;
	struct entry e;
	struct run r;
	bool there = false;
	int rc = -EBADMSG;

	switch (kind) {
	case TRASH_EXPERIMENT:
		rc = experiment_get(c->view, id, &x);
		there = rc == 0 && x.deleted_ms != 0;
		break;
	case TRASH_RUN:
		rc = run_get(c->view, id, &r);
		there = rc == 0 && r.trashed;
		break;
	case TRASH_ENTRY:
		rc = entry_get(c->view, id, &e);
		there = rc == 0 && e.trashed;
		break;
	case TRASH_VERSION:
		rc = version_by_serial(c->view, id, &v);
		there = rc == 0 && v.trashed;
		break;
	}
	if (is_fatal(rc))
		return rc;
	return there ? 0 : fault(c, "trash '%s': what lies there (kind %u, id %u) is not deleted", name, (unsigned)kind, id);
}

static int check_trash(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	struct unpack u = unpack_init(value);
	uint8_t first = unkey_u8(&k);
	SCOPED_BUF struct buf back = BUF_INIT;
	char name[META_NAME_MAX + 1];
	struct trash_item item;
	struct slice rest = unpack_rest(&k);
	uint8_t kind;
	uint32_t id;
	int rc;

	if (first >= 0x80) { /* the way back: (kind, id) -> directory, name */
		uint8_t dir = unpack_u8(&u);
		struct slice text = unpack_str(&u);

		rc = unpack_more(&u);
		if (rc == 0)
			rc = trash_find(c->view, (enum trash_dir)dir, text, &item);
		if (is_fatal(rc))
			return rc;
		if (rc < 0 || (unsigned)item.kind != first - 0x80u)
			return fault(c, "trash: '%s' does not lie there", text_of(text, name));
		return 0;
	}
	text_of(rest, name);
	kind = unpack_u8(&u);
	id = unpack_u32(&u);
	(void)unpack_i64(&u);
	if (unpack_more(&u) < 0 || first < TRASH_EXPERIMENTS || first > TRASH_MODELS)
		return fault(c, "trash '%s': damaged row", name);
	rc = trash_name(c->view, (enum trash_kind)kind, id, &back);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || !slice_eq(buf_slice(&back), rest))
		fault(c, "trash '%s': the object does not know this name", name);
	return check_trash_object(c, (enum trash_kind)kind, id, name);
}

/* --- logged models ------------------------------------------------------------------------------------------------- */

static int check_logged_model(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack k = unpack_init(key);
	uint32_t number = unkey_u32(&k);
	struct logged_model lm;
	struct tree_info info;
	uint32_t found = 0;
	int rc = unpack_done(&k);

	if (rc == 0)
		rc = logged_model_decode(value, number, &lm);
	if (rc < 0)
		return fault(c, "logged model %u: damaged record", number);
	rc = logged_model_find(c->view, lm.id, &found);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || found != number)
		fault(c, "logged model %u: its id does not lead to it", number);
	rc = tree_info(c->view, lm.tree, &info);
	if (is_fatal(rc))
		return rc;
	return rc < 0 ? fault(c, "logged model %u: its tree %u cannot be read", number, lm.tree) : 0;
}

/* A row of the index by id, or by experiment. */
static int check_logged_model_ref(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct unpack u = unpack_init(value);
	struct logged_model lm;
	bool by_id = value.len > 0;
	uint32_t number;
	int rc;

	number = by_id ? unpack_u32(&u) : meta_key_read_u32(key, 4);
	if (unpack_done(&u) < 0 || (!by_id && key.len != 8))
		return fault(c, "logged models: damaged row");
	rc = logged_model_get(c->view, number, &lm);
	if (is_fatal(rc))
		return rc;
	if (rc < 0 || (by_id ? !slice_eq(lm.id, key) : lm.experiment != meta_key_read_u32(key, 0)))
		return fault(c, "logged models: a row leads to %u, which it does not belong to", number);
	return 0;
}

int entries_check(struct meta *m, struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	static const struct {
		uint8_t table;
		int (*row)(void *arg, struct slice key, struct slice value);
	} walks[] = {
		{ TABLE_ENTRY, check_entry },
		{ TABLE_ENTRY_NAME, check_name },
		{ TABLE_VERSION, check_version },
		{ TABLE_VERSION_SERIAL, check_serial },
		{ TABLE_VERSION_TREE, check_tree_row },
		{ TABLE_ALIAS, check_alias },
		{ TABLE_ALIAS_LOG, check_alias_log },
		{ TABLE_LINEAGE, check_link },
		{ TABLE_LINEAGE_BY, check_back },
		{ TABLE_TRASH, check_trash },
		{ TABLE_LOGGED_MODEL, check_logged_model },
		{ TABLE_LOGGED_MODEL_ID, check_logged_model_ref },
		{ TABLE_LOGGED_MODEL_IN, check_logged_model_ref },
	};
	struct check c = { .m = m, .view = view, .report = report, .arg = arg };
	const struct slice all = { NULL, 0 };

	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		int rc = rows_each(view, walks[i].table, all, all, walks[i].row, &c);

		if (rc < 0)
			return rc;
	}
	return c.faults;
}
