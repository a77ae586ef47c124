/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one line to stderr, for what nobody is there to be told: a background failure, a repair.  Any thread.
 * What a caller can be told goes to err_set() instead.  A flood is cut off after LOG_BURST lines in LOG_WINDOW_MS;
 * how many lines were left out is said when the flood ends.
 */
#ifndef STORE_BASE_LOG_H
#define STORE_BASE_LOG_H

#include "store/base/err.h"

#define LOG_BURST     30
#define LOG_WINDOW_MS 10000

enum log_level { LOG_ERROR, LOG_WARN };

/* FMT without a newline.  Keeps errno. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)

#endif
