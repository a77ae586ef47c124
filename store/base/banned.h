/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banned - functions that have a safe replacement here may not be used.  The Makefile includes this header into every
 * file by -include; it first includes the system headers that declare them.
 *
 * strcpy, strcat, sprintf: buf_add_*(), snprintf().  strtok: slices.  gmtime: clock_format_ms().  atoi: num_parse_i64().
 */
#ifndef STORE_BASE_BANNED_H
#define STORE_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime atoi

#endif
