/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iris - an example trainer on plain paths: it knows labfs only as directories and files.
 *
 * Exit status: 0 done, 1 not done (one line on stderr says why), 2 typed wrongly.
 */
#include <stdio.h>
#include <string.h>

#include "trainer/cmd.h"
#include "trainer/fail.h"
#include "trainer/mem.h"
#include "trainer/run_dir.h"

#ifndef LABFS_VERSION
#define LABFS_VERSION "unknown"
#endif

enum { EXIT_DONE = 0, EXIT_NOT_DONE = 1, EXIT_USAGE = 2 };

static const struct command *const commands[] = { &cmd_prepare, &cmd_train, &cmd_evaluate,
						  &cmd_predict, &cmd_deploy };

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

/* The run that an error is told to; for the hook of mem.h, which takes no argument. */
static const char *current_run;

static void fail_current_run(void)
{
	if (current_run != NULL)
		run_dir_fail(current_run);
}

static void print_help(void)
{
	printf("iris - learn to tell flowers apart, on plain paths\n\nusage:\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		printf("  ");
		options_print_usage(commands[i]);
	}
	printf("\n'iris COMMAND --help' says more; so does iris(1).\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* What was printed has to have arrived. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	perror("iris: standard output");
	return status == EXIT_DONE ? EXIT_NOT_DONE : status;
}

static int run_command(const struct command *c, int argc, char **argv)
{
	static struct arguments args;
	int rc = options_parse(c, argc, argv, &args);

	if (rc == 0) {
		if (c->run_option >= 0)
			current_run = args.value[c->run_option];
		mem_on_exhausted(fail_current_run);
		rc = c->run(&args);
	}
	param_release(&args.params);
	if (rc >= 0)
		return EXIT_DONE;
	fprintf(stderr, "iris: %s\n", fail_text());
	if (fail_is_usage()) {
		fprintf(stderr, "iris: try 'iris %s --help'\n", c->name);
		return EXIT_USAGE;
	}
	fail_current_run();
	return EXIT_NOT_DONE;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "help") == 0 && argc == 3 && find_command(argv[2]) != NULL) {
		char help[] = "--help", *args[] = { help, NULL };

		return finish(run_command(find_command(argv[2]), 1, args));
	}
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
		print_help();
		return finish(EXIT_DONE);
	}
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "version") == 0) {
		printf("iris %s\n", LABFS_VERSION);
		return finish(EXIT_DONE);
	}
	const struct command *c = find_command(verb);

	if (c == NULL) {
		(void)fail_usage(argc > 1 ? "unknown command '%.80s'" : "a command is missing%s",
				 verb);
		fprintf(stderr, "iris: %s\niris: try 'iris --help'\n", fail_text());
		return EXIT_USAGE;
	}
	return finish(run_command(c, argc - 2, argv + 2));
}
