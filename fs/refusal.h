/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal - the last refusals with their reasons, for /.labfs/errors.  Core thread only.
 */
#ifndef FS_REFUSAL_H
#define FS_REFUSAL_H

#include <stdint.h>

#include "store/base/buf.h"

#define REFUSALS_KEPT 256u		/* lines; older ones go */

struct refusals;

MUST_CHECK int refusals_new(struct refusals **ret);
void refusals_free(struct refusals *r);
void refusals_add(struct refusals *r, const char *op, const char *path, int rc, const char *reason);
void refusals_text(const struct refusals *r, struct buf *out);	/* TIME OP PATH ERRNO: REASON, a line each, oldest first */
uint64_t refusals_count(const struct refusals *r);		/* since the mount */

#endif
