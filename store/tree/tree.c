/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - opening and closing, whole trees, holds, figures.
 */
#include "store/base/io.h"
#include "store/tree/content.h"
#include "store/tree/inode.h"
#include "store/tree/layer.h"
#include "store/tree/recover.h"
#include "store/tree/tree_check.h"

int trees_create(int dirfd)
{
	int rc = io_mkdirat(dirfd, "dirty", 0700);

	return rc ? rc : io_fsync(dirfd);
}

int trees_open(struct kv *kv, struct cas *cas, int dirfd, struct trees **ret)
{
	struct trees *t = calloc(1, sizeof *t);
	int rc;

	if (!t)
		return -ENOMEM;
	t->kv = kv;
	t->cas = cas;
	t->dirfd = io_openat(dirfd, "dirty", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	rc = t->dirfd < 0 ? err_set(t->dirfd, "dirty/ cannot be opened: %s", strerror(-t->dirfd)) : 0;
	if (!rc)
		rc = layers_new(t->dirfd, &t->layers);
	if (!rc) {
		rc = kv_begin(kv);
		t->read_only = rc == -EROFS;
		if (!rc)
			rc = kv_commit(kv, NULL);
		if (!rc)
			rc = recover_trees(t);
		rc = t->read_only ? 0 : rc;
	}
	if (rc) {
		trees_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void trees_close(struct trees *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < TREE_HOLD_BUCKETS; i++) {
		while (t->holds[i]) {
			struct tree_hold *h = t->holds[i];

			t->holds[i] = h->next;
			free(h);
		}
	}
	while (t->flights) {
		struct tree_flight *f = t->flights;

		t->flights = f->next;
		free(f);
	}
	layers_free(t->layers);
	buf_release(&t->seal_bad);
	if (t->dirfd >= 0)
		(void)io_close(t->dirfd);
	free(t);
}

int tree_new(struct trees *t, enum tree_owner owner, uint32_t owner_id, uint32_t mode, uint32_t uid, uint32_t gid,
	     uint32_t *ret_tree)
{
	struct tree_row row = { .owner = (uint8_t)owner, .owner_id = owner_id, .epoch = 1, .next_ino = TREE_ROOT };
	struct tree_make make = { .mode = mode, .uid = uid, .gid = gid };
	struct tree_totals totals;
	struct inode n;
	int rc = S_ISDIR(mode) || S_ISREG(mode) ? tree_totals_get(kv_live(t->kv), &totals) : -EINVAL;

	if (!rc && totals.next_tree == UINT32_MAX)
		rc = err_set(-ENOSPC, "no numbers left for trees");
	if (rc)
		return rc;
	*ret_tree = row.tree = totals.next_tree++;
	totals.trees++;
	rc = inode_new(&row, &make, &n);
	n.parent = TREE_ROOT;
	if (!rc)
		rc = inode_store(t, &row, &n);
	tree_row_touch(&row);
	if (!rc)
		rc = tree_row_put(t, &row);
	return rc ? rc : tree_totals_put(t, &totals);
}

int tree_info(struct kv_view *view, uint32_t tree, struct tree_info *ret)
{
	struct tree_row row;
	int rc = tree_row_get(view, tree, &row);

	if (rc)
		return rc;
	*ret = (struct tree_info){
		.owner = (enum tree_owner)row.owner, .owner_id = row.owner_id, .epoch = row.epoch,
		.changed_epoch = row.changed_epoch, .frozen = row.flags & TREE_ROW_FROZEN,
		.inodes = row.inodes, .bytes = row.bytes, .mtime_ns = row.mtime_ns,
	};
	return 0;
}

int tree_set_owner(struct trees *t, uint32_t tree, enum tree_owner owner, uint32_t owner_id)
{
	struct tree_row row;
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	row.owner = (uint8_t)owner;
	row.owner_id = owner_id;
	return rc ? rc : tree_row_put(t, &row);
}

static int set_flags(struct trees *t, uint32_t tree, uint8_t set, uint8_t clear)
{
	struct tree_row row;
	int rc = tree_row_get(kv_live(t->kv), tree, &row);

	if (rc)
		return rc;
	row.flags = (uint8_t)((row.flags | set) & ~clear);
	return tree_row_put(t, &row);
}

static int delete_now(struct trees *t, uint32_t tree)
{
	int rc = set_flags(t, tree, TREE_ROW_DELETED, 0);

	return rc ? rc : tree_work_put(t, TREE_WORK_DELETE, tree, slice_of(NULL, 0));
}

static bool has_holds(const struct trees *t, uint32_t tree)
{
	for (size_t i = 0; i < TREE_HOLD_BUCKETS; i++) {
		for (const struct tree_hold *h = t->holds[i]; h; h = h->next) {
			if (h->tree == tree)
				return true;
		}
	}
	return false;
}

/* A root that is an orphan is a tree that goes with the last hold on anything in it, or at the next open. */
int tree_delete(struct trees *t, uint32_t tree)
{
	return has_holds(t, tree) ? inode_orphan_put(t, tree, TREE_ROOT) : delete_now(t, tree);
}

int tree_freeze(struct trees *t, uint32_t tree)
{
	return set_flags(t, tree, TREE_ROW_FROZEN, 0);
}

int tree_thaw(struct trees *t, uint32_t tree)
{
	return set_flags(t, tree, 0, TREE_ROW_FROZEN);
}

/* --- holds -------------------------------------------------------------------------------------------- */

int tree_hold(struct trees *t, uint32_t tree, uint32_t ino)
{
	struct tree_hold **at = &t->holds[(tree * 31 + ino) % TREE_HOLD_BUCKETS], *h;

	for (h = *at; h; h = h->next) {
		if (h->tree == tree && h->ino == ino) {
			h->count++;
			return 0;
		}
	}
	h = malloc(sizeof *h);
	if (!h)
		return -ENOMEM;
	*h = (struct tree_hold){ *at, tree, ino, 1 };
	*at = h;
	return 0;
}

int tree_unhold(struct trees *t, uint32_t tree, uint32_t ino)
{
	struct tree_hold **at = &t->holds[(tree * 31 + ino) % TREE_HOLD_BUCKETS];
	int rc;

	while (*at && ((*at)->tree != tree || (*at)->ino != ino))
		at = &(*at)->next;
	if (!*at)
		return -ENOENT;
	if ((*at)->count == 1) {
		struct tree_hold *gone = *at;

		*at = gone->next;
		free(gone);
	} else {
		(*at)->count--;
		return 0;
	}
	if (inode_is_orphan(kv_live(t->kv), tree, TREE_ROOT) && !has_holds(t, tree)) {
		rc = inode_orphan_del(t, tree, TREE_ROOT);
		return rc ? rc : delete_now(t, tree);
	}
	rc = ino == TREE_ROOT ? -ENOENT : inode_orphan_remove(t, tree, ino);
	return rc == -ENOENT ? 0 : rc;
}

/* --- figures ------------------------------------------------------------------------------------------ */

static int add_layer(struct trees *t, struct slice key, struct trees_stats *ret)
{
	struct stat st;
	char name[16];
	int rc;

	if (key.len != 5)
		return err_set(-EBADMSG, "layers: damaged key");
	layer_name(tkey_get_u32((const uint8_t *)key.data + 1), name);
	rc = io_fstatat(t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	if (!rc)
		ret->bytes_layers += (uint64_t)st.st_blocks * 512;
	return rc == -ENOENT ? 0 : rc;
}

int trees_stats(struct trees *t, struct kv_view *view, struct trees_stats *ret)
{
	SCOPED_CURSOR struct kv_cursor *layers = NULL;
	SCOPED_BUF struct buf trees = BUF_INIT;
	struct tree_totals totals;
	int rc = tree_totals_get(view, &totals);

	*ret = (struct trees_stats){ .trees = 0 };
	if (!rc)
		rc = tree_check_list(view, &trees);
	if (!rc)
		rc = kv_cursor_open(view, TABLE_LAYER, &layers);
	if (rc)
		return rc;
	ret->trees = totals.trees;
	ret->contents = totals.contents;
	ret->layers = totals.layers;
	ret->unsealed = totals.unsealed;
	for (size_t at = 0; at < trees.len; at += sizeof(struct tree_row)) {
		struct tree_row row;

		memcpy(&row, trees.data + at, sizeof row);
		ret->inodes += row.inodes;
	}
	for (rc = kv_cursor_seek(layers, slice_of("", 1)); !rc; rc = kv_cursor_next(layers)) {
		rc = add_layer(t, kv_cursor_key(layers), ret);
		if (rc)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}
