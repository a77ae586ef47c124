# SPDX-License-Identifier: Apache-2.0
"""Backups that are none, what crashes and signals leave behind, and what a daemon must not inherit."""

import io
import os
import signal
import subprocess
import tarfile

import pytest

import harness
from harness import labfs, put, read, wait_for


def refused_backup(work, data, name="r"):
    (work / "bad.tar").write_bytes(data)
    p = labfs("init", "--from", work / "bad.tar", work / name, check=False)
    assert p.returncode in (4, 5), (p.returncode, p.stderr)
    assert p.stderr.startswith("labfs init: ") and p.stderr.count("\n") == 1, p.stderr
    assert not (work / name).exists()
    assert not [n for n in os.listdir(work) if n.startswith(".labfs-new")]
    return p.stderr


def test_a_backup_cut_anywhere_is_refused(mount, work):
    put(mount.new_run() / "artifacts/a", os.urandom(300000))
    put(mount / "data/x.csv", "1\n")
    mount.labfs("backup", work / "b.tar")
    whole = (work / "b.tar").read_bytes()
    with tarfile.open(work / "b.tar") as tar:
        members = tar.getmembers()
    assert members[0].name == "version" and members[-1].name == "end"
    for member in members:
        refused_backup(work, whole[:member.offset])  # as a full disk leaves it: the end of a member
        refused_backup(work, whole[:member.offset + 300])
    labfs("init", "--from", work / "b.tar", work / "good")
    labfs("fsck", work / "good")


@pytest.mark.parametrize("name, kind", [
    ("../out", tarfile.REGTYPE), ("/tmp/out", tarfile.REGTYPE), ("kv/../../out", tarfile.REGTYPE), ("kv/a/b", tarfile.REGTYPE),
    ("kv/.hidden", tarfile.REGTYPE), ("lock", tarfile.REGTYPE), ("socket", tarfile.REGTYPE), ("kv/meta.mdb", tarfile.SYMTYPE),
    ("kv", tarfile.DIRTYPE), ("dirty/1", tarfile.CHRTYPE), ("segments/1", tarfile.FIFOTYPE), ("", tarfile.REGTYPE),
])
def test_members_that_no_backup_has(store, work, name, kind):
    out = io.BytesIO()
    store.labfs("backup", work / "b.tar")
    with tarfile.open(work / "b.tar") as good, tarfile.open(fileobj=out, mode="w") as tar:
        for member in good.getmembers()[:-1]:
            tar.addfile(member, good.extractfile(member))
        evil = tarfile.TarInfo(name)
        evil.type, evil.linkname = kind, "/etc/passwd"
        tar.addfile(evil)
        tar.addfile(tarfile.TarInfo("end"))
    refused_backup(work, out.getvalue())
    assert not (work.parent / "out").exists() and not os.path.exists("/tmp/out")


def test_a_member_twice(store, work):
    out = io.BytesIO()
    store.labfs("backup", work / "b.tar")
    with tarfile.open(work / "b.tar") as good, tarfile.open(fileobj=out, mode="w") as tar:
        for member in good.getmembers()[:-1] * 2 + good.getmembers()[-1:]:
            tar.addfile(member, good.extractfile(member))
    refused_backup(work, out.getvalue())


def test_what_a_crash_left_of_a_backup_goes(store):
    for name in ("backup.123", "kv.new"):
        os.mkdir(store.path / name)
        (store.path / name / "meta.mdb").write_bytes(bytes(1000))
    (store.path / "backup.txt").write_text("not a directory of ours")
    labfs("fsck", store)
    assert not (store.path / "backup.123").exists() and not (store.path / "kv.new").exists()


def test_a_backup_that_is_interrupted_leaves_nothing(mount, work):
    put(mount.new_run() / "artifacts/a", os.urandom(64 << 20))
    p = subprocess.Popen([harness.LABFS, "backup", "--store", str(mount.store), str(work / "b.tar")])
    wait_for(lambda: [n for n in os.listdir(work) if n.startswith("b.tar")] or p.poll() is not None, what="the file")
    p.send_signal(signal.SIGINT)
    assert p.wait(30) in (-signal.SIGINT, 0)
    assert [n for n in os.listdir(work) if n.startswith("b.tar")] in ([], ["b.tar"])
    wait_for(lambda: not [n for n in os.listdir(mount.store.path) if n.startswith("backup.")], what="the engine's copy gone")


def test_a_daemon_keeps_nothing_of_who_started_it(store, work):
    at = work / "m"
    ours, theirs = os.pipe()
    subprocess.run([harness.LABFS, "mount", str(store), str(at)], check=True, pass_fds=[theirs], timeout=60)
    try:
        os.close(theirs)
        os.set_blocking(ours, False)
        assert os.read(ours, 1) == b""  # the end of the file: nobody holds the other end (else BlockingIOError)
        assert read(at / "README")
    finally:
        os.close(ours)
        labfs("umount", at)


def test_bad_waiting_times(store, work):
    for wait in ("abc", "-1", "1x", "nan", "1e9"):
        for command in (["mount", store, work / "m"], ["fsck", store]):
            p = labfs(*command, f"--wait={wait}", check=False)
            assert p.returncode == 2 and "--wait" in p.stderr, (command, wait, p.stderr)
