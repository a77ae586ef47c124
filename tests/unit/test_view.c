/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: CSV, TSV and JSON of runs, byte for byte; many runs in little memory.
 */
#include "tests/unit/run_fixture.h"

#include "store/base/clock.h"
#include "store/base/hash.h"

#define START 1700000000000

/* A run whose every cell is known. */
static uint32_t known_run(struct fixture *f, const char *name)
{
	uint32_t run = rx_run(f);

	OK(f, run_set_start(f->m, run, START));
	OK(f, run_set_name(f->m, run, S(name)));
	OK(f, run_set_user(f->m, run, S("ann")));
	return run;
}

static void log_at(struct fixture *f, uint32_t run, const char *key, int64_t step, double value)
{
	struct metric_point p = { step, value, START + step, { 0 }, { 0 }, { 0 } };

	OK(f, metric_log(f->m, run, S(key), &p, 1));
}

static void make_runs(struct fixture *f)
{
	uint32_t a = known_run(f, "plain"), b = known_run(f, "odd, \"quoted\"\ttab"),
		 c = known_run(f, "empty");

	OK(f, param_log(f->m, a, S("lr"), S("0.1")));
	OK(f, param_log(f->m, a, S("Zeta"), S("z")));
	OK(f, param_log(f->m, b, S("lr"), S("1,5\n\\x")));
	log_at(f, a, "loss/train", 0, 0.5);
	log_at(f, a, "loss/train", 1, 0.25);
	log_at(f, b, "acc", 3, NAN);
	log_at(f, b, "loss/train", 7, 1e-7);
	OK(f, tag_set(f->m, TAG_RUN, b, S("note"), S("")));
	OK(f, run_set_status(f->m, a, RUN_FINISHED, START + 1500));
	OK(f, run_set_status(f->m, c, RUN_FAILED, START));
}

static void test_csv(void **state)
{
	struct fixture *f = *state;
	uint32_t trashed;

	make_runs(f);
	trashed = known_run(f, "trashed");
	OK(f, param_log(f->m, trashed, S("only here"), S("1")));
	OK(f, run_trash(f->m, trashed));
	assert_string_equal(
		rx_read(f, VALUE_EXPERIMENT_RUNS_CSV, EXPERIMENT_DEFAULT, NULL),
		"id,name,status,start,end,duration,params.Zeta,params.lr,metrics.acc,metrics.loss/train,tags.mlflow.runName,tags.mlflow.user,tags.note\n"
		"1,plain,finished,2023-11-14T22:13:20.000Z,2023-11-14T22:13:21.500Z,1.5,z,0.1,,0.25,plain,ann,\n"
		"2,\"odd, \"\"quoted\"\"\ttab\",running,2023-11-14T22:13:20.000Z,,,,\"1,5\n\\x\",nan,1e-07,\"odd, \"\"quoted\"\"\ttab\",ann,\n"
		"3,empty,failed,2023-11-14T22:13:20.000Z,2023-11-14T22:13:20.000Z,0,,,,,empty,ann,\n");
	assert_string_equal(
		rx_read(f, VALUE_ALL_RUNS_TSV, 0, NULL),
		"id\tname\texperiment\tstatus\tstart\tend\tduration\tparams.Zeta\tparams.lr\tmetrics.acc\tmetrics.loss/train\t"
		"tags.mlflow.runName\ttags.mlflow.user\ttags.note\n"
		"1\tplain\tDefault\tfinished\t2023-11-14T22:13:20.000Z\t2023-11-14T22:13:21.500Z\t1.5\tz\t0.1\t\t0.25\tplain\tann\t\n"
		"2\todd, \"quoted\"\\ttab\tDefault\trunning\t2023-11-14T22:13:20.000Z\t\t\t\t1,5\\n\\\\x\tnan\t1e-07\todd, \"quoted\"\\ttab\tann\t\n"
		"3\tempty\tDefault\tfailed\t2023-11-14T22:13:20.000Z\t2023-11-14T22:13:20.000Z\t0\t\t\t\t\tempty\tann\t\n");
}

static void test_empty_tables(void **state)
{
	struct fixture *f = *state;
	struct value_target t = { VALUE_EXPERIMENT_RUNS_CSV, 77, 0 };

	assert_string_equal(rx_read(f, VALUE_ALL_RUNS_CSV, 0, NULL),
			    "id,name,experiment,status,start,end,duration\n");
	assert_string_equal(rx_read(f, VALUE_EXPERIMENT_RUNS_TSV, EXPERIMENT_DEFAULT, NULL),
			    "id\tname\tstatus\tstart\tend\tduration\n");
	assert_int_equal(value_exists(live(f), &t), -ENOENT);
}

static void test_run_json(void **state)
{
	struct fixture *f = *state;
	uint32_t parent = known_run(f, "parent"), run = known_run(f, "child"), entry = 0, n = 0;
	char uuid[33], changed[CLOCK_TEXT_MAX], parent_uuid[33], linked[CLOCK_TEXT_MAX] = "";
	struct version v;
	struct run r;
	const char *text, *at;
	SCOPED_BUF struct buf want = BUF_INIT;

	OK(f, run_set_parent(f->m, run, parent));
	OK(f, param_log(f->m, run, S("p"), S("\"q\"")));
	log_at(f, run, "m", 0, 2);
	log_at(f, run, "m", 1, (double)INFINITY);
	OK(f, entry_make_head(f->m, ENTRY_DATA, S("iris.csv"), S_IFREG | 0644, &me, &entry));
	OK(f, entry_cut(f->m, entry, S("raw"), 0, &me, &n));
	assert_int_equal(version_get(live(f), entry, n, &v), 0);
	OK(f, lineage_add(f->m, run, LINEAGE_INPUT, v.serial, LINEAGE_BY_HAND));
	OK(f, input_add(f->m, run,
			&(struct input){ .name = S("iris"),
					 .digest = S("abc"),
					 .source_type = S("local"),
					 .source = S("{}"),
					 .context = S("training") }));
	OK(f, run_set_status(f->m, run, RUN_FINISHED, START + 1000));
	OK(f, run_set_status(f->m, run, RUN_RUNNING, START + 5000));
	OK(f, run_set_status(f->m, run, RUN_KILLED, START + 5250));
	assert_int_equal(run_get(live(f), parent, &r), 0);
	hash_hex(r.uuid, 16, parent_uuid);
	assert_int_equal(run_get(live(f), run, &r), 0);
	hash_hex(r.uuid, 16, uuid);
	clock_format_ms(r.changed_ms, changed);
	text = rx_read(f, VALUE_RUN_JSON, run, NULL);
	at = strstr(text, "\"how\": \"hand\",\n        \"time\": \"");
	assert_non_null(at);
	at = strchr(strstr(at, "\"time\""), ':') + 3;
	snprintf(linked, sizeof(linked), "%.24s", at);
	buf_addf(&want,
		 "{\n"
		 "  \"id\": \"2\",\n"
		 "  \"uuid\": \"%s\",\n"
		 "  \"name\": \"child\",\n"
		 "  \"experiment\": \"Default\",\n"
		 "  \"experiment_id\": 0,\n"
		 "  \"user\": \"ann\",\n"
		 "  \"description\": \"\",\n"
		 "  \"parent\": \"1\",\n"
		 "  \"status\": \"killed\",\n"
		 "  \"start_time\": \"2023-11-14T22:13:20.000Z\",\n"
		 "  \"end_time\": \"2023-11-14T22:13:25.250Z\",\n"
		 "  \"duration\": 1.25,\n"
		 "  \"changed\": \"%s\",\n"
		 "  \"deleted\": null,\n"
		 "  \"params\": {\n"
		 "    \"p\": \"\\\"q\\\"\"\n"
		 "  },\n"
		 "  \"metrics\": {\n"
		 "    \"m\": {\n"
		 "      \"value\": \"Infinity\",\n"
		 "      \"step\": 1,\n"
		 "      \"time\": \"2023-11-14T22:13:20.001Z\",\n"
		 "      \"points\": 2,\n"
		 "      \"min\": 2,\n"
		 "      \"max\": \"Infinity\"\n"
		 "    }\n"
		 "  },\n"
		 "  \"tags\": {\n"
		 "    \"mlflow.parentRunId\": \"%s\",\n"
		 "    \"mlflow.runName\": \"child\",\n"
		 "    \"mlflow.user\": \"ann\"\n"
		 "  },\n"
		 "  \"sessions\": [\n"
		 "    {\n"
		 "      \"start\": \"2023-11-14T22:13:20.000Z\",\n"
		 "      \"end\": \"2023-11-14T22:13:21.000Z\",\n"
		 "      \"status\": \"finished\"\n"
		 "    },\n"
		 "    {\n"
		 "      \"start\": \"2023-11-14T22:13:25.000Z\",\n"
		 "      \"end\": \"2023-11-14T22:13:25.250Z\",\n"
		 "      \"status\": \"killed\"\n"
		 "    }\n"
		 "  ],\n"
		 "  \"taken_back\": [],\n"
		 "  \"inputs\": {\n"
		 "    \"data\": [\n"
		 "      {\n"
		 "        \"version\": \"iris@v1.csv\",\n"
		 "        \"how\": \"hand\",\n"
		 "        \"time\": \"%s\"\n"
		 "      }\n"
		 "    ],\n"
		 "    \"models\": [],\n"
		 "    \"datasets\": [\n"
		 "      {\n"
		 "        \"name\": \"iris\",\n"
		 "        \"digest\": \"abc\",\n"
		 "        \"source_type\": \"local\",\n"
		 "        \"source\": \"{}\",\n"
		 "        \"schema\": \"\",\n"
		 "        \"profile\": \"\",\n"
		 "        \"context\": \"training\"\n"
		 "      }\n"
		 "    ],\n"
		 "    \"logged_models\": []\n"
		 "  },\n"
		 "  \"outputs\": {\n"
		 "    \"data\": [],\n"
		 "    \"models\": [],\n"
		 "    \"logged_models\": []\n"
		 "  }\n"
		 "}\n",
		 uuid, changed, parent_uuid, linked);
	assert_string_equal(text, want.data);
	assert_string_equal(rx_read(f, VALUE_RUN_PARAMS_JSON, run, NULL),
			    "{\n  \"p\": \"\\\"q\\\"\"\n}\n");
	assert_string_equal(rx_read(f, VALUE_RUN_METRICS_JSON, run, NULL),
			    "{\n  \"m\": \"Infinity\"\n}\n");
	assert_string_equal(rx_read(f, VALUE_RUN_METRICS_JSON, parent, NULL), "{}\n");
}

struct counting {
	uint64_t bytes, lines, pieces;
	size_t largest;
};

static int count_piece(void *arg, struct slice piece)
{
	struct counting *c = arg;

	c->bytes += piece.len;
	c->pieces++;
	c->largest = piece.len > c->largest ? piece.len : c->largest;
	for (size_t i = 0; i < piece.len; i++)
		c->lines += ((const char *)piece.data)[i] == '\n';
	return 0;
}

static int stop(void *arg, struct slice piece)
{
	(void)arg;
	(void)piece;
	return -EINTR;
}

/* Memory is bounded by the columns, not by the runs. */
static void test_many(void **state)
{
	enum { RUNS = 3000, KEYS = 20 };
	struct fixture *f = *state;
	struct value_target t = { VALUE_ALL_RUNS_CSV, 0, 0 };
	struct counting c = { 0 };
	int64_t begin;

	for (int i = 0; i < RUNS; i++) {
		uint32_t run = 0;

		fx_begin(f);
		assert_int_equal(run_make(f->m, EXPERIMENT_DEFAULT, &me, &run), 0);
		for (int k = 0; k < KEYS; k++) {
			char key[16];
			struct metric_point p = { 0, i * 0.5, START, { 0 }, { 0 }, { 0 } };

			snprintf(key, sizeof(key), "key%d", k);
			assert_int_equal(param_log(f->m, run, S(key), S("value of it")), 0);
			assert_int_equal(metric_log(f->m, run, S(key), &p, 1), 0);
		}
		fx_end(f, 0);
	}
	begin = clock_mono_ms();
	assert_int_equal(value_stream(live(f), &t, count_piece, &c), 0);
	print_message("%d runs of %d params and metrics as CSV: %lld ms, %llu bytes\n", RUNS, KEYS,
		      (long long)(clock_mono_ms() - begin), (unsigned long long)c.bytes);
	assert_int_equal(c.lines, RUNS + 1);
	assert_true(c.pieces > 10);
	assert_true(c.largest < 128 * 1024);
	assert_int_equal(value_stream(live(f), &t, stop, NULL), -EINTR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_csv, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_empty_tables, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_run_json, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_many, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
