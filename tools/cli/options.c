/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - see options.h.
 */
#include "tools/cli/options.h"

#include <errno.h>
#include <string.h>

const struct option_row options_common[] = {
	{ "store", '\0', "PATH", "the store (else $LABFS_STORE, else the nearest .labfs upward)" },
	{ "wait", '\0', "SECONDS", "how long to wait for another process that has the store (30)" },
	{ "help", 'h', NULL, "say what the command does and takes" },
	{ NULL, '\0', NULL, NULL },
};

static const struct option_row *find(const struct option_row *rows, const char *name, size_t len, char letter)
{
	for (const struct option_row *row = rows; row && row->name; row++) {
		if (name && strlen(row->name) == len && strncmp(row->name, name, len) == 0)
			return row;
		if (!name && row->letter && row->letter == letter)
			return row;
	}
	return NULL;
}

static const struct option_row *find_any(const struct option_row *rows, const char *name, size_t len, char letter)
{
	const struct option_row *row = find(rows, name, len, letter);

	return row ? row : find(options_common, name, len, letter);
}

static int add(struct options *o, const struct option_row *row, const char *value)
{
	if (o->count == OPTIONS_MAX)
		return err_set(-EINVAL, "too many options");
	o->given[o->count].name = row->name;
	o->given[o->count].value = value;
	o->count++;
	return 0;
}

/* --name, --name=value, --name value.  *AT moves over the value. */
static int parse_long(struct options *o, const struct option_row *rows, int argc, char **argv, int *at)
{
	const char *name = argv[*at] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_row *row = find_any(rows, name, len, '\0');

	if (!row)
		return err_set(-EINVAL, "no option --%.*s (labfs help %s)", (int)len, name, o->command);
	if (!row->value && equals)
		return err_set(-EINVAL, "--%s takes no value", row->name);
	if (row->value && !equals) {
		if (*at + 1 >= argc)
			return err_set(-EINVAL, "--%s needs %s", row->name, row->value);
		return add(o, row, argv[++*at]);
	}
	return add(o, row, equals ? equals + 1 : NULL);
}

/* -f, -fo value, -ovalue. */
static int parse_letters(struct options *o, const struct option_row *rows, int argc, char **argv, int *at)
{
	for (const char *letter = argv[*at] + 1; *letter; letter++) {
		const struct option_row *row = find_any(rows, NULL, 0, *letter);
		int rc;

		if (!row)
			return err_set(-EINVAL, "no option -%c (labfs help %s)", *letter, o->command);
		if (row->value) {
			if (letter[1])
				return add(o, row, letter + 1);
			if (*at + 1 >= argc)
				return err_set(-EINVAL, "-%c needs %s", *letter, row->value);
			return add(o, row, argv[++*at]);
		}
		rc = add(o, row, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

int options_parse(int argc, char **argv, const struct option_row *rows, struct options *ret)
{
	bool only_args = false;

	*ret = (struct options){ .command = argv[0], .args = argv + 1 };
	for (int at = 1; at < argc; at++) {
		int rc = 0;

		if (!only_args && strcmp(argv[at], "--") == 0)
			only_args = true;
		else if (!only_args && strncmp(argv[at], "--", 2) == 0)
			rc = parse_long(ret, rows, argc, argv, &at);
		else if (!only_args && argv[at][0] == '-' && argv[at][1])
			rc = parse_letters(ret, rows, argc, argv, &at);
		else
			ret->args[ret->args_count++] = argv[at];
		if (rc)
			return rc;
	}
	return 0;
}

bool options_has(const struct options *o, const char *name)
{
	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->given[i].name, name) == 0)
			return true;
	return false;
}

const char *options_value(const struct options *o, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->given[i].name, name) == 0)
			value = o->given[i].value;
	return value;
}
