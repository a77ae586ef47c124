/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng - the trainer's own random numbers, so that a seed means the same everywhere and for ever.
 *
 * PCG32 (XSH-RR 64/32) after M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient
 * Statistically Good Algorithms for Random Number Generation", Harvey Mudd College HMC-
 * CS-2014-0905, 2014, section 6.3. A 64-bit linear congruential state whose high bits choose how
 * far its folded middle is rotated.  Each STREAM is a sequence of its own: a forest's tree number t
 * draws from stream t.
 */
#ifndef TRAINER_RNG_H
#define TRAINER_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state;
	uint64_t increment; /* odd; names the stream */
};

void rng_init(struct rng *r, uint64_t seed, uint64_t stream);
uint32_t rng_next(struct rng *r);

/* Each of 0 .. BOUND-1 equally often (what would favour some is drawn again); BOUND > 0. */
uint32_t rng_below(struct rng *r, uint32_t bound);

/* Fisher and Yates's shuffle. */
void rng_shuffle(struct rng *r, uint32_t *items, size_t count);

#endif
