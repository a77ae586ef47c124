/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_options - what `labfs mount -o` takes, over what the store's config says.
 */
#ifndef TOOLS_CLI_MOUNT_OPTIONS_H
#define TOOLS_CLI_MOUNT_OPTIONS_H

#include <stdint.h>
#include <sys/types.h>

#include "store/store.h"
#include "tools/cli/options.h"

extern const struct option_row mount_option_rows[];	/* of the command line */

struct mount_options {
	bool allow_other, read_only, hide_versions;
	bool has_group;
	gid_t group;
	uint64_t size_limit;	/* bytes, 0 none */
};

/* TEXT is comma-separated ("ro,size=10G"); NULL: nothing.  Generic options that mount(8) and fstab pass are taken and ignored. -EINVAL. */
MUST_CHECK int mount_options_parse(const char *text, struct mount_options *ret);
/* The defaults that the store's settings give. */
MUST_CHECK int mount_options_from_config(struct kv_view *view, struct mount_options *ret);

#endif
