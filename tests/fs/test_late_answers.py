# SPDX-License-Identifier: Apache-2.0
"""Requests that a worker has a part in: whatever door they come through, signals meanwhile, the daemon's leaving."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

from harness import put, read, refused, text, wait_for

PARAMS = 2500  # above what the core renders itself


def big_run(mount):
    run = mount.new_run()
    put(run / "params.json", json.dumps({f"p{i}": i for i in range(PARAMS)}))
    return run


def test_attributes_of_a_big_view_can_be_set(mount):
    run = big_run(mount)
    view = run / "params.json"
    os.utime(view)
    put(run / "params/later1", "1")  # what was rendered is old now
    os.chmod(view, 0o600)
    put(run / "params/later2", "1")
    os.truncate(view, 0)
    assert len(json.loads(read(view))) == PARAMS + 2
    assert view.stat().st_size == len(read(view))


def test_holes_are_looked_for_in_a_big_view(mount):
    run = big_run(mount)
    fd = os.open(run / "params.json", os.O_RDONLY)
    try:
        put(run / "params/later", "1")
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0
        put(run / "params/later2", "1")
        assert os.lseek(fd, 0, os.SEEK_HOLE) == (run / "params.json").stat().st_size
    finally:
        os.close(fd)


def test_a_big_view_is_written_by_rename(mount):
    run = big_run(mount)
    put(run / ".params.tmp", json.dumps({"by": "rename"}))
    put(run / "params/later", "1")
    os.rename(run / ".params.tmp", run / "params.json")
    assert text(run / "params/by") == "rename"
    assert not (run / ".params.tmp").exists()
    put(mount / "runs/.x", "1")
    with refused(errno.EPERM, errno.EXDEV, errno.ENOENT, errno.EEXIST):
        os.rename(mount / "runs/.x", mount / "runs/self")
    assert mount.alive()


INTERRUPTED = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.write.restype = libc.pread.restype = ctypes.c_ssize_t
block = bytes(range(256)) * 4096
signal.signal(signal.SIGALRM, lambda *a: None)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
buffer = ctypes.create_string_buffer(len(block))
for i in range(100):
    n = libc.write(fd, block, len(block))
    assert n > 0, f"write {i}: {os.strerror(ctypes.get_errno())}"
    n = libc.pread(fd, buffer, len(block), ctypes.c_long(i % 8 * 100000))
    assert n > 0, f"pread {i}: {os.strerror(ctypes.get_errno())}"
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_bytes_of_files_are_not_interrupted_by_signals(mount):
    """As on a disk: a timer of a profiler must not end a write(2)."""
    run = mount.new_run()
    p = subprocess.run([sys.executable, "-c", INTERRUPTED, str(run / "artifacts/f")], capture_output=True, check=False, text=True)
    assert p.returncode == 0, p.stderr


def test_leaving_while_workers_work(store):
    """SIGTERM while views are rendered, heads compared, bytes written."""
    for _ in range(3):
        m = store.mount()
        run = big_run(m)
        stop = threading.Event()

        def busy(do):
            i = 0
            while not stop.is_set():
                try:
                    do(i)
                except OSError:
                    time.sleep(0.001)
                i += 1

        jobs = [
            lambda i: os.stat(run / "params.json"),
            lambda i: put(run / "params" / f"q{time.monotonic_ns()}", "1"),
            lambda i: put(run / "artifacts" / f"f{i}", bytes(300000)),
            lambda i: put(m / "data/big.bin", os.urandom(600000)),
            lambda i: os.listdir(m / "data"),
            lambda i: os.stat(m / "runs/self"),
        ]
        threads = [threading.Thread(target=busy, args=(job,)) for job in jobs]
        for t in threads:
            t.start()
        time.sleep(0.4)
        m.proc.send_signal(signal.SIGTERM)
        code = m.proc.wait(60)
        stop.set()
        for t in threads:
            t.join()
        assert code == 0, m.read_log()
        m.check_log()
        m.discard()
    store.fsck()


def test_a_stray_signal_does_not_make_it_deaf(store):
    m = store.mount()
    os.kill(m.pid, signal.SIGUSR1)
    put(m.new_run() / "params/a", "1")
    os.kill(m.pid, signal.SIGTERM)
    assert m.proc.wait(30) == 0
    m.discard()


def test_a_killed_writer_leaves_a_head_that_is_cut(mount):
    """SIGKILL in the midst of writes: what was accepted becomes a version, and the daemon serves on."""
    head = mount / "data/k.bin"
    p = subprocess.Popen([sys.executable, "-c", "import sys\nf = open(sys.argv[1], 'wb', 0)\n"
                          "while True: f.write(bytes(1 << 20)); f.seek(0, 2) if f.tell() < 50 << 20 else f.seek(0)", str(head)])
    wait_for(lambda: head.exists() and head.stat().st_size > 3 << 20, what="some megabytes")
    p.kill()
    p.wait(20)
    wait_for(lambda: (mount / "data/k@v1.bin").exists(), what="a version")
    assert (mount / "data/k@v1.bin").stat().st_size == head.stat().st_size


def test_a_hole_is_punched_in_a_store_that_is_nearly_full(store):
    libc = ctypes.CDLL(None, use_errno=True)
    with store.mount(options="size=16M") as m:
        path = m.new_run() / "artifacts/f"
        put(path, bytes(range(256)) * 8192)
        fd = os.open(path, os.O_RDWR)
        try:
            rc = libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(1 << 30))
            assert rc == 0, os.strerror(ctypes.get_errno())
        finally:
            os.close(fd)
        assert read(path) == bytes(2 << 20)


def test_a_copy_of_more_than_a_request_can_say(mount):
    """5 GiB, a hole but for its end: copy_file_range(2) answers in 32 bits."""
    artifacts = mount.new_run() / "artifacts"
    size = 5 << 30
    with open(artifacts / "from", "wb") as f:
        f.truncate(size - 3)
        f.seek(size - 3)
        f.write(b"end")
    with open(artifacts / "from", "rb") as f, open(artifacts / "to", "wb") as to:
        left = size
        while left:
            n = os.copy_file_range(f.fileno(), to.fileno(), left)
            assert 0 < n <= left
            left -= n
    with open(artifacts / "to", "rb") as to:
        to.seek(size - 4)
        assert to.read() == b"\0end"
