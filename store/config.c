/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - the settings kept in the store: defaults of the mount options.  Rows "config.KEY" of TABLE_SYS.
 */
#include <errno.h>

#include "store/base/num.h"
#include "store/kv/tables.h"
#include "store/store_internal.h"

static int check_switch(struct slice value);
static int check_versions(struct slice value);
static int check_size(struct slice value);
static int check_any(struct slice value);

static const struct setting {
	const char *key;
	const char *initial;
	int (*check)(struct slice value);	/* -EINVAL with a reason */
} settings[] = {			/* man 5, "Settings" */
	{ "allow_other", "0",	 check_switch	},
	{ "group",	 "",	 check_any	},
	{ "size",	 "0",	 check_size	},
	{ "versions",	 "list", check_versions },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static int check_switch(struct slice value)
{
	if (slice_eq(value, slice_str("0")) || slice_eq(value, slice_str("1")))
		return 0;
	return err_set(-EINVAL, "this setting takes 0 or 1");
}

static int check_versions(struct slice value)
{
	if (slice_eq(value, slice_str("list")) || slice_eq(value, slice_str("hide")))
		return 0;
	return err_set(-EINVAL, "versions takes list or hide");
}

static int check_size(struct slice value)
{
	int64_t bytes;

	if (num_parse_i64(value, &bytes) == 0 && bytes >= 0)
		return 0;
	return err_set(-EINVAL, "size takes a number of bytes, 0 for no limit");
}

static int check_any(struct slice value)
{
	return value.len <= 255 ? 0 : err_set(-EINVAL, "longer than 255 bytes");
}

static const struct setting *find(struct slice key)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (slice_eq(key, slice_str(settings[i].key)))
			return &settings[i];
	return NULL;
}

static void row_key(struct slice key, struct buf *out)
{
	buf_add_str(out, "config.");
	buf_add_slice(out, key);
}

int store_config_get(struct kv_view *view, const char *key, struct slice *ret)
{
	SCOPED_BUF struct buf row = BUF_INIT;
	const struct setting *setting = find(slice_str(key));
	int rc;

	if (!setting)
		return err_set(-EINVAL, "%s: no such setting", key);
	row_key(slice_str(key), &row);
	rc = buf_err(&row);
	if (rc == 0)
		rc = kv_get(view, TABLE_SYS, buf_slice(&row), ret);
	if (rc == -ENOENT) {
		*ret = slice_str(setting->initial);
		rc = 0;
	}
	return rc;
}

int store_config_set(struct store *s, struct slice key, struct slice value)
{
	SCOPED_BUF struct buf row = BUF_INIT;
	const struct setting *setting = find(key);
	int rc;

	if (!setting)
		return err_set(-EINVAL, "%.*s: no such setting (allow_other, group, size, versions)", (int)key.len,
			       (const char *)key.data);
	rc = setting->check(value);
	if (rc)
		return rc;
	row_key(key, &row);
	rc = buf_err(&row);
	return rc ? rc : kv_put(s->kv, TABLE_SYS, buf_slice(&row), value);
}

void store_config_text(struct kv_view *view, struct buf *out)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		struct slice value;

		if (store_config_get(view, settings[i].key, &value) != 0)
			continue;
		buf_addf(out, "%s ", settings[i].key);
		buf_add_slice(out, value);
		buf_add_ch(out, '\n');
	}
}
