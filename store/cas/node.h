/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node - the bytes of a NODE chunk: a list of entries, each a run of a file's bytes.  At height 1 an entry is a chunk of
 * data or a hole; above, a node one lower.  Bytes: FORMAT.md, "Nodes".  Private to store/cas.
 */
#ifndef STORE_CAS_NODE_H
#define STORE_CAS_NODE_H

#include "store/base/hash.h"
#include "store/base/pack.h"

#define NODE_VERSION 1
#define NODE_HEIGHT_MAX 12	/* 32^11 chunks of 2 KiB are more than a file can have */
#define NODE_ENTRIES_MIN 32	/* a node ends at the first entry from here on whose digest says so ... */
#define NODE_ENTRIES_MAX 256	/* ... or here */
#define NODE_BYTES_MAX (2 + NODE_ENTRIES_MAX * 36)

struct node_entry {
	uint64_t len;		/* bytes of the file, > 0 */
	uint64_t holes;		/* of those: not backed by data; 0 or LEN at height 1 */
	struct digest id;	/* zero for a hole */
	bool is_hole;
};

/* What a whole node says of itself. */
struct node_facts {
	uint8_t height;
	unsigned entries;
	uint64_t len, holes;
};

struct node_reader {
	struct unpack u;
	uint8_t height;
};

void node_begin(struct buf *b, uint8_t height);
void node_add(struct buf *b, uint8_t height, const struct node_entry *e);

/* Does the node end behind this entry, by what its digest says? */
bool node_ends_at(const struct node_entry *e);

/* Look at every entry once.  -EBADMSG for anything that a writer would not have written.  Do this before node_next(). */
MUST_CHECK int node_check(struct slice bytes, struct node_facts *ret);

/* Walk a node that node_check() found good; borrowed from BYTES. */
struct node_reader node_open(struct slice bytes);
bool node_next(struct node_reader *r, struct node_entry *ret);

#endif
