# SPDX-License-Identifier: Apache-2.0
"""CONTRACT 6: a disk that is full.  What cannot be kept is refused, what was accepted stays, the store goes on
reading, and space that is freed makes it go on writing: all on a small disk of its own that holds nothing else."""

import contextlib
import errno
import os
import random
import subprocess

import pytest
from harness import MODE, Mount, Store, put, read, text, wait_for

FULL = (errno.ENOSPC, errno.EDQUOT)


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, work):
    """A mounted store on a disk of 32 MiB."""
    disk = work / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a disk of its own")
    if request.param == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=32M", "none", disk]
    else:
        image = work / "image"
        subprocess.run(["truncate", "-s", "32M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        command = ["mount", "-o", "loop", image, disk]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip(f"needs a machine where root may mount {request.param}")
    mount = Mount(Store.create(disk), work / "mnt")
    mount.log = work / "log"
    try:
        yield mount.start()
    finally:
        mount.discard()
        subprocess.run(["umount", "-l", disk], check=False)


def try_put(path, data, accepted):
    """put(); what it accepted is noted, another refusal than a full disk's is raised."""
    try:
        done = put(path, data)
    except OSError as e:
        if e.errno not in FULL:
            raise
        return False
    if done == len(data):
        accepted[path] = data
    return True


def fill(mount):
    """Write files, params and points until thirty writes of files were refused; what was accepted, by path."""
    rng, run, accepted, refused = random.Random(1), mount.new_run(), {}, 0
    for n in range(5000):
        if refused == 30:
            return run, accepted
        refused += not try_put(run / f"artifacts/f{n}", rng.randbytes(rng.choice([10, 5000, 300000])), accepted)
        try_put(run / f"params/p{n}", b"%d\n" % n, accepted)
        try_put(run / f"history/h{n}", b"%d\n" % n, {})
    raise AssertionError("the disk is never full")


def put_when_it_fits(path, data):
    """put(), again while the disk is full: what is being sealed just then holds on to files that were removed."""
    wait_for(lambda: try_put(path, data, {}), timeout=10, what="the freed space can be used")


def check(accepted):
    for path, data in accepted.items():
        assert read(path) == data, path


@pytest.mark.parametrize("crash", [False, True])
def test_a_full_disk_loses_nothing_and_goes_on(small_disk, crash):
    mount = small_disk
    run, accepted = fill(mount)
    check(accepted)
    assert "ENOSPC" in mount.errors()
    os.sync()
    if crash:
        mount.kill()
        mount.start()
        check(accepted)
    files = [p for p in accepted if "/artifacts/" in str(p)]
    for path in files[: len(files) * 2 // 3]:
        os.unlink(path)
        del accepted[path]
    for n in range(10):
        put_when_it_fits(run / f"artifacts/again{n}", b"x" * 50000)
        put_when_it_fits(run / f"params/again{n}", "1\n")
    put_when_it_fits(run / "status", "finished\n")
    check(accepted)
    mount.stop()
    mount.store.fsck()
    mount.start()
    check(accepted)
    assert text(run / "params/again9") == "1"
    mount.stop()


@pytest.mark.parametrize("small_disk", ["tmpfs"], indirect=True)
def test_umount_and_mount_with_the_disk_full(small_disk):
    mount = small_disk
    _, accepted = fill(mount)
    mount.stop()
    mount.start()
    check(accepted)
    mount.stop()
    mount.store.fsck()


@pytest.mark.parametrize("small_disk", ["tmpfs"], indirect=True)
def test_versions_leave_a_full_disk_through_the_trash(small_disk):
    mount, rng, versions = small_disk, random.Random(2), []
    with contextlib.suppress(OSError):
        for _ in range(300):
            data = rng.randbytes(300000)
            put(mount / "data/big.bin", data)
            versions.append(data)
    assert 50 < len(versions) < 300
    for n, data in enumerate(versions, 1):
        assert read(mount / f"data/big@v{n}.bin") == data
    for n in range(1, 41):
        os.rename(mount / f"data/big@v{n}.bin", mount / f"trash/data/big@v{n}.bin")
    subprocess.run(["rm", "-rf", *map(str, (mount / "trash/data").iterdir())], check=True)
    for n in range(8):
        put_when_it_fits(mount / f"data/new{n}.bin", rng.randbytes(300000))
    assert read(mount / "data/big@v41.bin") == versions[40]
    mount.stop()
    mount.store.fsck()


def test_few_descriptors_are_enough(store):
    mount = Mount(store)
    mount.start()
    subprocess.run(["prlimit", "--nofile=64:64", "--pid", str(mount.pid)], check=True)
    os.mkdir(mount / "data/many")
    fds = [os.open(mount / f"data/many/{n}", os.O_RDWR | os.O_CREAT) for n in range(150)]
    for fd in fds:
        os.write(fd, b"q" * 200000)
    assert all(os.pread(fd, 10, 199990) == b"q" * 10 for fd in fds)
    for fd in fds:
        os.close(fd)
    put(mount / "data/many/.commit", "all\n")
    assert all(len(read(mount / f"data/many@v1/{n}")) == 200000 for n in range(150))
    mount.stop()
    store.fsck()


def test_memory_does_not_grow_with_files(mount, run):
    peak, block = 0, os.urandom(1 << 20)
    with open(run / "artifacts/big", "wb", buffering=0) as f:
        for n in range(200):
            f.write(n.to_bytes(8, "little") + block[8:])
            peak = max(peak, mount.rss_anon_kb())
        os.truncate(run / "artifacts/big", 6 << 30)
    put(run / "status", "finished\n")  # seals
    with open(run / "artifacts/big", "rb", buffering=0) as f:
        for n in range(0, 200, 7):
            assert os.pread(f.fileno(), 1 << 20, n << 20) == n.to_bytes(8, "little") + block[8:]
            peak = max(peak, mount.rss_anon_kb())
        assert os.pread(f.fileno(), 100, (6 << 30) - 100) == bytes(100)
    assert os.stat(run / "artifacts/big").st_size == 6 << 30
    if MODE == "release":
        assert peak < 64 << 10, f"RssAnon {peak} KiB"


def test_a_thousand_directories_deep(mount, run):
    at = os.open(run / "artifacts", os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    found = subprocess.run(["find", run / "artifacts", "-name", "leaf"], check=True, capture_output=True, text=True).stdout
    assert found.count("/d") == 1000
    subprocess.run(["rm", "-rf", run / "artifacts/d"], check=True)
    assert os.listdir(run / "artifacts") == []
