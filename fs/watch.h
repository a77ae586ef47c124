/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - readers of /.labfs/events that wait for something to happen.  Core thread only.
 */
#ifndef FS_WATCH_H
#define FS_WATCH_H

#include "fs/call.h"

MUST_CHECK int watch_new(struct fs *fs);
void watch_free(struct fs *fs);		/* the waiters get an end of file */

/* Answer the waiters when something has happened; between requests, cheap. */
void watch_tell(struct fs *fs);

struct watch_reader;				/* of one open file */
MUST_CHECK int watch_open(struct fs *fs, struct watch_reader **ret);
/* Lines since the last read; waits for some, or -EAGAIN with NONBLOCK. */
MUST_CHECK int watch_read(struct call *c, struct watch_reader *r, size_t size, bool nonblock, struct buf *out);
void watch_close(struct fs *fs, struct watch_reader *r);

#endif
