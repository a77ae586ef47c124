/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_cut - when a head is a new version, and how it becomes one.
 *
 * A head differs from the newest version by its bytes (a file) or by the names, types, bytes, targets and x bits in it (a tree).  A tree
 * that was not touched since it was cut as the newest version needs no comparison; what cannot be read differs.  The newest version may
 * lie in another tree (the head was removed and made again, or came by mv): then the two are compared across trees.
 */
#include "store/meta/entry.h"

#include <errno.h>
#include <stdio.h>

#include "store/base/clock.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"

static struct tree_place head_of(const struct entry *e)
{
	return (struct tree_place){ e->tree, TREE_HEAD };
}

int entry_untouched(struct kv_view *view, const struct entry *e, bool *ret)
{
	struct tree_info info;
	int rc;

	*ret = false;
	if (e->cut_epoch == 0)
		return 0;
	rc = tree_info(view, e->tree, &info);
	*ret = rc == 0 && info.changed_epoch <= e->cut_epoch;
	return rc;
}

static int stop_at_change(void *arg, enum tree_change what, struct slice path)
{
	(void)what;
	(void)path;
	*(bool *)arg = true;
	return 1;
}

static int file_differs(struct meta *m, struct kv_view *view, const struct entry *e, const struct version *v,
			uint64_t max_bytes, bool *ret)
{
	bool same = false;
	int rc = tree_same_bytes(m->trees, view, head_of(e), TREE_ROOT, v->place, TREE_ROOT, max_bytes, &same);

	*ret = !same;
	return rc;
}

static int dir_differs(struct meta *m, struct kv_view *view, const struct entry *e, const struct version *v,
		       uint64_t max_bytes, bool *ret)
{
	bool costly = false;
	int rc;

	if (v->place.tree == e->tree) {
		rc = tree_differs(m->trees, view, e->tree, v->place.epoch, ret, max_bytes != 0 ? &costly : NULL);
		return rc == 0 && costly ? -E2BIG : rc;
	}
	*ret = false;
	return tree_diff(m->trees, view, v->place, head_of(e), stop_at_change, ret);
}

int entry_differs(struct meta *m, struct kv_view *view, uint32_t id, uint64_t max_bytes, bool *ret)
{
	struct version v;
	struct entry e;
	bool untouched;
	int rc = entry_get(view, id, &e);

	if (rc == 0 && (!e.has_head || e.trashed || e.destroyed))
		rc = -ENOENT;
	if (rc < 0)
		return rc;
	*ret = true;
	if (e.newest == 0)
		return 0;
	rc = version_get(view, id, e.newest, &v);
	if (rc < 0 || v.is_dir != e.is_dir)
		return rc;
	rc = entry_untouched(view, &e, &untouched);
	if (rc < 0)
		return rc;
	if (untouched && v.place.tree == e.tree && v.place.epoch == e.cut_epoch) {
		*ret = false;
		return 0;
	}
	rc = e.is_dir ? dir_differs(m, view, &e, &v, max_bytes, ret) : file_differs(m, view, &e, &v, max_bytes, ret);
	if (rc == -EBADMSG || rc == -EIO) {
		*ret = true;	/* damage must not keep what is good from being kept */
		rc = 0;
	}
	return rc;
}

/* --- cutting --------------------------------------------------------------------------------------------- */

static int mark_delete(struct meta *m, uint32_t run, uint32_t id)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	int rc;

	key_u32(&key, run);
	key_u32(&key, id);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_ENTRY_MARK, buf_slice(&key));
	return rc == -ENOENT ? 0 : rc;
}

static int emit_cut(struct meta *m, const struct entry *e, const struct version *v)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	SCOPED_BUF struct buf version = BUF_INIT;
	char run[12] = "";
	int rc;

	buf_add_slice(&name, e->name);
	entry_name_version(e->name, v->is_dir, v->n, &version);
	rc = buf_err(&name);
	if (rc == 0)
		rc = buf_err(&version);
	if (rc < 0)
		return rc;
	if (v->run != 0)
		(void)snprintf(run, sizeof(run), "%u", v->run);
	event_emit(m, "version.cut", "space", entry_space_name(e->space), "name", name.data, "version", version.data,
		   "run", run, NULL);
	return 0;
}

/* O's head becomes its next version. */
static int cut(struct meta *m, struct entry_own *o, struct slice message, uint32_t run, uint32_t uid, struct version *v)
{
	struct entry *e = &o->e;
	struct tree_info info;
	int rc;

	if (e->next_version >= UINT32_MAX - 1)
		return err_set(-ENOSPC, "no version number is left");
	*v = (struct version){ .entry = e->id, .n = e->next_version, .is_dir = e->is_dir, .uid = uid, .run = run };
	v->message = message;
	v->created_ms = v->changed_ms = clock_now_ms();
	v->place.tree = e->tree;
	rc = tree_cut(m->trees, e->tree, &v->place.epoch);
	if (rc == 0)
		rc = tree_info(kv_live(m->kv), e->tree, &info);
	if (rc < 0)
		return rc;
	v->bytes = info.bytes;
	rc = version_add(m, v);
	if (rc < 0)
		return rc;
	e->cut_epoch = v->place.epoch;
	e->newest = v->n;
	e->next_version = v->n + 1;
	e->changed_ms = v->created_ms;
	rc = entry_save(m, e);
	return rc < 0 ? rc : emit_cut(m, e, v);
}

int entry_cut_known(struct meta *m, uint32_t id, bool differs, struct slice message, uint32_t run,
		    const struct meta_actor *who, uint32_t *ret_n)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	struct version v;
	uint32_t maker = run != 0 ? run : who->run;
	int rc = version_text_check(message, "message");

	if (rc == 0)
		rc = entry_load_living(kv_live(m->kv), id, &o);
	if (rc == 0 && !o.e.has_head)
		rc = err_set(-ENOENT, "'%.*s' has no head to cut", (int)o.e.name.len, (const char *)o.e.name.data);
	if (rc < 0)
		return rc;
	if (differs) {
		rc = cut(m, &o, message, maker, who->uid, &v);
	} else {
		rc = version_get(kv_live(m->kv), id, o.e.newest, &v);
		if (rc == 0 && message.len > 0)
			rc = version_set_message(m, v.serial, message);
	}
	if (rc == 0 && maker != 0)
		rc = lineage_add(m, maker, LINEAGE_OUTPUT, v.serial, LINEAGE_BY_CUT);
	if (rc == 0 && maker != 0)
		rc = mark_delete(m, maker, id);
	if (rc == 0 && ret_n != NULL)
		*ret_n = v.n;
	return rc;
}

int entry_cut(struct meta *m, uint32_t id, struct slice message, uint32_t run, const struct meta_actor *who,
	      uint32_t *ret_n)
{
	bool differs = false;
	int rc = entry_differs(m, kv_live(m->kv), id, 0, &differs);

	return rc < 0 ? rc : entry_cut_known(m, id, differs, message, run, who, ret_n);
}
