/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value - the text form of every single value and view: one grammar for reading and writing, for whatever door (path, command, import).
 *
 * A target names a value: its kind, the object it belongs to, and a key where the kind has keys.  Text is exact and ends in one newline;
 * value_size() is what value_render() would give, in O(1) for plain values and from counters for histories.
 * Grammar of each kind: man 7, section of its path.
 */
#ifndef STORE_META_VALUE_H
#define STORE_META_VALUE_H

#include "store/meta/meta.h"

enum value_kind {
	VALUE_RUN_NAME = 1,
	VALUE_RUN_EXPERIMENT,
	VALUE_RUN_USER,
	VALUE_RUN_DESCRIPTION,
	VALUE_RUN_PARENT,
	VALUE_RUN_STATUS,
	VALUE_RUN_START,
	VALUE_RUN_END,
	VALUE_RUN_DURATION, /* read only */
	VALUE_RUN_PARAM,
	VALUE_RUN_METRIC,
	VALUE_RUN_HISTORY,
	VALUE_RUN_TAG, /* owner = run number, key */
	VALUE_RUN_PARAMS_JSON,
	VALUE_RUN_METRICS_JSON,
	VALUE_RUN_TAGS_JSON, /* an object in, an object out */
	VALUE_RUN_JSON,      /* view: the whole record */
	VALUE_EXPERIMENT_DESCRIPTION,
	VALUE_EXPERIMENT_TAG,
	VALUE_EXPERIMENT_RUNS_CSV,
	VALUE_EXPERIMENT_RUNS_TSV, /* views; owner = experiment */
	VALUE_ALL_RUNS_CSV,
	VALUE_ALL_RUNS_TSV, /* views; owner 0 */
	VALUE_KIND_END
};

struct value_target {
	enum value_kind kind;
	uint32_t owner;
	uint32_t key; /* key id, 0 where the kind has none */
};

/* Does it exist (a param that has a value, …)?  -ENOENT.  Fixed fields always do while their owner lives. */
MUST_CHECK int value_exists(struct kv_view *view, const struct value_target *target);
MUST_CHECK int value_render(struct kv_view *view, const struct value_target *target,
			    struct buf *out);
/* The same in pieces of some 64 KiB, so that a view of 100,000 runs needs no memory for its text.  SINK answers 0, or what ends it and is returned. */
MUST_CHECK int value_stream(struct kv_view *view, const struct value_target *target,
			    int (*sink)(void *arg, struct slice piece), void *arg);
/* For VALUE_RUN_HISTORY: append the text from byte OFF on, at least LEN bytes if there are that many (so that huge histories are not rendered whole). */
MUST_CHECK int value_render_range(struct kv_view *view, const struct value_target *target,
				  uint64_t off, size_t len, struct buf *out);
MUST_CHECK int value_size(struct kv_view *view, const struct value_target *target,
			  uint64_t *ret); /* views: renders */
bool value_size_is_cheap(
	enum value_kind kind); /* false for views: a caller may want to cache or to use a worker */
MUST_CHECK int value_mtime_ms(struct kv_view *view, const struct value_target *target,
			      int64_t *ret); /* when it was logged; views: of their run */
/* May it be written at all now (kind writable, owner not frozen)?  0, -EPERM with the reason, -EACCES for read-only kinds. */
MUST_CHECK int value_check_writable(struct kv_view *view, const struct value_target *target);
/* rm: takes it back.  -EPERM on a frozen run, -EPERM for what cannot be removed. In a batch. */
MUST_CHECK int value_remove(struct meta *m, const struct value_target *target);
/* Rename inside params/ or tags/ of a running run. In a batch. */
MUST_CHECK int value_rename(struct meta *m, const struct value_target *from,
			    const struct value_target *to);

/*
 * A writer is one open…close: CONTRACT "Values".  value_write opens its own batch and takes whole what it answers: the bytes taken (maybe
 * fewer than given, when a later line is bad), or -EINVAL -EILSEQ -EFBIG -EPERM -ENOSPC… with nothing of it taken.
 * value_flush is close(2): refuses what is unfinished (-EINVAL); may come more than once (dup).  value_writer_free lets go.
 */
struct value_writer;
MUST_CHECK int value_writer_new(struct meta *m, const struct value_target *target, bool append,
				const struct meta_actor *who, struct value_writer **ret);
MUST_CHECK ssize_t value_write(struct value_writer *w, struct slice bytes);
MUST_CHECK int value_flush(struct value_writer *w);
/* The same at an open: a param needs it only when it has a value already (what is only the beginning of that value is refused at close). */
bool value_open_needs_flush(struct kv_view *view, const struct value_target *target);
bool value_writer_wrote(const struct value_writer *w); /* anything logged or pending through it? */
void value_writer_free(struct value_writer *w);

#endif
