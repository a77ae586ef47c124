/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits - the sizes that more than one module of the store must agree on.  What users may rely on stands in the
 * manual; a limit of one module only stands in that module.
 */
#ifndef STORE_BASE_LIMITS_H
#define STORE_BASE_LIMITS_H

#define LIMIT_NAME_MAX       255u /* bytes of one file name */
#define LIMIT_HEAD_NAME_MAX  240u /* of a dataset or model, so that NAME@vN fits */
#define LIMIT_KEY_MAX        250u /* of a param, metric or tag */
#define LIMIT_PARAM_MAX      6000u
#define LIMIT_TAG_MAX        8000u
#define LIMIT_LINE_MAX       4096u /* of a metric history being written */
#define LIMIT_PATH_MAX       4096u
#define LIMIT_SYMLINK_MAX    4095u
#define LIMIT_DEPTH_MAX      1024u /* directories below each other in one tree */
#define LIMIT_JSON_DEPTH_MAX 64u

#endif
