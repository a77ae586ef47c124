/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache - decoded chunks of which only a part was asked for, and nodes: sequential small reads decompress a chunk once.
 * A hash of lists under one mutex, the least recently used dropped when the bytes exceed the bound.  Copies are made
 * under the lock (at most 256 KiB, tens of microseconds), so that no entry needs a count of users.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/cas/cas_internal.h"

#define BUCKETS 512u
#define ENTRY_OVERHEAD 160u

struct entry {
	struct entry *next;			/* in the bucket */
	struct entry *newer, *older;		/* by use */
	struct digest id;
	uint32_t segment, offset;		/* 0, 0 for a chunk inside its row: then its stored bytes tell */
	struct slice stored;			/* owned */
	uint8_t *bytes;				/* owned */
	size_t len;
};

struct cache {
	pthread_mutex_t lock;
	struct entry *buckets[BUCKETS];		/* all below: protected by lock */
	struct entry *newest, *oldest;
	size_t bytes, bytes_max;
};

int cache_new(size_t bytes_max, struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->bytes_max = bytes_max;
	*ret = c;
	return 0;
}

static size_t entry_cost(const struct entry *e)
{
	return e->len + e->stored.len + ENTRY_OVERHEAD;
}

static void entry_free(struct entry *e)
{
	union { const void *in; void *out; } stored = { e->stored.data };

	free(stored.out);
	free(e->bytes);
	free(e);
}

static struct entry **bucket_of(struct cache *c, const struct digest *id)
{
	return &c->buckets[(id->bytes[0] | (unsigned)id->bytes[1] << 8) % BUCKETS];
}

static void unlink_use(struct cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void drop_oldest(struct cache *c)
{
	struct entry *e = c->oldest;
	struct entry **at = bucket_of(c, &e->id);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	unlink_use(c, e);
	c->bytes -= entry_cost(e);
	entry_free(e);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop_oldest(c);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *find(struct cache *c, const struct digest *id, const struct chunk_row *row)
{
	for (struct entry *e = *bucket_of(c, id); e; e = e->next) {
		if (memcmp(&e->id, id, sizeof(*id)) == 0 && e->len == row->raw &&
		    e->segment == row->segment && e->offset == row->offset &&
		    slice_eq(e->stored, row->bytes))
			return e;
	}
	return NULL;
}

bool cache_copy(struct cache *c, const struct digest *id, const struct chunk_row *row, uint64_t from, void *dst,
		size_t len)
{
	struct entry *e;

	pthread_mutex_lock(&c->lock);
	e = find(c, id, row);
	if (e) {
		memcpy(dst, e->bytes + from, len);
		unlink_use(c, e);
		link_newest(c, e);
	}
	pthread_mutex_unlock(&c->lock);
	return e != NULL;
}

void cache_add(struct cache *c, const struct digest *id, const struct chunk_row *row, void *bytes)
{
	struct entry *e = calloc(1, sizeof(*e));
	void *stored = row->is_inline ? malloc(row->bytes.len) : NULL;

	if (!e || (row->is_inline && !stored)) {
		free(e);
		free(stored);
		free(bytes);
		return;
	}
	if (stored)
		memcpy(stored, row->bytes.data, row->bytes.len);
	*e = (struct entry){ .id = *id, .segment = row->segment, .offset = row->offset, .bytes = bytes,
			     .len = row->raw, .stored = slice_of(stored, row->bytes.len) };
	pthread_mutex_lock(&c->lock);
	if (find(c, id, row)) {			/* another thread was first */
		pthread_mutex_unlock(&c->lock);
		entry_free(e);
		return;
	}
	e->next = *bucket_of(c, id);
	*bucket_of(c, id) = e;
	link_newest(c, e);
	c->bytes += entry_cost(e);
	while (c->bytes > c->bytes_max)
		drop_oldest(c);
	pthread_mutex_unlock(&c->lock);
}
