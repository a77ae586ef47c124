/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_predict - name the species of the rows on standard input.
 */
#include <stdio.h>
#include <unistd.h>

#include "trainer/cmd.h"
#include "trainer/csv.h"
#include "trainer/dataset.h"
#include "trainer/file.h"
#include "trainer/model.h"
#include "trainer/predictions.h"
#include "trainer/text.h"

enum { MODEL };

enum { INPUT_BYTES_MAX = 64 * 1024 * 1024 };

static int predict(struct arguments *args)
{
	SCOPED_CSV struct csv c = { 0 };
	SCOPED_DATASET struct dataset d = { 0 };
	SCOPED_MODEL struct model m = { 0 };
	SCOPED_TEXT struct text out = { 0 };
	static const char name[] = "standard input";
	char *bytes;
	size_t len;
	int rc = model_read(args->value[MODEL], &m);

	if (rc == 0)
		rc = file_read_fd(STDIN_FILENO, name, INPUT_BYTES_MAX, &bytes, &len);
	if (rc == 0)
		rc = csv_parse(name, bytes, len, &c);
	if (rc == 0)
		rc = dataset_predict(&c, &m.features, &d);
	if (rc < 0)
		return rc;
	predictions_write_unknown(&m, &d, &out);
	fputs(out.bytes, stdout);
	return 0;
}

const struct command cmd_predict = {
	.name = "predict",
	.summary = "Name the species of rows of measures on standard input, CSV in and out.",
	.note = "The first line names the columns, in any order; without names they are the model's features.",
	.options = {
		[MODEL] = { "--model", "DIR", NULL, true, "holds model.txt" },
	},
	.run_option = -1,
	.run = predict,
};
