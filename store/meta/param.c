/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/param.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"

static int param_put(struct meta *m, uint32_t run, uint32_t key, struct slice value)
{
	struct meta_key k = meta_key_2(run, key);
	SCOPED_BUF struct buf record = BUF_INIT;
	int rc;

	pack_i64(&record, clock_now_ms());
	buf_add_slice(&record, value);
	rc = buf_err(&record);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_PARAM, meta_key_slice(&k), buf_slice(&record));
}

int param_get(struct kv_view *view, uint32_t run, uint32_t key, struct slice *ret, int64_t *ret_ms)
{
	struct meta_key k = meta_key_2(run, key);
	struct slice record;
	struct unpack u;
	int64_t at;
	int rc = kv_get(view, TABLE_PARAM, meta_key_slice(&k), &record);

	if (rc < 0)
		return rc;
	u = unpack_init(record);
	at = unpack_i64(&u);
	*ret = unpack_rest(&u);
	if (ret_ms)
		*ret_ms = at;
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a param of run %u is damaged", run) : 0;
}

int param_log(struct meta *m, uint32_t run, struct slice key, struct slice value)
{
	struct slice old;
	uint32_t id;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = key_check(key);
	if (rc == 0)
		rc = meta_text_check(value, META_PARAM_MAX, "the value of a param");
	if (rc == 0)
		rc = key_intern(m, key, &id);
	if (rc < 0)
		return rc;
	rc = param_get(kv_live(m->kv), run, id, &old, NULL);
	if (rc == 0) {
		if (slice_eq(old, value))
			return 0;
		return err_set(
			-EPERM,
			"param \"%.*s\" has the value \"%.*s\" already, and params are written once",
			(int)key.len, (const char *)key.data, old.len > 100 ? 100 : (int)old.len,
			(const char *)old.data);
	}
	if (rc == -ENOENT)
		rc = keydir_added(m, KEYSPACE_PARAM, run, key);
	if (rc == 0)
		rc = param_put(m, run, id, value);
	return rc < 0 ? rc : run_changed(m, run, 1, 0, 0);
}

int param_replace(struct meta *m, uint32_t run, uint32_t key, struct slice value)
{
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = meta_text_check(value, META_PARAM_MAX, "the value of a param");
	if (rc == 0)
		rc = param_put(m, run, key, value);
	return rc < 0 ? rc : run_changed(m, run, 0, 0, 0);
}

int param_remove(struct meta *m, uint32_t run, uint32_t key)
{
	struct meta_key k = meta_key_2(run, key);
	SCOPED_BUF struct buf copy = BUF_INIT;
	struct slice text, value;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = param_get(kv_live(m->kv), run, key, &value, NULL);
	if (rc == 0)
		rc = key_text(kv_live(m->kv), key, &text);
	if (rc < 0)
		return rc;
	buf_add_slice(&copy, text);
	buf_add_slice(&copy, value);
	rc = buf_err(&copy);
	text.data = copy.data;
	value.data = copy.data + text.len;
	if (rc == 0)
		rc = run_note_add(m, run, RUN_NOTE_PARAM_REMOVED, text, value);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_PARAM, meta_key_slice(&k));
	if (rc == 0)
		rc = keydir_removed(m, KEYSPACE_PARAM, run, key, text);
	return rc < 0 ? rc : run_changed(m, run, -1, 0, 0);
}
