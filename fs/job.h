/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job - work for another thread, and the way back to the core.
 *
 * A job is part of a larger struct of the caller's.  work() runs on a worker, then done() on the core, which frees it.
 * Jobs of one queue with the same key run one after the other, in order of submission.
 */
#ifndef FS_JOB_H
#define FS_JOB_H

#include <stdbool.h>
#include <stdint.h>

struct fs;

enum job_queue {
	JOB_BYTES,			/* byte workers: file bytes */
	JOB_VIEWS,			/* big views, seconds of them: nobody's bytes wait behind one */
	JOB_PROC,			/* /proc of other processes: may wait until one of them got its bytes */
	JOB_SYNC,			/* fsync waiters: may block long */
	JOB_SEAL,			/* the sealer */
	JOB_QUEUE_END
};

struct job {
	void (*work)(struct job *job);	/* worker */
	void (*done)(struct job *job);	/* core; frees it */
	struct job *next;		/* the pool's */
};

/* Core thread. */
void job_submit(struct fs *fs, enum job_queue queue, uint64_t key, struct job *job);

/* Run FN(ARG) on the core soon: any thread.  MSG belongs to the caller until FN runs. */
struct core_msg {
	void (*fn)(struct core_msg *msg);
	struct core_msg *next;
};
void core_post(struct fs *fs, struct core_msg *msg);

/* Call FN(ARG) on the core at about clock_mono_ms() DUE_MS; core thread.  One timer a slot: setting it again moves it; -1 stops it. */
enum core_timer { TIMER_SETTLE, TIMER_SEAL, TIMER_PROCS, TIMER_FLUSH, TIMER_END };
void core_timer(struct fs *fs, enum core_timer timer, int64_t due_ms, void (*fn)(struct fs *fs));

/* There is background work: loop on STEP (a millisecond at most each) while no request waits, until it answers false. Core thread. */
enum core_work { WORK_TREES, WORK_META, WORK_COLLECT, WORK_END };
void core_work(struct fs *fs, enum core_work work, bool (*step)(struct fs *fs));

#endif
