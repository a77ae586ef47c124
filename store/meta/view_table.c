/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of runs: runs.csv and runs.tsv.  Two passes over the runs: the first finds the columns, the second prints rows.  Memory is bounded
 * by the number of different keys, not of runs.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/base/clock.h"
#include "store/base/num.h"
#include "store/base/text.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/param.h"
#include "store/meta/rows.h"
#include "store/meta/value_internal.h"

#define PIECE (64u << 10)

enum { SPACES = 3 };
static const enum key_space spaces[SPACES] = { KEYS_PARAM, KEYS_METRIC, KEYS_TAG };
static const char *const prefixes[SPACES] = { "params.", "metrics.", "tags." };

struct column {
	uint32_t key;
	struct slice text; /* borrowed from the view, which does not change while we print */
};

struct columns {
	struct column *at;
	size_t count, max;
	uint32_t *of_key; /* key id -> column + 1, 0 none */
	size_t of_key_max;
	struct slice *cells; /* of the row being printed; data NULL: none */
};

struct table {
	struct kv_view *view;
	struct view_out *out;
	bool tsv, all;
	uint32_t experiment;
	struct columns columns[SPACES];
	struct columns *now; /* the space being scanned */
	uint32_t run;
	bool failed; /* out of memory */
};

/* --- first pass ------------------------------------------------------------------------------------------- */

static int columns_map(struct columns *c, uint32_t key)
{
	size_t want = c->of_key_max ? c->of_key_max : 64;
	uint32_t *more;

	if (key < c->of_key_max)
		return 0;
	while (want <= key)
		want *= 2;
	more = realloc(c->of_key, want * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + c->of_key_max, 0, (want - c->of_key_max) * sizeof(*more));
	c->of_key = more;
	c->of_key_max = want;
	return 0;
}

static int column_found(void *arg, struct slice rest, struct slice value)
{
	struct table *t = arg;
	struct columns *c = t->now;
	uint32_t key = meta_key_read_u32(rest, 0);
	int rc = columns_map(c, key);

	(void)value;
	if (rc < 0 || c->of_key[key])
		return rc;
	if (c->count == c->max) {
		size_t want = c->max ? c->max * 2 : 32;
		struct column *more = realloc(c->at, want * sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->at = more;
		c->max = want;
	}
	rc = key_text(t->view, key, &c->at[c->count].text);
	if (rc < 0)
		return rc == -ENOENT ? err_set(-EBADMSG, "key %u has lost its text", key) : rc;
	c->at[c->count++].key = key;
	c->of_key[key] = (uint32_t)c->count;
	return 0;
}

/* Call EMIT for every value of a run in space I. */
static int each_value(struct table *t, size_t i, uint32_t run,
		      int (*emit)(void *arg, struct slice rest, struct slice value))
{
	static const uint8_t tables[SPACES] = { TABLE_PARAM, TABLE_METRIC, TABLE_TAG };
	struct meta_key prefix = { .len = 0 };

	if (spaces[i] == KEYS_TAG)
		meta_key_u8(&prefix, TAG_RUN);
	meta_key_u32(&prefix, run);
	t->now = &t->columns[i];
	t->run = run;
	return rows_each(t->view, tables[i], meta_key_slice(&prefix), slice_of(NULL, 0), emit, t);
}

static int find_columns(void *arg, const struct run *run)
{
	struct table *t = arg;
	int rc = 0;

	for (size_t i = 0; i < SPACES && rc == 0; i++)
		rc = each_value(t, i, run->number, column_found);
	return rc;
}

static int compare_columns(const void *a, const void *b)
{
	const struct column *x = a, *y = b;
	int c = memcmp(x->text.data, y->text.data,
		       x->text.len < y->text.len ? x->text.len : y->text.len);

	return c ? c : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static int sort_columns(struct columns *c)
{
	if (c->count)
		qsort(c->at, c->count, sizeof(*c->at), compare_columns);
	for (size_t i = 0; i < c->count; i++)
		c->of_key[c->at[i].key] = (uint32_t)i + 1;
	c->cells = calloc(c->count ? c->count : 1, sizeof(*c->cells));
	return c->cells ? 0 : -ENOMEM;
}

/* --- second pass ------------------------------------------------------------------------------------------ */

static void cell(struct table *t, struct slice text, bool first)
{
	struct buf *out = &t->out->buf;

	if (!first)
		buf_add_ch(out, t->tsv ? '\t' : ',');
	if (t->tsv)
		text_add_tsv(out, text);
	else
		text_add_csv(out, text);
}

static void head(struct table *t)
{
	static const char *const fixed[] = { "id",    "name", "experiment", "status",
					     "start", "end",  "duration" };
	SCOPED_BUF struct buf name = BUF_INIT;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (i != 2 || t->all)
			cell(t, slice_str(fixed[i]), i == 0);
	for (size_t i = 0; i < SPACES; i++) {
		for (size_t k = 0; k < t->columns[i].count; k++) {
			buf_reset(&name);
			buf_add_str(&name, prefixes[i]);
			buf_add_slice(&name, t->columns[i].at[k].text);
			cell(t, buf_slice(&name), false);
		}
	}
	t->failed |= name.failed;
	buf_add_ch(&t->out->buf, '\n');
}

/* Keep where the value is: behind the time when it was logged; a metric's is looked up when printed. */
static int value_found(void *arg, struct slice rest, struct slice value)
{
	struct table *t = arg;
	uint32_t key = meta_key_read_u32(rest, 0);
	struct unpack u = unpack_init(value);

	if (key >= t->now->of_key_max || !t->now->of_key[key])
		return 0;
	(void)unpack_i64(&u);
	t->now->cells[t->now->of_key[key] - 1] = u.bad ? slice_of("", 0) : slice_of(u.at, u.left);
	return 0;
}

static int print_cells(struct table *t, size_t i, uint32_t run)
{
	struct columns *c = &t->columns[i];

	for (size_t k = 0; k < c->count; k++) {
		char number[NUM_TEXT_MAX];
		struct metric m;
		int rc;

		if (c->cells[k].data && spaces[i] == KEYS_METRIC) {
			rc = metric_get(t->view, run, c->at[k].key, &m);
			if (rc < 0)
				return rc;
			c->cells[k] = slice_of(number, num_format_double(m.latest.value, number));
		}
		cell(t, c->cells[k], false);
	}
	return 0;
}

static void time_cell(struct table *t, int64_t ms)
{
	char text[CLOCK_TEXT_MAX];

	cell(t, slice_of(text, ms ? clock_format_ms(ms, text) : 0), false);
}

static int print_run(void *arg, const struct run *run)
{
	struct table *t = arg;
	char number[NUM_TEXT_MAX];
	struct experiment e;
	int rc = 0;

	cell(t, run->id, true);
	cell(t, run->name, false);
	if (t->all)
		cell(t,
		     experiment_get(t->view, run->experiment, &e) == 0 ? e.name : slice_of(NULL, 0),
		     false);
	cell(t, slice_str(run_status_name(run->status)), false);
	time_cell(t, run->start_ms);
	time_cell(t, run->end_ms);
	cell(t,
	     slice_of(number,
		      run->end_ms ? num_format_double((double)run->duration_ms / 1000, number) : 0),
	     false);
	for (size_t i = 0; i < SPACES && rc == 0; i++) {
		memset(t->columns[i].cells, 0, t->columns[i].count * sizeof(struct slice));
		rc = each_value(t, i, run->number, value_found);
		if (rc == 0)
			rc = print_cells(t, i, run->number);
	}
	buf_add_ch(&t->out->buf, '\n');
	return rc < 0 ? rc : view_flush(t->out, PIECE);
}

static int each_run(struct table *t, int (*emit)(void *arg, const struct run *run))
{
	return t->all ? run_each(t->view, 0, emit, t)
		      : run_each_in(t->view, t->experiment, 0, emit, t);
}

int view_table(struct kv_view *view, const struct value_target *target, struct view_out *out)
{
	struct table t = { .view = view, .out = out, .experiment = target->owner };
	int rc;

	t.tsv = target->kind == VALUE_EXPERIMENT_RUNS_TSV || target->kind == VALUE_ALL_RUNS_TSV;
	t.all = target->kind == VALUE_ALL_RUNS_CSV || target->kind == VALUE_ALL_RUNS_TSV;
	rc = value_exists(view, target);
	if (rc == 0)
		rc = each_run(&t, find_columns);
	for (size_t i = 0; i < SPACES && rc == 0; i++)
		rc = sort_columns(&t.columns[i]);
	if (rc == 0)
		head(&t);
	if (rc == 0)
		rc = t.failed ? -ENOMEM : each_run(&t, print_run);
	for (size_t i = 0; i < SPACES; i++) {
		free(t.columns[i].at);
		free(t.columns[i].of_key);
		free(t.columns[i].cells);
	}
	return rc;
}
