/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fail - the one reason why a command could not do its work.
 *
 * Functions of the trainer return 0 or -errno.  Whoever finds the fault says so here, once, in
 * words ("FILE:LINE: reason"); callers pass the number up and main() prints the sentence.  One
 * thread.
 */
#ifndef TRAINER_FAIL_H
#define TRAINER_FAIL_H

#include <stdbool.h>

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* Keep the sentence (control bytes become '?', so it stays one line); returns -ERRNUM. */
int fail(int errnum, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same for a command typed wrongly: main() exits 2 instead of 1.  Returns -EINVAL. */
int fail_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The sentence last kept, "" at first.  Borrowed. */
const char *fail_text(void);
bool fail_is_usage(void);

#endif
