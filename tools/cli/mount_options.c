/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_options - see mount_options.h.
 */
#include "tools/cli/mount_options.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option_row mount_option_rows[] = {
	{ "foreground", 'f', NULL, "stay in the foreground" },
	{ "options", 'o', "OPTIONS", "allow_other, group=G, ro, size=BYTES[K|M|G|T], versions=list|hide; comma-separated" },
	{ NULL, '\0', NULL, NULL },
};

static int set_allow_other(struct mount_options *o, const char *value)
{
	(void)value;
	o->allow_other = true;
	return 0;
}

static int set_read_only(struct mount_options *o, const char *value)
{
	(void)value;
	o->read_only = true;
	return 0;
}

static int set_read_write(struct mount_options *o, const char *value)
{
	(void)value;
	o->read_only = false;
	return 0;
}

static int set_group(struct mount_options *o, const char *value)
{
	struct group *group = getgrnam(value);
	char *end;
	unsigned long gid = strtoul(value, &end, 10);

	if (!group && (end == value || *end || gid > UINT32_MAX - 1))
		return err_set(-EINVAL, "group=%s: no such group", value);
	o->has_group = true;
	o->allow_other = true;
	o->group = group ? group->gr_gid : (gid_t)gid;
	return 0;
}

static int set_size(struct mount_options *o, const char *value)
{
	static const char units[] = "KMGTP";
	char *end;
	unsigned long long number;
	const char *unit;
	unsigned shift = 0;

	errno = 0;
	number = strtoull(value, &end, 10);
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (errno || end == value || *end || value[0] == '-' || number > UINT64_MAX >> (shift + 1))
		return err_set(-EINVAL, "size=%s: not a size (as 500M, 20G)", value);
	o->size_limit = (uint64_t)number << shift;
	return 0;
}

static int set_versions(struct mount_options *o, const char *value)
{
	if (strcmp(value, "list") != 0 && strcmp(value, "hide") != 0)
		return err_set(-EINVAL, "versions=%s: takes list or hide", value);
	o->hide_versions = value[0] == 'h';
	return 0;
}

static int ignore(struct mount_options *o, const char *value)
{
	(void)o;
	(void)value;
	return 0;
}

static const struct {
	const char *name;
	bool takes_value;
	int (*set)(struct mount_options *o, const char *value);
} rows[] = {
	{ "allow_other", false, set_allow_other }, { "group", true, set_group }, { "ro", false, set_read_only },
	{ "rw", false, set_read_write }, { "size", true, set_size }, { "versions", true, set_versions },
	/* what fstab and mount(8) pass to every filesystem */
	{ "defaults", false, ignore }, { "auto", false, ignore }, { "noauto", false, ignore }, { "user", false, ignore },
	{ "users", false, ignore }, { "nouser", false, ignore }, { "nofail", false, ignore }, { "_netdev", false, ignore },
	{ "dev", false, ignore }, { "nodev", false, ignore }, { "suid", false, ignore }, { "nosuid", false, ignore },
	{ "exec", false, ignore }, { "atime", false, ignore }, { "noatime", false, ignore }, { "relatime", false, ignore },
};

static int set_one(struct mount_options *o, const char *item)
{
	const char *equals = strchr(item, '=');
	size_t len = equals ? (size_t)(equals - item) : strlen(item);

	if (len == 0 || strncmp(item, "x-", 2) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strlen(rows[i].name) != len || strncmp(rows[i].name, item, len) != 0)
			continue;
		if (rows[i].takes_value != (equals != NULL))
			return err_set(-EINVAL, "mount option %s %s", rows[i].name,
				       rows[i].takes_value ? "needs a value" : "takes no value");
		return rows[i].set(o, equals ? equals + 1 : NULL);
	}
	return err_set(-EINVAL, "no mount option '%.*s' (allow_other, group=G, ro, size=LIMIT, versions=list|hide)", (int)len, item);
}

int mount_options_parse(const char *text, struct mount_options *ret)
{
	char *copy = text ? strdup(text) : NULL, *at = copy, *item;
	int rc = 0;

	if (text && !copy)
		return -ENOMEM;
	while (rc == 0 && (item = strsep(&at, ",")))
		rc = set_one(ret, item);
	free(copy);
	return rc;
}

int mount_options_from_config(struct kv_view *view, struct mount_options *ret)
{
	static const char *const keys[] = { "group", "size", "versions" };
	struct slice value;
	int rc = store_config_get(view, "allow_other", &value);

	if (rc == 0)
		ret->allow_other = slice_eq(value, slice_str("1"));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && rc == 0; i++) {
		char item[300];

		rc = store_config_get(view, keys[i], &value);
		if (rc || value.len == 0 || value.len > 255)
			continue;
		snprintf(item, sizeof(item), "%s=%.*s", keys[i], (int)value.len, (const char *)value.data);
		rc = set_one(ret, item);
	}
	return rc;
}
