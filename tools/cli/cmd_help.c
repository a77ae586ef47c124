/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs help, labfs version - from the table of commands.
 */
#include <stdio.h>

#include "tools/cli/command.h"

static void list_options(struct command_env *env, const struct option_row *rows)
{
	for (const struct option_row *row = rows; row && row->name; row++) {
		char text[80], letter[8] = "    ";

		if (row->letter)
			snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(text, sizeof(text), "%s--%s%s%s", letter, row->name, row->value ? " " : "", row->value ? row->value : "");
		env_out(env, "  %-24s %s\n", text, row->help);
	}
}

static int explain(struct command_env *env, const char *name)
{
	const struct command *command = command_find(name);

	if (!command) {
		env_err(env, "labfs help: no command '%s' (labfs help lists them)\n", name);
		return EXIT_NOT_FOUND;
	}
	env_out(env, "usage: labfs %s %s\n\n%s\n\n", command->name, command->synopsis, command->summary);
	list_options(env, command->options);
	list_options(env, options_common);
	env_out(env, "\nManual: man labfs, man 7 labfs-tree (every path of the mount)\n");
	return EXIT_OK;
}

int cmd_help(struct command_env *env)
{
	if (env->options->args_count > 0)
		return explain(env, env->options->args[0]);
	env_out(env, "labfs - experiments, datasets and models as files\n\nusage: labfs COMMAND ...\n\n");
	for (const struct command *c = command_table; c->name; c++)
		if (!(c->flags & COMMAND_HIDDEN))
			env_out(env, "  %-8s %s\n", c->name, c->summary);
	env_out(env, "\nTo begin: labfs init && labfs mount mnt && cat mnt/README\n");
	return EXIT_OK;
}

int cmd_version(struct command_env *env)
{
	env_out(env, "labfs %s (store format %u)\n", LABFS_VERSION, STORE_FORMAT);
	return EXIT_OK;
}
