/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - the daemon's side of the control socket: a thread that accepts, a thread a command; see control.h.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/base/io.h"
#include "store/base/log.h"
#include "tools/control/frame.h"

#define CLIENTS_MAX 32
#define REQUEST_TIMEOUT_S 10	/* a client that says nothing is let go */

struct control_server {
	int dirfd;			/* immutable */
	int listen_fd;			/* immutable */
	int stop_pipe[2];		/* immutable */
	control_handler *handler;	/* immutable */
	void *arg;			/* immutable */
	gid_t gid;			/* immutable */
	pthread_t acceptor;		/* immutable */
	pthread_mutex_t lock;
	pthread_cond_t idle;		/* no client left */
	int fds[CLIENTS_MAX];		/* protected by lock; -1 free */
	unsigned clients;		/* protected by lock */
};

struct client {
	struct control_server *server;
	int slot;
	int fd;
};

static int client_write(void *arg, enum control_stream stream, struct slice bytes)
{
	const struct client *c = arg;

	return bytes.len == 0 ? 0 : frame_send_answer(c->fd, stream, bytes);
}

static void run_command(struct client *c)
{
	struct control_sink sink = { client_write, c };
	char **argv = NULL, code;
	int argc = 0;

	if (frame_receive_request(c->fd, &argc, &argv) != 0)
		return;
	code = (char)c->server->handler(c->server->arg, argc, argv, &sink);
	(void)!frame_send_answer(c->fd, CONTROL_EXIT, slice_of(&code, 1));
	free(argv);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct control_server *server = c->server;

	run_command(c);
	pthread_mutex_lock(&server->lock);
	server->fds[c->slot] = -1;
	io_close(c->fd);
	if (--server->clients == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
	free(c);
	return NULL;
}

static bool peer_is_welcome(const struct control_server *server, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || server->gid != (gid_t)-1;	/* with a group, the socket's mode decides */
}

static int take_slot(struct control_server *server, int fd)
{
	int slot = -1;

	pthread_mutex_lock(&server->lock);
	for (int i = 0; i < CLIENTS_MAX && slot < 0; i++)
		if (server->fds[i] < 0)
			slot = i;
	if (slot >= 0) {
		server->fds[slot] = fd;
		server->clients++;
	}
	pthread_mutex_unlock(&server->lock);
	return slot;
}

static void give_slot(struct control_server *server, int slot)
{
	pthread_mutex_lock(&server->lock);
	server->fds[slot] = -1;
	if (--server->clients == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
}

/* Serve FD on a thread of its own; false: it could not be. */
static bool start_client(struct control_server *server, int fd)
{
	struct timeval timeout = { .tv_sec = REQUEST_TIMEOUT_S };
	struct client *c = malloc(sizeof(*c));
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	if (!c)
		return false;
	*c = (struct client){ server, take_slot(server, fd), fd };
	if (c->slot < 0) {
		free(c);
		return false;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	started = pthread_create(&thread, &attr, client_main, c) == 0;
	pthread_attr_destroy(&attr);
	if (!started) {
		give_slot(server, c->slot);
		free(c);
	}
	return started;
}

static void *acceptor_main(void *arg)
{
	struct control_server *server = arg;
	struct pollfd fds[2] = {
		{ .fd = server->listen_fd, .events = POLLIN },
		{ .fd = server->stop_pipe[0], .events = POLLIN },
	};

	for (;;) {
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		if (!(fds[0].revents & POLLIN))
			continue;
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno != EINTR && errno != ECONNABORTED)	/* no descriptor is left: not at once again */
				(void)poll(&fds[1], 1, 100);
			continue;
		}
		if (!peer_is_welcome(server, fd) || !start_client(server, fd))
			io_close(fd);
	}
	return NULL;
}

static int listen_in(int dirfd, gid_t gid, int *ret_fd)
{
	struct sockaddr_un address;
	int fd, rc = io_unlinkat(dirfd, "socket", 0);

	if (rc && rc != -ENOENT)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	frame_address(dirfd, &address);
	rc = fchmod(fd, gid == (gid_t)-1 ? 0600 : 0660) == 0 ? 0 : -errno;	/* bind takes the mode from here */
	if (rc == 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		rc = -errno;
	if (rc == 0 && fchmodat(dirfd, "socket", gid == (gid_t)-1 ? 0600 : 0660, 0) != 0)
		rc = -errno;
	if (rc == 0 && gid != (gid_t)-1 && fchownat(dirfd, "socket", (uid_t)-1, gid, 0) != 0)
		rc = -errno;
	if (rc == 0 && listen(fd, CLIENTS_MAX) != 0)
		rc = -errno;
	if (rc) {
		io_close(fd);
		return err_set(rc, "the store's socket cannot be made: %s", strerror(-rc));
	}
	*ret_fd = fd;
	return 0;
}

int control_server_start(int dirfd, gid_t gid, control_handler *handler, void *arg, struct control_server **ret)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return -ENOMEM;
	*server = (struct control_server){ .dirfd = dirfd, .handler = handler, .arg = arg, .gid = gid };
	for (int i = 0; i < CLIENTS_MAX; i++)
		server->fds[i] = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->idle, NULL);
	rc = pipe2(server->stop_pipe, O_CLOEXEC) == 0 ? 0 : -errno;
	if (rc)
		goto fail;
	rc = listen_in(dirfd, gid, &server->listen_fd);
	if (rc)
		goto fail_pipe;
	rc = -pthread_create(&server->acceptor, NULL, acceptor_main, server);
	if (rc)
		goto fail_listen;
	*ret = server;
	return 0;

fail_listen:
	io_close(server->listen_fd);
fail_pipe:
	io_close(server->stop_pipe[0]);
	io_close(server->stop_pipe[1]);
fail:
	free(server);
	return rc;
}

void control_server_stop(struct control_server *server)
{
	if (!server)
		return;
	io_close(server->stop_pipe[1]);
	pthread_join(server->acceptor, NULL);
	io_close(server->stop_pipe[0]);
	io_close(server->listen_fd);
	(void)!io_unlinkat(server->dirfd, "socket", 0);
	pthread_mutex_lock(&server->lock);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (server->fds[i] >= 0)
			shutdown(server->fds[i], SHUT_RDWR);
	while (server->clients > 0)
		pthread_cond_wait(&server->idle, &server->lock);
	pthread_mutex_unlock(&server->lock);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
