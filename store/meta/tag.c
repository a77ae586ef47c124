/* SPDX-License-Identifier: Apache-2.0 */
#include "store/meta/tag.h"

#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"

static struct meta_key owner_key(enum tag_owner kind, uint32_t owner)
{
	struct meta_key k = { .len = 0 };

	meta_key_u8(&k, (uint8_t)kind);
	meta_key_u32(&k, owner);
	return k;
}

static struct meta_key tag_key(enum tag_owner kind, uint32_t owner, uint32_t key)
{
	struct meta_key k = owner_key(kind, owner);

	meta_key_u32(&k, key);
	return k;
}

static int tag_unpack(struct slice record, struct slice *ret, int64_t *ret_ms)
{
	struct unpack u = unpack_init(record);
	int64_t at = unpack_i64(&u);

	*ret = unpack_rest(&u);
	if (ret_ms)
		*ret_ms = at;
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a tag is damaged") : 0;
}

int tag_get(struct kv_view *view, enum tag_owner kind, uint32_t owner, uint32_t key,
	    struct slice *ret, int64_t *ret_ms)
{
	struct meta_key k = tag_key(kind, owner, key);
	struct slice record;
	int rc = kv_get(view, TABLE_TAG, meta_key_slice(&k), &record);

	return rc < 0 ? rc : tag_unpack(record, ret, ret_ms);
}

static int owner_changed(struct meta *m, enum tag_owner kind, uint32_t owner, int tags)
{
	if (kind == TAG_RUN)
		return run_changed(m, owner, 0, 0, tags);
	return kind == TAG_EXPERIMENT ? experiment_touch(m, owner) : 0;
}

static int tag_drop(struct meta *m, enum tag_owner kind, uint32_t owner, struct slice key)
{
	struct meta_key k;
	uint32_t id;
	int rc = key_find(kv_live(m->kv), key, &id);

	if (rc == 0) {
		k = tag_key(kind, owner, id);
		rc = kv_del(m->kv, TABLE_TAG, meta_key_slice(&k));
	}
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = keydir_removed(m, keyspace_code(KEYS_TAG, kind), owner, id, key);
	return rc < 0 ? rc : owner_changed(m, kind, owner, -1);
}

int tag_put(struct meta *m, enum tag_owner kind, uint32_t owner, struct slice key,
	    const struct slice *value)
{
	SCOPED_BUF struct buf record = BUF_INIT;
	struct meta_key k;
	uint32_t id;
	bool is_new;
	int rc;

	if (!value)
		return tag_drop(m, kind, owner, key);
	pack_i64(&record, clock_now_ms());
	buf_add_slice(&record, *value);
	rc = buf_err(&record);
	if (rc == 0)
		rc = key_intern(m, key, &id);
	if (rc < 0)
		return rc;
	is_new = !keyspace_has(kv_live(m->kv), keyspace_code(KEYS_TAG, kind), owner, id);
	if (is_new)
		rc = keydir_added(m, keyspace_code(KEYS_TAG, kind), owner, key);
	k = tag_key(kind, owner, id);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_TAG, meta_key_slice(&k), buf_slice(&record));
	return rc < 0 ? rc : owner_changed(m, kind, owner, is_new);
}

/* Does the owner live?  Datasets, models and versions are their callers' business. */
static int check_owner(struct meta *m, enum tag_owner kind, uint32_t owner)
{
	struct run run;
	int rc;

	if (kind == TAG_EXPERIMENT && !experiment_alive(kv_live(m->kv), owner))
		return err_set(-EPERM, "the experiment is in the trash");
	if (kind != TAG_RUN)
		return 0;
	rc = run_get(kv_live(m->kv), owner, &run);
	if (rc == 0 && run.trashed)
		rc = err_set(-EPERM, "run %.*s is in the trash", (int)run.id.len,
			     (const char *)run.id.data);
	return rc;
}

int tag_set(struct meta *m, enum tag_owner kind, uint32_t owner, struct slice key,
	    struct slice value)
{
	bool done = false;
	int rc = check_owner(m, kind, owner);

	if (rc == 0)
		rc = key_check(key);
	if (rc == 0)
		rc = meta_text_check(value, META_TAG_MAX, "the value of a tag");
	if (rc == 0 && kind == TAG_RUN)
		rc = run_set_mirrored(m, owner, key, value, &done);
	return rc < 0 || done ? rc : tag_put(m, kind, owner, key, &value);
}

int tag_remove(struct meta *m, enum tag_owner kind, uint32_t owner, uint32_t key)
{
	SCOPED_BUF struct buf copy = BUF_INIT;
	struct slice text, value;
	bool done = false;
	int rc = check_owner(m, kind, owner);

	if (rc == 0)
		rc = tag_get(kv_live(m->kv), kind, owner, key, &value, NULL);
	if (rc == 0)
		rc = key_text(kv_live(m->kv), key, &text);
	if (rc < 0)
		return rc;
	buf_add_slice(&copy, text);
	buf_add_slice(&copy, value);
	rc = buf_err(&copy);
	text.data = copy.data;
	value.data = copy.data + text.len;
	if (rc == 0 && kind == TAG_RUN)
		rc = run_note_add(m, owner, RUN_NOTE_TAG_REMOVED, text, value);
	if (rc == 0 && kind == TAG_RUN)
		rc = run_set_mirrored(m, owner, text, slice_of(NULL, 0), &done);
	return rc < 0 ? rc : tag_drop(m, kind, owner, text);
}

int tags_each(struct kv_view *view, enum tag_owner kind, uint32_t owner, uint32_t after_key,
	      int (*emit)(void *arg, uint32_t key, struct slice text, struct slice value),
	      void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key prefix = owner_key(kind, owner), from = prefix;
	int rc = after_key == UINT32_MAX ? -ENOENT : kv_cursor_open(view, TABLE_TAG, &cur);

	meta_key_u32(&from, after_key + 1);
	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&from));
	while (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix))) {
		uint32_t key = meta_key_read_u32(kv_cursor_key(cur), prefix.len);
		struct slice text, value;

		rc = key_text(view, key, &text);
		if (rc == 0)
			rc = tag_unpack(kv_cursor_value(cur), &value, NULL);
		if (rc < 0)
			return rc == -ENOENT ? err_set(-EBADMSG, "key %u has lost its text", key)
					     : rc;
		rc = emit(arg, key, text, value);
		if (rc != 0)
			return rc > 0 ? 0 : rc;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}
