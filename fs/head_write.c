/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head_write - see head_write.h.  Few heads are written at the same time: a list.
 */
#include "fs/head_write.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/deciding.h"
#include "store/meta/entry.h"

struct tree_front {
	struct head_write *writes;
};

int tree_front_new(struct fs *fs)
{
	fs->trees_front = calloc(1, sizeof(*fs->trees_front));
	return fs->trees_front ? 0 : -ENOMEM;
}

void tree_front_free(struct fs *fs)
{
	if (!fs->trees_front)
		return;
	while (fs->trees_front->writes) {
		struct head_write *w = fs->trees_front->writes;

		fs->trees_front->writes = w->next;
		free(w);
	}
	free(fs->trees_front);
	fs->trees_front = NULL;
}

uint32_t head_entry_id(struct fs *fs, uint32_t tree)
{
	struct tree_info info;

	if (tree_info(fs_view(fs), tree, &info) != 0 || info.owner != TREE_OWNER_ENTRY)
		return 0;
	return info.owner_id;
}

int head_may_make(struct call *c, enum entry_space space, struct slice name)
{
	struct entry e;
	uint32_t id;
	int rc = entry_find(fs_view(c->fs), space, name, &id);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = entry_get(fs_view(c->fs), id, &e);
	return rc ? rc : call_may_change(c, e.uid);
}

int head_write_note(struct call *c, uint32_t tree)
{
	struct meta_actor who = call_actor(c);
	uint32_t entry = who.run ? head_entry_id(c->fs, tree) : 0;

	return entry ? entry_mark_written(c->fs->meta, entry, who.run) : 0;
}

static struct head_write *find_write(struct fs *fs, uint32_t tree)
{
	struct head_write *w = fs->trees_front->writes;

	while (w && w->tree != tree)
		w = w->next;
	return w;
}

struct head_write *head_write_join(struct call *c, uint32_t tree)
{
	struct head_write *w = find_write(c->fs, tree);

	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return NULL;
		w->tree = tree;
		w->next = c->fs->trees_front->writes;
		c->fs->trees_front->writes = w;
	}
	w->writers++;
	w->who = call_actor(c);
	return w;
}

static void forget_write(struct fs *fs, struct head_write *w)
{
	struct head_write **at = &fs->trees_front->writes;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

/*
 * A file head has been written and nobody may write it any more.  In a batch.  *RET_UNDECIDED: the entry whose comparison with its newest version is
 * too much for the core; deciding_start() after the batch.
 */
static int head_written(struct fs *fs, uint32_t tree, bool rewrote, const struct meta_actor *who, uint32_t *ret_undecided)
{
	uint32_t id = head_entry_id(fs, tree);
	struct entry e;
	bool differs;
	int rc = id ? entry_get(fs_view(fs), id, &e) : -ENOENT;

	*ret_undecided = 0;
	if (rc == -ENOENT || (rc == 0 && (!e.has_head || e.is_dir || e.trashed)))
		return 0;	/* removed, or replaced, meanwhile */
	if (rc || (!rewrote && e.newest != 0))
		return rc ? rc : entry_written(fs->meta, id, true, who);
	rc = entry_differs(fs->meta, fs_view(fs), id, DECIDE_ON_CORE, &differs);
	if (rc == -E2BIG) {
		*ret_undecided = id;
		return entry_defer(fs->meta, id, who);
	}
	return rc ? rc : entry_cut_known(fs->meta, id, differs, slice_of(NULL, 0), 0, who, NULL);
}

static int cut_written(struct fs *fs, uint32_t tree, bool rewrote, const struct meta_actor *who)
{
	uint32_t undecided = 0;
	int rc = fs_begin(fs);

	if (rc == 0)
		rc = fs_end(fs, head_written(fs, tree, rewrote, who, &undecided));
	if (rc == 0 && undecided)
		deciding_start(fs, undecided, who);
	return rc;
}

void head_write_leave(struct fs *fs, struct head_write *w)
{
	int rc;

	if (--w->writers > 0)
		return;
	if (w->wrote) {
		rc = cut_written(fs, w->tree, w->rewrote, &w->who);
		if (rc < 0)
			fs_refused(fs, "cut", "/data", rc, err_reason());
	}
	forget_write(fs, w);
}

int head_write_note_rewrite(struct call *c, uint32_t tree, uint32_t ino)
{
	struct head_write *w = ino == TREE_ROOT ? find_write(c->fs, tree) : NULL;
	struct meta_actor who;
	uint32_t undecided;

	if (w) {
		w->wrote = w->rewrote = true;
		return 0;
	}
	if (ino != TREE_ROOT)
		return head_write_note(c, tree);
	who = call_actor(c);
	return head_written(c->fs, tree, true, &who, &undecided);	/* truncate(2): there will be no close; what is large stays pending */
}
