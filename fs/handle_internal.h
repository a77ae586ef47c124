/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle_internal - the set of all handles: for serve.c (making and leaving), ops.c and tab_ctl.c.
 */
#ifndef FS_HANDLE_INTERNAL_H
#define FS_HANDLE_INTERNAL_H

#include <errno.h>

#include "fs/handle.h"

struct handles;

MUST_CHECK int handles_new(struct handles **ret);
void handles_free(struct handles *all);
uint64_t handles_count(const struct handles *all);
struct handle *handles_any(struct handles *all);		/* one of them, or NULL */
/* A created file gets its node when the create is done. */
void handle_set_node(struct fs *fs, struct handle *h, uint64_t node);

#endif
