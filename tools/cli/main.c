/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs - daemon and command line in one program.  The table below is the source of dispatch, of help, and of the manual's synopses.
 *
 * A command over a store goes to the daemon that serves the store, over its socket; where there is none, this process opens the store and runs
 * the same function itself, waiting a while for another one to finish.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "tools/cli/command.h"
#include "tools/cli/mount_options.h"

#define WAIT_SLICE_MS 200u

static const struct option_row init_options[] = {
	{ "from", '\0', "FILE", "restore a backup that labfs backup wrote ('-': standard input)" },
	{ "allow-remote", '\0', NULL, "even on NFS, CIFS, 9p or FUSE, where a store can be damaged" },
	{ NULL, '\0', NULL, NULL },
};

static const struct option_row fsck_options[] = {
	{ "json", '\0', NULL, "the faults as a JSON array" },
	{ NULL, '\0', NULL, NULL },
};

static const struct option_row gc_options[] = {
	{ "dry-run", 'n', NULL, "only say what would be freed" },
	{ NULL, '\0', NULL, NULL },
};

const struct command command_table[] = {
	{ "init", "[--from FILE] [STORE]", "make a store, or restore one from a backup", 0, 0, 1, init_options, cmd_init },
	{ "mount", "[-f] [-o OPTIONS] [STORE] MOUNTPOINT", "serve a store as a filesystem", 0, 1, 2, mount_option_rows, cmd_mount },
	{ "umount", "MOUNTPOINT", "flush, unmount, and wait until the daemon has left", 0, 1, 1, NULL, cmd_umount },
	{ "fsck", "[--json] [STORE]", "read every byte, check every reference", COMMAND_STORE | COMMAND_STORE_ARG, 0, 1, fsck_options,
	  cmd_fsck },
	{ "gc", "[--dry-run]", "give back what nothing refers to", COMMAND_STORE, 0, 0, gc_options, cmd_gc },
	{ "backup", "FILE", "write a consistent copy of the store, mounted or not", COMMAND_STORE | COMMAND_MAKES_FILE, 1, 1, NULL,
	  cmd_backup },
	{ "version", "", "say which labfs this is", 0, 0, 0, NULL, cmd_version },
	{ "help", "[COMMAND]", "list the commands, or explain one", 0, 0, 1, NULL, cmd_help },
	{ "tree-table", "", "print the table of all paths, as the manual is checked against", COMMAND_HIDDEN, 0, 0, NULL, cmd_tree_table },
	{ NULL, NULL, NULL, 0, 0, 0, NULL, NULL },
};

/* --- output of this process ----------------------------------------------------------------------------- */

struct local_sink {
	FILE *data;		/* of the file that the command makes */
};

static int local_write(void *arg, enum control_stream stream, struct slice bytes)
{
	struct local_sink *local = arg;
	FILE *f = stream == CONTROL_OUT ? stdout : stream == CONTROL_ERR ? stderr : local->data;

	if (!f || fwrite(bytes.data, 1, bytes.len, f) != bytes.len)
		return errno ? -errno : -EIO;
	return 0;
}

/* --- commands over a store -------------------------------------------------------------------------------- */

static int core_here(void *core_arg, int (*fn)(void *arg), void *arg)
{
	(void)core_arg;
	return fn(arg);
}

static int store_of(const struct command *command, const struct options *options, char **ret)
{
	const char *path = options_value(options, "store");

	if (!path && (command->flags & COMMAND_STORE_ARG) && options->args_count > 0)
		path = options->args[0];
	if (!path)
		path = getenv("LABFS_STORE");
	if (!path || !*path)
		return store_find(NULL, ret);
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

/* Through the daemon, else here; while another process holds the store without serving it, try again until UNTIL. */
static int run_over(const char *path, int argc, char **argv, int64_t until, const struct control_sink *sink, int *ret_exit)
{
	for (;;) {
		int64_t left = until - clock_mono_ms();
		struct store_options how = { .what = argv[0], .wait_ms = left <= 0 ? 0 : left < WAIT_SLICE_MS ? (unsigned)left : WAIT_SLICE_MS };
		struct store *store;
		int rc = control_run(path, argc, argv, sink, ret_exit);

		if (rc != -ENOENT)
			return rc == -EPIPE ? err_set(-EIO, "the daemon of %s went away while it ran the command", path) : rc;
		err_clear();
		rc = store_open(path, &how, &store);
		if (rc == -EBUSY && clock_mono_ms() < until)
			continue;
		if (rc)
			return rc;
		*ret_exit = command_run(store, false, core_here, store, argc, argv, sink);
		rc = store_close(store);
		return rc;
	}
}

/* --- the file that a command makes: it gets its name only when it is whole ------------------------------------ */

static const char *unfinished;		/* its name so far; for the handler */

static void on_end(int sig)
{
	unlink(unfinished);
	raise(sig);	/* the handler is gone: this ends the process */
}

static void remove_when_ended(const char *temp)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = on_end, .sa_flags = (int)SA_RESETHAND };

	unfinished = temp;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &sa, NULL);
	}
}

static int finish_file(FILE *f, const char *temp, const char *path, bool good)
{
	int rc = 0;

	if (good && (fflush(f) != 0 || fsync(fileno(f)) != 0))
		rc = -errno;
	if (fclose(f) != 0 && rc == 0)
		rc = -errno;
	if (good && rc == 0 && rename(temp, path) != 0)
		rc = -errno;
	if (!good || rc)
		unlink(temp);
	return rc ? err_set(rc, "%s: %s", path, strerror(-rc)) : 0;
}

static int run_making(const char *store, const char *path, int argc, char **argv, int64_t until, int *ret_exit)
{
	struct local_sink local = { stdout };
	struct control_sink sink = { local_write, &local };
	SCOPED_BUF struct buf temp = BUF_INIT;
	int fd, rc;

	if (strcmp(path, "-") == 0)
		return run_over(store, argc, argv, until, &sink, ret_exit);
	buf_addf(&temp, "%s.%ld.tmp", path, (long)getpid());
	rc = buf_err(&temp);
	if (rc)
		return rc;
	fd = open(temp.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(-errno, "%s: %s", path, strerror(errno));
	remove_when_ended(temp.data);
	local.data = fdopen(fd, "w");
	if (!local.data) {
		close(fd);
		return -ENOMEM;
	}
	rc = run_over(store, argc, argv, until, &sink, ret_exit);
	if (rc || *ret_exit) {
		(void)!finish_file(local.data, temp.data, path, false);
		return rc;
	}
	return finish_file(local.data, temp.data, path, true);
}

static int run_store_command(const struct command *command, struct command_env *env, int argc, char **argv)
{
	char *store = NULL;
	int64_t wait = 0;
	int exit_code = EXIT_OK;
	int rc = command_wait_ms(env->options, &wait);

	if (rc == 0)
		rc = store_of(command, env->options, &store);
	if (rc == 0 && (command->flags & COMMAND_MAKES_FILE))
		rc = run_making(store, env->options->args[0], argc, argv, clock_mono_ms() + wait, &exit_code);
	else if (rc == 0)
		rc = run_over(store, argc, argv, clock_mono_ms() + wait, &env->sink, &exit_code);
	free(store);
	return rc ? env_fail(env, rc) : exit_code;
}

/* --- dispatch ------------------------------------------------------------------------------------------------ */

static int usage(struct command_env *env, const struct command *command)
{
	env_err(env, "usage: labfs %s %s\n", command->name, command->synopsis);
	return EXIT_USAGE;
}

static int dispatch(const struct command *command, int argc, char **argv, struct command_env *env)
{
	struct options options = { .command = argv[0] };
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));	/* parsing reorders; the daemon parses the original */
	int rc;

	env->options = &options;
	if (!copy)
		return env_fail(env, -ENOMEM);
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	rc = options_parse(argc, copy, command->options, &options);
	if (rc)
		rc = env_fail(env, rc);
	else if (options_has(&options, "help"))
		rc = cmd_help(&(struct command_env){ .options = &(struct options){ .command = "help", .args = copy, .args_count = 1 },
						     .sink = env->sink });
	else if (options.args_count < command->min_args || options.args_count > command->max_args)
		rc = usage(env, command);
	else if (command->flags & COMMAND_STORE)
		rc = run_store_command(command, env, argc, argv);
	else
		rc = command->run(env);
	free(copy);
	return rc;
}

/*
 * Nothing maps files but the database, which is as long as its pages say: a fault there is a page number that damage has
 * changed.  It cannot be gone on from, but it can be told.
 */
static void on_bus_error(int sig)
{
	static const char text[] = "labfs: the database of the store is damaged: it refers to what is not in its file\n";

	(void)sig;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(EXIT_DAMAGED);
}

int main(int argc, char **argv)
{
	struct local_sink local = { NULL };
	struct command_env env = { .sink = { local_write, &local } };
	const struct command *command;
	int rc;

	setlocale(LC_CTYPE, "");	/* never LC_NUMERIC: numbers are the C locale's */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGBUS, on_bus_error);
	if (argc < 2) {
		char *help[] = { (char *)(uintptr_t) "help", NULL };

		rc = dispatch(command_find("help"), 1, help, &env);
		return rc ? rc : EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		argv[1] = (char *)(uintptr_t) "help";
	else if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)(uintptr_t) "version";
	command = command_find(argv[1]);
	if (!command) {
		fprintf(stderr, "labfs: no command '%s' (labfs help lists them)\n", argv[1]);
		return EXIT_USAGE;
	}
	rc = dispatch(command, argc - 1, argv + 1, &env);
	if (fflush(stdout) != 0 && rc == EXIT_OK)
		rc = EXIT_IO;
	return rc;
}
