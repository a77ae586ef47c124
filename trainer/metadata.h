/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata - model_metadata.json: where a model comes from, for people and programs.
 */
#ifndef TRAINER_METADATA_H
#define TRAINER_METADATA_H

#include <time.h>

#include "trainer/model.h"
#include "trainer/param.h"
#include "trainer/text.h"

#define METADATA_FILE "model_metadata.json"

/* DIR/prepare.json says where train.csv and test.csv in DIR come from. */
#define METADATA_SPLIT_FILE "prepare.json"

struct metadata_split {
	const char *source; /* the file that was split */
	double test_size;
	size_t seed;
	size_t train_rows, test_rows;
};

struct metadata_training {
	const char *data_path; /* the file learned from */
	size_t rows;
	struct timespec began;
	double seconds;
};

/* PREPARE's account of a split. */
void metadata_write_split(const struct metadata_split *s, struct text *out);

/* A training's account; the versions are asked of the files here. */
void metadata_write(const struct model *m, const struct params *p,
		    const struct metadata_training *t, struct text *out);

/* DIR/model_metadata.json is there and is about a model like M. */
MUST_CHECK int metadata_check(const char *dir, const struct model *m);

#endif
