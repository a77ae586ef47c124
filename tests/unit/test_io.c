/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io - the door to the file system and its faults.  The faults that the environment asks for are tried in a child that is
 * this program again: test_io child DIR.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/base/io.h"

static char dir_path[512];
static int dirfd;

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir_path, sizeof(dir_path), "%s/io-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir_path));
	dirfd = io_openat(AT_FDCWD, dir_path, O_RDONLY | O_DIRECTORY, 0);
	return dirfd < 0;
}

static int remove_name(void *arg, const char *name)
{
	(void)arg;
	if (unlinkat(dirfd, name, 0) < 0)
		return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_set_fault_hook(NULL, NULL);
	assert_int_equal(io_each_name(dirfd, remove_name, NULL), 0);
	assert_int_equal(io_close(dirfd), 0);
	return rmdir(dir_path);
}

static void files_are_written_and_read(void **state)
{
	SCOPED_FD int fd = io_openat(dirfd, "f", O_RDWR | O_CREAT | O_EXCL, 0600);
	char abc[] = "abc", defg[] = "defg";
	struct iovec iov[3] = { { abc, 3 }, { NULL, 0 }, { defg, 4 } };
	char bytes[32];
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(io_openat(dirfd, "f", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	assert_int_equal(io_openat(dirfd, "none", O_RDONLY, 0), -ENOENT);
	assert_int_equal(io_write_full(fd, "0123456789", 10), 0);
	assert_int_equal(io_pwrite_full(fd, "XY", 2, 4), 0);
	assert_int_equal(io_pwritev_full(fd, iov, 3, 8), 0);
	assert_int_equal(io_pread_full(fd, bytes, sizeof(bytes), 0), 15);
	assert_memory_equal(bytes, "0123XY67abcdefg", 15);
	assert_int_equal(io_pread_full(fd, bytes, 4, 13), 2);
	assert_int_equal(io_pread_full(fd, bytes, 4, 100), 0);
	assert_int_equal(io_lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(io_read_full(fd, bytes, 5), 5);
	assert_int_equal(io_ftruncate(fd, 3), 0);
	assert_int_equal(io_fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(io_fsync(fd), 0);
	assert_int_equal(io_fdatasync(fd), 0);
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	return ++*(int *)arg == 3 ? 77 : 0;
}

static void names(void **state)
{
	struct stat st;
	int count = 0;

	(void)state;
	assert_int_equal(io_mkdirat(dirfd, "d", 0700), 0);
	assert_int_equal(io_mkdirat(dirfd, "d", 0700), -EEXIST);
	io_close(io_openat(dirfd, "a", O_RDWR | O_CREAT, 0600));
	io_close(io_openat(dirfd, "b", O_RDWR | O_CREAT, 0600));
	io_close(io_openat(dirfd, "s", O_RDWR | O_CREAT, 0600));
	assert_int_equal(io_renameat(dirfd, "a", dirfd, "b2", RENAME_NOREPLACE), 0);
	assert_int_equal(io_renameat(dirfd, "b", dirfd, "s", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(io_fstatat(dirfd, "a", &st, 0), -ENOENT);
	assert_int_equal(io_each_name(dirfd, count_name, &count), 77);
	assert_int_equal(io_unlinkat(dirfd, "b", 0), 0);
	assert_int_equal(io_unlinkat(dirfd, "b", 0), -ENOENT);
	assert_int_equal(io_unlinkat(dirfd, "d", AT_REMOVEDIR), 0);
	assert_true(io_writable(dirfd, "b2"));
	assert_false(io_writable(dirfd, "b"));
}

static void holes_and_locks(void **state)
{
	SCOPED_FD int fd = io_openat(dirfd, "f", O_RDWR | O_CREAT, 0600);
	SCOPED_FD int to = io_openat(dirfd, "g", O_RDWR | O_CREAT, 0600);
	SCOPED_FD int again = io_openat(dirfd, "f", O_RDONLY, 0);
	static char bytes[65536];
	struct statvfs vfs;
	int rc;

	(void)state;
	assert_int_equal(io_flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(io_flock(again, LOCK_SH | LOCK_NB), -EWOULDBLOCK);
	assert_int_equal(io_fstatvfs(fd, &vfs), 0);
	assert_true(vfs.f_blocks > 0);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(io_pwrite_full(fd, bytes, sizeof(bytes), 0), 0);
	rc = io_punch_hole(fd, 0, 32768);
	assert_true(rc == 0 || rc == -EOPNOTSUPP);
	if (rc == 0) {
		assert_int_equal(io_lseek(fd, 0, SEEK_DATA), 32768);
		assert_int_equal(io_lseek(fd, 0, SEEK_HOLE), 0);
	}
	assert_int_equal(io_lseek(fd, 1 << 20, SEEK_DATA), -ENXIO);
	rc = io_fallocate(to, 0, 0, 8192);
	assert_true(rc == 0 || rc == -EOPNOTSUPP);
}

/* --- faults --------------------------------------------------------------------------------------- */

struct plan {
	uint64_t at;
	enum io_fault fault;
	char ops[256];
};

static enum io_fault record(void *arg, uint64_t number, const char *op)
{
	struct plan *p = arg;

	strncat(p->ops, op, sizeof(p->ops) - strlen(p->ops) - 2);
	strncat(p->ops, " ", sizeof(p->ops) - strlen(p->ops) - 1);
	return number == p->at ? p->fault : IO_FAULT_NONE;
}

static void only_changes_are_counted(void **state)
{
	uint64_t before = io_changes();
	struct plan p = { .at = 0 };
	SCOPED_FD int fd = -1;
	char byte;

	(void)state;
	io_set_fault_hook(record, &p);
	fd = io_openat(dirfd, "f", O_RDWR | O_CREAT, 0600);
	assert_int_equal(io_write_full(fd, "x", 1), 0);
	assert_int_equal(io_pread_full(fd, &byte, 1, 0), 1);
	io_close(io_openat(dirfd, "f", O_RDONLY, 0));
	assert_int_equal(io_fdatasync(fd), 0);
	assert_int_equal(io_fault_point("library"), 0);
	assert_int_equal(io_unlinkat(dirfd, "f", 0), 0);
	assert_int_equal(io_changes() - before, 5);
	assert_string_equal(p.ops, "open write fdatasync library unlink ");
}

static void a_fault_hits_the_call_it_is_for(void **state)
{
	SCOPED_FD int fd = io_openat(dirfd, "f", O_RDWR | O_CREAT, 0600);
	struct plan p = { .fault = IO_FAULT_EIO };
	struct stat st;

	(void)state;
	io_set_fault_hook(record, &p);
	p.at = io_changes() + 2;
	assert_int_equal(io_write_full(fd, "0123", 4), 0);
	err_clear();
	assert_int_equal(io_write_full(fd, "4567", 4), -EIO);
	assert_non_null(strstr(err_reason(), "write of"));
	assert_non_null(strstr(err_reason(), "/f: Input/output error"));
	assert_int_equal(io_fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4);
	p.at = io_changes() + 1;
	p.fault = IO_FAULT_ENOSPC;
	assert_int_equal(io_write_full(fd, "abcdefgh", 8), -ENOSPC);
	assert_int_equal(io_fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8); /* half of it had gone through */
	p.at = io_changes() + 1;
	assert_int_equal(io_fault_point("library"), -ENOSPC);
	p.at = io_changes() + 1;
	assert_int_equal(io_renameat(dirfd, "f", dirfd, "g", 0), -ENOSPC);
	assert_int_equal(io_renameat(dirfd, "f", dirfd, "g", 0), 0);
}

static int child(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY), failures = 0;
	int fd = io_openat(dir, "c", O_RDWR | O_CREAT | O_TRUNC, 0600); /* call 1 */

	for (int i = 0; i < 4; i++)
		failures += io_write_full(fd, "0123456789", 10) < 0; /* calls 2 to 5 */
	return failures;
}

/* Exit status of a child under VARIABLE=VALUE; *RET_SIZE: what its file has grown to. */
static int run_child(const char *variable, const char *value, off_t *ret_size)
{
	struct stat st;
	int status;
	pid_t pid;

	fflush(NULL);
	unlinkat(dirfd, "c", 0);
	pid = fork();
	if (pid == 0) {
		setenv(variable, value, 1);
		execl("/proc/self/exe", "test_io", "child", dir_path, (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*ret_size = fstatat(dirfd, "c", &st, 0) == 0 ? st.st_size : -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_environment_plans_a_fault(void **state)
{
	static const struct {
		const char *variable, *value;
		int status;
		off_t size;
	} cases[] = {
		{ "STORE_CRASH_AT", "1", IO_CRASH_STATUS, -1 },
		{ "STORE_CRASH_AT", "3", IO_CRASH_STATUS, 10 },
		{ "STORE_CRASH_AT", "6", 0, 40 },
		{ "STORE_FAULT", "3:torn", IO_CRASH_STATUS, 15 },
		{ "STORE_FAULT", "3:EIO", 1, 30 },
		{ "STORE_FAULT", "3+:EIO", 3, 10 },
		{ "STORE_FAULT", "3:ENOSPC", 1, 35 },
		{ "STORE_FAULT", "3:nonsense", 0, 40 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		off_t size;
		int status = run_child(cases[i].variable, cases[i].value, &size);

		if (status != cases[i].status || size != cases[i].size)
			fail_msg("%s=%s: status %d, %ld bytes", cases[i].variable, cases[i].value,
				 status, (long)size);
	}
}

static void *write_some(void *arg)
{
	for (int i = 0; i < 500; i++)
		if (io_pwrite_full(*(int *)arg, "x", 1, i) < 0)
			return arg;
	return NULL;
}

static void threads_count_together(void **state)
{
	SCOPED_FD int fd = io_openat(dirfd, "f", O_RDWR | O_CREAT, 0600);
	uint64_t before = io_changes();
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_some, &fd), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(io_changes() - before, 2000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_are_written_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(holes_and_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(only_changes_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fault_hits_the_call_it_is_for, setup, teardown),
		cmocka_unit_test_setup_teardown(the_environment_plans_a_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_count_together, setup, teardown),
	};

	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return child(argv[2]);
	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
