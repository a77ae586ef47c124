/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - MLflow's logged models: records, params, and which run used or made which.  Bytes: FORMAT.md 5.
 */
#include "store/meta/model.h"

#include <errno.h>
#include <sys/random.h>

#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/base/pack.h"
#include "store/base/text.h"
#include "store/kv/tables.h"
#include "store/meta/experiment.h"
#include "store/meta/meta_internal.h"
#include "store/meta/model_internal.h"
#include "store/meta/rows.h"
#include "store/meta/run.h"
#include "store/meta/tag.h"

#define MODEL_NUMBER_MAX ((1u << 26) - 1)
#define MODEL_NAME_MAX 500u
#define MODEL_ID_LEN 34u	/* "m-" and 32 hex */

static const struct slice nothing;

static void model_encode(const struct logged_model *lm, struct buf *out)
{
	pack_u8(out, (uint8_t)lm->status);
	pack_u32(out, lm->experiment);
	pack_u32(out, lm->run);
	pack_u32(out, lm->tree);
	pack_i64(out, lm->created_ms);
	pack_i64(out, lm->changed_ms);
	pack_i64(out, lm->deleted_ms);
	pack_str(out, lm->id);
	pack_str(out, lm->name);
	pack_str(out, lm->model_type);
	pack_str(out, lm->artifact_location);
}

int logged_model_decode(struct slice record, uint32_t number, struct logged_model *ret)
{
	struct unpack u = unpack_init(record);
	uint8_t status = unpack_u8(&u);
	int rc;

	*ret = (struct logged_model){ .number = number, .status = (enum logged_model_status)status };
	ret->experiment = unpack_u32(&u);
	ret->run = unpack_u32(&u);
	ret->tree = unpack_u32(&u);
	ret->created_ms = unpack_i64(&u);
	ret->changed_ms = unpack_i64(&u);
	ret->deleted_ms = unpack_i64(&u);
	ret->id = unpack_str(&u);
	ret->name = unpack_str(&u);
	ret->model_type = unpack_str(&u);
	ret->artifact_location = unpack_str(&u);
	rc = unpack_more(&u);
	if (rc == 0 && (status < LOGGED_MODEL_PENDING || status > LOGGED_MODEL_UPLOAD_FAILED))
		rc = -EBADMSG;
	return rc < 0 ? err_set(rc, "the record of logged model %u is damaged", number) : 0;
}

int logged_model_get(struct kv_view *view, uint32_t number, struct logged_model *ret)
{
	struct meta_key k = meta_key_1(number);
	struct slice record;
	int rc = kv_get(view, TABLE_LOGGED_MODEL, meta_key_slice(&k), &record);

	return rc < 0 ? rc : logged_model_decode(record, number, ret);
}

int logged_model_find(struct kv_view *view, struct slice id, uint32_t *ret_number)
{
	struct slice value;
	struct unpack u;
	int rc = id.len != MODEL_ID_LEN ? -ENOENT : kv_get(view, TABLE_LOGGED_MODEL_ID, id, &value);

	if (rc < 0)
		return rc;
	u = unpack_init(value);
	*ret_number = unpack_u32(&u);
	return unpack_done(&u);
}

/* The texts of LM are borrowed: nothing may have changed since it was got. */
static int model_save(struct meta *m, const struct logged_model *lm)
{
	struct meta_key k = meta_key_1(lm->number);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	model_encode(lm, &value);
	rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_LOGGED_MODEL, meta_key_slice(&k), buf_slice(&value));
}

static int check_name(struct slice name)
{
	const char *s = name.data;

	if (name.len == 0 || name.len > MODEL_NAME_MAX)
		return err_set(-EINVAL, "the name of a logged model has 1 to %u bytes", MODEL_NAME_MAX);
	if (!text_valid(name))
		return err_set(-EILSEQ, "the name of a logged model is UTF-8");
	for (size_t i = 0; i < name.len; i++) {
		if (strchr("/:.%\"'", s[i]) != NULL)
			return err_set(-EINVAL, "the name of a logged model cannot have '%c' in it", s[i]);
	}
	return 0;
}

static int check_owners(struct kv_view *view, uint32_t experiment, uint32_t run)
{
	struct experiment x;
	struct run r;
	int rc = experiment_get(view, experiment, &x);

	if (rc == -ENOENT || (rc == 0 && x.deleted_ms != 0))
		return err_set(-ENOENT, "there is no experiment %u", experiment);
	return rc == 0 && run != 0 ? run_get(view, run, &r) : rc;
}

static int make_id(char out[MODEL_ID_LEN + 1])
{
	uint8_t bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_set(-EIO, "the system gives no random bytes");
	out[0] = 'm';
	out[1] = '-';
	hash_hex(bytes, sizeof(bytes), out + 2);
	return 0;
}

int logged_model_make(struct meta *m, uint32_t experiment, uint32_t run, struct slice name, struct slice model_type,
		      const struct meta_actor *who, uint32_t *ret_number)
{
	struct logged_model lm = { .experiment = experiment, .run = run, .name = name, .model_type = model_type };
	SCOPED_BUF struct buf number = BUF_INIT;
	struct meta_key in = meta_key_1(experiment);
	char id[MODEL_ID_LEN + 1];
	int rc = check_name(name);

	if (rc == 0)
		rc = meta_text_check(model_type, META_TAG_MAX, "a model type");
	if (rc == 0)
		rc = check_owners(kv_live(m->kv), experiment, run);
	if (rc == 0)
		rc = make_id(id);
	if (rc == 0)
		rc = meta_counter_next(m, "logged model", 1, MODEL_NUMBER_MAX, &lm.number);
	if (rc == 0)
		rc = tree_new(m->trees, TREE_OWNER_LOGGED_MODEL, lm.number, S_IFDIR | 0755, who->uid, who->gid, &lm.tree);
	if (rc < 0)
		return rc;
	lm.id = slice_of(id, MODEL_ID_LEN);
	lm.status = LOGGED_MODEL_PENDING;
	lm.created_ms = lm.changed_ms = clock_now_ms();
	rc = model_save(m, &lm);
	pack_u32(&number, lm.number);
	if (rc == 0)
		rc = buf_err(&number);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_LOGGED_MODEL_ID, lm.id, buf_slice(&number));
	meta_key_u32(&in, lm.number);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_LOGGED_MODEL_IN, meta_key_slice(&in), nothing);
	if (rc == 0)
		event_emit(m, "model.logged", "id", id, NULL);
	*ret_number = lm.number;
	return rc;
}

static int get_living(struct kv_view *view, uint32_t number, struct logged_model *lm)
{
	int rc = logged_model_get(view, number, lm);

	if (rc == -ENOENT || (rc == 0 && lm->deleted_ms != 0))
		return err_set(-ENOENT, "there is no logged model %u", number);
	return rc;
}

int logged_model_set_status(struct meta *m, uint32_t number, enum logged_model_status status)
{
	struct logged_model lm;
	int rc = status < LOGGED_MODEL_PENDING || status > LOGGED_MODEL_UPLOAD_FAILED ?
			 err_set(-EINVAL, "no such status of a logged model") :
			 get_living(kv_live(m->kv), number, &lm);

	if (rc < 0)
		return rc;
	lm.status = status;
	lm.changed_ms = clock_now_ms();
	return model_save(m, &lm);
}

int logged_model_delete(struct meta *m, uint32_t number)
{
	struct logged_model lm;
	int rc = get_living(kv_live(m->kv), number, &lm);

	if (rc < 0)
		return rc;
	lm.deleted_ms = lm.changed_ms = clock_now_ms();
	return model_save(m, &lm);
}

/* --- params --------------------------------------------------------------------------------------------- */

static int param_key(uint32_t number, struct slice key, struct buf *out)
{
	key_u32(out, number);
	key_bytes(out, key);
	return buf_err(out);
}

int logged_model_set_param(struct meta *m, uint32_t number, struct slice key, struct slice value)
{
	SCOPED_BUF struct buf row = BUF_INIT;
	struct logged_model lm;
	struct slice old;
	int rc = key_check(key);

	if (rc == 0)
		rc = meta_text_check(value, META_PARAM_MAX, "a param's value");
	if (rc == 0)
		rc = get_living(kv_live(m->kv), number, &lm);
	if (rc == 0)
		rc = param_key(number, key, &row);
	if (rc < 0)
		return rc;
	rc = kv_get(kv_live(m->kv), TABLE_LOGGED_MODEL_PARAM, buf_slice(&row), &old);
	if (rc == 0 && !slice_eq(old, value))
		return err_set(-EPERM, "param '%.*s' of the logged model has a value already", (int)key.len,
			       (const char *)key.data);
	return rc != -ENOENT ? rc : kv_put(m->kv, TABLE_LOGGED_MODEL_PARAM, buf_slice(&row), value);
}

struct each_param {
	int (*emit)(void *arg, struct slice key, struct slice value);
	void *arg;
};

static int each_param(void *arg, struct slice rest, struct slice value)
{
	const struct each_param *each = arg;

	return each->emit(each->arg, rest, value);
}

int logged_model_each_param(struct kv_view *view, uint32_t number,
			    int (*emit)(void *arg, struct slice key, struct slice value), void *arg)
{
	struct each_param each = { emit, arg };
	struct meta_key k = meta_key_1(number);

	return rows_each(view, TABLE_LOGGED_MODEL_PARAM, meta_key_slice(&k), nothing, each_param, &each);
}

/* --- listing ----------------------------------------------------------------------------------------------- */

struct each_model {
	struct kv_view *view;
	int (*emit)(void *arg, const struct logged_model *lm);
	void *arg;
};

static int each_model(void *arg, struct slice rest, struct slice value)
{
	const struct each_model *each = arg;
	struct logged_model lm;
	int rc = logged_model_get(each->view, meta_key_read_u32(rest, 0), &lm);

	(void)value;
	return rc < 0 || lm.deleted_ms != 0 ? rc : each->emit(each->arg, &lm);
}

int logged_model_each(struct kv_view *view, uint32_t experiment, uint32_t after,
		      int (*emit)(void *arg, const struct logged_model *lm), void *arg)
{
	struct each_model each = { view, emit, arg };
	struct meta_key k = meta_key_1(experiment);
	struct meta_key from = meta_key_1(after);

	return rows_each(view, TABLE_LOGGED_MODEL_IN, meta_key_slice(&k), after == 0 ? nothing : meta_key_slice(&from),
			 each_model, &each);
}

/* --- runs ---------------------------------------------------------------------------------------------------- */

static struct meta_key link_prefix(uint32_t run, bool output)
{
	struct meta_key k = meta_key_1(run);

	meta_key_u8(&k, output ? 2 : 1);
	return k;
}

int logged_model_link(struct meta *m, uint32_t run, bool output, uint32_t number, int64_t step)
{
	struct meta_key k = link_prefix(run, output);
	SCOPED_BUF struct buf value = BUF_INIT;
	struct logged_model lm;
	int rc = run_check_writable(kv_live(m->kv), run);

	if (rc == 0)
		rc = get_living(kv_live(m->kv), number, &lm);
	meta_key_u32(&k, number);
	pack_i64(&value, step);
	if (rc == 0)
		rc = buf_err(&value);
	return rc < 0 ? rc : kv_put(m->kv, TABLE_LOGGED_MODEL_RUN, meta_key_slice(&k), buf_slice(&value));
}

struct each_link {
	int (*emit)(void *arg, uint32_t number, int64_t step);
	void *arg;
};

static int each_link(void *arg, struct slice rest, struct slice value)
{
	const struct each_link *each = arg;
	struct unpack u = unpack_init(value);
	int64_t step = unpack_i64(&u);
	int rc = unpack_more(&u);

	return rc < 0 ? rc : each->emit(each->arg, meta_key_read_u32(rest, 0), step);
}

int logged_model_each_link(struct kv_view *view, uint32_t run, bool output,
			   int (*emit)(void *arg, uint32_t number, int64_t step), void *arg)
{
	struct each_link each = { emit, arg };
	struct meta_key k = link_prefix(run, output);

	return rows_each(view, TABLE_LOGGED_MODEL_RUN, meta_key_slice(&k), nothing, each_link, &each);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static int add_key(void *arg, uint32_t key, struct slice text, struct slice value)
{
	(void)text;
	(void)value;
	buf_add(arg, &key, sizeof(key));
	return buf_err(arg);
}

static int model_destroy(struct meta *m, uint32_t experiment, uint32_t number)
{
	struct meta_key k = meta_key_1(number);
	struct meta_key in = meta_key_2(experiment, number);
	SCOPED_BUF struct buf keys = BUF_INIT;
	SCOPED_BUF struct buf id = BUF_INIT;
	struct logged_model lm;
	int rc = logged_model_get(kv_live(m->kv), number, &lm);

	if (rc < 0)
		return rc;
	buf_add_slice(&id, lm.id);
	rc = buf_err(&id);
	if (rc == 0)
		rc = tree_delete(m->trees, lm.tree);
	if (rc == 0)
		rc = tags_each(kv_live(m->kv), TAG_LOGGED_MODEL, number, 0, add_key, &keys);
	for (size_t i = 0; rc == 0 && i < rows_count(&keys); i++)
		rc = tag_remove(m, TAG_LOGGED_MODEL, number, rows_number(&keys, i));
	if (rc == 0)
		rc = rows_delete(m, TABLE_LOGGED_MODEL_PARAM, meta_key_slice(&k));
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_LOGGED_MODEL_ID, buf_slice(&id));
	if (rc == 0)
		rc = kv_del(m->kv, TABLE_LOGGED_MODEL_IN, meta_key_slice(&in));
	return rc < 0 ? rc : kv_del(m->kv, TABLE_LOGGED_MODEL, meta_key_slice(&k));
}

int logged_model_forget_experiment(struct meta *m, uint32_t experiment, unsigned *budget)
{
	struct meta_key k = meta_key_1(experiment);
	SCOPED_BUF struct buf numbers = BUF_INIT;
	int rc = rows_numbers(kv_live(m->kv), TABLE_LOGGED_MODEL_IN, meta_key_slice(&k), &numbers);

	for (size_t i = 0; rc == 0 && *budget > 0 && i < rows_count(&numbers); i++) {
		rc = model_destroy(m, experiment, rows_number(&numbers, i));
		--*budget;
	}
	return rc;
}
