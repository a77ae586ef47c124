/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_prepare - check a table of flowers and split it into train.csv and test.csv, by class.
 *
 * The rows keep their text and their order, and which of a class go to the test depends only on the
 * seed and on how many there are: two versions of a table that differ in two rows give splits that
 * differ in two rows.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "trainer/cmd.h"
#include "trainer/csv.h"
#include "trainer/dataset.h"
#include "trainer/file.h"
#include "trainer/mem.h"
#include "trainer/metadata.h"
#include "trainer/number.h"
#include "trainer/rng.h"
#include "trainer/text.h"

enum { IN, OUT, TEST_SIZE, SEED };

/*
 * How many rows of each class the test gets: exact shares, what is left to the largest remainders.
 */
static void share_out(const struct dataset *d, double test_size, const size_t *of_class,
		      size_t *ret)
{
	size_t wanted = (size_t)ceil((double)d->rows * test_size - 1e-9), given = 0;
	size_t rest[LABELS_MAX];

	for (size_t k = 0; k < d->classes.count; k++) {
		ret[k] = wanted * of_class[k] / d->rows;
		rest[k] = wanted * of_class[k] % d->rows;
		given += ret[k];
	}
	for (; given < wanted; given++) {
		size_t most = 0;

		for (size_t k = 1; k < d->classes.count; k++) {
			if (rest[k] > rest[most])
				most = k;
		}
		ret[most]++;
		rest[most] = 0;
	}
}

/* IN_TEST[i] says whether row i goes to the test. */
static int split(const struct csv *c, const struct dataset *d, double test_size, uint64_t seed,
		 bool *in_test)
{
	size_t of_class[LABELS_MAX] = { 0 }, share[LABELS_MAX];
	SCOPED_FREE uint32_t *member = mem_zalloc(d->rows, sizeof(*member));

	for (size_t i = 0; i < d->rows; i++)
		of_class[d->y[i]]++;
	share_out(d, test_size, of_class, share);
	for (size_t k = 0; k < d->classes.count; k++) {
		struct rng rng;
		size_t count = 0;

		if (share[k] == 0 || share[k] >= of_class[k])
			return fail(EINVAL,
				    "%s:%zu: %zu rows of %s are too few to be split %g : %g",
				    c->name, c->line[c->rows - 1], of_class[k], d->classes.name[k],
				    1 - test_size, test_size);
		for (uint32_t i = 0; i < d->rows; i++) {
			if (d->y[i] == k)
				member[count++] = i;
		}
		rng_init(&rng, seed, k);
		rng_shuffle(&rng, member, count);
		for (size_t i = 0; i < share[k]; i++)
			in_test[member[i]] = true;
	}
	return 0;
}

static void add_row(const struct csv *c, size_t row, struct text *out)
{
	for (size_t column = 0; column < c->columns; column++) {
		if (column > 0)
			text_add(out, ",", 1);
		text_add_csv(out, csv_field(c, row, column));
	}
	text_add(out, "\n", 1);
}

static int write_files(const char *dir, const struct csv *c, const bool *in_test,
		       struct metadata_split *account)
{
	SCOPED_BATCH struct file_batch batch = { 0 };
	SCOPED_TEXT struct text train = { 0 }, test = { 0 }, json = { 0 };

	add_row(c, 0, &train);
	add_row(c, 0, &test);
	for (size_t row = 1; row < c->rows; row++) {
		add_row(c, row, in_test[row - 1] ? &test : &train);
		account->test_rows += in_test[row - 1];
	}
	account->train_rows = c->rows - 1 - account->test_rows;
	metadata_write_split(account, &json);
	const struct {
		const char *name;
		const struct text *text;
	} files[] = { { "train.csv", &train },
		      { "test.csv", &test },
		      { METADATA_SPLIT_FILE, &json } };
	int rc = file_make_dirs(dir);

	for (size_t i = 0; rc == 0 && i < sizeof(files) / sizeof(files[0]); i++) {
		SCOPED_FREE char *path = text_format("%s/%s", dir, files[i].name);

		rc = file_batch_add(&batch, path, files[i].text->bytes, files[i].text->len);
	}
	return rc == 0 ? file_batch_commit(&batch) : rc;
}

static int prepare(struct arguments *args)
{
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset d = { 0 };
	struct metadata_split account = { .source = args->value[IN] };
	int64_t seed;

	if (!number_parse(args->value[TEST_SIZE], &account.test_size) || account.test_size <= 0 ||
	    account.test_size >= 1)
		return fail_usage("--test-size is '%.40s', not a fraction between 0 and 1",
				  args->value[TEST_SIZE]);
	if (!number_parse_int(args->value[SEED], 0, UINT32_MAX, &seed))
		return fail_usage("--seed is '%.40s', not a whole number from 0 to %u",
				  args->value[SEED], UINT32_MAX);
	account.seed = (size_t)seed;
	int rc = csv_read(args->value[IN], &c);

	if (rc == 0)
		rc = dataset_learn(&c, &d);
	if (rc < 0)
		return rc;
	SCOPED_FREE bool *in_test = mem_zalloc(d.rows, sizeof(*in_test));

	rc = split(&c, &d, account.test_size, (uint64_t)seed, in_test);
	if (rc == 0)
		rc = write_files(args->value[OUT], &c, in_test, &account);
	if (rc == 0)
		printf("train.csv %zu rows, test.csv %zu rows, %zu species\n", account.train_rows,
		       account.test_rows, d.classes.count);
	return rc;
}

const struct command cmd_prepare = {
	.name = "prepare",
	.summary = "Check a table of flowers and split it by species into train.csv and test.csv.",
	.note = "prepare.json beside them says what was split and how.",
	.options = {
		[IN] = { "--in", "FILE", NULL, true, "the table, CSV" },
		[OUT] = { "--out", "DIR", NULL, true, "where train.csv and test.csv go" },
		[TEST_SIZE] = { "--test-size", "FRACTION", "0.2", false, "of the rows, for the test" },
		[SEED] = { "--seed", "N", "42", false, "which rows" },
	},
	.run_option = -1,
	.run = prepare,
};
