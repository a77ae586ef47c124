/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng - see rng.h.
 */
#include "trainer/rng.h"

void rng_init(struct rng *r, uint64_t seed, uint64_t stream)
{
	r->state = 0;
	r->increment = (stream << 1) | 1;
	(void)rng_next(r);
	r->state += seed;
	(void)rng_next(r);
}

uint32_t rng_next(struct rng *r)
{
	uint64_t old = r->state;

	r->state = old * UINT64_C(6364136223846793005) + r->increment;
	uint32_t folded = (uint32_t)(((old >> 18) ^ old) >> 27);
	uint32_t turn = (uint32_t)(old >> 59);

	return (folded >> turn) | (folded << ((32 - turn) & 31));
}

uint32_t rng_below(struct rng *r, uint32_t bound)
{
	uint32_t surplus = (UINT32_MAX - bound + 1) % bound; /* 2^32 mod bound */

	for (;;) {
		uint32_t x = rng_next(r);

		if (x >= surplus)
			return x % bound;
	}
}

void rng_shuffle(struct rng *r, uint32_t *items, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = rng_below(r, (uint32_t)i);
		uint32_t held = items[i - 1];

		items[i - 1] = items[j];
		items[j] = held;
	}
}
