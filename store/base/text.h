/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - UTF-8, quoting and percent-encoding of names.  Any thread.
 */
#ifndef STORE_BASE_TEXT_H
#define STORE_BASE_TEXT_H

#include <stdbool.h>

#include "store/base/buf.h"

/* Well-formed UTF-8 (RFC 3629) without NUL? */
bool text_valid(struct slice s);

/* Append S as a JSON string with its quotes (RFC 8259; control characters as \u00XX, invalid bytes as U+FFFD). */
void text_add_json(struct buf *out, struct slice s);

/* Append S as one CSV cell (RFC 4180: quoted when it holds , " CR or LF). */
void text_add_csv(struct buf *out, struct slice s);

/* Append S as one TSV cell: \t, \n and \\ escaped, never quoted. */
void text_add_tsv(struct buf *out, struct slice s);

/*
 * A key as a path below params/, metrics/, tags/: "/" stays (subdirectories); a key that cannot be such a path - an empty, "." or ".." component,
 * leading or trailing "/", a component that is scratch (text_is_scratch), a control character, "%" - has the offending bytes
 * percent-encoded ("%25").  Decoding takes any %XX; malformed escapes are -EINVAL.
 */
void text_key_to_path(struct buf *out, struct slice key);
MUST_CHECK int text_path_to_key(struct buf *out, struct slice path);

/*
 * Is NAME one that editors and desktops drop anywhere: a dotfile, ".*.sw?", "*~", "4913", "#*#", ".DS_Store"?
 * Such names are scratch in every directory: never a dataset, a param or a version.
 */
bool text_is_scratch(struct slice name);

#endif
