/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in the trash, destroyed, and what the background deletes of them (run.h).
 */
#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/experiment.h"
#include "store/meta/run_internal.h"
#include "store/meta/trash.h"

int run_trash(struct meta *m, uint32_t number)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	int rc = run_load_living(m, number, &text, &row);

	if (rc < 0)
		return rc;
	row.run.deleted_ms = clock_now_ms();
	rc = run_save(m, &row);
	if (rc == 0)
		rc = trash_add(m, TRASH_RUNS, row.run.id, TRASH_RUN, number);
	if (rc == 0)
		run_emit_event(m, &row.run, "run.trash", NULL, NULL);
	return rc;
}

int run_restore(struct meta *m, uint32_t number)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	struct run *r = &row.run;
	int rc = run_load(m, number, &text, &row);

	if (rc == 0 && r->deleted_ms == 0)
		rc = err_set(-EINVAL, "the run is not in the trash by itself");
	if (rc == 0 && !experiment_alive(kv_live(m->kv), r->experiment)) {
		rc = run_pair_del(m, TABLE_RUN_EXPERIMENT, r->experiment, number);
		if (rc == 0)
			rc = run_pair_put(m, TABLE_RUN_EXPERIMENT, EXPERIMENT_DEFAULT, number);
		r->experiment = EXPERIMENT_DEFAULT;
	}
	if (rc == 0)
		rc = trash_remove(m, TRASH_RUNS, TRASH_RUN, number);
	r->deleted_ms = 0;
	if (rc == 0)
		rc = run_save(m, &row);
	if (rc == 0)
		run_emit_event(m, r, "run.restore", NULL, NULL);
	return rc;
}

/* The record and every name of it go; its other rows are left to the background. */
static int erase(struct meta *m, const struct run *r)
{
	struct meta_key k = meta_key_1(r->number);
	int rc = tree_delete(m->trees, r->tree);

	if (rc == 0)
		rc = run_name_row_del(m, RUN_NAME_UUID, slice_of(r->uuid, sizeof(r->uuid)));
	if (rc == 0 && r->number >= RUN_CHOSEN_FIRST)
		rc = run_name_row_del(m, RUN_NAME_CHOSEN, r->id);
	if (rc == 0)
		rc = run_pair_del(m, TABLE_RUN_EXPERIMENT, r->experiment, r->number);
	if (rc == 0 && r->parent)
		rc = run_pair_del(m, TABLE_RUN_CHILD, r->parent, r->number);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_RUN, meta_key_slice(&k));
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_RUN_STAT, meta_key_slice(&k));
	return rc < 0 ? rc : meta_work_add(m, META_WORK_RUN, r->number);
}

int run_destroy(struct meta *m, uint32_t number)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	struct run_row row;
	int rc = run_load(m, number, &text, &row);

	if (rc == 0 && !row.run.trashed)
		rc = err_set(-EPERM, "only what lies in the trash can be destroyed");
	if (rc == 0 && row.run.deleted_ms)
		rc = trash_remove(m, TRASH_RUNS, TRASH_RUN, number);
	if (rc == 0)
		rc = erase(m, &row.run);
	if (rc == 0)
		run_emit_event(m, &row.run, "run.destroy", NULL, NULL);
	return rc;
}

int run_orphaned(struct meta *m, uint32_t number)
{
	SCOPED_BUF struct buf id = BUF_INIT;
	struct run_row row;
	struct run *r = &row.run;
	int rc = run_row_get(kv_live(m->kv), number, &row);

	if (rc < 0)
		return rc;
	if (r->deleted_ms == 0) {
		buf_add_slice(&id, r->id);
		r->id = buf_slice(&id);
		return buf_err(&id) < 0 ? -ENOMEM : erase(m, r);
	}
	rc = run_pair_put(m, TABLE_RUN_EXPERIMENT, EXPERIMENT_DEFAULT, number);
	if (rc == 0)
		rc = run_pair_del(m, TABLE_RUN_EXPERIMENT, r->experiment, number);
	if (rc == 0)
		rc = run_row_get(kv_live(m->kv), number, &row);
	r->experiment = EXPERIMENT_DEFAULT;
	return rc < 0 ? rc : run_row_put(m, &row);
}

/* Children of a destroyed run have no parent any more. */
static int release_children(struct meta *m, uint32_t number, unsigned *budget)
{
	struct meta_key prefix = meta_key_1(number);

	while (*budget > 0) {
		SCOPED_CURSOR struct kv_cursor *cur = NULL;
		struct run_row row;
		uint32_t child;
		int rc = kv_cursor_open(kv_live(m->kv), TABLE_RUN_CHILD, &cur);

		if (rc == 0)
			rc = kv_cursor_seek(cur, meta_key_slice(&prefix));
		if (rc < 0 || !slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix)))
			return rc == -ENOENT ? 0 : rc;
		child = meta_key_read_u32(kv_cursor_key(cur), 4);
		rc = run_row_get(kv_live(m->kv), child, &row);
		row.run.parent = 0;
		if (rc == 0)
			rc = run_row_put(m, &row);
		if (rc == 0 || rc == -ENOENT)
			rc = run_pair_del(m, TABLE_RUN_CHILD, number, child);
		if (rc < 0)
			return rc;
		--*budget;
	}
	return 0;
}

int run_work_step(struct meta *m, uint32_t number, unsigned *budget)
{
	static const uint8_t tables[] = { TABLE_PARAM,       TABLE_METRIC,   TABLE_POINT,
					  TABLE_RUN_SESSION, TABLE_RUN_PROC, TABLE_RUN_NOTE };
	const uint8_t spaces[] = { KEYSPACE_PARAM, KEYSPACE_METRIC,
				   keyspace_code(KEYS_TAG, TAG_RUN) };
	struct meta_key k = meta_key_1(number), tags = { .len = 0 };
	int rc = release_children(m, number, budget);

	for (size_t i = 0; i < sizeof(tables) && rc == 0; i++)
		rc = meta_delete_prefix(m, tables[i], meta_key_slice(&k), budget);
	for (size_t i = 0; i < sizeof(spaces) && rc == 0; i++) {
		struct meta_key dirs = { .len = 0 };

		meta_key_u8(&dirs, spaces[i]);
		meta_key_u32(&dirs, number);
		rc = meta_delete_prefix(m, TABLE_KEY_DIR, meta_key_slice(&dirs), budget);
	}
	meta_key_u8(&tags, TAG_RUN);
	meta_key_u32(&tags, number);
	if (rc == 0)
		rc = meta_delete_prefix(m, TABLE_TAG, meta_key_slice(&tags), budget);
	return rc == 0 && *budget > 0 ? lineage_forget_run(m, number, budget) : rc;
}
