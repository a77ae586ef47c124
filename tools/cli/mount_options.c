/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_options - see mount_options.h.
 */
#include "tools/cli/mount_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct option_row mount_option_rows[] = {
	{ "foreground", 'f', NULL, "stay in the foreground" },
	{ "options", 'o', "OPTIONS", "allow_other, group=G, ro, size=BYTES[K|M|G|T], versions=list|hide; comma-separated" },
	{ NULL, '\0', NULL, NULL },
};

static int set_allow_other(struct serve_options *o, const char *value)
{
	(void)value;
	o->allow_other = true;
	return 0;
}

static int set_read_only(struct serve_options *o, const char *value)
{
	(void)value;
	o->read_only = true;
	return 0;
}

static int set_read_write(struct serve_options *o, const char *value)
{
	(void)value;
	o->read_only = false;
	return 0;
}

static int set_group(struct serve_options *o, const char *value)
{
	o->group = value;
	o->allow_other = true;
	return 0;
}

static int set_size(struct serve_options *o, const char *value)
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

static int set_versions(struct serve_options *o, const char *value)
{
	if (strcmp(value, "list") != 0 && strcmp(value, "hide") != 0)
		return err_set(-EINVAL, "versions=%s: takes list or hide", value);
	o->versions = value[0] == 'h' ? SERVE_VERSIONS_HIDE : SERVE_VERSIONS_LIST;
	return 0;
}

static int ignore(struct serve_options *o, const char *value)
{
	(void)o;
	(void)value;
	return 0;
}

static const struct {
	const char *name;
	bool takes_value;
	int (*set)(struct serve_options *o, const char *value);
} rows[] = {
	{ "allow_other", false, set_allow_other }, { "group", true, set_group }, { "ro", false, set_read_only },
	{ "rw", false, set_read_write }, { "size", true, set_size }, { "versions", true, set_versions },
	/* what fstab and mount(8) pass to every filesystem */
	{ "defaults", false, ignore }, { "auto", false, ignore }, { "noauto", false, ignore }, { "user", false, ignore },
	{ "users", false, ignore }, { "nouser", false, ignore }, { "nofail", false, ignore }, { "_netdev", false, ignore },
	{ "dev", false, ignore }, { "nodev", false, ignore }, { "suid", false, ignore }, { "nosuid", false, ignore },
	{ "exec", false, ignore }, { "atime", false, ignore }, { "noatime", false, ignore }, { "relatime", false, ignore },
};

static int set_one(struct serve_options *o, const char *item)
{
	const char *equals = strchr(item, '=');
	size_t len = equals ? (size_t)(equals - item) : strlen(item);

	if (len == 0 || strncmp(item, "x-", 2) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strlen(rows[i].name) != len || strncmp(rows[i].name, item, len) != 0)
			continue;
		if (rows[i].takes_value ? !equals || !equals[1] : equals != NULL)
			return err_set(-EINVAL, "mount option %s %s", rows[i].name,
				       rows[i].takes_value ? "needs a value" : "takes no value");
		return rows[i].set(o, equals ? equals + 1 : NULL);
	}
	return err_set(-EINVAL, "no mount option '%.*s' (allow_other, group=G, ro, size=LIMIT, versions=list|hide)", (int)len, item);
}

int mount_options_parse(char *text, struct serve_options *ret)
{
	char *item;
	int rc = 0;

	while (rc == 0 && (item = strsep(&text, ",")))
		rc = set_one(ret, item);
	return rc;
}
