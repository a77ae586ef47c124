# SPDX-License-Identifier: Apache-2.0
"""/data and /models: heads, versions, aliases, .commit, names."""

import errno
import hashlib
import os
import time

import pytest

from harness import append, put, read, refused, run as sh_run, sh, wait_for

SPACES = ["data", "models"]


def names(path):
    return sorted(os.listdir(path))


# ---- versions of files ----------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_closing_a_written_head_cuts_a_version(mount, space):
    put(mount / space / "iris.csv", "a,b\n1,2\n")
    assert read(mount / space / "iris@v1.csv") == b"a,b\n1,2\n"
    put(mount / space / "iris.csv", "a,b\n1,3\n")
    assert read(mount / space / "iris@v2.csv") == b"a,b\n1,3\n"
    assert read(mount / space / "iris@v1.csv") == b"a,b\n1,2\n"
    assert names(mount / space) == ["iris.csv", "iris@latest.csv", "iris@v1.csv", "iris@v2.csv"]
    assert os.readlink(mount / space / "iris@latest.csv") == "iris@v2.csv"


def test_equal_bytes_chmod_and_touch_cut_nothing(mount):
    head = mount / "data/x.csv"
    put(head, "same\n")
    put(head, "same\n")
    os.chmod(head, 0o600)
    os.utime(head)
    with open(head, "r+b"):
        pass
    assert names(mount / "data") == ["x.csv", "x@latest.csv", "x@v1.csv"]


def test_the_last_close_of_several_descriptors_cuts(mount):
    head = mount / "data/x"
    a = os.open(head, os.O_WRONLY | os.O_CREAT, 0o644)
    b = os.dup(a)
    c = os.open(head, os.O_RDWR)
    os.write(a, b"one")
    os.close(a)
    os.close(b)
    assert not os.path.lexists(mount / "data/x@v1")
    os.pwrite(c, b"two", 0)
    os.close(c)
    assert read(mount / "data/x@v1") == b"two"
    assert not os.path.lexists(mount / "data/x@v2")


def test_a_version_is_there_when_close_returns(mount):
    for n in range(1, 31):
        put(mount / "data/x.bin", os.urandom(1000))
        assert os.path.exists(mount / f"data/x@v{n}.bin")


def test_appends_are_cut_when_quiet_or_looked_for(mount):
    head = mount / "data/log.txt"
    put(head, "start\n")
    for i in range(50):
        append(head, f"{i}\n")
    assert read(mount / "data/log@v2.txt").count(b"\n") == 51
    assert not os.path.lexists(mount / "data/log@v3.txt")
    append(head, "more\n")
    time.sleep(3.0)
    events = mount.stats()
    assert events  # nobody has looked for versions since; the timer has cut
    assert read(mount / "data/log@v3.txt").endswith(b"more\n")


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND])
def test_a_version_never_changes(mount, flags):
    put(mount / "data/x.csv", "1\n")
    version = mount / "data/x@v1.csv"
    before = os.stat(version)
    with refused(errno.EROFS):
        os.close(os.open(version, flags))
    for change in (lambda: os.truncate(version, 0), lambda: os.chmod(version, 0o777), lambda: os.utime(version, (1, 1)),
                   lambda: os.unlink(version), lambda: os.setxattr(version, "user.x", b"1")):
        with refused(errno.EROFS):
            change()
    with refused(errno.EROFS, errno.EPERM):
        os.rename(version, mount / "data/y.csv")
    with refused(errno.EROFS, errno.EEXIST):
        os.close(os.open(mount / "data/x@v9.csv", os.O_WRONLY | os.O_CREAT, 0o644))
    assert read(version) == b"1\n"
    after = os.stat(version)
    assert (before.st_ino, before.st_mtime_ns, before.st_mode) == (after.st_ino, after.st_mtime_ns, after.st_mode)


def test_large_heads_are_cut_when_they_differ(mount):
    head = mount / "data/big.bin"
    data = os.urandom(12 << 20)

    def save(content):
        with open(head, "wb") as f:
            f.write(content)
    save(data)
    save(data)  # equal: nothing; whoever looks waits until that is known
    assert names(mount / "data") == ["big.bin", "big@latest.bin", "big@v1.bin"]
    save(data[:-1] + b"x")
    assert os.path.exists(mount / "data/big@v2.bin")
    save(data)
    os.rename(head, mount / "data/other.bin")
    assert read(mount / "data/other@v3.bin") == data
    save(data)
    os.unlink(head)
    assert read(mount / "data/big@v1.bin") == data


def test_version_names_go_before_the_last_extension(mount):
    for name, version in [("a.csv", "a@v1.csv"), ("a.tar.gz", "a@v1.tar.gz"), ("b.csv.gz", "b@v1.csv.gz"),
                          ("LICENSE", "LICENSE@v1"), ("a.b.c", "a.b@v1.c")]:
        put(mount / "data" / name, "x\n")
        assert read(mount / "data" / version) == b"x\n", name
        assert os.readlink(mount / "data" / version.replace("@v1", "@latest")) == version


def test_rm_of_a_head_leaves_versions_and_counting_goes_on(mount):
    head = mount / "data/x.csv"
    put(head, "1\n")
    put(head, "2\n")
    os.unlink(head)
    assert names(mount / "data") == ["x@latest.csv", "x@v1.csv", "x@v2.csv"]
    with refused(errno.ENOENT):
        os.stat(head)
    put(head, "3\n")
    assert read(mount / "data/x@v3.csv") == b"3\n"
    assert read(mount / "data/x@v1.csv") == b"1\n"


def test_rm_cuts_what_is_uncut(mount):
    head = mount / "data/x.txt"
    put(head, "1\n")
    append(head, "2\n")
    os.unlink(head)
    assert read(mount / "data/x@v2.txt") == b"1\n2\n"


def test_mv_renames_versions_and_aliases(mount):
    put(mount / "data/a.csv", "1\n")
    put(mount / "data/a.csv", "2\n")
    os.symlink("a@v1.csv", mount / "data/a@best.csv")
    os.rename(mount / "data/a.csv", mount / "data/b.csv")
    assert names(mount / "data") == ["b.csv", "b@best.csv", "b@latest.csv", "b@v1.csv", "b@v2.csv"]
    assert read(mount / "data/b@best.csv") == b"1\n"


def test_mv_over_a_head_makes_its_next_version(mount):
    put(mount / "data/b.csv", "old\n")
    put(mount / "data/a.tmp", "new\n")
    os.replace(mount / "data/a.tmp", mount / "data/b.csv")
    assert names(mount / "data") == ["b.csv", "b@latest.csv", "b@v1.csv", "b@v2.csv"]
    assert read(mount / "data/b.csv") == read(mount / "data/b@v2.csv") == b"new\n"
    assert read(mount / "data/b@v1.csv") == b"old\n"


def test_replaced_heads_keep_open_descriptors(mount):
    put(mount / "data/b.csv", "old\n")
    old = os.open(mount / "data/b.csv", os.O_RDONLY)
    new = os.open(mount / "data/t.csv", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(new, b"new\n")
    os.rename(mount / "data/t.csv", mount / "data/b.csv")
    os.write(new, b"more\n")  # what goes on through the descriptor goes into b.csv
    os.close(new)
    assert os.pread(old, 100, 0) == b"old\n"
    os.close(old)
    assert read(mount / "data/b.csv") == b"new\nmore\n"
    newest = os.readlink(mount / "data/b@latest.csv")
    assert read(mount / "data" / newest) == b"new\nmore\n"


def test_sed_in_place(mount):
    put(mount / "data/x.csv", "a,b\n1,2\n")
    sh(f"sed -i s/1/9/ {mount}/data/x.csv")
    assert read(mount / "data/x@v2.csv") == b"a,b\n9,2\n"
    assert names(mount / "data") == ["x.csv", "x@latest.csv", "x@v1.csv", "x@v2.csv"]


def test_scratch_file_renamed_over_a_head(mount):
    put(mount / "data/x.csv", "1\n")
    put(mount / "data/.x.csv.tmp", "2\n")
    assert not os.path.lexists(mount / "data/.x.csv@v1.tmp")
    os.replace(mount / "data/.x.csv.tmp", mount / "data/x.csv")
    assert read(mount / "data/x@v2.csv") == b"2\n"
    assert not os.path.lexists(mount / "data/.x.csv.tmp")


def test_exchange_of_two_heads(mount):
    put(mount / "data/a", "A")
    put(mount / "data/b", "B")
    sh_run(["python3", "-c", f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
a, b = {str(mount / 'data/a')!r}.encode(), {str(mount / 'data/b')!r}.encode()
assert libc.renameat2(-100, a, -100, b, 2) == 0, os.strerror(ctypes.get_errno())
"""])
    assert read(mount / "data/a") == b"B" and read(mount / "data/b") == b"A"
    assert read(mount / "data/a@v2") == b"B"


def test_link_and_rename_across_trees_is_exdev(mount, run):
    put(mount / "data/x", "1")
    put(run / "artifacts/y", "2")
    for call in (os.rename, os.link):
        with refused(errno.EXDEV):
            call(mount / "data/x", run / "artifacts/x")
        with refused(errno.EXDEV):
            call(run / "artifacts/y", mount / "data/y")
    os.mkdir(mount / "data/tree")
    put(mount / "data/tree/z", "3")
    with refused(errno.EXDEV):
        os.rename(mount / "data/tree/z", mount / "data/z")
    sh(f"mv {mount}/data/tree/z {mount}/data/z")  # mv(1) copies then
    assert read(mount / "data/z@v1") == b"3"


# ---- trees ------------------------------------------------------------------------------------


def test_a_tree_is_cut_by_its_commit_file(mount):
    tree = mount / "data/raw"
    os.makedirs(tree / "a/b")
    put(tree / "a/b/x.csv", "1\n")
    assert names(mount / "data") == ["raw"]
    assert read(tree / ".commit") == b"\n"
    put(tree / ".commit", "first of all\n")
    assert read(tree / ".commit") == b"raw@v1\n"
    put(tree / "a/b/x.csv", "2\n")
    put(tree / "new.csv", "n\n")
    put(tree / ".commit", "second")
    assert read(mount / "data/raw@v1/a/b/x.csv") == b"1\n"
    assert read(mount / "data/raw@v2/a/b/x.csv") == b"2\n"
    assert names(mount / "data/raw@v1") == ["a"]
    assert names(mount / "data/raw@v2") == ["a", "new.csv"]
    assert ".commit" not in os.listdir(tree)
    assert os.getxattr(mount / "data/raw@v1", "user.labfs.message") == b"first of all"


def test_commit_without_a_change_sets_the_message(mount):
    os.mkdir(mount / "models/m")
    put(mount / "models/m/w.bin", b"\0" * 10000)
    put(mount / "models/m/.commit", "a")
    put(mount / "models/m/.commit", "b")
    assert names(mount / "models") == ["m", "m@latest", "m@v1"]
    assert os.getxattr(mount / "models/m@v1", "user.labfs.message") == b"b"


def test_a_tree_version_refuses_every_change(mount):
    os.mkdir(mount / "data/d")
    put(mount / "data/d/x", "1")
    put(mount / "data/d/.commit", "c")
    v = mount / "data/d@v1"
    for change in (lambda: put(v / "x", "2"), lambda: put(v / "y", "2"), lambda: os.unlink(v / "x"), lambda: os.mkdir(v / "k"),
                   lambda: os.rename(v / "x", v / "z"), lambda: os.symlink("a", v / "l"), lambda: os.chmod(v / "x", 0)):
        with refused(errno.EROFS):
            change()
    p = sh(f"rm -r {v}", check=False)
    assert p.returncode != 0
    assert read(v / "x") == b"1"


def test_extension_of_a_tree_stays_before_the_version(mount):
    os.mkdir(mount / "data/x.zarr")
    put(mount / "data/x.zarr/c", "1")
    put(mount / "data/x.zarr/.commit", "m")
    assert read(mount / "data/x.zarr@v1/c") == b"1"
    assert not os.path.lexists(mount / "data/x@v1.zarr")


def test_rmdir_of_a_tree_head(mount):
    os.mkdir(mount / "data/d")
    put(mount / "data/d/x", "1")
    put(mount / "data/d/.commit", "c")
    with refused(errno.ENOTEMPTY):
        os.rmdir(mount / "data/d")
    sh(f"rm -r {mount}/data/d")
    assert read(mount / "data/d@v1/x") == b"1"


def test_many_files_in_a_tree(mount):
    tree = mount / "data/many"
    os.mkdir(tree)
    for i in range(500):
        put(tree / f"f{i:03}", f"{i}\n")
    put(tree / ".commit", "all")
    for i in range(0, 500, 2):
        os.unlink(tree / f"f{i:03}")
    assert len(os.listdir(tree)) == 250
    assert len(os.listdir(mount / "data/many@v1")) == 500
    assert read(mount / "data/many@v1/f100") == b"100\n"


# ---- aliases ----------------------------------------------------------------------------------


def test_aliases(mount):
    for n in (1, 2, 3):
        put(mount / "data/iris.csv", f"{n}\n")
    sh(f"cd {mount}/data && ln -s iris@v1.csv iris@best.csv")
    assert os.readlink(mount / "data/iris@best.csv") == "iris@v1.csv"
    sh(f"cd {mount}/data && ln -sfn iris@v3.csv iris@best.csv")
    assert read(mount / "data/iris@best.csv") == b"3\n"
    assert names(mount / "data") == ["iris.csv", "iris@best.csv", "iris@latest.csv", "iris@v1.csv", "iris@v2.csv", "iris@v3.csv"]
    with refused(errno.EEXIST):
        os.symlink("iris@v2.csv", mount / "data/iris@best.csv")
    os.rename(mount / "data/iris@best.csv", mount / "data/iris@good.csv")
    assert os.readlink(mount / "data/iris@good.csv") == "iris@v3.csv"
    os.unlink(mount / "data/iris@good.csv")
    assert not os.path.lexists(mount / "data/iris@good.csv")


def test_what_is_no_alias(mount):
    put(mount / "data/x.csv", "1\n")
    put(mount / "data/y.csv", "1\n")
    for target, name in [("x@v1.csv", "x@latest.csv"), ("x@v1.csv", "x@v7.csv"), ("/etc/passwd", "x@evil.csv"), ("x@v9.csv", "x@no.csv"),
                         ("y@v1.csv", "x@other.csv"), ("x.csv", "x@head.csv"), ("/etc/passwd", "plain"), ("x@v1.csv", "x@a.b.c.csv")]:
        with refused(errno.EPERM, errno.EINVAL, errno.EROFS, errno.EEXIST):
            os.symlink(target, mount / "data" / name)
    assert "alias" in mount.errors() or "symlink" in mount.errors()
    with refused(errno.EPERM):
        os.unlink(mount / "data/x@latest.csv")


# ---- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,numbers", [("a@b", (errno.EPERM, errno.EINVAL)), ("x" * 241, (errno.ENAMETOOLONG, errno.EINVAL)),
                                          ("bad\udcff", (errno.EILSEQ, errno.EINVAL))])
def test_names_that_no_head_has(mount_shared, name, numbers):
    with refused(*numbers):
        put(mount_shared / "data" / name, "x")


def test_longest_name(mount):
    name = "n" * 236 + ".csv"
    put(mount / "data" / name, "x")
    assert read(mount / "data" / ("n" * 236 + "@v1.csv")) == b"x"


@pytest.mark.parametrize("name", [".DS_Store", ".x.swp", "x~", "4913", "#x#", ".hidden"])
@pytest.mark.parametrize("where", ["", "data", "models", "runs", "experiments", "experiments/Default"])
def test_droppings_can_be_made_anywhere(mount_shared, where, name):
    path = mount_shared / where / name
    put(path, "junk")
    assert read(path) == b"junk"
    assert name in os.listdir(mount_shared / where)
    os.unlink(path)
    assert not os.path.lexists(path)


# ---- extended attributes ------------------------------------------------------------------------


def test_xattrs_of_versions(mount):
    data = os.urandom(300_000)
    put(mount / "data/x.bin", data[:4096])
    with open(mount / "data/x.bin", "wb") as f:
        f.write(data)
    v = mount / "data/x@v2.bin"
    assert os.getxattr(v, "user.labfs.version") == b"v2"
    assert os.getxattr(mount / "data/x.bin", "user.labfs.version") == b"v2"
    with open(mount / "data/x.bin", "r+b") as f:
        f.write(b"changed")
        f.flush()
        assert os.getxattr(mount / "data/x.bin", "user.labfs.version") == b"v2+"
    assert os.getxattr(v, "user.labfs.message") == b""
    os.setxattr(v, "user.labfs.message", "größer".encode())
    assert os.getxattr(v, "user.labfs.message").decode() == "größer"
    assert os.getxattr(v, "user.labfs.created").endswith(b"Z")
    with refused(errno.ENODATA):
        os.getxattr(v, "user.labfs.run")

    def md5():
        try:
            return os.getxattr(v, "user.labfs.md5")
        except OSError as e:
            assert e.errno == errno.ENODATA
            return None
    assert wait_for(md5, 20, "sealed").decode() == hashlib.md5(data).hexdigest()
    assert len(os.getxattr(v, "user.labfs.xxh3")) == 32
    assert os.listxattr(v) == []
    with refused(errno.EPERM):
        os.setxattr(mount / "data/x.bin", "user.labfs.version", b"v9")


def test_readers_and_lineage_by_hand(mount, run):
    put(mount / "data/x.csv", "1\n")
    os.symlink(str(mount / "data/x@v1.csv"), run / "inputs/data/x@v1.csv")
    assert read(run / "inputs/data/x@v1.csv") == b"1\n"
    assert os.getxattr(mount / "data/x@v1.csv", "user.labfs.readers").decode() == run.name
    os.rename(mount / "data/x.csv", mount / "data/z.csv")
    assert names(run / "inputs/data") == ["z@v1.csv"]
    assert read(run / "inputs/data/z@v1.csv") == b"1\n"
    with refused(errno.EINVAL):
        os.symlink("/etc/passwd", run / "inputs/data/p")


# ---- options ------------------------------------------------------------------------------------


def test_hidden_versions_resolve_but_are_not_listed(store):
    with store.mount(options="versions=hide") as m:
        put(m / "data/x.csv", "1\n")
        assert names(m / "data") == ["x.csv"]
        assert read(m / "data/x@v1.csv") == b"1\n"
        assert read(m / "data/x@latest.csv") == b"1\n"


def test_read_only_mount(store):
    with store.mount() as m:
        put(m / "data/x.csv", "1\n")
        run_id = m.new_run().name
    with store.mount(options="ro") as m:
        assert read(m / "data/x@v1.csv") == b"1\n"
        for change in (lambda: put(m / "data/x.csv", "2\n"), lambda: os.mkdir(m / "data/d"), lambda: os.unlink(m / "data/x.csv"),
                       lambda: put(m / f"runs/{run_id}/params/a", "1"), lambda: read(m / "experiments/Default/new")):
            with refused(errno.EROFS):
                change()


def test_size_limit(store):
    with store.mount(options="size=8M") as m:
        with refused(errno.EDQUOT, errno.ENOSPC):
            with open(m / "data/big", "wb", buffering=0) as f:
                for _ in range(200):
                    f.write(os.urandom(1 << 20))
        assert os.statvfs(m.path).f_blocks * os.statvfs(m.path).f_frsize <= 8 << 20
        os.unlink(m / "data/big")
        assert os.path.isdir(m / "data")
