/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta_internal - what the files of store/meta share with each other and with nobody else.
 * Core thread, in a batch, unless a function takes a view.
 */
#ifndef STORE_META_META_INTERNAL_H
#define STORE_META_META_INTERNAL_H

#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/keydir.h"
#include "store/meta/meta.h"
#include "store/meta/run.h"

struct events;  /* event.c */
struct entries; /* entry.c: pending cuts */

struct meta_state {
	struct events *events;
	struct entries *entries;
};

/* --- meta.c --------------------------------------------------------------------------------------------- */

/* The next value of the counter NAME, which starts at FIRST; no value is given out twice.  -ENOSPC after LAST. */
MUST_CHECK int meta_counter_next(struct meta *m, const char *name, uint32_t first, uint32_t last,
				 uint32_t *ret);

/* Delete up to *BUDGET rows of TABLE whose key starts with PREFIX (copied); *BUDGET falls by what was deleted, to 0 when there may be more. */
MUST_CHECK int meta_delete_prefix(struct meta *m, uint8_t table, struct slice prefix,
				  unsigned *budget);

/* Background work: rows of TABLE_META_WORK. */
enum meta_work { META_WORK_EXPERIMENT = 1, META_WORK_RUN = 2 };
MUST_CHECK int meta_work_add(struct meta *m, enum meta_work what, uint32_t id);

/* A key of at most three numbers, built on the stack. */
struct meta_key {
	uint8_t bytes[16];
	size_t len;
};
static inline void meta_key_u8(struct meta_key *k, uint8_t v)
{
	k->bytes[k->len++] = v;
}
static inline void meta_key_u32(struct meta_key *k, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		k->bytes[k->len++] = (uint8_t)(v >> shift);
}
static inline struct meta_key meta_key_1(uint32_t a)
{
	struct meta_key k = { .len = 0 };

	meta_key_u32(&k, a);
	return k;
}
static inline struct meta_key meta_key_2(uint32_t a, uint32_t b)
{
	struct meta_key k = meta_key_1(a);

	meta_key_u32(&k, b);
	return k;
}
static inline struct slice meta_key_slice(const struct meta_key *k)
{
	return slice_of(k->bytes, k->len);
}
static inline uint32_t meta_key_read_u32(struct slice key, size_t at)
{
	const uint8_t *p = (const uint8_t *)key.data + at;

	if (at + 4 > key.len)
		return 0;
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Can NAME be a directory's name that we make: 1..MAX bytes of UTF-8, no '/', no control character, no scratch name?  WHAT for the reason. */
MUST_CHECK int meta_name_check(struct slice name, size_t max, const char *what);
/* Is TEXT at most MAX bytes (-EFBIG) of UTF-8 without NUL (-EILSEQ)?  WHAT for the reason. */
MUST_CHECK int meta_text_check(struct slice text, size_t max, const char *what);

/* --- what the files of datasets and models offer to meta.c, run.c ---------------------------------------- */

MUST_CHECK int entries_open(
	struct meta *m); /* entry.c: makes m->state->entries; may open batches */
void entries_close(struct meta *m);
/* RUN ends: what it changed of datasets and models is cut as versions that it made. */
MUST_CHECK int entries_run_ended(struct meta *m, uint32_t run);
/* RUN is destroyed: delete up to *BUDGET of its rows in TABLE_LINEAGE, _BY, TABLE_INPUT, TABLE_LOGGED_MODEL_RUN. */
MUST_CHECK int lineage_forget_run(struct meta *m, uint32_t run, unsigned *budget);
/* Their part of meta_work_step (in its batch) and of meta_check. */
MUST_CHECK int entries_work_step(struct meta *m, bool *ret_more);
MUST_CHECK int entries_check(struct meta *m, struct kv_view *view,
			     void (*report)(void *arg, const char *fault), void *arg);

/* --- event.c ---------------------------------------------------------------------------------------------- */

MUST_CHECK int events_new(struct events **ret);
void events_free(struct events *e);

/* --- keydir.c: which directories the keys of an owner make --------------------------------------------------- */

/* One byte for (space, tag kind). */
enum { KEYSPACE_PARAM = 1, KEYSPACE_METRIC = 2, KEYSPACE_TAG = 16 };
static inline uint8_t keyspace_code(enum key_space space, enum tag_owner tag_kind)
{
	if (space == KEYS_TAG)
		return (uint8_t)(KEYSPACE_TAG + (int)tag_kind);
	return space == KEYS_PARAM ? KEYSPACE_PARAM : KEYSPACE_METRIC;
}
bool keyspace_has(struct kv_view *view, uint8_t code, uint32_t owner, uint32_t key);
MUST_CHECK int keydir_added(struct meta *m, uint8_t code, uint32_t owner,
			    struct slice key_text); /* before the row is put */
MUST_CHECK int keydir_removed(struct meta *m, uint8_t code, uint32_t owner, uint32_t key,
			      struct slice key_text);
MUST_CHECK int keydir_check(struct kv_view *view, void (*report)(void *arg, const char *fault),
			    void *arg);

/* --- experiment.c, run.c, param.c, metric.c, tag.c -------------------------------------------------------------- */

MUST_CHECK int experiment_work_step(struct meta *m, uint32_t id,
				    unsigned *budget); /* its runs, after experiment_destroy */
MUST_CHECK int experiment_touch(struct meta *m, uint32_t id); /* changed_ms = now */
bool experiment_alive(struct kv_view *view, uint32_t id);
MUST_CHECK int experiment_check(struct kv_view *view, void (*report)(void *arg, const char *fault),
				void *arg);

MUST_CHECK int run_work_step(struct meta *m, uint32_t number,
			     unsigned *budget); /* rows of a destroyed run */
/* Its experiment is destroyed: so is it, unless it was trashed by itself; then it moves to Default. */
MUST_CHECK int run_orphaned(struct meta *m, uint32_t number);
MUST_CHECK int run_check(struct meta *m, struct kv_view *view,
			 void (*report)(void *arg, const char *fault), void *arg);
struct run_row {
	struct run run;  /* texts borrowed from the view */
	uint32_t serial; /* rises with every run made: which is the newest */
};
MUST_CHECK int run_row_get(struct kv_view *view, uint32_t number,
			   struct run_row *ret); /* in whatever state */
MUST_CHECK int run_row_put(struct meta *m,
			   const struct run_row *row); /* the record, not what run_changed keeps */
MUST_CHECK int run_refuse_trashed(const struct run *run); /* -EPERM with a reason */
MUST_CHECK int run_procs_drop(struct meta *m, uint32_t number);
MUST_CHECK int run_session_put(struct meta *m, uint32_t number, const struct run_session *s);
/* What changes with every value: the time, and how many params, metrics and tags there are. */
MUST_CHECK int run_changed(struct meta *m, uint32_t number, int params, int metrics, int tags);
enum run_note_kind { RUN_NOTE_PARAM_REMOVED = 1, RUN_NOTE_METRIC_REMOVED, RUN_NOTE_TAG_REMOVED };
struct run_note {
	enum run_note_kind kind;
	int64_t at_ms;
	struct slice key, value;
};
MUST_CHECK int run_note_add(struct meta *m, uint32_t number, enum run_note_kind kind,
			    struct slice key, struct slice value);
MUST_CHECK int run_note_each(struct kv_view *view, uint32_t number,
			     int (*emit)(void *arg, const struct run_note *note), void *arg);
/* A tag that mirrors a field of the run changes: mlflow.runName, .note.content, .user, .parentRunId.  *RET_DONE false: KEY is none of them. */
MUST_CHECK int run_set_mirrored(struct meta *m, uint32_t number, struct slice key,
				struct slice value, bool *ret_done);
/* The row of a tag alone: no checks of the value, no mirroring.  VALUE NULL: drop it (0 when there is none). */
MUST_CHECK int tag_put(struct meta *m, enum tag_owner kind, uint32_t owner, struct slice key,
		       const struct slice *value);
/* A random name as MLflow gives them: adjective-noun-number.  OUT has room for 64 bytes. */
void run_name_random(char out[64]);

#endif
