/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - see listing.h.
 */
#include "store/tree/listing.h"

struct head {
	uint32_t ino, type, len;
};

static void add(struct listing *l, const struct dirent_row *d, struct slice name)
{
	struct head h = { d->ino, d->type, (uint32_t)name.len };

	buf_add(&l->bytes, &h, sizeof h);
	buf_add_slice(&l->bytes, name);
}

int listing_load(struct listing *l, struct kv_view *view, struct tree_place at, uint32_t dir)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey first = tkey_pair(at.tree, dir), decided = { .len = 0 };
	int rc = kv_cursor_open(view, TABLE_DIRENT, &cur);

	buf_reset(&l->bytes);
	l->at = 0;
	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&first));
	for (; !rc; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		const uint8_t *k = key.data;
		struct dirent_row d;
		uint32_t epoch;

		if (key.len < 8 || memcmp(k, first.bytes, 8) != 0)
			break;
		if (key.len < 14)
			return err_set(-EBADMSG, "tree %u: damaged directory key", at.tree);
		epoch = ~tkey_get_u32(k + key.len - 4);
		if (epoch > at.epoch || (decided.len == key.len - 4 && memcmp(k, decided.bytes, decided.len) == 0))
			continue;
		decided.len = 0;
		tkey_bytes(&decided, slice_of(k, key.len - 4));
		rc = dirent_parse(epoch, kv_cursor_value(cur), &d);
		if (rc)
			return rc;
		if (!d.gone)
			add(l, &d, slice_of(k + 8, key.len - 13));
	}
	return rc && rc != -ENOENT ? rc : buf_err(&l->bytes);
}

void listing_release(struct listing *l)
{
	buf_release(&l->bytes);
	l->at = 0;
}

bool listing_peek(const struct listing *l, struct listing_entry *ret)
{
	struct head h;

	if (l->at >= l->bytes.len)
		return false;
	memcpy(&h, l->bytes.data + l->at, sizeof h);
	*ret = (struct listing_entry){ h.ino, h.type, slice_of(l->bytes.data + l->at + sizeof h, h.len) };
	return true;
}

bool listing_next(struct listing *l, struct listing_entry *ret)
{
	if (!listing_peek(l, ret))
		return false;
	l->at += sizeof(struct head) + ret->name.len;
	return true;
}
