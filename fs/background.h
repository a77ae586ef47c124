/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background - what the store wants done while nobody asks for anything: cuts that became due, sealing, deleting, collecting.
 * Core thread only.
 */
#ifndef FS_BACKGROUND_H
#define FS_BACKGROUND_H

#include <stdbool.h>
#include <stdint.h>

struct fs;

#define BACKGROUND_QUIET_MS 3000u	/* a file not written for so long is sealed */

void background_start(struct fs *fs);
/* Something may have changed: arms the timers.  Called between all requests; cheap. */
void background_notice(struct fs *fs);
/* Before "no space" is answered: frees what can be freed at once.  True if it did free something. */
bool background_make_room(struct fs *fs);

#endif
