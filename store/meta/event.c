/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events (meta.h): a ring of the newest EVENTS_MAX lines.  Numbers start at 1 and are those of this process.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/text.h"
#include "store/meta/meta_internal.h"

#define EVENTS_MAX 4096u

struct events {
	uint64_t next; /* number of the next event */
	void (*listener)(void *arg);
	void *listener_arg;
	struct buf lines[EVENTS_MAX]; /* of event n at n % EVENTS_MAX */
};

int events_new(struct events **ret)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->next = 1;
	*ret = e;
	return 0;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < EVENTS_MAX; i++)
		buf_release(&e->lines[i]);
	free(e);
}

void event_emit(struct meta *m, const char *what, ...)
{
	struct events *e = m->state ? m->state->events : NULL;
	char now[CLOCK_TEXT_MAX];
	struct buf *line;
	const char *name;
	va_list ap;

	if (!e)
		return; /* meta_create */
	line = &e->lines[e->next % EVENTS_MAX];
	buf_reset(line);
	clock_format_ms(clock_now_ms(), now);
	buf_addf(line, "{\"n\":%llu,\"time\":\"%s\",\"event\":", (unsigned long long)e->next, now);
	text_add_json(line, slice_str(what));
	va_start(ap, what);
	while ((name = va_arg(ap, const char *)) != NULL) {
		const char *value = va_arg(ap, const char *);

		buf_add_ch(line, ',');
		text_add_json(line, slice_str(name));
		buf_add_ch(line, ':');
		text_add_json(line, slice_str(value ? value : ""));
	}
	va_end(ap);
	buf_add_str(line, "}\n");
	if (buf_err(line) < 0)
		buf_reset(line); /* an event lost for want of memory */
	e->next++;
	if (e->listener)
		e->listener(e->listener_arg);
}

void event_read(struct meta *m, uint64_t *cursor, struct buf *out)
{
	struct events *e = m->state->events;
	uint64_t oldest = e->next > EVENTS_MAX ? e->next - EVENTS_MAX : 1;

	if (*cursor == 0)
		*cursor = e->next;
	if (*cursor < oldest) {
		buf_addf(out, "{\"event\":\"events.lost\",\"count\":%llu}\n",
			 (unsigned long long)(oldest - *cursor));
		*cursor = oldest;
	}
	for (; *cursor < e->next; ++*cursor)
		buf_add_slice(out, buf_slice(&e->lines[*cursor % EVENTS_MAX]));
}

void event_set_listener(struct meta *m, void (*listener)(void *arg), void *arg)
{
	m->state->events->listener = listener;
	m->state->events->listener_arg = arg;
}
