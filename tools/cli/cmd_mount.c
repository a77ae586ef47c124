/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs mount - serve a store as a filesystem, in a daemon or (-f) in the foreground.
 *
 * The daemon is forked before the store is opened; it tells its parent over a pipe, in one message (exit code, sentence), that the mount answers or why it
 * does not.  While it serves, commands come over the store's socket and run on threads of their own (tools/control).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/serve.h"
#include "store/base/log.h"
#include "tools/cli/command.h"
#include "tools/cli/mount_options.h"
#include "tools/cli/mountpoint.h"

#define LOG_FILE "daemon.log"		/* in the store's directory: what the daemon says on stderr */
#define LOG_MAX (1 << 20)
#define OPEN_FILES 1048576u

struct mounting {
	struct serve_options serve;
	char *options_text;		/* -o, which SERVE borrows from */
	char *store, *mountpoint;
	bool foreground;
	int report_fd;			/* to the parent; -1 none */
	struct fs *fs;			/* once it answers */
	struct control_server *control;
};

/* --- commands that come over the socket -------------------------------------------------------------- */

struct plain_call {
	int (*fn)(void *arg);
	void *arg;
};

static int call_plain(struct fs *fs, void *arg)
{
	const struct plain_call *call = arg;

	(void)fs;
	return call->fn(call->arg);
}

static int core_in_daemon(void *core_arg, int (*fn)(void *arg), void *arg)
{
	struct mounting *m = core_arg;
	struct plain_call call = { fn, arg };

	return fs_call_core(m->fs, call_plain, &call, true);
}

static int run_command(void *arg, int argc, char **argv, const struct control_sink *sink)
{
	struct mounting *m = arg;

	return command_run(fs_store(m->fs), true, core_in_daemon, m, argc, argv, sink);
}

/* --- ready, and leaving ---------------------------------------------------------------------------------- */

static void report(struct mounting *m, enum exit_code code, const char *text)
{
	unsigned char byte = (unsigned char)code;

	if (m->report_fd < 0)
		return;
	if (write(m->report_fd, &byte, 1) == 1 && text)
		(void)!write(m->report_fd, text, strlen(text));
	close(m->report_fd);
	m->report_fd = -1;
}

static void on_ready(void *arg, struct fs *fs)
{
	struct mounting *m = arg;
	int rc;

	m->fs = fs;
	rc = control_server_start(store_dirfd(fs_store(fs)), fs_group(fs), run_command, m, &m->control);
	if (rc)
		log_warn("no socket for commands: %s", err_text(rc));	/* the mount itself works */
	report(m, EXIT_OK, NULL);
}

static void on_stopping(void *arg, struct fs *fs)
{
	struct mounting *m = arg;

	(void)fs;
	control_server_stop(m->control);
	m->control = NULL;
}

static int serve_here(struct mounting *m)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < OPEN_FILES ? files.rlim_max : OPEN_FILES;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	m->serve.ready = on_ready;
	m->serve.stopping = on_stopping;
	m->serve.arg = m;
	return serve(&m->serve);
}

/* --- the daemon ------------------------------------------------------------------------------------------- */

static void redirect(const char *store)
{
	char path[4200];
	struct stat st;
	int null = open("/dev/null", O_RDWR);
	int log;

	snprintf(path, sizeof(path), "%s/%s", store, LOG_FILE);
	if (stat(path, &st) == 0 && st.st_size > LOG_MAX)
		unlink(path);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	dup2(null, 0);
	dup2(null, 1);
	dup2(log >= 0 ? log : null, 2);
}

/* Nothing of who started it stays open in the daemon, a lock or the end of a pipe for instance, but the way to report. */
static void close_inherited(struct mounting *m)
{
	if (m->report_fd != 3 && dup2(m->report_fd, 3) == 3)
		m->report_fd = 3;
	(void)fcntl(m->report_fd, F_SETFD, FD_CLOEXEC);
	(void)close_range((unsigned)m->report_fd + 1, ~0u, 0);
}

static void daemon_main(struct mounting *m)
{
	int rc;

	setsid();
	if (chdir("/") != 0)
		_exit(EXIT_IO);
	redirect(m->store);
	close_inherited(m);
	rc = serve_here(m);
	if (rc && m->report_fd < 0)
		log_error("%s", err_text(rc));
	if (rc)
		report(m, exit_code_of(rc), err_text(rc));
	exit(rc ? (int)exit_code_of(rc) : EXIT_OK);	/* not _exit: sanitizers report at exit */
}

/* Wait for the one message; its exit code. */
static int hear(int fd, struct command_env *env)
{
	unsigned char code;
	char text[2048];
	ssize_t len;

	do {
		len = read(fd, &code, 1);
	} while (len < 0 && errno == EINTR);
	if (len != 1) {
		env_err(env, "labfs mount: the daemon ended without a word; see %s in the store\n", LOG_FILE);
		return EXIT_IO;
	}
	if (code == EXIT_OK)
		return EXIT_OK;
	len = read(fd, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	env_err(env, "labfs mount: %s\n", text);
	return code;
}

static int start_daemon(struct mounting *m, struct command_env *env)
{
	int fds[2], code;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return env_fail(env, -errno);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return env_fail(env, -errno);
	if (pid == 0) {
		close(fds[0]);
		m->report_fd = fds[1];
		daemon_main(m);
	}
	close(fds[1]);
	code = hear(fds[0], env);
	close(fds[0]);
	return code;
}

/* --- what is asked for ---------------------------------------------------------------------------------------- */

static int find_store(const struct options *o, char **ret)
{
	const char *path = o->args_count == 2 ? o->args[0] : options_value(o, "store");
	char *found;
	int rc;

	if (!path)
		path = getenv("LABFS_STORE");
	if (!path || !*path) {
		rc = store_find(NULL, &found);
		if (rc)
			return rc;
		*ret = realpath(found, NULL);
		free(found);
	} else {
		*ret = realpath(path, NULL);
	}
	return *ret ? 0 : err_set(-ENOENT, "%s: no store there (labfs init makes one)", path ? path : ".labfs");
}

static int prepare(struct mounting *m, const struct options *o)
{
	const char *text = options_value(o, "options");
	struct store_owner owner;
	int64_t wait;
	int rc = command_wait_ms(o, &wait);

	m->foreground = options_has(o, "foreground");
	if (rc == 0 && text) {
		m->options_text = strdup(text);
		rc = m->options_text ? mount_options_parse(m->options_text, &m->serve) : -ENOMEM;
	}
	if (rc == 0)
		rc = find_store(o, &m->store);
	if (rc == 0 && store_owner(m->store, &owner) == 0 && owner.mountpoint[0])	/* no use to wait */
		rc = err_set(-EBUSY, "%s: served already by process %ld on %s", m->store, (long)owner.pid, owner.mountpoint);
	if (rc == 0)
		rc = serve_check_machine();
	if (rc == 0)
		rc = mountpoint_prepare(o->args[o->args_count - 1], m->store, &m->mountpoint);
	if (rc)
		return rc;
	m->serve.store = m->store;
	m->serve.mountpoint = m->mountpoint;
	m->serve.wait_ms = (unsigned)wait;
	return 0;
}

int cmd_mount(struct command_env *env)
{
	struct mounting m = { .report_fd = -1 };
	int rc = prepare(&m, env->options);

	if (rc == 0 && m.foreground) {
		rc = serve_here(&m);
		rc = rc ? env_fail(env, rc) : EXIT_OK;
	} else {
		rc = rc ? env_fail(env, rc) : start_daemon(&m, env);
	}
	free(m.options_text);
	free(m.store);
	free(m.mountpoint);
	return rc;
}

int cmd_tree_table(struct command_env *env)
{
	(void)env;
	node_table_print(stdout);
	return EXIT_OK;
}
