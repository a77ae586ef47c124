/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of writing values: every rule of CONTRACT "Values", as tables of writes and what they answer.
 */
#include "tests/unit/run_fixture.h"

#include "store/meta/json.h"

#define NEW_RUN (rx_run(f))

/* A history without its times. */
static const char *points(struct fixture *f, uint32_t run, const char *key)
{
	static char out[65536];
	const char *text = rx_read(f, VALUE_RUN_HISTORY, run, key);
	size_t len = 0;

	for (const char *at = text; *at && len < sizeof(out) - 100;) {
		const char *tab = strchr(at, '\t'), *second = strchr(tab + 1, '\t'),
			   *end = strchr(second, '\n');

		len += (size_t)snprintf(out + len, sizeof(out) - len, "%.*s=%.*s ", (int)(tab - at),
					at, (int)(second - tab - 1), tab + 1);
		at = end + 1;
	}
	out[len ? len - 1 : 0] = '\0';
	return out;
}

/* --- lines ------------------------------------------------------------------------------------------------ */

struct step {
	const char *text; /* NULL: close */
	ssize_t answer;   /* -1: all of it */
};
struct line_case {
	const char *name;
	enum value_kind kind;
	struct step steps[6];
	const char *points;
};

static const struct line_case line_cases[] = {
	{ "one line", VALUE_RUN_METRIC, { { "0.5\n", -1 }, { NULL, 0 } }, "0=0.5" },
	{ "no newline", VALUE_RUN_METRIC, { { "0.5", -1 }, { NULL, 0 } }, "0=0.5" },
	{ "blanks and CR", VALUE_RUN_METRIC, { { "0.5 \t\r\n", -1 }, { NULL, 0 } }, "0=0.5" },
	{ "many lines",
	  VALUE_RUN_METRIC,
	  { { "1\n2\n3\n", -1 }, { "4\n", -1 }, { NULL, 0 } },
	  "0=1 1=2 2=3 3=4" },
	{ "provisional, then more of it",
	  VALUE_RUN_METRIC,
	  { { "1\n12", -1 }, { "3\n4\n", -1 }, { NULL, 0 } },
	  "0=1 1=123 2=4" },
	{ "provisional, then its newline",
	  VALUE_RUN_METRIC,
	  { { "12", -1 }, { "\n", -1 }, { NULL, 0 } },
	  "0=12" },
	{ "provisional, three pieces",
	  VALUE_RUN_METRIC,
	  { { "1", -1 }, { "2", -1 }, { "3", -1 }, { NULL, 0 } },
	  "0=123" },
	{ "held, then completed",
	  VALUE_RUN_METRIC,
	  { { "1\n2e", -1 }, { "1\n3\n", -1 }, { NULL, 0 } },
	  "0=1 1=20 2=3" },
	{ "held, refused at close",
	  VALUE_RUN_METRIC,
	  { { "1\n2e", -1 }, { NULL, -EINVAL } },
	  "0=1" },
	{ "alone and bad", VALUE_RUN_METRIC, { { "2e", -EINVAL }, { NULL, 0 } }, "" },
	{ "alone and bad, then good",
	  VALUE_RUN_METRIC,
	  { { "abc\n", -EINVAL }, { "7\n", -1 }, { NULL, 0 } },
	  "0=7" },
	{ "bad in the middle",
	  VALUE_RUN_METRIC,
	  { { "1\n2\nabc\n3\n", 4 }, { "abc\n3\n", -EINVAL }, { NULL, 0 } },
	  "0=1 1=2" },
	{ "bad at the end", VALUE_RUN_METRIC, { { "1\nabc\n", 2 }, { NULL, 0 } }, "0=1" },
	{ "what makes the provisional bad",
	  VALUE_RUN_METRIC,
	  { { "12", -1 }, { "x\n", -EINVAL }, { NULL, 0 } },
	  "0=12" },
	{ "provisional, then bad",
	  VALUE_RUN_METRIC,
	  { { "12", -1 }, { "\nx\n", 1 }, { NULL, 0 } },
	  "0=12" },
	{ "empty line", VALUE_RUN_METRIC, { { "\n", -EINVAL }, { NULL, 0 } }, "" },
	{ "words",
	  VALUE_RUN_METRIC,
	  { { "nan\ninf\n-inf\nNaN\nInfinity\n", -1 }, { NULL, 0 } },
	  "0=nan 1=inf 2=-inf 3=nan 4=inf" },
	{ "hexadecimal", VALUE_RUN_METRIC, { { "0x1p3\n", -1 }, { NULL, 0 } }, "0=8" },
	{ "out of range", VALUE_RUN_METRIC, { { "1e400\n", -EINVAL }, { NULL, 0 } }, "" },
	{ "comma", VALUE_RUN_METRIC, { { "1,5\n", -EINVAL }, { NULL, 0 } }, "" },
	{ "two numbers", VALUE_RUN_METRIC, { { "1 2\n", -EINVAL }, { NULL, 0 } }, "" },
	{ "history: value",
	  VALUE_RUN_HISTORY,
	  { { "0.5\n0.25\n", -1 }, { NULL, 0 } },
	  "0=0.5 1=0.25" },
	{ "history: step value",
	  VALUE_RUN_HISTORY,
	  { { "10 0.5\n0.25\n", -1 }, { NULL, 0 } },
	  "10=0.5 11=0.25" },
	{ "history: tabs",
	  VALUE_RUN_HISTORY,
	  { { "10\t0.5\t1700000000000\r\n", -1 }, { NULL, 0 } },
	  "10=0.5" },
	{ "history: out of order",
	  VALUE_RUN_HISTORY,
	  { { "5 5\n-3 3\n5 6\n0 0\n", -1 }, { NULL, 0 } },
	  "-3=3 0=0 5=5 5=6" },
	{ "history: four fields",
	  VALUE_RUN_HISTORY,
	  { { "1 2 3 4\n", -EINVAL }, { NULL, 0 } },
	  "" },
	{ "history: step is no integer",
	  VALUE_RUN_HISTORY,
	  { { "1.5 2\n", -EINVAL }, { NULL, 0 } },
	  "" },
	{ "history: time before 1970",
	  VALUE_RUN_HISTORY,
	  { { "1 2 -3\n", -EINVAL }, { NULL, 0 } },
	  "" },
	{ "history: empty line", VALUE_RUN_HISTORY, { { "1 2\n\n3 4\n", 4 }, { NULL, 0 } }, "1=2" },
	{ "history: provisional value becomes a step",
	  VALUE_RUN_HISTORY,
	  { { "7", -1 }, { " 0.5\n", -1 }, { NULL, 0 } },
	  "7=0.5" },
	{ "history: provisional with a time to come",
	  VALUE_RUN_HISTORY,
	  { { "7 0.5 17000", -1 }, { "00000000\n", -1 }, { NULL, 0 } },
	  "7=0.5" },
	{ "history: negative zero and tiny",
	  VALUE_RUN_HISTORY,
	  { { "-0.0\n5e-324\n", -1 }, { NULL, 0 } },
	  "0=-0 1=5e-324" },
};

static void test_lines(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(line_cases) / sizeof(line_cases[0]); i++) {
		const struct line_case *c = &line_cases[i];
		uint32_t run = NEW_RUN;
		struct value_writer *w = rx_open(f, c->kind, run, "m", false);

		for (const struct step *s = c->steps;; s++) {
			ssize_t want = s->answer == -1 ? (ssize_t)strlen(s->text) : s->answer;
			ssize_t got = s->text ? rx_put(w, s->text) : value_flush(w);

			if (got != want)
				fail_msg("%s: \"%s\" answered %zd, not %zd", c->name,
					 s->text ? s->text : "close", got, want);
			if (!s->text)
				break;
		}
		value_writer_free(w);
		if (strcmp(points(f, run, "m"), c->points) != 0)
			fail_msg("%s: the points are \"%s\", not \"%s\"", c->name,
				 points(f, run, "m"), c->points);
	}
}

/* stdio cuts at 4096 bytes wherever that is: what comes out is what went in, whatever the pieces. */
static void test_stdio_cuts(void **state)
{
	static const size_t pieces[] = { 1, 7, 512, 4096, 100000 };
	struct fixture *f = *state;
	SCOPED_BUF struct buf text = BUF_INIT;

	for (int i = 0; i < 3000; i++)
		buf_addf(&text, "%d %d.%04d %lld\n", i, i % 10, i % 9973 + 10,
			 1700000000000 + (long long)i);
	for (size_t k = 1; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
		uint32_t run = NEW_RUN;
		struct value_writer *w = rx_open(f, VALUE_RUN_HISTORY, run, "h", false);
		const char *got;
		size_t at = 0;

		for (size_t off = 0; off < text.len; off += pieces[k]) {
			size_t n = text.len - off < pieces[k] ? text.len - off : pieces[k];
			ssize_t answer = value_write(w, slice_of(text.data + off, n));

			if (answer == -EINVAL && n < 10)
				break; /* "1 2." alone in its write, a beginning that is bad as it stands */
			assert_int_equal(answer, n);
		}
		if (pieces[k] < 10) {
			value_writer_free(w);
			continue;
		}
		assert_int_equal(value_flush(w), 0);
		value_writer_free(w);
		got = rx_read(f, VALUE_RUN_HISTORY, run, "h");
		for (int i = 0; i < 3000; i++) {
			int step, used;
			double value;
			long long ms;

			assert_int_equal(
				sscanf(got + at, "%d\t%lf\t%lld\n%n", &step, &value, &ms, &used),
				3);
			assert_int_equal(step, i);
			assert_int_equal(ms, 1700000000000 + (long long)i);
			at += (size_t)used;
		}
		assert_int_equal(got[at], '\0');
	}
}

/* A provisional point of one descriptor, while another logs. */
static void test_two_writers(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_writer *a = rx_open(f, VALUE_RUN_METRIC, run, "m", true),
			    *b = rx_open(f, VALUE_RUN_METRIC, run, "m", true);

	assert_int_equal(rx_put(a, "1"), 1);
	assert_int_equal(rx_put(b, "5\n"), 2);
	assert_int_equal(rx_put(a, "0\n"), 2);
	assert_string_equal(points(f, run, "m"), "1=5 2=10");
	assert_int_equal(rx_put(a, "7"), 1);
	OK(f, metric_remove(f->m, run, rx_key(f, "m")));
	assert_int_equal(rx_put(a, "0\n"), 2);
	assert_string_equal(points(f, run, "m"), "0=70");
	value_writer_free(a);
	value_writer_free(b);
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void test_text(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_writer *w;
	static char big[9000];

	memset(big, 'x', sizeof(big));
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "t", "a\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "a\n");
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "t", "a\n\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "a\n\n");
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "t", "\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "\n");
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "t", " spaces stay \r\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), " spaces stay \r\n");
	/* One open...close. */
	w = rx_open(f, VALUE_RUN_TAG, run, "t", false);
	assert_int_equal(rx_put(w, "one\n"), 4);
	assert_int_equal(rx_put(w, "two\n"), 4);
	value_writer_free(w);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "one\ntwo\n");
	/* O_APPEND. */
	w = rx_open(f, VALUE_RUN_TAG, run, "t", true);
	assert_int_equal(rx_put(w, "three\n"), 6);
	value_writer_free(w);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "one\ntwo\nthree\n");
	/* A refused write leaves the old value. */
	w = rx_open(f, VALUE_RUN_TAG, run, "t", false);
	assert_int_equal(value_write(w, slice_of("a\0b", 3)), -EILSEQ);
	assert_int_equal(rx_put(w, "\xff\n"), -EILSEQ);
	assert_int_equal(rx_put(w, "caf\xc3"), -EILSEQ);
	assert_int_equal(value_write(w, slice_of(big, 8002)), -EFBIG);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "t"), "one\ntwo\nthree\n");
	big[8000] = '\n';
	assert_int_equal(value_write(w, slice_of(big, 8001)), 8001);
	big[8000] = 'x';
	assert_int_equal(rx_put(w, "y"), -EFBIG);
	value_writer_free(w);
	assert_int_equal(strlen(rx_read(f, VALUE_RUN_TAG, run, "t")), 8001);
	/* A character cut by stdio. */
	w = rx_open(f, VALUE_RUN_TAG, run, "u", false);
	memcpy(big + 4095, "\xc3\xa9", 2);
	assert_int_equal(value_write(w, slice_of(big, 4096)), 4096);
	assert_int_equal(strlen(rx_read(f, VALUE_RUN_TAG, run, "u")), 4096);
	assert_int_equal(value_write(w, slice_of(big + 4096, 4)), 4);
	assert_int_equal(strlen(rx_read(f, VALUE_RUN_TAG, run, "u")), 4101);
	value_writer_free(w);
	/* Opened and never written: nothing. */
	w = rx_open(f, VALUE_RUN_TAG, run, "never", false);
	assert_int_equal(value_flush(w), 0);
	assert_false(value_writer_wrote(w));
	value_writer_free(w);
	assert_false(rx_has(f, VALUE_RUN_TAG, run, "never"));
}

static void test_params(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_target lr = rx_target(f, VALUE_RUN_PARAM, run, "lr"),
			    fresh = rx_target(f, VALUE_RUN_PARAM, run, "fresh");
	struct value_writer *w;
	static char big[6100];

	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.15\n"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.15\n"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.15"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.2\n"), -EPERM);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.1\n"), -EPERM);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.15\n\n"), -EPERM);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.1"), -EPERM); /* at close */
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "lr", "0.155"), -EPERM);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "lr"), "0.15\n");
	/* The same in pieces: each goes on as the value does. */
	w = rx_open(f, VALUE_RUN_PARAM, run, "lr", false);
	assert_true(value_open_needs_flush(live(f), &lr));
	assert_int_equal(rx_put(w, "0."), 2);
	assert_int_equal(value_flush(w), -EPERM);
	assert_int_equal(rx_put(w, "15"), 2);
	assert_int_equal(rx_put(w, "\n"), 1);
	assert_int_equal(value_flush(w), 0);
	assert_int_equal(rx_put(w, "\n"), -EPERM);
	value_writer_free(w);
	/* Who makes it goes on with it. */
	w = rx_open(f, VALUE_RUN_PARAM, run, "note", false);
	assert_false(value_open_needs_flush(live(f), &fresh));
	assert_int_equal(rx_put(w, "a\n"), 2);
	assert_int_equal(rx_put(w, "b\n"), 2);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "note"), "a\nb\n");
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "note", "a\n"), -EPERM);
	/* Taken back and made by another in between: no longer ours. */
	OK(f, param_remove(f->m, run, rx_key(f, "note")));
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "note", "z\n"), 0);
	assert_int_equal(rx_put(w, "c\n"), -EPERM);
	value_writer_free(w);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "note"), "z\n");
	memset(big, 'p', sizeof(big));
	w = rx_open(f, VALUE_RUN_PARAM, run, "big", false);
	assert_int_equal(value_write(w, slice_of(big, 6002)), -EFBIG);
	assert_int_equal(value_write(w, slice_of(big, 6000)), 6000);
	value_writer_free(w);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "empty", "\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "empty"), "\n");
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "empty", "x\n"), -EPERM);
}

/* --- JSON ------------------------------------------------------------------------------------------------- */

struct json_case {
	const char *text;
	int answer;        /* of write, or of close */
	const char *shown; /* params.json then; NULL: {} */
};

static const struct json_case json_cases[] = {
	{ "{}", 0, NULL },
	{ "{\"a\": 1, \"b\": \"x\", \"c\": true, \"d\": null, \"e\": [1, {\"f\": 2}], \"g\": {}}",
	  0,
	  "{\n  \"a\": \"1\",\n  \"b\": \"x\",\n  \"c\": \"true\",\n  \"d\": \"null\",\n  \"e\": \"[1, {\\\"f\\\": 2}]\",\n  \"g\": \"{}\"\n}\n" },
	{ "{\"m\": {\"depth\": 3, \"sub\": {\"x\": 1e-3}}}\n", 0,
	  "{\n  \"m/depth\": \"3\",\n  \"m/sub/x\": \"1e-3\"\n}\n" },
	{ "{\"n\": 1718000000123456789, \"z\": 0.30000000000000004}", 0,
	  "{\n  \"n\": \"1718000000123456789\",\n  \"z\": \"0.30000000000000004\"\n}\n" },
	{ "{\"A\": 1, \"a\": 2}", 0, "{\n  \"A\": \"1\",\n  \"a\": \"2\"\n}\n" },
	{ "{\"u\": \"\\u00e9\\ud83d\\ude00\\n\"}", 0,
	  "{\n  \"u\": \"\xc3\xa9\xf0\x9f\x98\x80\\n\"\n}\n" },
	{ "{\"a\": 1, \"a\": 2}", -EINVAL, NULL },
	{ "{\"a/b\": 1, \"a\": {\"b\": 2}}", -EINVAL, NULL },
	{ "{\"a\": 01}", -EINVAL, NULL },
	{ "{\"a\": 1.}", -EINVAL, NULL },
	{ "{\"a\": 1,}", -EINVAL, NULL },
	{ "{\"a\" 1}", -EINVAL, NULL },
	{ "{a: 1}", -EINVAL, NULL },
	{ "{\"a\": 1} x", -EINVAL, "{\n  \"a\": \"1\"\n}\n" }, /* complete before; then refused */
	{ "[1]", -EINVAL, NULL },
	{ "{\"a\": 1", -EINVAL, NULL },
	{ "{\"a\": \"\\u0000\"}", -EILSEQ, NULL },
	{ "{\"a\": \"\\ud800\"}", -EINVAL, NULL },
	{ "{\"a\": \"\xff\"}", -EILSEQ, NULL },
	{ "{\"good\": 1, \"bad!\": 2}", -EINVAL, NULL },
	{ "{\"\": 1}", -EINVAL, NULL },
	{ "{\"a\": {\"..\": 1}}", -EINVAL, NULL },
};

static void test_json(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(json_cases) / sizeof(json_cases[0]); i++) {
		const struct json_case *c = &json_cases[i];

		for (size_t piece = 1; piece <= 64; piece *= 8) {
			uint32_t run = NEW_RUN;
			struct value_writer *w =
				rx_open(f, VALUE_RUN_PARAMS_JSON, run, NULL, false);
			size_t len = strlen(c->text);
			ssize_t rc = 0;

			for (size_t off = 0; off < len && rc >= 0; off += (size_t)rc)
				rc = value_write(w,
						 slice_of(c->text + off,
							  len - off < piece ? len - off : piece));
			if (rc >= 0)
				rc = value_flush(w);
			value_writer_free(w);
			if ((rc < 0 ? rc : 0) != c->answer)
				fail_msg("%s in pieces of %zu answered %zd, not %d", c->text, piece,
					 rc, c->answer);
			assert_string_equal(rx_read(f, VALUE_RUN_PARAMS_JSON, run, NULL),
					    c->shown ? c->shown : "{}\n");
		}
	}
}

static void test_json_metrics(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	SCOPED_BUF struct buf big = BUF_INIT;
	struct value_writer *w;

	assert_int_equal(
		rx_write(
			f, VALUE_RUN_METRICS_JSON, run, NULL,
			"{\"a\": 0.5, \"n\": NaN, \"i\": \"Infinity\", \"m\": -Infinity, \"s\": {\"x\": 1}}"),
		0);
	assert_int_equal(rx_write(f, VALUE_RUN_METRICS_JSON, run, NULL, "{\"a\": 0.75}\n"), 0);
	assert_string_equal(
		rx_read(f, VALUE_RUN_METRICS_JSON, run, NULL),
		"{\n  \"a\": 0.75,\n  \"i\": \"Infinity\",\n  \"m\": \"-Infinity\",\n  \"n\": \"NaN\",\n  \"s/x\": 1\n}\n");
	assert_string_equal(points(f, run, "a"), "0=0.5 1=0.75");
	assert_int_equal(
		rx_write(f, VALUE_RUN_METRICS_JSON, run, NULL, "{\"a\": 1, \"b\": \"half\"}"),
		-EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_METRICS_JSON, run, NULL, "{\"t\": \"0.5\"}"), 0);
	assert_string_equal(points(f, run, "t"), "0=0.5");
	assert_int_equal(rx_write(f, VALUE_RUN_METRICS_JSON, run, NULL, "{\"a\": 1, \"b\": true}"),
			 -EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_METRICS_JSON, run, NULL, "{\"a\": 1, \"b\": 1e400}"),
			 -EINVAL);
	assert_string_equal(points(f, run, "a"), "0=0.5 1=0.75");
	/* All or none: a param that is there already with another value. */
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "old", "1\n"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAMS_JSON, run, NULL, "{\"new\": 2, \"old\": 3}"),
			 -EPERM);
	assert_false(rx_has(f, VALUE_RUN_PARAM, run, "new"));
	/* Depth and size. */
	for (int i = 0; i < 70; i++)
		buf_add_str(&big, "{\"a\":");
	buf_add_str(&big, "1");
	for (int i = 0; i < 70; i++)
		buf_add_str(&big, "}");
	assert_int_equal(rx_write(f, VALUE_RUN_PARAMS_JSON, run, NULL, big.data), -EINVAL);
	buf_reset(&big);
	buf_add_str(&big, "{\"a\": \"");
	while (big.len < (1u << 20))
		buf_add_str(&big, "xxxxxxxxxxxxxxxx");
	w = rx_open(f, VALUE_RUN_TAGS_JSON, run, NULL, false);
	assert_int_equal(value_write(w, slice_of(big.data, 1u << 19)), 1 << 19);
	assert_int_equal(value_write(w, slice_of(big.data, (1u << 19) + 1)), -EFBIG);
	assert_int_equal(value_flush(w), -EINVAL);
	value_writer_free(w);
}

/* --- fields, frozen, trashed ------------------------------------------------------------------------------- */

static void test_fields(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN, other = NEW_RUN, experiment;

	OK(f, experiment_make(f->m, S("iris"), &me, &experiment));
	assert_int_equal(rx_write(f, VALUE_RUN_NAME, run, NULL, "first try\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_NAME, run, NULL), "first try\n");
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "mlflow.runName"), "first try\n");
	assert_int_equal(rx_write(f, VALUE_RUN_TAG, run, "mlflow.note.content", "because\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_DESCRIPTION, run, NULL), "because\n");
	assert_int_equal(rx_write(f, VALUE_RUN_DESCRIPTION, run, NULL, "\n"), 0);
	assert_false(rx_has(f, VALUE_RUN_TAG, run, "mlflow.note.content"));
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, run, NULL), "Default\n");
	assert_int_equal(rx_write(f, VALUE_RUN_EXPERIMENT, run, NULL, "iris\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_EXPERIMENT, run, NULL), "iris\n");
	assert_int_equal(rx_write(f, VALUE_RUN_EXPERIMENT, run, NULL, "no such\n"), -EINVAL);
	assert_string_equal(rx_read(f, VALUE_RUN_PARENT, run, NULL), "\n");
	assert_int_equal(rx_write(f, VALUE_RUN_PARENT, run, NULL, "2\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_PARENT, run, NULL), "2\n");
	assert_int_equal(rx_write(f, VALUE_RUN_PARENT, other, NULL, "1\n"), -EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_PARENT, run, NULL, "1\n"), -EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_PARENT, run, NULL, "99\n"), -EINVAL);
	assert_int_equal(strlen(rx_read(f, VALUE_RUN_TAG, run, "mlflow.parentRunId")), 33);
	assert_int_equal(rx_write(f, VALUE_RUN_PARENT, run, NULL, "\n"), 0);
	assert_false(rx_has(f, VALUE_RUN_TAG, run, "mlflow.parentRunId"));
	assert_int_equal(rx_write(f, VALUE_RUN_USER, run, NULL, "ann\n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_TAG, run, "mlflow.user"), "ann\n");
	assert_string_equal(rx_read(f, VALUE_RUN_END, run, NULL), "\n");
	assert_string_equal(rx_read(f, VALUE_RUN_DURATION, run, NULL), "\n");
	assert_int_equal(strlen(rx_read(f, VALUE_RUN_START, run, NULL)), 25);
	assert_int_equal(rx_write(f, VALUE_RUN_START, run, NULL, "x\n"), -EACCES);
	assert_int_equal(rx_write(f, VALUE_RUN_JSON, run, NULL, "x\n"), -EACCES);
	assert_int_equal(rx_write(f, VALUE_ALL_RUNS_CSV, 0, NULL, "x\n"), -EACCES);
	assert_int_equal(rx_write(f, VALUE_RUN_STATUS, run, NULL, "done\n"), -EINVAL);
	assert_int_equal(rx_write(f, VALUE_RUN_STATUS, run, NULL, " Finished \n"), 0);
	assert_string_equal(rx_read(f, VALUE_RUN_STATUS, run, NULL), "finished\n");
	assert_int_equal(rx_write(f, VALUE_EXPERIMENT_DESCRIPTION, experiment, NULL, "flowers\n"),
			 0);
	assert_string_equal(rx_read(f, VALUE_EXPERIMENT_DESCRIPTION, experiment, NULL),
			    "flowers\n");
	assert_int_equal(rx_write(f, VALUE_EXPERIMENT_TAG, experiment, "team/lead", "bo\n"), 0);
	assert_string_equal(rx_read(f, VALUE_EXPERIMENT_TAG, experiment, "team/lead"), "bo\n");
}

static void test_frozen(void **state)
{
	struct value_writer *user;
	static const struct {
		enum value_kind kind;
		const char *key, *text;
		int frozen;
	} all[] = {
		{ VALUE_RUN_NAME, NULL, "n\n", 0 },
		{ VALUE_RUN_DESCRIPTION, NULL, "d\n", 0 },
		{ VALUE_RUN_EXPERIMENT, NULL, "Default\n", 0 },
		{ VALUE_RUN_TAG, "t", "x\n", 0 },
		{ VALUE_RUN_TAGS_JSON, NULL, "{\"u\": 1}", 0 },
		{ VALUE_RUN_USER, NULL, "u\n", -EPERM },
		{ VALUE_RUN_PARENT, NULL, "\n", -EPERM },
		{ VALUE_RUN_PARAM, "p", "1\n", -EPERM },
		{ VALUE_RUN_PARAM, "old", "1\n", -EPERM },
		{ VALUE_RUN_METRIC, "m", "1\n", -EPERM },
		{ VALUE_RUN_HISTORY, "m", "1\n", -EPERM },
		{ VALUE_RUN_PARAMS_JSON, NULL, "{\"p\": 1}", -EPERM },
		{ VALUE_RUN_METRICS_JSON, NULL, "{\"p\": 1}", -EPERM },
	};
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_writer *w = rx_open(f, VALUE_RUN_METRIC, run, "m", false),
			    *v = rx_open(f, VALUE_RUN_PARAM, run, "late", false);
	struct value_target tag = rx_target(f, VALUE_RUN_TAG, run, "t"),
			    old = rx_target(f, VALUE_RUN_PARAM, run, "old");

	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "old", "1\n"), 0);
	assert_int_equal(rx_put(v, "a"), 1);
	user = rx_open(f, VALUE_RUN_USER, run, NULL, false);
	OK(f, run_set_status(f->m, run, RUN_FINISHED, 0));
	assert_int_equal(rx_put(user, "late\n"), -EPERM);
	value_writer_free(user);
	assert_int_equal(rx_put(w, "1\n"), -EPERM);
	assert_int_equal(rx_put(v, "b"), -EPERM);
	assert_non_null(strstr(err_reason(), "ended"));
	value_writer_free(w);
	value_writer_free(v);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (rx_write(f, all[i].kind, run, all[i].key, all[i].text) != all[i].frozen)
			fail_msg("row %zu", i);
	assert_int_equal(IN_BATCH(f, value_remove(f->m, &tag)), -EPERM);
	assert_int_equal(IN_BATCH(f, value_remove(f->m, &old)), -EPERM);
	OK(f, tag_remove(f->m, TAG_RUN, run, tag.key)); /* labfs set-tag --delete */
	OK(f, run_trash(f->m, run));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(rx_write(f, all[i].kind, run, all[i].key, all[i].text), -EPERM);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "old"), "1\n");
}

static void test_remove_and_rename(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_target a = rx_target(f, VALUE_RUN_PARAM, run, "a"),
			    b = rx_target(f, VALUE_RUN_PARAM, run, "b");
	struct value_target tag = rx_target(f, VALUE_RUN_TAG, run, "mlflow.runName"),
			    status = rx_target(f, VALUE_RUN_STATUS, run, NULL);
	struct value_target m = rx_target(f, VALUE_RUN_METRIC, run, "m"),
			    h = rx_target(f, VALUE_RUN_HISTORY, run, "m");

	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "a", "1\n"), 0);
	OK(f, value_rename(f->m, &a, &b));
	assert_false(rx_has(f, VALUE_RUN_PARAM, run, "a"));
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "b"), "1\n");
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "a", "2\n"), 0);
	assert_int_equal(IN_BATCH(f, value_rename(f->m, &a, &b)), -EPERM);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAM, run, "a"), "2\n");
	assert_int_equal(IN_BATCH(f, value_rename(f->m, &a, &tag)), -EPERM);
	OK(f, value_remove(f->m, &a));
	assert_int_equal(IN_BATCH(f, value_remove(f->m, &a)), -ENOENT);
	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "a", "3\n"), 0);
	OK(f, value_remove(f->m, &tag));
	assert_string_equal(rx_read(f, VALUE_RUN_NAME, run, NULL), "\n");
	assert_int_equal(IN_BATCH(f, value_remove(f->m, &status)), -EPERM);
	assert_int_equal(rx_write(f, VALUE_RUN_METRIC, run, "m", "1\n2\n"), 0);
	OK(f, value_remove(f->m, &h));
	assert_false(rx_has(f, VALUE_RUN_METRIC, run, "m"));
	assert_int_equal(IN_BATCH(f, value_remove(f->m, &m)), -ENOENT);
	assert_non_null(strstr(
		rx_read(f, VALUE_RUN_JSON, run, NULL),
		"\"taken_back\": [\n    {\n      \"kind\": \"param\",\n      \"key\": \"a\",\n      \"value\": \"1\""));
}

static void test_times(void **state)
{
	struct fixture *f = *state;
	uint32_t run = NEW_RUN;
	struct value_target p = rx_target(f, VALUE_RUN_PARAM, run, "p"),
			    m = rx_target(f, VALUE_RUN_METRIC, run, "m"),
			    name = rx_target(f, VALUE_RUN_NAME, run, NULL);
	int64_t before = clock_now_ms(), at = 0;

	assert_int_equal(rx_write(f, VALUE_RUN_PARAM, run, "p", "1\n"), 0);
	assert_int_equal(rx_write(f, VALUE_RUN_METRIC, run, "m", "1\n"), 0);
	assert_int_equal(value_mtime_ms(live(f), &p, &at), 0);
	assert_true(at >= before && at <= clock_now_ms());
	assert_int_equal(value_mtime_ms(live(f), &m, &at), 0);
	assert_true(at >= before && at <= clock_now_ms());
	assert_int_equal(value_mtime_ms(live(f), &name, &at), 0);
	assert_true(at >= before && at <= clock_now_ms());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_stdio_cuts, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_two_writers, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_text, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_params, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_json, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_json_metrics, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_fields, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_frozen, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_remove_and_rename, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_times, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
