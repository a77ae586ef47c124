/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs fsck - read every byte of a store, check every reference and invariant.
 */
#include "store/base/text.h"
#include "tools/cli/command.h"

struct fsck {
	struct command_env *env;
	bool json;
	unsigned faults;
};

static void report(void *arg, const char *fault)
{
	struct fsck *f = arg;

	if (f->json) {
		SCOPED_BUF struct buf line = BUF_INIT;

		buf_add_str(&line, f->faults ? ",\n" : "[");
		text_add_json(&line, slice_str(fault));
		if (buf_err(&line) == 0)
			env_out(f->env, "%s", line.data);
	} else {
		env_out(f->env, "%s\n", fault);
	}
	f->faults++;
}

int cmd_fsck(struct command_env *env)
{
	struct fsck f = { env, options_has(env->options, "json"), 0 };
	struct kv_view *view = NULL;
	int rc = env_snapshot(env, &view);

	if (rc == 0)
		rc = store_check(env->store, view, report, &f);
	kv_snapshot_close(view);
	if (f.json)
		env_out(env, "%s]\n", f.faults ? "" : "[");
	if (rc < 0)
		return env_fail(env, rc);
	if (f.faults == 0) {
		env_err(env, "%s: clean\n", store_path(env->store));
		return EXIT_OK;
	}
	env_err(env, "%s: %u fault%s\n", store_path(env->store), f.faults, f.faults == 1 ? "" : "s");
	return EXIT_DAMAGED;
}
