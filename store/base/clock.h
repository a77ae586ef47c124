/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - wall-clock time as the store keeps it: signed nanoseconds (files) or milliseconds (runs) since the Unix epoch, UTC.
 */
#ifndef STORE_BASE_CLOCK_H
#define STORE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_MAX 32

int64_t clock_now_ns(void); /* CLOCK_REALTIME */
int64_t clock_now_ms(void);
int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, for intervals */

/* RFC 3339 UTC with milliseconds and Z: 2026-01-02T03:04:05.678Z.  Returns the length. */
size_t clock_format_ms(int64_t ms, char out[CLOCK_TEXT_MAX]);

#endif
