/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release - a models directory: the tree NAME, its versions NAME@v1, NAME@v2 …, aliases NAME@WORD.
 *
 * On a labfs mount a message written to NAME/.commit cuts a version and the mount keeps it.  In an
 * ordinary folder .commit is a file like any other; then versions are directories that this module
 * makes, each in one rename.  Which of the two it is shows when .commit is read back: a version's
 * name, or the message.
 */
#ifndef TRAINER_RELEASE_H
#define TRAINER_RELEASE_H

#include "trainer/fail.h"

enum { RELEASE_NAME_SIZE = 300 };

/*
 * Make MODELS/NAME like the tree FROM and cut a version; equal content gives the version that is
 * there.
 */
MUST_CHECK int release_cut(const char *models, const char *name, const char *from,
			   const char *message, char ret_version[RELEASE_NAME_SIZE]);

/* The alias NAME@WORD becomes a link to VERSION in one step, as `ln -sfn` does it. */
MUST_CHECK int release_point(const char *models, const char *name, const char *word,
			     const char *version);

/* What the alias points to: 1 and RET_VERSION, 0 if there is no such alias, or -errno. */
MUST_CHECK int release_pointed(const char *models, const char *name, const char *word,
			       char ret_version[RELEASE_NAME_SIZE]);

#endif
