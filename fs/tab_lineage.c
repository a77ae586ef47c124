/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tab_lineage - inputs/{data,models} and outputs/{data,models} of a run: a symlink for each version that it read or made.
 *
 * The store keeps ids; names and targets are made when asked, so they follow renames and the trash.
 */
#include <errno.h>

#include "fs/fs.h"
#include "fs/paths.h"
#include "store/meta/lineage.h"
#include "store/meta/run.h"
#include "store/meta/trash.h"

#define DIRECTION(node) ((enum lineage_direction)(node_inner(node) >> 8))
#define SPACE(node)     ((enum entry_space)(node_inner(node) & 0xff))
#define LINK_SERIAL     ((1u << 26) - 1)

static const char *space_name(enum entry_space space)
{
	return space == ENTRY_DATA ? "data" : "models";
}

/* --- one link -------------------------------------------------------------------------------------------- */

/* The path below the top directory where version V is now. */
static int version_path(struct kv_view *view, const struct version *v, struct buf *out)
{
	SCOPED_BUF struct buf head = BUF_INIT;
	struct entry e;
	int rc = entry_get(view, v->entry, &e);

	if (rc < 0)
		return rc;
	if (v->trashed || e.trashed)
		buf_add_str(out, "trash/");
	buf_addf(out, "%s/", space_name(e.space));
	if (v->trashed)
		return trash_name(view, TRASH_VERSION, v->serial, out);
	if (e.trashed)
		rc = trash_name(view, TRASH_ENTRY, e.id, &head);
	else
		buf_add_slice(&head, e.name);
	if (rc < 0)
		return rc;
	entry_name_version(buf_slice(&head), v->is_dir, v->n, out);
	return buf_err(out);
}

static int link_target(struct fs *fs, uint64_t node, struct run *ret, struct buf *out)
{
	struct version v;
	int rc = run_get(fs_view(fs), node_object(node), ret);

	if (rc == 0)
		rc = version_by_serial(fs_view(fs), node_inner(node) & LINK_SERIAL, &v);
	if (rc < 0)
		return rc;
	buf_add_str(out, ret->trashed ? "../../../../../" : "../../../../");
	return version_path(fs_view(fs), &v, out);
}

static int link_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	SCOPED_BUF struct buf target = BUF_INIT;
	struct run run;
	int rc = link_target(c->fs, node, &run, &target);

	(void)h;
	if (rc == 0)
		node_fill_link(c->fs, ret, run.uid, run.gid, target.len, run.changed_ms);
	return rc;
}

static int link_readlink(struct call *c, uint64_t node, struct buf *out)
{
	struct run run;

	return link_target(c->fs, node, &run, out);
}

static void link_path(struct fs *fs, uint64_t node, struct buf *out)
{
	path_run(fs, node_object(node), out);
	buf_add_str(out, node_inner(node) >> 26 == LINEAGE_INPUT ? "/inputs" : "/outputs");
}

const struct node_ops lineage_link_ops = {
	.getattr = link_getattr,
	.readlink = link_readlink,
	.path = link_path,
};

/* --- directories ----------------------------------------------------------------------------------------------- */

static int dir_getattr(struct call *c, uint64_t node, struct handle *h, struct node_attr *ret)
{
	struct run run;
	int rc = run_get(fs_view(c->fs), node_object(node), &run);

	(void)h;
	if (rc < 0)
		return rc;
	node_fill_attr(c->fs, ret, S_IFDIR | 0755, run.uid, run.gid, 0, run.changed_ms);
	ret->st.st_nlink = SPACE(node) ? 2 : 4;
	ret->timeout = NODE_DIR_TIMEOUT;
	return 0;
}

static uint64_t space_dir(uint64_t dir, enum entry_space space)
{
	return node_id(NODE_RUN_LINEAGE, node_object(dir), (uint32_t)DIRECTION(dir) << 8 | space);
}

struct walk {
	struct call *c;
	uint64_t dir;
	struct dir_fill *fill;
	uint64_t cookie;    /* listing: where to go on after */
	struct slice name;      /* look-up */
	uint32_t serial;        /* what it found */
};

static int version_name(struct kv_view *view, const struct version *v, struct buf *out)
{
	struct entry e;
	int rc = entry_get(view, v->entry, &e);

	if (rc < 0)
		return rc;
	entry_name_version(e.name, v->is_dir, v->n, out);
	return buf_err(out);
}

static int find_link(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	struct walk *w = arg;
	int rc = version_name(fs_view(w->c->fs), v, &name);

	(void)how;
	(void)at_ms;
	if (rc < 0)
		return rc;
	if (!slice_eq(buf_slice(&name), w->name))
		return 0;
	w->serial = v->serial;
	return 1;
}

static int find_serial(struct call *c, uint64_t dir, struct slice name, uint32_t *ret)
{
	struct walk w = { .c = c, .dir = dir, .name = name };
	int rc = lineage_each(fs_view(c->fs), node_object(dir), DIRECTION(dir), SPACE(dir),
			      find_link, &w);

	*ret = w.serial;
	return rc < 0 ? rc : w.serial ? 0 : -ENOENT;
}

static uint64_t link_node(uint64_t dir, uint32_t serial)
{
	return node_id(NODE_LINEAGE_LINK, node_object(dir),
		       (uint32_t)DIRECTION(dir) << 26 | serial);
}

/* What would be seen in outputs/ is cut first. */
static int settle(struct call *c, uint64_t dir)
{
	if (DIRECTION(dir) != LINEAGE_OUTPUT || !entry_is_pending(c->fs->meta, 0))
		return 0;
	return entry_settle(c->fs->meta, 0);
}

static int dir_lookup(struct call *c, uint64_t dir, struct slice name, struct node_entry *ret)
{
	uint32_t serial;
	int rc;

	if (!SPACE(dir)) {
		for (enum entry_space s = ENTRY_DATA; s <= ENTRY_MODELS; s++)
			if (slice_eq(name, slice_str(space_name(s))))
				return node_entry(c, space_dir(dir, s), ret);
		return -ENOENT;
	}
	rc = settle(c, dir);
	if (rc == 0)
		rc = find_serial(c, dir, name, &serial);
	if (rc == 0)
		rc = node_entry(c, link_node(dir, serial), ret);
	ret->entry_timeout = 0; /* its name follows the dataset's */
	return rc;
}

static int list_link(void *arg, const struct version *v, enum lineage_how how, int64_t at_ms)
{
	SCOPED_BUF struct buf name = BUF_INIT;
	struct node_entry e = { .node = 0 };
	struct walk *w = arg;
	uint64_t cookie = (uint64_t)v->entry << 32 | v->n; /* rises, and stays when others go */
	int rc;

	(void)how;
	(void)at_ms;
	if (cookie <= w->cookie)
		return 0;
	rc = version_name(fs_view(w->c->fs), v, &name);
	if (rc == 0)
		rc = node_entry(w->c, link_node(w->dir, v->serial), &e);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	e.entry_timeout = 0;
	return dir_add(w->fill, buf_slice(&name), &e, cookie) ? 1 : 0;
}

static int dir_readdir(struct call *c, uint64_t dir, struct handle *h, uint64_t cookie,
		       struct dir_fill *fill)
{
	struct walk w = { .c = c, .dir = dir, .fill = fill, .cookie = cookie };
	int rc = 0;

	(void)h;
	if (SPACE(dir)) {
		rc = cookie ? 0 : settle(c, dir);
		if (rc < 0)
			return rc;
		rc = lineage_each(fs_view(c->fs), node_object(dir), DIRECTION(dir), SPACE(dir),
				  list_link, &w);
		return rc < 0 ? rc : 0;
	}
	for (enum entry_space s = ENTRY_DATA; s <= ENTRY_MODELS; s++) {
		struct node_entry e = { .node = 0 };

		if (cookie >= s)
			continue;
		rc = node_entry(c, space_dir(dir, s), &e);
		if (rc < 0 || dir_add(fill, slice_str(space_name(s)), &e, s))
			break;
	}
	return rc;
}

/* --- ln -s: the target is resolved to a version at once ------------------------------------------------------------ */

/* The last component of a target, if the target is a name of SPACE: "x", "data/x", "../data/x", "MOUNTPOINT/data/x". */
static int target_name(struct fs *fs, enum entry_space space, struct slice target,
		       struct slice *ret)
{
	const char *at = target.data, *end = at + target.len;
	struct slice parts[3] = { { NULL, 0 } };
	size_t mount_len = strlen(fs->mountpoint), count = 0;

	if (target.len > mount_len && memcmp(at, fs->mountpoint, mount_len) == 0 &&
	    at[mount_len] == '/')
		at += mount_len;
	else if (target.len && at[0] == '/')
		return -EINVAL;
	while (at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		struct slice part = slice_of(at, (size_t)((slash ? slash : end) - at));

		at = slash ? slash + 1 : end;
		if (part.len == 0 || slice_eq(part, slice_str(".")) ||
		    slice_eq(part, slice_str("..")))
			continue;
		if (count == 2)
			return -EINVAL;
		parts[count++] = part;
	}
	if (count == 0 || (count == 2 && !slice_eq(parts[0], slice_str(space_name(space)))))
		return -EINVAL;
	*ret = parts[count - 1];
	return 0;
}

static int resolve(struct fs *fs, enum entry_space space, struct slice name, struct version *ret)
{
	struct entry_name parsed;
	uint32_t entry, n = 0;
	struct entry e;
	int rc = entry_name_parse(name, &parsed);

	if (rc == 0)
		rc = entry_find(fs_view(fs), space, slice_str(parsed.head), &entry);
	if (rc == 0)
		rc = entry_settle(fs->meta, entry);
	if (rc == 0)
		rc = entry_get(fs_view(fs), entry, &e);
	if (rc < 0)
		return rc;
	if (parsed.kind == ENTRY_NAME_VERSION)
		n = parsed.n;
	else if (parsed.kind == ENTRY_NAME_ALIAS)
		rc = alias_get(fs_view(fs), entry, slice_str(parsed.word), &n);
	else
		n = e.newest;
	if (rc == 0)
		rc = version_get(fs_view(fs), entry, n, ret);
	return rc == 0 && ret->trashed ? -ENOENT : rc;
}

static int may_change(struct call *c, uint64_t dir)
{
	struct run run;
	int rc = run_get(fs_view(c->fs), node_object(dir), &run);

	if (rc == 0)
		rc = call_may_change(c, run.uid);
	return rc < 0 ? rc : run_check_writable(fs_view(c->fs), node_object(dir));
}

static int dir_make(struct call *c, uint64_t dir, struct slice name, const struct node_make *make,
		    struct node_entry *ret)
{
	struct slice target;
	struct version v;
	int rc;

	(void)name;
	if (!S_ISLNK(make->mode) || !SPACE(dir))
		return err_set(-EPERM,
			       "only links to versions can be made here, in data/ or models/");
	rc = may_change(c, dir);
	if (rc < 0)
		return rc;
	rc = target_name(c->fs, SPACE(dir), make->target, &target);
	if (rc == 0)
		rc = resolve(c->fs, SPACE(dir), target, &v);
	if (rc < 0)
		return err_set(-EINVAL, "%.*s is no version of something in /%s",
			       (int)make->target.len, (const char *)make->target.data,
			       space_name(SPACE(dir)));
	rc = fs_begin(c->fs);
	if (rc == 0)
		rc = fs_end(c->fs, lineage_add(c->fs->meta, node_object(dir), DIRECTION(dir),
					       v.serial, LINEAGE_BY_HAND));
	if (rc == 0)
		rc = node_entry(c, link_node(dir, v.serial), ret);
	ret->entry_timeout = 0; /* it shows under the version's own name */
	return rc;
}

static int dir_unlink(struct call *c, uint64_t dir, struct slice name)
{
	uint32_t serial;
	int rc;

	if (!SPACE(dir))
		return -EISDIR;
	rc = find_serial(c, dir, name, &serial);
	if (rc == 0)
		rc = may_change(c, dir);
	if (rc == 0)
		rc = fs_begin(c->fs);
	return rc < 0 ? rc
		      : fs_end(c->fs, lineage_remove(c->fs->meta, node_object(dir), DIRECTION(dir),
						     serial));
}

static void dir_path(struct fs *fs, uint64_t node, struct buf *out)
{
	path_run(fs, node_object(node), out);
	buf_add_str(out, DIRECTION(node) == LINEAGE_INPUT ? "/inputs" : "/outputs");
	if (SPACE(node))
		buf_addf(out, "/%s", space_name(SPACE(node)));
}

const struct node_ops lineage_dir_ops = {
	.lookup = dir_lookup,
	.getattr = dir_getattr,
	.setattr = node_setattr_nothing,
	.readdir = dir_readdir,
	.make = dir_make,
	.unlink = dir_unlink,
	.path = dir_path,
};
