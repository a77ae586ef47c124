/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_pending - cuts that come later: of heads that were only appended to, when they have been quiet; of heads that a run wrote
 * into, when it ends; of heads that a crash left uncut, at the next open.
 *
 * What waits for quiet is in memory alone: an item leaves the list only after the batch that cut it was committed, and a cut
 * of a head that does not differ is nothing, so an item too many never harms.  What runs wrote is in TABLE_ENTRY_MARK.
 */
#include "store/meta/entry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"

#define QUIET_MS 2000
#define NOT_BY_TIME INT64_MAX
#define RETRY_MS 5000		/* after a cut that failed, by a full disk for instance */

struct pending {
	uint32_t id;
	uint32_t tree;		/* the head that waits: not one that came after it */
	struct meta_actor who;
	int64_t due_ms;		/* clock_mono_ms(); NOT_BY_TIME */
};

struct entries {		/* core thread */
	struct pending *items;
	size_t count, cap;
};

static const struct slice nothing;

/* --- the list ------------------------------------------------------------------------------------------ */

static struct pending *pending_find(const struct entries *es, uint32_t id)
{
	for (size_t i = 0; i < es->count; i++) {
		if (es->items[i].id == id)
			return &es->items[i];
	}
	return NULL;
}

static int pending_put(struct entries *es, const struct entry *e, const struct meta_actor *who, int64_t due_ms)
{
	struct pending *p = pending_find(es, e->id);

	if (p == NULL && es->count == es->cap) {
		size_t cap = es->cap != 0 ? es->cap * 2 : 16;
		struct pending *items = realloc(es->items, cap * sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		es->items = items;
		es->cap = cap;
	}
	if (p == NULL)
		p = &es->items[es->count++];
	*p = (struct pending){ e->id, e->tree, *who, due_ms };
	return 0;
}

static void pending_drop(struct entries *es, struct pending *p)
{
	*p = es->items[--es->count];
}

bool entry_is_pending(const struct meta *m, uint32_t id)
{
	const struct entries *es = m->state->entries;

	return id == 0 ? es->count > 0 : pending_find(es, id) != NULL;
}

/* --- writing --------------------------------------------------------------------------------------------- */

static int mark_key(uint32_t run, uint32_t id, struct buf *key)
{
	key_u32(key, run);
	key_u32(key, id);
	return buf_err(key);
}

int entry_mark_written(struct meta *m, uint32_t id, uint32_t run)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	struct slice old;
	int rc = mark_key(run, id, &key);

	if (rc == 0)
		rc = kv_get(kv_live(m->kv), TABLE_ENTRY_MARK, buf_slice(&key), &old);
	if (rc != -ENOENT)
		return rc;
	pack_i64(&value, clock_now_ms());
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_ENTRY_MARK, buf_slice(&key), buf_slice(&value));
}

int entry_written(struct meta *m, uint32_t id, bool appended, const struct meta_actor *who)
{
	struct entry e;
	int rc = entry_get(kv_live(m->kv), id, &e);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* went while it was open */
	if (!e.has_head || e.trashed || e.destroyed)
		return 0;
	if (e.is_dir)
		return who->run != 0 ? entry_mark_written(m, id, who->run) : 0;
	if (!appended)
		return entry_cut(m, id, nothing, 0, who, NULL);
	rc = who->run != 0 ? entry_mark_written(m, id, who->run) : 0;
	return rc < 0 ? rc : pending_put(m->state->entries, &e, who, clock_mono_ms() + QUIET_MS);
}

int entry_defer(struct meta *m, uint32_t id, const struct meta_actor *who)
{
	struct entry e;
	int rc = entry_get(kv_live(m->kv), id, &e);

	if (rc == 0 && who->run != 0)
		rc = entry_mark_written(m, id, who->run);
	return rc < 0 ? rc : pending_put(m->state->entries, &e, who, NOT_BY_TIME);
}

void entry_decided(struct meta *m, uint32_t id)
{
	struct pending *p = pending_find(m->state->entries, id);

	if (p != NULL)
		pending_drop(m->state->entries, p);
}

/* --- settling ----------------------------------------------------------------------------------------------- */

/* In a batch.  -ENOENT: the head is another now, or none. */
static int pending_cut(struct meta *m, const struct pending *p)
{
	struct entry e;
	int rc = entry_get(kv_live(m->kv), p->id, &e);

	if (rc == 0 && (e.tree != p->tree || e.trashed))
		rc = -ENOENT;
	return rc < 0 ? rc : entry_cut(m, p->id, nothing, p->who.run, &p->who, NULL);
}

static int cut_in_batch(struct meta *m, const struct pending *p)
{
	int rc = kv_begin(m->kv);

	if (rc < 0)
		return rc;
	rc = pending_cut(m, p);
	if (rc < 0) {
		kv_abort(m->kv);
		return rc;
	}
	return kv_commit(m->kv, NULL);
}

/* Cut P's head; it leaves the list, or stays to be tried again. */
static int settle(struct meta *m, struct pending *p)
{
	struct pending item = *p;
	int rc = cut_in_batch(m, &item);

	p = pending_find(m->state->entries, item.id);
	if (rc == 0 || rc == -ENOENT) {
		pending_drop(m->state->entries, p);
		return 0;
	}
	p->due_ms = clock_mono_ms() + RETRY_MS;
	log_warn("entry %u: could not cut a version: %s; it is tried again", item.id, err_text(rc));
	return rc;
}

int entry_settle(struct meta *m, uint32_t id)
{
	struct entries *es = m->state->entries;
	int first = 0;

	if (es->count == 0)
		return 0;
	assert(!kv_in_batch(m->kv));
	for (size_t i = es->count; i > 0; i--) {
		int rc = id == 0 || es->items[i - 1].id == id ? settle(m, &es->items[i - 1]) : 0;

		if (first == 0)
			first = rc;
	}
	return first;
}

int entry_settle_due(struct meta *m, int64_t now_mono_ms, int64_t *ret_next_ms)
{
	struct entries *es = m->state->entries;
	int first = 0;

	*ret_next_ms = -1;
	for (size_t i = es->count; i > 0; i--) {
		int rc = es->items[i - 1].due_ms <= now_mono_ms ? settle(m, &es->items[i - 1]) : 0;

		if (first == 0)
			first = rc;
	}
	for (size_t i = 0; i < es->count; i++) {
		if (es->items[i].due_ms != NOT_BY_TIME && (*ret_next_ms < 0 || es->items[i].due_ms < *ret_next_ms))
			*ret_next_ms = es->items[i].due_ms;
	}
	return first;
}

/* --- runs ------------------------------------------------------------------------------------------------------ */

/* What RUN wrote into ID is its output; a tree that is empty and never had a version is nothing. */
static int cut_of_run(struct meta *m, uint32_t id, uint32_t run)
{
	struct meta_actor who = { .run = run };
	bool empty = false;
	struct entry e;
	int rc = entry_get(kv_live(m->kv), id, &e);

	if (rc == -ENOENT || (rc == 0 && (!e.has_head || e.trashed || e.destroyed)))
		return 0;
	if (rc == 0 && e.is_dir && e.newest == 0)
		rc = entry_dir_is_empty(kv_live(m->kv), &e, &empty);
	if (rc < 0 || empty)
		return rc;
	who.uid = e.uid;
	who.gid = e.gid;
	return entry_cut(m, id, nothing, run, &who, NULL);
}

int entries_run_ended(struct meta *m, uint32_t run)
{
	const struct entries *es = m->state->entries;
	SCOPED_BUF struct buf ids = BUF_INIT;
	struct meta_key k = meta_key_1(run);
	int rc = rows_numbers(kv_live(m->kv), TABLE_ENTRY_MARK, meta_key_slice(&k), &ids);

	for (size_t i = 0; rc == 0 && i < es->count; i++) {
		rc = pending_cut(m, &es->items[i]);
		if (rc == -ENOENT)
			rc = 0;
	}
	for (size_t i = 0; rc == 0 && i < rows_count(&ids); i++)
		rc = cut_of_run(m, rows_number(&ids, i), run);
	return rc < 0 ? rc : rows_delete(m, TABLE_ENTRY_MARK, meta_key_slice(&k));
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

struct recover {
	struct kv_view *view;
	struct buf ids;
};

static int add_uncut(void *arg, struct slice key, struct slice value)
{
	struct recover *r = arg;
	struct unpack u = unpack_init(key);
	bool untouched = true;
	struct entry e;
	int rc = entry_decode(value, unkey_u32(&u), &e);

	if (rc == 0 && e.has_head && !e.is_dir && !e.trashed && !e.destroyed)
		rc = entry_untouched(r->view, &e, &untouched);
	if (rc < 0) {
		log_warn("dataset or model %u is left as it is: %s", e.id, err_text(rc));
		return 0;
	}
	if (!untouched)
		buf_add(&r->ids, &e.id, sizeof(e.id));
	return buf_err(&r->ids);
}

struct writer {
	uint32_t id, run;
};

static int find_writer(void *arg, struct slice rest, struct slice value)
{
	struct writer *w = arg;
	struct unpack u = unpack_init(rest);
	uint32_t run = unkey_u32(&u);

	(void)value;
	if (unkey_u32(&u) == w->id)
		w->run = run;
	return 0;
}

/* File heads that were closed after appending, or open for writing, when the machine or the daemon stopped. */
static int recover(struct meta *m)
{
	struct recover r = { .view = kv_live(m->kv), .ids = BUF_INIT };
	int rc = rows_each(r.view, TABLE_ENTRY, nothing, nothing, add_uncut, &r);

	for (size_t i = 0; rc == 0 && i < rows_count(&r.ids); i++) {
		struct writer w = { .id = rows_number(&r.ids, i) };
		struct pending p = { .id = w.id };
		struct entry e;

		rc = rows_each(kv_live(m->kv), TABLE_ENTRY_MARK, nothing, nothing, find_writer, &w);
		if (rc == 0)
			rc = entry_get(kv_live(m->kv), w.id, &e);
		if (rc < 0)
			break;
		p.tree = e.tree;
		p.who = (struct meta_actor){ .uid = e.uid, .gid = e.gid, .run = w.run };
		rc = cut_in_batch(m, &p);
		if (rc == -EROFS)
			break;
		if (rc < 0)
			log_warn("dataset or model %u is left uncut: %s", w.id, err_text(rc));
		rc = 0;
	}
	buf_release(&r.ids);
	return rc == -EROFS ? 0 : rc;
}

int entries_open(struct meta *m)
{
	m->state->entries = calloc(1, sizeof(*m->state->entries));
	return m->state->entries == NULL ? -ENOMEM : recover(m);
}

void entries_close(struct meta *m)
{
	if (m->state->entries == NULL)
		return;
	free(m->state->entries->items);
	free(m->state->entries);
	m->state->entries = NULL;
}

int entries_work_step(struct meta *m, bool *ret_more)
{
	(void)m;
	*ret_more = false; /* whatever is large here is the trees' background work */
	return 0;
}
