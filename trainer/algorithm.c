/* SPDX-License-Identifier: Apache-2.0 */
/*
 * algorithm - see algorithm.h.
 */
#include "trainer/algorithm.h"

#include <string.h>

static const struct algorithm *const algorithms[ALGORITHM_COUNT] = {
	[ALGORITHM_FOREST] = &forest_algorithm,
	[ALGORITHM_TREE] = &tree_algorithm,
	[ALGORITHM_LOGISTIC] = &logistic_algorithm,
	[ALGORITHM_KNN] = &knn_algorithm,
};

const struct algorithm *algorithm_get(enum algorithm_id id)
{
	return algorithms[id];
}

const struct algorithm *algorithm_find(const char *name)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
		if (strcmp(algorithms[i]->name, name) == 0)
			return algorithms[i];
	}
	return NULL;
}
