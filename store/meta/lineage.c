/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage - links between runs and versions, each as two rows: (run, direction, entry, n) and (entry, n, direction, run).
 * Bytes: FORMAT.md 5.
 */
#include "store/meta/lineage.h"

#include <errno.h>
#include <stdio.h>

#include "store/base/clock.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"
#include "store/meta/run.h"

static const struct slice nothing;

struct link {
	uint32_t run, entry, n;
	enum lineage_direction direction;
};

static int link_key(const struct link *l, struct buf *key)
{
	key_u32(key, l->run);
	key_u8(key, (uint8_t)l->direction);
	key_u32(key, l->entry);
	key_u32(key, l->n);
	return buf_err(key);
}

static int back_key(const struct link *l, struct buf *key)
{
	key_u32(key, l->entry);
	key_u32(key, l->n);
	key_u8(key, (uint8_t)l->direction);
	key_u32(key, l->run);
	return buf_err(key);
}

static int link_decode(struct slice value, enum lineage_how *ret_how, int64_t *ret_ms)
{
	struct unpack u = unpack_init(value);

	*ret_how = (enum lineage_how)unpack_u8(&u);
	*ret_ms = unpack_i64(&u);
	return unpack_more(&u);
}

static int link_delete(struct meta *m, const struct link *l)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf back = BUF_INIT;
	int rc = link_key(l, &key);

	if (rc == 0)
		rc = back_key(l, &back);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_LINEAGE, buf_slice(&key));
	return rc < 0 ? rc : kv_del(m->kv, TABLE_LINEAGE_BY, buf_slice(&back));
}

/* The link that is meant, and whether it is there. */
static int link_find(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t serial, struct link *ret,
		     struct version *ret_version)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	int rc = version_by_serial(kv_live(m->kv), serial, ret_version);

	if (rc < 0)
		return rc == -ENOENT ? err_set(-EINVAL, "no such version") : rc;
	*ret = (struct link){ .run = run, .entry = ret_version->entry, .n = ret_version->n, .direction = direction };
	rc = link_key(ret, &key);
	return rc < 0 ? rc : kv_get(kv_live(m->kv), TABLE_LINEAGE, buf_slice(&key), &value);
}

static int emit_link(struct meta *m, const struct link *l, const struct version *v)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	char run[12];
	struct entry e;
	int rc = entry_get(kv_live(m->kv), l->entry, &e);

	if (rc < 0)
		return rc;
	entry_name_version(e.name, v->is_dir, v->n, &name);
	rc = buf_err(&name);
	if (rc < 0)
		return rc;
	(void)snprintf(run, sizeof(run), "%u", l->run);
	event_emit(m, l->direction == LINEAGE_INPUT ? "lineage.input" : "lineage.output", "run", run, "space",
		   entry_space_name(e.space), "name", name.data, NULL);
	return 0;
}

static int check_run(struct meta *m, uint32_t run, enum lineage_how how)
{
	struct run r;

	return how == LINEAGE_BY_CUT ? run_get(kv_live(m->kv), run, &r) : run_check_writable(kv_live(m->kv), run);
}

int lineage_add(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t version_serial,
		enum lineage_how how)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf back = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	struct link link;
	struct version v;
	int rc = link_find(m, run, direction, version_serial, &link, &v);

	if (rc != -ENOENT)
		return rc;
	rc = check_run(m, run, how);
	if (rc == 0 && (v.trashed || v.destroyed))
		rc = err_set(-EINVAL, "the version lies in the trash");
	if (rc < 0)
		return rc;
	pack_u8(&value, (uint8_t)how);
	pack_i64(&value, clock_now_ms());
	rc = buf_err(&value);
	if (rc == 0)
		rc = link_key(&link, &key);
	if (rc == 0)
		rc = back_key(&link, &back);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_LINEAGE, buf_slice(&key), buf_slice(&value));
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_LINEAGE_BY, buf_slice(&back), nothing);
	return rc < 0 ? rc : emit_link(m, &link, &v);
}

int lineage_add_head(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t entry,
		     enum lineage_how how, const struct meta_actor *who, uint32_t *ret_serial)
{
	struct meta_actor cutter = *who;
	struct version v;
	struct entry e;
	uint32_t n;
	int rc = check_run(m, run, how);

	if (rc == 0)
		rc = entry_get(kv_live(m->kv), entry, &e);
	if (rc == 0 && (e.trashed || e.destroyed))
		rc = -ENOENT;
	if (rc < 0)
		return rc;
	n = e.newest;
	if (direction == LINEAGE_INPUT)
		cutter.run = 0; /* who reads is not who made it */
	if (e.has_head)
		rc = entry_cut(m, entry, nothing, direction == LINEAGE_OUTPUT ? run : 0, &cutter, &n);
	if (rc == 0)
		rc = version_get(kv_live(m->kv), entry, n, &v);
	if (rc < 0)
		return rc;
	*ret_serial = v.serial;
	return lineage_add(m, run, direction, v.serial, how);
}

int lineage_remove(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t version_serial)
{
	struct link link;
	struct version v;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = link_find(m, run, direction, version_serial, &link, &v);
	return rc < 0 ? rc : link_delete(m, &link);
}

/* --- asking ----------------------------------------------------------------------------------------- */

struct each {
	struct kv_view *view;
	enum entry_space space;
	int (*emit)(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms);
	void *arg;
};

static int each_link(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	struct unpack k = unpack_init(rest);
	uint32_t id = unkey_u32(&k);
	uint32_t n = unkey_u32(&k);
	enum lineage_how how;
	struct version v;
	struct entry e;
	int64_t at_ms;
	int rc = link_decode(value, &how, &at_ms);

	if (rc == 0)
		rc = entry_get(each->view, id, &e);
	if (rc == 0 && e.space != each->space)
		return 0;
	if (rc == 0)
		rc = version_get(each->view, id, n, &v);
	return rc < 0 ? rc : each->emit(each->arg, &v, how, at_ms);
}

int lineage_each(struct kv_view *view, uint32_t run, enum lineage_direction direction, enum entry_space space,
		 int (*emit)(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms), void *arg)
{
	struct each each = { view, space, emit, arg };
	SCOPED_BUF struct buf prefix = BUF_INIT;
	int rc;

	key_u32(&prefix, run);
	key_u8(&prefix, (uint8_t)direction);
	rc = buf_err(&prefix);
	return rc < 0 ? rc : rows_each(view, TABLE_LINEAGE, buf_slice(&prefix), nothing, each_link, &each);
}

struct each_run {
	int (*emit)(void *arg, uint32_t run);
	void *arg;
};

static int each_back(void *arg, struct slice rest, struct slice value)
{
	const struct each_run *each = arg;
	struct unpack k = unpack_init(rest);
	uint32_t run = unkey_u32(&k);
	int rc = unpack_done(&k);

	(void)value;
	return rc < 0 ? rc : each->emit(each->arg, run);
}

int lineage_runs(struct kv_view *view, uint32_t version_serial, enum lineage_direction direction,
		 int (*emit)(void *arg, uint32_t run), void *arg)
{
	struct each_run each = { emit, arg };
	SCOPED_BUF struct buf prefix = BUF_INIT;
	struct version v;
	int rc = version_by_serial(view, version_serial, &v);

	key_u32(&prefix, v.entry);
	key_u32(&prefix, v.n);
	key_u8(&prefix, (uint8_t)direction);
	if (rc == 0)
		rc = buf_err(&prefix);
	return rc < 0 ? rc : rows_each(view, TABLE_LINEAGE_BY, buf_slice(&prefix), nothing, each_back, &each);
}

/* --- for the other files of entries ------------------------------------------------------------------- */

static int version_prefix(uint32_t entry, uint32_t n, struct buf *out)
{
	key_u32(out, entry);
	key_u32(out, n);
	return buf_err(out);
}

struct known {
	struct kv_view *view;
	struct link link;	/* entry and n */
	uint32_t run;		/* whose outputs by cut do not count */
	bool known;
};

static int is_known(void *arg, struct slice rest, struct slice value)
{
	struct known *known = arg;
	SCOPED_BUF struct buf key = BUF_INIT;
	struct unpack k = unpack_init(rest);
	enum lineage_how how = LINEAGE_BY_HAND;
	struct slice row;
	int64_t at_ms = 0;
	int rc;

	(void)value;
	known->link.direction = (enum lineage_direction)unkey_u8(&k);
	known->link.run = unkey_u32(&k);
	known->known = true;
	if (known->run == 0 || known->link.run != known->run || known->link.direction != LINEAGE_OUTPUT)
		return 1;
	rc = link_key(&known->link, &key);
	if (rc == 0)
		rc = kv_get(known->view, TABLE_LINEAGE, buf_slice(&key), &row);
	if (rc == 0)
		rc = link_decode(row, &how, &at_ms);
	if (rc < 0 || how != LINEAGE_BY_CUT)
		return rc < 0 ? rc : 1;
	known->known = false;
	return 0;
}

int lineage_known(struct kv_view *view, uint32_t entry, uint32_t n, uint32_t run, bool *ret)
{
	struct known known = { .view = view, .link = { .entry = entry, .n = n }, .run = run };
	SCOPED_BUF struct buf prefix = BUF_INIT;
	int rc = version_prefix(entry, n, &prefix);

	if (rc == 0)
		rc = rows_each(view, TABLE_LINEAGE_BY, buf_slice(&prefix), nothing, is_known, &known);
	*ret = known.known;
	return rc;
}

static int add_link(void *arg, struct slice rest, struct slice value)
{
	struct buf *out = arg;

	(void)value;
	buf_add_slice(out, rest);
	return buf_err(out);
}

int lineage_forget_version(struct meta *m, uint32_t entry, uint32_t n)
{
	SCOPED_BUF struct buf prefix = BUF_INIT;
	SCOPED_BUF struct buf rests = BUF_INIT;
	struct unpack u;
	int rc = version_prefix(entry, n, &prefix);

	if (rc == 0)
		rc = rows_each(kv_live(m->kv), TABLE_LINEAGE_BY, buf_slice(&prefix), nothing, add_link, &rests);
	u = unpack_init(buf_slice(&rests));
	while (rc == 0 && u.left > 0) {
		struct link l = { .entry = entry, .n = n };

		l.direction = (enum lineage_direction)unkey_u8(&u);
		l.run = unkey_u32(&u);
		rc = link_delete(m, &l);
	}
	return rc;
}

/* A version of which only the record was left may have lost its last link; and with its last version the entry. */
static int forget_record(struct meta *m, uint32_t entry, uint32_t n)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct version v;
	struct entry e;
	bool known;
	int rc = version_get(kv_live(m->kv), entry, n, &v);

	if (rc == 0)
		rc = lineage_known(kv_live(m->kv), entry, n, 0, &known);
	if (rc < 0 || known || !v.destroyed)
		return rc;
	rc = version_delete_record(m, &v);
	key_u32(&key, entry);
	if (rc == 0)
		rc = buf_err(&key);
	if (rc == 0)
		rc = entry_get(kv_live(m->kv), entry, &e);
	if (rc < 0 || !e.destroyed)
		return rc;
	rc = rows_any(kv_live(m->kv), TABLE_VERSION, buf_slice(&key), &known);
	return rc < 0 || known ? rc : kv_del(m->kv, TABLE_ENTRY, buf_slice(&key));
}

/* Up to *BUDGET links of RUN go. */
static int forget_links(struct meta *m, uint32_t run, struct slice prefix, unsigned *budget)
{
	SCOPED_BUF struct buf rests = BUF_INIT;
	struct unpack u;
	int rc = rows_each(kv_live(m->kv), TABLE_LINEAGE, prefix, nothing, add_link, &rests);

	u = unpack_init(buf_slice(&rests));
	while (rc == 0 && u.left > 0 && *budget > 0) {
		struct link l = { .run = run };

		l.direction = (enum lineage_direction)unkey_u8(&u);
		l.entry = unkey_u32(&u);
		l.n = unkey_u32(&u);
		rc = link_delete(m, &l);
		if (rc == 0)
			rc = forget_record(m, l.entry, l.n);
		--*budget;
	}
	return rc;
}

int lineage_forget_run(struct meta *m, uint32_t run, unsigned *budget)
{
	struct meta_key k = meta_key_1(run);
	int rc = forget_links(m, run, meta_key_slice(&k), budget);

	if (rc == 0)
		rc = meta_delete_prefix(m, TABLE_ENTRY_MARK, meta_key_slice(&k), budget);
	if (rc == 0)
		rc = meta_delete_prefix(m, TABLE_INPUT, meta_key_slice(&k), budget);
	return rc < 0 ? rc : meta_delete_prefix(m, TABLE_LOGGED_MODEL_RUN, meta_key_slice(&k), budget);
}
