/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - from options to a running mount and back to a closed store.
 *
 * What is made is undone in the opposite order by serve_end(): jobs of requests come to their end while the handles they use are still there,
 * then handles are released (that may cut versions, again by jobs), then the workers end and the store is closed.
 */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/background.h"
#include "fs/fs.h"
#include "fs/handle_internal.h"
#include "fs/loop.h"
#include "fs/ops.h"
#include "fs/procs.h"
#include "fs/refusal.h"
#include "fs/serve.h"
#include "fs/view.h"
#include "fs/watch.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/num.h"
#include "store/meta/experiment.h"

struct server {
	struct fs fs;
	const struct serve_options *options;
	pthread_t signals;
	bool has_signals, mounted, ready;
	atomic_bool ending; /* no fs_call_core() any more */
};

/* --- what libfuse says when mounting fails: kept for the sentence ------------------------------------------ */

static char fuse_said[256];

static void keep_log(enum fuse_log_level level, const char *fmt, va_list args)
{
	char line[256];

	(void)level;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (line[0])
		memcpy(fuse_said, line, sizeof(line));
}

int serve_check_machine(void)
{
	if (access("/dev/fuse", F_OK) < 0)
		return err_set(
			-ENOENT,
			"there is no /dev/fuse: load the kernel's fuse module (modprobe fuse), "
			"or give the container the device (--device /dev/fuse)");
	if (geteuid() == 0)
		return 0;
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return err_set(
			-EACCES,
			"no permission to open /dev/fuse: ask for access to it (often by the group fuse)");
	if (access("/usr/bin/fusermount3", X_OK) < 0 && access("/bin/fusermount3", X_OK) < 0 &&
	    access("/usr/local/bin/fusermount3", X_OK) < 0)
		return err_set(-ENOPKG, "fusermount3 is missing: install the package fuse3");
	return 0;
}

/* --- options ---------------------------------------------------------------------------------------------------- */

static int find_group(struct fs *fs, const char *text)
{
	struct group *g;
	int64_t number;

	if (!text[0])
		return 0;
	fs->has_group = true;
	g = getgrnam(text);
	if (g) {
		fs->group = g->gr_gid;
		return 0;
	}
	if (num_parse_i64(slice_str(text), &number) < 0 || number < 0 || number > UINT32_MAX - 1)
		return err_set(-EINVAL, "group=%s: there is no such group", text);
	fs->group = (uint32_t)number;
	return 0;
}

static void escape_option(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "%s=", name);
	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			buf_add_ch(out, '\\');
		buf_add_ch(out, *value);
	}
}

static void mount_options(const struct fs *fs, struct buf *out)
{
	escape_option(out, "fsname", store_path(fs->store));
	buf_add_str(out, ",subtype=labfs,default_permissions");
	if (fs->allow_other || fs->has_group)
		buf_add_str(out, ",allow_other");
	buf_add_str(out, fs->read_only ? ",ro" : ",rw");
}

/* The store's config sets what the command line leaves open. */
static int apply_config(struct fs *fs, const struct serve_options *o)
{
	struct slice text;
	char group[256];
	int64_t limit;
	int rc;

	rc = store_config_get(fs_view(fs), "allow_other", &text);
	if (rc < 0)
		return rc;
	fs->allow_other = o->allow_other || slice_eq(text, slice_str("1"));
	rc = store_config_get(fs_view(fs), "group", &text);
	if (rc < 0)
		return rc;
	snprintf(group, sizeof(group), "%.*s", (int)text.len, (const char *)text.data);
	rc = find_group(fs, o->group ? o->group : group);
	if (rc < 0)
		return rc;
	rc = store_config_get(fs_view(fs), "versions", &text);
	if (rc < 0)
		return rc;
	fs->hide_versions =
		o->versions == SERVE_VERSIONS_HIDE ||
		(o->versions == SERVE_VERSIONS_DEFAULT && slice_eq(text, slice_str("hide")));
	if (o->size_limit) {
		store_set_limit(fs->store, o->size_limit);
		return 0;
	}
	rc = store_config_get(fs_view(fs), "size", &text);
	if (rc == 0 && num_parse_i64(text, &limit) == 0 && limit > 0)
		store_set_limit(fs->store, (uint64_t)limit);
	return 0;
}

/* --- signals: a thread that waits for them --------------------------------------------------------------------- */

static void stop_on_core(struct core_msg *msg)
{
	struct {
		struct core_msg msg;
		struct fs *fs;
	} *m = (void *)msg;

	loop_stop(m->fs->loop);
}

static void *signals_main(void *arg)
{
	static struct {
		struct core_msg msg;
		struct fs *fs;
	} stop; /* one server a process */
	struct server *s = arg;
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1); /* from serve_end() */
	while (sigwait(&set, &sig) != 0 || (sig == SIGUSR1 && !atomic_load(&s->ending)))
		;
	if (sig != SIGUSR1) {
		stop.msg.fn = stop_on_core;
		stop.fs = &s->fs;
		core_post(&s->fs, &stop.msg);
	}
	return NULL;
}

/* Before the first thread: all of them inherit the mask, so that only signals_main() gets these. */
static void signals_block(void)
{
	sigset_t all;

	sigemptyset(&all);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGINT);
	sigaddset(&all, SIGHUP);
	sigaddset(&all, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int signals_start(struct server *s)
{
	int rc = -pthread_create(&s->signals, NULL, signals_main, s);

	s->has_signals = rc == 0;
	return rc;
}

/* --- the store wakes the core ------------------------------------------------------------------------------------- */

/* kv's threads run from store_open() on, the loop only later: the pointer is set once. */
static _Atomic(struct loop *) wake_loop;

static void wake(void *arg)
{
	struct loop *loop = atomic_load(&wake_loop);

	(void)arg;
	if (loop)
		loop_wake(loop);
}

/* --- calls from other threads ---------------------------------------------------------------------------------------- */

struct core_call {
	struct core_msg msg;
	struct fs *fs;
	int (*fn)(struct fs *fs, void *arg);
	void *arg;
	bool wait;
	sem_t done;
	int rc;
};

static int run_on_core(struct fs *fs, int (*fn)(struct fs *fs, void *arg), void *arg)
{
	uint64_t before = kv_seq(fs->kv);
	int rc = fn(fs, arg);

	if (kv_seq(fs->kv) != before)
		fs_names_changed(fs);
	return rc;
}

static void core_call_run(struct core_msg *msg)
{
	struct core_call *call = (struct core_call *)msg;

	call->rc = run_on_core(call->fs, call->fn, call->arg);
	if (call->wait)
		sem_post(&call->done);
	else
		free(call);
}

int fs_call_core(struct fs *fs, int (*fn)(struct fs *fs, void *arg), void *arg, bool wait)
{
	struct server *s = (struct server *)fs; /* its first member */
	struct core_call *call, on_stack;
	int rc;

	if (loop_is_core(fs->loop))
		return run_on_core(fs, fn, arg);
	if (atomic_load(&s->ending))
		return -ESHUTDOWN;
	call = wait ? &on_stack : calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	*call = (struct core_call){
		.msg.fn = core_call_run, .fs = fs, .fn = fn, .arg = arg, .wait = wait
	};
	if (!wait) {
		core_post(fs, &call->msg);
		return 0;
	}
	sem_init(&call->done, 0, 0);
	core_post(fs, &call->msg);
	while (sem_wait(&call->done) < 0)
		;
	rc = call->rc;
	sem_destroy(&call->done);
	return rc;
}

gid_t fs_group(const struct fs *fs)
{
	return fs->has_group ? fs->group : (gid_t)-1;
}

struct store *fs_store(struct fs *fs)
{
	return fs->store;
}

/* --- starting and ending ------------------------------------------------------------------------------------------------ */

static int open_store(struct server *s)
{
	const struct serve_options *o = s->options;
	struct fs *fs = &s->fs;
	struct store_options so = {
		.read_only = o->read_only,
		.wait_ms = o->wait_ms,
		.what = "labfs mount",
		.mountpoint = o->mountpoint,
		.ret_owner = o->ret_owner,
		.wake = wake,
	};
	struct experiment first;
	int rc = store_open(o->store, &so, &fs->store);

	if (rc < 0)
		return rc;
	fs->kv = store_kv(fs->store);
	fs->cas = store_cas(fs->store);
	fs->trees = store_trees(fs->store);
	fs->meta = store_meta(fs->store);
	fs->mountpoint = o->mountpoint;
	fs->started_ms = clock_mono_ms();
	fs->owner_uid = geteuid();
	fs->owner_gid = getegid();
	fs->read_only = o->read_only;
	rc = experiment_get(fs_view(fs), EXPERIMENT_DEFAULT, &first);
	fs->created_ms = rc == 0 ? first.created_ms : clock_now_ms();
	return apply_config(fs, o);
}

static int make_parts(struct server *s)
{
	struct fs *fs = &s->fs;
	int rc = handles_new(&fs->handles);

	if (rc == 0)
		rc = refusals_new(&fs->refusals);
	if (rc == 0)
		rc = loop_new(fs, &fs->loop);
	if (rc < 0)
		return rc;
	atomic_store(&wake_loop, fs->loop);
	rc = pool_new(fs, &fs->pool);
	if (rc == 0)
		rc = procs_new(fs);
	if (rc == 0)
		rc = watch_new(fs);
	if (rc == 0)
		rc = tree_front_new(fs);
	return rc;
}

static int mount_it(struct server *s)
{
	SCOPED_BUF struct buf options = BUF_INIT;
	struct fs *fs = &s->fs;
	char name[] = "labfs", flag[] = "-o";
	char *argv[] = { name, flag, NULL, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	mount_options(fs, &options);
	if (buf_err(&options) < 0)
		return -ENOMEM;
	argv[2] = options.data;
	fuse_set_log_func(keep_log);
	fs->session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return err_set(-EINVAL, "libfuse refuses the mount options (%s): %s", options.data,
			       fuse_said);
	if (fuse_session_mount(fs->session, s->options->mountpoint) < 0)
		return err_set(-EIO, "cannot mount on %s%s%s", s->options->mountpoint,
			       fuse_said[0] ? ": " : "", fuse_said);
	s->mounted = true;
	return 0;
}

static void after_first(struct fs *fs)
{
	struct server *s = (struct server *)fs;

	fs->has_epoch = fs_epoch_works(fs);
	background_start(fs);
	s->ready = true;
	if (s->options->ready)
		s->options->ready(s->options->arg, fs);
}

/* Handles that the kernel will never release: what they wrote is settled now. */
static void release_handles(struct fs *fs)
{
	struct handle *h;

	while ((h = handles_any(fs->handles))) {
		struct call c = { .fs = fs, .op = "close", .node = h->node, .answered = true };

		err_clear();
		if (h->ops->flush && handle_writes(h)) {
			int rc = h->ops->flush(&c, h->node, h);

			if (rc < 0)
				log_warn("closing at the end: %s", err_text(rc));
		}
		if (h->ops->release)
			h->ops->release(&c, h->node, h);
		handle_free(fs, h);
	}
}

struct stopper {
	struct server *s;
	atomic_bool done;
};

static void *stopper_main(void *arg)
{
	struct stopper *stopper = arg;

	stopper->s->options->stopping(stopper->s->options->arg, &stopper->s->fs);
	atomic_store(&stopper->done, true);
	return NULL;
}

/* On a thread of its own: what still runs there may be waiting for the core, which goes on taking messages meanwhile. */
static void tell_stopping(struct server *s)
{
	struct stopper stopper = { .s = s };
	pthread_t thread;

	if (pthread_create(&thread, NULL, stopper_main, &stopper) != 0) {
		log_error("leaving: no thread to end commands with");
		return;
	}
	while (!atomic_load(&stopper.done)) {
		loop_take_messages(s->fs.loop);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	pthread_join(thread, NULL);
}

static int serve_end(struct server *s, int rc)
{
	struct fs *fs = &s->fs;
	int close_rc;

	if (s->ready && s->options->stopping)
		tell_stopping(s);
	atomic_store(&s->ending, true);
	if (s->mounted) {
		fuse_session_exit(fs->session);
		fuse_session_unmount(fs->session);
	}
	watch_free(fs);
	if (fs->loop)
		loop_finish_jobs(fs->loop);
	if (fs->handles)
		release_handles(fs);
	if (fs->loop)
		loop_finish_jobs(fs->loop);
	pool_free(fs->pool);
	tree_front_free(fs);
	views_free(fs);
	procs_free(fs);
	atomic_store(&wake_loop, NULL);
	if (s->has_signals) {
		pthread_kill(s->signals, SIGUSR1);
		pthread_join(s->signals, NULL);
	}
	close_rc = store_close(fs->store);
	loop_free(fs->loop);
	if (fs->session)
		fuse_session_destroy(fs->session);
	refusals_free(fs->refusals);
	handles_free(fs->handles);
	return rc < 0 ? rc : close_rc;
}

int serve(const struct serve_options *options)
{
	struct server *s = calloc(1, sizeof(*s));
	int rc;

	signals_block();
	if (!s)
		return -ENOMEM;
	s->options = options;
	rc = serve_check_machine();
	if (rc == 0)
		rc = open_store(s);
	if (rc == 0)
		rc = make_parts(s);
	if (rc == 0)
		rc = signals_start(s);
	if (rc == 0)
		rc = mount_it(s);
	if (rc == 0)
		rc = loop_run(s->fs.loop, after_first);
	rc = serve_end(s, rc);
	free(s);
	return rc;
}
