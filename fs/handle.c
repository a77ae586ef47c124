/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle - a list of all open handles, hashed by node.
 */
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/handle.h"
#include "fs/handle_internal.h"

#define BUCKETS 1024u

struct handles {
	struct handle *bucket[BUCKETS];
	uint64_t count;
};

static struct handle **bucket_of(struct handles *all, uint64_t node)
{
	return &all->bucket[(node * 0x9e3779b97f4a7c15u) >> 54];
}

int handles_new(struct handles **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void handles_free(struct handles *all)
{
	free(all);
}

uint64_t handles_count(const struct handles *all)
{
	return all->count;
}

struct handle *handles_any(struct handles *all)
{
	for (size_t i = 0; i < BUCKETS; i++)
		if (all->bucket[i])
			return all->bucket[i];
	return NULL;
}

struct handle *handle_new(struct fs *fs, uint64_t node, int flags)
{
	struct handle **bucket = bucket_of(fs->handles, node);
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->node = node;
	h->ops = node_ops_of(node);
	h->flags = flags;
	h->next = *bucket;
	if (h->next)
		h->next->prev = h;
	*bucket = h;
	fs->handles->count++;
	return h;
}

static void handle_unlink(struct fs *fs, struct handle *h)
{
	if (h->prev)
		h->prev->next = h->next;
	else
		*bucket_of(fs->handles, h->node) = h->next;
	if (h->next)
		h->next->prev = h->prev;
	h->next = h->prev = NULL;
}

void handle_set_node(struct fs *fs, struct handle *h, uint64_t node)
{
	struct handle **bucket;

	handle_unlink(fs, h);
	h->node = node;
	h->ops = node_ops_of(node);
	bucket = bucket_of(fs->handles, node);
	h->next = *bucket;
	if (h->next)
		h->next->prev = h;
	*bucket = h;
}

void handle_free(struct fs *fs, struct handle *h)
{
	if (!h)
		return;
	handle_unlink(fs, h);
	fs->handles->count--;
	free(h);
}

struct handle *handle_next(struct fs *fs, uint64_t node, const struct handle *after)
{
	struct handle *h = after ? after->next : *bucket_of(fs->handles, node);

	while (h && h->node != node)
		h = h->next;
	return h;
}
