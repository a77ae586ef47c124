/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv/slot.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "store/base/hash.h"
#include "store/base/io.h"
#include "store/base/pack.h"

static const char magic[8] = { 'L', 'A', 'B', 'F', 'S', 'K', 'V', '1' };

/* LMDB's meta page (mdb.c 0.9: struct MDB_page, struct MDB_meta), in the byte order of the machine. */
enum {
	PAGE_NUMBER = 0,
	PAGE_FLAGS = 10,
	PAGE_MAGIC = 16,
	PAGE_VERSION = 20,
	PAGE_SIZE = 40,
	PAGE_LAST = 136,
	PAGE_TXNID = 144,
};

#define PAGE_FLAG_META 0x08u
#define LMDB_MAGIC     0xbeefc0deu
#define LMDB_VERSION   1u
#define PAGE_SIZE_MAX  65536u

static uint64_t page_u64(const uint8_t *page, size_t at)
{
	uint64_t v;

	memcpy(&v, page + at, sizeof(v));
	return v;
}

static uint32_t page_u32(const uint8_t *page, size_t at)
{
	uint32_t v;

	memcpy(&v, page + at, sizeof(v));
	return v;
}

static bool page_valid(const uint8_t page[SLOT_PAGE_BYTES])
{
	uint32_t size = page_u32(page, PAGE_SIZE);
	uint16_t flags;

	memcpy(&flags, page + PAGE_FLAGS, sizeof(flags));
	return (flags & PAGE_FLAG_META) && page_u32(page, PAGE_MAGIC) == LMDB_MAGIC &&
	       page_u32(page, PAGE_VERSION) == LMDB_VERSION && size >= 512 &&
	       size <= PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

void slot_encode(const struct slot *slot, uint8_t out[SLOT_BYTES])
{
	SCOPED_BUF struct buf b = BUF_INIT;
	uint32_t crc;

	memset(out, 0, SLOT_BYTES);
	pack_u32(&b, SLOT_VERSION);
	pack_u64(&b, slot->gen);
	pack_u64(&b, slot->txnid);
	buf_add(&b, slot->id, sizeof(slot->id));
	pack_u32(&b, slot->page_size);
	buf_add(&b, slot->page, sizeof(slot->page));
	/* Out of memory leaves a slot that no one takes for valid. */
	if (buf_err(&b) < 0)
		return;
	memcpy(out + 12, b.data, b.len);
	crc = hash_crc32c(0, slice_of(out + 12, SLOT_BYTES - 12));
	memcpy(out, magic, sizeof(magic));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(crc >> (8 * i));
}

int slot_decode(const uint8_t in[SLOT_BYTES], struct slot *ret, bool *ret_newer)
{
	struct unpack u = unpack_init(slice_of(in, SLOT_BYTES));
	struct slice head = unpack_bytes(&u, sizeof(magic)), id, page;
	uint32_t crc = unpack_u32(&u), version = unpack_u32(&u);

	*ret_newer = false;
	if (memcmp(head.data, magic, sizeof(magic)) != 0 ||
	    crc != hash_crc32c(0, slice_of(in + 12, SLOT_BYTES - 12)))
		return -EBADMSG;
	if (version != SLOT_VERSION) {
		*ret_newer = version > SLOT_VERSION;
		return -EBADMSG;
	}
	ret->gen = unpack_u64(&u);
	ret->txnid = unpack_u64(&u);
	id = unpack_bytes(&u, sizeof(ret->id));
	ret->page_size = unpack_u32(&u);
	page = unpack_bytes(&u, sizeof(ret->page));
	if (u.bad)
		return -EBADMSG;
	memcpy(ret->id, id.data, sizeof(ret->id));
	memcpy(ret->page, page.data, sizeof(ret->page));
	if (!page_valid(ret->page) || page_u64(ret->page, PAGE_TXNID) != ret->txnid ||
	    page_u32(ret->page, PAGE_SIZE) != ret->page_size)
		return -EBADMSG;
	return 0;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

int slot_load(int fd, struct slot *ret, bool *ret_doubt)
{
	bool found = false;

	*ret_doubt = false;
	for (int i = 0; i < 2; i++) {
		uint8_t bytes[SLOT_BYTES];
		struct slot slot;
		bool newer;
		ssize_t n = io_pread_full(fd, bytes, sizeof(bytes), i * SLOT_STRIDE);

		if (n < 0)
			return (int)n;
		if (n < SLOT_BYTES)
			continue;
		if (slot_decode(bytes, &slot, &newer) < 0) {
			if (newer)
				return err_set(-EBADMSG,
					       "%s was written by a newer version of this program",
					       SLOT_FILE);
			*ret_doubt |= !all_zero(bytes, sizeof(bytes));
			continue;
		}
		if (!found || slot.gen > ret->gen)
			*ret = slot;
		found = true;
	}
	return found ? 0 : err_set(-EBADMSG, "%s holds no valid slot", SLOT_FILE);
}

int slot_save(int fd, const struct slot *slot)
{
	uint8_t bytes[SLOT_BYTES];
	int rc;

	slot_encode(slot, bytes);
	if (bytes[0] == 0)
		return -ENOMEM;
	rc = io_pwrite_full(fd, bytes, sizeof(bytes), (off_t)(slot->gen & 1) * SLOT_STRIDE);
	return rc < 0 ? rc : io_fdatasync(fd);
}

static int read_page(int fd, off_t at, uint8_t page[SLOT_PAGE_BYTES])
{
	ssize_t n = io_pread_full(fd, page, SLOT_PAGE_BYTES, at);

	if (n < 0)
		return (int)n;
	return n == SLOT_PAGE_BYTES && page_valid(page) ? 0 : -EBADMSG;
}

int slot_take_page(int fd, uint64_t txnid, struct slot *slot)
{
	int rc = read_page(fd, 0, slot->page);
	uint32_t size;

	if (rc == 0) {
		size = page_u32(slot->page, PAGE_SIZE);
		rc = read_page(fd, (off_t)(txnid & 1) * size, slot->page);
		if (rc == 0 && page_u64(slot->page, PAGE_TXNID) != txnid)
			rc = -EBADMSG;
		slot->page_size = size;
		slot->txnid = txnid;
	}
	return rc == -EBADMSG ? err_set(rc, "the meta page of the database is damaged") : rc;
}

int slot_newest_txnid(int fd, uint32_t page_size, uint64_t *ret)
{
	uint8_t page[SLOT_PAGE_BYTES];
	bool found = false;

	*ret = 0;
	for (int i = 0; i < 2; i++) {
		int rc = read_page(fd, (off_t)i * page_size, page);

		if (rc == -EBADMSG)
			continue; /* torn by a power cut: the other one must do */
		if (rc < 0)
			return rc;
		found = true;
		if (page_u64(page, PAGE_TXNID) > *ret)
			*ret = page_u64(page, PAGE_TXNID);
	}
	return found ? 0 : err_set(-EBADMSG, "both meta pages of the database are damaged");
}

int slot_roll_back(int fd, const struct slot *slot)
{
	uint8_t page[SLOT_PAGE_BYTES];
	uint64_t newest;
	int rc = slot_newest_txnid(fd, slot->page_size, &newest);

	if (rc == 0 && newest < slot->txnid)
		rc = err_set(-EBADMSG, "%s is not of this database (it is of a later state)",
			     SLOT_FILE);
	memcpy(page, slot->page, sizeof(page));
	for (uint64_t i = 0; rc == 0 && i < 2; i++) {
		memcpy(page + PAGE_NUMBER, &i, sizeof(i));
		rc = io_pwrite_full(fd, page, sizeof(page), (off_t)(i * slot->page_size));
	}
	return rc < 0 ? rc : io_fdatasync(fd);
}

uint64_t slot_data_end(const struct slot *slot)
{
	return (page_u64(slot->page, PAGE_LAST) + 1) * slot->page_size;
}
