/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param - the hyperparameters: scikit-learn's names and meaning, ranges, and which algorithm has
 * which.
 *
 * Values come from several places (the run's params/, a file, the command line) in any order.
 * First all are collected as text with where each was said, then param_settle() decides the
 * algorithm, refuses what is unknown, out of range or said twice differently, and fills in the
 * defaults.
 */
#ifndef TRAINER_PARAM_H
#define TRAINER_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/fail.h"

enum algorithm_id {
	ALGORITHM_FOREST,
	ALGORITHM_TREE,
	ALGORITHM_LOGISTIC,
	ALGORITHM_KNN,
	ALGORITHM_COUNT
};

enum param_id {
	PARAM_N_ESTIMATORS,
	PARAM_MAX_DEPTH,
	PARAM_MIN_SAMPLES_SPLIT,
	PARAM_MIN_SAMPLES_LEAF,
	PARAM_MAX_FEATURES,
	PARAM_BOOTSTRAP,
	PARAM_C,
	PARAM_LEARNING_RATE,
	PARAM_MAX_ITER,
	PARAM_BATCH_SIZE,
	PARAM_MOMENTUM,
	PARAM_N_NEIGHBORS,
	PARAM_WEIGHTS,
	PARAM_RANDOM_STATE,
	PARAM_COUNT
};

enum { PARAM_TEXT_MAX = 63, PARAM_SAID_MAX = 256 };

enum param_form { PARAM_ABSENT, PARAM_NONE, PARAM_WHOLE, PARAM_REAL, PARAM_TRUTH, PARAM_WORD };

struct param_value {
	enum param_form form;
	int64_t whole;                 /* WHOLE; TRUTH 0 or 1; WORD: which of the words */
	double real;                   /* REAL */
	char text[PARAM_TEXT_MAX + 1]; /* as it is logged */
	bool logged;                   /* came from the run, stands there already */
};

struct param_said {
	char *key, *text, *where; /* WHERE: "params.yaml:3", "--max-depth" */
	bool logged;
};

struct params {
	enum algorithm_id algorithm;
	bool algorithm_logged;
	struct param_value value[PARAM_COUNT]; /* ABSENT where the algorithm has no such */
	size_t said_count;
	struct param_said said[PARAM_SAID_MAX];
};

#define SCOPED_PARAMS __attribute__((cleanup(param_release)))

/* Is KEY a hyperparameter of any algorithm, or "algorithm"? */
bool param_known(const char *key);

/* The keys' names and one line on each, for --help. */
const char *param_key(enum param_id id);
const char *param_help(enum param_id id);
const char *param_algorithm_name(enum algorithm_id id);

/* What KEY has as default for the algorithm; NULL if it is none of its parameters. */
const char *param_default(enum algorithm_id algorithm, enum param_id id);

MUST_CHECK int param_say(struct params *p, const char *key, const char *text, const char *where,
			 bool logged);
MUST_CHECK int param_settle(struct params *p);

/* Asserts that the form is there; max_depth's None is SIZE_MAX. */
size_t param_whole(const struct params *p, enum param_id id);
double param_real(const struct params *p, enum param_id id);

/* A count as it is, a fraction of TOTAL as a count not rounded yet. */
double param_amount(const struct params *p, enum param_id id, size_t total);

void param_release(struct params *p);

#endif
