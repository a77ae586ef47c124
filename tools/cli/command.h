/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command - what a command of `labfs` is: a row in the table of main.c, and what it may use while it runs.
 *
 * A command over a store is one function for both cases: in the daemon that serves the store it runs on a thread of its own, in a process without one
 * on the only thread there is.  It reads snapshots, changes things by functions that it has run on the core, and writes to streams;
 * it touches no path of the user's and no descriptor.
 */
#ifndef TOOLS_CLI_COMMAND_H
#define TOOLS_CLI_COMMAND_H

#include "store/store.h"
#include "tools/cli/options.h"
#include "tools/control/control.h"

enum exit_code {		/* CONTRACT 1 */
	EXIT_OK = 0,
	EXIT_DIFFERENCE = 1,	/* or nothing found */
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_CONFLICT = 4,
	EXIT_DAMAGED = 5,
	EXIT_IO = 74,
};

enum exit_code exit_code_of(int rc);	/* of a -errno */

/* --wait SECONDS, or what holds without it. -EINVAL with the reason. */
MUST_CHECK int command_wait_ms(const struct options *options, int64_t *ret);

struct command_env {
	/* Of commands over a store; NULL else. */
	struct store *store;
	bool served;		/* by a daemon: others use it at the same time */
	int (*core)(void *core_arg, int (*fn)(void *arg), void *arg);	/* use env_core() */
	void *core_arg;

	const struct options *options;
	struct control_sink sink;
};

enum command_flag {
	COMMAND_STORE = 1,	/* runs over a store, through its daemon where there is one */
	COMMAND_MAKES_FILE = 2,	/* the first argument names a file that takes the stream CONTROL_DATA */
	COMMAND_STORE_ARG = 4,	/* the first argument, where given, is the store */
	COMMAND_HIDDEN = 8,	/* not in the list of commands */
};

struct command {
	const char *name;
	const char *synopsis;		/* what follows the name in usage and manual */
	const char *summary;		/* one line */
	unsigned flags;
	unsigned min_args, max_args;
	const struct option_row *options;	/* NULL: only the common ones */
	int (*run)(struct command_env *env);	/* exit code */
};

extern const struct command command_table[];	/* ends with name NULL */
const struct command *command_find(const char *name);

/* Run FN(ARG) on the core thread and wait; its answer. -ESHUTDOWN when the daemon is leaving. */
MUST_CHECK int env_core(struct command_env *env, int (*fn)(void *arg), void *arg);
/* A snapshot that shows everything so far; kv_snapshot_close() it. */
MUST_CHECK int env_snapshot(struct command_env *env, struct kv_view **ret);

void env_out(struct command_env *env, const char *fmt, ...) PRINTF_LIKE(2, 3);
void env_err(struct command_env *env, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "labfs COMMAND: reason" on stderr; the exit code for RC. */
int env_fail(struct command_env *env, int rc);

/* The commands, one file each. */
int cmd_init(struct command_env *env);
int cmd_mount(struct command_env *env);
int cmd_umount(struct command_env *env);
int cmd_fsck(struct command_env *env);
int cmd_gc(struct command_env *env);
int cmd_backup(struct command_env *env);
int cmd_version(struct command_env *env);
int cmd_help(struct command_env *env);
int cmd_tree_table(struct command_env *env);

/* Run an argument vector ("fsck", "--json", ...) over an open STORE: the one dispatcher for daemon and process. */
int command_run(struct store *store, bool served, int (*core)(void *core_arg, int (*fn)(void *arg), void *arg), void *core_arg, int argc,
		char **argv, const struct control_sink *sink);

#endif
