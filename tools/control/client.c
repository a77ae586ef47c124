/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - runs a command in the daemon; see control.h.
 */
#include <errno.h>
#include <sys/socket.h>

#include "store/base/io.h"
#include "tools/control/frame.h"

static int connect_to(const char *path, int *ret_fd)
{
	SCOPED_FD int dirfd = io_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	struct sockaddr_un address;
	int fd;

	if (dirfd < 0)
		return dirfd == -ENOTDIR ? -ENOENT : dirfd;
	frame_address(dirfd, &address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int rc = errno == ECONNREFUSED ? -ENOENT : -errno;

		io_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int control_run(const char *path, int argc, char **argv, const struct control_sink *sink, int *ret_exit)
{
	SCOPED_BUF struct buf bytes = BUF_INIT;
	SCOPED_FD int fd = -1;
	int rc = connect_to(path, &fd);

	if (rc == 0)
		rc = frame_send_request(fd, argc, argv);
	while (rc == 0) {
		enum control_stream stream;

		rc = frame_receive_answer(fd, &stream, &bytes);
		if (rc)
			break;
		if (stream == CONTROL_EXIT) {
			if (bytes.len != 1)
				return -EPROTO;
			*ret_exit = (unsigned char)bytes.data[0];
			return 0;
		}
		rc = sink->write(sink->arg, stream, buf_slice(&bytes));
	}
	return rc;
}
