# SPDX-License-Identifier: Apache-2.0
"""Artifacts: what ordinary tools do to a filesystem, and what is frozen when the run ends."""

import errno
import fcntl
import mmap
import os
import random
import socket
import stat

import pytest

from harness import put, read, refused, sh


@pytest.fixture
def art(run):
    return run / "artifacts"


def test_create_write_append_truncate(art):
    f = art / "f"
    put(f, "hello")
    with open(f, "ab") as h:
        h.write(b" world")
    assert read(f) == b"hello world"
    os.truncate(f, 5)
    assert read(f) == b"hello"
    os.truncate(f, 8)
    assert read(f) == b"hello\0\0\0"
    st = os.stat(f)
    assert st.st_size == 8 and stat.S_ISREG(st.st_mode) and st.st_nlink == 1


def test_random_writes_and_holes(art):
    rng = random.Random(7)
    model = bytearray()
    with open(art / "r", "w+b", buffering=0) as f:
        for _ in range(400):
            what = rng.randrange(10)
            off, n = rng.randrange(300_000), rng.randrange(1, 20_000)
            if what < 6:
                data = rng.randbytes(n)
                os.pwrite(f.fileno(), data, off)
                if len(model) < off:
                    model.extend(bytes(off - len(model)))
                model[off:off + n] = data
            elif what < 8:
                size = rng.randrange(300_000)
                os.ftruncate(f.fileno(), size)
                del model[size:]
                model.extend(bytes(size - len(model)))
            else:
                assert os.pread(f.fileno(), n, off) == bytes(model[off:off + n])
    assert read(art / "r") == bytes(model)


def test_a_large_write_and_a_sparse_file(art):
    data = os.urandom(24 << 20)
    with open(art / "big", "wb", buffering=0) as f:
        view = memoryview(data)
        while view:
            view = view[f.write(view):]
        os.fsync(f.fileno())
    assert read(art / "big") == data
    with open(art / "sparse", "wb") as f:
        f.seek(5 << 30)
        f.write(b"end")
    st = os.stat(art / "sparse")
    assert st.st_size == (5 << 30) + 3 and st.st_blocks < 100
    with open(art / "sparse", "rb") as f:
        assert os.lseek(f.fileno(), 0, os.SEEK_DATA) > 1 << 30
        f.seek(5 << 30)
        assert f.read() == b"end"


def test_directories_links_and_special_files(art):
    os.makedirs(art / "a/b/c")
    put(art / "a/x", "1")
    os.link(art / "a/x", art / "a/b/y")
    assert os.stat(art / "a/x").st_nlink == 2
    os.symlink("../a/x", art / "a/s")
    assert os.readlink(art / "a/s") == "../a/x"
    os.symlink("x" * 4000, art / "long")
    assert len(os.readlink(art / "long")) == 4000
    os.mkfifo(art / "fifo")
    assert stat.S_ISFIFO(os.lstat(art / "fifo").st_mode)
    with socket.socket(socket.AF_UNIX) as s:
        fd = os.open(art, os.O_RDONLY)
        s.bind(f"/proc/self/fd/{fd}/sock")
        os.close(fd)
    assert stat.S_ISSOCK(os.lstat(art / "sock").st_mode)
    assert os.stat(art / "a").st_nlink == 3
    with refused(errno.ENOTEMPTY):
        os.rmdir(art / "a/b")
    with refused(errno.EEXIST):
        os.mkdir(art / "a")
    with refused(errno.EISDIR):
        os.unlink(art / "a")
    with refused(errno.ENOTDIR):
        os.rmdir(art / "a/x")
    name = "n" * 255
    put(art / name, "x")
    assert read(art / name) == b"x"
    with refused(errno.ENAMETOOLONG):
        put(art / (name + "n"), "x")


def test_rename(art):
    put(art / "a", "A")
    put(art / "b", "B")
    os.rename(art / "a", art / "b")
    assert read(art / "b") == b"A" and sorted(os.listdir(art)) == ["b"]
    os.makedirs(art / "d/e")
    with refused(errno.EINVAL):
        os.rename(art / "d", art / "d/e/f")
    with refused(errno.EISDIR):
        os.rename(art / "b", art / "d")
    with refused(errno.ENOTDIR):
        os.rename(art / "d", art / "b")


def test_unlinked_while_open(art):
    fd = os.open(art / "u", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"still here")
    os.unlink(art / "u")
    assert os.pread(fd, 100, 0) == b"still here"
    os.pwrite(fd, b"STILL", 0)
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)
    assert os.listdir(art) == []


def test_modes_owners_times(art):
    put(art / "f", "x")
    os.chmod(art / "f", 0o4751)
    assert stat.S_IMODE(os.stat(art / "f").st_mode) == 0o4751
    os.utime(art / "f", ns=(1_000_000_001, 2_000_000_002))
    st = os.stat(art / "f")
    assert (st.st_atime_ns, st.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    before = os.stat(art / "f").st_mtime_ns
    put(art / "f", "y")
    assert os.stat(art / "f").st_mtime_ns > before
    if os.geteuid() == 0:
        os.chown(art / "f", 12, 34)
        assert (os.stat(art / "f").st_uid, os.stat(art / "f").st_gid) == (12, 34)


def test_xattrs(art):
    put(art / "f", "x")
    os.setxattr(art / "f", "user.note", b"hello")
    assert os.getxattr(art / "f", "user.note") == b"hello"
    assert os.listxattr(art / "f") == ["user.note"]
    with refused(errno.EEXIST):
        os.setxattr(art / "f", "user.note", b"x", os.XATTR_CREATE)
    with refused(errno.ENODATA):
        os.setxattr(art / "f", "user.other", b"x", os.XATTR_REPLACE)
    os.removexattr(art / "f", "user.note")
    with refused(errno.ENODATA):
        os.getxattr(art / "f", "user.note")
    with refused(errno.EOPNOTSUPP, errno.EPERM):  # the kernel itself answers EPERM to all but root
        os.setxattr(art / "f", "trusted.x", b"1")


def test_mmap(art):
    put(art / "m", b"\0" * 10000)
    with open(art / "m", "r+b") as f:
        with mmap.mmap(f.fileno(), 0) as m:
            m[5000:5005] = b"dirty"
            m.flush()
        assert os.pread(f.fileno(), 5, 5000) == b"dirty"
        with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as m:
            assert m[5000:5005] == b"dirty"


def test_fallocate(art):
    put(art / "f", b"x" * 100_000)
    fd = os.open(art / "f", os.O_RDWR)
    sh(f"fallocate -p -o 4096 -l 8192 {art}/f")
    assert os.pread(fd, 8192, 4096) == bytes(8192)
    assert os.fstat(fd).st_size == 100_000
    os.posix_fallocate(fd, 0, 200_000)
    assert os.fstat(fd).st_size == 200_000
    sh(f"fallocate -z -o 0 -l 100 {art}/f")
    assert os.pread(fd, 101, 0) == bytes(100) + b"x"
    os.close(fd)


def test_locks(art):
    put(art / "l", "x")
    a, b = os.open(art / "l", os.O_RDWR), os.open(art / "l", os.O_RDWR)
    fcntl.flock(a, fcntl.LOCK_EX)
    with refused(errno.EWOULDBLOCK):
        fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(a)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(b)


def test_copy_shares_content(art):
    data = os.urandom(3 << 20)
    put_all(art / "a", data)
    sh(f"cp {art}/a {art}/b")
    put(art / "b", b"changed", os.O_WRONLY)
    assert read(art / "a") == data
    assert read(art / "b") == b"changed" + data[7:]


def put_all(path, data):
    with open(path, "wb") as f:
        f.write(data)


def test_rm_rf_while_listing(art):
    os.mkdir(art / "d")
    for i in range(1000):
        put(art / f"d/{i}", "x")
    sh(f"rm -rf {art}/d")
    assert os.listdir(art) == []


def test_seekdir_survives_removals(art):
    for i in range(300):
        put(art / f"f{i}", "x")
    seen = set()
    with os.scandir(art) as it:
        for entry in it:
            seen.add(entry.name)
            os.unlink(entry.path)
    assert len(seen) == 300 and os.listdir(art) == []


def test_tools_agree(art, work):
    sh(f"""
        mkdir -p {work}/src/a/b && cd {work}/src
        echo one > a/one; ln a/one a/two; ln -s a/one link; head -c 300000 /dev/urandom > a/b/blob; touch -d 2020-01-01 a/one
        chmod 640 a/b/blob
        cp -a {work}/src {art}/copy
        diff -r {work}/src {art}/copy
        tar -C {work} -cf - src | tar -C {art} -xf -
        diff -r {work}/src {art}/src
        tar -C {art} -cf {work}/t.tar src && mkdir {work}/out && tar -C {work}/out -xf {work}/t.tar && diff -r {work}/src {work}/out/src
    """)
    assert os.stat(art / "copy/a/one").st_mtime == os.stat(work / "src/a/one").st_mtime
    assert os.stat(art / "copy/a/one").st_ino == os.stat(art / "copy/a/two").st_ino


def test_an_ended_run_is_frozen(mount, run):
    art = run / "artifacts"
    put(art / "f", "bytes")
    os.mkdir(art / "d")
    writer = os.open(art / "w", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(writer, b"before ")
    put(run / "status", "finished")
    os.write(writer, b"after")  # open when the run ended: freezes at its last close
    for change in (lambda: put(art / "f", "x"), lambda: put(art / "new", "x"), lambda: os.unlink(art / "f"), lambda: os.rmdir(art / "d"),
                   lambda: os.rename(art / "f", art / "g"), lambda: os.chmod(art / "f", 0o600), lambda: os.truncate(art / "f", 0),
                   lambda: os.mkdir(art / "e"), lambda: os.symlink("x", art / "l"), lambda: os.link(art / "f", art / "h"),
                   lambda: os.setxattr(art / "f", "user.x", b"1"), lambda: os.utime(art / "f")):
        with refused(errno.EROFS, errno.EPERM):
            change()
    os.close(writer)
    assert read(art / "w") == b"before after"
    with refused(errno.EROFS, errno.EPERM):
        os.close(os.open(art / "w", os.O_WRONLY))
    assert sh(f"rm -rf {run}", check=False).returncode != 0
    assert read(art / "f") == b"bytes"
    put(run / "status", "running")
    put(art / "f", "again")
    assert read(art / "f") == b"again"


def test_everything_is_there_after_a_remount(mount, run):
    art = run / "artifacts"
    data = os.urandom(1 << 20)
    put_all(art / "big", data)
    put(art / "small", "s")
    os.mkdir(art / "d")
    os.symlink("small", art / "link")
    inodes = {n: os.lstat(art / n).st_ino for n in os.listdir(art)}
    mount.remount()
    assert {n: os.lstat(art / n).st_ino for n in os.listdir(art)} == inodes
    assert read(art / "big") == data and read(art / "link") == b"s"
