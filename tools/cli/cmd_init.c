/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labfs init - make a store, or restore one from a backup.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/command.h"

static int restore(const char *path, const char *file, bool allow_remote, char ret_remote[32])
{
	int fd = strcmp(file, "-") == 0 ? dup(0) : open(file, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(-errno, "%s: %s", file, strerror(errno));
	rc = store_restore(path, fd, allow_remote, ret_remote);
	close(fd);
	return rc;
}

int cmd_init(struct command_env *env)
{
	const struct options *o = env->options;
	const char *path = o->args_count > 0 ? o->args[0] : options_value(o, "store");
	const char *from = options_value(o, "from");
	bool allow_remote = options_has(o, "allow-remote");
	char remote[32] = "", *shown;
	int rc;

	if (!path)
		path = getenv("LABFS_STORE");
	if (!path || !*path)
		path = ".labfs";
	rc = from ? restore(path, from, allow_remote, remote) : store_create(path, allow_remote, remote);
	if (rc)
		return env_fail(env, rc);
	if (remote[0])
		env_err(env, "labfs init: warning: %s lies on %s, where a crash or a second machine can damage it\n", path, remote);
	shown = realpath(path, NULL);
	env_out(env, "%s\n", shown ? shown : path);
	free(shown);
	return EXIT_OK;
}
