/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - bytes of the control protocol on a socket; control.h has the layout.  Used by the two files beside it only.
 */
#ifndef TOOLS_CONTROL_FRAME_H
#define TOOLS_CONTROL_FRAME_H

#include <stdint.h>
#include <sys/un.h>

#include "store/base/buf.h"
#include "tools/control/control.h"

#define FRAME_MAGIC "LFC1"

/* All of it or -errno (-EPIPE: the other side went). */
MUST_CHECK int frame_send(int fd, const void *data, size_t len);
MUST_CHECK int frame_receive(int fd, void *data, size_t len);

MUST_CHECK int frame_send_request(int fd, int argc, char **argv);
/* *RET_ARGV: one allocation, NULL-terminated; free() it. */
MUST_CHECK int frame_receive_request(int fd, int *ret_argc, char ***ret_argv);

MUST_CHECK int frame_send_answer(int fd, enum control_stream stream, struct slice bytes);
/* The next answer; its bytes go into OUT (reset first). */
MUST_CHECK int frame_receive_answer(int fd, enum control_stream *ret_stream, struct buf *out);

/* The address of the socket in the directory DIRFD, short whatever the directory's path. */
void frame_address(int dirfd, struct sockaddr_un *ret);

#endif
