/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - what MLflow knows beyond files: logged models, and the datasets a run says it used (inputs).  Registered models and their versions
 * are entries of the space MODELS (entry.h), with description, tags, aliases and stage there.  Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_MODEL_H
#define STORE_META_MODEL_H

#include "store/meta/entry.h"

enum logged_model_status { LOGGED_MODEL_PENDING = 1, LOGGED_MODEL_READY = 2, LOGGED_MODEL_UPLOAD_FAILED = 3 };

struct logged_model {
	uint32_t number;
	struct slice id;		/* "m-" + 32 hex */
	struct slice name, model_type, artifact_location;
	uint32_t experiment;
	uint32_t run;			/* that made it, 0 none */
	uint32_t tree;			/* its files */
	enum logged_model_status status;
	int64_t created_ms, changed_ms, deleted_ms;
};

MUST_CHECK int logged_model_make(struct meta *m, uint32_t experiment, uint32_t run, struct slice name, struct slice model_type,
				 const struct meta_actor *who, uint32_t *ret_number);
MUST_CHECK int logged_model_find(struct kv_view *view, struct slice id, uint32_t *ret_number);
MUST_CHECK int logged_model_get(struct kv_view *view, uint32_t number, struct logged_model *ret);
MUST_CHECK int logged_model_set_status(struct meta *m, uint32_t number, enum logged_model_status status);
MUST_CHECK int logged_model_set_param(struct meta *m, uint32_t number, struct slice key, struct slice value);
MUST_CHECK int logged_model_delete(struct meta *m, uint32_t number);		/* soft: deleted_ms */
MUST_CHECK int logged_model_each(struct kv_view *view, uint32_t experiment, uint32_t after, int (*emit)(void *arg, const struct logged_model *lm), void *arg);
MUST_CHECK int logged_model_each_param(struct kv_view *view, uint32_t number, int (*emit)(void *arg, struct slice key, struct slice value), void *arg);
/* A run's model inputs and outputs (with the step for outputs). */
MUST_CHECK int logged_model_link(struct meta *m, uint32_t run, bool output, uint32_t number, int64_t step);
MUST_CHECK int logged_model_each_link(struct kv_view *view, uint32_t run, bool output, int (*emit)(void *arg, uint32_t number, int64_t step), void *arg);

/* MLflow's dataset inputs of a run. */
struct input {
	uint32_t n;
	struct slice name, digest, source_type, source, schema, profile;
	struct slice context;		/* its tag mlflow.data.context */
	struct slice tags_json;		/* all tags as one JSON object */
};
MUST_CHECK int input_add(struct meta *m, uint32_t run, const struct input *input);	/* the same name and digest again: tags are merged */
MUST_CHECK int input_each(struct kv_view *view, uint32_t run, int (*emit)(void *arg, const struct input *input), void *arg);

#endif
