/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - rendered texts of views (runs.csv, run.json, params.json …), shared by stat and read while nothing has changed.
 *
 * A small one is rendered at once; one over many values by a worker from a snapshot, into an unlinked file of the store's directory
 * when it is long.  Core thread only, but for the rendering.
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include "fs/call.h"
#include "store/meta/value.h"

struct view;

/*
 * The text of TARGET now.  FS_DEFERRED: a worker is on it, and the call will be handed to its table again; this then answers at once.
 * The caller owns a reference: view_unref().
 */
MUST_CHECK int view_get(struct call *c, uint64_t node, const struct value_target *target, struct view **ret);
void view_unref(struct view *v);			/* NULL is fine */
uint64_t view_size(const struct view *v);
MUST_CHECK int view_read(const struct view *v, uint64_t off, size_t size, struct buf *out);

void views_free(struct fs *fs);				/* the cache */

#endif
