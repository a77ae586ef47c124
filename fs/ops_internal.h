/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_internal - what the ops_*.c files share: each defines some of libfuse's operations, ops.c has the table.
 *
 * Each operation is two functions where the request can be handed to its table again (call_retry): op_x() fills a call from the
 * request, do_x() asks the table and replies.
 */
#ifndef FS_OPS_INTERNAL_H
#define FS_OPS_INTERNAL_H

#include "fs/call_internal.h"

struct call ops_call(fuse_req_t req, const char *op, uint64_t node);
struct handle *ops_handle(struct fuse_file_info *fi);
MUST_CHECK int ops_check_name(struct slice name);
MUST_CHECK int ops_check_change(struct call *c);	/* -EROFS on a read-only mount */
int ops_refuse(uint64_t node);				/* the error for what a table has no member for */
/* After a change that answered RC for lack of room: is it worth another try?  *TRIED starts false. */
bool ops_try_again(struct call *c, int rc, bool *tried);

/* Ask scratch.c where C->name is scratch, then the directory's own table; ASK answers FS_NOT_MINE where the table has no such member. */
MUST_CHECK int ops_change_name(struct call *c, int (*ask)(const struct node_ops *ops, struct call *c, void *arg), void *arg);

void ops_reply_status(struct call *c, int rc);		/* unless it was deferred */

void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to_dir, const char *to_name, unsigned int flags);
void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name);
void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t node);
void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void op_statfs(fuse_req_t req, fuse_ino_t node);
void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t node,
			       off_t off, struct fuse_file_info *fi, size_t len, int flags);
void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);

#endif
