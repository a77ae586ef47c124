/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alias - words that name versions, and the log of every move of one.  Bytes: FORMAT.md 5.
 */
#include "store/meta/entry.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "store/base/clock.h"
#include "store/base/limits.h"
#include "store/base/pack.h"
#include "store/base/text.h"
#include "store/kv/tables.h"
#include "store/meta/entry_internal.h"
#include "store/meta/rows.h"

static const struct slice nothing;

static bool is_latest(struct slice word)
{
	return word.len == 6 && strncasecmp(word.data, "latest", 6) == 0;
}

static bool is_version_word(struct slice word)
{
	const char *s = word.data;

	if (word.len < 2 || (s[0] != 'v' && s[0] != 'V'))
		return false;
	for (size_t i = 1; i < word.len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return true;
}

int alias_word_check(struct slice word)
{
	const char *s = word.data;

	if (word.len == 0)
		return err_set(-EINVAL, "an alias needs a word after the '@'");
	if (word.len > META_NAME_MAX)
		return err_set(-ENAMETOOLONG, "an alias has at most %u bytes", META_NAME_MAX);
	if (is_latest(word))
		return err_set(-EINVAL, "'latest' always is the newest version and cannot be set");
	if (is_version_word(word))
		return err_set(-EINVAL, "'%.*s': an alias cannot be spelt like a version", (int)word.len, s);
	for (size_t i = 0; i < word.len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x80 && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    c != '_' && c != '-')
			return err_set(-EINVAL, "an alias is made of letters, digits, _ and -");
	}
	return text_valid(word) ? 0 : err_set(-EILSEQ, "an alias is UTF-8");
}

static int alias_key(uint32_t entry, struct slice word, struct buf *key)
{
	key_u32(key, entry);
	key_bytes(key, word);
	return buf_err(key);
}

static int alias_decode(struct slice value, struct alias *ret)
{
	struct unpack u = unpack_init(value);

	ret->n = unpack_u32(&u);
	ret->changed_ms = unpack_i64(&u);
	return unpack_more(&u);
}

int alias_get(struct kv_view *view, uint32_t entry, struct slice word, uint32_t *ret_n)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	struct slice value;
	struct alias a;
	int rc;

	if (slice_eq(word, slice_str("latest"))) {
		struct entry e;

		rc = entry_get(view, entry, &e);
		*ret_n = rc == 0 ? e.newest : 0;
		return rc == 0 && e.newest == 0 ? -ENOENT : rc;
	}
	if (word.len > META_NAME_MAX)
		return -ENOENT;
	rc = alias_key(entry, word, &key);
	if (rc == 0)
		rc = kv_get(view, TABLE_ALIAS, buf_slice(&key), &value);
	if (rc == 0)
		rc = alias_decode(value, &a);
	if (rc == 0)
		*ret_n = a.n;
	return rc;
}

struct each {
	int (*emit)(void *arg, const struct alias *a);
	int (*emit_move)(void *arg, const struct alias_move *mv);
	void *arg;
};

static int each_alias(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	struct alias a = { .word = rest };
	int rc = alias_decode(value, &a);

	return rc < 0 ? rc : each->emit(each->arg, &a);
}

static int walk(struct kv_view *view, uint8_t table, uint32_t entry,
		int (*row)(void *arg, struct slice rest, struct slice value), struct each *each)
{
	SCOPED_BUF struct buf prefix = BUF_INIT;
	int rc = alias_key(entry, nothing, &prefix);

	return rc < 0 ? rc : rows_each(view, table, buf_slice(&prefix), nothing, row, each);
}

int alias_each(struct kv_view *view, uint32_t entry, int (*emit)(void *arg, const struct alias *a), void *arg)
{
	struct each each = { .emit = emit, .arg = arg };

	return walk(view, TABLE_ALIAS, entry, each_alias, &each);
}

static int each_move(void *arg, struct slice rest, struct slice value)
{
	const struct each *each = arg;
	struct unpack k = unpack_init(rest);
	struct unpack u = unpack_init(value);
	struct alias_move mv = { .seq = unkey_u32(&k) };
	int rc;

	mv.at_ms = unpack_i64(&u);
	mv.from = unpack_u32(&u);
	mv.to = unpack_u32(&u);
	mv.uid = unpack_u32(&u);
	mv.run = unpack_u32(&u);
	mv.word = unpack_str(&u);
	rc = unpack_more(&u);
	return rc < 0 ? rc : each->emit_move(each->arg, &mv);
}

int alias_log_each(struct kv_view *view, uint32_t entry, int (*emit)(void *arg, const struct alias_move *mv),
		   void *arg)
{
	struct each each = { .emit_move = emit, .arg = arg };

	return walk(view, TABLE_ALIAS_LOG, entry, each_move, &each);
}

/* The number of the next line in the log of ENTRY, from 1. */
static int next_seq(struct kv_view *view, uint32_t entry, uint32_t *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	SCOPED_BUF struct buf key = BUF_INIT;
	struct unpack u;
	int rc;

	*ret = 1;
	key_u32(&key, entry + 1);
	rc = buf_err(&key);
	if (rc == 0)
		rc = kv_cursor_open(view, TABLE_ALIAS_LOG, &cur);
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, buf_slice(&key));
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	u = unpack_init(kv_cursor_key(cur));
	if (unkey_u32(&u) == entry)
		*ret = unkey_u32(&u) + 1;
	return 0;
}

static int log_move(struct meta *m, uint32_t entry, struct slice word, uint32_t from, uint32_t to,
		    const struct meta_actor *who)
{
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	uint32_t seq;
	int rc = next_seq(kv_live(m->kv), entry, &seq);

	if (rc < 0)
		return rc;
	key_u32(&key, entry);
	key_u32(&key, seq);
	pack_i64(&value, clock_now_ms());
	pack_u32(&value, from);
	pack_u32(&value, to);
	pack_u32(&value, who->uid);
	pack_u32(&value, who->run);
	pack_str(&value, word);
	rc = buf_err(&key);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_ALIAS_LOG, buf_slice(&key), buf_slice(&value));
}

static int emit_move(struct meta *m, const struct entry *e, struct slice word, uint32_t from, uint32_t to)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	SCOPED_BUF struct buf text = BUF_INIT;
	char old[12] = "", new[12] = "";

	buf_add_slice(&name, e->name);
	buf_add_slice(&text, word);
	if (buf_err(&name) < 0 || buf_err(&text) < 0)
		return -ENOMEM;
	if (from != 0)
		(void)snprintf(old, sizeof(old), "v%u", from);
	if (to != 0)
		(void)snprintf(new, sizeof(new), "v%u", to);
	event_emit(m, "alias", "space", entry_space_name(e->space), "name", name.data, "alias", text.data, "from", old,
		   "to", new, NULL);
	return 0;
}

static int check_target(struct kv_view *view, const struct entry *e, struct slice word, uint32_t n)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	struct version v;
	int rc = version_get(view, e->id, n, &v);

	if (rc == -ENOENT || (rc == 0 && (v.trashed || v.destroyed)))
		return err_set(-ENOENT, "'%.*s' has no version %u", (int)e->name.len, (const char *)e->name.data, n);
	entry_name_alias(e->name, e->is_dir, word, &name);
	if (rc == 0)
		rc = buf_err(&name);
	if (rc == 0 && name.len > LIMIT_NAME_MAX)
		rc = err_set(-ENAMETOOLONG, "the alias and the name have more than %u bytes together", LIMIT_NAME_MAX);
	return rc;
}

int alias_set(struct meta *m, uint32_t entry, struct slice word, uint32_t n, const struct meta_actor *who)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	SCOPED_BUF struct buf key = BUF_INIT;
	SCOPED_BUF struct buf value = BUF_INIT;
	uint32_t from = 0;
	int rc = alias_word_check(word);

	if (rc == 0)
		rc = entry_load_living(kv_live(m->kv), entry, &o);
	if (rc == 0)
		rc = check_target(kv_live(m->kv), &o.e, word, n);
	if (rc < 0)
		return rc;
	rc = alias_get(kv_live(m->kv), entry, word, &from);
	if ((rc < 0 && rc != -ENOENT) || from == n)
		return rc;
	rc = alias_key(entry, word, &key);
	pack_u32(&value, n);
	pack_i64(&value, clock_now_ms());
	if (rc == 0)
		rc = buf_err(&value);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_ALIAS, buf_slice(&key), buf_slice(&value));
	if (rc == 0)
		rc = log_move(m, entry, word, from, n, who);
	return rc < 0 ? rc : emit_move(m, &o.e, word, from, n);
}

int alias_remove(struct meta *m, uint32_t entry, struct slice word, const struct meta_actor *who)
{
	SCOPED_ENTRY struct entry_own o = OWN_INIT;
	SCOPED_BUF struct buf key = BUF_INIT;
	uint32_t from = 0;
	int rc;

	if (is_latest(word))
		return err_set(-EPERM, "'latest' always is the newest version and cannot be removed");
	rc = entry_load_living(kv_live(m->kv), entry, &o);
	if (rc == 0)
		rc = alias_get(kv_live(m->kv), entry, word, &from);
	if (rc == 0)
		rc = alias_key(entry, word, &key);
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_ALIAS, buf_slice(&key));
	if (rc == 0)
		rc = log_move(m, entry, word, from, 0, who);
	return rc < 0 ? rc : emit_move(m, &o.e, word, from, 0);
}
