/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - memory that is there or ends the program.
 *
 * A trainer that runs out of memory has nothing to go on with: these never return NULL; they run
 * the hook, print one line and exit 1.  Sizes that come from files are bounded before they get
 * here.
 */
#ifndef TRAINER_MEM_H
#define TRAINER_MEM_H

#include <stddef.h>

/* COUNT things of SIZE bytes, zeroed.  The caller frees them. */
void *mem_zalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/*
 * OLD (may be NULL) made to hold NEED things of SIZE bytes, at least doubling *CAP; new ones are
 * zero.
 */
void *mem_grow(void *old, size_t *cap, size_t need, size_t size) __attribute__((returns_nonnull));

/* A copy of LEN bytes and a NUL.  The caller frees it. */
char *mem_dup(const char *bytes, size_t len) __attribute__((malloc, returns_nonnull));

/* Called before the program ends for want of memory; NULL for nothing. */
void mem_on_exhausted(void (*hook)(void));

void mem_scoped_free(void *pp);
#define SCOPED_FREE __attribute__((cleanup(mem_scoped_free)))

#endif
