/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage - which run read or made which exact version; kept by ids, asked in both directions.
 * Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_LINEAGE_H
#define STORE_META_LINEAGE_H

#include "store/meta/entry.h"

enum lineage_direction { LINEAGE_INPUT = 1, LINEAGE_OUTPUT = 2 };
enum lineage_how { LINEAGE_BY_HAND = 1, LINEAGE_BY_OPEN = 2, LINEAGE_BY_CUT = 3, LINEAGE_BY_API = 4 };

/* The link RUN -> version.  Known already: 0, as it was.  -EPERM when RUN has ended (not for LINEAGE_BY_CUT, which only the store itself uses). */
MUST_CHECK int lineage_add(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t version_serial, enum lineage_how how);
/* The same for the head of ENTRY as it is now: if it differs from its newest version it is cut first (as RUN's for outputs, else as nobody's);
 * without a head the newest version counts.  -ENOENT when there is neither. */
MUST_CHECK int lineage_add_head(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t entry, enum lineage_how how,
				const struct meta_actor *who, uint32_t *ret_serial);
MUST_CHECK int lineage_remove(struct meta *m, uint32_t run, enum lineage_direction direction, uint32_t version_serial);	/* while running only: -EPERM */
/* What RUN read or made, of one space, by entry and number. NAME of a link is entry_name_version(). */
MUST_CHECK int lineage_each(struct kv_view *view, uint32_t run, enum lineage_direction direction, enum entry_space space,
			    int (*emit)(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms), void *arg);
/* Which runs read (made) a version. */
MUST_CHECK int lineage_runs(struct kv_view *view, uint32_t version_serial, enum lineage_direction direction,
			    int (*emit)(void *arg, uint32_t run), void *arg);

#endif
