/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot - the file sync.meta: two slots, written by turns, each within one 512-byte sector so that no power cut can tear
 * it.  A slot is the memory of one checkpoint: LMDB's own meta page as it was when every page that it leads to had
 * reached stable storage.  Private to store/kv.  Bytes: store/FORMAT.md 1.
 */
#ifndef STORE_KV_SLOT_H
#define STORE_KV_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "store/base/err.h"

#define SLOT_FILE       "sync.meta"
#define SLOT_BYTES      512
#define SLOT_STRIDE     4096 /* distance of the two slots in the file */
#define SLOT_VERSION    1u
#define SLOT_ID_BYTES   16
#define SLOT_PAGE_BYTES 152 /* page header and meta of LMDB 0.9 on a 64-bit machine */

struct slot {
	uint64_t gen;              /* the higher of two valid slots counts */
	uint64_t txnid;            /* of LMDB */
	uint8_t id[SLOT_ID_BYTES]; /* random, also inside the database: they belong together */
	uint32_t page_size;
	uint8_t page[SLOT_PAGE_BYTES];
};

void slot_encode(const struct slot *slot, uint8_t out[SLOT_BYTES]);
/* -EBADMSG: not a slot, damaged, or of a newer version (*RET_NEWER). */
MUST_CHECK int slot_decode(const uint8_t in[SLOT_BYTES], struct slot *ret, bool *ret_newer);

/*
 * The valid slot with the highest gen in FD.  *RET_DOUBT: the other one is damaged, and may have been the newer.
 * -EBADMSG with a reason.
 */
MUST_CHECK int slot_load(int fd, struct slot *ret, bool *ret_doubt);
/* Write SLOT over the older of the two, durably. */
MUST_CHECK int slot_save(int fd, const struct slot *slot);

/* Fill page, txnid and page_size of SLOT from the meta page of TXNID in the LMDB file FD.  -EBADMSG. */
MUST_CHECK int slot_take_page(int fd, uint64_t txnid, struct slot *slot);
/* The txnid of the newest meta page in FD.  -EBADMSG. */
MUST_CHECK int slot_newest_txnid(int fd, uint32_t page_size, uint64_t *ret);
/* Make both meta pages of the LMDB file FD those of SLOT, durably.  -EBADMSG: FD is not the file that SLOT is of. */
MUST_CHECK int slot_roll_back(int fd, const struct slot *slot);
/* Bytes from the start of the file to the end of the last page that SLOT's page knows of. */
uint64_t slot_data_end(const struct slot *slot);

#endif
