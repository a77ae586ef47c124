/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - the core thread and its waker.
 *
 * 1. `pending` is set by whoever posts, and cleared by the core before it takes what was posted.
 * 2. `reading` is set by the core before it looks at `pending` for the last time, so that who posts later sees it and signals.
 * 3. The signal does nothing but interrupt the read (no SA_RESTART).
 */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fs/background.h"
#include "fs/fs.h"
#include "fs/loop.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define SPARE_BUFFERS    8u
#define WORK_AT_LEAST_MS 10 /* between two background steps while requests keep coming */

struct loop {
	struct fs *fs;         /* immutable */
	pthread_t core, waker; /* immutable */
	atomic_bool pending, reading, stop;

	pthread_mutex_t lock;
	pthread_cond_t changed;             /* of next_due, pending, ending */
	struct core_msg *msgs, **msgs_last; /* protected by lock, as all down to `ending` */
	struct job *done, **done_last;
	int64_t next_due_ms; /* -1: no timer */
	void *spare[SPARE_BUFFERS];
	unsigned spares;
	bool ending;

	struct fuse_buf buf; /* core thread, as all below */
	int64_t due_ms[TIMER_END];
	void (*timer[TIMER_END])(struct fs *fs);
	bool (*step[WORK_END])(struct fs *fs);
	unsigned next_step;
	int64_t last_step_ms;
};

#define WAKE_SIGNAL SIGUSR2

static void on_wake(int sig)
{
	(void)sig;
}

/* --- the waker --------------------------------------------------------------------------------- */

static void wait_until(struct loop *l, int64_t mono_ms)
{
	struct timespec ts = { .tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000 };

	pthread_cond_timedwait(&l->changed, &l->lock, &ts);
}

static void *waker_main(void *arg)
{
	struct loop *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->ending) {
		int64_t now = clock_mono_ms();

		if (l->next_due_ms >= 0 && l->next_due_ms <= now) {
			l->next_due_ms = -1;
			atomic_store(&l->pending, true);
		}
		if (atomic_load(&l->pending)) {
			if (atomic_load(&l->reading))
				pthread_kill(l->core, WAKE_SIGNAL);
			wait_until(l, now + 1);
		} else if (l->next_due_ms >= 0) {
			wait_until(l, l->next_due_ms);
		} else {
			pthread_cond_wait(&l->changed, &l->lock);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* With the lock held. */
static void wake_locked(struct loop *l)
{
	atomic_store(&l->pending, true);
	if (atomic_load(&l->reading))
		pthread_kill(l->core, WAKE_SIGNAL);
	pthread_cond_signal(&l->changed);
}

void loop_wake(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	wake_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void core_post(struct fs *fs, struct core_msg *msg)
{
	struct loop *l = fs->loop;

	msg->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->msgs_last = msg;
	l->msgs_last = &msg->next;
	wake_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_job_done(struct loop *l, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->done_last = job;
	l->done_last = &job->next;
	wake_locked(l);
	pthread_mutex_unlock(&l->lock);
}

bool loop_is_core(const struct loop *l)
{
	return pthread_equal(pthread_self(), l->core);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
}

/* --- making and freeing ---------------------------------------------------------------------------- */

int loop_new(struct fs *fs, struct loop **ret)
{
	struct sigaction sa = { .sa_handler = on_wake };
	struct loop *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;
	sigset_t all, old;
	int rc;

	if (!l)
		return -ENOMEM;
	l->fs = fs;
	l->core = pthread_self();
	l->msgs_last = &l->msgs;
	l->done_last = &l->done;
	l->next_due_ms = -1;
	for (size_t i = 0; i < TIMER_END; i++)
		l->due_ms[i] = -1;
	sigemptyset(&sa.sa_mask);
	sigaction(WAKE_SIGNAL, &sa, NULL);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = -pthread_create(&l->waker, NULL, waker_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0) {
		free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->waker, NULL);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	while (l->spares)
		free(l->spare[--l->spares]);
	free(l->buf.mem);
	free(l);
}

/* --- buffers ---------------------------------------------------------------------------------------- */

void *loop_take_buffer(struct loop *l)
{
	void *mem = l->buf.mem;

	l->buf.mem = NULL;
	return mem;
}

void loop_give_buffer(struct loop *l, void *buffer)
{
	pthread_mutex_lock(&l->lock);
	if (buffer && l->spares < SPARE_BUFFERS) {
		l->spare[l->spares++] = buffer;
		buffer = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	free(buffer);
}

static void find_buffer(struct loop *l)
{
	if (l->buf.mem)
		return;
	pthread_mutex_lock(&l->lock);
	if (l->spares)
		l->buf.mem = l->spare[--l->spares];
	pthread_mutex_unlock(&l->lock); /* else libfuse allocates one of its size */
}

/* --- timers and background work ----------------------------------------------------------------------- */

static void rearm(struct loop *l)
{
	int64_t next = -1;

	for (size_t i = 0; i < TIMER_END; i++)
		if (l->due_ms[i] >= 0 && (next < 0 || l->due_ms[i] < next))
			next = l->due_ms[i];
	pthread_mutex_lock(&l->lock);
	l->next_due_ms = next;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void core_timer(struct fs *fs, enum core_timer timer, int64_t due_ms, void (*fn)(struct fs *fs))
{
	fs->loop->due_ms[timer] = due_ms;
	fs->loop->timer[timer] = fn;
	rearm(fs->loop);
}

static void run_timers(struct loop *l)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < TIMER_END; i++) {
		if (l->due_ms[i] < 0 || l->due_ms[i] > now)
			continue;
		l->due_ms[i] = -1;
		err_clear();
		l->timer[i](l->fs);
	}
	rearm(l);
}

void core_work(struct fs *fs, enum core_work work, bool (*step)(struct fs *fs))
{
	fs->loop->step[work] = step;
}

static bool has_work(const struct loop *l)
{
	for (size_t i = 0; i < WORK_END; i++)
		if (l->step[i])
			return true;
	return false;
}

static bool request_waits(struct loop *l)
{
	struct pollfd p = { .fd = fuse_session_fd(l->fs->session), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void work_step(struct loop *l)
{
	for (size_t i = 0; i < WORK_END; i++) {
		unsigned n = l->next_step++ % WORK_END;
		bool (*step)(struct fs * fs) = l->step[n];

		if (!step)
			continue;
		err_clear();
		if (!step(l->fs))
			l->step[n] = NULL;
		break;
	}
	l->last_step_ms = clock_mono_ms();
}

/* --- messages ----------------------------------------------------------------------------------------- */

void loop_take_messages(struct loop *l)
{
	struct core_msg *msg;
	struct job *job;

	atomic_store(&l->pending, false);
	pthread_mutex_lock(&l->lock);
	msg = l->msgs;
	job = l->done;
	l->msgs = NULL;
	l->msgs_last = &l->msgs;
	l->done = NULL;
	l->done_last = &l->done;
	pthread_mutex_unlock(&l->lock);
	while (job) {
		struct job *next = job->next;

		err_clear();
		l->fs->jobs--;
		job->done(job);
		job = next;
	}
	while (msg) {
		struct core_msg *next = msg->next;

		err_clear();
		msg->fn(msg);
		msg = next;
	}
}

void loop_finish_jobs(struct loop *l)
{
	loop_take_messages(l);
	while (l->fs->jobs) {
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
		loop_take_messages(l);
	}
}

/* --- serving -------------------------------------------------------------------------------------------- */

/* Bytes of a request in l->buf; 0: nothing this time; -ENODEV: unmounted; -errno. */
static int receive(struct loop *l)
{
	int rc;

	find_buffer(l);
	atomic_store(&l->reading, true);
	if (atomic_load(&l->pending) || atomic_load(&l->stop)) {
		atomic_store(&l->reading, false);
		return 0;
	}
	rc = fuse_session_receive_buf(l->fs->session, &l->buf);
	atomic_store(&l->reading, false);
	if (rc == -EINTR || rc == -EAGAIN)
		return 0;
	return rc == 0 ? -ENODEV : rc;
}

static void between_requests(struct loop *l)
{
	kv_tick(l->fs->kv);
	if (atomic_load(&l->pending)) {
		loop_take_messages(l);
		run_timers(l);
		kv_tick(l->fs->kv);
	}
	background_notice(l->fs);
}

int loop_run(struct loop *l, void (*after_first)(struct fs *fs))
{
	int rc = 0;

	while (!atomic_load(&l->stop) && !fuse_session_exited(l->fs->session)) {
		between_requests(l);
		if (has_work(l) &&
		    (clock_mono_ms() - l->last_step_ms > WORK_AT_LEAST_MS || !request_waits(l))) {
			work_step(l);
			continue;
		}
		rc = receive(l);
		if (rc == 0)
			continue;
		if (rc < 0)
			break;
		fuse_session_process_buf(l->fs->session, &l->buf);
		l->fs->requests++;
		if (after_first) {
			after_first(l->fs);
			after_first = NULL;
		}
	}
	if (rc == -ENODEV)
		return 0;
	if (rc < 0)
		log_error("reading /dev/fuse: %s", err_text(rc));
	return rc < 0 ? rc : 0;
}
