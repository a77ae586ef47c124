/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/clock.h"

#include <stdio.h>
#include <time.h>

#define MS_PER_DAY INT64_C(86400000)

static int64_t now_ns(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_now_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

int64_t clock_now_ms(void)
{
	return now_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_mono_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000;
}

/* Days since 1970-01-01 to a proleptic Gregorian date: H. Hinnant, "chrono-compatible low-level date algorithms". */
static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int64_t)yoe + era * 400 + (*month <= 2);
}

size_t clock_format_ms(int64_t ms, char out[CLOCK_TEXT_MAX])
{
	int64_t days = ms / MS_PER_DAY, year;
	unsigned rest, month, day;
	int n;

	if (ms % MS_PER_DAY < 0)
		days--;
	rest = (unsigned)(ms % MS_PER_DAY < 0 ? ms % MS_PER_DAY + MS_PER_DAY : ms % MS_PER_DAY);
	civil_from_days(days, &year, &month, &day);
	n = snprintf(out, CLOCK_TEXT_MAX, "%04lld-%02u-%02uT%02u:%02u:%02u.%03uZ", (long long)year,
		     month, day, rest / 3600000, rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
	return n < 0 ? 0 : n >= CLOCK_TEXT_MAX ? CLOCK_TEXT_MAX - 1 : (size_t)n;
}
