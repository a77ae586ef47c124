/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_work - background work in bounded steps, each a batch of its own, from the rows of TABLE_TREE_WORK.
 */
#include "store/base/log.h"
#include "store/tree/content.h"
#include "store/tree/epoch.h"
#include "store/tree/extent.h"
#include "store/tree/inode.h"
#include "store/tree/layer.h"

#define STEP_ROWS 128u			/* deleted in one step */
#define STEP_TRIM_ROWS 1024u		/* looked at in one step of trimming */
#define COUNT_MAX 1000u

static const uint8_t delete_tables[] = {
	TABLE_DIRENT, TABLE_DIRENT_COOKIE, TABLE_XATTR, TABLE_ORPHAN, TABLE_TREE_EPOCH, TABLE_INODE
};

/* Delete rows of TREE in TABLE while *BUDGET lasts; *RET_DONE: none are left. */
static int delete_rows(struct trees *t, uint8_t table, uint32_t tree, unsigned *budget, bool *ret_done)
{
	struct tkey first = { .len = 0 };
	int rc = 0;

	tkey_u32(&first, tree);
	*ret_done = false;
	while (!rc && *budget > 0) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		uint8_t space[KV_KEY_MAX];	/* a damaged key may be longer than any of ours */
		struct slice k = slice_of(space, 0);
		uint64_t content = 0;

		rc = kv_cursor_open(kv_live(t->kv), table, &cur);
		if (!rc)
			rc = kv_cursor_seek(cur, tkey_slice(&first));
		if (!rc) {
			k.len = kv_cursor_key(cur).len;
			memcpy(space, kv_cursor_key(cur).data, k.len);
		}
		if (rc == -ENOENT || (!rc && (k.len < 4 || tkey_get_u32(space) != tree))) {
			*ret_done = true;
			return 0;
		}
		if (!rc && table == TABLE_INODE) {
			struct inode n;
			bool dead;

			rc = inode_parse(tree, 0, 0, kv_cursor_value(cur), &n, &dead);
			content = rc ? 0 : n.content;
			rc = rc == -EBADMSG ? 0 : rc;	/* a damaged row goes like any other */
		}
		kv_cursor_close(cur);
		cur = NULL;
		if (!rc)
			rc = kv_del(t->kv, table, k);
		if (!rc && content)
			rc = content_unref(t, content);
		--*budget;
	}
	return rc;
}

static int step_delete(struct trees *t, uint32_t tree)
{
	struct tkey k = { .len = 0 };
	struct tree_totals totals;
	unsigned budget = STEP_ROWS;
	bool done = true;
	int rc = 0;

	for (size_t i = 0; i < sizeof delete_tables && !rc && done; i++)
		rc = delete_rows(t, delete_tables[i], tree, &budget, &done);
	if (rc || !done)
		return rc;
	tkey_u32(&k, tree);
	rc = kv_del(t->kv, TABLE_TREE, tkey_slice(&k));
	if (!rc)
		rc = tree_totals_get(kv_live(t->kv), &totals);
	if (rc)
		return rc;
	totals.trees--;
	rc = tree_totals_put(t, &totals);
	if (!rc)
		rc = tree_work_del(t, TREE_WORK_TRIM, tree);
	return rc ? rc : tree_work_del(t, TREE_WORK_DELETE, tree);
}

static int step_trim(struct trees *t, uint32_t tree, struct slice at)
{
	SCOPED_BUF struct buf pos = BUF_INIT;
	struct tree_row row;
	bool done = false;
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	if (rc == -ENOENT)		/* being deleted as a whole */
		return tree_work_del(t, TREE_WORK_TRIM, tree);
	buf_add_slice(&pos, at);
	if (!rc)
		rc = epoch_trim_step(t, tree, &pos, STEP_TRIM_ROWS, &done);
	if (rc)
		return rc;
	return done ? tree_work_del(t, TREE_WORK_TRIM, tree) : tree_work_put(t, TREE_WORK_TRIM, tree, buf_slice(&pos));
}

static int step(struct trees *t, enum tree_work kind, uint64_t id, struct slice at)
{
	bool done = false;
	int rc;

	switch (kind) {
	case TREE_WORK_DELETE:
		return step_delete(t, (uint32_t)id);
	case TREE_WORK_TRIM:
		return step_trim(t, (uint32_t)id, at);
	case TREE_WORK_DROP:
		rc = content_drop_step(t, id, STEP_ROWS, &done);
		break;
	case TREE_WORK_EXTENTS:
		rc = extent_drop_some(t, id, STEP_ROWS, &done);
		break;
	case TREE_WORK_SEAL:
	default:
		return err_set(-EBADMSG, "background work of an unknown kind %d", (int)kind);
	}
	return rc || !done ? rc : tree_work_del(t, kind, id);
}

/* The first row of work but seals; -ENOENT.  AT gets its position. */
static int first_work(struct trees *t, enum tree_work *ret_kind, uint64_t *ret_id, struct buf *at)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct slice key;
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_TREE_WORK, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of("", 1));
	if (rc)
		return rc;
	key = kv_cursor_key(cur);
	if (key.len != 9)
		return err_set(-EBADMSG, "background work: damaged key");
	*ret_kind = (enum tree_work)*(const uint8_t *)key.data;
	*ret_id = tkey_get_u64((const uint8_t *)key.data + 1);
	buf_add_slice(at, kv_cursor_value(cur));
	return *ret_kind >= TREE_WORK_SEAL ? -ENOENT : buf_err(at);
}

static int work_step(struct trees *t, bool *ret_more)
{
	SCOPED_BUF struct buf at = BUF_INIT, next = BUF_INIT;
	enum tree_work kind;
	uint64_t id;
	int rc = first_work(t, &kind, &id, &at);

	*ret_more = false;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = kv_begin(t->kv);
	if (rc)
		return rc;
	rc = step(t, kind, id, buf_slice(&at));
	if (rc == -EBADMSG) {		/* fsck names what is damaged; the rest of the work must go on */
		log_error("background work %d on %llu: %s", (int)kind, (unsigned long long)id, err_text(rc));
		kv_abort(t->kv);
		rc = kv_begin(t->kv);
		if (rc)
			return rc;
		rc = tree_work_del(t, kind, id);
	}
	if (rc) {
		kv_abort(t->kv);
		return rc;
	}
	rc = kv_commit(t->kv, NULL);
	if (!rc)
		*ret_more = first_work(t, &kind, &id, &next) == 0;
	return rc;
}

int trees_work_step(struct trees *t, bool *ret_more)
{
	bool was = kv_use_reserve(t->kv, true);
	int rc = work_step(t, ret_more);

	kv_use_reserve(t->kv, was);
	return rc;
}

/* How many rows of TABLE there are from key FIRST on while their first byte is below END; counted up to COUNT_MAX. */
static uint64_t count_rows(struct trees *t, uint8_t table, uint8_t first, uint8_t end)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	uint64_t n = 0;
	int rc = kv_cursor_open(kv_live(t->kv), table, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, slice_of(&first, 1));
	while (!rc && n < COUNT_MAX && *(const uint8_t *)kv_cursor_key(cur).data < end) {
		n++;
		rc = kv_cursor_next(cur);
	}
	return n;
}

uint64_t trees_pending(struct trees *t)
{
	struct tree_totals totals;
	uint64_t n = count_rows(t, TABLE_TREE_WORK, 0, TREE_WORK_SEAL) +
		     count_rows(t, TABLE_LAYER, LAYER_DROPPED, LAYER_DROPPED + 1);
	uint64_t bad = t->seal_bad.len / sizeof(uint64_t);

	if (tree_totals_get(kv_live(t->kv), &totals))
		return n;
	return n + (totals.unsealed > bad ? totals.unsealed - bad : 0);
}
