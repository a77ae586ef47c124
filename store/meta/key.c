/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dictionary of keys (meta.h).  With a key all its prefixes are interned too ("a/b/c": "a", "a/b"), before
 * it, so that a directory of the tree always has an id, lower than those of what lies below it.
 */
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <wchar.h>
#include <wctype.h>

#include "store/base/text.h"
#include "store/meta/meta_internal.h"

#define KEY_ID_MAX ((1u << 30) - 1)

static locale_t utf8_locale;
static pthread_once_t utf8_once = PTHREAD_ONCE_INIT;

static void utf8_init(void)
{
	utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* A letter or digit of any script, as Python's \w has it; without that locale anything beyond ASCII will do. */
static bool is_letter(uint32_t c)
{
	pthread_once(&utf8_once, utf8_init);
	return !utf8_locale || iswalnum_l((wint_t)c, utf8_locale);
}

/* Decode one character of well-formed UTF-8. */
static uint32_t utf8_next(const uint8_t **at)
{
	const uint8_t *p = *at;
	unsigned more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
	uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);

	for (unsigned i = 1; i <= more; i++)
		c = c << 6 | (p[i] & 0x3f);
	*at = p + more + 1;
	return c;
}

static bool is_key_ascii(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c == '-' || c == '.' || c == ':' || c == '/' || c == ' ';
}

static int check_components(struct slice text)
{
	const char *at = text.data;

	if (at[0] == '.' && text.len > 1 && at[1] == '.')
		return err_set(-EINVAL, "a key may not begin with \"..\"");
	for (size_t i = 0, start = 0; i <= text.len; i++) {
		if (i < text.len && at[i] != '/')
			continue;
		if (i == start)
			return err_set(
				-EINVAL,
				"a key may not have an empty component (\"//\", or a \"/\" at an end)");
		if ((i - start == 1 && at[start] == '.') ||
		    (i - start == 2 && at[start] == '.' && at[start + 1] == '.'))
			return err_set(-EINVAL, "a key may not have the component \".\" or \"..\"");
		start = i + 1;
	}
	return 0;
}

int key_check(struct slice text)
{
	const uint8_t *at = text.data, *end = at + text.len;

	if (text.len == 0)
		return err_set(-EINVAL, "a key may not be empty");
	if (text.len > META_KEY_MAX)
		return err_set(-ENAMETOOLONG, "a key has at most %u bytes, this one %zu",
			       META_KEY_MAX, text.len);
	if (!text_valid(text))
		return err_set(-EILSEQ, "a key must be UTF-8 without NUL");
	while (at < end) {
		const uint8_t *from = at;
		uint32_t c = utf8_next(&at);

		if (c < 0x80 ? !is_key_ascii(c) : !is_letter(c)) {
			if (c < 0x20 || c == 0x7f)
				return err_set(-EINVAL,
					       "a key may not contain control characters (0x%02x)",
					       (unsigned)c);
			return err_set(
				-EINVAL,
				"a key may not contain \"%.*s\": only letters, digits, _ - . : / and space",
				(int)(at - from), (const char *)from);
		}
	}
	return check_components(text);
}

int key_find(struct kv_view *view, struct slice text, uint32_t *ret_id)
{
	struct slice value;
	struct unpack u;
	int rc = text.len && text.len <= META_KEY_MAX ? kv_get(view, TABLE_KEY_ID, text, &value)
						      : -ENOENT;

	if (rc < 0)
		return rc;
	u = unpack_init(value);
	*ret_id = unpack_u32(&u);
	return unpack_done(&u);
}

static int intern_one(struct meta *m, struct slice text, uint32_t *ret_id)
{
	SCOPED_BUF struct buf value = BUF_INIT;
	struct meta_key k;
	uint32_t id;
	int rc = key_find(kv_live(m->kv), text, ret_id);

	if (rc != -ENOENT)
		return rc;
	rc = meta_counter_next(m, "key", 1, KEY_ID_MAX, &id);
	if (rc < 0)
		return rc;
	k = meta_key_1(id);
	pack_u32(&value, id);
	rc = buf_err(&value);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_KEY_ID, text, buf_slice(&value));
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_KEY_TEXT, meta_key_slice(&k), text);
	if (rc == 0)
		*ret_id = id;
	return rc;
}

int key_intern(struct meta *m, struct slice text, uint32_t *ret_id)
{
	char copy[META_KEY_MAX]; /* TEXT may be borrowed from the view that we change */
	int rc = key_find(kv_live(m->kv), text, ret_id);

	if (rc != -ENOENT)
		return rc;
	if (text.len == 0 || text.len > sizeof(copy))
		return err_set(-ENAMETOOLONG, "a key has at most %u bytes, this one %zu",
			       META_KEY_MAX, text.len);
	memcpy(copy, text.data, text.len);
	for (size_t i = 1; i < text.len; i++) {
		if (copy[i] != '/')
			continue;
		rc = intern_one(m, slice_of(copy, i), ret_id);
		if (rc < 0)
			return rc;
	}
	return intern_one(m, slice_of(copy, text.len), ret_id);
}

int key_text(struct kv_view *view, uint32_t id, struct slice *ret)
{
	struct meta_key k = meta_key_1(id);

	return kv_get(view, TABLE_KEY_TEXT, meta_key_slice(&k), ret);
}
