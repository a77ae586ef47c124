/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - the way into a store that a daemon serves: a Unix socket in the store's directory.
 *
 * A client sends one command line; the daemon runs it and sends back what it writes and, last, its exit code.  Only the
 * client opens paths: what a command produces as a file comes as a stream of its own.  Frames, little-endian:
 *	request:  "LFC1", u32 count, count x (u32 length, bytes)
 *	answer:   (u8 stream, u32 length, bytes) ..., at last stream CONTROL_EXIT with one byte
 * The socket is 0600 in a directory of mode 0700; the server also checks the peer's uid.
 */
#ifndef TOOLS_CONTROL_CONTROL_H
#define TOOLS_CONTROL_CONTROL_H

#include <stddef.h>
#include <sys/types.h>

#include "store/base/err.h"
#include "store/base/slice.h"

enum control_stream {
	CONTROL_EXIT = 0,
	CONTROL_OUT = 1,
	CONTROL_ERR = 2,
	CONTROL_DATA = 3,	/* the file that the command makes (backup) */
};

#define CONTROL_ARGS_MAX 4096u		/* arguments of one command */
#define CONTROL_BYTES_MAX (4u << 20)	/* bytes of all arguments */

/* Where a running command's output goes; 0, or -errno when nobody takes it any more. */
struct control_sink {
	int (*write)(void *arg, enum control_stream stream, struct slice bytes);
	void *arg;
};

/* --- the daemon's side ------------------------------------------------------------------------------ */

struct control_server;

/* Runs a command on a thread of its own; returns its exit code. */
typedef int control_handler(void *arg, int argc, char **argv, const struct control_sink *sink);

/* Listen in the store directory DIRFD (borrowed).  GID, when not -1, may connect too (mode 0660). */
MUST_CHECK int control_server_start(int dirfd, gid_t gid, control_handler *handler, void *arg, struct control_server **ret);
/* No new commands, wait for those that run (their sinks answer -EPIPE from now on), remove the socket.  NULL is fine. */
void control_server_stop(struct control_server *server);

/* --- the client's side -------------------------------------------------------------------------------- */

/* Run a command in the daemon that serves the store at PATH.  -ENOENT: no daemon answers there; -EPIPE: it went away. */
MUST_CHECK int control_run(const char *path, int argc, char **argv, const struct control_sink *sink, int *ret_exit);

#endif
