/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/meta.h"

#include <errno.h>
#include <stdlib.h>

#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"

#define WORK_BUDGET 500 /* rows that one background step deletes */

int meta_create(struct kv *kv)
{
	struct meta m = { .kv = kv };
	const struct meta_actor nobody = { 0 };
	uint32_t id;
	int rc = experiment_make(&m, slice_str("Default"), &nobody, &id);

	if (rc == 0 && id != EXPERIMENT_DEFAULT)
		rc = err_set(-EEXIST, "the store has experiments already");
	return rc;
}

int meta_open(struct kv *kv, struct cas *cas, struct trees *trees, struct meta **ret)
{
	struct meta *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->kv = kv;
	m->cas = cas;
	m->trees = trees;
	m->state = calloc(1, sizeof(*m->state));
	rc = m->state ? events_new(&m->state->events) : -ENOMEM;
	if (rc == 0)
		rc = entries_open(m);
	if (rc < 0) {
		meta_close(m);
		return rc;
	}
	*ret = m;
	return 0;
}

void meta_close(struct meta *m)
{
	if (!m)
		return;
	if (m->state) {
		entries_close(m);
		events_free(m->state->events);
	}
	free(m->state);
	free(m);
}

int meta_counter_next(struct meta *m, const char *name, uint32_t first, uint32_t last,
		      uint32_t *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT, value = BUF_INIT;
	struct slice old;
	uint32_t next = first;
	int rc;

	buf_addf(&key, "meta.%s", name);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_get(kv_live(m->kv), TABLE_SYS, buf_slice(&key), &old);
	if (rc == 0) {
		struct unpack u = unpack_init(old);

		next = unpack_u32(&u);
		rc = unpack_done(&u);
	} else if (rc == -ENOENT) {
		rc = 0;
	}
	if (rc < 0)
		return rc;
	if (next > last)
		return err_set(-ENOSPC, "no number is left for another %s", name);
	pack_u32(&value, next + 1);
	rc = buf_err(&value);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_SYS, buf_slice(&key), buf_slice(&value));
	if (rc == 0)
		*ret = next;
	return rc;
}

int meta_delete_prefix(struct meta *m, uint8_t table, struct slice prefix, unsigned *budget)
{
	SCOPED_BUF struct buf from = BUF_INIT, key = BUF_INIT;
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc;

	buf_add_slice(&from, prefix);
	rc = buf_err(&from);
	if (rc == 0)
		rc = kv_cursor_open(kv_live(m->kv), table, &cur);
	while (rc == 0 && *budget > 0) {
		rc = kv_cursor_seek(cur, buf_slice(&from));
		if (rc < 0 || !slice_has_prefix(kv_cursor_key(cur), buf_slice(&from)))
			return rc == -ENOENT ? 0 : rc;
		buf_reset(&key);
		buf_add_slice(&key, kv_cursor_key(cur));
		rc = buf_err(&key);
		if (rc == 0)
			rc = kv_del(m->kv, table, buf_slice(&key));
		--*budget;
	}
	return rc;
}

static struct meta_key work_key(enum meta_work what, uint32_t id)
{
	struct meta_key k = { .len = 0 };

	meta_key_u8(&k, (uint8_t)what);
	meta_key_u32(&k, id);
	return k;
}

int meta_work_add(struct meta *m, enum meta_work what, uint32_t id)
{
	struct meta_key k = work_key(what, id);

	return kv_put(m->kv, TABLE_META_WORK, meta_key_slice(&k), slice_of(NULL, 0));
}

/* The first row of work: *RET_WHAT 0 when there is none. */
static int work_first(struct meta *m, uint8_t *ret_what, uint32_t *ret_id)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int rc = kv_cursor_open(kv_live(m->kv), TABLE_META_WORK, &cur);

	*ret_what = 0;
	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	if (rc == 0) {
		struct unpack u = unpack_init(kv_cursor_key(cur));

		*ret_what = unkey_u8(&u);
		*ret_id = unkey_u32(&u);
		rc = unpack_done(&u);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int work_do(struct meta *m, bool *ret_more)
{
	unsigned budget = WORK_BUDGET;
	uint8_t what;
	uint32_t id = 0;
	int rc = work_first(m, &what, &id);

	*ret_more = false;
	if (rc < 0)
		return rc;
	if (what == 0)
		return entries_work_step(m, ret_more);
	rc = what == META_WORK_EXPERIMENT ? experiment_work_step(m, id, &budget)
					  : run_work_step(m, id, &budget);
	if (rc == 0 && budget > 0) {
		struct meta_key k = work_key(what, id);

		rc = kv_del(m->kv, TABLE_META_WORK, meta_key_slice(&k));
	}
	*ret_more = true;
	return rc;
}

int meta_work_step(struct meta *m, bool *ret_more)
{
	int rc = kv_begin(m->kv);

	if (rc < 0)
		return rc;
	rc = work_do(m, ret_more);
	if (rc < 0) {
		kv_abort(m->kv);
		return rc;
	}
	return kv_commit(m->kv, NULL);
}

int meta_name_check(struct slice name, size_t max, const char *what)
{
	const uint8_t *at = name.data;

	if (name.len == 0)
		return err_set(-EINVAL, "the name of %s may not be empty", what);
	if (name.len > max)
		return err_set(-ENAMETOOLONG, "the name of %s has at most %zu bytes, this one %zu",
			       what, max, name.len);
	if (!text_valid(name))
		return err_set(-EILSEQ, "the name of %s must be UTF-8", what);
	for (size_t i = 0; i < name.len; i++)
		if (at[i] < 0x20 || at[i] == 0x7f || at[i] == '/')
			return err_set(-EINVAL, "the name of %s may not contain %s", what,
				       at[i] == '/' ? "a \"/\"" : "control characters");
	if (text_is_scratch(name))
		return err_set(
			-EINVAL,
			"\"%.*s\" cannot name %s: it is what editors and desktops leave behind",
			(int)name.len, (const char *)name.data, what);
	return 0;
}

int meta_text_check(struct slice text, size_t max, const char *what)
{
	if (text.len > max)
		return err_set(-EFBIG, "%s has at most %zu bytes, this one %zu", what, max,
			       text.len);
	if (!text_valid(text))
		return err_set(-EILSEQ, "%s must be UTF-8 without NUL", what);
	return 0;
}

int meta_check(struct meta *m, struct kv_view *view, void (*report)(void *arg, const char *fault),
	       void *arg)
{
	int (*const plain[])(struct kv_view *, void (*)(void *, const char *),
			     void *) = { experiment_check, keydir_check };
	int (*const full[])(struct meta *, struct kv_view *, void (*)(void *, const char *),
			    void *) = { run_check, entries_check };
	int faults = 0;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		int rc = plain[i](view, report, arg);

		if (rc < 0)
			return rc;
		faults |= rc;
	}
	for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
		int rc = full[i](m, view, report, arg);

		if (rc < 0)
			return rc;
		faults |= rc;
	}
	return faults;
}
