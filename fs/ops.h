/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - the table of libfuse's low-level operations: each turns a request into a call and hands it to the table of its node.
 */
#ifndef FS_OPS_H
#define FS_OPS_H

struct fuse_lowlevel_ops;

extern const struct fuse_lowlevel_ops fs_ops;	/* user data: struct fs * */

#endif
