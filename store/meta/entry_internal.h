/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_internal - what entry*.c, version.c, alias.c, lineage.c and trash.c share; no one else includes it, but the tests for planting
 * faults.  Core thread within a batch, unless it takes a view.
 *
 * Invariants (entries_check, numbers in its reports):
 *  1. A name row names a living entry of that name, and every living entry has one; its floor is above every number that a trashed or
 *     destroyed entry of that name had, and no entry that took the name since counts from below it.
 *  2. newest is the highest number of the versions that are neither trashed nor destroyed; next_version is above all numbers.
 *  3. A version has a serial row; one that is not destroyed has a tree row and a readable root of its type, one that is destroyed has none.
 *  4. A head's tree belongs to its entry; without a head the entry has no tree.
 *  5. An alias names a version that is neither trashed nor destroyed.
 *  6. Each lineage link stands in both directions and names a version record; a destroyed record has a link.
 *  7. Trash rows and names agree with the objects' flags, both ways.
 */
#ifndef STORE_META_ENTRY_INTERNAL_H
#define STORE_META_ENTRY_INTERNAL_H

#include "store/meta/entry.h"
#include "store/meta/lineage.h"
#include "store/meta/meta_internal.h"
#include "store/meta/trash.h"

#define VERSION_SERIAL_MAX ((1u << 26) - 1)
#define ENTRY_ID_MAX ((1u << 26) - 1)

/* --- records that own their texts: the engine's slices do not outlive a change ---------------------------------- */

struct entry_own {
	struct entry e;
	struct buf text;
};
struct version_own {
	struct version v;
	struct buf text;
};
#define OWN_INIT { .text = BUF_INIT }
void entry_own_release(struct entry_own *o);
void version_own_release(struct version_own *o);
#define SCOPED_ENTRY __attribute__((cleanup(entry_own_release)))
#define SCOPED_VERSION __attribute__((cleanup(version_own_release)))

MUST_CHECK int entry_load(struct kv_view *view, uint32_t id, struct entry_own *ret);		/* in whatever state */
MUST_CHECK int entry_load_living(struct kv_view *view, uint32_t id, struct entry_own *ret);	/* -ENOENT when trashed or destroyed */
MUST_CHECK int entry_save(struct meta *m, const struct entry *e);
MUST_CHECK int entry_decode(struct slice record, uint32_t id, struct entry *ret);
const char *entry_space_name(enum entry_space space);		/* "data", "models" */
enum trash_dir entry_trash_dir(enum entry_space space);
/* *RET_ID 0: no living entry; *RET_FLOOR: the first number that was not used under that name, 1 when none was. Never -ENOENT. */
MUST_CHECK int entry_name_row(struct kv_view *view, enum entry_space space, struct slice name, uint32_t *ret_id, uint32_t *ret_floor);
MUST_CHECK int entry_name_put(struct meta *m, enum entry_space space, struct slice name, uint32_t id, uint32_t floor);
/* Everything of E goes; KEEP_FLOOR remembers its numbers under its name.  A record stays (destroyed) while lineage names its versions. */
MUST_CHECK int entry_erase(struct meta *m, struct entry_own *o, bool keep_floor);

/* --- heads ---------------------------------------------------------------------------------------------------------- */

/* Was nothing that a version keeps changed in the head since its last cut?  Cheap; false when in doubt. */
MUST_CHECK int entry_untouched(struct kv_view *view, const struct entry *e, bool *ret);
/* Cuts what is uncut of a head that is about to go (rm's rule), and reloads O. */
MUST_CHECK int entry_cut_last(struct meta *m, struct entry_own *o, const struct meta_actor *who);
/* O's head goes from it; the tree too, if no version lies in it.  O is not saved. */
MUST_CHECK int entry_drop_head(struct meta *m, struct entry_own *o);
MUST_CHECK int entry_dir_is_empty(struct kv_view *view, const struct entry *e, bool *ret);

/* --- versions ------------------------------------------------------------------------------------------------------- */

MUST_CHECK int version_load(struct kv_view *view, uint32_t serial, struct version_own *ret);
MUST_CHECK int version_load_n(struct kv_view *view, uint32_t entry, uint32_t n, struct version_own *ret);
MUST_CHECK int version_decode(struct slice record, uint32_t entry, uint32_t n, struct version *ret);
MUST_CHECK int version_save(struct meta *m, const struct version *v);
/* A new version of E, whose serial is filled in: record, serial and tree rows.  E is not changed. */
MUST_CHECK int version_add(struct meta *m, struct version *v);
/* The version goes for ever: tags, tree row, epoch, tree; the record too, unless a run's lineage names it. */
MUST_CHECK int version_erase(struct meta *m, struct version_own *o);
MUST_CHECK int version_delete_record(struct meta *m, const struct version *v);		/* and its serial row */
MUST_CHECK int version_newest(struct kv_view *view, uint32_t entry, uint32_t *ret_n);	/* looks at the versions; 0 none */
MUST_CHECK int version_tree_used(struct kv_view *view, uint32_t tree, bool *ret);		/* does any version lie in it? */
MUST_CHECK int version_text_check(struct slice text, const char *what);			/* -EFBIG, -EILSEQ */

/* --- lineage --------------------------------------------------------------------------------------------------------- */

/* Does any run know the version?  Outputs by cut of the running RUN (0: none) do not count. */
MUST_CHECK int lineage_known(struct kv_view *view, uint32_t entry, uint32_t n, uint32_t run, bool *ret);
MUST_CHECK int lineage_forget_version(struct meta *m, uint32_t entry, uint32_t n);		/* its links, not its record */

/* --- tags ------------------------------------------------------------------------------------------------------------ */

MUST_CHECK int entry_tags_delete(struct meta *m, bool of_version, uint32_t owner);

#endif
