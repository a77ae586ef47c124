/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob_internal - shared by blob.c, blob_writer.c and their tests.
 */
#ifndef STORE_CAS_BLOB_INTERNAL_H
#define STORE_CAS_BLOB_INTERNAL_H

#define BLOB_HOLE_MIN 4096u	/* a run of so many zeros or more is a hole, a shorter one is data */

#endif
