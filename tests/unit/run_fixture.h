/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_fixture - the fixture of entry_fixture.h with short ways to make runs and to write and read their values as a user does.
 */
#ifndef TESTS_UNIT_RUN_FIXTURE_H
#define TESTS_UNIT_RUN_FIXTURE_H

#include <math.h>

#include "tests/unit/entry_fixture.h"
#include "store/base/num.h"
#include "store/meta/keydir.h"
#include "store/meta/meta_internal.h"
#include "store/meta/metric.h"
#include "store/meta/param.h"
#include "store/meta/value.h"

static inline struct kv_view *live(struct fixture *f)
{
	return kv_live(f->kv);
}

static inline uint32_t rx_run(struct fixture *f)
{
	uint32_t run = 0;

	OK(f, run_make(f->m, EXPERIMENT_DEFAULT, &me, &run));
	return run;
}

/* The id of KEY, made when new. */
static inline uint32_t rx_key(struct fixture *f, const char *key)
{
	uint32_t id = 0;

	if (kv_in_batch(f->kv))
		assert_int_equal(key_intern(f->m, S(key), &id), 0);
	else
		OK(f, key_intern(f->m, S(key), &id));
	return id;
}

static inline struct value_target rx_target(struct fixture *f, enum value_kind kind, uint32_t owner,
					    const char *key)
{
	return (struct value_target){ kind, owner, key ? rx_key(f, key) : 0 };
}

static inline struct value_writer *rx_open(struct fixture *f, enum value_kind kind, uint32_t owner,
					   const char *key, bool append)
{
	struct value_target t = rx_target(f, kind, owner, key);
	struct value_writer *w = NULL;

	assert_int_equal(value_writer_new(f->m, &t, append, &me, &w), 0);
	return w;
}

/* write(2) of TEXT: what it answers. */
static inline ssize_t rx_put(struct value_writer *w, const char *text)
{
	return value_write(w, S(text));
}

/* echo -n TEXT > value: 0, or what open, write or close refused. */
static inline int rx_write(struct fixture *f, enum value_kind kind, uint32_t owner, const char *key,
			   const char *text)
{
	struct value_target t = rx_target(f, kind, owner, key);
	struct value_writer *w = NULL;
	int rc = value_writer_new(f->m, &t, false, &me, &w);
	ssize_t n;

	if (rc < 0)
		return rc;
	n = value_write(w, S(text));
	rc = n < 0 ? (int)n : n < (ssize_t)strlen(text) ? -EINVAL : value_flush(w);
	value_writer_free(w);
	return rc;
}

/* What cat would show; "" when it cannot be read.  Its size must be what value_size says.  Valid until the next but three. */
static inline const char *rx_read(struct fixture *f, enum value_kind kind, uint32_t owner,
				  const char *key)
{
	static struct buf texts[4];
	static unsigned turn;
	struct value_target t = rx_target(f, kind, owner, key);
	struct buf *out = &texts[turn++ % 4];
	uint64_t size = 0;

	buf_reset(out);
	buf_add_str(out, "");
	if (value_render(live(f), &t, out) < 0) {
		buf_reset(out);
		return "";
	}
	assert_int_equal(value_size(live(f), &t, &size), 0);
	assert_int_equal(size, out->len);
	assert_int_equal(strlen(out->data ? out->data : ""), out->len);
	return out->data ? out->data : "";
}

static inline bool rx_has(struct fixture *f, enum value_kind kind, uint32_t owner, const char *key)
{
	struct value_target t = rx_target(f, kind, owner, key);

	return value_exists(live(f), &t) == 0;
}

#endif
