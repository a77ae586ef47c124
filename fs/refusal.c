/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal - a ring of lines.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/refusal.h"
#include "store/base/clock.h"
#include "store/base/text.h"

struct refusals {
	char *line[REFUSALS_KEPT];
	uint64_t count;
};

int refusals_new(struct refusals **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void refusals_free(struct refusals *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < REFUSALS_KEPT; i++)
		free(r->line[i]);
	free(r);
}

void refusals_add(struct refusals *r, const char *op, const char *path, int rc, const char *reason)
{
	SCOPED_BUF struct buf line = BUF_INIT;
	char **slot = &r->line[r->count % REFUSALS_KEPT];
	const char *name = strerrorname_np(-rc);
	char when[CLOCK_TEXT_MAX];

	clock_format_ms(clock_now_ms(), when);
	buf_addf(&line, "%s %s ", when, op);
	text_add_tsv(&line, slice_str(path));
	buf_addf(&line, " %s: ", name ? name : "?");
	text_add_tsv(&line, slice_str(reason));
	buf_add_ch(&line, '\n');
	if (buf_err(&line))
		return;
	free(*slot);
	*slot = buf_detach(&line);
	r->count++;
}

void refusals_text(const struct refusals *r, struct buf *out)
{
	uint64_t first = r->count > REFUSALS_KEPT ? r->count - REFUSALS_KEPT : 0;

	for (uint64_t i = first; i < r->count; i++)
		buf_add_str(out, r->line[i % REFUSALS_KEPT]);
}

uint64_t refusals_count(const struct refusals *r)
{
	return r->count;
}
