/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - one request of the kernel, and how a table answers it later than at once.  Core thread only.
 *
 * A handler gets a call that lives as long as the handler.  To answer later it calls call_defer(), keeps the result, returns
 * FS_DEFERRED, and some time afterwards, on the core, calls exactly one call_reply_*() on it, which frees it.  A deferred call
 * whose caller is signalled is answered EINTR by itself; the later call_reply_*() then only frees.
 */
#ifndef FS_CALL_H
#define FS_CALL_H

#include "fs/handle.h"
#include "fs/node.h"
#include "store/meta/meta.h"

struct view;

struct call {
	struct fs *fs;
	struct fuse_req *req;
	const char *op;			/* "write", for /.labfs/errors */
	uint64_t node;			/* what it is about; for names, the directory */
	struct slice name;		/* the name in it, or empty; copied by call_defer */
	uint32_t uid, gid;
	pid_t pid;			/* a thread id; 0 for the kernel's own requests */
	struct handle *handle;		/* of open and create: freed when the answer is an error; else the open file, or NULL */
	uint64_t off;			/* read, readdir: offset or cookie */
	size_t size;			/* read, readdir */
	uint64_t to_node;		/* rename: the directory it goes to */
	struct slice to_name;		/* likewise; copied by call_defer */
	uint32_t mode;			/* create */
	struct stat set;		/* setattr: the new values, … */
	int to_set;			/* … and which of them */
	unsigned flags;			/* rename; readdir: 1 plus; lseek: whence */
	void (*again)(struct call *c);	/* the dispatcher's, for call_retry */
	bool opening;			/* open, create: the handle is not the kernel's yet */
	bool deferred, answered;
	void (*interrupted)(struct call *c, void *arg);	/* see call_on_interrupt */
	void *interrupted_arg;
	struct view *view;		/* rendered for this call: view.c */
	char name_copy[256], to_name_copy[256];
};

/* A heap copy that outlives the handler.  NULL: no memory (answer -ENOMEM). */
struct call *call_defer(struct call *c);

/* Instead of EINTR at once, FN is called when the caller is signalled (FN NULL: nothing; the request ends by itself soon). */
void call_on_interrupt(struct call *deferred, void (*fn)(struct call *c, void *arg), void *arg);

/* Answers to a deferred call; each frees it. RC < 0 is recorded as a refusal with err_reason(). */
void call_reply_err(struct call *c, int rc);			/* 0 or -errno */
void call_reply_data(struct call *c, struct slice bytes);	/* read, readlink */
void call_reply_written(struct call *c, size_t count);
void call_reply_entry(struct call *c, const struct node_entry *entry);
void call_reply_attr(struct call *c, uint64_t node, const struct node_attr *attr);
void call_reply_open(struct call *c);				/* with c->handle */
void call_reply_create(struct call *c, const struct node_entry *entry);
/* Or hand the request to its table once more, now that what it waited for is there: lookup, getattr, setattr, readlink, open,
 * create, read, lseek, readdir, unlink, rmdir, rename (`again` is set).  The table may defer it again (call_defer then returns the same call). */
void call_retry(struct call *c);

/* WRITE only: the memory that BYTES of the handler lie in becomes the caller's until call_payload_free().  NULL: no memory. */
void *call_take_payload(struct call *c);
void call_payload_free(struct fs *fs, void *payload);		/* any thread */

/* --- who asks ------------------------------------------------------------------------------------------------------- */

/* May the caller change what OWNER made?  It is the owner, the store's owner, or root.  Else -EACCES with a reason. */
MUST_CHECK int call_may_change(const struct call *c, uint32_t owner);

/* uid, gid and, when it is already known without waiting, the run of the calling process (0 else). */
struct meta_actor call_actor(const struct call *c);

/*
 * The run that the calling process belongs to (CONTRACT §5), 0 none.  Returns 0 when known at once; else -EAGAIN, and the caller defers
 * and uses procs_resolve() (fs/procs.h).
 */
MUST_CHECK int call_run(const struct call *c, uint32_t *ret_run);

#endif
