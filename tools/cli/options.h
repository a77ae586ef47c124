/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the options of a command, from a table that also makes its help.  No global state (getopt(3) has): commands run
 * side by side in a daemon.  Options may stand anywhere; "--" ends them; "--name=value" and "--name value" are the same.
 */
#ifndef TOOLS_CLI_OPTIONS_H
#define TOOLS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/err.h"

struct option_row {
	const char *name;	/* long, without dashes; NULL ends the table */
	char letter;		/* '\0': none */
	const char *value;	/* what it takes, as help shows it; NULL: a switch */
	const char *help;
};

#define OPTIONS_MAX 32

struct options {
	const char *command;
	struct { const char *name, *value; } given[OPTIONS_MAX];
	size_t count;
	char **args;		/* what is no option */
	size_t args_count;
};

/* Common to all commands: --store PATH, --wait SECONDS, --help. */
extern const struct option_row options_common[];

/*
 * Parse ARGV (of ARGC, the command's name first; borrowed, and its order changed) by ROWS (NULL: none) and the common ones.
 * -EINVAL with a sentence.
 */
MUST_CHECK int options_parse(int argc, char **argv, const struct option_row *rows, struct options *ret);
bool options_has(const struct options *o, const char *name);
const char *options_value(const struct options *o, const char *name);	/* the last one; NULL when not given */

#endif
