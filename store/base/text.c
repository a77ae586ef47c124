/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/text.h"

#include <errno.h>
#include <stdint.h>

/* Bytes of the well-formed UTF-8 sequence at AT, 0 when there is none (RFC 3629 section 4). */
static size_t utf8_len(const uint8_t *at, size_t left)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max, len;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, /* no overlong forms */
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, /* no surrogates */
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 }, /* up to U+10FFFF */
	};

	if (left == 0)
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (*at < forms[i].first_min || *at > forms[i].first_max)
			continue;
		if (left < forms[i].len)
			return 0;
		if (forms[i].len > 1 &&
		    (at[1] < forms[i].second_min || at[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((at[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

bool text_valid(struct slice s)
{
	const uint8_t *at = s.data;

	while (s.len) {
		size_t n = utf8_len(at, s.len);

		if (n == 0 || *at == 0)
			return false;
		at += n;
		s.len -= n;
	}
	return true;
}

void text_add_json(struct buf *out, struct slice s)
{
	static const char short_escapes[0x20] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
	};
	const uint8_t *at = s.data;

	buf_add_ch(out, '"');
	while (s.len) {
		size_t n = utf8_len(at, s.len);

		if (n == 0) {
			buf_add_str(out, "\xef\xbf\xbd");
			n = 1;
		} else if (*at == '"' || *at == '\\') {
			buf_add_ch(out, '\\');
			buf_add_ch(out, (char)*at);
		} else if (*at < 0x20 && short_escapes[*at]) {
			buf_add_ch(out, '\\');
			buf_add_ch(out, short_escapes[*at]);
		} else if (*at < 0x20 || *at == 0x7f) {
			buf_addf(out, "\\u%04x", (unsigned)*at);
		} else {
			buf_add(out, at, n);
		}
		at += n;
		s.len -= n;
	}
	buf_add_ch(out, '"');
}

void text_add_csv(struct buf *out, struct slice s)
{
	const char *at = s.data;
	bool quote = false;

	for (size_t i = 0; i < s.len; i++)
		quote |= at[i] == ',' || at[i] == '"' || at[i] == '\r' || at[i] == '\n';
	if (!quote) {
		buf_add_slice(out, s);
		return;
	}
	buf_add_ch(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (at[i] == '"')
			buf_add_ch(out, '"');
		buf_add_ch(out, at[i]);
	}
	buf_add_ch(out, '"');
}

void text_add_tsv(struct buf *out, struct slice s)
{
	const char *at = s.data;

	for (size_t i = 0; i < s.len; i++) {
		switch (at[i]) {
		case '\t': buf_add_str(out, "\\t"); break;
		case '\n': buf_add_str(out, "\\n"); break;
		case '\\': buf_add_str(out, "\\\\"); break;
		default: buf_add_ch(out, at[i]);
		}
	}
}

static void add_percent(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789ABCDEF";
	const char text[3] = { '%', hex[c >> 4], hex[c & 15] };

	buf_add(out, text, sizeof(text));
}

/* Which byte of the scratch-like component C must be hidden so that its name is scratch no more? */
static size_t scratch_byte(struct slice c)
{
	const char *at = c.data;

	if (!text_is_scratch(c))
		return SIZE_MAX;
	return at[0] != '.' && at[c.len - 1] == '~' ? c.len - 1 : 0;
}

void text_key_to_path(struct buf *out, struct slice key)
{
	const uint8_t *at = key.data;
	size_t i = 0;

	while (i < key.len) {
		size_t len = 0, hidden;
		const uint8_t *component = at + i;

		while (i + len < key.len && component[len] != '/')
			len++;
		hidden = scratch_byte(slice_of(component, len));
		for (size_t k = 0; k < len; k++) {
			if (k == hidden || component[k] < 0x20 || component[k] == 0x7f ||
			    component[k] == '%')
				add_percent(out, component[k]);
			else
				buf_add(out, &component[k], 1);
		}
		/* ".~" and the like offend at both ends; a leading dot was hidden, the rest is then no scratch but "*~". */
		if (len > 1 && hidden == 0 && component[0] == '.' && component[len - 1] == '~' &&
		    !out->failed) {
			out->len--;
			add_percent(out, '~');
		}
		i += len;
		if (i == key.len)
			break;
		/* A slash separates only what is not empty on both sides. */
		if (len == 0 || i + 1 == key.len)
			add_percent(out, '/');
		else
			buf_add_ch(out, '/');
		i++;
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_path_to_key(struct buf *out, struct slice path)
{
	const char *at = path.data;

	for (size_t i = 0; i < path.len; i++) {
		int high, low;

		if (at[i] != '%') {
			buf_add_ch(out, at[i]);
			continue;
		}
		high = path.len - i > 2 ? hex_value(at[i + 1]) : -1;
		low = high >= 0 ? hex_value(at[i + 2]) : -1;
		if (low < 0)
			return err_set(
				-EINVAL,
				"\"%.*s\": a %% must be followed by two hex digits (%%25 is %% itself)",
				path.len > 200 ? 200 : (int)path.len, at);
		buf_add_ch(out, (char)(high << 4 | low));
		i += 2;
	}
	return buf_err(out);
}

bool text_is_scratch(struct slice name)
{
	const char *at = name.data;

	if (name.len == 0)
		return false;
	if (at[0] == '.' || at[name.len - 1] == '~')
		return true; /* dotfiles, .x.swp, .DS_Store; backups */
	if (name.len >= 2 && at[0] == '#' && at[name.len - 1] == '#')
		return true;                      /* Emacs */
	return slice_eq(name, slice_str("4913")); /* vim asks with it whether it may write here */
}
