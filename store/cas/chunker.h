/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunker - where to cut a file into chunks, judged by its bytes, so that an insertion moves only the cuts beside it.
 *
 * FastCDC with a gear hash and two masks (Xia et al., USENIX ATC '16: "normalized chunking", level 2), the window warmed
 * for 64 bytes before the minimum.  Table, masks and sizes are part of the format: FORMAT.md, "Where files are cut".
 * No memory, no threads: the state belongs to whoever cuts.
 */
#ifndef STORE_CAS_CHUNKER_H
#define STORE_CAS_CHUNKER_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/slice.h"

/* Chunks that start below this offset of their file are small (an edit costs little), later ones large (few rows). */
#define CHUNKER_LARGE_FROM (128ull << 20)
#define CHUNKER_MAX (256u << 10)	/* no chunk is longer */
#define CHUNKER_GEAR_SEED 0x6c61626673ull

struct chunker_sizes {
	uint32_t min, avg, max;
	unsigned bits_before, bits_after;	/* top bits of the hash that must be zero before and from avg on */
};

struct chunker {
	const struct chunker_sizes *sizes;
	uint64_t hash;
	uint32_t len;			/* bytes of the current chunk so far */
};

/* The sizes for a chunk that starts at OFFSET of its file. */
const struct chunker_sizes *chunker_sizes_at(uint64_t offset);

/* A chunk starts at OFFSET of its file. */
void chunker_begin(struct chunker *c, uint64_t offset);

/* How many of BYTES still belong to the chunk; *RET_CUT when it ends with them (then chunker_begin the next). */
size_t chunker_scan(struct chunker *c, struct slice bytes, bool *ret_cut);

/* Entry I of the gear table: the (I+1)-th output of SplitMix64 seeded with CHUNKER_GEAR_SEED. */
uint64_t chunker_gear(uint8_t i);

#endif
