/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - see options.h.
 */
#include "trainer/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/mem.h"
#include "trainer/text.h"

void options_print_usage(const struct command *c)
{
	printf("iris %s", c->name);
	for (const struct option_row *o = c->options; o->name != NULL; o++)
		printf(o->required ? " %s %s" : " [%s %s]", o->name, o->value);
	printf("%s\n", c->takes_params ? " [--PARAMETER VALUE ...]" : "");
}

static void print_params(void)
{
	printf("\nParameters, scikit-learn's, and their defaults (--n-estimators is the same):\n"
	       "  --%-18s forest, tree, logistic or knn (forest)\n",
	       "algorithm");
	for (size_t id = 0; id < PARAM_COUNT; id++) {
		const char *separator = "(";

		printf("  --%-18s %s ", param_key((enum param_id)id),
		       param_help((enum param_id)id));
		for (size_t a = 0; a < ALGORITHM_COUNT; a++) {
			const char *text = param_default((enum algorithm_id)a, (enum param_id)id);

			if (text == NULL)
				continue;
			printf("%s%s %s", separator, param_algorithm_name((enum algorithm_id)a),
			       text);
			separator = ", ";
		}
		printf(")\n");
	}
}

static void print_help(const struct command *c)
{
	printf("usage: ");
	options_print_usage(c);
	printf("\n%s\n\n", c->summary);
	for (const struct option_row *o = c->options; o->name != NULL; o++) {
		printf("  %-11s %-10s %s", o->name, o->value, o->help);
		printf(o->fallback != NULL ? " (%s)\n" : "\n", o->fallback);
	}
	if (c->takes_params)
		print_params();
	if (c->note != NULL)
		printf("\n%s\n", c->note);
}

static bool is_named(const char *arg, size_t len, const char *name)
{
	return strlen(name) == len && strncmp(arg, name, len) == 0;
}

/* "--max-depth" is the parameter max_depth; NULL if there is none.  The caller frees it. */
static char *param_of(const char *arg, size_t len)
{
	char *key = mem_dup(arg + 2, len - 2);

	for (char *p = key; *p != '\0'; p++) {
		if (*p == '-')
			*p = '_';
	}
	if (param_known(key))
		return key;
	free(key);
	return NULL;
}

static int take(const struct command *c, const char *arg, size_t len, const char *value,
		struct arguments *ret)
{
	for (size_t i = 0; c->options[i].name != NULL; i++) {
		if (!is_named(arg, len, c->options[i].name))
			continue;
		if (value[0] == '\0')
			return fail_usage("%.*s is given nothing", (int)len, arg);
		if (ret->value[i] != NULL)
			return fail_usage("%.*s is given twice", (int)len, arg);
		ret->value[i] = value;
		return 0;
	}
	SCOPED_FREE char *key = param_of(arg, len);
	SCOPED_FREE char *where = text_format("%.*s", (int)len, arg);

	return param_say(&ret->params, key, value, where, false);
}

static bool is_option(const struct command *c, const char *arg, size_t len)
{
	for (const struct option_row *o = c->options; o->name != NULL; o++) {
		if (is_named(arg, len, o->name))
			return true;
	}
	SCOPED_FREE char *key = c->takes_params && len > 2 ? param_of(arg, len) : NULL;

	return key != NULL;
}

static int finish(const struct command *c, struct arguments *ret)
{
	for (size_t i = 0; c->options[i].name != NULL; i++) {
		if (ret->value[i] == NULL && c->options[i].required)
			return fail_usage("%s %s is missing", c->options[i].name,
					  c->options[i].value);
		if (ret->value[i] == NULL)
			ret->value[i] = c->options[i].fallback;
	}
	return 0;
}

int options_parse(const struct command *c, int argc, char **argv, struct arguments *ret)
{
	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i], *equals = strchr(arg, '=');
		size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);

		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			print_help(c);
			return 1;
		}
		if (strncmp(arg, "--", 2) != 0)
			return fail_usage("what is '%.80s'?", arg);
		if (!is_option(c, arg, len))
			return fail_usage("unknown option '%.80s'", arg);
		if (equals == NULL && i + 1 == argc)
			return fail_usage("%s wants a value", arg);
		int rc = take(c, arg, len, equals != NULL ? equals + 1 : argv[++i], ret);

		if (rc < 0)
			return rc;
	}
	return finish(c, ret);
}
