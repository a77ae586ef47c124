/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv recovery - what is there after the process stopped: by SIGKILL at any time, at every single changing call, by an
 * error of the disk, or with files that were damaged, mixed up or come from an older build.
 *
 * The content after batch S is a function of S alone (make_batch), so every state that is found can be judged by the number
 * that it claims to have.  The program runs itself as a child for the work that is to be interrupted:
 *	test_kv_recovery workload DIR COUNT	create if needed, open, COUNT batches, close; acknowledged numbers go to DIR/acked
 *	test_kv_recovery golden DIR		write the files of tests/golden/kv-* again
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/hash.h"
#include "store/base/io.h"
#include "store/base/pack.h"
#include "store/kv/journal.h"
#include "store/kv/kv.h"
#include "store/kv/slot.h"

#define SLOTS     61 /* keys of table 1 */
#define BIG_EVERY 97 /* such a batch has a value of many pages */
#define BIG_BYTES 20000u

/* Starting a child takes a quarter of a second with ThreadSanitizer: it visits every SPARSE-th call only. */
#if defined(__SANITIZE_THREAD__)
#define SPARSE 11u
#elif defined(__SANITIZE_ADDRESS__)
#define SPARSE 5u
#else
#define SPARSE 1u
#endif

static const char *const store_files[] = {
	"meta.mdb",      "journal.0",     "journal.1", "sync.meta",
	"meta.mdb-lock", "sync.meta.new", "acked",
};

static char dir_path[512];
static int dirfd;

static void remove_all(int fd)
{
	for (size_t i = 0; i < sizeof(store_files) / sizeof(store_files[0]); i++)
		unlinkat(fd, store_files[i], 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir_path, sizeof(dir_path), "%s/kv-recovery-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir_path));
	dirfd = open(dir_path, O_RDONLY | O_DIRECTORY);
	assert_true(dirfd >= 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_set_fault_hook(NULL, NULL);
	remove_all(dirfd);
	close(dirfd);
	assert_int_equal(rmdir(dir_path), 0);
	return 0;
}

/* --- the content as a function of the number ------------------------------------------------------- */

static size_t value_of(uint64_t seq, char out[BIG_BYTES])
{
	size_t len = seq % BIG_EVERY == 0 ? BIG_BYTES : 20 + seq % 300;

	memset(out, (int)('a' + seq % 26), len);
	memcpy(out, &seq, sizeof(seq));
	return len;
}

static struct slice slot_key(uint64_t n, char space[16])
{
	return slice_of(space, (size_t)snprintf(space, 16, "slot-%02u", (unsigned)(n % SLOTS)));
}

/*
 * Batch SEQ writes its slot of table 1, deletes the slot after it, and writes SEQ twice into table 2, so that half a batch
 * would show.
 */
static int make_batch(struct kv *kv, uint64_t seq)
{
	static char value[BIG_BYTES];
	char space[16];
	size_t len = value_of(seq, value);
	int rc = kv_put(kv, 1, slot_key(seq, space), slice_of(value, len));

	if (rc == 0)
		rc = kv_put(kv, 2, slice_str("left"), slice_of(&seq, sizeof(seq)));
	if (rc == 0)
		rc = kv_del(kv, 1, slot_key(seq + 1, space));
	if (rc == 0 || rc == -ENOENT)
		rc = kv_put(kv, 2, slice_str("right"), slice_of(&seq, sizeof(seq)));
	return rc;
}

static void assert_state(struct kv *kv)
{
	static char want[BIG_BYTES];
	uint64_t seq = kv_seq(kv), oldest = seq > SLOTS - 2 ? seq - (SLOTS - 2) : 0;
	struct kv_view *view = kv_live(kv);
	struct slice s;
	char space[16];

	if (seq == 0) {
		assert_int_equal(kv_get(view, 2, slice_str("left"), &s), -ENOENT);
		return;
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kv_get(view, 2, slice_str(i ? "left" : "right"), &s), 0);
		assert_int_equal(s.len, sizeof(seq));
		assert_memory_equal(s.data, &seq, sizeof(seq));
	}
	for (uint64_t n = seq; n > oldest && n > 0; n--) {
		assert_int_equal(kv_get(view, 1, slot_key(n, space), &s), 0);
		assert_int_equal(s.len, value_of(n, want));
		assert_memory_equal(s.data, want, s.len);
	}
	assert_int_equal(kv_get(view, 1, slot_key(seq + 1, space), &s), -ENOENT);
}

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	print_message("fault: %s\n", fault);
}

/* Open, judge, close.  Answers the number of batches that are there. */
static uint64_t judge(int fd, uint64_t at_least)
{
	struct kv_view *view;
	struct kv *kv = NULL;
	uint64_t seq;
	int rc = kv_open(fd, NULL, &kv);

	if (rc < 0)
		print_message("kv_open: %s\n", err_text(rc));
	assert_int_equal(rc, 0);
	seq = kv_seq(kv);
	if (seq < at_least)
		print_message("batch %llu is there, %llu was acknowledged\n",
			      (unsigned long long)seq, (unsigned long long)at_least);
	assert_true(seq >= at_least);
	assert_state(kv);
	assert_int_equal(kv_snapshot_open(kv, &view), 0);
	assert_int_equal(kv_check(view, print_fault, NULL), 0);
	kv_snapshot_close(view);
	assert_int_equal(kv_close(kv), 0);
	return seq;
}

static uint64_t acked(int fd)
{
	int file = openat(fd, "acked", O_RDONLY);
	uint64_t seq = 0;

	if (file >= 0) {
		if (pread(file, &seq, sizeof(seq), 0) != (ssize_t)sizeof(seq))
			seq = 0;
		close(file);
	}
	return seq;
}

/* --- the child ------------------------------------------------------------------------------------ */

static _Atomic bool child_stop;

static void *child_sync(void *arg)
{
	while (!child_stop) {
		if (kv_sync(arg, kv_seq(arg)) < 0)
			break;
		usleep(500);
	}
	return NULL;
}

/* 0, or 1 after an error that it was told.  What was acknowledged is noted first. */
static int workload(const char *path, unsigned count)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), ack, rc;
	pthread_t thread;
	struct kv *kv;

	ack = openat(fd, "acked", O_RDWR | O_CREAT, 0600);
	rc = kv_open(fd, NULL, &kv);
	if (rc == -ENOENT) {
		rc = kv_create(fd);
		if (rc == 0)
			rc = kv_open(fd, NULL, &kv);
	}
	if (rc < 0)
		return 1;
	if (count > 1000 && pthread_create(&thread, NULL, child_sync, kv) != 0)
		return 1;
	for (unsigned i = 0; rc == 0 && i < count; i++) {
		uint64_t seq = kv_seq(kv) + 1;

		rc = kv_begin(kv);
		if (rc < 0)
			break;
		if (i % 7 == 6) {
			(void)!make_batch(kv, seq + 1000000);
			kv_abort(kv);
			rc = kv_begin(kv);
			if (rc < 0)
				break;
		}
		rc = make_batch(kv, seq);
		if (rc < 0) {
			kv_abort(kv);
			break;
		}
		rc = kv_commit(kv, &seq);
		if (rc == 0 && pwrite(ack, &seq, sizeof(seq), 0) != (ssize_t)sizeof(seq))
			return 2;
		kv_tick(kv);
		if (rc == 0 && i % 40 == 20)
			rc = kv_sync(kv, seq);
		if (rc == 0 && i % 50 == 30)
			rc = kv_publish(kv);
		if (rc == 0 && i % 60 == 40)
			rc = kv_checkpoint(kv);
	}
	if (count > 1000) {
		child_stop = true;
		pthread_join(thread, NULL);
	}
	if (kv_close(kv) < 0)
		rc = -EIO;
	return rc < 0 ? 1 : 0;
}

/* Start the workload in the background; VARIABLE (may be NULL) is put into its environment. */
static pid_t spawn(unsigned count, const char *variable, const char *value)
{
	char text[16];
	pid_t pid;

	snprintf(text, sizeof(text), "%u", count);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	if (variable)
		setenv(variable, value, 1);
	if (freopen("/dev/null", "w", stderr) == NULL)
		_exit(3);
	execl("/proc/self/exe", "test_kv_recovery", "workload", dir_path, text, (char *)NULL);
	_exit(3);
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- stopping the process -------------------------------------------------------------------------- */

static void sigkill_at_any_time_loses_nothing(void **state)
{
	unsigned rnd = 11, kills = 0;
	uint64_t seq = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		uint64_t before = acked(dirfd);
		pid_t pid = spawn(100000000, NULL, NULL);

		/* Every other time somewhere in opening, else while it writes. */
		for (int wait = 0; i % 2 && acked(dirfd) == before && wait < 10000; wait++)
			usleep(1000);
		usleep((useconds_t)(rand_r(&rnd) % 60000));
		kill(pid, SIGKILL);
		kills += WIFSIGNALED(wait_for(pid));
		if (faccessat(dirfd, "sync.meta", F_OK, 0) == 0)
			seq = judge(dirfd, acked(dirfd));
	}
	print_message("%u kills, %llu batches\n", kills, (unsigned long long)seq);
	assert_true(kills > 50 && seq > 0);
}

/*
 * Stop at changing call 1, 2, 3 ... until a run comes through.  A store that is not complete must be made again by the next
 * run.
 */
static void every_call(const char *variable, const char *fault, unsigned step)
{
	unsigned n;
	bool through = false;

	for (n = 1; !through; n += step * SPARSE) {
		char value[32];
		int status;
		pid_t pid;

		remove_all(dirfd);
		snprintf(value, sizeof(value), "%u%s", n, fault);
		pid = spawn(100, variable, value);
		status = wait_for(pid);
		assert_true(WIFEXITED(status));
		through = WEXITSTATUS(status) == 0;
		if (!through)
			assert_true(WEXITSTATUS(status) == IO_CRASH_STATUS ||
				    WEXITSTATUS(status) == 1);
		if (faccessat(dirfd, "sync.meta", F_OK, 0) == 0)
			judge(dirfd, acked(dirfd));
		status = wait_for(spawn(3, NULL, NULL));
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		judge(dirfd, acked(dirfd));
		assert_true(n < 100000);
	}
	print_message("%s=n%s: %u calls\n", variable, fault, n - 1);
	assert_true(n > 100);
}

static void a_stop_at_any_call_loses_nothing(void **state)
{
	(void)state;
	every_call("STORE_CRASH_AT", "", 1);
}

static void a_torn_write_at_any_call_loses_nothing(void **state)
{
	(void)state;
	every_call("STORE_FAULT", ":torn", 3);
}

/* Batches may be refused, but never those that were acknowledged.  One fault need not stop the run: count the runs. */
static void faults(const char *fault, unsigned runs, unsigned step)
{
	unsigned refused = 0;

	for (unsigned n = 1; n < runs; n += step * SPARSE) {
		char value[32];
		int status;

		remove_all(dirfd);
		snprintf(value, sizeof(value), "%u%s", n, fault);
		status = wait_for(spawn(100, "STORE_FAULT", value));
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		refused += WEXITSTATUS(status) == 1;
		if (faccessat(dirfd, "sync.meta", F_OK, 0) == 0)
			judge(dirfd, acked(dirfd));
		status = wait_for(spawn(3, NULL, NULL));
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		judge(dirfd, acked(dirfd));
	}
	print_message("n%s: %u of the runs were refused something\n", fault, refused);
	assert_true(refused > 0);
}

static void an_io_error_at_any_call_loses_nothing(void **state)
{
	(void)state;
	faults(":EIO", 190, 2);
	faults("+:EIO", 190, 7);
}

static void a_full_disk_at_any_call_loses_nothing(void **state)
{
	(void)state;
	faults(":ENOSPC", 190, 2);
	faults("+:ENOSPC", 190, 7);
}

/* --- errors that are told ------------------------------------------------------------------------- */

static struct plan {
	const char *op;
	enum io_fault fault;
	_Atomic int times;     /* faults left */
	_Atomic unsigned seen; /* calls of op */
} plan;

static enum io_fault hook(void *arg, uint64_t number, const char *op)
{
	struct plan *p = arg;

	(void)number;
	if (strcmp(op, p->op) != 0)
		return IO_FAULT_NONE;
	p->seen++;
	if (p->times <= 0)
		return IO_FAULT_NONE;
	p->times--;
	return p->fault;
}

static void plan_fault(const char *op, enum io_fault fault, int times)
{
	io_set_fault_hook(NULL, NULL);
	plan = (struct plan){ .op = op, .fault = fault, .times = times };
	io_set_fault_hook(hook, &plan);
}

static struct kv *fresh(void)
{
	struct kv *kv = NULL;

	assert_int_equal(kv_create(dirfd), 0);
	assert_int_equal(kv_open(dirfd, NULL, &kv), 0);
	return kv;
}

static int one_batch(struct kv *kv)
{
	int rc = kv_begin(kv);

	if (rc < 0)
		return rc;
	assert_int_equal(make_batch(kv, kv_seq(kv) + 1), 0);
	return kv_commit(kv, NULL);
}

static void batches(struct kv *kv, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(one_batch(kv), 0);
}

static void a_batch_that_finds_the_disk_full_is_undone(void **state)
{
	struct kv *kv = fresh();

	(void)state;
	batches(kv, 10);
	/* The record fails; the zeros over it are written. */
	plan_fault("pwrite", IO_FAULT_ENOSPC, 1);
	assert_int_equal(one_batch(kv), -ENOSPC);
	assert_int_equal(kv_seq(kv), 10);
	assert_state(kv);
	batches(kv, 5);
	plan_fault("fallocate", IO_FAULT_ENOSPC, 1000);
	while (one_batch(kv) == 0 && kv_seq(kv) < 100000)
		;
	assert_state(kv);
	plan_fault("fallocate", IO_FAULT_NONE, 0);
	batches(kv, 5);
	assert_state(kv);
	assert_int_equal(kv_close(kv), 0);
	judge(dirfd, 20);
}

static void a_commit_that_finds_the_disk_full_is_made_up_for(void **state)
{
	struct kv *kv = fresh();

	(void)state;
	batches(kv, 10);
	plan_fault("mdb_txn_commit", IO_FAULT_ENOSPC, 1);
	assert_int_equal(kv_publish(kv), -ENOSPC);
	assert_state(kv);
	batches(kv, 10);
	assert_state(kv);
	assert_int_equal(kv_publish(kv), 0);
	plan_fault("mdb_txn_commit", IO_FAULT_EIO, 1);
	batches(kv, 5);
	assert_int_equal(kv_checkpoint(kv), -EIO);
	assert_int_equal(kv_checkpoint(kv), 0);
	assert_state(kv);
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(judge(dirfd, 25), 25);
}

static void after_a_failed_sync_nothing_more_is_taken(const char *op_done_by_sync)
{
	struct kv *kv = fresh();

	batches(kv, 10);
	plan_fault("fdatasync", IO_FAULT_EIO, 1);
	if (op_done_by_sync)
		assert_int_equal(kv_sync(kv, 10), -EIO);
	else
		assert_int_equal(kv_checkpoint(kv), -EIO);
	assert_int_equal(kv_begin(kv), -EIO);
	assert_state(kv);
	if (op_done_by_sync)
		assert_int_equal(kv_sync(kv, 10), -EIO); /* never retried */
	assert_int_equal(kv_close(kv), -EIO);
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(judge(dirfd, 10), 10);
}

static void a_failed_journal_sync_ends_writing(void **state)
{
	(void)state;
	after_a_failed_sync_nothing_more_is_taken("journal");
}

static void a_failed_checkpoint_ends_writing(void **state)
{
	(void)state;
	after_a_failed_sync_nothing_more_is_taken(NULL);
}

/* --- kv_sync -------------------------------------------------------------------------------------- */

static void sync_means_an_fdatasync_after_the_write(void **state)
{
	struct kv *kv = fresh();
	unsigned before;

	(void)state;
	for (int i = 0; i < 50; i++) {
		uint64_t seq;

		plan_fault("fdatasync", IO_FAULT_NONE, 0);
		assert_int_equal(one_batch(kv), 0);
		seq = kv_seq(kv);
		assert_int_equal(kv_sync(kv, seq), 0);
		/* The timer may have been quicker, but somebody must have since the hook was set. */
		assert_true(plan.seen > 0);
		before = plan.seen;
		assert_int_equal(kv_sync(kv, seq), 0);
		assert_int_equal(plan.seen, before);
	}
	assert_int_equal(kv_close(kv), 0);
}

static _Atomic int sync_errors;

static void *sync_now(void *arg)
{
	if (kv_sync(arg, kv_seq(arg)) < 0)
		sync_errors++;
	return NULL;
}

static enum io_fault slow_fdatasync(void *arg, uint64_t number, const char *op)
{
	(void)number;
	if (strcmp(op, "fdatasync") == 0) {
		++*(_Atomic unsigned *)arg;
		usleep(30000);
	}
	return IO_FAULT_NONE;
}

static void waiters_share_one_fdatasync(void **state)
{
	struct kv *kv = fresh();
	pthread_t threads[16];
	_Atomic unsigned syncs = 0;

	(void)state;
	batches(kv, 1);
	io_set_fault_hook(slow_fdatasync, &syncs);
	for (int i = 0; i < 16; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sync_now, kv), 0);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(sync_errors, 0);
	assert_in_range(syncs, 1, 3);
	assert_int_equal(kv_close(kv), 0);
}

/* --- files that are not as they were --------------------------------------------------------------- */

/* A store with 30 batches after its last checkpoint, left as SIGKILL leaves it. */
static void left_behind(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct kv *kv;

		if (kv_create(dirfd) < 0 || kv_open(dirfd, NULL, &kv) < 0)
			_exit(1);
		for (int i = 0; i < 50; i++) {
			if (one_batch(kv) < 0 || (i == 19 && kv_checkpoint(kv) < 0))
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(wait_for(pid), 0);
}

/* Offset of record number N (from 0) in the journal file that is in use; *RET_FILE is opened. */
static off_t record_at(int n, int *ret_file, uint32_t *ret_len)
{
	static const char *const names[] = { "journal.0", "journal.1" };
	uint8_t head[JOURNAL_HEAD_BYTES];
	off_t at = 0;

	for (int i = 0; i < 2; i++) {
		int fd = openat(dirfd, names[i], O_RDWR);
		struct unpack u;

		assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
		u = unpack_init(slice_of(head + 16, 8));
		if (unpack_u64(&u) != 21) {
			close(fd);
			continue;
		}
		for (int k = 0;; k++) {
			assert_int_equal(pread(fd, head, sizeof(head), at), sizeof(head));
			u = unpack_init(slice_of(head, sizeof(head)));
			*ret_len = unpack_u32(&u);
			if (k == n)
				break;
			at += *ret_len;
		}
		*ret_file = fd;
		return at;
	}
	fail_msg("no journal file begins with batch 21");
	return -1;
}

static void flip_byte(int fd, off_t at)
{
	char c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)(c ^ 0x20);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static void a_torn_last_record_is_dropped(void **state)
{
	static const char zeros[4096];
	uint32_t len;
	off_t at;
	int fd;

	(void)state;
	left_behind();
	at = record_at(29, &fd, &len);
	assert_int_equal(pwrite(fd, zeros, len / 2, at + len / 2), len / 2);
	close(fd);
	assert_int_equal(judge(dirfd, 0), 49);
}

static void a_damaged_record_ends_the_replay(void **state)
{
	uint32_t len;
	off_t at;
	int fd;

	(void)state;
	left_behind();
	at = record_at(12, &fd, &len);
	flip_byte(fd, at + len - 1);
	close(fd);
	assert_int_equal(judge(dirfd, 0), 32);
	/* What follows the damage must not come back when the numbers fit again. */
	assert_int_equal(wait_for(spawn(1, NULL, NULL)), 0);
	assert_int_equal(judge(dirfd, 0), 33);
}

static void a_journal_cut_short_gives_what_is_there(void **state)
{
	uint32_t len;
	off_t at;
	int fd;

	(void)state;
	left_behind();
	at = record_at(5, &fd, &len);
	assert_int_equal(ftruncate(fd, at + 10), 0);
	close(fd);
	assert_int_equal(judge(dirfd, 0), 25);
}

static void copy_file(int from_dir, int to_dir, const char *name)
{
	static char bytes[1 << 20];
	int from = openat(from_dir, name, O_RDONLY),
	    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	assert_true(from >= 0 && to >= 0);
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(to, bytes, (size_t)n), n);
	assert_int_equal(n, 0);
	close(from);
	close(to);
}

static int other_dir(char path[600])
{
	int fd;

	snprintf(path, sizeof(char[600]), "%s/other", dir_path);
	assert_int_equal(mkdir(path, 0700), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	return fd;
}

static void remove_other(int fd, const char *path)
{
	remove_all(fd);
	close(fd);
	assert_int_equal(rmdir(path), 0);
}

static void a_copied_store_opens(void **state)
{
	char path[600];
	int fd;

	(void)state;
	left_behind();
	fd = other_dir(path);
	for (int i = 0; i < 4; i++)
		copy_file(dirfd, fd, store_files[i]);
	assert_int_equal(judge(fd, 50), 50);
	assert_int_equal(judge(dirfd, 50), 50);
	remove_other(fd, path);
}

static void refuse(const char *why)
{
	struct kv *kv = NULL;

	assert_int_equal(kv_open(dirfd, NULL, &kv), -EBADMSG);
	if (!strstr(err_reason(), why))
		fail_msg("the reason is \"%s\"", err_reason());
}

static void files_of_two_stores_are_refused(void **state)
{
	char path[600];
	int fd;

	(void)state;
	left_behind();
	fd = other_dir(path);
	assert_int_equal(kv_create(fd), 0);
	judge(fd, 0);
	copy_file(fd, dirfd, "sync.meta");
	refuse("not of this database");
	/* The journal of another store holds nothing for this one. */
	remove_other(fd, path);
	remove_all(dirfd);
	left_behind();
	fd = other_dir(path);
	assert_int_equal(kv_create(fd), 0);
	copy_file(dirfd, fd, "journal.0");
	copy_file(dirfd, fd, "journal.1");
	assert_int_equal(judge(fd, 0), 0);
	remove_other(fd, path);
}

static void a_slot_file_from_the_future_is_refused(void **state)
{
	uint8_t bytes[SLOT_BYTES];
	uint32_t crc;
	int fd;

	(void)state;
	left_behind();
	fd = openat(dirfd, "sync.meta", O_RDWR);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	bytes[12] = 2;
	crc = hash_crc32c(0, slice_of(bytes + 12, sizeof(bytes) - 12));
	memcpy(bytes + 8, &crc, 4);
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	refuse("newer version");
	bytes[12] = 1; /* now the checksum is wrong, in both */
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), SLOT_STRIDE), sizeof(bytes));
	refuse("no valid slot");
	close(fd);
}

/* Two checkpoints, then ROUNDS commits that use freed pages again; left as SIGKILL leaves it. */
static void write_on(unsigned rounds)
{
	struct kv *kv = fresh();

	batches(kv, 200);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kv_checkpoint(kv), 0);
		for (unsigned k = 0; k < rounds; k++) {
			batches(kv, 20);
			assert_int_equal(kv_publish(kv), 0);
		}
	}
	_exit(0);
}

/* The older one leads to an older state if its pages are still there, and is refused else. */
static void a_damaged_slot_is_no_silent_damage(void **state)
{
	unsigned opened = 0, refused = 0;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		struct kv *kv = NULL;
		uint64_t gen[2];
		pid_t pid;
		int fd, rc;

		remove_all(dirfd);
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_on(i);
		assert_int_equal(wait_for(pid), 0);
		fd = openat(dirfd, "sync.meta", O_RDWR);
		assert_int_equal(pread(fd, &gen[0], 8, 16), 8);
		assert_int_equal(pread(fd, &gen[1], 8, SLOT_STRIDE + 16), 8);
		flip_byte(fd, gen[1] > gen[0] ? SLOT_STRIDE + 100 : 100);
		close(fd);
		rc = kv_open(dirfd, NULL, &kv);
		if (rc == 0) {
			assert_state(kv);
			assert_int_equal(kv_close(kv), 0);
			opened++;
		} else {
			assert_int_equal(rc, -EBADMSG);
			refused++;
		}
	}
	print_message("%u opened, %u refused\n", opened, refused);
	assert_true(opened > 0 && refused > 0);
}

static void missing_files_are_named(void **state)
{
	struct kv *kv = NULL;

	(void)state;
	assert_int_equal(kv_open(dirfd, NULL, &kv), -ENOENT);
	left_behind();
	assert_int_equal(kv_create(dirfd), -EEXIST);
	unlinkat(dirfd, "journal.1", 0);
	refuse("journal.1");
	unlinkat(dirfd, "meta.mdb", 0);
	refuse("meta.mdb");
}

static void one_process_at_a_time(void **state)
{
	struct kv *kv = fresh(), *second = NULL;

	(void)state;
	assert_int_equal(kv_open(dirfd, NULL, &second), -EBUSY);
	batches(kv, 3);
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(judge(dirfd, 3), 3);
}

static void torn_meta_pages_of_lmdb_do_not_matter(void **state)
{
	static const char garbage[4096] = "not a page";
	int fd;

	(void)state;
	left_behind();
	fd = openat(dirfd, "meta.mdb", O_RDWR);
	/* The slot is the memory; of LMDB's own two pages one must be readable to tell whose file it is. */
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	close(fd);
	fd = openat(dirfd, "meta.mdb-lock", O_RDWR | O_CREAT, 0600);
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	close(fd);
	judge(dirfd, 50);
}

/* --- read-only ------------------------------------------------------------------------------------ */

static int read_only_in_child(uid_t uid)
{
	struct kv_options options = { .read_only = true };
	struct kv *kv = NULL;
	int rc;

	if (uid && setuid(uid) < 0)
		return 10;
	rc = kv_open(dirfd, &options, &kv);
	if (rc < 0) {
		fprintf(stderr, "kv_open: %s\n", err_text(rc));
		return 11;
	}
	if (kv_seq(kv) != 50 || kv_begin(kv) != -EROFS)
		return 12;
	assert_state(kv);
	kv_tick(kv);
	if (kv_sync(kv, 50) < 0 || kv_publish(kv) < 0 || kv_checkpoint(kv) < 0)
		return 13;
	if (kv_check(kv_live(kv), print_fault, NULL) != 0)
		return 14;
	return kv_close(kv) < 0 ? 15 : 0;
}

static void open_read_only(bool protect)
{
	pid_t pid;

	if (protect) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(fchmodat(dirfd, store_files[i], 0444, 0), 0);
		assert_int_equal(fchmod(dirfd, 0555), 0);
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(read_only_in_child(protect && geteuid() == 0 ? 65534 : 0));
	assert_int_equal(wait_for(pid), 0);
	if (protect) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(fchmodat(dirfd, store_files[i], 0600, 0), 0);
		assert_int_equal(fchmod(dirfd, 0700), 0);
	}
}

static void a_read_only_open_sees_everything(void **state)
{
	struct stat before, after;

	(void)state;
	left_behind();
	assert_int_equal(fstatat(dirfd, "meta.mdb", &before, 0), 0);
	open_read_only(true); /* not closed cleanly: a private copy */
	assert_int_equal(fstatat(dirfd, "meta.mdb", &after, 0), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	open_read_only(false);
	judge(dirfd, 50);
	open_read_only(true); /* clean: in place */
	judge(dirfd, 50);
}

/* --- a disk that is really full ---------------------------------------------------------------------- */

static void space_freed_makes_it_go_on(void **state)
{
	static char value[8000];
	char path[600], key[16];
	struct kv *kv;
	int fd, filler, rc = 0;
	unsigned n;

	(void)state;
	snprintf(path, sizeof(path), "%s/other", dir_path);
	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("none", path, "tmpfs", 0, "size=24m") < 0) {
		rmdir(path);
		skip();
	}
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(kv_create(fd), 0);
	assert_int_equal(kv_open(fd, NULL, &kv), 0);
	filler = openat(fd, "filler", O_RDWR | O_CREAT, 0600);
	assert_int_equal(posix_fallocate(filler, 0, 12 << 20), 0);
	for (n = 0; rc == 0 && n < 10000; n++) {
		snprintf(key, sizeof(key), "%u", n);
		memset(value, (int)n, sizeof(value));
		rc = kv_begin(kv);
		if (rc < 0)
			break;
		rc = kv_put(kv, 1, slice_str(key), slice_of(value, sizeof(value)));
		if (rc < 0)
			kv_abort(kv);
		else
			rc = kv_commit(kv, NULL);
	}
	assert_int_equal(rc, -ENOSPC);
	print_message("full after %u values of 8000 bytes\n", n);
	n = (unsigned)kv_seq(kv);
	assert_true(n > 100);
	close(filler);
	assert_int_equal(unlinkat(fd, "filler", 0), 0);
	usleep(1200000); /* the engine looks again after a second */
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(kv_begin(kv), 0);
		assert_int_equal(kv_del(kv, 1, slice_str(key)), 0);
		rc = kv_commit(kv, NULL);
		if (rc < 0)
			print_message("%s\n", err_text(rc));
		assert_int_equal(rc, 0);
	}
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(kv_open(fd, NULL, &kv), 0);
	for (unsigned i = 0; i < n; i++) {
		struct slice s;

		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(kv_get(kv_live(kv), 1, slice_str(key), &s), i < 20 ? -ENOENT : 0);
	}
	assert_int_equal(kv_close(kv), 0);
	close(fd);
	assert_int_equal(umount(path), 0);
	assert_int_equal(rmdir(path), 0);
}

/* --- golden files: the bytes of version 1 ---------------------------------------------------------- */

#define GOLDEN_RECORD "kv-journal-record.hex"
#define GOLDEN_SLOT   "kv-sync-slot.hex"
#define GOLDEN_STORE  "kv-store-v1"

static void golden_record(struct buf *out)
{
	struct journal j = { .crc_seed = hash_crc32c(0, slice_str("0123456789abcdef")) };

	journal_record_begin(out);
	pack_u8(out, 1);
	pack_str(out, slice_str("\x07"
				"key"));
	pack_str(out, slice_str("value"));
	pack_u8(out, 2);
	pack_str(out, slice_str("\x07"
				"old"));
	journal_seal(&j, out, 3, 4711);
}

/* A page as LMDB writes it for an empty environment after transaction 258. */
static void golden_slot(struct slot *slot)
{
	uint8_t *p = slot->page;

	memset(slot, 0, sizeof(*slot));
	slot->gen = 9;
	slot->txnid = 258;
	slot->page_size = 4096;
	memcpy(slot->id, "0123456789abcdef", sizeof(slot->id));
	p[10] = 0x08;
	memcpy(p + 16, "\xde\xc0\xef\xbe\x01", 5);
	p[41] = 0x10;
	p[136] = 7;
	p[144] = 2;
	p[145] = 1;
}

/* Hex digits with blanks and # comments. */
static void read_hex(const char *name, struct buf *out)
{
	char path[128], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be read (run from the top of the tree)", path);
	while (fgets(line, sizeof(line), f)) {
		unsigned byte;
		int n;

		line[strcspn(line, "#")] = '\0';
		for (char *at = line; sscanf(at, "%2x%n", &byte, &n) == 1; at += n)
			buf_add_ch(out, (char)byte);
	}
	fclose(f);
}

static void a_record_is_as_the_format_says(void **state)
{
	SCOPED_BUF struct buf want = BUF_INIT, record = BUF_INIT;

	(void)state;
	golden_record(&record);
	read_hex(GOLDEN_RECORD, &want);
	assert_int_equal(record.len, want.len);
	assert_memory_equal(record.data, want.data, want.len);
}

static void a_slot_is_as_the_format_says(void **state)
{
	SCOPED_BUF struct buf want = BUF_INIT;
	uint8_t bytes[SLOT_BYTES];
	struct slot slot, back;
	bool newer;

	(void)state;
	golden_slot(&slot);
	slot_encode(&slot, bytes);
	read_hex(GOLDEN_SLOT, &want);
	assert_in_range(want.len, 208, SLOT_BYTES);
	assert_memory_equal(bytes, want.data, want.len);
	for (size_t i = want.len; i < SLOT_BYTES; i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(slot_decode(bytes, &back, &newer), 0);
	assert_memory_equal(&back.gen, &slot.gen, sizeof(slot.gen));
	assert_int_equal(back.txnid, 258);
	assert_memory_equal(back.page, slot.page, sizeof(slot.page));
	for (size_t i = 0; i < SLOT_BYTES; i++) {
		bytes[i] ^= 1;
		assert_int_equal(slot_decode(bytes, &back, &newer), -EBADMSG);
		bytes[i] ^= 1;
	}
}

static void a_store_of_version_1_opens(void **state)
{
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "tests/golden/%s", GOLDEN_STORE);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		fail_msg("%s cannot be read (run from the top of the tree)", path);
	for (int i = 0; i < 4; i++)
		copy_file(fd, dirfd, store_files[i]);
	close(fd);
	assert_int_equal(judge(dirfd, 50), 50);
}

static void write_hex(const char *dir, const char *name, const uint8_t *bytes, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		exit(1);
	for (size_t i = 0; i < len; i++)
		fprintf(f, "%02x%c", bytes[i], i % 16 == 15 || i + 1 == len ? '\n' : ' ');
	fclose(f);
}

static int write_golden(const char *dir)
{
	SCOPED_BUF struct buf record = BUF_INIT;
	uint8_t bytes[SLOT_BYTES];
	struct slot slot;
	char path[256];
	struct stat st;
	uint32_t len;
	off_t at;
	int fd;

	golden_record(&record);
	write_hex(dir, GOLDEN_RECORD, (const uint8_t *)record.data, record.len);
	golden_slot(&slot);
	slot_encode(&slot, bytes);
	write_hex(dir, GOLDEN_SLOT, bytes, 208);
	snprintf(path, sizeof(path), "%s/%s", dir, GOLDEN_STORE);
	(void)mkdir(path, 0755);
	dirfd = open(path, O_RDONLY | O_DIRECTORY);
	remove_all(dirfd);
	left_behind();
	at = record_at(29, &fd, &len);
	if (ftruncate(fd, at + len) < 0)
		return 1;
	(void)fstat(fd, &st);
	for (int i = 1; i < 3; i++) {
		struct stat other;
		int file = openat(dirfd, store_files[i], O_RDWR);

		if (fstat(file, &other) == 0 && other.st_ino != st.st_ino && ftruncate(file, 0) < 0)
			return 1;
		close(file);
	}
	unlinkat(dirfd, "meta.mdb-lock", 0);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sigkill_at_any_time_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stop_at_any_call_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_write_at_any_call_loses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_io_error_at_any_call_loses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_at_any_call_loses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_batch_that_finds_the_disk_full_is_undone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_commit_that_finds_the_disk_full_is_made_up_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_journal_sync_ends_writing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_failed_checkpoint_ends_writing, setup, teardown),
		cmocka_unit_test_setup_teardown(sync_means_an_fdatasync_after_the_write, setup,
						teardown),
		cmocka_unit_test_setup_teardown(waiters_share_one_fdatasync, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_last_record_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_record_ends_the_replay, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_cut_short_gives_what_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_copied_store_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(files_of_two_stores_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slot_file_from_the_future_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_damaged_slot_is_no_silent_damage, setup,
						teardown),
		cmocka_unit_test_setup_teardown(missing_files_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_meta_pages_of_lmdb_do_not_matter, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_read_only_open_sees_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(space_freed_makes_it_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_is_as_the_format_says, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slot_is_as_the_format_says, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_of_version_1_opens, setup, teardown),
	};

	if (argc == 4 && strcmp(argv[1], "workload") == 0) {
		snprintf(dir_path, sizeof(dir_path), "%s", argv[2]);
		return workload(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	}
	if (argc == 3 && strcmp(argv[1], "golden") == 0)
		return write_golden(argv[2]);
	return cmocka_run_group_tests_name("kv recovery", tests, NULL, NULL);
}
