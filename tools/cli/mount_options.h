/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_options - what `labfs mount -o` takes, over what the store's config says.
 */
#ifndef TOOLS_CLI_MOUNT_OPTIONS_H
#define TOOLS_CLI_MOUNT_OPTIONS_H

#include "fs/serve.h"
#include "tools/cli/options.h"

extern const struct option_row mount_option_rows[];	/* of the command line */

/*
 * TEXT is comma-separated ("ro,size=10G"), its commas are overwritten and RET borrows from it; NULL: nothing.  Generic options that mount(8) and fstab
 * pass are taken and ignored.  -EINVAL with a sentence.
 */
MUST_CHECK int mount_options_parse(char *text, struct serve_options *ret);

#endif
