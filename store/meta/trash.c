/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash - the names of deleted things.  Two rows a thing: (directory, name) -> what it is, and (0x80 + kind, id) -> directory and name.
 * Bytes: FORMAT.md 5.
 */
#include "store/meta/trash.h"

#include <errno.h>
#include <stdio.h>

#include "store/base/clock.h"
#include "store/base/limits.h"
#include "store/base/pack.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/experiment.h"
#include "store/meta/rows.h"
#include "store/meta/run.h"

#define TRASH_BACK 0x80u	/* first byte of a back row's key: this plus the kind */

static int name_key(enum trash_dir dir, struct slice name, struct buf *key)
{
	key_u8(key, (uint8_t)dir);
	key_bytes(key, name);
	return buf_err(key);
}

static int back_key(enum trash_kind kind, uint32_t id, struct buf *key)
{
	key_u8(key, (uint8_t)(TRASH_BACK + (unsigned)kind));
	key_u32(key, id);
	return buf_err(key);
}

static int item_decode(struct slice name, struct slice value, struct trash_item *ret)
{
	struct unpack u = unpack_init(value);

	ret->name = name;
	ret->kind = (enum trash_kind)unpack_u8(&u);
	ret->id = unpack_u32(&u);
	ret->deleted_ms = unpack_i64(&u);
	return unpack_more(&u);
}

int trash_find(struct kv_view *view, enum trash_dir dir, struct slice name, struct trash_item *ret)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	int rc = name.len > LIMIT_NAME_MAX ? -ENOENT : name_key(dir, name, &key);

	if (rc == 0)
		rc = kv_get(view, TABLE_TRASH, buf_slice(&key), &value);
	return rc < 0 ? rc : item_decode(name, value, ret);
}

/* WANTED, or with ".2", ".3" … what is not there yet; cut at a character where it would be too long. */
static int free_name(struct kv_view *view, enum trash_dir dir, struct slice wanted, struct buf *out)
{
	const unsigned char *s = wanted.data;
	struct trash_item item;

	for (unsigned i = 1; i < UINT32_MAX; i++) {
		char suffix[16] = "";
		size_t len = wanted.len;
		int rc;

		if (i > 1)
			(void)snprintf(suffix, sizeof(suffix), ".%u", i);
		if (len + strlen(suffix) > LIMIT_NAME_MAX)
			len = LIMIT_NAME_MAX - strlen(suffix);
		while (len < wanted.len && len > 0 && (s[len] & 0xc0) == 0x80)
			len--;
		buf_reset(out);
		buf_add(out, s, len);
		buf_add_str(out, suffix);
		rc = buf_err(out);
		if (rc == 0)
			rc = trash_find(view, dir, buf_slice(out), &item);
		if (rc < 0)
			return rc == -ENOENT ? 0 : rc;
	}
	return -EEXIST;
}

int trash_add(struct meta *m, enum trash_dir dir, struct slice wanted_name, enum trash_kind kind, uint32_t id)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf back = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	SCOPED_BUF struct buf back_value = BUF_INIT;
	int rc = free_name(kv_live(m->kv), dir, wanted_name, &name);

	if (rc == 0)
		rc = name_key(dir, buf_slice(&name), &key);
	if (rc == 0)
		rc = back_key(kind, id, &back);
	pack_u8(&value, (uint8_t)kind);
	pack_u32(&value, id);
	pack_i64(&value, clock_now_ms());
	pack_u8(&back_value, (uint8_t)dir);
	pack_str(&back_value, buf_slice(&name));
	if (rc == 0)
		rc = buf_err(&value);
	if (rc == 0)
		rc = buf_err(&back_value);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_TRASH, buf_slice(&key), buf_slice(&value));
	return rc < 0 ? rc : kv_put(m->kv, TABLE_TRASH, buf_slice(&back), buf_slice(&back_value));
}

static int back_find(struct kv_view *view, enum trash_kind kind, uint32_t id, enum trash_dir *ret_dir, struct buf *name)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	struct unpack u;
	int rc = back_key(kind, id, &key);

	if (rc == 0)
		rc = kv_get(view, TABLE_TRASH, buf_slice(&key), &value);
	if (rc < 0)
		return rc;
	u = unpack_init(value);
	*ret_dir = (enum trash_dir)unpack_u8(&u);
	buf_add_slice(name, unpack_str(&u));
	rc = unpack_more(&u);
	return rc < 0 ? rc : buf_err(name);
}

int trash_name(struct kv_view *view, enum trash_kind kind, uint32_t id, struct buf *out)
{
	enum trash_dir dir;

	return back_find(view, kind, id, &dir, out);
}

int trash_remove(struct meta *m, enum trash_dir dir, enum trash_kind kind, uint32_t id)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf back = BUF_INIT;
	enum trash_dir real;
	int rc = back_find(kv_live(m->kv), kind, id, &real, &name);

	if (rc == 0 && real != dir)
		rc = -ENOENT;
	if (rc == 0)
		rc = name_key(dir, buf_slice(&name), &key);
	if (rc == 0)
		rc = back_key(kind, id, &back);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_TRASH, buf_slice(&key));
	return rc < 0 ? rc : kv_del(m->kv, TABLE_TRASH, buf_slice(&back));
}

struct each {
	int (*emit)(void *arg, const struct trash_item *item);
	void *arg;
};

static int each_item(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	struct trash_item item;
	int rc = item_decode(rest, value, &item);

	return rc < 0 ? rc : each->emit(each->arg, &item);
}

int trash_each(struct kv_view *view, enum trash_dir dir, struct slice after,
	       int (*emit)(void *arg, const struct trash_item *item), void *arg)
{
	struct each each = { emit, arg };
	uint8_t prefix = (uint8_t)dir;

	return rows_each(view, TABLE_TRASH, slice_of(&prefix, 1), after, each_item, &each);
}

static int destroy_object(struct meta *m, const struct trash_item *item)
{
	switch (item->kind) {
	case TRASH_EXPERIMENT:
		return experiment_destroy(m, item->id);
	case TRASH_RUN:
		return run_destroy(m, item->id);
	case TRASH_ENTRY:
		return entry_destroy(m, item->id);
	case TRASH_VERSION:
		return version_destroy(m, item->id);
	}
	return err_set(-EBADMSG, "what lies in the trash as '%.*s' is of no known kind", (int)item->name.len,
		       (const char *)item->name.data);
}

int trash_destroy(struct meta *m, enum trash_dir dir, struct slice name)
{
	struct trash_item item;
	int rc = trash_find(kv_live(m->kv), dir, name, &item);

	if (rc == 0)
		rc = destroy_object(m, &item);
	if (rc < 0)
		return rc;
	rc = trash_remove(m, dir, item.kind, item.id);
	return rc == -ENOENT ? 0 : rc;
}
