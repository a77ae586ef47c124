/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command - running one command over an open store, and what all of them use; see command.h.
 */
#include "tools/cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"

#define WAIT_DEFAULT_S 30

enum exit_code exit_code_of(int rc)
{
	switch (-rc) {
	case 0:
		return EXIT_OK;
	case EINVAL: case E2BIG: case ENAMETOOLONG: case EILSEQ:
		return EXIT_USAGE;
	case ENOENT: case ENOTDIR: case ENODATA:
		return EXIT_NOT_FOUND;
	case EBADMSG:
		return EXIT_DAMAGED;
	case EIO: case ENOSPC: case EDQUOT: case EROFS: case EPIPE: case ENOMEM: case ENODEV: case EFBIG: case EMFILE: case ENFILE:
		return EXIT_IO;
	default:
		return EXIT_CONFLICT;
	}
}

const struct command *command_find(const char *name)
{
	for (const struct command *c = command_table; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

int command_wait_ms(const struct options *options, int64_t *ret)
{
	const char *text = options_value(options, "wait");
	double seconds = WAIT_DEFAULT_S;
	char *end;

	if (text) {
		seconds = strtod(text, &end);
		if (end == text || *end || !(seconds >= 0 && seconds <= 86400))
			return err_set(-EINVAL, "--wait takes seconds, not '%s'", text);
	}
	*ret = (int64_t)(seconds * 1000);
	return 0;
}

int env_core(struct command_env *env, int (*fn)(void *arg), void *arg)
{
	return env->core(env->core_arg, fn, arg);
}

static int publish(void *arg)
{
	struct command_env *env = arg;

	return kv_publish(store_kv(env->store));
}

int env_snapshot(struct command_env *env, struct kv_view **ret)
{
	int rc = env_core(env, publish, env);

	return rc ? rc : kv_snapshot_open(store_kv(env->store), ret);
}

static void write_text(struct command_env *env, enum control_stream stream, const char *fmt, va_list args)
{
	char *text = NULL;
	int len = vasprintf(&text, fmt, args);

	if (len > 0)
		(void)!env->sink.write(env->sink.arg, stream, slice_of(text, (size_t)len));
	free(text);
}

void env_out(struct command_env *env, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_text(env, CONTROL_OUT, fmt, args);
	va_end(args);
}

void env_err(struct command_env *env, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_text(env, CONTROL_ERR, fmt, args);
	va_end(args);
}

int env_fail(struct command_env *env, int rc)
{
	env_err(env, "labfs %s: %s\n", env->options->command, err_text(rc));
	return exit_code_of(rc);
}

int command_run(struct store *store, bool served, int (*core)(void *core_arg, int (*fn)(void *arg), void *arg), void *core_arg, int argc,
		char **argv, const struct control_sink *sink)
{
	const struct command *command = command_find(argv[0]);
	struct options options = { .command = argv[0] };
	struct command_env env = {
		.store = store, .served = served, .core = core, .core_arg = core_arg, .options = &options, .sink = *sink,
	};
	int rc;

	err_clear();
	if (!command || !(command->flags & COMMAND_STORE)) {
		env_err(&env, "labfs: the daemon knows no command '%s' (is it an older labfs?)\n", argv[0]);
		return EXIT_USAGE;
	}
	rc = options_parse(argc, argv, command->options, &options);
	return rc ? env_fail(&env, rc) : command->run(&env);
}
