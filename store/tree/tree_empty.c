/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_empty - a head that nobody will see any more lets go of what it holds.  Core, in a batch.
 */
#include "store/tree/listing.h"
#include "store/tree/write.h"

/* All names in the head go. */
static int remove_names(struct trees *t, struct tree_row *row)
{
	SCOPED_BUF struct buf todo = BUF_INIT;	/* directories: each before what is in it */
	uint32_t top = TREE_ROOT;
	struct listing l = LISTING_INIT;
	int rc = 0;

	buf_add(&todo, &top, sizeof top);
	while (!rc && !(rc = buf_err(&todo)) && todo.len) {
		struct listing_entry e;
		struct inode n;
		uint32_t dir;

		todo.len -= sizeof dir;
		memcpy(&dir, todo.data + todo.len, sizeof dir);
		rc = listing_load(&l, kv_live(t->kv), inode_head(row->tree), dir);
		while (!rc && listing_next(&l, &e)) {
			struct dirent_row d;

			rc = dirent_get(kv_live(t->kv), inode_head(row->tree), dir, e.name, &d);
			if (!rc)
				rc = dirent_clear(t, row, dir, e.name, &d);
			if (!rc && e.type == S_IFDIR) {
				buf_add(&todo, &e.ino, sizeof e.ino);
				continue;
			}
			if (!rc)
				rc = inode_get(kv_live(t->kv), inode_head(row->tree), e.ino, &n);
			if (!rc)
				rc = inode_unlink(t, row, &n);
		}
		if (!rc && dir != TREE_ROOT) {
			rc = inode_get(kv_live(t->kv), inode_head(row->tree), dir, &n);
			if (!rc)
				rc = inode_unlink(t, row, &n);
		}
	}
	listing_release(&l);
	return rc;
}

int tree_empty(struct trees *t, uint32_t tree)
{
	struct tree_row row;
	struct inode root;
	int rc = tree_row_change(t, tree, false, &row);

	if (!rc && row.inodes > TREE_EMPTY_MAX)
		return err_set(-EFBIG, "tree %u holds more than %u files", tree, TREE_EMPTY_MAX);
	if (!rc)
		rc = inode_get(kv_live(t->kv), inode_head(tree), TREE_ROOT, &root);
	if (!rc && S_ISDIR(root.mode)) {
		rc = remove_names(t, &row);
		root.nlink = 2;
	} else if (!rc) {
		rc = write_share(t, &root, 0);
		row.bytes = 0;
	}
	if (!rc)
		rc = inode_store(t, &row, &root);
	tree_row_touch(&row);
	return rc ? rc : tree_row_put(t, &row);
}
