/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits - the sizes that more than one module of the store must agree on.  What users may rely on stands in the
 * manual; a limit of one module only stands in that module.
 */
#ifndef STORE_BASE_LIMITS_H
#define STORE_BASE_LIMITS_H

#define LIMIT_NAME_MAX       255u /* bytes of one file name */
#define LIMIT_LINE_MAX       4096u /* of a metric history being written */
#define LIMIT_JSON_DEPTH_MAX 64u

#endif
