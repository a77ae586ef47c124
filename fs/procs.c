/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procs - attached processes in a small table, resolved processes in a small cache.
 *
 * A process is (pid, start time): pids come back.  The table holds what the store has (run_proc) of this boot, newest last.  The cache
 * answers for a second; attaching, detaching and ending of runs empty it.  A timer looks whether attached processes still live.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/procs.h"
#include "store/base/clock.h"
#include "store/base/hash.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/num.h"
#include "store/meta/run.h"
#include "store/meta/tag.h"

#define CACHE         256u
#define CACHE_MS      1000
#define ANCESTORS_MAX 64u
#define LOOK_MS       2000 /* between two looks for vanished processes */
#define ENVIRON_MAX   (1u << 20)

struct attached {
	uint32_t run;
	struct run_proc proc;
	bool gone; /* its last look did not find it */
};

struct cached {
	pid_t pid; /* of the thread; 0 free */
	uint32_t run;
	int64_t at_ms;
};

struct procs {
	uint64_t boot; /* digest of the boot id */
	struct attached *list;
	size_t count, cap;
	struct cached cache[CACHE];
	bool looking;
};

/* --- /proc, on workers ------------------------------------------------------------------------------ */

struct seen { /* a process as /proc shows it */
	pid_t pid, parent;
	uint64_t start;
};

static int read_file(const char *path, struct buf *out, size_t max)
{
	SCOPED_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
	char *at;
	ssize_t n;

	if (fd < 0)
		return fd;
	for (;;) {
		at = buf_reserve(out, 4096);
		if (!at || out->len > max)
			return -ENOMEM;
		n = io_read_full(fd, at, 4096);
		if (n < 0)
			return (int)n;
		out->len += (size_t)n;
		if (n < 4096)
			break;
	}
	buf_add_ch(out, '\0');
	return buf_err(out);
}

/* The number after LABEL in a status file, or -1. */
static long status_field(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	return at ? strtol(at + strlen(label), NULL, 10) : -1;
}

/* Fill SEEN for the process that has the thread TID. -ESRCH. */
static int look_at(pid_t tid, struct seen *seen)
{
	SCOPED_BUF struct buf status = BUF_INIT, stat = BUF_INIT;
	char path[64];
	const char *at;
	long pid;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (read_file(path, &status, 1 << 16) < 0)
		return -ESRCH;
	pid = status_field(status.data, "\nTgid:");
	if (pid <= 0)
		return -ESRCH;
	seen->pid = (pid_t)pid;
	seen->parent = (pid_t)status_field(status.data, "\nPPid:");
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (read_file(path, &stat, 1 << 16) < 0)
		return -ESRCH;
	at = strrchr(stat.data, ')'); /* the name may hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	seen->start = strtoull(at + 1, NULL, 10);
	return 0;
}

/* The value of LABFS_RUN in the environment that PID was started with. */
static void look_env(pid_t pid, char out[META_NAME_MAX + 1])
{
	static const char name[] = "LABFS_RUN=";
	SCOPED_BUF struct buf env = BUF_INIT;
	char path[64];

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	if (read_file(path, &env, ENVIRON_MAX) < 0)
		return;
	for (const char *at = env.data; at < env.data + env.len; at += strlen(at) + 1)
		if (strncmp(at, name, sizeof(name) - 1) == 0)
			snprintf(out, META_NAME_MAX + 1, "%s", at + sizeof(name) - 1);
}

/* --- the table ---------------------------------------------------------------------------------------- */

static void forget_cache(struct procs *p)
{
	memset(p->cache, 0, sizeof(p->cache));
}

static int table_add(struct procs *p, uint32_t run, const struct run_proc *proc)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count;
	     i++) /* a process belongs to the run it was attached to last */
		if (p->list[i].proc.pid != proc->pid)
			p->list[n++] = p->list[i];
	p->count = n;
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		struct attached *list = realloc(p->list, cap * sizeof(*list));

		if (!list)
			return -ENOMEM;
		p->list = list;
		p->cap = cap;
	}
	p->list[p->count++] = (struct attached){ .run = run, .proc = *proc };
	forget_cache(p);
	return 0;
}

static bool run_lives(struct fs *fs, uint32_t number)
{
	struct run run;

	return run_get(fs_view(fs), number, &run) == 0 && !run.frozen && !run.trashed;
}

/* The end of a run detaches. */
static void drop_ended(struct fs *fs)
{
	struct procs *p = fs->procs;
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++)
		if (run_lives(fs, p->list[i].run))
			p->list[n++] = p->list[i];
	if (n != p->count)
		forget_cache(p);
	p->count = n;
}

static uint32_t table_find(const struct procs *p, const struct seen *seen)
{
	for (size_t i = p->count; i-- > 0;)
		if (p->list[i].proc.pid == (uint32_t)seen->pid &&
		    p->list[i].proc.start == seen->start)
			return p->list[i].run;
	return 0;
}

/* --- the cache ------------------------------------------------------------------------------------------ */

bool procs_any(const struct fs *fs)
{
	return fs->procs->count != 0;
}

int procs_known(struct fs *fs, pid_t pid, uint32_t *ret_run)
{
	struct cached *c;

	*ret_run = 0;
	if (pid <= 0)
		return 0; /* the kernel's own, or a foreign pid namespace */
	c = &fs->procs->cache[(uint32_t)pid % CACHE];
	if (c->pid != pid || clock_mono_ms() - c->at_ms > CACHE_MS)
		return -EAGAIN;
	if (c->run && !run_lives(fs, c->run))
		return -EAGAIN;
	*ret_run = c->run;
	return 0;
}

static void remember(struct fs *fs, pid_t pid, uint32_t run)
{
	if (pid > 0)
		fs->procs->cache[(uint32_t)pid % CACHE] =
			(struct cached){ pid, run, clock_mono_ms() };
}

/* --- resolving -------------------------------------------------------------------------------------------- */

struct resolve {
	struct job job;
	struct call *call;
	struct fs *fs;
	pid_t pid;
	void (*fn)(struct call *c, uint32_t run, void *arg);
	void *arg;
	struct seen chain[ANCESTORS_MAX]; /* the process, its parent, … */
	size_t count;
	char env[META_NAME_MAX + 1];
};

static void resolve_work(struct job *job)
{
	struct resolve *r = (struct resolve *)job;
	pid_t pid = r->pid;

	while (r->count < ANCESTORS_MAX && pid > 0 && look_at(pid, &r->chain[r->count]) == 0)
		pid = r->chain[r->count++].parent;
	if (r->count)
		look_env(r->chain[0].pid, r->env);
}

static void resolve_done(struct job *job)
{
	struct resolve *r = (struct resolve *)job;
	struct fs *fs = r->fs;
	uint32_t run = 0;

	drop_ended(fs);
	for (size_t i = 0; i < r->count && !run; i++)
		run = table_find(fs->procs, &r->chain[i]);
	if (!run && r->env[0] && run_find(fs_view(fs), slice_str(r->env), &run) < 0)
		run = 0;
	if (run && !run_lives(fs, run))
		run = 0;
	err_clear();
	remember(fs, r->pid, run);
	r->fn(r->call, run, r->arg);
	free(r);
}

int procs_resolve(struct call *c, void (*fn)(struct call *c, uint32_t run, void *arg), void *arg)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->job.work = resolve_work;
	r->job.done = resolve_done;
	r->call = c;
	r->fs = c->fs;
	r->pid = c->pid;
	r->fn = fn;
	r->arg = arg;
	job_submit(c->fs, JOB_PROC, (uint64_t)c->pid, &r->job);
	return 0;
}

/* --- attaching ---------------------------------------------------------------------------------------------- */

struct attach {
	struct job job;
	struct call *call;
	struct fs *fs;
	pid_t pid;
	uint32_t run;
	void (*fn)(struct call *c, int rc, void *arg);
	void *arg;
	struct seen seen;
	int rc;
};

static void look_for_vanished(struct fs *fs);

static void attach_work(struct job *job)
{
	struct attach *a = (struct attach *)job;

	a->rc = look_at(a->pid, &a->seen);
}

static int attach_now(struct attach *a)
{
	struct run_proc proc = { .pid = (uint32_t)a->seen.pid,
				 .start = a->seen.start,
				 .boot = a->fs->procs->boot };
	int rc;

	if (a->rc < 0)
		return err_set(a->rc, "there is no process %d", (int)a->pid);
	rc = run_check_writable(fs_view(a->fs), a->run);
	if (rc == 0)
		rc = fs_begin(a->fs);
	if (rc < 0)
		return rc;
	rc = fs_end(a->fs, run_proc_add(a->fs->meta, a->run, &proc));
	if (rc == 0)
		rc = table_add(a->fs->procs, a->run, &proc);
	if (rc == 0)
		look_for_vanished(a->fs);
	return rc;
}

static void attach_done(struct job *job)
{
	struct attach *a = (struct attach *)job;

	a->fn(a->call, attach_now(a), a->arg);
	free(a);
}

int procs_attach(struct call *c, uint32_t run, pid_t pid,
		 void (*fn)(struct call *c, int rc, void *arg), void *arg)
{
	struct attach *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->job.work = attach_work;
	a->job.done = attach_done;
	a->call = c;
	a->fs = c->fs;
	a->pid = pid ? pid : c->pid;
	a->run = run;
	a->fn = fn;
	a->arg = arg;
	job_submit(c->fs, JOB_PROC, (uint64_t)c->pid, &a->job);
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void procs_text(struct fs *fs, uint32_t run, struct buf *out)
{
	struct procs *p = fs->procs;
	uint32_t *pids = calloc(p->count + 1, sizeof(*pids));
	size_t n = 0;

	drop_ended(fs);
	for (size_t i = 0; pids && i < p->count; i++)
		if (p->list[i].run == run && !p->list[i].gone)
			pids[n++] = p->list[i].proc.pid;
	if (pids)
		qsort(pids, n, sizeof(*pids), compare_pids);
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%u\n", pids[i]);
	free(pids);
}

/* --- vanished processes: CONTRACT §5 ------------------------------------------------------------------------- */

struct look {
	struct job job;
	struct fs *fs;
	size_t count;
	struct attached list[];
};

static void look_work(struct job *job)
{
	struct look *l = (struct look *)job;
	struct seen seen;

	for (size_t i = 0; i < l->count; i++) {
		struct attached *a = &l->list[i];

		a->gone = a->proc.boot != l->fs->procs->boot || /* immutable after procs_new */
			  look_at((pid_t)a->proc.pid, &seen) < 0 || seen.start != a->proc.start;
	}
}

static int end_vanished(struct fs *fs, uint32_t number)
{
	struct run run;
	int64_t at_ms;
	int rc = run_get(fs_view(fs), number, &run);

	if (rc < 0)
		return rc;
	at_ms = run_last_change_ms(fs_view(fs), &run);
	rc = fs_begin(fs);
	if (rc < 0)
		return rc;
	rc = tag_set(fs->meta, TAG_RUN, number, slice_str("labfs.end"), slice_str("vanished"));
	if (rc == 0)
		rc = run_set_status(fs->meta, number, RUN_FAILED, at_ms);
	return fs_end(fs, rc);
}

/* Has RUN live processes? */
static bool has_live(const struct procs *p, uint32_t run)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].run == run && !p->list[i].gone)
			return true;
	return false;
}

static void look_done(struct job *job)
{
	struct look *l = (struct look *)job;
	struct fs *fs = l->fs;
	struct procs *p = fs->procs;
	int rc;

	p->looking = false;
	for (size_t i = 0; i < l->count; i++)
		for (size_t j = 0; j < p->count && l->list[i].gone; j++)
			if (p->list[j].proc.pid == l->list[i].proc.pid &&
			    p->list[j].proc.start == l->list[i].proc.start &&
			    p->list[j].proc.boot == l->list[i].proc.boot)
				p->list[j].gone = true;
	for (size_t i = 0; i < p->count; i++) {
		uint32_t run = p->list[i].run;

		if (!p->list[i].gone || has_live(p, run) || !run_lives(fs, run))
			continue;
		rc = end_vanished(fs, run);
		if (rc < 0)
			log_warn("ending run %u, whose processes are gone: %s", run, err_text(rc));
	}
	drop_ended(fs);
	look_for_vanished(fs);
	free(l);
}

static void look_tick(struct fs *fs)
{
	struct procs *p = fs->procs;
	struct look *l;

	drop_ended(fs);
	p->looking = false;
	if (p->count == 0)
		return;
	l = calloc(1, sizeof(*l) + p->count * sizeof(l->list[0]));
	if (!l) {
		look_for_vanished(fs);
		return;
	}
	l->job.work = look_work;
	l->job.done = look_done;
	l->fs = fs;
	l->count = p->count;
	memcpy(l->list, p->list, p->count * sizeof(l->list[0]));
	p->looking = true;
	job_submit(fs, JOB_PROC, 0, &l->job);
}

static void look_for_vanished(struct fs *fs)
{
	struct procs *p = fs->procs;

	if (p->looking || p->count == 0 || fs->read_only)
		return;
	p->looking = true;
	core_timer(fs, TIMER_PROCS, clock_mono_ms() + LOOK_MS, look_tick);
}

/* --- making ----------------------------------------------------------------------------------------------------- */

static int add_stored(void *arg, uint32_t run, const struct run_proc *proc)
{
	return table_add(arg, run, proc);
}

int procs_new(struct fs *fs)
{
	SCOPED_BUF struct buf boot = BUF_INIT;
	struct digest digest;
	int rc;

	fs->procs = calloc(1, sizeof(*fs->procs));
	if (!fs->procs)
		return -ENOMEM;
	if (read_file("/proc/sys/kernel/random/boot_id", &boot, 4096) == 0) {
		digest = hash_xxh3(buf_slice(&boot), 0);
		memcpy(&fs->procs->boot, digest.bytes, sizeof(fs->procs->boot));
	}
	rc = run_each_proc(fs_view(fs), 0, add_stored, fs->procs);
	if (rc == 0)
		look_for_vanished(fs);
	return rc;
}

void procs_free(struct fs *fs)
{
	if (!fs->procs)
		return;
	free(fs->procs->list);
	free(fs->procs);
	fs->procs = NULL;
}
