/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - see frame.h.
 */
#include "tools/control/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "store/base/pack.h"

#define ANSWER_MAX (1u << 20)

int frame_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		at += sent;
		len -= (size_t)sent;
	}
	return 0;
}

int frame_receive(int fd, void *data, size_t len)
{
	char *at = data;

	while (len > 0) {
		ssize_t got = recv(fd, at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			return -EPIPE;
		if (got < 0)
			return -errno;
		at += got;
		len -= (size_t)got;
	}
	return 0;
}

int frame_send_request(int fd, int argc, char **argv)
{
	SCOPED_BUF struct buf b = BUF_INIT;
	int rc;

	buf_add_str(&b, FRAME_MAGIC);
	pack_u32(&b, (uint32_t)argc);
	for (int i = 0; i < argc; i++) {
		struct slice arg = slice_str(argv[i]);

		pack_u32(&b, (uint32_t)arg.len);
		buf_add_slice(&b, arg);
	}
	rc = buf_err(&b);
	return rc ? rc : frame_send(fd, b.data, b.len);
}

static int receive_u32(int fd, uint32_t *ret)
{
	uint8_t bytes[4];
	struct unpack u;
	int rc = frame_receive(fd, bytes, sizeof(bytes));

	if (rc)
		return rc;
	u = unpack_init(slice_of(bytes, sizeof(bytes)));
	*ret = unpack_u32(&u);
	return 0;
}

/* Arguments one after the other, each with a NUL. */
static int receive_args(int fd, uint32_t count, struct buf *out)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len;
		char *at;
		int rc = receive_u32(fd, &len);

		if (rc)
			return rc;
		if (len > CONTROL_BYTES_MAX || out->len + len > CONTROL_BYTES_MAX)
			return -E2BIG;
		at = buf_reserve(out, (size_t)len + 1);
		if (!at)
			return -ENOMEM;
		rc = frame_receive(fd, at, len);
		if (rc)
			return rc;
		if (memchr(at, '\0', len))
			return -EPROTO;
		at[len] = '\0';
		out->len += (size_t)len + 1;
	}
	return 0;
}

int frame_receive_request(int fd, int *ret_argc, char ***ret_argv)
{
	SCOPED_BUF struct buf args = BUF_INIT;
	char magic[4], **argv, *at;
	uint32_t count;
	int rc = frame_receive(fd, magic, sizeof(magic));

	if (rc)
		return rc;
	if (memcmp(magic, FRAME_MAGIC, sizeof(magic)) != 0)
		return -EPROTO;
	rc = receive_u32(fd, &count);
	if (rc == 0 && (count == 0 || count > CONTROL_ARGS_MAX))
		rc = -E2BIG;
	if (rc == 0)
		rc = receive_args(fd, count, &args);
	if (rc)
		return rc;
	argv = malloc((count + 1) * sizeof(*argv) + args.len);
	if (!argv)
		return -ENOMEM;
	at = (char *)(argv + count + 1);
	memcpy(at, args.data, args.len);
	for (uint32_t i = 0; i < count; i++) {
		argv[i] = at;
		at += strlen(at) + 1;
	}
	argv[count] = NULL;
	*ret_argc = (int)count;
	*ret_argv = argv;
	return 0;
}

int frame_send_answer(int fd, enum control_stream stream, struct slice bytes)
{
	const char *at = bytes.data;
	size_t left = bytes.len;

	do {
		SCOPED_BUF struct buf head = BUF_INIT;
		size_t part = left < ANSWER_MAX ? left : ANSWER_MAX;
		int rc;

		pack_u8(&head, (uint8_t)stream);
		pack_u32(&head, (uint32_t)part);
		rc = buf_err(&head);
		if (rc == 0)
			rc = frame_send(fd, head.data, head.len);
		if (rc == 0)
			rc = frame_send(fd, at, part);
		if (rc)
			return rc;
		at += part;
		left -= part;
	} while (left > 0);
	return 0;
}

int frame_receive_answer(int fd, enum control_stream *ret_stream, struct buf *out)
{
	uint8_t stream;
	uint32_t len;
	void *at;
	int rc = frame_receive(fd, &stream, 1);

	if (rc == 0)
		rc = receive_u32(fd, &len);
	if (rc)
		return rc;
	if (stream > CONTROL_DATA || len > ANSWER_MAX)
		return -EPROTO;
	buf_reset(out);
	at = buf_reserve(out, (size_t)len + 1);
	if (!at)
		return -ENOMEM;
	rc = frame_receive(fd, at, len);
	if (rc)
		return rc;
	out->len = len;
	*ret_stream = stream;
	return 0;
}

void frame_address(int dirfd, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/socket", dirfd);
}
