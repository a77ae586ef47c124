# SPDX-License-Identifier: Apache-2.0
"""labfs init, mount, umount, fsck, gc, backup: what they do, what they say, their exit codes."""

import os
import signal
import stat
import subprocess
import time

import pytest

import harness
from harness import labfs, put, read, sh


def test_version_and_help():
    assert labfs("version").stdout.startswith("labfs ")
    out = labfs("help").stdout
    for name in ("init", "mount", "umount", "fsck", "gc", "backup"):
        assert f"  {name} " in out
        assert f"usage: labfs {name}" in labfs("help", name).stdout
        assert labfs(name, "--help").stdout == labfs("help", name).stdout
    assert labfs("frobnicate", check=False).returncode == 2
    assert labfs("help", "frobnicate", check=False).returncode == 3
    assert labfs("gc", "--frob", check=False).returncode == 2
    assert labfs("umount", check=False).returncode == 2


# ---- init -------------------------------------------------------------------------------------


def test_init_makes_a_private_store(work):
    path = work / "s"
    out = labfs("init", path)
    assert out.stdout.strip() == str(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert (path / ".gitignore").read_text() == "*\n"
    for base, dirs, files in os.walk(path):
        for d in dirs:
            assert stat.S_IMODE(os.stat(os.path.join(base, d)).st_mode) == 0o700
        for f in files:
            assert stat.S_IMODE(os.stat(os.path.join(base, f)).st_mode) == 0o600, f


def test_init_default_place_and_empty_directory(work):
    labfs("init", cwd=work)
    assert (work / ".labfs/version").exists()
    (work / "empty").mkdir()
    labfs("init", work / "empty")
    labfs("fsck", work / "empty")


def test_init_refuses(work):
    labfs("init", work / "s")
    p = labfs("init", work / "s", check=False)
    assert p.returncode == 4 and "already" in p.stderr
    (work / "full").mkdir()
    (work / "full/x").write_text("x")
    p = labfs("init", work / "full", check=False)
    assert p.returncode == 4 and "not empty" in p.stderr
    assert (work / "full/x").read_text() == "x"
    p = labfs("init", work / "no/such/dir", check=False)
    assert p.returncode == 3
    (work / "file").write_text("x")
    assert labfs("init", work / "file", check=False).returncode == 3


def test_init_refuses_a_fuse_filesystem(mount):
    p = labfs("init", mount / "data/s", check=False)
    assert p.returncode == 4 and "FUSE" in p.stderr


def test_store_is_found_upward_and_by_environment(store, work):
    (work / "a/b").mkdir(parents=True)
    os.rename(store.path, work / ".labfs")
    assert labfs("fsck", cwd=work / "a/b").returncode == 0
    assert labfs("gc", store=work / ".labfs", cwd="/").returncode == 0
    assert labfs("--store", check=False).returncode == 2
    assert labfs("gc", "--store", work / ".labfs", cwd="/").returncode == 0
    p = labfs("gc", cwd="/", check=False)
    assert p.returncode == 3 and "labfs init" in p.stderr


def test_newer_format_is_refused(store):
    version = store.path / "version"
    version.write_text(version.read_text().replace("labfs-store 1", "labfs-store 99"))
    for command in ("fsck", "gc"):
        p = store.labfs(command, check=False)
        assert p.returncode == 4 and "newer" in p.stderr and "99" in p.stderr
    version.write_text("labfs-store 1\ncompat 00000000\nro_compat 00000000\nincompat 00000040\n")
    p = store.labfs("gc", check=False)
    assert p.returncode == 4 and "incompat" in p.stderr


# ---- mount and umount ---------------------------------------------------------------------------


def test_mount_in_the_background(store, work):
    mnt = work / "m"
    labfs("mount", store, mnt)
    try:
        assert (mnt / "README").read_text()
        put(mnt / "data/x", "1")
        p = labfs("mount", store, work / "m2", check=False)
        assert p.returncode == 4 and str(mnt) in p.stderr
    finally:
        labfs("umount", mnt)
    assert not os.listdir(mnt)
    labfs("fsck", store)


def test_mount_refuses_places_that_cannot_serve(store, work):
    (work / "full").mkdir()
    (work / "full/x").write_text("x")
    (work / "file").write_text("x")
    cases = [(work / "full", 4, "not empty"), (work / "file", 3, "not a directory"), (store.path / "m", 2, "inside the store"),
             (work, 2, "hide the store"), (work / "no/dir", 3, "does not exist")]
    for place, code, words in cases:
        p = labfs("mount", store, place, check=False)
        assert p.returncode == code and words in p.stderr, (place, p.returncode, p.stderr)
    p = labfs("mount", work / "nostore", work / "m", check=False)
    assert p.returncode == 3 and "labfs init" in p.stderr
    for options in ("frob", "size=x", "versions=maybe", "group=", "ro=1"):
        p = labfs("mount", "-o", options, store, work / "m", check=False)
        assert p.returncode == 2, (options, p.stderr)


def test_mount_on_a_mount_is_refused(mount, work):
    other = harness.Store.create(work, "other")
    p = labfs("mount", other, mount, check=False)
    assert p.returncode == 4
    p = labfs("mount", other, mount / "data/x", check=False)
    assert p.returncode == 4 and "FUSE" in p.stderr


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signals_flush_and_leave_cleanly(mount, sig):
    put(mount / "data/x", "1")
    mount.proc.send_signal(sig)
    assert mount.proc.wait(20) == 0
    assert not harness.mounted_by(mount.path)
    mount.remount()
    assert read(mount / "data/x@v1") == b"1"


def test_umount_names_who_is_in_the_way(mount):
    proc = subprocess.Popen(["sleep", "60"], cwd=mount / "data")
    try:
        p = labfs("umount", mount, check=False)
        assert p.returncode == 4 and "sleep" in p.stderr and str(proc.pid) in p.stderr
    finally:
        proc.kill()
        proc.wait()
    assert labfs("umount", "/proc", check=False).returncode == 3


def test_umount_of_a_dead_mount(mount):
    mount.kill()
    assert labfs("umount", mount).returncode == 0
    assert not harness.mounted_by(mount.path)


def test_unwritable_fuse_device_is_one_sentence(store, work):
    p = sh(f"unshare -m sh -c 'mount --bind /dev/null /dev/fuse && exec {harness.LABFS} mount {store} {work}/m'", check=False) \
        if os.geteuid() == 0 else None
    if p is not None:
        assert p.returncode != 0 and "fuse" in p.stderr.lower() and len(p.stderr.strip().splitlines()) == 1, p.stderr


# ---- commands over the store, mounted or not --------------------------------------------------------


def fill(m):
    for n in range(3):
        put(m / "data/x.csv", os.urandom(50_000))
    run = m.new_run()
    put(run / "params/lr", "0.1")
    with open(run / "artifacts/a", "wb") as f:
        f.write(os.urandom(2 << 20))
    return run


def test_fsck_mounted_and_not(mount):
    fill(mount)
    p = mount.labfs("fsck")
    assert p.stdout == "" and "clean" in p.stderr
    assert mount.labfs("fsck", "--json").stdout.strip() == "[]"
    mount.stop()
    p = mount.labfs("fsck")
    assert p.returncode == 0 and p.stdout == ""
    mount.start()


def test_fsck_finds_a_flipped_byte(mount):
    run = fill(mount)
    mount.stop()
    mount.labfs("gc")  # chunks what layers hold
    segments = sorted((mount.store.path / "segments").iterdir())
    assert segments
    with open(segments[0], "r+b") as f:
        f.seek(30_000)
        byte = f.read(1)
        f.seek(30_000)
        f.write(bytes([byte[0] ^ 0x40]))
    p = mount.labfs("fsck", check=False)
    assert p.returncode == 5 and p.stdout.strip()
    with open(segments[0], "r+b") as f:
        f.seek(30_000)
        f.write(byte)
    mount.store.fsck()
    mount.start()
    assert run


def test_gc_gives_space_back(mount):
    run = fill(mount)
    for i in range(6):
        with open(run / "artifacts/junk", "wb") as f:
            f.write(os.urandom(8 << 20))
    os.unlink(run / "artifacts/junk")
    dry = mount.labfs("gc", "--dry-run").stdout
    assert dry.startswith("before ") and "freeable" in dry
    p = mount.labfs("gc")
    sizes = dict(line.split() for line in p.stdout.splitlines())
    assert int(sizes["after"]) < 20 << 20, p.stdout
    mount.stop()
    p = mount.labfs("gc")
    assert "freed" in p.stdout
    mount.store.fsck()
    used = int(subprocess.run(["du", "-sB1", str(mount.store)], capture_output=True, text=True, check=True).stdout.split()[0])
    assert used < 16 << 20
    mount.start()
    assert len(read(run / "artifacts/a")) == 2 << 20


@pytest.mark.parametrize("mounted", [True, False])
def test_backup_and_restore(mount, work, mounted):
    run = fill(mount)
    want = read(run / "artifacts/a"), read(mount / "data/x@v2.csv")
    if not mounted:
        mount.stop()
    mount.labfs("backup", work / "b.tar")
    assert stat.S_IMODE(os.stat(work / "b.tar").st_mode) == 0o600
    assert "version" in sh(f"tar tf {work}/b.tar").stdout
    labfs("init", "--from", work / "b.tar", work / "restored")
    labfs("fsck", work / "restored")
    with harness.Store(work / "restored").mount() as m:
        assert (read(m / "runs" / run.name / "artifacts/a"), read(m / "data/x@v2.csv")) == want
    (work / "bad.tar").write_bytes(b"no tar at all")
    p = labfs("init", "--from", work / "bad.tar", work / "r2", check=False)
    assert p.returncode == 5 and not (work / "r2").exists()
    whole = (work / "b.tar").read_bytes()
    (work / "cut.tar").write_bytes(whole[:len(whole) // 2])
    p = labfs("init", "--from", work / "cut.tar", work / "r3", check=False)
    assert p.returncode == 5 and not (work / "r3").exists()
    assert not [n for n in os.listdir(work) if n.startswith(".labfs-new")]
    if not mounted:
        mount.start()


def test_an_unmounted_store_can_be_copied(mount, work):
    run = fill(mount)
    mount.stop()
    sh(f"cp -a {mount.store} {work}/copy")
    with harness.Store(work / "copy").mount() as m:
        assert len(read(m / "runs" / run.name / "artifacts/a")) == 2 << 20
    labfs("fsck", work / "copy")
    mount.start()


def test_commands_wait_for_each_other(store):
    procs = [subprocess.Popen([harness.LABFS, "fsck", str(store)], stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [p.wait(60) for p in procs] == [0, 0, 0, 0]


def test_wait_gives_up_with_exit_4(store):
    with open(store.path / "lock", "a+b") as f:
        import fcntl
        fcntl.flock(f, fcntl.LOCK_EX)
        start = time.monotonic()
        p = store.labfs("gc", "--wait", "0.5", check=False)
        assert p.returncode == 4 and "in use" in p.stderr
        assert time.monotonic() - start < 10 * harness.SLOWER


def test_store_on_the_mount_is_the_one_it_serves(mount):
    assert labfs("gc", cwd=mount / "data").returncode == 0
    assert read(mount / ".labfs/store").decode().strip() == str(mount.store)
