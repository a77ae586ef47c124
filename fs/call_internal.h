/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_internal - what call.c shares with the dispatcher (ops.c) and with nobody else.
 */
#ifndef FS_CALL_INTERNAL_H
#define FS_CALL_INTERNAL_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/call.h"

void call_note(struct call *c, int rc);				/* record the refusal RC */
void call_drop_handle(struct call *c, bool opened);		/* of an open that failed, or that nobody wants any more */
void call_reply_link(struct call *c, struct buf *target);	/* READLINK; adds the NUL */
void call_reply_number(struct call *c, int64_t offset);		/* LSEEK */

#endif
