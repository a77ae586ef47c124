/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_dir - a run as a directory: params/, metrics/, history/, tags/, artifacts/, status.
 *
 * On a labfs mount these are there and mean what the contract says; in an ordinary folder they are
 * made and kept by the same rules: one value a file with a newline at its end, a param is written
 * once, a history is appended to.  A key with a slash lies in a subdirectory.  `finished` is for
 * others to say.
 */
#ifndef TRAINER_RUN_DIR_H
#define TRAINER_RUN_DIR_H

#include "trainer/curve.h"
#include "trainer/param.h"
#include "trainer/score.h"

/* Say what RUN/params holds to P; a run or params/ that is not there says nothing. */
MUST_CHECK int run_dir_read_params(const char *run, struct params *p);

/* Make RUN and its directories where they are missing. */
MUST_CHECK int run_dir_make(const char *run);

/*
 * Log the algorithm and all its parameters, or, if any stands there with another value, none of
 * them.
 */
MUST_CHECK int run_dir_log_params(const char *run, const struct params *p);

/* Append each curve to history/KEY; metrics/KEY then has its last value. */
MUST_CHECK int run_dir_log_curves(const char *run, const struct curves *c);

MUST_CHECK int run_dir_log_metrics(const char *run, const struct score *s);

/*
 * status = failed, unless there is no such run or it has ended; errors have nobody left to be told
 * to.
 */
void run_dir_fail(const char *run);

#endif
