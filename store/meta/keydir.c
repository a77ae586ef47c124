/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as paths (keydir.h).
 *
 * A row of TABLE_KEY_DIR stands for each directory that an owner's keys make: how many keys (and directories made by mkdir) lie below it, whether it was made by mkdir, and
 * whether a key of exactly its name was there first.  In that case it is shadowed: the keys below it show in the nearest directory
 * that is not, their "/" as "%2F".  Where the directory came first, the key of its name shows with "%2F" at its end.  The row is made when its
 * first key (or mkdir) comes, so it knows who was first; the key's going clears the mark.
 */
#include "store/meta/keydir.h"

#include <errno.h>
#include <stdlib.h>

#include "store/base/text.h"
#include "store/meta/meta_internal.h"

enum { DIR_EXPLICIT = 1, DIR_LEAF_FIRST = 2 };

struct dir_row {
	uint32_t key;
	uint64_t count;
	uint8_t flags;
};

static const uint8_t leaf_tables[] = {
	[KEYSPACE_PARAM] = TABLE_PARAM, [KEYSPACE_METRIC] = TABLE_METRIC
};

/* The table of the values of CODE, and the part of their key before the key id. */
static uint8_t leaf_prefix(uint8_t code, uint32_t owner, struct meta_key *ret)
{
	*ret = (struct meta_key){ .len = 0 };
	if (code > KEYSPACE_TAG)
		meta_key_u8(ret, (uint8_t)(code - KEYSPACE_TAG));
	meta_key_u32(ret, owner);
	return code > KEYSPACE_TAG ? TABLE_TAG : leaf_tables[code];
}

bool keyspace_has(struct kv_view *view, uint8_t code, uint32_t owner, uint32_t key)
{
	struct meta_key k;
	struct slice value;
	uint8_t table = leaf_prefix(code, owner, &k);

	meta_key_u32(&k, key);
	return kv_get(view, table, meta_key_slice(&k), &value) == 0;
}

static struct meta_key dir_key(uint8_t code, uint32_t owner, uint32_t key)
{
	struct meta_key k = { .len = 0 };

	meta_key_u8(&k, code);
	meta_key_u32(&k, owner);
	meta_key_u32(&k, key);
	return k;
}

static int dir_unpack(struct slice value, struct dir_row *ret)
{
	struct unpack u = unpack_init(value);

	ret->flags = unpack_u8(&u);
	ret->count = unpack_varint(&u);
	return unpack_done(&u);
}

static int dir_get(struct kv_view *view, uint8_t code, uint32_t owner, uint32_t key,
		   struct dir_row *ret)
{
	struct meta_key k = dir_key(code, owner, key);
	struct slice value;
	int rc = kv_get(view, TABLE_KEY_DIR, meta_key_slice(&k), &value);

	*ret = (struct dir_row){ .key = key };
	return rc < 0 ? rc : dir_unpack(value, ret);
}

/* Write ROW, or drop it when nothing keeps it. */
static int dir_put(struct meta *m, uint8_t code, uint32_t owner, const struct dir_row *row)
{
	struct meta_key k = dir_key(code, owner, row->key);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	if (row->count == 0 && !(row->flags & DIR_EXPLICIT)) {
		rc = kv_del(m->kv, TABLE_KEY_DIR, meta_key_slice(&k));
		return rc == -ENOENT ? 0 : rc;
	}
	pack_u8(&value, row->flags);
	pack_varint(&value, row->count);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_KEY_DIR, meta_key_slice(&k), buf_slice(&value));
}

static int dir_count(struct meta *m, uint8_t code, uint32_t owner, struct slice prefix, bool more)
{
	struct dir_row row;
	uint32_t key = 0;
	int rc = more ? key_intern(m, prefix, &key) : key_find(kv_live(m->kv), prefix, &key);

	if (rc == 0)
		rc = dir_get(kv_live(m->kv), code, owner, key, &row);
	if (rc == -ENOENT && more) {
		row.flags = keyspace_has(kv_live(m->kv), code, owner, key) ? DIR_LEAF_FIRST : 0;
		rc = 0;
	}
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (more)
		row.count++;
	else if (row.count)
		row.count--;
	return dir_put(m, code, owner, &row);
}

static int count_prefixes(struct meta *m, uint8_t code, uint32_t owner, struct slice text,
			  bool more)
{
	const char *at = text.data;

	for (size_t i = 1; i < text.len; i++) {
		int rc = at[i] == '/' ? dir_count(m, code, owner, slice_of(at, i), more) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

int keydir_added(struct meta *m, uint8_t code, uint32_t owner, struct slice key_text)
{
	return count_prefixes(m, code, owner, key_text, true);
}

int keydir_removed(struct meta *m, uint8_t code, uint32_t owner, uint32_t key,
		   struct slice key_text)
{
	struct dir_row row;
	int rc = dir_get(kv_live(m->kv), code, owner, key, &row);

	if (rc == 0 && (row.flags & DIR_LEAF_FIRST)) {
		row.flags = (uint8_t)(row.flags & ~DIR_LEAF_FIRST);
		rc = dir_put(m, code, owner, &row);
	}
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return count_prefixes(m, code, owner, key_text, false);
}

int keys_each(struct kv_view *view, enum key_space space, uint32_t run, uint32_t after_key,
	      int (*emit)(void *arg, uint32_t key, struct slice text), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key prefix, from;
	uint8_t table = leaf_prefix(keyspace_code(space, TAG_RUN), run, &prefix);
	int rc = kv_cursor_open(view, table, &cur);

	if (after_key == UINT32_MAX)
		return 0;
	from = prefix;
	meta_key_u32(&from, after_key + 1);
	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&from));
	while (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix))) {
		uint32_t key = meta_key_read_u32(kv_cursor_key(cur), prefix.len);
		struct slice text;

		rc = key_text(view, key, &text);
		if (rc < 0)
			return rc == -ENOENT ? err_set(-EBADMSG, "key %u has lost its text", key)
					     : rc;
		rc = emit(arg, key, text);
		if (rc != 0)
			return rc > 0 ? 0 : rc;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* --- directories ---------------------------------------------------------------------------------------- */

struct listed {
	uint64_t cookie;
	uint32_t key;
	bool is_dir;
	size_t name, name_len; /* in `names` */
};

struct listing {
	struct kv_view *view;
	uint8_t code;
	uint32_t owner;
	struct slice prefix; /* text of the directory, empty for the top */
	struct dir_row *dirs;
	size_t dirs_count, dirs_max;
	struct listed *entries;
	size_t count, max;
	struct buf names;
};

static void listing_release(struct listing *l)
{
	free(l->dirs);
	free(l->entries);
	buf_release(&l->names);
}

/* Room for one more of SIZE bytes in *AT. */
static int grow(void **at, size_t count, size_t *max, size_t size)
{
	size_t want = *max ? *max * 2 : 16;
	void *more;

	if (count < *max)
		return 0;
	more = realloc(*at, want * size);
	if (!more)
		return -ENOMEM;
	*at = more;
	*max = want;
	return 0;
}

static int listing_add(struct listing *l, uint32_t key, bool is_dir, struct slice rest,
		       bool whole_key, bool marked)
{
	SCOPED_BUF struct buf path = BUF_INIT;
	struct listed *e;
	void *at = l->entries;
	int rc = grow(&at, l->count, &l->max, sizeof(*l->entries));

	l->entries = at;
	if (rc < 0)
		return rc;
	e = &l->entries[l->count];
	*e = (struct listed){ (uint64_t)key * 2 + is_dir, key, is_dir, l->names.len, 0 };
	text_key_to_path(&path, rest);
	for (size_t i = 0; i < path.len; i++) {
		if (whole_key && path.data[i] == '/')
			buf_add_str(&l->names, "%2F");
		else
			buf_add_ch(&l->names, path.data[i]);
	}
	if (marked)
		buf_add_str(&l->names, "%2F");
	e->name_len = l->names.len - e->name;
	rc = buf_err(&path);
	if (rc == 0)
		rc = buf_err(&l->names);
	if (rc == 0)
		l->count++;
	return rc;
}

static int compare_dirs(const void *a, const void *b)
{
	const struct dir_row *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static const struct dir_row *listing_dir(const struct listing *l, uint32_t key)
{
	const struct dir_row want = { .key = key };

	return l->dirs_count ? bsearch(&want, l->dirs, l->dirs_count, sizeof(want), compare_dirs)
			     : NULL;
}

/* What of TEXT lies below the directory; false: nothing. */
static bool below(const struct listing *l, struct slice text, struct slice *ret)
{
	size_t skip = l->prefix.len ? l->prefix.len + 1 : 0;

	if (text.len <= skip || !slice_has_prefix(text, l->prefix))
		return false;
	if (skip && ((const char *)text.data)[skip - 1] != '/')
		return false;
	*ret = slice_of((const char *)text.data + skip, text.len - skip);
	return true;
}

static int load_dirs(struct listing *l)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key prefix = dir_key(l->code, l->owner, 0);
	int rc = kv_cursor_open(l->view, TABLE_KEY_DIR, &cur);

	prefix.len -= 4;
	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&prefix));
	while (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix))) {
		struct dir_row row = { .key = meta_key_read_u32(kv_cursor_key(cur), prefix.len) };
		void *at = l->dirs;

		rc = dir_unpack(kv_cursor_value(cur), &row);
		if (rc == 0)
			rc = grow(&at, l->dirs_count, &l->dirs_max, sizeof(*l->dirs));
		l->dirs = at;
		if (rc < 0)
			return rc;
		l->dirs[l->dirs_count++] = row;
		rc = kv_cursor_next(cur);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int list_dirs(struct listing *l)
{
	for (size_t i = 0; i < l->dirs_count; i++) {
		struct slice text, rest;
		int rc = key_text(l->view, l->dirs[i].key, &text);

		if (rc < 0)
			return rc;
		if (l->dirs[i].flags & DIR_LEAF_FIRST || !below(l, text, &rest) ||
		    memchr(rest.data, '/', rest.len))
			continue;
		rc = listing_add(l, l->dirs[i].key, true, rest, false, false);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int list_leaf(void *arg, uint32_t key, struct slice text)
{
	struct listing *l = arg;
	const struct dir_row *dir;
	struct slice rest;
	const char *slash;
	uint32_t first;

	if (!below(l, text, &rest))
		return 0;
	slash = memchr(rest.data, '/', rest.len);
	if (!slash) {
		dir = listing_dir(l, key);
		return listing_add(l, key, false, rest, false,
				   dir && !(dir->flags & DIR_LEAF_FIRST));
	}
	/* Below another directory, unless a key shadows that one. */
	if (key_find(l->view, slice_of(text.data, (size_t)(slash - (const char *)text.data)),
		     &first) < 0)
		return 0;
	dir = listing_dir(l, first);
	return dir && dir->flags & DIR_LEAF_FIRST ? listing_add(l, key, false, rest, true, false)
						  : 0;
}

/* keys_each for any space: tags of other owners too. */
static int leaves_each(struct listing *l)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key prefix;
	uint8_t table = leaf_prefix(l->code, l->owner, &prefix);
	int rc = kv_cursor_open(l->view, table, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, meta_key_slice(&prefix));
	while (rc == 0 && slice_has_prefix(kv_cursor_key(cur), meta_key_slice(&prefix))) {
		uint32_t key = meta_key_read_u32(kv_cursor_key(cur), prefix.len);
		struct slice text;

		rc = key_text(l->view, key, &text);
		if (rc == 0)
			rc = list_leaf(l, key, text);
		if (rc == 0)
			rc = kv_cursor_next(cur);
		else
			return rc == -ENOENT ? err_set(-EBADMSG, "key %u has lost its text", key)
					     : rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int compare_listed(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

int key_dir_each(struct kv_view *view, enum tag_owner tag_kind, enum key_space space,
		 uint32_t owner, uint32_t prefix_key, uint64_t after,
		 int (*emit)(void *arg, const struct key_entry *e, uint64_t cookie), void *arg)
{
	struct listing l = { .view = view, .code = keyspace_code(space, tag_kind), .owner = owner };
	int rc = prefix_key ? key_text(view, prefix_key, &l.prefix) : 0;

	if (rc == 0)
		rc = load_dirs(&l);
	if (rc == 0)
		rc = list_dirs(&l);
	if (rc == 0)
		rc = leaves_each(&l);
	if (rc == 0 && l.count)
		qsort(l.entries, l.count, sizeof(*l.entries), compare_listed);
	for (size_t i = 0; i < l.count && rc == 0; i++) {
		struct key_entry e = { slice_of(l.names.data + l.entries[i].name,
						l.entries[i].name_len),
				       l.entries[i].is_dir, l.entries[i].key };

		if (l.entries[i].cookie > after)
			rc = emit(arg, &e, l.entries[i].cookie);
	}
	listing_release(&l);
	return rc > 0 ? 0 : rc;
}

/* The key text that COMPONENT below PREFIX_KEY spells; *RET_ENCODED: with an encoded "/", so no directory. */
static int component_key(struct kv_view *view, uint32_t prefix_key, struct slice component,
			 struct buf *out, bool *ret_encoded)
{
	struct slice prefix;
	size_t start;
	int rc = prefix_key ? key_text(view, prefix_key, &prefix) : 0;

	if (rc < 0)
		return rc;
	if (prefix_key) {
		buf_add_slice(out, prefix);
		buf_add_ch(out, '/');
	}
	start = out->len;
	rc = text_path_to_key(out, component);
	if (rc < 0)
		return rc;
	*ret_encoded = memchr(out->data + start, '/', out->len - start) != NULL;
	if (out->len > start + 1 && out->data[out->len - 1] == '/')
		out->len--;
	return buf_err(out);
}

int key_dir_lookup(struct kv_view *view, enum tag_owner tag_kind, enum key_space space,
		   uint32_t owner, uint32_t prefix_key, struct slice component,
		   struct key_entry *ret)
{
	uint8_t code = keyspace_code(space, tag_kind);
	SCOPED_BUF struct buf text = BUF_INIT;
	struct dir_row dir;
	bool encoded, leaf;
	int rc = component_key(view, prefix_key, component, &text, &encoded);

	if (rc < 0)
		return rc == -EINVAL ? -ENOENT : rc;
	*ret = (struct key_entry){ component, false, 0 };
	rc = key_find(view, buf_slice(&text), &ret->key);
	if (rc < 0)
		return rc;
	leaf = keyspace_has(view, code, owner, ret->key);
	if (encoded)
		return leaf ? 0 : -ENOENT;
	rc = dir_get(view, code, owner, ret->key, &dir);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == -ENOENT)
		return leaf ? 0 : -ENOENT;
	ret->is_dir = !(leaf && dir.flags & DIR_LEAF_FIRST);
	return 0;
}

int key_dir_new_key(struct meta *m, uint32_t prefix_key, struct slice component, uint32_t *ret_key)
{
	SCOPED_BUF struct buf text = BUF_INIT;
	bool encoded;
	int rc = component_key(kv_live(m->kv), prefix_key, component, &text, &encoded);

	if (rc == 0)
		rc = key_check(buf_slice(&text));
	return rc < 0 ? rc : key_intern(m, buf_slice(&text), ret_key);
}

/* A directory made by hand keeps those above it, as a key does. */
static int count_dir(struct meta *m, uint8_t code, uint32_t owner, uint32_t key, bool more)
{
	char copy[META_KEY_MAX];
	struct slice text;
	int rc = key_text(kv_live(m->kv), key, &text);

	if (rc < 0 || text.len > sizeof(copy))
		return rc < 0 ? rc : -EBADMSG;
	memcpy(copy, text.data, text.len);
	return count_prefixes(m, code, owner, slice_of(copy, text.len), more);
}

int key_dir_make(struct meta *m, enum tag_owner tag_kind, enum key_space space, uint32_t owner,
		 uint32_t prefix_key, struct slice component, uint32_t *ret_key)
{
	uint8_t code = keyspace_code(space, tag_kind);
	struct dir_row row;
	int rc = 0;

	if (space != KEYS_TAG || tag_kind == TAG_RUN)
		rc = run_check_writable(kv_live(m->kv), owner);
	if (rc == 0)
		rc = key_dir_new_key(m, prefix_key, component, ret_key);
	if (rc < 0)
		return rc;
	if (keyspace_has(kv_live(m->kv), code, owner, *ret_key))
		return err_set(-EEXIST, "there is a value of that name");
	rc = dir_get(kv_live(m->kv), code, owner, *ret_key, &row);
	if (rc == 0)
		return -EEXIST;
	if (rc != -ENOENT)
		return rc;
	row.flags = DIR_EXPLICIT;
	rc = dir_put(m, code, owner, &row);
	return rc < 0 ? rc : count_dir(m, code, owner, *ret_key, true);
}

int key_dir_remove(struct meta *m, enum tag_owner tag_kind, enum key_space space, uint32_t owner,
		   uint32_t dir_key_id)
{
	uint8_t code = keyspace_code(space, tag_kind);
	struct dir_row row;
	int rc = dir_get(kv_live(m->kv), code, owner, dir_key_id, &row);

	if (rc < 0)
		return rc;
	if (row.count)
		return -ENOTEMPTY;
	if (space != KEYS_TAG || tag_kind == TAG_RUN)
		rc = run_check_writable(kv_live(m->kv), owner);
	if (rc < 0)
		return rc;
	row.flags = 0;
	rc = dir_put(m, code, owner, &row);
	return rc < 0 ? rc : count_dir(m, code, owner, dir_key_id, false);
}

/* --- checking ------------------------------------------------------------------------------------------- */

struct dir_counting {
	struct listing *l;
	uint64_t count;
};

static int count_below(void *arg, uint32_t key, struct slice text)
{
	struct dir_counting *c = arg;
	struct slice rest;

	(void)key;
	c->count += below(c->l, text, &rest);
	return 0;
}

static int count_explicit(struct listing *l, uint64_t *count)
{
	int rc = load_dirs(l);

	for (size_t i = 0; i < l->dirs_count && rc == 0; i++) {
		struct slice text, rest;

		rc = key_text(l->view, l->dirs[i].key, &text);
		*count += rc == 0 && l->dirs[i].flags & DIR_EXPLICIT && below(l, text, &rest);
	}
	return rc;
}

/* The dictionary: both tables say the same. */
static int check_dictionary(struct kv_view *view, void (*report)(void *arg, const char *fault),
			    void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int faults = 0, rc = kv_cursor_open(view, TABLE_KEY_TEXT, &cur);

	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		uint32_t id = meta_key_read_u32(kv_cursor_key(cur), 0), back = 0;
		char line[64];

		if (key_find(view, kv_cursor_value(cur), &back) == 0 && back == id)
			continue;
		snprintf(line, sizeof(line), "key %u is not found by its text", id);
		report(arg, line);
		faults = 1;
	}
	return rc == -ENOENT ? faults : rc;
}

int keydir_check(struct kv_view *view, void (*report)(void *arg, const char *fault), void *arg)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int faults = check_dictionary(view, report, arg), rc;

	rc = faults < 0 ? faults : kv_cursor_open(view, TABLE_KEY_DIR, &cur);
	if (rc == 0)
		rc = kv_cursor_seek(cur, slice_of(NULL, 0));
	for (; rc == 0; rc = kv_cursor_next(cur)) {
		struct unpack u = unpack_init(kv_cursor_key(cur));
		struct listing l = { .view = view, .code = unkey_u8(&u), .owner = unkey_u32(&u) };
		struct dir_counting c = { .l = &l };
		struct dir_row row = { .key = unkey_u32(&u) };
		char line[96];

		if (l.code > KEYSPACE_TAG + TAG_RUN)
			continue; /* tags of others: keys_each does not list them */
		if (unpack_done(&u) < 0 || dir_unpack(kv_cursor_value(cur), &row) < 0 ||
		    key_text(view, row.key, &l.prefix) < 0)
			row.count = UINT64_MAX;
		else if (keys_each(view,
				   l.code == KEYSPACE_PARAM    ? KEYS_PARAM
				   : l.code == KEYSPACE_METRIC ? KEYS_METRIC
							       : KEYS_TAG,
				   l.owner, 0, count_below, &c) < 0 ||
			 count_explicit(&l, &c.count) < 0)
			row.count = UINT64_MAX;
		listing_release(&l);
		if (row.count == c.count)
			continue;
		snprintf(line, sizeof(line), "run %u: the directory of key %u has a wrong count",
			 l.owner, row.key);
		report(arg, line);
		faults = 1;
	}
	return rc == -ENOENT ? faults : rc;
}
