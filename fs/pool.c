/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - worker threads, each with a first-in-first-out list of its own.  A job's key picks the thread of its queue, so jobs with one
 * key run in order.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/loop.h"

#define BYTE_WORKERS 2u
#define SYNC_WORKERS 2u
#define OTHERS	     3u /* one each for views, /proc, sealing */
#define WORKERS	     (BYTE_WORKERS + SYNC_WORKERS + OTHERS)

struct worker {
	struct fs *fs;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *first, **last; /* protected by lock */
	bool stop;                 /* protected by lock */
};

struct pool {
	struct worker worker[WORKERS];
};

static const struct {
	unsigned first, count;
} queues[JOB_QUEUE_END] = {
	[JOB_BYTES] = { 0, BYTE_WORKERS },
	[JOB_SYNC] = { BYTE_WORKERS, SYNC_WORKERS },
	[JOB_VIEWS] = { BYTE_WORKERS + SYNC_WORKERS, 1 },
	[JOB_PROC] = { BYTE_WORKERS + SYNC_WORKERS + 1, 1 },
	[JOB_SEAL] = { BYTE_WORKERS + SYNC_WORKERS + 2, 1 },
};

static struct job *worker_next(struct worker *w)
{
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->stop)
		pthread_cond_wait(&w->more, &w->lock);
	job = w->first;
	if (job) {
		w->first = job->next;
		if (!w->first)
			w->last = &w->first;
	}
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct job *job;

	while ((job = worker_next(w))) {
		job->work(job);
		loop_job_done(w->fs->loop, job);
	}
	return NULL;
}

int pool_new(struct fs *fs, struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p));
	sigset_t all, old;
	int rc = 0;

	if (!p)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (size_t i = 0; i < WORKERS && rc == 0; i++) {
		struct worker *w = &p->worker[i];

		w->fs = fs;
		w->last = &w->first;
		pthread_mutex_init(&w->lock, NULL);
		pthread_cond_init(&w->more, NULL);
		rc = -pthread_create(&w->thread, NULL, worker_main, w);
		w->started = rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0) {
		pool_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < WORKERS; i++) {
		struct worker *w = &p->worker[i];

		if (!w->started)
			continue;
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->more);
		pthread_mutex_unlock(&w->lock);
	}
	for (size_t i = 0; i < WORKERS; i++) {
		struct worker *w = &p->worker[i];

		if (!w->started)
			continue;
		pthread_join(w->thread, NULL);
		pthread_mutex_destroy(&w->lock);
		pthread_cond_destroy(&w->more);
	}
	free(p);
}

void job_submit(struct fs *fs, enum job_queue queue, uint64_t key, struct job *job)
{
	uint64_t mixed = (key * 0x9e3779b97f4a7c15u) >> 32;
	struct worker *w = &fs->pool->worker[queues[queue].first + mixed % queues[queue].count];

	job->next = NULL;
	fs->jobs++;
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}
