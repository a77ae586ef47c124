/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunker - the gear hash is h = 2h + gear[byte]: 64 bytes back nothing of a byte is left, so whether a cut falls
 * behind a byte depends on the 64 bytes before it alone, and on the length of the chunk so far.  Phases of a chunk:
 *
 *	0 .. min-64	not looked at (no cut can depend on it)
 *	.. min		hashed, never cut
 *	.. avg		cut where the top bits_before bits are zero (hard)
 *	.. max		cut where the top bits_after bits are zero (easy)
 *	max		cut
 */
#include "store/cas/chunker.h"

#define WINDOW 64u

static const struct chunker_sizes sizes_small = { 2u << 10, 8u << 10, 64u << 10, 15, 11 };
static const struct chunker_sizes sizes_large = { 16u << 10, 64u << 10, CHUNKER_MAX, 18, 14 };

/* A test computes it again by the rule in the header. */
static const uint64_t gear[256] = {
	0xfc9ce705cc99d7ce, 0xe1fa35831a2c1d8c, 0x9cbaf76544e42958, 0x9e1a20027d5e0621,
	0x788271218f57278a, 0x53a091e811700615, 0xade73f31405dee86, 0x90ab71544166a7f2,
	0x6cc44a05ace7e438, 0xda294b5739c7d6a0, 0x936770114bd261c3, 0x8ce4adc160f35cdc,
	0x4b77cbdd7f17e764, 0xcb09e383960c9f07, 0x0176cf29633baafc, 0x940b82b30226ccdb,
	0x0c81c298142b5ca2, 0x875972b403b3555e, 0x1f31337dc1f74089, 0x959abbdae50623e7,
	0x2981b52650663496, 0x389e92d6377248bb, 0xc385c9edfeff41c7, 0x518fd307e355d9f0,
	0x8c0b2161d805b0a7, 0x6b2bf2fd1c077033, 0x43436574cfb617c1, 0x7a9a36d475d07a01,
	0x5ab101109cfd4cc3, 0xa13f1acdc90857ac, 0xb6cffb606185d82a, 0xd5be47714072c615,
	0x545b48b7299fecee, 0x382745157643cddb, 0x8c3bbbb2136d3241, 0xacc701ceb3016d30,
	0xcc4903fe4f374c85, 0x2763042b516deb5d, 0xaa9f2d23c54fcb78, 0x0bc33aa7ff931788,
	0xbfe8231d31c84014, 0x65071c263dd2c3d1, 0x9bbfe927a4038364, 0x383cefb031482d8c,
	0xea0b0e34850fb6e8, 0x30ec15b174883e15, 0x333b25026bb32586, 0x1c7d13fe816a1086,
	0x8b96ce49cb1f7185, 0xde08cb5ba22a8738, 0x9e0b12fd3bd24c55, 0x812470551503afa9,
	0x2ffa7b2579c78c08, 0xcb104a3e8390079d, 0xae1c6cbd920b33d8, 0x654d9e9fced629ab,
	0xb28840e856314c5f, 0x2f5d3bc0b128fd8b, 0x64aa201448571e2c, 0xb83ae881f290a206,
	0x92ca98d1225f58ec, 0x05b10a92d12f4542, 0x02a1d611156c9e7d, 0xce47817bdcaec15c,
	0xbeaf46707c5bc107, 0x868684ff65166833, 0x442bc1a093b4b15a, 0x480b04bfb5dad243,
	0xd9f14a6901454e50, 0x14e4a17a26175676, 0xe21408b40528b565, 0x021d6574f71ddad9,
	0x24813973fe6719ba, 0x0304587d374e816f, 0xaa409a17b407776d, 0x79affd168e905ef4,
	0x090087219479fbca, 0x9181875a7ee76d21, 0xb86e03e2ae9055f2, 0xf6f5a93421d7af24,
	0x53c7515d761e5d32, 0xb781fd2ab1e4436a, 0x291ef13db6b8f737, 0x6b60b2c3b4939bbe,
	0xad9204ed5f1acd76, 0x51c9d38653dd167d, 0xb231270c67333d73, 0x1c2fab0ca80b436b,
	0x62a9be071b8556db, 0x601e1be0e0a5c273, 0x217dc551ddccc312, 0x0fc4f6812d3f4dba,
	0x1e64b2a54cca205e, 0x12b942f7c37e32c2, 0x56be033eef246c4a, 0x3f8831cbc20ec47b,
	0xd9a5536d02e7a4f9, 0x011ab14360df69b3, 0x7135445fd78d868e, 0xfe44fde7b0a473fc,
	0x5a91068aee26db70, 0xaf357aecd1b36087, 0x96bb0497be4df4b0, 0xc6d6aa078828faa5,
	0x324dce3f0448bd92, 0xbfd90c4fbd140b74, 0x2cf4d2d806dfa43e, 0x14914856ccbe0133,
	0x056bce588b3d9107, 0xe35626b153c0fd6c, 0x4c33c5d27770b492, 0xc9aa03046b1fe6ee,
	0x9f4ddcbcef23718a, 0x6b56559819b06508, 0x08008288b51ca843, 0x86d042efe6c7fca8,
	0xc307467c55e94758, 0x5ca7939f6b35ab8c, 0x7c821fbf25574a98, 0x3f1941862fe23160,
	0x7e991010fe5bf752, 0x0b46265c1373240c, 0x3d479069b5d777cf, 0x9bfb49c62f8ace38,
	0xfa4cacbe9fa2f2b1, 0xc46477124890d68e, 0x0bca6dbdf658e52c, 0x82b0e76201d48237,
	0xdc8c5fea5fb7b3bb, 0x122ec84f9c0e0206, 0x3e4709290119cdf1, 0xd8bfcc989f5dcd92,
	0x8152caa7cd9ec1fb, 0xd4394ffe8c529e19, 0x321d9ffc90b4ba2e, 0xedaba6fdcd9ecc17,
	0xc477607804044bea, 0x98f6b7f921d39304, 0x3ba22bc2611f9e9b, 0xb964f5249fde8f96,
	0xc5e2ea65cf5ffb40, 0x707e87e367828d98, 0x004fbd770d942be6, 0xa4627239389dd497,
	0xb286e6e890148392, 0xd29dcc55907f6c4e, 0x89b9d970ecebfc62, 0x90eed7ac86c3ea01,
	0x0a336b32c29bda57, 0x80e9de270f4ddbea, 0x8b7e5d35a92a18ec, 0x8e2a65de09c50be9,
	0x47c4f37becbec721, 0x56d675437a68e806, 0xded7d77bb5fc0b0a, 0x6fef28dbf0a00af6,
	0xfcf3804b33da49a1, 0x706ded09b2d31961, 0x3889d445ab0a3588, 0x2be081cde9ba321f,
	0xb4c9bf4eb0406c67, 0x462ad81d8c1b70b9, 0x460e7be83a520ce1, 0x2c05b1e8975ade90,
	0xb4632950347d336b, 0x1049ede639c54ff2, 0xdd7133d436758c93, 0x32a0606781934495,
	0x1c7abfe788ab7e01, 0x0b7983da8b52e393, 0xfe5bed4aee30f407, 0x9afb3df8965c52c8,
	0x8ae44f63a20f2187, 0x7ef8994ec7fddfe6, 0x88e6a8ef823db3dc, 0xc2cab41731bfc960,
	0x515af16adea7f336, 0xad3047a7372c4af4, 0xa0fecc090a070f5d, 0xbd34a0955fd1081f,
	0xe49f189de3288a3a, 0x6a655c037bc2299d, 0x7ea826a7c493c9f8, 0x90f9821eb8f3c97c,
	0x13db521289e0d858, 0x403b71fd6574a082, 0xfde75e38cbed76a4, 0x39f7d54b34bb2cfa,
	0x00bc24c69c5df25e, 0x8f8892dee0b88471, 0xc3bf8c17c95e8e59, 0xac88d22b2edbf24a,
	0x26817f491603e23a, 0x0f64a1fc9d0d89c8, 0xdf5290b204747ec7, 0x0bc4c88a245a7da0,
	0x6853573d60785cd5, 0x6842aa54ef23eadb, 0x3a3aafd701d2e3eb, 0xe565b1f257f826c0,
	0xfb9ac894cca724cf, 0x869534f486f7271e, 0x0fc666e0894e6c74, 0x0341ca0756ffa1c0,
	0x0b59a91620683225, 0xdb6c984c792b19e3, 0x009b712e485de6fe, 0xd83b93665c822170,
	0xf34fcb97c68028e1, 0x569d013b1854b59e, 0x31aeca4af7079140, 0xc2028bf4c4ec02f7,
	0x91a7db882cfc61b4, 0xae89c1aae6a868c4, 0x7a5ca4bab662b1bb, 0x981283913528156e,
	0x6ef305cf9c8b8247, 0xa7fa42d9fc466683, 0xe52a34b7cfaa0205, 0x61cd3f0e1a0f1c3e,
	0x1efd12716f00da14, 0xe6d9b1739a7f6d21, 0x072ff7db8e0e932f, 0x0c70c9e114baa230,
	0xb11207417556fb90, 0xcf62722d0a1638d2, 0xd03ef4d74f55623c, 0x467688132436c074,
	0xace3d911bf4a3ed7, 0xca3235ede2981e86, 0x7b706093303a6335, 0x8dd4d13b4e0e8adb,
	0x8c4f400273a0d659, 0x6d2f4f6b4b79b122, 0xd8c579fee7e16073, 0x44b26ea9d3c73c8e,
	0x56022f163289fe25, 0x0b8f62112a218d04, 0xd380ecbbab73237b, 0xc80686da4f751f01,
	0x84e1e44c52d831a3, 0xbdd539f4527e7da4, 0x8cd3d3cb2f1d2f91, 0x68bfc575eebbad9b,
	0x07580ff160502987, 0x1994dd7c403c4a88, 0x1edfd6ace3d9191d, 0x1dd26dbbd4a8562a,
	0x45bdac702d7ab525, 0x73af8348666aff18, 0xe9ae0a8d752778f8, 0xfac630642a73f867,
	0xe97aa2ec72a5e772, 0x38d7bd22eaeb9a5f, 0x093953e82f5db2ee, 0x022ad7f3aaa160fe,
};

uint64_t chunker_gear(uint8_t i)
{
	return gear[i];
}

const struct chunker_sizes *chunker_sizes_at(uint64_t offset)
{
	return offset < CHUNKER_LARGE_FROM ? &sizes_small : &sizes_large;
}

void chunker_begin(struct chunker *c, uint64_t offset)
{
	*c = (struct chunker){ chunker_sizes_at(offset), 0, 0 };
}

/* Hash P[*AT..END) until the top bits are zero; true when they are, *AT then behind that byte. */
static bool find_zero_bits(uint64_t *hash, const uint8_t *p, size_t *at, size_t end, unsigned bits)
{
	uint64_t mask = ~0ull << (64 - bits);
	uint64_t h = *hash;
	size_t i = *at;
	bool found = false;

	while (i < end && !found) {
		h = (h << 1) + gear[p[i++]];
		found = (h & mask) == 0;
	}
	*hash = h;
	*at = i;
	return found;
}

/* The index into a slice of LEN bytes at which the chunk, already DONE long, reaches length WANT. */
static size_t index_of(size_t want, size_t done, size_t len)
{
	if (want <= done)
		return 0;
	return want - done < len ? want - done : len;
}

size_t chunker_scan(struct chunker *c, struct slice bytes, bool *ret_cut)
{
	const struct chunker_sizes *s = c->sizes;
	const uint8_t *p = bytes.data;
	size_t at = index_of(s->min - WINDOW, c->len, bytes.len);
	size_t warm = index_of(s->min - 1, c->len, bytes.len);
	size_t hard = index_of(s->avg - 1, c->len, bytes.len);
	size_t end = index_of(s->max, c->len, bytes.len);
	bool cut;

	for (; at < warm; at++)
		c->hash = (c->hash << 1) + gear[p[at]];
	cut = find_zero_bits(&c->hash, p, &at, hard, s->bits_before) ||
	      find_zero_bits(&c->hash, p, &at, end, s->bits_after);
	c->len += (uint32_t)at;
	*ret_cut = cut || c->len == s->max;
	return at;
}
