/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - the core thread: a blocking read of /dev/fuse, and messages, timers and background steps between requests.
 *
 * Other threads never touch the state; they post a message (job.h) and interrupt the read with a signal.  A signal that arrives just
 * before the read is lost, so the waker thread repeats it every millisecond until the core has taken the message.
 */
#ifndef FS_LOOP_H
#define FS_LOOP_H

#include "fs/job.h"
#include "store/base/err.h"

struct loop;

/* The calling thread will be the core.  Starts the waker; all signals of the process are blocked in it. */
MUST_CHECK int loop_new(struct fs *fs, struct loop **ret);
void loop_free(struct loop *loop);		/* stops the waker; NULL is fine */

/* Serve until the filesystem is unmounted or loop_stop() was called.  AFTER_FIRST (may be NULL) is called when the kernel's first request
 * has been answered.  0, -errno of /dev/fuse. */
MUST_CHECK int loop_run(struct loop *loop, void (*after_first)(struct fs *fs));
void loop_stop(struct loop *loop);		/* core; or a signal handler of it */
/* Handle what other threads posted; core. */
void loop_take_messages(struct loop *loop);
/* Until every job is done, those too that the done() of others submit; core, when no request comes any more. */
void loop_finish_jobs(struct loop *loop);
/* Something is to be done between requests: any thread, signal handlers too. */
void loop_wake(struct loop *loop);
bool loop_is_core(const struct loop *loop);

/* A job is done: pool threads. */
void loop_job_done(struct loop *loop, struct job *job);

/* The receive buffer of the request that is being handled, and giving it back: call.h. */
void *loop_take_buffer(struct loop *loop);
void loop_give_buffer(struct loop *loop, void *buffer);

/* The worker threads behind job_submit(). */
struct pool;
MUST_CHECK int pool_new(struct fs *fs, struct pool **ret);
void pool_free(struct pool *pool);		/* ends the threads; no job is left (loop_finish_jobs) */

#endif
