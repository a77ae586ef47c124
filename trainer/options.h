/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the command line: --NAME VALUE or --NAME=VALUE, from a table that is also the --help
 * text.
 */
#ifndef TRAINER_OPTIONS_H
#define TRAINER_OPTIONS_H

#include "trainer/param.h"

enum { OPTIONS_MAX = 8 };

struct option_row {
	const char *name;     /* "--data"; NULL ends the table */
	const char *value;    /* what stands for it in the usage line */
	const char *fallback; /* NULL: none */
	bool required;
	const char *help;
};

struct arguments {
	const char *value[OPTIONS_MAX]; /* by row; NULL where not given and no fallback */
	struct params params;           /* what --PARAMETER VALUE said */
};

struct command {
	const char *name;
	const char *summary; /* one line */
	const char *note;    /* further lines of --help, or NULL */
	struct option_row options[OPTIONS_MAX + 1];
	bool takes_params;
	int run_option; /* the row of --run, whose status an error sets; -1 */
	int (*run)(struct arguments *args);
};

/*
 * Read ARGV behind the command's name: 0, or 1 when --help was asked and printed, or -EINVAL
 * (usage).
 */
MUST_CHECK int options_parse(const struct command *c, int argc, char **argv, struct arguments *ret);

void options_print_usage(const struct command *c);

#endif
