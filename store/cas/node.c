/* SPDX-License-Identifier: Apache-2.0 */
/* node - see node.h.  Nothing read from a node is believed before node_check() has added it all up. */
#include <errno.h>

#include "store/cas/node.h"

#define HEADER 2u
#define BOUNDARY_MASK 63u	/* of the last byte of the digest: one entry in 64 may end a node */

void node_begin(struct buf *b, uint8_t height)
{
	buf_reset(b);
	pack_u8(b, NODE_VERSION);
	pack_u8(b, height);
}

void node_add(struct buf *b, uint8_t height, const struct node_entry *e)
{
	pack_varint(b, e->len << 1 | (e->is_hole ? 1 : 0));
	if (e->is_hole)
		return;
	if (height > 1)
		pack_varint(b, e->holes);
	buf_add(b, e->id.bytes, sizeof(e->id.bytes));
}

bool node_ends_at(const struct node_entry *e)
{
	return !e->is_hole && (e->id.bytes[15] & BOUNDARY_MASK) == 0;
}

struct node_reader node_open(struct slice bytes)
{
	struct node_reader r = { unpack_init(bytes), 0 };

	(void)unpack_u8(&r.u);
	r.height = unpack_u8(&r.u);
	return r;
}

/* unpack_varint() with the usual short ones done here: reads of small pieces spend their time on this. */
static inline uint64_t take_varint(struct unpack *u)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 4 && i < u->left; i++) {
		v |= (uint64_t)(u->at[i] & 0x7f) << (7 * i);
		if (!(u->at[i] & 0x80)) {
			u->at += i + 1;
			u->left -= i + 1;
			return v;
		}
	}
	return unpack_varint(u);
}

bool node_next(struct node_reader *r, struct node_entry *ret)
{
	uint64_t word;

	if (r->u.bad || r->u.left == 0)
		return false;
	word = take_varint(&r->u);
	*ret = (struct node_entry){ .len = word >> 1, .is_hole = (word & 1) != 0 };
	if (ret->is_hole) {
		ret->holes = ret->len;
	} else {
		struct slice id;

		if (r->height > 1)
			ret->holes = take_varint(&r->u);
		id = unpack_bytes(&r->u, sizeof(ret->id.bytes));
		if (!r->u.bad)
			memcpy(ret->id.bytes, id.data, sizeof(ret->id.bytes));
	}
	return !r->u.bad;
}

int node_check(struct slice bytes, struct node_facts *ret)
{
	struct node_reader r = node_open(bytes);
	struct node_facts f = { .height = r.height };
	struct node_entry e;
	bool after_hole = false;

	if (bytes.len <= HEADER || ((const uint8_t *)bytes.data)[0] != NODE_VERSION ||
	    r.height < 1 || r.height > NODE_HEIGHT_MAX)
		return err_set(-EBADMSG, "a node of an unknown version or height");
	while (node_next(&r, &e)) {
		if (e.len == 0 || e.holes > e.len || (e.is_hole && (r.height > 1 || after_hole)))
			return err_set(-EBADMSG, "a node with an impossible entry");
		if (e.len > INT64_MAX - f.len)
			return err_set(-EBADMSG, "a node of more bytes than a file can have");
		f.len += e.len;
		f.holes += e.holes;
		f.entries++;
		after_hole = e.is_hole;
	}
	if (r.u.bad || f.entries > NODE_ENTRIES_MAX)
		return err_set(-EBADMSG, "a node that is cut short or too long");
	*ret = f;
	return 0;
}
