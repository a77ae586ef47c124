/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry - a dataset or a model: one top-level name of /data or /models, with its head, its versions and their aliases.
 *
 * The head is a tree (store/tree) whose root is a regular file or a directory; a version is an epoch of a tree, with a number that is
 * never used twice under one name.  Each head has a tree of its own: what replaces a head brings its tree along, so that descriptors that
 * are open on either go on meaning what they meant.  Names: CONTRACT "Names" and "Versions".  Threads and batches: meta/meta.h.
 */
#ifndef STORE_META_ENTRY_H
#define STORE_META_ENTRY_H

#include "store/meta/meta.h"

enum entry_space { ENTRY_DATA = 1, ENTRY_MODELS = 2 };

struct entry {
	uint32_t id;
	enum entry_space space;
	struct slice name;		/* iris.csv, raw */
	bool is_dir;			/* of the head; without one, of the last there was */
	bool has_head;			/* rm of a head leaves versions and aliases */
	bool trashed;
	bool destroyed;			/* only its name is left, for the lineage of runs */
	uint32_t tree;			/* of the head; 0 without one */
	uint32_t cut_epoch;		/* of TREE, at the last cut; 0: never cut in that tree */
	uint32_t next_version;		/* the number that the next cut gets */
	uint32_t newest;		/* number of the newest living version, 0 none */
	int64_t created_ms, changed_ms, deleted_ms;
	uint32_t uid, gid;
	struct slice description;	/* MLflow's registered model fields */
};

enum version_stage { STAGE_NONE = 0, STAGE_STAGING, STAGE_PRODUCTION, STAGE_ARCHIVED };

struct version {
	uint32_t serial;		/* names the version everywhere, below 2^26 */
	uint32_t entry;
	uint32_t n;			/* the v of @vN */
	struct tree_place place;
	bool is_dir;
	bool trashed;			/* by itself; its entry may be, too */
	bool destroyed;			/* its bytes are gone; the record stays while a run's lineage names it */
	int64_t created_ms, changed_ms, deleted_ms;
	uint32_t uid;
	uint32_t run;			/* the run that made it, 0 none */
	uint64_t bytes;			/* size of the file, or of all files */
	struct slice message;
	/* MLflow's model version fields. */
	enum version_stage stage;
	struct slice description, source, run_link, logged_model;
};

/* --- names ------------------------------------------------------------------------------------------------ */

enum entry_name_kind { ENTRY_NAME_HEAD = 1, ENTRY_NAME_VERSION, ENTRY_NAME_ALIAS };
struct entry_name {
	enum entry_name_kind kind;
	char head[META_NAME_MAX + 1];	/* the head's name that it belongs to */
	uint32_t n;			/* ENTRY_NAME_VERSION */
	char word[META_NAME_MAX + 1];	/* ENTRY_NAME_ALIAS, "latest" too */
	bool fits_file, fits_dir;	/* is the text how a file's, a tree's version or alias is spelt? at least one is */
};
/* iris@v3.csv -> iris.csv, 3; x.zarr@v2 -> x.zarr, 2; iris@best.csv -> alias.  Syntax only.  -EINVAL, -EILSEQ, -ENAMETOOLONG. */
MUST_CHECK int entry_name_parse(struct slice text, struct entry_name *ret);
/* The name of version N (or of alias WORD) of a head: IS_DIR puts it at the end, a file before its last extension (.tar.gz … count as one). */
void entry_name_version(struct slice head, bool is_dir, uint32_t n, struct buf *out);
void entry_name_alias(struct slice head, bool is_dir, struct slice word, struct buf *out);
MUST_CHECK int entry_name_check(struct slice head);	/* can it be a head's name? no '@', <= 240 bytes, UTF-8, not scratch. -EINVAL … */

/* What a name below /data or /models means now: a living head, a living version, or an alias (then the version it names). -ENOENT. */
struct entry_found {
	enum entry_name_kind kind;
	uint32_t entry;
	uint32_t serial, n;		/* version, alias */
	bool is_dir;
};
MUST_CHECK int entry_lookup(struct kv_view *view, enum entry_space space, struct slice text, struct entry_found *ret);

/* --- entries ------------------------------------------------------------------------------------------------ */

/* A new head, file or directory by MODE's type; an entry of that name without a head gets its head back and goes on counting. -EEXIST. */
MUST_CHECK int entry_make_head(struct meta *m, enum entry_space space, struct slice name, uint32_t mode, const struct meta_actor *who, uint32_t *ret_id);
/* An entry without a head and without versions, as MLflow registers a model before its first version. -EEXIST. */
MUST_CHECK int entry_register(struct meta *m, enum entry_space space, struct slice name, const struct meta_actor *who, uint32_t *ret_id);
MUST_CHECK int entry_find(struct kv_view *view, enum entry_space space, struct slice name, uint32_t *ret_id);	/* living, with or without head */
MUST_CHECK int entry_get(struct kv_view *view, uint32_t id, struct entry *ret);		/* trashed ones too; -ENOENT */
/* The living, with or without head, by name, above AFTER (empty: all). */
MUST_CHECK int entry_each(struct kv_view *view, enum entry_space space, struct slice after, int (*emit)(void *arg, const struct entry *e), void *arg);
/* The living of SPACE by id, from FROM on: an order that no rename changes, for listings that are read in parts. */
MUST_CHECK int entry_each_from(struct kv_view *view, enum entry_space space, uint32_t from, int (*emit)(void *arg, const struct entry *e), void *arg);
/* rm of a head: cuts what is uncut first (not an empty directory); versions and aliases stay.  An entry that never had a version and whose head was
 * not once closed after writing goes whole: then *RET_GONE (may be NULL).  The directory's being empty is the caller's to ask for. */
MUST_CHECK int entry_remove_head(struct meta *m, uint32_t id, const struct meta_actor *who, bool *ret_gone);
/* Versions and aliases follow.  -EEXIST when an entry of that name lives, head or none: then entry_replace() is what mv means. */
MUST_CHECK int entry_rename(struct meta *m, uint32_t id, struct slice name);
/* mv A B over an entry, with or without head: what B had uncut is cut, A's content becomes B's next version and A's tree B's head; A leaves nothing if no run
 * or alias knows it (the cut that a still running WHO->run made does not count: the output becomes B's), else its versions.  -EISDIR, -ENOTDIR, -ENOTEMPTY as rename(2). */
MUST_CHECK int entry_replace(struct meta *m, uint32_t from, uint32_t onto, const struct meta_actor *who);
MUST_CHECK int entry_exchange(struct meta *m, uint32_t a, uint32_t b, const struct meta_actor *who);	/* RENAME_EXCHANGE of two heads' contents; both are cut */
/* mv of a name in a scratch tree to NAME: it becomes NAME's head, over the one there is, and is cut. The name in the scratch tree goes. */
MUST_CHECK int entry_adopt(struct meta *m, enum entry_space space, struct slice name, uint32_t tree, uint32_t dir, struct slice tree_name,
			   const struct meta_actor *who, uint32_t *ret_id);
/* mv of a head to a name in a scratch tree, replacing what is there (as `vim` does for its backup): what is uncut is cut, the content moves, versions stay. */
MUST_CHECK int entry_surrender(struct meta *m, uint32_t id, uint32_t tree, uint32_t dir, struct slice tree_name, const struct meta_actor *who);
/* Head, versions and aliases go to the trash, whatever is uncut with them. */
MUST_CHECK int entry_trash(struct meta *m, uint32_t id);
MUST_CHECK int entry_restore(struct meta *m, uint32_t id, struct slice name);		/* -EEXIST */
/* From the trash, for ever.  Versions that a run's lineage names leave their record without bytes, and numbers are not used again under that name. */
MUST_CHECK int entry_destroy(struct meta *m, uint32_t id);
MUST_CHECK int entry_set_description(struct meta *m, uint32_t id, struct slice text);

/* --- cutting -------------------------------------------------------------------------------------------------- */

/* Does the head differ from the newest version?  Any thread with a view.  -ENOENT without a head; -E2BIG when more than MAX_BYTES (0: no limit) would
 * have to be compared: then a worker asks with a snapshot and the core acts by entry_cut_known(). */
MUST_CHECK int entry_differs(struct meta *m, struct kv_view *view, uint32_t id, uint64_t max_bytes, bool *ret);
/* The head becomes the next version when it differs from the newest one (else *RET_N is the newest and a message replaces its message).
 * RUN made it (0: WHO's, or nobody's) and gains the output.  -ENOENT without a head.  RET_N may be NULL. */
MUST_CHECK int entry_cut(struct meta *m, uint32_t id, struct slice message, uint32_t run, const struct meta_actor *who, uint32_t *ret_n);
MUST_CHECK int entry_cut_known(struct meta *m, uint32_t id, bool differs, struct slice message, uint32_t run, const struct meta_actor *who, uint32_t *ret_n);
/* The last descriptor that may write a file head was closed.  APPENDED: only appended to: then the cut waits two quiet seconds (or entry_settle).  In a batch. */
MUST_CHECK int entry_written(struct meta *m, uint32_t id, bool appended, const struct meta_actor *who);
/* As entry_written(), but whether the head differs is being found out elsewhere: nothing is cut by time, only by entry_settle() and what follows.
 * entry_decided(): it was found out (and cut, by entry_cut_known()). */
MUST_CHECK int entry_defer(struct meta *m, uint32_t id, const struct meta_actor *who);		/* in a batch */
void entry_decided(struct meta *m, uint32_t id);
/* Anyone looks for versions: pending cuts of ID (0: of all) happen now.  Opens its own batch; cheap when nothing is pending. */
MUST_CHECK int entry_settle(struct meta *m, uint32_t id);
MUST_CHECK int entry_settle_due(struct meta *m, int64_t now_mono_ms, int64_t *ret_next_ms);	/* timer; own batch; *RET_NEXT_MS -1: nothing pending */
bool entry_is_pending(const struct meta *m, uint32_t id);	/* 0: anything */
/* RUN has written into the head of ENTRY: it is cut as RUN's output when RUN ends.  In a batch; cheap when known. */
MUST_CHECK int entry_mark_written(struct meta *m, uint32_t id, uint32_t run);

/* --- versions -------------------------------------------------------------------------------------------------- */

MUST_CHECK int version_get(struct kv_view *view, uint32_t entry, uint32_t n, struct version *ret);	/* trashed and destroyed ones too */
MUST_CHECK int version_by_serial(struct kv_view *view, uint32_t serial, struct version *ret);
MUST_CHECK int version_each(struct kv_view *view, uint32_t entry, uint32_t after, int (*emit)(void *arg, const struct version *v), void *arg);	/* living, by number */
MUST_CHECK int version_set_message(struct meta *m, uint32_t serial, struct slice text);
MUST_CHECK int version_set_description(struct meta *m, uint32_t serial, struct slice text);
MUST_CHECK int version_set_stage(struct meta *m, uint32_t serial, enum version_stage stage);
MUST_CHECK int version_set_origin(struct meta *m, uint32_t serial, struct slice source, struct slice run_link, struct slice logged_model);	/* MLflow's */
/* -EBUSY with the reason when a run read it or an alias names it. */
MUST_CHECK int version_trash(struct meta *m, uint32_t serial);
MUST_CHECK int version_restore(struct meta *m, uint32_t serial);	/* -EBUSY while its entry is in the trash */
MUST_CHECK int version_destroy(struct meta *m, uint32_t serial);	/* from the trash */

/* --- aliases; "latest" is computed, never stored ------------------------------------------------------------------ */

MUST_CHECK int alias_word_check(struct slice word);	/* letters, digits, _ and -; not "latest", not vN */
MUST_CHECK int alias_set(struct meta *m, uint32_t entry, struct slice word, uint32_t n, const struct meta_actor *who);	/* logged */
MUST_CHECK int alias_remove(struct meta *m, uint32_t entry, struct slice word, const struct meta_actor *who);		/* logged; "latest": -EPERM */
MUST_CHECK int alias_get(struct kv_view *view, uint32_t entry, struct slice word, uint32_t *ret_n);	/* "latest" too */
struct alias { struct slice word; uint32_t n; int64_t changed_ms; };
MUST_CHECK int alias_each(struct kv_view *view, uint32_t entry, int (*emit)(void *arg, const struct alias *a), void *arg);	/* stored ones */
struct alias_move { uint32_t seq; int64_t at_ms; struct slice word; uint32_t from, to; uint32_t uid, run; };	/* 0: none */
MUST_CHECK int alias_log_each(struct kv_view *view, uint32_t entry, int (*emit)(void *arg, const struct alias_move *mv), void *arg);

#endif
