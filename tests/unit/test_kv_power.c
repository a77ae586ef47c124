/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv power - what a power cut leaves.  This program stands between the engine (LMDB included) and the kernel: its own pwrite,
 * pwritev, write, ftruncate, fdatasync and fsync note every write to the store's files and which of them an fdatasync has
 * covered.  At random moments it makes the image that a cut would leave: what is covered, and of the rest a part, chosen in
 * one of several ways per page or per sector.  Each image is then opened, and what it holds is compared with what batch
 * number S must have made; S must not be below the last kv_sync() that had returned, nor above the last batch begun.
 *
 * At other moments the process is killed instead: the files are copied as they are to another directory, where they count as
 * the same disk with the same writes uncovered, and the engine is opened there.  What the old engine still does is not seen.
 *
 * KV_POWER_CUTS and KV_POWER_SEED in the environment make longer and other runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/io.h"
#include "store/kv/kv_internal.h"

#define CUTS      250
#define FILES     4
#define KEYS      300u
#define BIG_EVERY 53
#define BIG_BYTES 15000u
#define QUEUE     4

static const char *const names[FILES] = { "meta.mdb", "journal.0", "journal.1", "sync.meta" };

/* --- the disk ------------------------------------------------------------------------------------- */

struct note {
	off_t at;
	size_t len;
	char *bytes; /* NULL: the file was given this size */
};

struct file {
	_Atomic ino_t ino; /* 0: not watched */
	char *durable;
	size_t durable_size;
	size_t size;
	struct note *notes; /* writes that no fdatasync covers */
	size_t count, cap;
};

struct image {
	char *bytes[FILES];
	size_t size[FILES];
	uint64_t at_least, at_most;
	unsigned mode;
};

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES];  /* protected by disk, but for ino */
static unsigned seed = 1;         /* protected by disk */
static struct image queue[QUEUE]; /* protected by disk */
static unsigned queued;           /* protected by disk */
static bool cutting;              /* protected by disk */
static _Atomic uint64_t seq_synced, seq_begun;
static int dirs[2];          /* immutable */
static int now_in;           /* protected by disk: index of the directory that is the disk */
static bool killed;          /* protected by disk */
static uint64_t seq_at_kill; /* protected by disk: seq_begun then */
static unsigned kills;       /* protected by disk */

static struct file *watched(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (int i = 0; i < FILES; i++)
		if (files[i].ino && files[i].ino == st.st_ino)
			return &files[i];
	return NULL;
}

static unsigned roll(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

static void lay(char **bytes, size_t *size, const struct note *n, size_t from, size_t len)
{
	size_t end = (size_t)n->at + from + len;

	if (end > *size) {
		*bytes = realloc(*bytes, end);
		memset(*bytes + *size, 0, end - *size);
		*size = end;
	}
	memcpy(*bytes + n->at + from, n->bytes + from, len);
}

static void set_size(char **bytes, size_t *size, size_t want)
{
	*bytes = realloc(*bytes, want + 1);
	if (want > *size)
		memset(*bytes + *size, 0, want - *size);
	*size = want;
}

enum mode {
	ALL,
	NONE,
	PAGES,
	SECTORS,
	METAS,
	NOT_METAS,
	FEW,
	MOST,
	ONLY_MAIN,
	ONLY_JOURNAL,
	ONLY_SLOT,
	MODES
};

/* How many of the COUNT versions of the unit at OFFSET of file F have reached the disk? */
static size_t versions_kept(enum mode mode, int f, off_t offset, size_t count)
{
	bool meta = f == 0 && offset < 8192;

	switch (mode) {
	case ALL: return count;
	case NONE: return 0;
	case PAGES:
	case SECTORS: return roll((unsigned)count + 1);
	case METAS: return meta ? count : 0;
	case NOT_METAS: return meta ? 0 : count;
	case FEW: return roll(10) == 0 ? count : 0;
	case MOST: return roll(10) != 0 ? count : 0;
	case ONLY_MAIN: return f == 0 ? count : 0;
	case ONLY_JOURNAL: return f == 1 || f == 2 ? count : 0;
	case ONLY_SLOT: return f == 3 ? count : 0;
	case MODES: break;
	}
	return 0;
}

/* File F as the cut leaves it.  A unit keeps its first so many notes: the page cache holds one version of each. */
static void cut_file(enum mode mode, int f, struct image *img)
{
	struct file *file = &files[f];
	off_t unit = mode == SECTORS ? 512 : 4096;
	size_t units = file->size / (size_t)unit + 1;
	size_t *kept = malloc(units * sizeof(*kept));

	img->bytes[f] = malloc(file->durable_size + 1);
	memcpy(img->bytes[f], file->durable, file->durable_size);
	img->size[f] = file->durable_size;
	for (size_t u = 0; u < units; u++)
		kept[u] = versions_kept(mode, f, (off_t)u * unit, file->count);
	for (size_t i = 0; i < file->count; i++) {
		const struct note *n = &file->notes[i];

		for (size_t from = 0, len; n->bytes && from < n->len; from += len) {
			off_t at = n->at + (off_t)from;

			len = (size_t)(unit - at % unit);
			if (len > n->len - from)
				len = n->len - from;
			if (i < kept[at / unit])
				lay(&img->bytes[f], &img->size[f], n, from, len);
		}
	}
	if (roll(2))
		set_size(&img->bytes[f], &img->size[f],
			 file->size > img->size[f] ? file->size : img->size[f]);
	free(kept);
}

static void cut(void)
{
	struct image *img;

	if (!cutting || queued == QUEUE)
		return;
	img = &queue[queued++];
	img->mode = roll(MODES);
	img->at_least = seq_synced;
	img->at_most = seq_begun;
	for (int f = 0; f < FILES; f++)
		cut_file((enum mode)img->mode, f, img);
}

/* The rest of what this engine does is not seen any more. */
static void kill_engine(void)
{
	static char bytes[1 << 16];

	if (!cutting || killed)
		return;
	killed = true;
	kills++;
	seq_at_kill = seq_begun;
	now_in ^= 1;
	for (int i = 0; i < FILES; i++) {
		int from = openat(dirs[now_in ^ 1], names[i], O_RDONLY);
		int to = openat(dirs[now_in], names[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
		struct stat st;
		ssize_t n;

		while ((n = read(from, bytes, sizeof(bytes))) > 0)
			if (syscall(SYS_write, to, bytes, n) != n)
				abort();
		if (n < 0 || fstat(to, &st) < 0)
			abort();
		files[i].ino = st.st_ino;
		close(from);
		close(to);
	}
}

static void note(struct file *f, off_t at, const void *bytes, size_t len)
{
	if (f->count == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->notes = realloc(f->notes, f->cap * sizeof(*f->notes));
	}
	f->notes[f->count] = (struct note){ at, len, NULL };
	if (bytes) {
		f->notes[f->count].bytes = malloc(len + 1);
		memcpy(f->notes[f->count].bytes, bytes, len);
		if ((size_t)at + len > f->size)
			f->size = (size_t)at + len;
	} else {
		f->size = len;
	}
	f->count++;
}

static void cover(struct file *f, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct note *n = &f->notes[i];

		if (n->bytes)
			lay(&f->durable, &f->durable_size, n, 0, n->len);
		else
			set_size(&f->durable, &f->durable_size, n->len);
		free(n->bytes);
	}
	if (count)
		memmove(f->notes, f->notes + count, (f->count - count) * sizeof(*f->notes));
	f->count -= count;
}

/* --- the doors ------------------------------------------------------------------------------------ */

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	struct file *f = watched(fd);
	ssize_t n, done = 0;

	if (!f)
		return syscall(SYS_pwritev, fd, iov, count, at, 0);
	pthread_mutex_lock(&disk);
	if (roll(40) == 0)
		cut();
	if (roll(500) == 0)
		kill_engine();
	f = watched(fd);
	n = syscall(SYS_pwritev, fd, iov, count, at, 0);
	for (int i = 0; f && i < count && done < n; i++) {
		size_t len =
			iov[i].iov_len < (size_t)(n - done) ? iov[i].iov_len : (size_t)(n - done);

		note(f, at + done, iov[i].iov_base, len);
		done += (ssize_t)len;
	}
	if (roll(40) == 0)
		cut();
	pthread_mutex_unlock(&disk);
	return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	struct iovec iov = { val_of(slice_of(bytes, len)).mv_data, len };

	return pwritev(fd, &iov, 1, at);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t n;

	if (!watched(fd))
		return syscall(SYS_writev, fd, iov, count);
	n = pwritev(fd, iov, count, at);
	if (n > 0)
		lseek(fd, n, SEEK_CUR);
	return n;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	struct iovec iov = { val_of(slice_of(bytes, len)).mv_data, len };

	return watched(fd) ? writev(fd, &iov, 1) : syscall(SYS_write, fd, bytes, len);
}

int ftruncate(int fd, off_t size)
{
	struct file *f;
	int rc;

	pthread_mutex_lock(&disk);
	rc = (int)syscall(SYS_ftruncate, fd, size);
	f = watched(fd);
	if (f && rc == 0)
		note(f, 0, NULL, (size_t)size);
	pthread_mutex_unlock(&disk);
	return rc;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
	struct file *f;
	int rc;

	pthread_mutex_lock(&disk);
	rc = (int)syscall(SYS_fallocate, fd, mode, at, len);
	f = watched(fd);
	if (f && rc == 0 && mode == 0 && (size_t)(at + len) > f->size)
		note(f, 0, NULL, (size_t)(at + len));
	pthread_mutex_unlock(&disk);
	return rc;
}

int fdatasync(int fd)
{
	struct file *f = watched(fd);
	size_t covered;

	if (!f)
		return 0; /* of an image: nothing depends on it */
	pthread_mutex_lock(&disk);
	if (roll(4) == 0)
		cut();
	covered = f->count;
	pthread_mutex_unlock(&disk);
	usleep((useconds_t)(covered % 7 * 300)); /* writes go on meanwhile */
	pthread_mutex_lock(&disk);
	if (roll(4) == 0)
		cut();
	if (roll(f == &files[3] ? 10 : 200) == 0)
		kill_engine();
	if (watched(fd))
		cover(f, covered);
	if (roll(2) == 0)
		cut();
	pthread_mutex_unlock(&disk);
	return 0;
}

int fsync(int fd)
{
	return fdatasync(fd);
}

/* --- the content as a function of the number ------------------------------------------------------- */

static struct slice key_of(uint64_t n, char space[16])
{
	return slice_of(space,
			(size_t)snprintf(space, 16, "key-%04u", (unsigned)(n * 7919 % KEYS)));
}

static struct slice value_of(uint64_t seq, char space[BIG_BYTES])
{
	size_t len = seq % BIG_EVERY == 0 ? BIG_BYTES : 24 + seq % 200;

	memset(space, (int)('a' + seq % 26), len);
	memcpy(space, &seq, sizeof(seq));
	return slice_of(space, len);
}

static struct kv *watched_kv; /* the one that is cut, not one of the images */

static void batch(struct kv *kv, uint64_t seq)
{
	static char value[BIG_BYTES];
	char key[16];

	pthread_mutex_lock(&disk);
	if (kv == watched_kv && !killed)
		seq_begun = seq;
	pthread_mutex_unlock(&disk);
	assert_int_equal(kv_begin(kv), 0);
	assert_int_equal(kv_put(kv, 1, key_of(seq, key), value_of(seq, value)), 0);
	assert_int_equal(kv_put(kv, 2, slice_str("seq"), slice_of(&seq, sizeof(seq))), 0);
	if (seq % 3 == 0) {
		int rc = kv_del(kv, 1, key_of(seq + KEYS / 2, key));

		assert_true(rc == 0 || rc == -ENOENT);
	}
	assert_int_equal(kv_commit(kv, NULL), 0);
	assert_int_equal(kv_seq(kv), seq);
}

/* The number that was written last to key slot N at or before SEQ, 0: deleted or never. */
static uint64_t last_writer(uint64_t slot, uint64_t seq)
{
	for (uint64_t s = seq; s > 0 && s + 2 * KEYS > seq; s--) {
		if (s % 3 == 0 && (s + KEYS / 2) * 7919 % KEYS == slot)
			return 0;
		if (s * 7919 % KEYS == slot)
			return s;
	}
	return 0;
}

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	print_message("fault: %s\n", fault);
}

static void assert_content(struct kv *kv)
{
	static char want[BIG_BYTES];
	uint64_t seq = kv_seq(kv);
	struct kv_view *view;
	struct slice s;
	char key[16];

	for (uint64_t slot = 0; slot < KEYS; slot++) {
		uint64_t writer = last_writer(slot, seq);
		int rc;

		snprintf(key, sizeof(key), "key-%04u", (unsigned)slot);
		rc = kv_get(kv_live(kv), 1, slice_str(key), &s);
		assert_int_equal(rc, writer ? 0 : -ENOENT);
		if (writer)
			assert_true(slice_eq(s, value_of(writer, want)));
	}
	if (seq) {
		assert_int_equal(kv_get(kv_live(kv), 2, slice_str("seq"), &s), 0);
		assert_memory_equal(s.data, &seq, sizeof(seq));
	}
	assert_int_equal(kv_snapshot_open(kv, &view), 0);
	assert_int_equal(kv_check(view, print_fault, NULL), 0);
	kv_snapshot_close(view);
}

/* --- cutting -------------------------------------------------------------------------------------- */

static char dir_path[512], paths[3][600];
static int image_fd;

static struct kv *open_kv(int fd)
{
	struct kv *kv = NULL;
	int rc = kv_open(fd, NULL, &kv);

	if (rc < 0)
		fail_msg("kv_open: %s", err_text(rc));
	return kv;
}

static void judge(struct image *img, unsigned number)
{
	struct kv *kv;

	for (int f = 0; f < FILES; f++) {
		int fd = openat(image_fd, names[f], O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(syscall(SYS_write, fd, img->bytes[f], img->size[f]),
				 (long)img->size[f]);
		close(fd);
		free(img->bytes[f]);
	}
	kv = open_kv(image_fd);
	if (kv_seq(kv) < img->at_least || kv_seq(kv) > img->at_most)
		fail_msg("cut %u of mode %u: batch %llu, not within %llu and %llu", number,
			 img->mode, (unsigned long long)kv_seq(kv),
			 (unsigned long long)img->at_least, (unsigned long long)img->at_most);
	assert_content(kv);
	if (number % 3 == 0) {
		for (int i = 0; i < 60; i++)
			batch(kv, kv_seq(kv) + 1);
		assert_int_equal(kv_publish(kv), 0);
		assert_content(kv);
	}
	assert_int_equal(kv_close(kv), 0);
	kv = open_kv(image_fd);
	assert_content(kv);
	assert_int_equal(kv_close(kv), 0);
}

static unsigned judge_all(unsigned done)
{
	for (;;) {
		struct image img;

		pthread_mutex_lock(&disk);
		if (queued == 0) {
			pthread_mutex_unlock(&disk);
			return done;
		}
		img = queue[--queued];
		pthread_mutex_unlock(&disk);
		judge(&img, ++done);
	}
}

static void watch(void)
{
	for (int i = 0; i < FILES; i++) {
		int fd = openat(dirs[0], names[i], O_RDONLY);
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		files[i].durable_size = files[i].size = (size_t)st.st_size;
		files[i].durable = malloc((size_t)st.st_size + 1);
		assert_int_equal(pread(fd, files[i].durable, (size_t)st.st_size, 0), st.st_size);
		files[i].ino = st.st_ino;
		close(fd);
	}
}

static void unwatch(void)
{
	for (int i = 0; i < FILES; i++) {
		cover(&files[i], files[i].count);
		free(files[i].durable);
		free(files[i].notes);
		files[i].durable = NULL;
		files[i].notes = NULL;
		files[i].cap = 0;
		files[i].ino = 0;
	}
}

static void set_cutting(bool on)
{
	pthread_mutex_lock(&disk);
	cutting = on;
	pthread_mutex_unlock(&disk);
}

/* Nothing that was said after the kill counts. */
static void note_synced(uint64_t seq)
{
	pthread_mutex_lock(&disk);
	if (!killed && seq > seq_synced)
		seq_synced = seq;
	pthread_mutex_unlock(&disk);
}

/* After a kill: leave the old engine, which works on files that do not count any more, and go on with what it left. */
static struct kv *after_kill(struct kv *kv)
{
	uint64_t committed = kv_seq(kv);
	int dir;

	pthread_mutex_lock(&disk);
	dir = killed ? dirs[now_in] : -1;
	killed = false;
	pthread_mutex_unlock(&disk);
	if (dir < 0)
		return kv;
	assert_int_equal(kv_close(kv), 0);
	kv = watched_kv = open_kv(dir);
	/* The batch during which the kill came may be there or not; that test cannot tell when exactly it came. */
	if (kv_seq(kv) + 1 < seq_at_kill || kv_seq(kv) > committed)
		fail_msg("killed at batch %llu, found %llu", (unsigned long long)seq_at_kill,
			 (unsigned long long)kv_seq(kv));
	assert_content(kv);
	note_synced(kv_seq(kv)); /* unless it was killed again while it opened */
	return kv;
}

static void a_cut_leaves_a_state_that_was(void **state)
{
	const char *wanted = getenv("KV_POWER_CUTS");
	unsigned cuts = wanted ? (unsigned)strtoul(wanted, NULL, 10) : CUTS, done = 0, rnd = 5;
	struct kv *kv;

	(void)state;
	if (getenv("KV_POWER_SEED"))
		seed = rnd = (unsigned)strtoul(getenv("KV_POWER_SEED"), NULL, 10);
	assert_int_equal(kv_create(dirs[0]), 0);
	watch();
	set_cutting(true);
	kv = watched_kv = open_kv(dirs[0]);
	while (done < cuts) {
		unsigned dice = (unsigned)rand_r(&rnd) % 200;

		batch(kv, kv_seq(kv) + 1);
		kv_tick(kv);
		if (dice < 4) {
			uint64_t seq = kv_seq(kv) - (unsigned)rand_r(&rnd) % 3;

			assert_int_equal(kv_sync(kv, seq), 0);
			note_synced(seq);
		} else if (dice < 14) {
			assert_int_equal(kv_publish(kv), 0);
		} else if (dice < 20 && !checkpoint_running(kv)) {
			assert_int_equal(checkpoint_begin(kv, false),
					 0); /* goes on in the background */
		} else if (dice == 20) {
			assert_int_equal(kv_checkpoint(kv), 0);
			note_synced(kv_seq(kv));
		}
		kv = after_kill(kv);
		done = judge_all(done);
	}
	set_cutting(false);
	kv = after_kill(kv);
	assert_content(kv);
	print_message("%u cuts, %u kills, %llu batches\n", done, kills,
		      (unsigned long long)kv_seq(kv));
	assert_true(kills > 0);
	assert_int_equal(kv_close(kv), 0);
	unwatch();
	done = judge_all(done);
}

static void remove_all(int fd)
{
	for (int i = 0; i < FILES; i++)
		unlinkat(fd, names[i], 0);
	unlinkat(fd, KV_LOCK_FILE, 0);
}

static int setup(void **state)
{
	static const char *const subs[3] = { "a", "b", "image" };
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir_path, sizeof(dir_path), "%s/kv-power-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir_path));
	for (int i = 0; i < 3; i++) {
		int fd;

		snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir_path, subs[i]);
		assert_int_equal(mkdir(paths[i], 0700), 0);
		fd = open(paths[i], O_RDONLY | O_DIRECTORY);
		assert_true(fd >= 0);
		*(i < 2 ? &dirs[i] : &image_fd) = fd;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		int fd = i < 2 ? dirs[i] : image_fd;

		remove_all(fd);
		close(fd);
		assert_int_equal(rmdir(paths[i]), 0);
	}
	assert_int_equal(rmdir(dir_path), 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cut_leaves_a_state_that_was, setup, teardown),
	};

	return cmocka_run_group_tests_name("kv power", tests, NULL, NULL);
}
