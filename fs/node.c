/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node - the table of tables, and what all kinds share.
 */
#include <errno.h>

#include "fs/fs.h"
#include "fs/node.h"
#include "store/base/hash.h"
#include "store/meta/run.h"
#include "store/meta/value.h"

static const struct node_ops *const tables[NODE_KIND_END] = {
	[NODE_ROOT] = &root_ops,
	[NODE_STATIC] = &static_ops,
	[NODE_EXPERIMENTS] = &experiments_ops,
	[NODE_EXPERIMENT] = &experiment_ops,
	[NODE_EXPERIMENT_NEW] = &experiment_new_ops,
	[NODE_EXPERIMENT_FIELD] = &value_ops,
	[NODE_EXPERIMENT_TAGS] = &keys_ops,
	[NODE_EXPERIMENT_TAG] = &value_ops,
	[NODE_EXPERIMENT_RUN] = &run_link_ops,
	[NODE_RUNS] = &runs_ops,
	[NODE_RUN] = &run_ops,
	[NODE_RUN_FIELD] = &value_ops,
	[NODE_RUN_PARAMS] = &keys_ops,
	[NODE_RUN_METRICS] = &keys_ops,
	[NODE_RUN_HISTORIES] = &keys_ops,
	[NODE_RUN_TAGS] = &keys_ops,
	[NODE_PARAM] = &value_ops,
	[NODE_METRIC] = &value_ops,
	[NODE_HISTORY] = &value_ops,
	[NODE_TAG] = &value_ops,
	[NODE_RUN_CHILDREN] = &run_children_ops,
	[NODE_RUN_CHILD] = &run_link_ops,
	[NODE_RUN_PROCS] = &run_procs_ops,
	[NODE_RUN_LINEAGE] = &lineage_dir_ops,
	[NODE_LINEAGE_LINK] = &lineage_link_ops,
	[NODE_SPACE] = &space_ops,
	[NODE_TREE_HEAD] = &tree_head_ops,
	[NODE_TREE_VERSION] = &tree_version_ops,
	[NODE_ALIAS] = &alias_ops,
	[NODE_COMMIT] = &commit_ops,
	[NODE_TRASH] = &trash_ops,
	[NODE_CTL] = &ctl_ops,
	[NODE_RUN_ALIAS] = &run_link_ops,
	[NODE_RUN_SELF] = &run_self_ops,
};

const struct node_ops *node_ops_of(uint64_t node)
{
	enum node_kind kind = node_kind(node);

	return kind < NODE_KIND_END ? tables[kind] : NULL;
}

void node_path(struct fs *fs, uint64_t node, struct buf *out)
{
	const struct node_ops *ops = node_ops_of(node);

	if (ops && ops->path)
		ops->path(fs, node, out);
	else
		buf_addf(out, "(node %#llx)", (unsigned long long)node);
}

uint32_t node_hash(struct slice name)
{
	struct digest d = hash_xxh3(name, 0);
	uint32_t h = (uint32_t)d.bytes[0] << 24 | (uint32_t)d.bytes[1] << 16 |
		     (uint32_t)d.bytes[2] << 8 | d.bytes[3];

	return h ? h : 1;
}

/*
 * The kernel checks mode bits; which of two users may change something is call_may_change()'s to say.  What another user
 * made has the store owner's group (or group=), which may write: so that the store's owner gets as far as our own check.
 */
void node_fill_attr(struct fs *fs, struct node_attr *ret, uint32_t mode, uint32_t uid, uint32_t gid,
		    uint64_t size, int64_t mtime_ms)
{
	int64_t ms = mtime_ms ? mtime_ms : fs->created_ms;
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	memset(&ret->st, 0, sizeof(ret->st));
	if (fs->has_group) {
		gid = fs->group;
		mode |= (mode & 0200) >> 3;
	} else if (uid != fs->owner_uid) {
		gid = fs->owner_gid;
		mode |= (mode & 0200) >> 3;
	}
	ret->st.st_mode = mode;
	ret->st.st_nlink = 1;
	ret->st.st_uid = uid;
	ret->st.st_gid = gid;
	ret->st.st_size = S_ISDIR(mode) ? 4096 : (off_t)size;
	ret->st.st_blocks = S_ISDIR(mode) ? 8 : (blkcnt_t)((size + 511) / 512);
	ret->st.st_blksize = 4096;
	ret->st.st_atim = ts;
	ret->st.st_mtim = ts;
	ret->st.st_ctim = ts;
	ret->timeout = 0;
}

const struct node_row *node_row_find(const struct node_row *rows, struct slice name)
{
	for (; rows->name; rows++)
		if (slice_eq(name, slice_str(rows->name)))
			return rows;
	return NULL;
}

int node_entry(struct call *c, uint64_t node, struct node_entry *ret)
{
	const struct node_ops *ops = node_ops_of(node);

	ret->node = node;
	ret->entry_timeout = fs_entry_timeout(c->fs);
	return ops && ops->getattr ? ops->getattr(c, node, NULL, &ret->attr) : -ENOENT;
}

static bool is_view(const struct node_row *row)
{
	return (row->kind == NODE_RUN_FIELD || row->kind == NODE_EXPERIMENT_FIELD) &&
	       !value_size_is_cheap((enum value_kind)row->inner);
}

int node_row_entry(struct call *c, const struct node_row *row, uint32_t object,
		   struct node_entry *ret)
{
	struct run run;
	int rc;

	if (row->kind != NODE_TREE_HEAD)
		return node_entry(c, node_id(row->kind, object, row->inner), ret);
	rc = run_get(fs_view(c->fs), object, &run); /* a run's artifacts */
	return rc < 0 ? rc : node_entry(c, node_id(NODE_TREE_HEAD, run.tree, TREE_ROOT), ret);
}

int node_rows_list(struct call *c, const struct node_row *rows, uint32_t object, uint64_t cookie,
		   struct dir_fill *fill)
{
	for (uint64_t i = 0; rows[i].name; i++) {
		struct node_entry e = { .node = 0 };
		int rc = 0;

		if (i < cookie || rows[i].unlisted)
			continue;
		if (is_view(&rows[i])) {
			e.attr.st.st_mode = S_IFREG;
			e.attr.st.st_ino = node_id(rows[i].kind, object, rows[i].inner);
		} else {
			rc = node_row_entry(c, &rows[i], object, &e);
		}
		if (rc == -ENOENT)
			continue;
		if (rc < 0)
			return rc;
		if (dir_add(fill, slice_str(rows[i].name), &e, i + 1))
			return 1;
	}
	return 0;
}

int node_setattr_nothing(struct call *c, uint64_t node, struct handle *h, const struct stat *st,
			 int to_set, struct node_attr *ret)
{
	const struct node_ops *ops = node_ops_of(node);

	(void)st;
	(void)to_set;
	return ops ? ops->getattr(c, node, h, ret) : -ENOENT;
}

void node_fill_link(struct fs *fs, struct node_attr *ret, uint32_t uid, uint32_t gid,
		    size_t target_len, int64_t mtime_ms)
{
	node_fill_attr(fs, ret, S_IFLNK | 0777, uid, gid, target_len, mtime_ms);
	ret->timeout = 0;
}
