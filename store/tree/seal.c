/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - layers and inline bytes become blobs; dropped layers become free ones.
 *
 * A job is a group of contents and of dropped layers.  While it runs its contents count as not writable (seal_has), so that
 * the head goes on in new contents above them, and the worker reads what nobody changes.  Nothing durable says that a job
 * runs: after a crash the contents are what they were, and the work is done again.
 *
 * 1. The chunks are on stable storage (cas_stage_sync) before a batch names them.
 * 2. A content becomes SEALED, its root gets its reference, its base and layer are let go, in one batch.
 * 3. A dropped layer is emptied when the batch that dropped it is on stable storage and no snapshot shows it any more; it is
 *    FREE when its emptiness is on stable storage.
 */
#include <stdatomic.h>

#include "store/base/log.h"
#include "store/tree/content.h"
#include "store/tree/extent.h"
#include "store/tree/layer.h"
#include "store/tree/seal.h"
#include "store/tree/write.h"

#define SEAL_CONTENTS 1024u		/* at most so many contents in one job */
#define SEAL_BYTES (64u << 20)		/* and so many bytes, unless one content alone has more */
#define SEAL_LAYERS 64u
#define SEAL_SCAN 8192u			/* rows looked at for one job */
#define SEAL_BUFFER (256u << 10)

struct seal_item {
	uint64_t content;		/* immutable, as size and base */
	uint64_t size, base;
	bool skip;			/* goes by itself when the one above it is sealed */
	atomic_bool gone;		/* core says, worker asks */
	bool sealed;			/* worker until tree_seal_work() returns, then core; so are all below */
	bool failed, ended;
	uint64_t data;
	struct blob_ref blob;
	struct blob_sums sums;
};

struct seal_layer {
	uint32_t id;
	bool keep, done;
};

struct tree_seal {
	struct trees *trees;
	struct seal_item *items;	/* by rising content */
	size_t count, at;		/* AT: the first that is not ended */
	struct seal_layer layers[SEAL_LAYERS];
	size_t layers_count;
	uint64_t seq;			/* the newest batch when the job began */
	struct cas_stage *stage;
	int error;			/* of the worker */
};

static struct seal_item *find(const struct tree_seal *s, uint64_t content)
{
	size_t low = 0, high = s ? s->count : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->items[mid].content == content)
			return &s->items[mid];
		if (s->items[mid].content < content)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool seal_has(const struct trees *t, uint64_t content)
{
	return find(t->seal, content) != NULL;
}

void seal_forget(struct trees *t, uint64_t content)
{
	struct seal_item *item = find(t->seal, content);

	if (item)
		atomic_store(&item->gone, true);
}

/* --- beginning: core -------------------------------------------------------------------------------- */

static bool is_bad(const struct trees *t, uint64_t content)
{
	for (size_t at = 0; at < t->seal_bad.len; at += sizeof content)
		if (memcmp(t->seal_bad.data + at, &content, sizeof content) == 0)
			return true;
	return false;
}

/* Is CONTENT one for this job?  *RET is its row then. */
static int is_wanted(struct trees *t, uint64_t content, unsigned quiet_ms, int64_t now, struct content *ret, bool *ret_wanted)
{
	int rc = content_get(kv_live(t->kv), content, ret);

	*ret_wanted = false;
	if (rc == -EBADMSG) {
		log_warn("%s", err_text(rc));
		return 0;
	}
	*ret_wanted = !rc && ret->state == CONTENT_OPEN && ret->refs > 0 &&
		      (quiet_ms == 0 || now - ret->stamp_ms >= (int64_t)quiet_ms || now < ret->stamp_ms) &&
		      !write_in_flight(t, content) && !is_bad(t, content);
	return rc;
}

/* Take contents from t->seal_at on; *RET_END: there are none beyond. */
static int pick_contents(struct trees *t, struct tree_seal *s, unsigned quiet_ms, bool *ret_end)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	int64_t now = clock_now_ms();
	uint64_t bytes = 0;
	struct tkey k = { .len = 0 };
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_TREE_WORK, &cur);

	tkey_u8(&k, TREE_WORK_SEAL);
	tkey_u64(&k, t->seal_at);
	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&k));
	*ret_end = false;
	for (unsigned n = 0; !rc && n < SEAL_SCAN && s->count < SEAL_CONTENTS && bytes < SEAL_BYTES; n++) {
		struct slice key = kv_cursor_key(cur);
		struct content c;
		bool wanted;

		if (key.len != 9 || *(const uint8_t *)key.data != TREE_WORK_SEAL) {
			*ret_end = true;
			return 0;
		}
		t->seal_at = tkey_get_u64((const uint8_t *)key.data + 1);
		rc = is_wanted(t, t->seal_at, quiet_ms, now, &c, &wanted);
		if (!rc && wanted && (s->count == 0 || bytes + c.size <= SEAL_BYTES)) {
			struct seal_item *item = &s->items[s->count++];

			item->content = c.id;
			item->size = c.size;
			item->base = c.base;
			item->skip = c.refs == 1;	/* for now: may be skipped if it is a base */
			atomic_init(&item->gone, false);
			bytes += c.size;
		} else if (!rc && wanted) {
			return 0;	/* the next job begins with it */
		}
		t->seal_at++;
		if (!rc)
			rc = kv_cursor_next(cur);
	}
	*ret_end = rc == -ENOENT;
	return rc == -ENOENT ? 0 : rc;
}

/* What only a content of the same job uses as base is not worth sealing. */
static void skip_bases(struct tree_seal *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct seal_item *base = s->items[i].base ? find(s, s->items[i].base) : NULL;

		if (base && base->skip)
			base->failed = true;	/* used as a mark here only */
	}
	for (size_t i = 0; i < s->count; i++) {
		s->items[i].skip = s->items[i].failed;
		s->items[i].failed = false;
	}
}

/* Does the seal that runs empty layer ID already? */
static bool is_being_emptied(const struct trees *t, uint32_t id)
{
	for (size_t i = 0; t->seal && i < t->seal->layers_count; i++)
		if (t->seal->layers[i].id == id)
			return true;
	return false;
}

static int pick_layers(struct trees *t, struct tree_seal *s)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct tkey k = layer_key(LAYER_FREE, 0);
	size_t pool = 0;
	int rc = kv_cursor_open(kv_live(t->kv), TABLE_LAYER, &cur);

	if (!rc)
		rc = kv_cursor_seek(cur, tkey_slice(&k));
	for (; !rc && s->layers_count < SEAL_LAYERS; rc = kv_cursor_next(cur)) {
		struct slice key = kv_cursor_key(cur);
		uint8_t state = *(const uint8_t *)key.data;
		uint32_t id = key.len == 5 ? tkey_get_u32((const uint8_t *)key.data + 1) : 0;

		pool += state == LAYER_FREE;
		if (state != LAYER_DROPPED || layer_is_pinned(t->layers, id) || is_being_emptied(t, id))
			continue;
		s->layers[s->layers_count++] = (struct seal_layer){ id, pool < LAYER_POOL, false };
		pool++;
	}
	return rc == -ENOENT ? 0 : rc;
}

int tree_seal_begin(struct trees *t, unsigned quiet_ms, struct tree_seal **ret)
{
	struct tree_seal *s;
	bool end = false;
	int rc = 0;

	if (t->seal)
		return -EBUSY;
	s = calloc(1, sizeof *s);
	if (s)
		s->items = calloc(SEAL_CONTENTS, sizeof *s->items);
	if (!s || !s->items) {
		free(s);
		return -ENOMEM;
	}
	s->trees = t;
	s->seq = kv_seq(t->kv);
	for (unsigned round = 0; !rc && s->count == 0 && round < 2; round++) {
		rc = pick_contents(t, s, quiet_ms, &end);
		if (end)
			t->seal_at = 0;
		else
			break;
	}
	skip_bases(s);
	if (!rc)
		rc = pick_layers(t, s);
	if (!rc && s->count == 0 && s->layers_count == 0)
		rc = -ENOENT;
	if (rc) {
		free(s->items);
		free(s);
		return rc;
	}
	t->seal = s;
	*ret = s;
	return 0;
}

/* --- working: a worker ------------------------------------------------------------------------------ */

static void empty_layers(struct tree_seal *s, struct kv_view *snapshot)
{
	struct trees *t = s->trees;

	if (s->layers_count == 0 || kv_view_seq(snapshot) < s->seq || kv_snapshot_oldest(t->kv) < s->seq)
		return;			/* somebody may still read them: the next job */
	if (kv_sync(t->kv, s->seq))
		return;
	for (size_t i = 0; i < s->layers_count; i++) {
		struct seal_layer *l = &s->layers[i];
		int rc = layer_is_pinned(t->layers, l->id) ? -EBUSY : layer_empty(t->layers, l->id, l->keep);

		l->done = !rc;
	}
}

/* LEN bytes of a piece go to the writer; the buffer has room for SEAL_BUFFER. */
static int add_piece(struct tree_seal *s, struct kv_view *view, struct seal_item *item, const struct piece *p, uint64_t off,
		     struct blob_writer *w, void *mem)
{
	int rc;

	if (p->kind == PIECE_ZERO)
		return blob_writer_add_zeros(w, p->len);
	rc = content_read(s->trees, view, item->content, off, mem, (size_t)p->len);
	item->data += p->len;
	return rc ? rc : blob_writer_add(w, slice_of(mem, (size_t)p->len));
}

/* The rest of a blob with holes: how far its present hole goes, or its present data. */
static int clip_to_blob(struct trees *t, struct kv_view *view, struct piece *p)
{
	int64_t data = blob_seek(t->cas, view, &p->blob, p->off, false);
	int64_t hole;

	if (data == -ENXIO)
		data = (int64_t)(p->off + p->len);
	if (data < 0)
		return (int)data;
	if ((uint64_t)data > p->off) {
		p->kind = PIECE_ZERO;
		p->len = (uint64_t)data - p->off < p->len ? (uint64_t)data - p->off : p->len;
		return 0;
	}
	hole = blob_seek(t->cas, view, &p->blob, p->off, true);
	if (hole < 0)
		return (int)hole;
	if ((uint64_t)hole - p->off < p->len)
		p->len = (uint64_t)hole - p->off;
	return 0;
}

static int stream(struct tree_seal *s, struct kv_view *view, struct seal_item *item, struct blob_writer *w, void *mem)
{
	int rc = 0;

	for (uint64_t off = 0; !rc && off < item->size;) {
		struct piece p;

		if (atomic_load(&item->gone))
			return -ECANCELED;
		rc = content_map(view, item->content, off, item->size - off, &p);
		if (!rc && p.kind == PIECE_BLOB && !p.dense)
			rc = clip_to_blob(s->trees, view, &p);
		if (rc)
			break;
		if (p.kind != PIECE_ZERO && p.len > SEAL_BUFFER)
			p.len = SEAL_BUFFER;
		rc = add_piece(s, view, item, &p, off, w, mem);
		off += p.len;
	}
	return rc;
}

/* What is wrong with one content is noted in it; what is wrong with the stage is returned. */
static int seal_one(struct tree_seal *s, struct kv_view *view, struct seal_item *item, void *mem)
{
	struct blob_writer *w = NULL;
	struct content c;
	int rc = content_get(view, item->content, &c);

	if (!rc && (c.state != CONTENT_OPEN || c.size != item->size))
		return 0;		/* a snapshot from before the job: not now */
	if (rc == 0)
		rc = blob_writer_new(s->stage, &w);
	if (rc == 0)
		rc = stream(s, view, item, w, mem);
	if (rc == 0)
		rc = blob_writer_finish(w, &item->blob, &item->sums);
	blob_writer_free(w);
	item->sealed = rc == 0;
	item->failed = (rc == -EIO || rc == -EBADMSG) && !atomic_load(&item->gone);
	if (item->failed)
		log_error("content %llu cannot be sealed: %s", (unsigned long long)item->content, err_text(rc));
	return rc == -ECANCELED || rc == -EIO || rc == -EBADMSG ? 0 : rc;
}

int tree_seal_work(struct tree_seal *s, struct kv_view *snapshot)
{
	void *mem = malloc(SEAL_BUFFER);
	int rc = mem ? 0 : -ENOMEM;

	empty_layers(s, snapshot);
	if (!rc && s->count)
		rc = cas_stage_new(s->trees->cas, snapshot, &s->stage);
	for (size_t i = 0; i < s->count && !rc; i++)
		if (!s->items[i].skip && !atomic_load(&s->items[i].gone))
			rc = seal_one(s, snapshot, &s->items[i], mem);
	if (!rc && s->stage)
		rc = cas_stage_sync(s->stage);
	free(mem);
	s->error = rc;
	return rc;
}

/* --- ending: core ------------------------------------------------------------------------------------- */

static int end_layers(struct trees *t, struct tree_seal *s)
{
	int rc = 0;

	for (size_t i = 0; i < s->layers_count && !rc; i++) {
		struct tkey was = layer_key(LAYER_DROPPED, s->layers[i].id), k = layer_key(LAYER_FREE, s->layers[i].id);
		const uint8_t none[8] = { 0 };

		if (!s->layers[i].done)
			continue;
		rc = kv_del(t->kv, TABLE_LAYER, tkey_slice(&was));
		if (!rc && s->layers[i].keep)
			rc = kv_put(t->kv, TABLE_LAYER, tkey_slice(&k), slice_of(none, sizeof none));
	}
	s->layers_count = 0;
	return rc;
}

/* The content is still there: its row becomes that of a blob. */
static int switch_over(struct trees *t, const struct seal_item *item, const struct content *was)
{
	struct content c = {
		.id = was->id, .state = CONTENT_SEALED, .refs = was->refs, .size = was->size, .data = item->data,
		.stamp_ms = was->stamp_ms, .blob = item->blob, .sums = item->sums,
	};
	struct tree_totals totals;
	struct extent e;
	int rc = content_put(t, &c);

	if (!rc)
		rc = tree_work_del(t, TREE_WORK_SEAL, c.id);
	if (!rc)
		rc = tree_totals_get(kv_live(t->kv), &totals);
	totals.unsealed -= rc ? 0 : 1;
	if (!rc)
		rc = tree_totals_put(t, &totals);
	if (!rc && was->layer)
		rc = layer_drop(t, was->layer);
	if (!rc)
		rc = extent_find(kv_live(t->kv), c.id, 0, &e);
	if (!rc)
		rc = tree_work_put(t, TREE_WORK_EXTENTS, c.id, slice_of(NULL, 0));
	rc = rc == -ENOENT ? 0 : rc;
	return rc || !was->base ? rc : content_unref(t, was->base);
}

/* -ENOENT: its root is not in the store yet. */
static int end_item(struct trees *t, struct seal_item *item)
{
	bool root = blob_has_root(&item->blob);
	struct content c;
	int rc = root ? cas_ref(t->cas, &item->blob.root) : 0;

	if (rc)
		return rc;
	if (!atomic_load(&item->gone)) {
		rc = content_get(kv_live(t->kv), item->content, &c);
		if (!rc && (c.state != CONTENT_OPEN || c.size != item->size))
			rc = err_set(-EBADMSG, "content %llu changed while it was sealed", (unsigned long long)c.id);
		return rc ? rc : switch_over(t, item, &c);
	}
	return root ? cas_unref(t->cas, &item->blob.root) : 0;
}

static int end_part(struct trees *t, struct tree_seal *s, bool *ret_more)
{
	int rc = cas_stage_commit(s->stage, ret_more);

	for (size_t i = s->at; i < s->count && !rc; i++) {
		struct seal_item *item = &s->items[i];

		if (item->sealed && !item->ended) {
			rc = end_item(t, item);
			if (rc == -ENOENT && *ret_more) {
				rc = 0;
				break;
			}
			item->ended = true;
		}
		s->at = i + 1;
	}
	return rc == -ENOENT ? err_set(-ESTALE, "a chunk has been collected meanwhile") : rc;
}

static int end_step(struct trees *t, struct tree_seal *s, bool *ret_more)
{
	int rc = s->error, begun;

	*ret_more = false;
	for (size_t i = 0; i < s->count; i++) {
		if (s->items[i].failed)
			buf_add(&t->seal_bad, &s->items[i].content, sizeof s->items[i].content);
		s->items[i].failed = false;
	}
	if (rc && s->layers_count == 0)
		return rc;
	begun = kv_begin(t->kv);
	if (begun)
		return begun;
	if (s->layers_count) {
		int layers_rc = end_layers(t, s);

		rc = rc && !layers_rc ? rc : layers_rc;
		if (layers_rc) {
			kv_abort(t->kv);
			return rc;
		}
	}
	if (!rc && s->stage)
		rc = end_part(t, s, ret_more);
	if (rc && rc != s->error) {
		kv_abort(t->kv);
		s->error = rc;
		return rc;
	}
	if (!rc)
		rc = kv_commit(t->kv, NULL);
	else if (kv_commit(t->kv, NULL))
		log_error("emptied layers could not be recorded");
	s->error = rc;
	return rc;
}

int tree_seal_end_step(struct trees *t, struct tree_seal *s, bool *ret_more)
{
	bool was = kv_use_reserve(t->kv, true);
	int rc = end_step(t, s, ret_more);

	kv_use_reserve(t->kv, was);
	return rc;
}

int tree_seal_end(struct trees *t, struct tree_seal *s)
{
	bool more = true;
	int rc = 0;

	while (!rc && more)
		rc = tree_seal_end_step(t, s, &more);
	return rc;
}

void tree_seal_free(struct tree_seal *s)
{
	if (!s)
		return;
	cas_stage_free(s->stage);
	s->trees->seal = NULL;
	free(s->items);
	free(s);
}

/* --- a full disk: core ------------------------------------------------------------------------------ */

int trees_empty_layers(struct trees *t, unsigned *ret_emptied)
{
	struct tree_seal *s;
	struct kv_view *snapshot = NULL;
	int rc;

	*ret_emptied = 0;
	s = calloc(1, sizeof *s);	/* beside t->seal, which may run: it has no contents */
	if (!s)
		return -ENOMEM;
	s->trees = t;
	s->seq = kv_seq(t->kv);
	rc = pick_layers(t, s);
	if (!rc && s->layers_count)
		rc = kv_publish(t->kv);
	if (!rc && s->layers_count)
		rc = kv_snapshot_open(t->kv, &snapshot);
	if (snapshot)
		empty_layers(s, snapshot);
	kv_snapshot_close(snapshot);
	for (size_t i = 0; i < s->layers_count; i++)
		*ret_emptied += s->layers[i].done;
	if (!rc && *ret_emptied)
		rc = tree_seal_end(t, s);
	free(s);
	return rc;
}
