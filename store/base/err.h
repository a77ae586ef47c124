/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - the one error scheme: 0 or a count on success, -errno on failure, and a human reason beside it.
 *
 * The reason is kept per thread.  A function that refuses something records why where the refusal is
 * born, with the name of the object; front-ends read it when they convert the number at their border.
 */
#ifndef STORE_BASE_ERR_H
#define STORE_BASE_ERR_H

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* Record the reason for RC (a negative errno) on this thread, replacing any earlier one; returns RC. */
int err_set(int rc, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The reason of the last err_set() on this thread, "" when none.  Valid until the next err_* call. */
const char *err_reason(void);

/* Forget this thread's reason.  Front-ends call it before each request. */
void err_clear(void);

/* The reason if there is one, else strerror(-RC).  Valid as err_reason(). */
const char *err_text(int rc);

#endif
