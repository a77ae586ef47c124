/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param - see param.h.
 */
#include "trainer/param.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "trainer/mem.h"
#include "trainer/number.h"

enum { WORDS_MAX = 3 };

/* What a parameter may be, and its default for each algorithm (none: not a parameter of it). */
struct param_row {
	const char *key;
	const char *help;
	const char *defaults[ALGORITHM_COUNT];
	const char *words[WORDS_MAX];
	bool none, truth;
	bool whole; /* whole_lo .. whole_hi */
	int64_t whole_lo, whole_hi;
	bool real; /* above real_above (equal too: real_from), up to real_to (below: real_open) */
	double real_above, real_to;
	bool real_from, real_open;
};

static const char *const algorithm_names[ALGORITHM_COUNT] = {
	[ALGORITHM_FOREST] = "forest",
	[ALGORITHM_TREE] = "tree",
	[ALGORITHM_LOGISTIC] = "logistic",
	[ALGORITHM_KNN] = "knn",
};

/* One row is one thing to read. */
/* clang-format off */
#define FOREST [ALGORITHM_FOREST]
#define TREE [ALGORITHM_TREE]
#define LOGISTIC [ALGORITHM_LOGISTIC]
#define KNN [ALGORITHM_KNN]

static const struct param_row rows[PARAM_COUNT] = {
	[PARAM_N_ESTIMATORS] = { "n_estimators", "trees in the forest",
		{ FOREST = "100" }, .whole = true, .whole_lo = 1, .whole_hi = 10000 },
	[PARAM_MAX_DEPTH] = { "max_depth", "levels of splits, or None",
		{ FOREST = "None", TREE = "None" }, .none = true,
		.whole = true, .whole_lo = 1, .whole_hi = 1000000 },
	[PARAM_MIN_SAMPLES_SPLIT] = { "min_samples_split", "rows that a split needs, or their fraction",
		{ FOREST = "2", TREE = "2" }, .whole = true, .whole_lo = 2, .whole_hi = 1000000,
		.real = true, .real_above = 0, .real_to = 1 },
	[PARAM_MIN_SAMPLES_LEAF] = { "min_samples_leaf", "rows that a leaf needs, or their fraction",
		{ FOREST = "1", TREE = "1" }, .whole = true, .whole_lo = 1, .whole_hi = 1000000,
		.real = true, .real_above = 0, .real_to = 1, .real_open = true },
	[PARAM_MAX_FEATURES] = { "max_features",
		"features tried for a split: sqrt, log2, a number, a fraction or None",
		{ FOREST = "sqrt", TREE = "None" }, { "sqrt", "log2" }, .none = true,
		.whole = true, .whole_lo = 1, .whole_hi = LLONG_MAX,
		.real = true, .real_above = 0, .real_to = 1 },
	[PARAM_BOOTSTRAP] = { "bootstrap", "draw each tree's rows with replacement: True or False",
		{ FOREST = "True" }, .truth = true },
	[PARAM_C] = { "C", "inverse strength of the L2 penalty",
		{ LOGISTIC = "1" }, .real = true, .real_above = 0, .real_to = 1e9 },
	[PARAM_LEARNING_RATE] = { "learning_rate", "length of a step of the descent",
		{ LOGISTIC = "0.3" }, .real = true, .real_above = 0, .real_to = 1e3 },
	[PARAM_MAX_ITER] = { "max_iter", "passes over the data",
		{ LOGISTIC = "100" }, .whole = true, .whole_lo = 1, .whole_hi = 100000 },
	[PARAM_BATCH_SIZE] = { "batch_size", "rows of a step of the descent",
		{ LOGISTIC = "16" }, .whole = true, .whole_lo = 1, .whole_hi = 1000000 },
	[PARAM_MOMENTUM] = { "momentum", "part of a step that the next one keeps",
		{ LOGISTIC = "0.9" }, .real = true, .real_above = 0, .real_from = true,
		.real_to = 1, .real_open = true },
	[PARAM_N_NEIGHBORS] = { "n_neighbors", "neighbours that vote",
		{ KNN = "5" }, .whole = true, .whole_lo = 1, .whole_hi = 1000000 },
	[PARAM_WEIGHTS] = { "weights", "a neighbour's vote: uniform, or distance (its inverse)",
		{ KNN = "uniform" }, { "uniform", "distance" } },
	[PARAM_RANDOM_STATE] = { "random_state", "seed of all that is drawn",
		{ FOREST = "42", TREE = "42", LOGISTIC = "42", KNN = "42" },
		.whole = true, .whole_lo = 0, .whole_hi = UINT32_MAX },
};
/* clang-format on */

bool param_known(const char *key)
{
	for (size_t i = 0; i < PARAM_COUNT; i++) {
		if (strcmp(rows[i].key, key) == 0)
			return true;
	}
	return strcmp(key, "algorithm") == 0;
}

const char *param_key(enum param_id id)
{
	return rows[id].key;
}

const char *param_help(enum param_id id)
{
	return rows[id].help;
}

const char *param_algorithm_name(enum algorithm_id id)
{
	return algorithm_names[id];
}

const char *param_default(enum algorithm_id algorithm, enum param_id id)
{
	return rows[id].defaults[algorithm];
}

int param_say(struct params *p, const char *key, const char *text, const char *where, bool logged)
{
	if (!param_known(key))
		return fail(EINVAL, "%s: unknown parameter '%.60s'", where, key);
	if (p->said_count == PARAM_SAID_MAX)
		return fail(EINVAL, "%s: more than %d parameters", where, PARAM_SAID_MAX);
	p->said[p->said_count++] = (struct param_said){
		.key = mem_dup(key, strlen(key)),
		.text = mem_dup(text, strlen(text)),
		.where = mem_dup(where, strlen(where)),
		.logged = logged,
	};
	return 0;
}

static bool is_any_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static bool set_text(struct param_value *v, enum param_form form, const char *text)
{
	v->form = form;
	(void)snprintf(v->text, sizeof(v->text), "%s", text);
	return true;
}

static bool parse_word(const struct param_row *row, const char *text, struct param_value *v)
{
	static const char *const none[] = { "none", "null", "~" };
	static const char *const yes[] = { "true", "yes" }, *const no[] = { "false", "no" };

	if (row->none && is_any_of(text, none, 3))
		return set_text(v, PARAM_NONE, "None");
	if (row->truth && is_any_of(text, yes, 2)) {
		v->whole = 1;
		return set_text(v, PARAM_TRUTH, "True");
	}
	if (row->truth && is_any_of(text, no, 2))
		return set_text(v, PARAM_TRUTH, "False");
	for (int i = 0; i < WORDS_MAX && row->words[i] != NULL; i++) {
		if (strcmp(text, row->words[i]) == 0) {
			v->whole = i;
			return set_text(v, PARAM_WORD, text);
		}
	}
	return false;
}

static bool parse_real(const struct param_row *row, const char *text, struct param_value *v)
{
	char buf[NUMBER_SIZE + 2];
	double x;

	if (!number_parse(text, &x))
		return false;
	if (x < row->real_above || (x == row->real_above && !row->real_from))
		return false;
	if (x > row->real_to || (x == row->real_to && row->real_open))
		return false;
	number_format(x, buf);
	/* Where a count may stand too, 1.0 is a fraction and has to go on looking like one. */
	if (row->whole && buf[strcspn(buf, ".e")] == '\0')
		memcpy(buf + strlen(buf), ".0", 3);
	v->real = x;
	return set_text(v, PARAM_REAL, buf);
}

static bool parse_value(const struct param_row *row, const char *text, struct param_value *v)
{
	*v = (struct param_value){ 0 };
	if (parse_word(row, text, v))
		return true;
	if (row->whole && number_parse_int(text, row->whole_lo, row->whole_hi, &v->whole)) {
		char buf[NUMBER_SIZE];

		(void)snprintf(buf, sizeof(buf), "%lld", (long long)v->whole);
		return set_text(v, PARAM_WHOLE, buf);
	}
	if (row->whole && text[strspn(text, "-+0123456789")] == '\0')
		return false;
	return row->real && parse_real(row, text, v);
}

/* What would have been taken, for the message. */
static const char *describe(const struct param_row *row, char *buf, size_t size)
{
	int len = 0;
	const char * or = "";

	if (row->truth)
		return "True or False";
	for (int i = 0; i < WORDS_MAX && row->words[i] != NULL; i++, or = " or ")
		len += snprintf(buf + len, size - (size_t)len, "%s%s", or, row->words[i]);
	if (row->whole && row->whole_hi == LLONG_MAX)
		len += snprintf(buf + len, size - (size_t)len, "%sa whole number from %lld", or,
				(long long)row->whole_lo);
	else if (row->whole)
		len += snprintf(buf + len, size - (size_t)len, "%sa whole number from %lld to %lld",
				or, (long long)row->whole_lo, (long long)row->whole_hi);
	if (row->whole)
		or = " or ";
	if (row->real)
		len += snprintf(buf + len, size - (size_t)len, "%sa %s %s %g %s %g", or,
				row->whole ? "fraction" : "number",
				row->real_from ? "from" : "above", row->real_above,
				row->real_open ? "and below" : "up to", row->real_to);
	if (row->none)
		(void)snprintf(buf + len, size - (size_t)len, " or None");
	return buf;
}

static int settle_algorithm(struct params *p)
{
	const struct param_said *first = NULL;

	p->algorithm = ALGORITHM_FOREST;
	for (size_t i = 0; i < p->said_count; i++) {
		const struct param_said *said = &p->said[i];
		size_t a = 0;

		if (strcmp(said->key, "algorithm") != 0)
			continue;
		while (a < ALGORITHM_COUNT && strcmp(algorithm_names[a], said->text) != 0)
			a++;
		if (a == ALGORITHM_COUNT)
			return fail(EINVAL,
				    "%s: algorithm is '%.60s', not forest, tree, logistic or knn",
				    said->where, said->text);
		if (first != NULL && a != (size_t)p->algorithm)
			return fail(EINVAL, "%s: algorithm is %s, but %s says %s", said->where,
				    said->text, first->where, first->text);
		p->algorithm = (enum algorithm_id)a;
		p->algorithm_logged = p->algorithm_logged || said->logged;
		first = said;
	}
	return 0;
}

static int settle_one(struct params *p, const struct param_said *said, enum param_id id,
		      const struct param_said **ret_first)
{
	const struct param_row *row = &rows[id];
	struct param_value *held = &p->value[id], value;
	char buf[256];

	if (row->defaults[p->algorithm] == NULL)
		return fail(EINVAL, "%s: %s is no parameter of %s", said->where, said->key,
			    algorithm_names[p->algorithm]);
	if (!parse_value(row, said->text, &value))
		return fail(EINVAL, "%s: %s is '%.60s', not %s", said->where, said->key, said->text,
			    describe(row, buf, sizeof(buf)));
	if (held->form != PARAM_ABSENT && strcmp(held->text, value.text) != 0)
		return fail(EINVAL, "%s: %s is %s, but %s says %s", said->where, said->key,
			    value.text, (*ret_first)->where, held->text);
	value.logged = said->logged || held->logged;
	*held = value;
	*ret_first = said;
	return 0;
}

int param_settle(struct params *p)
{
	const struct param_said *first[PARAM_COUNT] = { NULL };
	int rc = settle_algorithm(p);

	for (size_t i = 0; rc == 0 && i < p->said_count; i++) {
		for (size_t id = 0; rc == 0 && id < PARAM_COUNT; id++) {
			if (strcmp(rows[id].key, p->said[i].key) == 0)
				rc = settle_one(p, &p->said[i], (enum param_id)id, &first[id]);
		}
	}
	for (size_t id = 0; rc == 0 && id < PARAM_COUNT; id++) {
		const char *text = rows[id].defaults[p->algorithm];

		if (text != NULL && p->value[id].form == PARAM_ABSENT) {
			bool ok = parse_value(&rows[id], text, &p->value[id]);

			assert(ok);
			(void)ok;
		}
	}
	return rc;
}

size_t param_whole(const struct params *p, enum param_id id)
{
	const struct param_value *v = &p->value[id];

	if (v->form == PARAM_NONE)
		return SIZE_MAX;
	assert(v->form == PARAM_WHOLE || v->form == PARAM_TRUTH || v->form == PARAM_WORD);
	return (size_t)v->whole;
}

double param_real(const struct params *p, enum param_id id)
{
	assert(p->value[id].form == PARAM_REAL);
	return p->value[id].real;
}

double param_amount(const struct params *p, enum param_id id, size_t total)
{
	const struct param_value *v = &p->value[id];

	assert(v->form == PARAM_WHOLE || v->form == PARAM_REAL);
	return v->form == PARAM_WHOLE ? (double)v->whole : v->real * (double)total;
}

void param_release(struct params *p)
{
	for (size_t i = 0; i < p->said_count; i++) {
		free(p->said[i].key);
		free(p->said[i].text);
		free(p->said[i].where);
	}
	p->said_count = 0;
}
