/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs backup - a consistent copy of the store as one tar file.  The client opens the file; here its bytes only go to a stream.
 */
#include "tools/cli/command.h"

static int settle(void *arg)
{
	struct command_env *env = arg;

	return entry_settle(store_meta(env->store), 0);
}

static int pass_on(void *arg, struct slice bytes)
{
	struct command_env *env = arg;

	return env->sink.write(env->sink.arg, CONTROL_DATA, bytes);
}

int cmd_backup(struct command_env *env)
{
	struct kv_view *snapshot = NULL;
	int rc = env_core(env, settle, env);

	if (rc == 0)
		rc = env_snapshot(env, &snapshot);
	if (rc == 0)
		rc = store_backup(env->store, snapshot, pass_on, env);
	kv_snapshot_close(snapshot);
	return rc ? env_fail(env, rc) : EXIT_OK;
}
