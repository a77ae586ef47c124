/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "store/base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t window_start;   /* protected by lock */
static int window_lines;       /* protected by lock */
static unsigned long left_out; /* protected by lock */

/* May a line be written now?  *RET_MISSED: lines left out before it. */
static bool admit(unsigned long *ret_missed)
{
	int64_t now = clock_mono_ms();
	bool yes;

	pthread_mutex_lock(&lock);
	if (window_start == 0 || now - window_start >= LOG_WINDOW_MS) {
		window_start = now;
		window_lines = 0;
	}
	yes = window_lines < LOG_BURST;
	*ret_missed = 0;
	if (yes) {
		window_lines++;
		*ret_missed = left_out;
		left_out = 0;
	} else {
		left_out++;
	}
	pthread_mutex_unlock(&lock);
	return yes;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = {
		[LOG_ERROR] = "error",
		[LOG_WARN] = "warning",
	};
	int saved = errno;
	unsigned long missed;
	char line[1024];
	va_list ap;
	int n, more;

	if (!admit(&missed))
		return;
	if (missed)
		dprintf(STDERR_FILENO, "labfs: warning: %lu lines left out\n", missed);
	n = snprintf(line, sizeof(line), "labfs: %s: ", prefix[level]);
	va_start(ap, fmt);
	more = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (more > 0)
		n += more;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	/* One write, so that lines of several threads do not mix; there is nobody to tell when it fails. */
	while (write(STDERR_FILENO, line, (size_t)n) < 0 && errno == EINTR)
		;
	errno = saved;
}
